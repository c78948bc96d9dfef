"""A cheap client of the Messages API for measuring: one request a connection, streamed, over asyncio. While an answer
comes it only takes the time of each read and counts the text events in it; everything else is read afterwards.
"""

import asyncio
import json
import os
import pathlib
import re
import shlex
import socket
import subprocess
import time
import urllib.error
import urllib.request

MARK = b"event: content_block_delta"
OVERLAP = len(MARK) - 1

WORDS = """the of and to in is you that it he was for on are as with his they at be this have from or one had by word but
not what all were we when your can said there use an each which she do how their if will up other about out many then them
these so some her would make like him into time has look two more write go see number no way could people my than first
water been call who oil its now find long down day did get come made may part over new sound take only little work know
place year live me back give most very after thing our just name good sentence man think say great where help through much
before line right too mean old any same tell boy follow came want show also around form three small set put end does
another well large must big even such because turn here why ask went men read need land different home us move try kind
hand picture again change off play spell air away animal house point page letter mother answer found study still learn
should world high every near add food between own below country plant last school father keep tree never start city earth
eye light thought head under story saw left few while along might close something seem next hard open example begin life
always those both paper together got group often run""".split()


def words(rng, n):
    """About n tokens of ordinary words: almost every word is one token, and so is the full stop of a sentence."""
    out = []
    while n > 0:
        sentence = rng.choices(WORDS, k=min(n, rng.randint(8, 16)))
        n -= len(sentence) + 1
        sentence[0] = sentence[0].capitalize()
        sentence[-1] += "."
        out += sentence
    return " ".join(out)


def message_body(messages, max_tokens, system=None, **more):
    body = {"model": "local", "max_tokens": max_tokens, "temperature": 0, "stream": True, "messages": messages, **more}
    if system:
        body["system"] = system
    return body


def dechunk(data):
    """The body of a chunked answer, as far as it came, and whether its end came."""
    out, at = [], 0
    while True:
        end = data.find(b"\r\n", at)
        if end < 0:
            return b"".join(out), False
        size = int(data[at:end].split(b";")[0] or b"0", 16)
        if size == 0:
            return b"".join(out), data.find(b"\r\n\r\n", end) >= 0
        out.append(data[end + 2:end + 2 + size])
        at = end + 2 + size + 2
        if at > len(data):
            return b"".join(out), False


def split_answer(raw):
    """Status (0: none came), headers in lower case, body, and whether the body is whole."""
    head, gap, body = raw.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    parts = lines[0].split(b" ", 2)
    if not gap or not parts[0].startswith(b"HTTP/1.") or len(parts) < 2:
        return 0, {}, b"", False
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        headers[name.strip().lower().decode("latin-1")] = value.strip().decode("latin-1")
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body, whole = dechunk(body)
    else:
        whole = len(body) >= int(headers.get("content-length", len(body)))
    return int(parts[1]), headers, body, whole


def read_events(body):
    """What a stream of events said: text, usage, stop_reason, stop_sequence, error, complete."""
    said = {"text": "", "usage": {}, "stop_reason": None, "stop_sequence": None, "error": None, "complete": False}
    text = []
    for frame in body.replace(b"\r\n", b"\n").split(b"\n\n")[:-1]:
        data = b"\n".join(l[5:].lstrip() for l in frame.split(b"\n") if l.startswith(b"data:"))
        try:
            event = json.loads(data) if data else {}
        except ValueError:
            said["error"] = "an event is not JSON"
            continue
        kind = event.get("type")
        if kind == "content_block_delta":
            text.append(event["delta"].get("text", ""))
        elif kind == "message_start":
            said["usage"].update(event["message"].get("usage") or {})
        elif kind == "message_delta":
            said["usage"].update(event.get("usage") or {})
            said["stop_reason"] = event["delta"].get("stop_reason")
            said["stop_sequence"] = event["delta"].get("stop_sequence")
        elif kind == "error":
            said["error"] = event["error"]["type"]
        elif kind == "message_stop":
            said["complete"] = True
    said["text"] = "".join(text)
    return said


class Answer(asyncio.Protocol):
    """One request and what came of it. Times are time.perf_counter() in seconds."""

    def __init__(self, request):
        self.request, self.sent = request, 0.0
        self.times, self.chunks, self.tail = [], [], b""  # one time a text event; events of one read share it
        self.first_event = asyncio.Event()
        self.closed = asyncio.get_running_loop().create_future()
        self.last = 0.0
        self.error, self.text, self.usage = None, "", {}

    def connection_made(self, transport):
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport.write(self.request)

    def data_received(self, data):
        now = time.perf_counter()
        n = data.count(MARK) + (self.tail + data[:OVERLAP]).count(MARK)
        if n:
            self.times += [now] * n
            if not self.first_event.is_set():
                self.first_event.set()
        self.tail = data[-OVERLAP:] if len(data) >= OVERLAP else (self.tail + data)[-OVERLAP:]
        self.last = now
        self.chunks.append(data)

    def connection_lost(self, exc):
        self.first_event.set()
        if not self.closed.done():
            self.closed.set_result(exc)

    def read(self):
        """After the end: what the bytes said."""
        status, _, body, _ = split_answer(b"".join(self.chunks))
        self.chunks = []
        if status != 200:
            self.error = f"status {status}"
            return self
        said = read_events(body)
        self.text, self.usage = said["text"], said["usage"]
        if not said["complete"]:
            self.error = said["error"] or "the stream ended early"
        elif not self.times:
            self.error = "no text"
        return self

    @property
    def n_output(self):
        return self.usage.get("output_tokens") or 0

    @property
    def n_cached(self):
        return self.usage.get("cache_read_input_tokens") or 0

    @property
    def n_prompt(self):
        return (self.usage.get("input_tokens") or 0) + self.n_cached + (self.usage.get("cache_creation_input_tokens") or 0)

    @property
    def ttft(self):
        return self.times[0] - self.sent

    @property
    def e2e(self):
        return self.last - self.sent

    def gaps(self):
        return [b - a for a, b in zip(self.times, self.times[1:])]


class Client:
    def __init__(self, url, timeout=900):
        host, _, port = url.removeprefix("http://").rstrip("/").partition(":")
        self.host, self.port, self.timeout, self.url = host, int(port or 80), timeout, url.rstrip("/")

    async def begin(self, body):
        """Sends a request and returns at once; `finish` waits for its end."""
        data = json.dumps(body).encode()
        request = (f"POST /v1/messages HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nContent-Type: application/json\r\n"
                   f"Connection: close\r\nContent-Length: {len(data)}\r\n\r\n").encode() + data
        answer = Answer(request)
        answer.sent = time.perf_counter()
        try:
            await asyncio.get_running_loop().create_connection(lambda: answer, self.host, self.port)
        except OSError as e:
            answer.error = f"no connection: {e.strerror or e}"
            answer.connection_lost(e)
        return answer

    async def finish(self, answer):
        try:
            await asyncio.wait_for(asyncio.shield(answer.closed), self.timeout)
        except asyncio.TimeoutError:
            answer.transport.abort()
            answer.error = "no end in time"
            return answer
        return answer if answer.error else answer.read()

    async def ask(self, body):
        return await self.finish(await self.begin(body))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """A server under measurement: one that runs (url) or one that is started and ended here (command)."""

    def __init__(self, name, url=None, command=None, log=None):
        self.name, self.process, self.model_bytes, self.url = name, None, None, url
        if command is None:
            return
        port = free_port()
        argv = shlex.split(command.replace("{port}", str(port)))
        if "{port}" not in command:
            argv += ["--port", str(port)]
        files = [os.path.getsize(a) for a in argv[1:] if os.path.isfile(a)]
        self.model_bytes = max(files, default=None)
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log or subprocess.DEVNULL,
                                        stderr=log or subprocess.DEVNULL)

    def wait_ready(self, seconds=120):
        end = time.monotonic() + seconds
        while True:
            try:
                with urllib.request.urlopen(self.url + "/health", timeout=2) as r:
                    if r.status == 200:
                        return
            except urllib.error.HTTPError as e:
                if e.code != 503:
                    return  # it answers
            except OSError:
                pass
            if self.process and self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with status {self.process.returncode} before it was ready")
            if time.monotonic() > end:
                raise RuntimeError(f"{self.name} is not ready after {seconds} s")
            time.sleep(0.02)

    def proc_status(self):
        """Bytes by name from /proc/PID/status (VmRSS, VmHWM, RssAnon, RssFile); empty for a server not started here."""
        try:
            lines = pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        except (OSError, AttributeError):
            return {}
        return {l.split(":")[0]: int(l.split()[1]) * 1024 for l in lines if l.endswith(" kB")}

    def cpu_seconds(self):
        try:
            fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except (OSError, AttributeError):
            return None
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def prefill_seconds(self):
        """Time spent computing prompts so far, if the server tells at /metrics."""
        try:
            with urllib.request.urlopen(self.url + "/metrics", timeout=2) as r:
                text = r.read().decode()
        except OSError:
            return None
        found = re.search(r'^pensieve_step_seconds_sum\{kind="prefill"\} (\S+)$', text, re.M)
        return float(found[1]) if found else None

    def stop(self, seconds=60):
        if not self.process:
            return None
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
