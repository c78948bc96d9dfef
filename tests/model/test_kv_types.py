"""What the types of the KV cache cost in perplexity: the default model over about 20,000 tokens of prose."""

import json
import subprocess

import pytest

WINDOW = "512"


@pytest.fixture(scope="module")
def perplexity(pensieve, default_model, sample_text, tmp_path_factory):
    """perplexity(type): of the sample text; each type is measured once."""
    path = tmp_path_factory.mktemp("kv") / "text.txt"
    path.write_text(sample_text[:82_000])
    known = {}

    def measure(kv):
        if kv not in known:
            out = subprocess.run([pensieve, "perplexity", "--model", default_model, str(path), "--window", WINDOW, "--kv", kv],
                                 check=True, capture_output=True, timeout=600).stdout
            got = json.loads(out)
            assert got["n_tokens"] >= 19_000
            known[kv] = got["perplexity"]
        return known[kv]

    return measure


@pytest.mark.parametrize("kv, most", [("int8", 0.003), ("int4", 0.02)])
def test_near_f16(perplexity, kv, most):
    assert abs(perplexity(kv) / perplexity("f16") - 1) <= most


def test_a_type_is_not_another(perplexity):
    """The flag reaches the cache: rounding shows."""
    assert len({perplexity(kv) for kv in ("f16", "int8", "int4")}) == 3
