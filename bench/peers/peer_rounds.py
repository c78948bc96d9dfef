"""Measures, and the rounds in which programs are measured in turn."""

import asyncio
import json
import os
import random
import subprocess
import sys
import time

from peer import HERE, PLACE, Driver, Missing, peak_bytes, say

sys.path.insert(1, str(HERE.parent))
from load_client import Client, Server, free_port, message_body, words  # noqa: E402
from load_stats import of_answers  # noqa: E402

HTTP_PROMPT = 24  # tokens, about, of each of several streams
START_PROMPT, START_ANSWER = 512, 64  # of the request that memory is read after


class Measure:
    """One row of the table. `request` is what drivers are asked. `long` ones and those without a request, which take a
    start of the program, are taken in every other round."""

    def __init__(self, key, label, unit="tok/s", less=False, request=None, long=False, reads=False):
        self.key, self.label, self.unit, self.less = key, label, unit, less
        self.request, self.long, self.reads = request, long, reads


def measures_of(s):
    rows = [Measure(f"prefill {n}", f"prefill, {n} tokens", request=f"prefill {n}", long=n > 1024) for n in s.prompts]
    for d in s.depths:
        for t, label in ((0, "greedy"), (1, "temperature 1")):
            rows.append(Measure(f"decode {d} {t}", f"decode behind {d}, {label}", request=f"decode {s.decode} {d} {t}",
                                reads=True))
    rows += [Measure(f"streams {k}", f"{k} streams", request=f"streams {k} {s.decode}") for k in s.streams if k > 1]
    rows += [Measure(f"http {k}", f"{k} streams over HTTP, prompts included" if k > 1 else "1 stream over HTTP")
             for k in s.streams]
    rows.append(Measure("first", f"first token over HTTP, prompt of about {START_PROMPT}", "ms", less=True))
    rows.append(Measure("start", "ready after the start", "s", less=True))
    rows.append(Measure("memory", f"resident at most, a prompt of {START_PROMPT}, {START_ANSWER} tokens", "MB", less=True))
    return rows


class Results:
    """values[measure's key, peer's name][round] are the figures; token_bytes[key] is what a token reads."""

    def __init__(self):
        self.values, self.notes, self.about, self.token_bytes, self.reading = {}, [], {}, {}, []

    def add(self, key, name, r, value):
        self.values.setdefault((key, name), {})[r] = value

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)
            say(f"note: {text}")


class Reading:
    """This machine's reading rate, from a small program that is built here."""

    def __init__(self, threads):
        PLACE.mkdir(parents=True, exist_ok=True)
        program, native = PLACE / "reading", ["-march=native"]
        done = subprocess.run(["cc", "-std=c17", "-O3", *native, "-D_GNU_SOURCE", "-pthread", str(HERE / "reading.c"), "-o",
                               str(program)], capture_output=True, text=True)
        if done.returncode:
            raise Missing(f"cannot build reading.c: {done.stderr.strip()[-200:]}")
        self.process = subprocess.Popen([str(program), str(threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def gb_s(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())["gb_s"]

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Rounds:
    """All programs on one model. A program that fails in a measure is left out of it from then on, and that is said."""

    def __init__(self, model, peers, settings, log):
        self.model, self.settings, self.log, self.peers = model, settings, log, peers
        self.measures, self.results, self.drivers, self.out = measures_of(settings), Results(), {}, set()

    def run(self, n_rounds):
        reading = Reading(self.settings.threads)
        try:
            self.begin()
            for r in range(n_rounds):
                order = list(self.drivers)[:: 1 if r % 2 == 0 else -1]
                say(f"{self.model.name}: round {r + 1} of {n_rounds}")
                self.results.reading.append(reading.gb_s())
                for m in self.measures:
                    if m.request and not (m.long and r % 2):
                        for p in order:
                            self.attempt(p, m.key, lambda p=p, m=m: self.ask(p, m, r))
                for p in order if r % 2 == 0 else ():
                    self.attempt(p, "http", lambda p=p: self.start_and_http(p, r))
        finally:
            reading.stop()
            for d in self.drivers.values():
                d.stop()
        return self.results

    def begin(self):
        """Drivers of all programs that take this model, warm: the prompts of all depths are in their caches."""
        for p in self.peers:
            try:
                p.takes(self.model)
            except Missing as e:
                self.results.note(f"{p.name}: {e}")
                continue
            try:
                self.drivers[p] = Driver(p.name, p.command(self.model), p.environment(), self.log)
            except Missing as e:
                self.results.note(f"{p.name} does not run this model: {e} (build/peers/run.log says why)")
                continue
            self.results.about[p.name] = self.drivers[p].about
            for m in self.measures:
                if m.request and not m.long:
                    say(f"{self.model.name}: warming up {p.name}: {m.label}")
                    self.attempt(p, m.key, lambda p=p, m=m: self.drivers[p].ask(m.request))

    def attempt(self, p, key, work):
        if (p, key) in self.out or (p, None) in self.out:
            return
        try:
            work()
        except (Missing, RuntimeError, OSError) as e:
            over = self.drivers[p].process.poll() is not None
            self.out.add((p, None if over else key))
            self.results.note(f"{p.name}, {key}: {e}")

    def ask(self, p, m, r):
        answer = self.drivers[p].ask(m.request)
        self.results.add(m.key, p.name, r, answer["tok_s"])
        if "token_bytes" in answer:
            self.results.token_bytes[m.key] = answer["token_bytes"]

    def start_and_http(self, p, r):
        """A start, memory after one request, and requests over HTTP; without a server those in a fresh driver."""
        add = lambda key, value: self.results.add(key, p.name, r, value)  # noqa: E731
        if not p.has_server:
            d = Driver(p.name, p.command(self.model), p.environment(), self.log)
            try:
                d.ask(f"prefill {START_PROMPT}")
                d.ask(f"decode {min(START_ANSWER, self.settings.decode)} 0 0")
                add("start", d.start_s)
                add("memory", d.peak_bytes() / 1e6)
            finally:
                d.stop()
            return
        port = free_port()
        with serving(p, self.model, port, self.log) as server:
            add("start", server.ready_s)
            first = asyncio.run(ask_together(server, r, 1, START_PROMPT, START_ANSWER))
            add("first", first["ttft_p50"] * 1e3)
            add("memory", peak_bytes(server.process.pid) / 1e6)
            for k in self.settings.streams:
                add(f"http {k}", asyncio.run(ask_together(server, r, k, HTTP_PROMPT, self.settings.decode))["output_tok_s"])


class serving:
    """A peer's server for the length of a `with`."""

    def __init__(self, p, model, port, log):
        self.server = Server(p.name)
        self.server.url = f"http://127.0.0.1:{port}"
        self.argv, self.environment, self.log = p.server(model, port), p.environment(), log

    def __enter__(self):
        begin = time.monotonic()
        self.server.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                               env=self.environment)
        try:
            self.server.wait_ready()
        except RuntimeError:
            self.server.stop()
            raise
        self.server.ready_s = time.monotonic() - begin
        return self.server

    def __exit__(self, *_):
        self.server.stop(10)


async def ask_together(server, seed, k, n_prompt, n_answer):
    """The figures of k requests at once, each another text; RuntimeError when one failed."""
    client, rng = Client(server.url), random.Random(seed * 100 + k)
    bodies = [message_body([{"role": "user", "content": f"{words(rng, n_prompt)}\n\nWrite a very long story about "
                             f"{words(rng, 3)}"}], n_answer) for _ in range(k)]
    begin = time.perf_counter()
    answers = await asyncio.gather(*(client.ask(b) for b in bodies))
    bad = [a.error for a in answers if a.error]
    if bad:
        raise RuntimeError(f"over HTTP: {bad[0]}")
    figures = of_answers(answers, begin, time.perf_counter(), time.perf_counter())
    a = answers[0]
    if k == 1 and a.times[-1] > a.times[0]:  # behind its first token, as in the process
        figures["output_tok_s"] = (a.n_output - 1) / (a.times[-1] - a.times[0])
    return figures


def others_share(seconds=2.0):
    """The share of all cores' time that is taken while this program waits."""
    def times():
        with open("/proc/stat") as f:
            n = [int(x) for x in f.readline().split()[1:]]
        return sum(n[:8]), n[3] + n[4]

    all0, idle0 = times()
    time.sleep(seconds)
    all1, idle1 = times()
    return 1 - (idle1 - idle0) / max(1, all1 - all0)


def cpu_name():
    try:
        with open("/proc/cpuinfo") as f:
            return next(line.partition(":")[2].strip() for line in f if line.startswith("model name"))
    except (OSError, StopIteration):
        return os.uname().machine
