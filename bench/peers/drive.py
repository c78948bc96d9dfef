"""What the Python drivers share: they read requests from stdin and answer like `pensieve bench --stdin`. Only the
standard library: this runs in every peer's own environment."""

import json
import os
import random
import sys


class Words:
    """The driver's own words: MODEL THREADS DECODE STREAMS."""

    def __init__(self):
        self.model, (self.threads, self.decode, self.streams) = sys.argv[1], map(int, sys.argv[2:5])
        self.rng = random.Random(1)
        self.n_vocab = 30000  # that every real model has, and more

    def tokens(self, n, seed=None):
        """n ordinary tokens; with a seed always the same."""
        rng = self.rng if seed is None else random.Random(seed)
        return [rng.randrange(100, self.n_vocab) for _ in range(n)]


def own_stdout():
    """Libraries print to stdout: their words go to stderr, and answers to the real one, which is returned."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return out


def answer(out, about, driver):
    """Serve `driver`: prefill(n), decode(n, depth, temperature) and streams(k, n) give tokens a second."""
    print(json.dumps({"ready": about}), file=out, flush=True)
    for line in sys.stdin:
        what, *numbers = line.split()
        if what == "decode":
            n, depth, temperature = numbers
            tok_s = driver.decode(int(n), max(int(depth), 1), float(temperature))
        else:
            tok_s = getattr(driver, {"prefill": "prefill", "streams": "streams_together"}[what])(*map(int, numbers))
        print(json.dumps({"tok_s": tok_s}), file=out, flush=True)
