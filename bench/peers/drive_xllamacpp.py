"""Measures xllamacpp in its own process; `drive_xllamacpp.py serve MODEL THREADS DECODE STREAMS PORT` is its server."""

import concurrent.futures
import json
import signal
import sys
import time

import drive

STREAM_PROMPT = 16
SLOT_TOKENS = 8448  # of the slots that keep the prompts of depths


def server(xllamacpp, model, threads, slots, slot_tokens, port=0):
    p = xllamacpp.CommonParams()
    p.model.path = model
    p.n_parallel, p.n_ctx = slots, slots * slot_tokens
    p.cpuparams.n_threads = p.cpuparams_batch.n_threads = threads
    p.kv_unified = False  # every slot attends to its own cells only
    p.cache_ram_mib = 0
    p.fit_params = False
    p.verbosity = 0
    p.port = port
    return xllamacpp.Server(p)


class Driver:
    def __init__(self, xllamacpp, words):
        self.x, self.words, self.slots = xllamacpp, words, {}
        self.many = None
        self.one = server(xllamacpp, words.model, words.threads, 4, SLOT_TOKENS)

    def ask(self, server, prompt, n, temperature=0.0, slot=-1):
        r = server.handle_completions({"prompt": prompt, "n_predict": n, "temperature": temperature, "id_slot": slot,
                                       "samplers": ["temperature"], "cache_prompt": True, "ignore_eos": True})
        end = time.perf_counter()
        r = json.loads(r) if isinstance(r, (str, bytes)) else r
        if "timings" not in r:
            raise RuntimeError(f"xllamacpp answers {r}")
        return r["timings"], end

    def prefill(self, n):
        return self.ask(self.one, self.words.tokens(n), 1, slot=0)[0]["prompt_per_second"]

    def decode(self, n, depth, temperature):
        slot = self.slots.setdefault(depth, len(self.slots) + 1)
        return self.ask(self.one, self.words.tokens(depth, seed=depth), n + 1, temperature, slot)[0]["predicted_per_second"]

    def streams_together(self, k, n):
        """Tokens a second from the moment when the last prompt is computed until the last answer ends; of an answer that
        had begun before, the share of its time behind that moment counts."""
        if not self.many:
            self.many = server(self.x, self.words.model, self.words.threads, self.words.streams, 256)
        prompts = [self.words.tokens(STREAM_PROMPT) for _ in range(k)]
        with concurrent.futures.ThreadPoolExecutor(k) as pool:
            done = list(pool.map(lambda p: self.ask(self.many, p, n + 1), prompts))
        spans = [(end - t["predicted_ms"] / 1e3, end) for t, end in done]
        begin, end = max(b for b, _ in spans), max(e for _, e in spans)
        return sum(n * max(0, e - begin) / (e - b) for b, e in spans) / (end - begin)


def main():
    serving = sys.argv[1] == "serve"
    if serving:
        del sys.argv[1]
    out, words = drive.own_stdout(), drive.Words()
    import xllamacpp  # it may print

    if serving:
        held = server(xllamacpp, words.model, words.threads, words.streams, 1024, int(sys.argv[5]))
        signal.sigwait({signal.SIGTERM, signal.SIGINT})
        del held
        return
    drive.answer(out, f"{xllamacpp.__version__}: {xllamacpp.get_system_info()}", Driver(xllamacpp, words))


if __name__ == "__main__":
    main()
