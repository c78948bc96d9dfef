#!/usr/bin/env python3
"""How long schemas take to compile, and masks to be found, by grammar_probe (built with the tests).

    bench/grammar_speed.py MODEL [PROBE]

Prints a line for each of the twenty tools of tests/e2e/tool_schemas.py and for some schemas that are hard: microseconds of the
processor to compile (median of 5), and per token that a model had to choose (mean over 20 answers, and the worst), by a model
that finds all tokens equally likely.
"""

import json
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/e2e"))
from tool_schemas import tools  # noqa: E402

HARD = {
    "any JSON": {},
    "a string of at most 200": {"type": "string", "maxLength": 200},
    "^[\\s\\S]{0,300}$": {"type": "string", "pattern": "^[\\s\\S]{0,300}$"},
    "^[a-z ]{0,200}$": {"type": "string", "pattern": "^[a-z ]{0,200}$"},
    "1000 names": {"enum": [f"name number {i}" for i in range(1000)]},
}


def main():
    probe = sys.argv[2] if len(sys.argv) > 2 else ROOT / "build/release/tests/grammar/grammar_probe"
    p = subprocess.Popen([probe, sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(**question):
        p.stdin.write(json.dumps(question) + "\n")
        p.stdin.flush()
        return json.loads(p.stdout.readline())

    all_us = n_all = 0
    print(f"{'schema':26} {'compile us':>10} {'states':>7} {'mask us':>8} {'worst':>6} {'forced':>7}")
    schemas = {t["name"]: t["input_schema"] for t in tools()} | HARD
    for name, schema in schemas.items():
        compiled = [ask(schema=schema, texts=[]) for _ in range(5)]
        us = n = worst = forced = 0
        for seed in range(20):
            r = ask(schema=schema, seed=seed, max_tokens=200)
            chosen = r["n_tokens"] - r["n_forced"]
            us, n = us + r["mask_us"] * chosen, n + chosen
            worst, forced = max(worst, r["worst_us"]), forced + r["n_forced"]
        if name not in HARD:
            all_us, n_all = all_us + us, n_all + n
        print(f"{name:26} {statistics.median(c['compile_us'] for c in compiled):10.0f} {compiled[0]['states']:7} "
              f"{us / max(n, 1):8.1f} {worst:6} {forced / (n + forced):7.0%}")
    print(f"all tools: {all_us / n_all:.1f} us a mask")


if __name__ == "__main__":
    main()
