"""Two forms of the same weights: an MLX folder, and the GGUF files that tools/make_gguf.py writes of it."""

import subprocess

import numpy as np
import pytest

import make_gguf
import make_model
import reference
from test_golden import ids_for, run_logits

FAMILIES = ["llama", "qwen2", "qwen3", "qwen3_moe", "qwen3_5", "gemma3_text", "gemma4_text"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}

    def get(family, bits):
        if (family, bits) not in made:
            path = tmp_path_factory.mktemp("forms") / f"{family}-{bits}"
            made[family, bits] = make_model.make(path, family, "tiny", bits, 64, "bfloat16", seed=len(made) + 20)
        return made[family, bits]

    return get


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_and_its_file_give_the_same(pensieve, folders, tmp_path, family):
    """The file has the values that the folder's 4 bits stand for, as F32."""
    folder = folders(family, 4)
    file = make_gguf.write(tmp_path / "model.gguf", *reference.folder_weights(folder), "F32")
    model, cfg = reference.folder_model(folder)
    ids = ids_for(60, cfg["vocab_size"], 12)
    want = reference.logits(model, ids)
    of_folder, of_file = (run_logits(pensieve, path, ids, tmp_path, "ref") for path in (folder, file))
    assert np.abs(of_folder - of_file).max() <= 1e-5 * want.std()
    assert np.abs(of_file - want).max() <= 1e-3 * want.std()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["F16", "Q8_0", "Q4_K", "Q6_K"])
def test_a_file_agrees_with_mlx_lm(pensieve, folders, tmp_path, family, kind):
    """Logits, and the token that comes next at every position, unless the best two are nearly equal."""
    file = make_gguf.write(tmp_path / "model.gguf", *reference.folder_weights(folders(family, 0)), kind, joined=True)
    model, cfg = reference.gguf_model(file)
    ids = ids_for(60, cfg["vocab_size"], 13)
    want = reference.logits(model, ids)
    best, second = -np.sort(-want, axis=1)[:, :2].T
    clear = best - second > 0.01 * want.std()
    for backend, flags in (("ref", []), ("cpu", ["--kv", "f32"])):
        got = run_logits(pensieve, file, ids, tmp_path, backend, *flags)
        assert np.sqrt(np.mean((got - want) ** 2)) <= 1e-3 * want.std(), backend
        assert (got.argmax(axis=1) == want.argmax(axis=1))[clear].all(), backend


@pytest.mark.parametrize("key, value, word", [
    ("expert_count", 0, "qwen3moe.expert_count: expected 1 to 1024, found 0"),
    ("expert_count", None, "key qwen3moe.expert_count is missing"),
    ("expert_used_count", 9, "qwen3moe.expert_used_count: expected 1 to 8, found 9"),
    ("expert_used_count", None, "key qwen3moe.expert_used_count is missing"),
    ("expert_feed_forward_length", 0, "qwen3moe.expert_feed_forward_length: expected 1 to 1048576, found 0"),
    ("expert_feed_forward_length", 64, "tensor blk.0.ffn_gate_exps.weight: expected [8, 64, 256], found F16 [8, 128, 256]"),
])
def test_bad_keys_of_experts_are_named(pensieve, folders, tmp_path, monkeypatch, key, value, word):
    """The file, the key, what is expected and what is found."""
    family = make_gguf.FAMILIES["qwen3_moe"]
    keys = [(k, (lambda cfg: value) if k == key else member) for k, member in family.keys]
    monkeypatch.setitem(make_gguf.FAMILIES, "qwen3_moe", family._replace(keys=keys))
    file = make_gguf.write(tmp_path / "model.gguf", *reference.folder_weights(folders("qwen3_moe", 0)), "F16")
    got = subprocess.run([pensieve, "logits", "--model", file, "--ids", "1", "--out", tmp_path / "x.npy"], capture_output=True,
                         text=True)
    assert got.returncode == 3 and word in got.stderr and ("model.gguf" in got.stderr or "tensor" in word)
