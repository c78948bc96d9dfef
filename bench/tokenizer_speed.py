#!/usr/bin/env python3
"""How fast long runs encode and large vocabularies load, by tokenizer_probe (built with the tests).

    bench/tokenizer_speed.py MODEL [PROBE]

MB/s (median of 5) for 1 MiB of one character and of other texts without a place to cut, by the model's tokenizer; then the
milliseconds (median of 5) that a tokenizer.json of 262,144 tokens as Gemma's and one of 151,936 as Qwen's take to load. Both
are made here: as many tokens and merges of about the same length.
"""

import json
import pathlib
import random
import statistics
import struct
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
SIZE = 1 << 20
ROUNDS = 5
RUNS = {"a": "a", "blanks": " ", "newlines": "\n", "=": "=", "-": "-", "é": "é", "─": "─", "漢": "漢", "CR LF": "\r\n",
        "abab": "ab", "lines of blanks": " " * 79 + "\n", "lines of =": "=" * 200 + "\n"}  # fmt: skip


def encode(probe, model, text):
    out = subprocess.run([probe, model, "bench", str(ROUNDS)], input=text.encode(), capture_output=True, check=True).stdout
    return statistics.median(float(line.split()[0]) for line in out.decode().splitlines()[1:])


def load_ms(probe, model):
    out = [subprocess.run([probe, model, "bench", "0"], input=b"", capture_output=True, check=True).stdout for _ in range(ROUNDS)]
    return statistics.median(float(x.split()[2]) for x in out)


def grow(rng, tokens, n, blank):
    """Tokens made of two others each, the shorter ones more often."""
    all_of = list(tokens)
    have = set(all_of)
    while len(all_of) < n:
        top = max(60, len(all_of) // rng.choice([1, 2, 8, 64]))
        token = all_of[rng.randrange(top)] + all_of[rng.randrange(top)]
        if token in have or len(token) > 24 or blank in token[1:]:
            continue
        have.add(token)
        all_of.append(token)
    return all_of


def gemma(rng, n=262144, n_merges=580000):
    letters = [chr(c) for c in [*range(0x61, 0x7B), *range(0x41, 0x5B), *range(0x430, 0x450), *range(0x4E00, 0x5600)]]
    head = ["<pad>", "<eos>", "<bos>", "<unk>", *[f"<unused{i}>" for i in range(99)], *[f"<0x{i:02X}>" for i in range(256)]]
    tokens = grow(rng, ["▁", *letters], n - len(head), "▁")
    have, merges = set(tokens), []
    for t in tokens:
        merges += [[t[:i], t[i:]] for i in range(1, len(t)) if t[:i] in have and t[i:] in have]
    added = [{"id": i, "content": t, "special": True, "normalized": False} for i, t in enumerate(head[:103])]
    model = {"type": "BPE", "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
             "vocab": {t: i for i, t in enumerate(head + tokens)}, "merges": merges[:n_merges]}  # fmt: skip
    return {"added_tokens": added, "model": model,
            "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
            "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                                                         {"type": "ByteFallback"}, {"type": "Fuse"}]}}  # fmt: skip


def qwen(rng, n=151936):
    printed = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    alphabet = [chr(c) for c in printed] + [chr(0x100 + i) for i in range(256 - len(printed))]
    tokens = grow(rng, alphabet, n, "Ġ")
    have = set(tokens)
    merges = []
    for t in tokens[256:]:
        cut = next((i for i in range(1, len(t)) if t[:i] in have and t[i:] in have), None)
        merges.append(f"{t[:cut]} {t[cut:]}")
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
    return {"added_tokens": [], "pre_tokenizer": byte_level, "decoder": byte_level,
            "model": {"type": "BPE", "vocab": {t: i for i, t in enumerate(tokens)}, "merges": merges}}  # fmt: skip


def write_folder(path, spec):
    path.mkdir()
    (path / "tokenizer.json").write_text(json.dumps(spec, ensure_ascii=False, indent=2))
    (path / "config.json").write_text("{}")
    header = b'{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    (path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\0\0\0\0")
    return path


def main():
    probe = sys.argv[2] if len(sys.argv) > 2 else ROOT / "build/release/tests/tokenizer/tokenizer_probe"
    print(f"{'text':20} {'MB/s':>6}")
    for what, unit in RUNS.items():
        print(f"{what:20} {encode(probe, sys.argv[1], unit * (SIZE // len(unit.encode()))):6.1f}", flush=True)
    print(f"{'vocabulary':20} {'MB':>6} {'ms':>6}")
    with tempfile.TemporaryDirectory() as folder:
        for make in (gemma, qwen):
            path = write_folder(pathlib.Path(folder) / make.__name__, make(random.Random(4)))
            size = (path / "tokenizer.json").stat().st_size
            print(f"as {make.__name__ + chr(39) + 's':17} {size / 1e6:6.1f} {load_ms(probe, path):6.0f}", flush=True)


if __name__ == "__main__":
    main()
