"""Folders as they lie on the hub: not quantised, in shards, the text model a part of a larger one under one of two ways
of naming. They must give the logits of the plain folder of the same weights."""

import json
import subprocess

import mlx.core as mx
import numpy as np
import pytest

import make_model

IDS = "1,5,9,300,42,7"


def logits(pensieve, folder, out):
    subprocess.run([pensieve, "logits", "--model", folder, "--ids", IDS, "--out", out], check=True, capture_output=True)
    return np.load(out)


def inside(name):
    """As Transformers names the text part: model.language_model.layers..., lm_head."""
    return name.replace("model.", "model.language_model.", 1) if name.startswith("model.") else name


NAMINGS = {"inside": inside, "wrapped": lambda name: "language_model." + name}
EXTRAS = {  # name: shape; five dimensions as the patches of films have
    "model.visual.patch_embed.proj.weight": (8, 3, 2, 4, 4),
    "model.visual.blocks.0.ids": (7,),
    "multi_modal_projector.linear.weight": (16, 8),
    "mtp.layers.0.mlp.down_proj.weight": (8, 16),
}


def save(folder, weights, shards):
    """The weights in as many files, with their index."""
    names, index = sorted(weights), {}
    for i in range(shards):
        file = f"model-{i + 1:05}-of-{shards:05}.safetensors"
        part = {n: weights[n] for n in names[i::shards]}
        mx.save_safetensors(str(folder / file), part)
        index.update(dict.fromkeys(part, file))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("naming", NAMINGS)
def test_part_of_a_larger_model(pensieve, tmp_path, naming, tied):
    plain = make_model.make(tmp_path / "plain", "llama", "tiny" if tied else "odd", 0, 0, "bfloat16")
    weights = {NAMINGS[naming](k): w for k, w in mx.load(str(plain / "model.safetensors")).items()}
    weights |= {name: mx.zeros(shape, mx.int64 if name.endswith("ids") else mx.bfloat16) for name, shape in EXTRAS.items()}
    config = json.loads((plain / "config.json").read_text())
    outer = {"model_type": "some_vlm", "tie_word_embeddings": config.pop("tie_word_embeddings"),
             "text_config": config, "vision_config": {"hidden_size": 8}}
    whole = tmp_path / "whole"
    whole.mkdir()
    save(whole, weights, 3)
    (whole / "config.json").write_text(json.dumps(outer))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (whole / name).write_bytes((plain / name).read_bytes())
    want = logits(pensieve, plain, tmp_path / "plain.npy")
    assert logits(pensieve, whole, tmp_path / "whole.npy").tobytes() == want.tobytes()
    about = json.loads(subprocess.run([pensieve, "inspect", whole, "--json"], check=True, capture_output=True).stdout)
    size = lambda *names: sum(int(np.prod(EXTRAS[n])) * (8 if n.endswith("ids") else 2) for n in names)
    a, b, c, d = EXTRAS
    assert about["skipped"] == [{"name": "vision", "n_tensors": 2, "bytes": size(a, b)},
                                {"name": "projector", "n_tensors": 1, "bytes": size(c)},
                                {"name": "multi-token prediction", "n_tensors": 1, "bytes": size(d)}]
    text = subprocess.run([pensieve, "inspect", whole], check=True, capture_output=True, text=True).stdout
    assert "skipped       vision (2 tensors, " in text and "problems      none" in text


def test_quantised_part_with_entries_of_its_own(pensieve, tmp_path):
    """MLX names the entries of quantization by the paths of the file, beside text_config."""
    entry = {"model.layers.0.mlp.down_proj": {"bits": 8, "group_size": 32}}
    plain = make_model.make(tmp_path / "plain", "llama", "tiny", 4, 64, "float16", overrides=entry)
    weights = {"language_model." + k: w for k, w in mx.load(str(plain / "model.safetensors")).items()}
    config = json.loads((plain / "config.json").read_text())
    q = config.pop("quantization")
    q = {("language_model." + k if k in entry else k): v for k, v in q.items()}
    config.pop("quantization_config")
    whole = tmp_path / "whole"
    whole.mkdir()
    save(whole, weights, 1)
    (whole / "config.json").write_text(json.dumps({"model_type": "some_vlm", "text_config": config, "quantization": q}))
    want = logits(pensieve, plain, tmp_path / "plain.npy")
    assert logits(pensieve, whole, tmp_path / "whole.npy").tobytes() == want.tobytes()
    q["language_model.model.layers.0.mlp.down_proj"]["bits"] = 6
    (whole / "config.json").write_text(json.dumps({"model_type": "some_vlm", "text_config": config, "quantization": q}))
    run = subprocess.run([pensieve, "logits", "--model", whole, "--ids", "1", "--out", tmp_path / "x.npy"],
                         capture_output=True, text=True)
    assert run.returncode != 0 and "config.json says 6 bits, its shape says 8" in run.stderr
