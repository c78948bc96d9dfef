"""Every kind of stored numbers that a matrix may have, against gguf-py, mlx and what the README says."""

import pathlib
import re
import subprocess

import gguf
import mlx.core as mx
import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROBES = [p for name in ("release", "asan") if (p := ROOT / "build" / name / "tests/base/kind_probe").exists()]


def probe(*args, data=b""):
    if not PROBES:
        pytest.skip("kind_probe is not built")
    return subprocess.run([PROBES[0], *args], input=data, check=True, capture_output=True).stdout


def kinds():
    """(name, number, elements and bytes of a block) of those in GGUF files."""
    lines = (line.split() for line in probe("list").decode().splitlines())
    return [(name, *map(int, rest[:3])) for name, *rest in lines if rest[0] != "-1"]


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


@pytest.mark.parametrize("mode, group, bits", [("mxfp4", 32, 4), ("mxfp8", 32, 8), ("nvfp4", 16, 4)])
def test_mlx_modes_agree_bit_for_bit(mode, group, bits):
    """All scales and codes, with the signs of zeros."""
    rng = np.random.default_rng(4)
    rows, cols = 1024, 128
    w = rng.integers(0, 256, (rows, cols * bits // 8), dtype=np.uint8)
    scales = rng.permuted(np.resize(np.arange(256, dtype=np.uint8), rows * cols // group)).reshape(rows, -1)
    got = np.frombuffer(probe(mode, data=w.tobytes() + scales.tobytes()), np.float32)
    want = np.array(mx.dequantize(mx.array(w.view(np.uint32)), mx.array(scales), group_size=group, bits=bits, mode=mode,
                                  dtype=mx.float32)).reshape(-1)
    nan = np.isnan(want)
    assert (np.isnan(got) == nan).all()
    assert (got.view(np.uint32) == want.view(np.uint32))[~nan].all()


def test_readme_lists_them():
    text = " ".join((ROOT / "README.md").read_text().split())
    listed = re.search(r"from GGUF files \(([^)]*)\)", text).group(1).split(", ")
    assert listed == [name for name, *_ in kinds()]
