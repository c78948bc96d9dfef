"""Requests that are sent again, and what logs say, with the real server and model."""

import json
import socket
import time
import urllib.request

import pytest

from conftest import Server

STORY = {"model": "m", "max_tokens": 250, "messages": [{"role": "user", "content": "Write a long story about a dragon."}]}


def connect(server, body, *headers):
    data = json.dumps(body).encode()
    s = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    lines = ["POST /v1/messages HTTP/1.1", "Host: localhost", f"Content-Length: {len(data)}", *headers]
    s.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
    return s


def read_until(s, mark):
    got = b""
    while mark not in got:
        part = s.recv(65536)
        assert part, got
        got += part
    return got


def text_of(stream):
    out = ""
    for line in stream.decode().splitlines():
        if line.startswith("data: ") and '"text_delta"' in line:
            out += json.loads(line[6:])["delta"]["text"]
    return out


@pytest.fixture(scope="module")
def server(pensieve, default_model, tmp_path_factory):
    s = Server(pensieve, default_model, tmp_path_factory.mktemp("resends") / "log", "--resend-wait", "3",
               "--requests-per-minute", "1000")
    yield s
    assert s.stop() == 0


def test_a_client_that_comes_back_gets_the_same_answer(server):
    """Drawn answers, so that nothing but the same generation can give the same text."""
    with connect(server, {**STORY, "stream": True}) as s:
        first = text_of(read_until(s, b"content_block_delta") + s.recv(65536))
    held = server.wait_log(lambda l: l["message"] == "generation held")
    time.sleep(0.5)
    assert json.load(urllib.request.urlopen(server.url + "/health"))["running"] == 0  # the engine rests
    with connect(server, {**STORY, "stream": True}) as s:
        second = text_of(read_until(s, b"message_stop"))
    assert len(second) > len(first) and second.startswith(first)
    server.wait_log(lambda l: l["message"] == "joined a running generation" and
                    l["first_request"] == held["request_id"])


def test_a_repeat_beside_the_first(server):
    body = {**STORY, "max_tokens": 150, "system": "Two clients."}
    with connect(server, {**body, "stream": True}) as a:
        read_until(a, b"content_block_delta")
        with connect(server, body, "X-Stainless-Retry-Count: 1") as b:
            whole = b.makefile("rb")
            head = whole.read(1)
            while not head.endswith(b"\r\n\r\n"):
                head += whole.read(1)
            n = int(next(l for l in head.decode().splitlines() if l.lower().startswith("content-length")).split(":")[1])
            answer = json.loads(whole.read(n))
        rest = read_until(a, b"message_stop")
    assert answer["content"][0]["text"].endswith(text_of(rest))


def test_nobody_came_back(server):
    with connect(server, {**STORY, "system": "Nobody.", "stream": True}) as s:
        read_until(s, b"content_block_delta")
    held = server.wait_log(lambda l: l["message"] == "generation held" and l["output_tokens"] < 250 and
                           not any(k["message"] == "generation resumed" and k["request_id"] == l["request_id"]
                                   for k in server.log()))
    server.wait_log(lambda l: l["message"] == "generation cancelled" and l["request_id"] == held["request_id"], timeout=10)


def test_prompts_are_in_no_line_below_trace(pensieve, default_model, tmp_path):
    secret = "xyzzy-plugh-42"
    body = json.dumps({"model": "m", "max_tokens": 3, "messages": [{"role": "user", "content": f"Say {secret}"}]}).encode()
    for level, shown in (("debug", False), ("trace", True)):
        s = Server(pensieve, default_model, tmp_path / level, "--log-level", level)
        urllib.request.urlopen(urllib.request.Request(s.url + "/v1/messages", data=body), timeout=60).read()
        s.stop()
        assert (secret in s.log_path.read_text()) == shown
