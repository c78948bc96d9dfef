"""Every kind of stored numbers that a matrix may have, against gguf-py and against what the README says."""

import pathlib
import re
import subprocess

import gguf
import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROBES = [p for name in ("release", "asan") if (p := ROOT / "build" / name / "tests/base/kind_probe").exists()]


def probe(*args, data=b""):
    if not PROBES:
        pytest.skip("kind_probe is not built")
    return subprocess.run([PROBES[0], *args], input=data, check=True, capture_output=True).stdout


def kinds():
    return [(name, *map(int, rest)) for name, *rest in (line.split() for line in probe("list").decode().splitlines())]


def test_sizes_are_those_of_the_format():
    for name, number, block, size in kinds():
        assert gguf.GGMLQuantizationType[name] == number
        assert gguf.GGML_QUANT_SIZES[number] == (block, size)


def test_decoding_agrees_bit_for_bit():
    rng = np.random.default_rng(3)
    for name, number, block, size in kinds():
        data = rng.integers(0, 256, (3000, size * max(1, 256 // block)), dtype=np.uint8)
        got = np.frombuffer(probe(name, data=data.tobytes()), np.float32)
        with np.errstate(all="ignore"):
            stored = {"F32": np.float32, "F16": np.float16}.get(name)
            want = data.view(stored).astype(np.float32) if stored else gguf.quants.dequantize(data, gguf.GGMLQuantizationType(number))
        want = np.ascontiguousarray(want, dtype=np.float32).reshape(-1)
        assert got.shape == want.shape, name
        nan = np.isnan(want)
        assert (np.isnan(got) == nan).all(), name
        assert (got.view(np.uint32) == want.view(np.uint32))[~nan].all(), name


def test_readme_lists_them():
    text = " ".join((ROOT / "README.md").read_text().split())
    listed = re.search(r"from GGUF files \(([^)]*)\)", text).group(1).split(", ")
    assert listed == [name for name, *_ in kinds()]
