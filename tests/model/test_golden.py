"""Logits of `pensieve logits` against mlx-lm in float32, over random folders made from a seed and over the default
model, and perplexity against the same reference."""

import json
import subprocess

import mlx.core as mx
import numpy as np
import pytest

import make_model
import reference

FOLDERS = [
    # family, shape, bits, group, dtype
    ("llama", "tiny", 4, 64, "float16"),
    ("llama", "tiny", 4, 32, "bfloat16"),
    ("llama", "tiny", 2, 64, "float16"),
    ("llama", "tiny", 3, 64, "bfloat16"),
    ("llama", "tiny", 5, 32, "float16"),
    ("llama", "tiny", 8, 128, "float16"),
    ("llama", "tiny", 0, 0, "float32"),
    ("llama", "tiny", 0, 0, "bfloat16"),
    ("llama", "odd", 4, 64, "float16"),
    ("llama", "odd", 6, 32, "bfloat16"),
    ("phi3", "tiny", 4, 64, "float16"),
    ("phi3", "tiny", 4, 128, "bfloat16"),
    ("phi3", "tiny", 0, 0, "float16"),
    ("qwen2", "tiny", 4, 64, "bfloat16"),
    ("qwen2", "tiny", 0, 0, "float16"),
    ("qwen3", "tiny", 4, 64, "bfloat16"),
    ("qwen3", "tiny", 0, 0, "float16"),
    ("qwen3_moe", "tiny", 4, 64, "bfloat16"),
    ("qwen3_moe", "odd", 6, 64, "float16"),
    ("qwen3_moe", "odd", 0, 0, "float32"),
    ("qwen3_5", "tiny", 4, 32, "bfloat16"),
    ("qwen3_5", "tiny", 0, 0, "float32"),
    ("qwen3_5", "odd", 4, 64, "float16"),
    ("gemma3_text", "tiny", 4, 64, "bfloat16"),
    ("gemma3_text", "tiny", 0, 0, "float32"),
    ("gemma3", "tiny", 4, 64, "float16"),
    ("gemma4_text", "tiny", 4, 64, "bfloat16"),
    ("gemma4_text", "tiny", 0, 0, "float32"),
    ("gemma4", "tiny", 4, 64, "float16"),
]


def overrides_of(spec):
    """Paths that are quantised otherwise than the rest: routers to 8 bits, as mlx-lm does."""
    if spec == FOLDERS[0]:
        return {"model.layers.1.mlp.down_proj": {"bits": 8, "group_size": 64}, "model.layers.0.self_attn.o_proj": False}
    if spec[0] == "qwen3_moe":
        return {f"model.layers.{i}.mlp.gate": {"bits": 8, "group_size": 64} for i in range(6)}
    return None


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}

    def get(spec):
        if spec not in made:
            family, shape, bits, group, dtype = spec
            path = tmp_path_factory.mktemp("folders") / "-".join(map(str, spec))
            made[spec] = make_model.make(path, family, shape, bits, group, dtype, seed=len(made) + 1,
                                         overrides=overrides_of(spec))
        return made[spec]

    return get


def run_logits(pensieve, model, ids, tmp_path, backend, *flags):
    out = tmp_path / "logits.npy"
    (tmp_path / "ids.txt").write_text(",".join(map(str, ids)))
    subprocess.run([pensieve, "logits", "--model", str(model), "--ids-file", str(tmp_path / "ids.txt"), "--out", str(out),
                    "--backend", backend, *flags], check=True, capture_output=True, timeout=600)
    return np.load(out)


def ids_for(n, vocab, seed):
    return np.random.default_rng(seed).integers(0, vocab, n).tolist()


@pytest.mark.parametrize("spec", FOLDERS, ids=lambda s: "-".join(map(str, s)))
def test_ref_agrees_with_mlx_lm(pensieve, folders, tmp_path, spec):
    model, cfg = reference.folder_model(folders(spec))
    ids = ids_for(90, cfg["vocab_size"], 7)
    want = reference.logits(model, ids)
    got = run_logits(pensieve, folders(spec), ids, tmp_path, "ref")
    assert got.shape == want.shape and got.dtype == np.float32
    assert np.abs(got - want).max() <= 1e-3 * want.std()


@pytest.mark.parametrize("spec", FOLDERS, ids=lambda s: "-".join(map(str, s)))
def test_cpu_is_as_near_as_its_activations_allow(pensieve, folders, tmp_path, spec):
    """int16 activations agree with float32; int8 ones are no farther than twice a simulation of them."""
    model, cfg = reference.folder_model(folders(spec))
    ids = ids_for(90, cfg["vocab_size"], 8)
    want = reference.logits(model, ids)
    rms = lambda a: float(np.sqrt(np.mean((a - want) ** 2)))
    assert rms(run_logits(pensieve, folders(spec), ids, tmp_path, "cpu", "--kv", "f32")) <= 1e-3 * want.std()
    rounded = reference.logits(reference.round_activations(model, 64), ids)
    got = run_logits(pensieve, folders(spec), ids, tmp_path, "cpu", "--activations", "int8")
    assert rms(got) <= 2 * rms(rounded) + 1e-4 * want.std()


def test_long_positions_of_longrope(pensieve, folders, tmp_path):
    """Phi-3's long factors at every position: past the original context too."""
    spec = FOLDERS[10]
    model, cfg = reference.folder_model(folders(spec))
    ids = ids_for(4200, cfg["vocab_size"], 9)
    want = reference.logits(model, ids)[-40:]
    got = run_logits(pensieve, folders(spec), ids, tmp_path, "ref")[-40:]
    assert np.abs(got - want).max() <= 3e-3 * want.std()


def test_qwen35_as_published(pensieve, folders, tmp_path):
    """A folder that was not converted: other names, norms less one, convolutions as [channels, 1, taps]."""
    folder = folders(("qwen3_5", "tiny", 0, 0, "float32"))
    raw = tmp_path / "raw"
    raw.mkdir()
    weights = {}
    for name, w in mx.load(str(folder / "model.safetensors")).items():
        if name.endswith(("layernorm.weight", "model.norm.weight", "q_norm.weight", "k_norm.weight")):
            w = w - 1
        if name.endswith("conv1d.weight"):
            w = w.moveaxis(2, 1)
        name = name.removeprefix("language_model.")
        weights[name.replace("model.", "model.language_model.", 1) if name.startswith("model.") else name] = w
    mx.save_safetensors(str(raw / "model.safetensors"), weights, metadata={"format": "pt"})
    (raw / "config.json").write_text((folder / "config.json").read_text())
    ids = ids_for(20, 700, 11)
    want, got = (run_logits(pensieve, f, ids, tmp_path, "ref") for f in (folder, raw))
    assert np.abs(got - want).max() <= 1e-4 * want.std()


@pytest.fixture(scope="module")
def numpy_model(default_model):
    return reference.gguf_numpy(default_model)


def test_default_model_logits(pensieve, default_model, numpy_model, tmp_path):
    """mlx-lm, plain numpy and `ref` over the same weights."""
    model, cfg = reference.gguf_model(default_model)
    ids = ids_for(24, cfg["vocab_size"], 10)
    want = reference.logits(model, ids)
    assert np.abs(reference.logits(numpy_model, ids) - want).max() <= 1e-3 * want.std()
    got = run_logits(pensieve, default_model, ids, tmp_path, "ref")
    assert np.abs(got - want).max() <= 1e-3 * want.std()


PROMPTS = ["What is the capital of France?", "Write a haiku about the sea.", "Explain what a hash table is.",
           "List three prime numbers.", "Who wrote Romeo and Juliet?", "Translate 'good morning' to Spanish.",
           "What is 12 times 12?", "Give me a recipe for pancakes.", "Why is the sky blue?", "Write a C function that adds two ints."]


def chat_ids(pensieve, model, prompt):
    messages = {"messages": [{"role": "user", "content": prompt}], "add_generation_prompt": True}
    run = lambda verb, text, *flags: subprocess.run([pensieve, verb, "--model", str(model), *flags], input=text, check=True,
                                                    capture_output=True).stdout
    text = run("template", json.dumps(messages).encode())
    return json.loads(run("tokens", text, "--special"))["ids"]


def test_default_model_greedy_tokens(pensieve, default_model, numpy_model, tmp_path):
    """Ten prompts, 64 tokens each: every token that the reference chooses is the one that `ref` chooses after the same
    tokens, and `cpu` (f16 KV cache) differs at most where the reference itself sees two equal tokens."""
    for prompt in PROMPTS:
        ids = chat_ids(pensieve, default_model, prompt)
        out, gaps = reference.greedy(numpy_model, ids, 64)
        for backend in ("ref", "cpu"):
            got = run_logits(pensieve, default_model, ids + out[:-1], tmp_path, backend)[len(ids) - 1:].argmax(axis=1)
            wrong = [i for i in range(64) if got[i] != out[i]]
            if backend == "ref":
                assert not wrong, f"{prompt}: differs at {wrong}"
            else:
                assert all(gaps[i] < 0.01 for i in wrong), f"{prompt}: differs at {[(i, gaps[i]) for i in wrong]}"


def test_default_model_perplexity(pensieve, default_model, numpy_model, tmp_path, sample_text):
    """Within 0.5 % of the float32 reference over the same weights, with int8 activations too."""
    ids = json.loads(subprocess.run([pensieve, "tokens", "--model", str(default_model)], input=sample_text.encode(),
                                    check=True, capture_output=True).stdout)["ids"]
    assert len(ids) >= 20000
    (tmp_path / "text.txt").write_text(sample_text)
    out = subprocess.run([pensieve, "perplexity", "--model", str(default_model), str(tmp_path / "text.txt"), "--window",
                          "512"], check=True, capture_output=True, timeout=900).stdout
    got = json.loads(out)
    want, n = reference.perplexity(numpy_model, ids, 512)
    assert got["n_tokens"] == n
    assert abs(got["perplexity"] / want - 1) <= 0.005
