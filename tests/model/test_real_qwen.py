"""A real file of mixed kinds: Qwen2.5-Coder-0.5B-Instruct Q4_K_M (Q5_0, Q4_K, Q6_K, Q8_0, F32) against a float32 forward
over its dequantised weights. It has 491 MB: tools/fetch-qwen fetches it, and without it these tests are skipped."""

import json
import os
import pathlib
import subprocess

import numpy as np
import pytest

import reference
from test_golden import PROMPTS, chat_ids, ids_for, run_logits

PATH = pathlib.Path(os.environ.get("PENSIEVE_MODELS", pathlib.Path(__file__).parents[2] / "models"),
                    "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf")
pytestmark = pytest.mark.skipif(not PATH.exists(), reason="tools/fetch-qwen was not run")


@pytest.fixture(scope="module")
def numpy_model():
    return reference.gguf_numpy(PATH)


def test_logits_of_ref(pensieve, numpy_model, tmp_path):
    ids = ids_for(24, 151_000, 10)
    want = reference.logits(numpy_model, ids)
    got = run_logits(pensieve, PATH, ids, tmp_path, "ref")
    assert np.abs(got - want).max() <= 1e-3 * want.std()


def test_greedy_tokens(pensieve, numpy_model, tmp_path):
    """Ten prompts, 64 tokens each, the reference's own tokens in front: `ref` chooses the same ones, `cpu` (f16 KV cache)
    differs at most where the reference sees two nearly equal tokens."""
    for prompt in PROMPTS:
        ids = chat_ids(pensieve, PATH, prompt)
        out, gaps = reference.greedy(numpy_model, ids, 64)
        for backend in ("ref", "cpu"):
            got = run_logits(pensieve, PATH, ids + out[:-1], tmp_path, backend)[len(ids) - 1:].argmax(axis=1)
            wrong = [(i, gaps[i]) for i in range(64) if got[i] != out[i]]
            assert all(gap < (1e-4 if backend == "ref" else 0.01) for _, gap in wrong), f"{backend}: {prompt}: {wrong}"


def test_perplexity(pensieve, numpy_model, tmp_path, sample_text):
    text = sample_text[:24_000]
    (tmp_path / "text.txt").write_text(text)
    ids = json.loads(subprocess.run([pensieve, "tokens", "--model", str(PATH)], input=text.encode(), check=True,
                                    capture_output=True).stdout)["ids"]
    out = subprocess.run([pensieve, "perplexity", "--model", str(PATH), str(tmp_path / "text.txt"), "--window", "512"],
                         check=True, capture_output=True, timeout=900).stdout
    got = json.loads(out)
    want, n = reference.perplexity(numpy_model, ids, 512)
    assert got["n_tokens"] == n
    assert abs(got["perplexity"] / want - 1) <= 0.005
