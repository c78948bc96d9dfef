"""Start, limits and end of `pensieve serve`."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time
import urllib.request

import anthropic
import pytest

from conftest import Server


def test_ready_in_half_a_second_and_small(pensieve, default_model, tmp_path):
    """Start and memory: weights + KV + 64 MB (the target), read from the system."""
    Server(pensieve, default_model, tmp_path / "warm").stop()
    s = Server(pensieve, default_model, tmp_path / "log", "--ctx", "2048")
    try:
        assert s.ready_s < 2  # the target of 0.5 s is for a quiet machine: docs/SPEED.md holds the measurement
        body = json.dumps({"model": "m", "max_tokens": 64, "messages": [{"role": "user", "content": "word " * 1500}]})
        urllib.request.urlopen(urllib.request.Request(s.url + "/v1/messages", body.encode()), timeout=60).read()
        kv = 2048 * 2 * 30 * 3 * 64 * 2
        assert s.rss_kb() * 1024 < os.path.getsize(default_model) + kv + (64 << 20)
    finally:
        assert s.stop() == 0



def mapped_kb(server, path):
    """How much of the process's address space lies in that file."""
    kb = 0
    for line in pathlib.Path(f"/proc/{server.process.pid}/maps").read_text().splitlines():
        if line.endswith(str(path)):
            begin, end = line.split()[0].split("-")
            kb += (int(end, 16) - int(begin, 16)) // 1024
    return kb


def test_weights_lie_where_they_are_to(pensieve, default_model, tmp_path):
    size_kb, texts = os.path.getsize(default_model) // 1024, set()
    for flags, in_file in ((["--weights", "map", "--prefault"], True), (["--weights", "huge"], False),
                           (["--weights", "huge", "--lock-memory"], False)):
        s = Server(pensieve, default_model, tmp_path / "log", *flags)
        try:
            assert (mapped_kb(s, default_model) >= size_kb) == in_file and (in_file or mapped_kb(s, default_model) == 0)
            body = {"model": "m", "max_tokens": 24, "temperature": 0, "messages": [{"role": "user", "content": "Tell me of ships."}]}
            request = urllib.request.Request(s.url + "/v1/messages", json.dumps(body).encode())
            with urllib.request.urlopen(request) as r:
                texts.add(json.load(r)["content"][0]["text"])
            locked = next(l for l in pathlib.Path(f"/proc/{s.process.pid}/status").read_text().splitlines() if l.startswith("VmLck"))
            assert (int(locked.split()[1]) >= size_kb) == ("--lock-memory" in flags)
        finally:
            assert s.stop() == 0
    assert len(texts) == 1


def test_sigterm_drains_a_running_stream(pensieve, default_model, tmp_path):
    s = Server(pensieve, default_model, tmp_path / "log")
    client = anthropic.Anthropic(base_url=s.url, api_key="x", max_retries=0)
    started, result = threading.Event(), {}

    def stream():
        with client.messages.stream(model="m", max_tokens=120, extra_body={"temperature": 0},
                                    messages=[{"role": "user", "content": "Write a story about a fox."}]) as st:
            for _ in st.text_stream:
                started.set()
            result["message"] = st.get_final_message()

    t = threading.Thread(target=stream)
    t.start()
    assert started.wait(20)
    s.process.send_signal(signal.SIGTERM)
    with pytest.raises(OSError):  # no new work
        time.sleep(0.2)
        socket.create_connection(("127.0.0.1", s.port), timeout=2).close()
    t.join(60)
    assert result["message"].stop_reason in ("end_turn", "max_tokens")
    assert s.process.wait(20) == 0


def test_a_second_signal_ends_at_once(pensieve, default_model, tmp_path):
    s = Server(pensieve, default_model, tmp_path / "log")
    body = json.dumps({"model": "m", "max_tokens": 500, "stream": True, "messages": [
        {"role": "user", "content": "the cat sat on the mat. " * 1000}]}).encode()  # seconds of prefill
    c = socket.create_connection(("127.0.0.1", s.port))
    c.sendall(b"POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    c.recv(1000)
    s.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert s.process.poll() is None
    at = time.monotonic()
    s.process.send_signal(signal.SIGTERM)
    s.process.wait(5)
    assert time.monotonic() - at < 2
    c.close()


def sent(port, body):
    """A socket with a POST /v1/messages on its way."""
    c = socket.create_connection(("127.0.0.1", port))
    body = json.dumps(body).encode()
    c.sendall(b"POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    return c


def everything(c):
    got = b""
    while more := c.recv(65536):
        got += more
    return got


STORY = {"model": "m", "max_tokens": 4000, "temperature": 0,
         "messages": [{"role": "user", "content": "Write a very long story about a fox."}]}


def test_the_end_of_the_drain_is_an_error_event(pensieve, default_model, tmp_path):
    s = Server(pensieve, default_model, tmp_path / "log", "--drain", "1")
    stream, whole = sent(s.port, {**STORY, "stream": True}), sent(s.port, STORY)
    stream.recv(200)
    while "\npensieve_requests_running 2\n" not in urllib.request.urlopen(s.url + "/metrics").read().decode():
        time.sleep(0.02)
    at = time.monotonic()
    s.process.send_signal(signal.SIGTERM)
    got, status = everything(stream), everything(whole)
    assert s.process.wait(10) == 0
    assert 0.9 < time.monotonic() - at < 4
    if b"message_stop" not in got:  # not already at its end
        assert b"event: error\ndata: " in got and b"the server is shutting down" in got and got.endswith(b"0\r\n\r\n")
    assert status.startswith(b"HTTP/1.1 503 ") and b"\r\nretry-after: 5\r\n" in status.lower()
    assert b'"type":"overloaded_error"' in status
    stream.close(), whole.close()


def test_a_full_queue_says_when_to_come_again(pensieve, default_model, tmp_path):
    s = Server(pensieve, default_model, tmp_path / "log", "--max-requests", "1", "--queue", "0", "--drain", "0")
    try:
        first = sent(s.port, {**STORY, "stream": True})
        while b"text_delta" not in first.recv(65536):
            pass
        answer = b""
        with sent(s.port, STORY) as c:
            while b'"request_id"' not in answer:
                answer += c.recv(65536)
        head, body = answer.split(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 529 ") and json.loads(body)["error"]["type"] == "overloaded_error"
        headers = dict(line.lower().split(": ") for line in head.decode().split("\r\n")[1:])
        assert 1 <= int(headers["retry-after"]) <= 60
        first.close()
    finally:
        assert s.stop() == 0


def test_a_kill_leaves_nothing_in_the_way(pensieve, default_model, tmp_path):
    """The same port, and the same socket path, right behind a SIGKILL in the middle of a stream."""
    path = tmp_path / "p.sock"
    for flags in ((), ("--unix", str(path))):
        if flags:
            process = subprocess.Popen([pensieve, "serve", "--model", default_model, *flags], stderr=subprocess.DEVNULL)
        else:
            s = Server(pensieve, default_model, tmp_path / "log")
            process = s.process
            stream = sent(s.port, {**STORY, "stream": True})
            stream.recv(200)
        while flags and not answers(path):
            assert process.poll() is None
            time.sleep(0.02)
        process.kill()
        assert process.wait(10) == -signal.SIGKILL
        if flags:
            assert path.exists() and not answers(path)
            process = subprocess.Popen([pensieve, "serve", "--model", default_model, *flags], stderr=subprocess.DEVNULL)
            while not answers(path):
                assert process.poll() is None
                time.sleep(0.02)
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0 and not path.exists()
        else:
            again = Server(pensieve, default_model, tmp_path / "log2", port=s.port)
            assert again.stop() == 0
            stream.close()


def answers(path):
    with socket.socket(socket.AF_UNIX) as c:
        try:
            c.connect(str(path))
        except OSError:
            return False
        c.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return c.recv(100).startswith(b"HTTP/1.1 200")


def test_a_taken_port_is_one_clear_line(pensieve, default_model, server):
    r = subprocess.run([pensieve, "serve", "--model", default_model, "--port", str(server.port)], capture_output=True,
                       text=True, timeout=30)
    assert r.returncode == 5
    assert str(server.port) in r.stderr and "in use" in r.stderr


def test_an_api_key_is_asked_for(pensieve, default_model, tmp_path):
    key = tmp_path / "key"
    key.write_text("secret-key\n")
    s = Server(pensieve, default_model, tmp_path / "log", "--api-key-file", str(key))
    try:
        messages = [{"role": "user", "content": "hi"}]
        with pytest.raises(anthropic.AuthenticationError):
            anthropic.Anthropic(base_url=s.url, api_key="wrong", max_retries=0).messages.create(
                model="m", max_tokens=1, messages=messages)
        for kind in ({"api_key": "secret-key"}, {"auth_token": "secret-key"}):
            m = anthropic.Anthropic(base_url=s.url, max_retries=0, **kind).messages.create(
                model="m", max_tokens=1, messages=messages)
            assert m.usage.output_tokens == 1
    finally:
        s.stop()
