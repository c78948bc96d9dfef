"""serve: what it says, memory limits, ports, signals."""

import json
import re
import signal
import subprocess
import urllib.request

import pytest


TOKEN_BYTES = 30 * 3 * 64 * 2 * 2  # of the KV cache of SmolLM2 as f16


def get(url, **headers):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as r:
        return r.status, r.read()


def test_says_where_it_listens_and_ends_at_a_signal(start, default_model):
    p, lines = start("--model", default_model, "--port", "0")
    url = re.fullmatch(r"listening on (http://127\.0\.0\.1:\d+)", lines[0]).group(1)
    assert lines[1].startswith("model SmolLM2-135M-Instruct.Q4_1: llama, Q4_1") and "8192 tokens" in lines[1]
    assert f"export ANTHROPIC_BASE_URL={url} ANTHROPIC_API_KEY=" in lines[2]
    assert lines[3].startswith(f"try: curl {url}/v1/messages ")
    assert get(url + "/health")[0] == 200
    p.send_signal(signal.SIGTERM)
    assert p.wait(20) == 0


def test_the_curl_line_works(start, default_model):
    _, lines = start("--model", default_model, "--port", "0")
    r = subprocess.run(lines[3].removeprefix("try: ") + " -sS", shell=True, capture_output=True, timeout=120)
    answer = json.loads(r.stdout)
    assert answer["type"] == "message" and answer["content"][0]["text"]


def test_a_taken_port(run, default_model, taken_port):
    r = run("serve", "--model", default_model, "--port", taken_port)
    assert r.returncode == 5 and str(taken_port).encode() in r.stderr


def test_api_key(start, default_model, tmp_path):
    (tmp_path / "key").write_text("# keys\ns3cret\nlaptop other\n")
    (tmp_path / "key").chmod(0o600)
    _, lines = start("--model", default_model, "--port", "0", "--api-key-file", tmp_path / "key")
    assert not any("s3cret" in line for line in lines)
    url = lines[0].removeprefix("listening on ")
    with pytest.raises(urllib.error.HTTPError) as e:
        get(url + "/v1/models")
    assert e.value.code == 401
    for key in ("s3cret", "other"):
        assert get(url + "/v1/models", **{"x-api-key": key})[0] == 200


def test_lists_of_names(run, start, default_model):
    _, lines = start("--model", default_model, "--port", "0", "--alias", "one, two", "--strict-model")
    url = lines[0].removeprefix("listening on ")
    data = json.loads(get(url + "/v1/models")[1])["data"]
    assert [m["id"] for m in data][1:] == ["one", "two"]
    for flag, value, word in (("--alias", ",", b"names"), ("--cors-origin", "example.com", b"https://example.com:8080"),
                              ("--cors-origin", "https://a.b/path", b"origin"), ("--max-body", "50%", b"32M")):
        r = run("serve", "--model", default_model, flag, value)
        assert r.returncode == 2 and word in r.stderr, r.stderr


def test_an_empty_key_file_is_refused(run, default_model, tmp_path):
    (tmp_path / "key").write_text("\n")
    r = run("serve", "--model", default_model, "--api-key-file", "key")
    assert r.returncode == 2 and b"key" in r.stderr
    assert run("serve", "--model", default_model, "--api-key-file", "gone").returncode == 2


def test_a_context_that_does_not_fit_is_refused_with_what_would(run, default_model):
    limit = {"GPU_MEMORY_LIMIT": "300M"}
    r = run("serve", "--model", default_model, "--ctx", "8192", "--port", "0", env=limit)
    assert r.returncode == 4
    text = r.stderr.decode()
    assert "8192" in text and "GPU_MEMORY_LIMIT" in text
    fits = int(re.search(r"--ctx (\d+)", text).group(1))
    assert 0 < fits < 8192 and fits % 32 == 0
    # 300 MiB less the weights and 64 MiB to work with.
    assert fits == (300 * 2**20 - 98362432 - 64 * 2**20) // TOKEN_BYTES // 32 * 32
    r = run("serve", "--model", default_model, "--ctx", "8192", "--port", "0", env={"MAX_CONTEXT_LENGTH": "64", **limit})
    assert r.returncode == 4  # the flag wins


def test_a_refusal_shows_every_number(run, default_model):
    r = run("serve", "--model", default_model, "--ctx", "8192", "--kv", "f32", "--port", "0",
            env={"GPU_MEMORY_LIMIT": "400M"})
    text = r.stderr.decode()
    assert r.returncode == 4 and text.count("\n") == 1
    assert "8192 tokens needs 377 MB for the KV cache (f32), 98.4 MB for the weights" in text
    assert "67.1 MB of scratch" in text and "419 MB are allowed by GPU_MEMORY_LIMIT" in text
    fits = int(re.search(r"--ctx (\d+)", text).group(1))
    assert fits == (400 * 2**20 - 98362432 - 64 * 2**20) // (TOKEN_BYTES * 2) // 32 * 32
    assert text.endswith("or all with --kv f16\n")
    # What it says is true.
    env = {"GPU_MEMORY_LIMIT": "400M", "MAX_CONTEXT_LENGTH": "8192"}
    assert run("run", "--model", default_model, "--kv", "f16", "--max-tokens", "1", "Hi", env=env).returncode == 0


def test_a_default_context_is_reduced_and_said(start, default_model):
    p, lines = start("--model", default_model, "--port", "0", env={"GPU_MEMORY_LIMIT": "200M"})
    n = int(re.search(r"(\d+) tokens of context", lines[1]).group(1))
    assert 32 <= n < 8192
    assert f"the context is reduced from the model's 8192 to {n} tokens" in p.plan[0]
    assert f"pool of {n} tokens" in p.plan[2] and f"shared by 8 requests of up to {n}" in p.plan[2]


def pool_of(plan):
    """Tokens of the plan's pool; its other numbers are checked to agree."""
    assert len(plan) == 4 and all(line.startswith("memory: ") for line in plan), plan
    assert plan[0] == "memory: 98.4 MB of weights, mapped from the file"
    tokens, each, kind = re.search(r"KV pool of (\d+) tokens, (\d+) bytes each \((\w+)\)", plan[1]).groups()
    assert (int(each), kind) == (TOKEN_BYTES, "f16")
    assert "steps, logits and outboxes" in plan[2]
    return int(tokens)


@pytest.mark.parametrize("limit,words,tokens", [
    ("8G", (), 8 * 8192),
    ("8G", ("--max-requests", "3"), 3 * 8192),
    ("8G", ("--ctx", "100"), 8 * 128),
    ("700M", (), (700 * 2**20 - 98362432 - 64 * 2**20) // TOKEN_BYTES // 32 * 32),
    ("345M", ("--ctx", "8192"), (345 * 2**20 - 98362432 - 64 * 2**20) // TOKEN_BYTES // 32 * 32),
])
def test_the_plan(start, default_model, limit, words, tokens):
    p, lines = start("--model", default_model, "--port", "0", *words, env={"GPU_MEMORY_LIMIT": limit})
    assert pool_of(p.plan) == tokens
    assert p.plan[3].endswith(" are allowed by GPU_MEMORY_LIMIT in the environment")


def test_the_plan_counts_what_many_requests_need(start, default_model):
    p, _ = start("--model", default_model, "--port", "0", "--max-requests", "256", "--ctx", "64")
    value, unit = re.search(r"memory: ([\d.]+) (\w+) of scratch", p.plan[2]).groups()
    assert unit == "MB" and float(value) > 256 * 49152 * 4 / 1e6
    assert " are available on this machine" in p.plan[3]


def test_weights_that_do_not_fit(run, default_model):
    r = run("serve", "--model", default_model, "--port", "0", env={"GPU_MEMORY_LIMIT": "100M"})
    assert r.returncode == 4 and b"weights" in r.stderr


def test_a_context_beyond_the_model(run, default_model):
    r = run("serve", "--model", default_model, "--port", "0", env={"MAX_CONTEXT_LENGTH": "65537"})
    assert r.returncode == 2 and b"8192" in r.stderr and b"MAX_CONTEXT_LENGTH" in r.stderr


def test_all_addresses_with_leave(start, default_model):
    _, lines = start("--model", default_model, "--port", "0", "--host", "127.0.0.2")
    assert lines[0].startswith("listening on http://127.0.0.2:")


def test_the_log_says_how_many_threads_and_why(start, default_model):
    p, _ = start("--model", default_model, "--port", "0")
    line = p.stderr.readline()
    assert re.search(r"threads.*threads=\d+.*why=.one for each of \d+ ", line), line
    p, _ = start("--model", default_model, "--port", "0", "--threads", "1", "--log-level", "debug")
    p.terminate()
    assert "one for each of" not in p.stderr.read()
