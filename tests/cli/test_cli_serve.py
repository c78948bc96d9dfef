"""serve: what it says, memory limits, ports, signals."""

import json
import re
import signal
import subprocess
import urllib.request

import pytest


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
    (tmp_path / "key").write_text("s3cret\nnot this\n")
    (tmp_path / "key").chmod(0o600)
    _, lines = start("--model", default_model, "--port", "0", "--api-key-file", tmp_path / "key")
    assert not any("s3cret" in line for line in lines)
    url = lines[0].removeprefix("listening on ")
    with pytest.raises(urllib.error.HTTPError) as e:
        get(url + "/v1/models")
    assert e.value.code == 401
    assert get(url + "/v1/models", **{"x-api-key": "s3cret"})[0] == 200


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
    # 300 MiB less the weights and 64 MiB to work with, at 46,080 bytes a token.
    assert fits == (300 * 2**20 - 98362432 - 64 * 2**20) // (30 * 3 * 64 * 2 * 2) // 32 * 32
    r = run("serve", "--model", default_model, "--ctx", "8192", "--port", "0", env={"MAX_CONTEXT_LENGTH": "64", **limit})
    assert r.returncode == 4  # the flag wins


def test_a_default_context_is_reduced_and_said(start, default_model):
    p, lines = start("--model", default_model, "--port", "0", env={"GPU_MEMORY_LIMIT": "200M"})
    n = int(re.search(r"(\d+) tokens of context", lines[1]).group(1))
    assert 32 <= n < 8192


def test_weights_that_do_not_fit(run, default_model):
    r = run("serve", "--model", default_model, "--port", "0", env={"GPU_MEMORY_LIMIT": "100M"})
    assert r.returncode == 4 and b"weights" in r.stderr


def test_a_context_beyond_the_model(run, default_model):
    r = run("serve", "--model", default_model, "--port", "0", env={"MAX_CONTEXT_LENGTH": "8193"})
    assert r.returncode == 2 and b"8192" in r.stderr and b"MAX_CONTEXT_LENGTH" in r.stderr


def test_all_addresses_with_leave(start, default_model):
    _, lines = start("--model", default_model, "--port", "0", "--host", "127.0.0.2")
    assert lines[0].startswith("listening on http://127.0.0.2:")
