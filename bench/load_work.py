"""The workloads of serve_load.py: what is asked, and the runs that ask it."""

import asyncio
import random
import time

from load_client import Client, message_body, words
from load_stats import of_answers, percentile, ratio

TASKS = ["Write a long and detailed story", "Explain in many steps how one could plan a year", "Write a long letter",
         "Describe a whole day, hour by hour,", "Write a long conversation between two friends"]


def log_normal(rng, median, sigma, low, high):
    return int(min(high, max(low, rng.lognormvariate(0, sigma) * median)))


def task(rng):
    return f"{rng.choice(TASKS)} about {words(rng, 3).lower().rstrip('.')}."


class Session:
    """A conversation: turns[i] is (text of the user, max_tokens). The server's own answers go back to it."""

    def __init__(self, turns, system=None):
        self.turns, self.system = turns, system

    async def run(self, client, answers):
        messages = []
        for text, max_tokens in self.turns:
            messages.append({"role": "user", "content": text})
            a = await client.ask(message_body(messages, max_tokens, self.system))
            answers.append(a)
            if a.error:
                return
            messages.append({"role": "assistant", "content": a.text.rstrip() or "Yes."})


def chat_sessions(o, seed, n):
    rng = random.Random(seed)
    return [Session([(f"{words(rng, log_normal(rng, 140, 0.5, 20, 600))}\n\n{task(rng)}",
                      log_normal(rng, 150, 0.3, 60, 320))]) for _ in range(n)]


def agent_sessions(o, seed, n):
    rng = random.Random(seed)
    system = "You work with a person on many small tasks.\n" + words(rng, o.prefix_tokens)
    return [Session([(f"{words(rng, o.turn_tokens)}\n\n{task(rng)}", log_normal(rng, 140, 0.25, 100, 200))
                     for _ in range(o.turns)], system) for _ in range(n)]


def sessions_of(o, seed, streams):
    if o.workload == "agent":
        return agent_sessions(o, seed, streams * o.sessions)
    return chat_sessions(o, seed, streams * o.requests)


async def measured(server, work):
    """Runs work(client, answers), which returns when the streams stopped being all busy."""
    client, answers = Client(server.url), []
    cpu, own, begin = server.cpu_seconds(), time.process_time(), time.perf_counter()
    busy_end = await work(client, answers)
    end, own = time.perf_counter(), time.process_time() - own
    figures = of_answers(answers, begin, busy_end, end)
    figures["client_cpu"] = own / (end - begin)
    n_output = sum(a.n_output for a in answers)
    if cpu is not None:
        figures["server_cpu_ms_token"] = ratio(server.cpu_seconds() - cpu, n_output)
    errors = sorted({a.error for a in answers if a.error})
    return figures, errors


async def closed(o, server, seed, streams):
    """Each stream takes the next conversation when its last is done."""
    waiting = sessions_of(o, seed, streams)[::-1]
    busy_end = []

    async def stream(client, answers):
        while waiting:
            await waiting.pop().run(client, answers)
        busy_end.append(time.perf_counter())

    async def work(client, answers):
        await asyncio.gather(*(stream(client, answers) for _ in range(streams)))
        return min(busy_end)

    return await measured(server, work)


async def open_loop(o, server, seed, rate):
    """Conversations begin at random moments (Poisson), whether earlier ones are done or not."""
    rng = random.Random(seed + 1)
    sessions = sessions_of(o, seed, 1)

    async def work(client, answers):
        running, at = [], time.perf_counter()
        for s in sessions:
            at += rng.expovariate(rate)
            await asyncio.sleep(max(0, at - time.perf_counter()))
            running.append(asyncio.create_task(s.run(client, answers)))
        await asyncio.gather(*running)
        return time.perf_counter()

    return await measured(server, work)


class SteadyStream:
    """One stream that never pauses: when an answer ends, the next request follows. Gaps are taken within an answer."""

    def __init__(self, client, rng):
        self.client, self.rng, self.answers, self.stopping = client, rng, [], False
        self.task = asyncio.create_task(self.run())

    async def run(self):
        while not self.stopping:
            text = f"{words(self.rng, 30)}\n\n{task(self.rng)} Do not stop before two thousand words."
            a = await self.client.begin(message_body([{"role": "user", "content": text}], 2500))
            self.answers.append(a)
            await a.closed
            if not a.times:
                self.stopping = True

    async def wait_events(self, n):
        """Until n more text events came; False when the stream cannot go on."""
        goal = self.n_events() + n
        while self.n_events() < goal:
            if self.task.done():
                return False
            await asyncio.sleep(0.01)
        return True

    def n_events(self):
        return sum(len(a.times) for a in self.answers)

    def gaps(self, begin, end):
        """The waits for a token that end in (begin, end], and the one that runs at `end`: (how many came before, seconds)."""
        out = []
        for a in self.answers:
            t = a.times
            out += [(i, t[i + 1] - t[i]) for i in range(len(t) - 1) if t[i + 1] > begin and t[i] < end]
        return out

    async def stop(self):
        self.stopping = True
        self.answers[-1].transport.abort()
        await self.task


def at_same_places(gaps, alone, width=100):
    """For each of the gaps one of those alone from the same hundred tokens of an answer, or the nearest hundred before."""
    by_place = {}
    for i, gap in alone:
        by_place.setdefault(i // width, []).append(gap)
    out = []
    for k, (i, _) in enumerate(gaps):
        place = max((p for p in by_place if p <= i // width), default=min(by_place))
        out.append(by_place[place][k % len(by_place[place])])
    return out


async def interference(o, server, seed):
    """A stream alone, for a whole long answer; then the same while a long prompt is computed. A token of a long answer takes
    longer than one of a short answer, so waits are held against waits alone at the same place of the answer."""
    client, rng = Client(server.url), random.Random(seed)
    long_body = [message_body([{"role": "user", "content": words(rng, o.long_tokens)}], 1) for _ in range(2)]
    alone = await client.ask(long_body[0])
    s = SteadyStream(client, rng)
    figures, errors = {}, [] if not alone.error else [alone.error]
    if await s.wait_events(20):
        begin = time.perf_counter()
        first = s.answers[-1]
        while not first.closed.done() and await s.wait_events(20):
            pass
        alone_gaps = s.gaps(begin, time.perf_counter())
        beside = await client.ask(long_body[1])
        came = beside.times[0] if beside.times else time.perf_counter()
        await s.wait_events(2)  # the wait that ran when the first token came
        during_gaps, n_events = s.gaps(beside.sent, came), sum(beside.sent < t <= came for a in s.answers for t in a.times)
        errors += [beside.error] if beside.error else []
        during, quiet = [gap for _, gap in during_gaps], at_same_places(during_gaps, alone_gaps)
        p50, p99 = percentile(quiet, 50), percentile(quiet, 99)
        figures = {"alone_p50": p50, "alone_p99": p99, "during_p50": percentile(during, 50),
                   "during_p99": percentile(during, 99), "during_max": max(during, default=None),
                   "ratio_p50": ratio(percentile(during, 50), p50), "ratio_p99": ratio(percentile(during, 99), p99),
                   "p99_of_alone_p50": ratio(percentile(during, 99), p50), "during_tokens": n_events}
        if not beside.error and not alone.error:
            figures |= {"long_ttft_alone": alone.ttft, "long_ttft": beside.ttft, "long_prompt_tokens": beside.n_prompt}
    else:
        errors.append("the stream gave nothing")
    await s.stop()
    return figures | {"errors": len(errors)}, errors


async def second_turn(o, server, seed):
    """Time to the first token of a conversation's second turn, beside what the server spent computing its prompt (only what
    is new, at its depth), and beside the first token of a prompt as long as what is new, which attends to nothing else."""
    client, rng, runs, errors = Client(server.url), random.Random(seed), [], []
    prefills = []
    for _ in range(o.requests):
        first, new = f"{words(rng, o.conversation_tokens)}\n\n{task(rng)}", f"{words(rng, 60)} {task(rng)}"
        other = f"{words(rng, 60)} {task(rng)}"
        messages = [{"role": "user", "content": first}]
        a = await client.ask(message_body(messages, 100))
        messages += [{"role": "assistant", "content": a.text.rstrip() or "Yes."}, {"role": "user", "content": new}]
        spent = server.prefill_seconds()
        b = await client.ask(message_body(messages, 16))
        spent = server.prefill_seconds() - spent if spent is not None else None
        c = await client.ask(message_body([{"role": "user", "content": other}], 16))
        bad = [x.error for x in (a, b, c) if x.error]
        errors += bad
        if not bad:
            runs.append((a, b, c))
            prefills.append(b.ttft / spent if spent else None)
    med = lambda f: percentile([f(*r) for r in runs], 50)
    return {"first_turn_ttft": med(lambda a, b, c: a.ttft), "second_turn_ttft": med(lambda a, b, c: b.ttft),
            "new_only_ttft": med(lambda a, b, c: c.ttft), "second_of_new": med(lambda a, b, c: b.ttft / c.ttft),
            "second_of_prefill": percentile([p for p in prefills if p], 50) if any(prefills) else None,
            "second_of_first": med(lambda a, b, c: b.ttft / a.ttft),
            "second_prompt_tokens": med(lambda a, b, c: b.n_prompt), "second_cached_tokens": med(lambda a, b, c: b.n_cached),
            "new_only_tokens": med(lambda a, b, c: c.n_prompt), "requests": 3 * o.requests,
            "errors": len(errors)}, sorted(set(errors))


async def memory(o, server, seed, streams):
    """Resident bytes of a server that was just started: when ready, after a load of `streams` conversations at once."""
    ready = server.proc_status()
    figures, errors = await closed(o, server, seed, streams)
    loaded = server.proc_status()
    rss = loaded.get("VmRSS")
    return {"rss_ready": ready.get("VmRSS"), "rss_loaded": rss, "rss_peak": loaded.get("VmHWM"),
            "anon_loaded": loaded.get("RssAnon"), "ready_s": server.ready_s,
            "beyond_model": rss - server.model_bytes if rss and server.model_bytes else None,
            "errors": figures["errors"]}, errors
