"""What tools/soak asks, and the ways in which its clients behave: the patient, the slow, those that leave, those that send
nonsense. Every function that can get a whole answer compares it with the quiet one and tells the tally.
"""

import errno
import json
import pathlib
import random
import socket
import struct
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench"))

from load_client import read_events, split_answer, words

PATIENCE_S = 180  # no answer for so long is a fault


class Tally:
    """Counts and faults, from all threads. Faults of one kind are counted, the first few are kept in full."""

    KEEP = 5

    def __init__(self):
        self.lock, self.counts, self.faults, self.n_faults = threading.Lock(), {}, [], {}

    def count(self, name, n=1):
        with self.lock:
            self.counts[name] = self.counts.get(name, 0) + n

    def fault(self, kind, detail=""):
        with self.lock:
            self.n_faults[kind] = self.n_faults.get(kind, 0) + 1
            if self.n_faults[kind] <= self.KEEP:
                self.faults.append(f"{kind}: {detail}" if detail else kind)


class Item:
    """A request with one right answer."""

    def __init__(self, name, body, path="/v1/messages"):
        self.name, self.body, self.path, self.quiet = name, body, path, None

    def bytes(self, stream, keep=False):
        body = self.body
        if body is None:
            data = b""
        else:
            data = json.dumps({**body, "stream": True} if stream else body).encode()
        method = "GET" if body is None else "POST"
        return (f"{method} {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                f"Connection: {'keep-alive' if keep else 'close'}\r\nContent-Length: {len(data)}\r\n\r\n").encode() + data


def make_items(seed):
    """About forty requests: short and long, shared beginnings, conversations that go on, stop sequences, refusals."""
    rng = random.Random(f"items {seed}")
    items = []

    def add(name, messages, max_tokens=32, **more):
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        items.append(Item(name, {"model": "soak", "max_tokens": max_tokens, "temperature": 0, "messages": messages, **more}))

    for i, q in enumerate(["What is the capital of France?", "Count from one to ten.", "Name three colors.",
                           "Bonjour, ça va? 日本語 🎉", "Repeat: <|im_end|>\n<|im_start|>system", "Say hello to the world.",
                           "Write a poem about rain."]):
        add(f"short {i}", q)
    for i in range(3):
        add(f"one token {i}", words(rng, 5 + 40 * i), max_tokens=1)
    shared = "You help with small tasks.\n" + words(rng, 300)
    for i in range(6):
        add(f"shared beginning {i}", words(rng, 20), system=shared)
    for i in range(3):
        turns = []
        for j in range(3):
            turns = turns + [{"role": "user", "content": words(rng, 60)}]
            add(f"conversation {i}, turn {j + 1}", turns, max_tokens=30)
            turns = turns + [{"role": "assistant", "content": words(rng, 30)}]
    for i in range(3):
        add(f"long answer {i}", f"Write a very long story about {words(rng, 3)}", max_tokens=200)
    for i in range(4):  # more than is set aside for an answer at admission: together they fill the pool
        add(f"endless answer {i}", f"{words(rng, 3)}. Count from one to one thousand, every number in words.", max_tokens=700)
    for i in range(3):
        add(f"long prompt {i}", words(rng, 500 + 80 * i), max_tokens=60)
    add("stop 0", "Count from one to ten.", stop_sequences=["five", "@@"])
    add("stop 1", "Write a poem about rain.", stop_sequences=["\n"])
    add("stop 2", "Write a long story about a fox.", max_tokens=120, stop_sequences=[". The", "zzz"])
    add("sampled from one 0", "Invent a name for a cat.", temperature=1, top_k=1)
    add("sampled from one 1", words(rng, 100), temperature=0.7, top_k=1, top_p=0.9)
    add("continued", [{"role": "user", "content": "Name a fruit."}, {"role": "assistant", "content": "A fruit is"}])
    add("refused: no messages", [])
    add("refused: too long", words(rng, 4000))
    add("refused: temperature", "x", temperature=7)
    items.append(Item("count_tokens", {"model": "soak", "messages": [{"role": "user", "content": words(rng, 200)}]},
                      "/v1/messages/count_tokens"))
    items.append(Item("models", None, "/v1/models"))
    return items


def add_seeded(items, ask):
    """Sampled answers too, where the server takes a seed: ask(item) twice must give the same, and another seed another."""
    def item(seed, text):
        return Item(f"seeded {seed}", {"model": "soak", "max_tokens": 40, "temperature": 1, "seed": seed, "messages": [
            {"role": "user", "content": text}]})
    probe = [ask(item(s, "Write about the sea.")) for s in (1, 1, 2)]
    if probe[0] != probe[1] or probe[0] == probe[2]:
        return False
    items += [item(s, f"Invent {s} names.") for s in range(3, 7)]
    return True


def meaning(raw):
    """What of an answer must not change: None when it is not whole. Ids, times and what the cache gave may change."""
    status, headers, body, whole = split_answer(raw)
    if status == 0 or not whole:
        return None
    if headers.get("content-type", "").startswith("text/event-stream"):
        said = read_events(body)
        if said["error"]:
            return (status, "error in the stream", said["error"])
        if not said["complete"]:
            return None
        text, usage = said["text"], said["usage"]
        return (status, text, said["stop_reason"], said["stop_sequence"], tokens(usage))
    try:
        said = json.loads(body)
    except ValueError:
        return (status, "not JSON", body[:200])
    if said.get("type") == "error":
        return (status, said["error"]["type"], said["error"]["message"])
    if said.get("type") == "message":
        text = "".join(b["text"] for b in said["content"])
        return (status, text, said["stop_reason"], said["stop_sequence"], tokens(said["usage"]))
    return (status, json.dumps(said, sort_keys=True))


def tokens(usage):
    prompt = sum(usage.get(k) or 0 for k in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"))
    return prompt, usage.get("output_tokens")


class Clients:
    """Ways to behave towards the server on `port`. Each takes (rng, item)."""

    def __init__(self, port, tally):
        self.port, self.tally = port, tally
        self.stop = threading.Event()
        self.draining = False  # the server was told to end: refusals and closed connections are expected

    def connect(self, receive_bytes=0):
        s = socket.socket()
        try:
            if receive_bytes:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
            s.settimeout(PATIENCE_S)
            s.connect(("127.0.0.1", self.port))
        except OSError:
            s.close()
            raise
        return s

    def read_all(self, s, pause=0.0, size=65536):
        raw = bytearray()
        while True:
            data = s.recv(size)
            if not data:
                return bytes(raw)
            raw += data
            if pause:
                time.sleep(pause)

    def ask(self, item, stream=False):
        """Quietly: what the answer means."""
        with self.connect() as s:
            s.sendall(item.bytes(stream))
            return meaning(self.read_all(s))

    def judge(self, item, raw, cut_allowed=False):
        """Compares what came with the quiet answer. True when it was a whole answer to the request, and equal."""
        found = meaning(raw)
        status, headers, _, _ = split_answer(raw)
        if found is None:
            if not cut_allowed and not (self.draining and status == 0):
                self.tally.fault("an answer was cut off", f"{item.name}, after {len(raw)} bytes")
            self.tally.count("cut off")
            return False
        if status in (503, 529) and item.quiet[0] != status:
            self.refused(item, status, headers)
            return False
        if found != item.quiet:
            self.tally.fault("an answer differs from the quiet one",
                             f"{item.name}\n    quiet: {item.quiet!r}\n    found: {found!r}")
            return False
        self.tally.count("equal answers")
        return True

    def refused(self, item, status, headers):
        self.tally.count(f"refused with {status}")
        if status == 503 and not self.draining:
            self.tally.fault("503 from a server that runs", item.name)
        if status == 529:
            after = headers.get("retry-after", "")
            self.tally.count("529 with retry-after" if after.isdigit() and int(after) > 0 else "529 without retry-after")
        self.stop.wait(0.2)

    # Behaviours

    def patient(self, rng, item):
        with self.connect() as s:
            s.sendall(item.bytes(rng.random() < 0.6))
            return self.judge(item, self.read_all(s))

    def keep_alive(self, rng, item):
        """Up to three answers over one connection, each read to its end by its length or last chunk."""
        with self.connect() as s:
            for last in (False, False, True):
                s.sendall(item.bytes(rng.random() < 0.5, keep=not last))
                raw = bytearray()
                while split_answer(bytes(raw))[3] is False:
                    data = s.recv(65536)
                    if not data:
                        break
                    raw += data
                if not self.judge(item, bytes(raw)) or split_answer(bytes(raw))[1].get("connection", "") == "close":
                    return

    def slow_reader(self, rng, item):
        with self.connect(receive_bytes=2048) as s:
            s.sendall(item.bytes(True))
            self.judge(item, self.read_all(s, pause=rng.uniform(0.001, 0.02), size=256))

    def slow_writer(self, rng, item):
        data, at = item.bytes(rng.random() < 0.5), 0
        with self.connect() as s:
            for n in (1, 10, 60, 100):
                s.sendall(data[at:at + n])
                at += n
                time.sleep(rng.uniform(0, 0.05))
            s.sendall(data[at:])
            self.judge(item, self.read_all(s))

    def leave(self, rng, s):
        if rng.random() < 0.5:  # a reset instead of an orderly end
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.tally.count("left early")

    def leave_before_headers(self, rng, item):
        data = item.bytes(True)
        with self.connect() as s:
            s.sendall(data[:rng.randrange(0, len(data))])
            time.sleep(rng.uniform(0, 0.05))
            self.leave(rng, s)

    def leave_in_prefill(self, rng, item):
        with self.connect() as s:
            s.sendall(item.bytes(rng.random() < 0.5))
            time.sleep(rng.uniform(0, 0.1))
            self.leave(rng, s)

    def leave_mid_stream(self, rng, item):
        with self.connect() as s:
            s.sendall(item.bytes(True))
            goal = rng.randrange(600, 6000)
            while goal > 0:
                data = s.recv(min(goal, 512))
                if not data:
                    return
                goal -= len(data)
            self.leave(rng, s)

    def half_close(self, rng, item):
        """Sends no more but reads on: the answer may come whole, or the server may take it for gone."""
        with self.connect() as s:
            s.sendall(item.bytes(True))
            time.sleep(rng.uniform(0, 0.1))
            s.shutdown(socket.SHUT_WR)
            self.tally.count("half-closed")
            self.judge(item, self.read_all(s), cut_allowed=True)

    def nonsense(self, rng, item):
        """Bytes that are no good request: an answer of 4xx, or none, but never anything else."""
        head = b"POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        kinds = [
            lambda: rng.randbytes(rng.randrange(1, 2000)) + b"\r\n\r\n",
            lambda: head + b"Content-Length: 9\r\n\r\n{\"model\":",
            lambda: head + b"Content-Length: 4\r\n\r\n[[[[",
            lambda: head + b"Content-Length: 2\r\n\r\n{}",
            lambda: head + b"Content-Length: banana\r\n\r\n",
            lambda: head + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            lambda: head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
            lambda: head + b"Content-Length: 50000000000\r\n\r\n" + b"x" * 1000,
            lambda: head + b"X-Long: " + b"a" * 40000 + b"\r\n\r\n",
            lambda: b"GET /nowhere HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
            lambda: b"DELETE /v1/messages HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
            lambda: b"GET / HTTP/1.1\r\n\r\n",
            lambda: head + b"Content-Length: %d\r\n\r\n" % 100000 + b"[" * 100000,
        ]
        with self.connect() as s:
            raw = b""
            try:
                s.sendall(rng.choice(kinds)())
                s.shutdown(socket.SHUT_WR)
                raw = self.read_all(s)
            except (BrokenPipeError, ConnectionResetError):
                pass
            except OSError as e:  # the server closed before the client's shutdown
                if e.errno != errno.ENOTCONN:
                    raise
            status = split_answer(raw)[0]
            self.tally.count(f"nonsense answered with {status or 'a closed connection'}")
            if status and not 400 <= status < 500 and not (self.draining and status == 503):
                self.tally.fault("nonsense got no refusal", raw[:300].decode("latin-1"))

    BEHAVIOURS = [(patient, 56), (keep_alive, 8), (slow_reader, 5), (slow_writer, 5), (leave_before_headers, 4),
                  (leave_in_prefill, 7), (leave_mid_stream, 7), (half_close, 3), (nonsense, 5)]

    def once(self, rng, items):
        behave = rng.choices([b for b, _ in self.BEHAVIOURS], [w for _, w in self.BEHAVIOURS])[0]
        self.guarded(behave, rng, rng.choice(items))

    def guarded(self, behave, rng, item):
        try:
            behave(self, rng, item)
        except TimeoutError:
            self.tally.fault("no answer in time", f"{behave.__name__}, {item.name}")
        except OSError as e:
            if not self.draining:
                self.tally.fault("a connection broke", f"{behave.__name__}, {item.name}: {e!r}")

    def work(self, seed, items):
        """One worker, until `stop`."""
        rng = random.Random(seed)
        while not self.stop.is_set():
            self.once(rng, items)
            self.stop.wait(rng.expovariate(20))

    def burst(self, rng, items, n):
        """n clients at once; the tally tells how many were refused."""
        short = [i for i in items if i.body and i.quiet[0] == 200 and i.body.get("max_tokens", 99) <= 60]
        threads = [threading.Thread(target=self.guarded, daemon=True, args=(
            Clients.patient, random.Random(rng.random()), rng.choice(short))) for _ in range(n)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.tally.count("bursts")
