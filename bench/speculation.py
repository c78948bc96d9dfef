#!/usr/bin/env python3
"""How much guessing tokens gains and costs: answers with and without `--speculate`, in turn.

    bench/speculation.py MODEL [--rounds 5] [--binary build/pensieve] [-- further options of `pensieve serve`]

Two servers of the same model answer the same requests by turns, greedily and at temperature 1 with a seed: files of this
repository that are to be given back with a small change, and prose. For each kind the median ratio of tokens a second
(from the first token to the last) is printed, with its range, and the tokens a step took. Every answer must be the same
with and without. Nothing else may run meanwhile.
"""

import argparse
import http.client
import json
import pathlib
import re
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
FILES = ["src/engine/stop.c", "src/kv/kv_ids.c", "tools/fmt", "src/base/hash.c"]
PROSE = ["Tell me a long story about a lighthouse keeper and the sea.", "Explain how bread is made, in great detail.",
         "Describe an imaginary city and the people who live there.", "Write about the history of mathematics."]


def edits():
    for name in FILES:
        text = (ROOT / name).read_text()[:2400]
        yield (f"Here is the file {name}:\n```\n{text}\n```\nAdd a comment to the first function that says what it does. "
               "Answer with the whole file, otherwise unchanged.")


class Server:
    def __init__(self, binary, model, speculate, options):
        self.p = subprocess.Popen([binary, "serve", "--model", model, "--port", "0", "--speculate", speculate, *options],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for line in self.p.stderr:
            if m := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                self.port = int(m[1])
                return
        sys.exit("the server did not start")

    def guessed(self):
        """Tokens that were guessed, right and wrong, so far."""
        c = http.client.HTTPConnection("127.0.0.1", self.port)
        c.request("GET", "/metrics")
        found = dict(re.findall(r'pensieve_guessed_tokens_total\{result="(\w+)"\} (\d+)', c.getresponse().read().decode()))
        return int(found.get("right", 0)), int(found.get("wrong", 0))

    def ask(self, prompt, temperature, max_tokens):
        """The text, and the seconds from its first token to its last; its number of tokens."""
        c = http.client.HTTPConnection("127.0.0.1", self.port)
        body = {"model": "m", "messages": [{"role": "user", "content": prompt}], "temperature": temperature, "seed": 7,
                "max_tokens": max_tokens, "stream": True, "stream_options": {"include_usage": True}}
        c.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        text, first, last, n = "", None, None, 0
        for line in c.getresponse():
            if not line.startswith(b"data: {"):
                continue
            event = json.loads(line[6:])
            if event.get("usage"):
                n = event["usage"]["completion_tokens"]
            if event["choices"] and event["choices"][0]["delta"].get("content"):
                last = time.perf_counter()
                first = first or last
                text += event["choices"][0]["delta"]["content"]
        return text, last - first, n


def main():
    own, _, rest = " ".join(sys.argv[1:]).partition(" -- ")
    p = argparse.ArgumentParser()
    p.add_argument("model")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--max-tokens", type=int, default=500)
    p.add_argument("--binary", default=str(ROOT / "build/pensieve"))
    args = p.parse_args(own.split())
    servers = {s: Server(args.binary, args.model, s, rest.split()) for s in ("off", "on")}
    try:
        for kind, prompts in (("edits of a file", list(edits())), ("prose", PROSE)):
            for temperature in (0, 1):
                ratios, before = [], servers["on"].guessed()
                n_tokens = 0
                for i in range(args.rounds * len(prompts)):
                    got = {}
                    for s in ("off", "on") if i % 2 else ("on", "off"):
                        got[s] = servers[s].ask(prompts[i % len(prompts)], temperature, args.max_tokens)
                    if got["off"][0] != got["on"][0]:
                        sys.exit(f"answers differ: {kind}, temperature {temperature}:\n{got['off'][0]}\n---\n{got['on'][0]}")
                    ratios.append(got["off"][1] / got["on"][1])
                    n_tokens += got["on"][2]
                right, wrong = (b - a for a, b in zip(before, servers["on"].guessed()))
                print(f"{kind:16} temperature {temperature}: {statistics.median(ratios):.2f} times "
                      f"({min(ratios):.2f} to {max(ratios):.2f}), {n_tokens / max(n_tokens - right, 1):.2f} tokens a step, "
                      f"{right} of {right + wrong} guesses right", flush=True)
    finally:
        for s in servers.values():
            s.p.terminate()
            s.p.wait()


if __name__ == "__main__":
    main()
