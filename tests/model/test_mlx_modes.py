"""MLX folders in each mode of quantisation, and in several: logits against mlx-lm in float32, and what is refused."""

import json
import subprocess

import mlx.core as mx
import numpy as np
import pytest

import make_model
import reference

MODES = {"mxfp4": (4, 32), "mxfp8": (8, 32), "nvfp4": (4, 16)}
# A path's own entry: affine where it names no mode.
OTHERS = {
    "model.layers.0.mlp.down_proj": {"bits": 8, "group_size": 64},
    "model.layers.1.mlp.up_proj": {"bits": 4, "group_size": 16, "mode": "nvfp4"},
    "model.layers.1.mlp.gate_proj": {"bits": 8, "group_size": 32, "mode": "mxfp8"},
    "model.layers.0.self_attn.o_proj": False,
}


def folder(path, mode, overrides=None):
    bits, group = MODES[mode]
    return make_model.make(path, "llama", "tiny", bits, group, "bfloat16", seed=3, overrides=overrides, mode=mode)


def logits(pensieve, model, ids, out, backend):
    flags = ["--kv", "f32"] if backend == "cpu" else []
    return subprocess.run([pensieve, "logits", "--model", model, "--ids", ",".join(map(str, ids)), "--out", out,
                           "--backend", backend, *flags], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("mode", [*MODES, "mixed"])
def test_logits_of_a_mode(pensieve, tmp_path, mode):
    path = folder(tmp_path / "model", "mxfp4", OTHERS) if mode == "mixed" else folder(tmp_path / "model", mode)
    model, cfg = reference.folder_model(path)
    ids = np.random.default_rng(6).integers(0, cfg["vocab_size"], 40).tolist()
    want = reference.logits(model, ids)
    for backend in ("ref", "cpu"):
        run = logits(pensieve, path, ids, tmp_path / "logits.npy", backend)
        assert run.returncode == 0, run.stderr
        assert np.abs(np.load(tmp_path / "logits.npy") - want).max() <= 1e-3 * want.std(), backend
    about = subprocess.run([pensieve, "inspect", path], capture_output=True, text=True).stdout
    assert f"MLX {'mxfp4' if mode == 'mixed' else mode}" in about


DOWN = "model.layers.0.mlp.down_proj"
FAULTS = {
    "an unknown mode": ({"mode": "int5"}, {}, 'mode "int5" is not supported (supported: affine, mxfp4, mxfp8, nvfp4)'),
    "other bits": ({"bits": 8}, {}, "config.json says 8 bits"),
    "other groups": ({"group_size": 16}, {}, "config.json says groups of 16"),
    "scales of a float type": ({}, {DOWN + ".scales": lambda a: a.astype(mx.float16)}, "expected U8 [256, 12] for mxfp4"),
    "too few scales": ({}, {DOWN + ".scales": lambda a: a[:, 1:]}, "expected U8 [256, 12] for mxfp4, found U8 [256, 11]"),
    "too few codes": ({}, {DOWN + ".weight": lambda a: a[:, 1:]}, "expected U32 [256, 48], found U32 [256, 47]"),
    "a global scale": ({}, {DOWN + ".global_scale": lambda a: mx.array([1.0])}, "global_scale"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_contradictions_are_named(pensieve, tmp_path, fault):
    entry, tensors, words = FAULTS[fault]
    path = folder(tmp_path / "model", "mxfp4")
    config = json.loads((path / "config.json").read_text())
    config["quantization"].update(entry)
    (path / "config.json").write_text(json.dumps(config))
    weights = mx.load(str(path / "model.safetensors"))
    for name, change in tensors.items():
        weights[name] = change(weights.get(name))
    mx.save_safetensors(str(path / "model.safetensors"), weights)
    run = logits(pensieve, path, [1, 2], tmp_path / "logits.npy", "cpu")
    assert run.returncode != 0 and words in run.stderr
