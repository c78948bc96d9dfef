"""GET /metrics of a real server: the figures agree with what clients were told."""

import concurrent.futures
import json
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from conftest import Server

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def scrape(server, **headers):
    with urllib.request.urlopen(urllib.request.Request(server.url + "/metrics", headers=headers), timeout=10) as r:
        assert r.status == 200 and r.headers["Content-Type"] == CONTENT_TYPE
        return r.read().decode()


def read(text):
    """{"name{labels}": value}, each once."""
    values = {}
    for line in text.splitlines():
        if line.startswith("#"):
            assert re.fullmatch(r"# (HELP|TYPE) [a-zA-Z_:][a-zA-Z0-9_:]* \S.*", line), line
            continue
        m = re.fullmatch(r'([a-zA-Z_:][a-zA-Z0-9_:]*(?:\{(?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*\})?) (\S+)', line)
        assert m, line
        assert m[1] not in values, line
        values[m[1]] = float(m[2])
    return values


class Growth:
    """What series grew by since this was made."""

    def __init__(self, server):
        self.server = server
        self.before = read(scrape(server))

    def now(self):
        now = read(scrape(self.server))
        assert now.keys() == self.before.keys()  # all series are there from the start
        return {k: v - self.before[k] for k, v in now.items()}


@pytest.fixture(scope="module")
def counted(pensieve, default_model, tmp_path_factory):
    """A server of this file's own: nobody else's requests are counted."""
    s = Server(pensieve, default_model, tmp_path_factory.mktemp("metrics") / "log", "--ctx", "2048", "--resend-wait", "0")
    yield s
    assert s.stop() == 0


def post(server, **body):
    body = {"model": "m", "max_tokens": 12, "temperature": 0, **body}
    request = urllib.request.Request(server.url + "/v1/messages", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=60) as r:
        return json.load(r)


def ask(server, text, **more):
    return post(server, messages=[{"role": "user", "content": text}], **more)


def prompt_tokens(answer):
    u = answer["usage"]
    return u["input_tokens"] + u["cache_read_input_tokens"] + u["cache_creation_input_tokens"]


def test_counters_agree_with_usage(counted):
    growth = Growth(counted)
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda n: ask(counted, f"Count to {n}.", max_tokens=n), (3, 5, 7)))
        answers += [ask(counted, "What is the capital of France?", max_tokens=60)]
    n, prompt = len(answers), sum(map(prompt_tokens, answers))
    output = sum(a["usage"]["output_tokens"] for a in answers)
    cached = sum(a["usage"]["cache_read_input_tokens"] for a in answers)
    long = sum(a["stop_reason"] == "max_tokens" for a in answers)
    g = growth.now()
    for name in ("pensieve_prompt_tokens_total", "vllm:prompt_tokens_total", "vllm:prefix_cache_queries_total"):
        assert g[name] == prompt, name
    for name in ("pensieve_generated_tokens_total", "vllm:generation_tokens_total", "pensieve_output_tokens_sum"):
        assert g[name] == output, name
    for name in ("pensieve_cached_tokens_total", "vllm:prefix_cache_hits_total", "pensieve_prefix_hit_tokens_sum"):
        assert g[name] == cached, name
    assert g['vllm:request_success_total{finished_reason="length"}'] == long
    assert g['vllm:request_success_total{finished_reason="stop"}'] == n - long
    assert g['pensieve_requests_total{end="max_tokens"}'] == long
    assert g['pensieve_requests_total{end="end_turn"}'] == n - long
    assert g['pensieve_http_requests_total{path="/v1/messages",status="200"}'] == n
    assert g['pensieve_http_requests_total{path="/metrics",status="200"}'] == 1  # the scrape before
    assert sum(v for k, v in g.items() if k.startswith("pensieve_http_errors_total")) == 0
    assert g["process_cpu_seconds_total"] > 0 and g["process_start_time_seconds"] == 0


def test_histograms_of_time(counted):
    growth = Growth(counted)
    at = time.monotonic()
    answers = [ask(counted, f"Tell me about the number {i}.", max_tokens=20) for i in range(3)]
    took = time.monotonic() - at
    output = sum(a["usage"]["output_tokens"] for a in answers)
    g = growth.now()
    for own, known in (("pensieve_queue_seconds", "vllm:request_queue_time_seconds"),
                       ("pensieve_time_to_first_token_seconds", "vllm:time_to_first_token_seconds"),
                       ("pensieve_inter_token_seconds", "vllm:inter_token_latency_seconds"),
                       ("pensieve_request_seconds", "vllm:e2e_request_latency_seconds")):
        count = output - 3 if own == "pensieve_inter_token_seconds" else 3
        for name in (own, known):
            assert g[name + "_count"] == g[name + '_bucket{le="+Inf"}'] == count, name
            assert 0 <= g[name + "_sum"] <= took, name
    total = g["pensieve_request_seconds_sum"]
    assert 0 < g["pensieve_time_to_first_token_seconds_sum"] < total <= took
    parts = g["pensieve_time_to_first_token_seconds_sum"] + g["pensieve_inter_token_seconds_sum"]
    assert parts == pytest.approx(total, abs=0.1)

    kinds = [f'{{kind="{k}"}}' for k in ("decode", "prefill")]
    decode, prefill = kinds
    assert g["pensieve_step_seconds_count" + prefill] >= 3
    steps = g["pensieve_step_seconds_count" + decode]
    right, wrong = (g[f'pensieve_guessed_tokens_total{{result="{r}"}}'] for r in ("right", "wrong"))
    assert steps + right == output - 3
    assert g["pensieve_step_rows_sum" + decode] == steps + right + wrong
    computed = sum(prompt_tokens(a) - a["usage"]["cache_read_input_tokens"] for a in answers)
    assert g["pensieve_step_rows_sum" + prefill] == computed
    assert g["pensieve_step_sequences_count"] == sum(g["pensieve_step_seconds_count" + k] for k in kinds)
    assert 0 < sum(g["pensieve_step_seconds_sum" + k] for k in kinds) <= took


def test_a_prefix_is_found_again(counted):
    text = "A long story: " + "the cat sat on the mat. " * 40
    ask(counted, text, max_tokens=1)
    growth = Growth(counted)
    again = ask(counted, text, max_tokens=1)
    g = growth.now()
    assert again["usage"]["cache_read_input_tokens"] > 200
    assert g["vllm:prefix_cache_hits_total"] == again["usage"]["cache_read_input_tokens"]
    assert g['pensieve_prefix_hit_tokens_bucket{le="128"}'] == 0
    assert g['pensieve_prefix_hit_tokens_bucket{le="2048"}'] == 1


def test_gauges_while_a_request_runs(counted):
    body = json.dumps({"model": "m", "max_tokens": 1500, "stream": True, "temperature": 0, "messages": [
        {"role": "user", "content": "Write a long story about a dragon."}]}).encode()
    growth = Growth(counted)
    with socket.create_connection(("127.0.0.1", counted.port)) as s:
        s.sendall(b"POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        got = b""
        while got.count(b"content_block_delta") < 3:
            got += s.recv(4096)
        v = read(scrape(counted))
        assert v["vllm:num_requests_running"] == v["pensieve_requests_running"] == 1
        assert v["vllm:num_requests_waiting"] == 0
        assert 0 < v["vllm:kv_cache_usage_perc"] <= 1
        check_pages(v)
        assert v['pensieve_kv_pages{state="used"}'] > 0
    gone = 'pensieve_requests_total{end="cancelled"}'
    end = time.monotonic() + 5
    while growth.now()[gone] == 0 and time.monotonic() < end:
        time.sleep(0.02)
    g, v = growth.now(), read(scrape(counted))
    assert g[gone] == 1 and g["pensieve_request_seconds_count"] == 0
    assert v["vllm:num_requests_running"] == v["vllm:kv_cache_usage_perc"] == 0
    check_pages(v)


def check_pages(v):
    info = next(k for k in v if k.startswith("vllm:cache_config_info"))
    pages = int(re.fullmatch(r'vllm:cache_config_info\{block_size="32",num_gpu_blocks="(\d+)"\}', info)[1])
    states = [v[f'pensieve_kv_pages{{state="{s}"}}'] for s in ("used", "cached", "free")]
    assert sum(states) == pages > 0
    assert v["vllm:kv_cache_usage_perc"] == pytest.approx(states[0] / pages)
    token = v["pensieve_kv_bytes_per_token"]
    assert token == 30 * 2 * 3 * 64 * 2  # layers, keys and values, heads, width, f16
    assert [v[f'pensieve_kv_bytes{{state="{s}"}}'] for s in ("used", "cached", "free")] == [n * 32 * token for n in states]
    assert v["pensieve_kv_reserved_bytes"] >= pages * 32 * token


def test_errors_by_type_and_status(counted):
    growth = Growth(counted)
    for path, body, status in (("/v1/messages", b"{", 400), ("/v1/messages", b'{"model":"m"}', 400),
                               ("/nowhere", None, 404), ("/v1/messages", None, 405), ("/v1/models/none", None, 404)):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(urllib.request.Request(counted.url + path, body), timeout=10)
        assert caught.value.code == status
    grown = {k: v for k, v in growth.now().items() if k.startswith("pensieve_http_") and v}
    assert grown == {'pensieve_http_requests_total{path="/v1/messages",status="400"}': 2,
                     'pensieve_http_requests_total{path="/v1/messages",status="405"}': 1,
                     'pensieve_http_requests_total{path="/v1/models/*",status="404"}': 1,
                     'pensieve_http_requests_total{path="other",status="404"}': 1,
                     'pensieve_http_requests_total{path="/metrics",status="200"}': 1,
                     'pensieve_http_errors_total{type="invalid_request_error"}': 3,
                     'pensieve_http_errors_total{type="not_found_error"}': 2}


def test_the_process(counted):
    v = read(scrape(counted))
    assert v["process_resident_memory_bytes"] == pytest.approx(counted.rss_kb() * 1024, rel=0.1)
    assert abs(v["process_open_fds"] - counted.n_descriptors()) <= 2  # connections come and go
    assert time.time() - 600 < v["process_start_time_seconds"] < time.time() + 1
    assert v["pensieve_weights_bytes"] > 50e6
    assert [n for k, n in v.items() if k.startswith('pensieve_build_info{version="') and 'backend="cpu' in k] == [1]


def test_metrics_want_the_key(pensieve, default_model, tmp_path):
    key = tmp_path / "key"
    key.write_text("secret-key\n")
    key.chmod(0o600)
    s = Server(pensieve, default_model, tmp_path / "log", "--ctx", "512", "--api-key-file", str(key))
    try:
        with pytest.raises(urllib.error.HTTPError) as caught:
            scrape(s)
        assert caught.value.code == 401
        v = read(scrape(s, Authorization="Bearer secret-key"))
        assert v['pensieve_http_requests_total{path="/metrics",status="401"}'] == 1
        assert v['pensieve_http_errors_total{type="authentication_error"}'] == 1
    finally:
        assert s.stop() == 0


def test_promtool_finds_nothing_but_the_foreign_names(counted):
    promtool = shutil.which("promtool")
    if not promtool:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    text = scrape(counted)
    r = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=30)
    complaints = (r.stdout + r.stderr).splitlines()
    foreign = [c for c in complaints if c.startswith("vllm:") and "contain ':'" in c]
    assert [c for c in complaints if c not in foreign] == []
    assert r.returncode in (0, 3)  # 3: it parsed, and there are complaints
    assert foreign, "this promtool says nothing of colons; the list above proves nothing then"
