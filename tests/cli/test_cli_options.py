"""Flags, environment, configuration file: what wins, and what is said about mistakes."""

import json
import os

import pytest


def config_of(result):
    """{name: (value, where from)} of serve --print-config."""
    assert result.returncode == 0, result.stderr
    rows = [line.split(None, 2) for line in result.stdout.decode().splitlines()]
    return {name: (value, source) for name, value, source in rows}


def test_defaults(run):
    c = config_of(run("serve", "--print-config"))
    assert c["port"] == ("8000", "default")
    assert c["host"] == ("127.0.0.1", "default")
    assert c["backend"] == ("auto", "default")
    assert c["model"] == ("-", "default")
    assert c["log-level"] == ("info", "default")
    assert (c["max-requests"], c["queue"]) == (("8", "default"), ("64", "default"))
    assert (c["prefill-share"], c["request-timeout"]) == (("0.3", "default"), ("0", "default"))
    assert c["cache-idle"] == ("3600", "default")


def test_flag_before_environment_before_file_before_default(run, tmp_path):
    (tmp_path / "c.json").write_text(json.dumps({"port": 1, "queue": 2, "host": "::1", "backend": "ref"}))
    words = ("serve", "--print-config", "--config", "c.json")
    c = config_of(run(*words, "--port", "3", env={"PENSIEVE_PORT": "4", "PENSIEVE_QUEUE": "5"}))
    assert c["port"] == ("3", "flag --port")
    assert c["queue"] == ("5", "environment PENSIEVE_QUEUE")
    assert c["host"] == ("::1", "config file c.json")
    assert c["max-requests"] == ("8", "default")


@pytest.mark.parametrize("env,flag,value", [("MODEL_PATH", "model", "/x"), ("GPU_MEMORY_LIMIT", "memory-limit", "80%"),
                                            ("MAX_CONTEXT_LENGTH", "ctx", "4096"), ("LOG_LEVEL", "log-level", "debug"),
                                            ("PENSIEVE_MODELS", "models-dir", "/m"), ("PENSIEVE_KV", "kv", "bf16"),
                                            ("PENSIEVE_INSECURE_LISTEN", "insecure-listen", "1"),
                                            ("PENSIEVE_PREFILL_SHARE", "prefill-share", "0.5"),
                                            ("PENSIEVE_REQUEST_TIMEOUT", "request-timeout", "90"),
                                            ("PENSIEVE_MAX_REQUESTS", "max-requests", "1")])
def test_names_in_the_environment(run, env, flag, value):
    c = config_of(run("serve", "--print-config", env={env: value}))
    assert c[flag] == (value, f"environment {env}")


def test_an_empty_variable_is_not_set(run):
    assert config_of(run("serve", "--print-config", env={"PENSIEVE_PORT": ""}))["port"] == ("8000", "default")


def test_config_file_keys_may_be_spelt_in_three_ways(run, tmp_path):
    (tmp_path / "c.json").write_text('{"MAX_CONTEXT_LENGTH": 64, "max_requests": 3, "log-level": "warn", "seed": 1}')
    c = config_of(run("serve", "--print-config", env={"PENSIEVE_CONFIG": "c.json"}))
    assert c["ctx"][0] == "64" and c["max-requests"][0] == "3" and c["log-level"][0] == "warn"


def test_a_key_is_never_shown(run):
    r = run("serve", "--print-config", env={"PENSIEVE_API_KEY": "very-secret"})
    assert b"very-secret" not in r.stdout + r.stderr
    assert config_of(r)["api-key"] == ("(hidden)", "environment PENSIEVE_API_KEY")


def test_forms_of_flags(run):
    c = config_of(run("serve", "--print-config", "--port=9", "--insecure-listen", "--queue", "0"))
    assert (c["port"][0], c["insecure-listen"][0], c["queue"][0]) == ("9", "true", "0")


@pytest.mark.parametrize("size", ["1", "500000000", "8G", "8g", "1.5GiB", "12KB", "100%", "0.5%"])
def test_sizes(run, size):
    assert config_of(run("serve", "--print-config", env={"GPU_MEMORY_LIMIT": size}))["memory-limit"][0] == size


@pytest.mark.parametrize("words,said", [
    (("serve", "--prot", "1"), "did you mean --port"),
    (("serve", "--threds", "1"), "did you mean --threads"),
    (("run", "--max-tok", "1"), "did you mean --max-tokens"),
    (("tokens", "--zzzzzz"), "pensieve tokens --help"),
    (("serve", "--api-key", "x"), "no flag --api-key"),
    (("serve", "-p", "1"), "two dashes"),
    (("serve", "--port"), "--port N"),
    (("serve", "--port", "65536"), "from 0 to 65535"),
    (("serve", "--port", "1.5"), "whole number"),
    (("serve", "--port", "0x10"), "whole number"),
    (("serve", "--port", "nan"), "whole number"),
    (("serve", "--port="), "whole number"),
    (("serve", "--port", "-1"), "whole number"),
    (("serve", "--backend", "gpu"), "unknown backend 'gpu': expected auto, cpu, ref, or the name of a module"),
    (("serve", "--kv", "f1"), "f16"),
    (("logits", "--activations", "int4"), "int16"),
    (("serve", "--memory-limit", "lots"), "8G"),
    (("serve", "--memory-limit", "0"), "8G"),
    (("serve", "--memory-limit", "101%"), "8G"),
    (("serve", "--memory-limit", "-1G"), "8G"),
    (("serve", "--max-requests", "0"), "from 1 to 4096"),
    (("serve", "--queue", "-1"), "from 0 to 100000"),
    (("serve", "--prefill-share", "0.04"), "from 0.05 to 0.9"),
    (("serve", "--prefill-share", "0.91"), "from 0.05 to 0.9"),
    (("serve", "--request-timeout", "0.5"), "whole number from 0 to 86400"),
    (("serve", "--request-timeot", "1"), "did you mean --request-timeout"),
    (("serve", "--insecure-listen=perhaps"), "true or false"),
    (("serve", "surplus"), "surplus"),
    (("run", "two", "prompts"), "prompts"),
    (("run", "--temperature", "-1", "x"), "from 0 to 100"),
    (("run", "--top-p", "0", "x"), "top-p"),
    (("serve", "--tls-cert", "x"), "--tls-key"),
    (("serve", "--host", "0.0.0.0"), "--insecure-listen"),
    (("serve", "--host", "127.0.0.1.example"), "--insecure-listen"),
    (("serve", "--config", "gone.json"), "gone.json"),
    (("logits", "--ids", "1"), "--out"),
    (("logits", "--out", "x"), "--ids"),
    (("logits", "--out", "x", "--ids", "1", "--ids-file", "f"), "either"),
    (("logits", "--out", "x", "--ids", "1,a"), "\"a\" at byte 2"),
    (("logits", "--out", "x", "--ids", "99999999999"), "too large"),
    (("perplexity",), "a file"),
    (("bench", "--streams", "1,,2"), "--streams"),
    (("bench", "--streams", "0"), "--streams"),
    (("bench", "--streams", "257"), "1 to 256"),
    (("srve",), "did you mean serve"),
    (("quux",), "the verbs are serve, run, list"),
])
def test_wrong_usage_says_what_is_right(run, words, said):
    r = run(*words)
    assert r.returncode == 2, r.stderr
    assert r.stdout == b""
    assert said in r.stderr.decode()
    assert r.stderr.count(b"\n") == 1


def test_wrong_values_name_their_source(run, tmp_path):
    assert b"MAX_CONTEXT_LENGTH in the environment" in run("serve", env={"MAX_CONTEXT_LENGTH": "many"}).stderr
    (tmp_path / "c.json").write_text('{"port": "high"}')
    r = run("serve", "--config", "c.json")
    assert r.returncode == 2 and b'c.json: "port": expected' in r.stderr


@pytest.mark.parametrize("text,said", [("{", "line 1"), ("[]", "an array"), ('{"prot": 1}', 'did you mean "port"'),
                                       ('{"port": [1]}', "an array"), ('{"port": null}', "null"), ("", "not valid JSON")])
def test_wrong_configuration_files(run, tmp_path, text, said):
    (tmp_path / "c.json").write_text(text)
    r = run("serve", "--config", "c.json")
    assert r.returncode == 2 and said in r.stderr.decode() and "c.json" in r.stderr.decode()


def test_help(run):
    r = run()
    assert r.returncode == 0 and b"pensieve serve --model" in r.stdout
    assert run("--help").stdout == r.stdout
    for verb in ("serve", "run", "list", "inspect", "tokens", "template", "logits", "perplexity", "bench", "version", "claude"):
        h = run(verb, "--help")
        assert h.returncode == 0 and b"example: " in h.stdout and f"  {verb} ".encode() in r.stdout
    assert b"MAX_CONTEXT_LENGTH" in run("serve", "--help").stdout


def test_version(run):
    text = run("version").stdout.decode()
    assert text.startswith("pensieve ") and "commit " in text and "cpu, ref" in text
    v = json.loads(run("version", "--json").stdout)
    assert v["backends"] == ["cpu", "ref"] and "scalar" in v["isas"] and v["version"] == text.split()[1].rstrip(",")
    assert v["threads"] >= 1 and f"threads {v['threads']}: {v['threads_why']}\n" in text


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no masks of processors here")
def test_threads_keep_to_the_mask(run):
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(own)})
    try:
        v = json.loads(run("version", "--json").stdout)
    finally:
        os.sched_setaffinity(0, own)
    assert v["threads"] == 1 and v["threads_why"].startswith("one for each of 1 core")
    assert ("bound to 1 of" in v["threads_why"]) == (os.cpu_count() > 1)
