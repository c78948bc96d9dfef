"""Reference forwards in float32, for tests: mlx-lm's models over a folder's weights or over a dequantised GGUF file,
plainly or with activations rounded to int8 in blocks before every matrix product, and a plain numpy model."""

import json
import pathlib

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten, tree_unflatten
from mlx_lm.models.switch_layers import SwitchLinear

import make_gguf
import make_model


def _rounded(x, block):
    b = x.reshape(*x.shape[:-1], -1, block)
    d = mx.abs(b).max(axis=-1, keepdims=True) / 127
    q = mx.round(b / mx.where(d == 0, 1, d)) * d
    return q.reshape(x.shape)


class RoundedLinear(nn.Module):
    """y = W q(x), where q rounds x to int8 with one scale for each block of columns."""

    def __init__(self, weight, block):
        super().__init__()
        self.weight, self.block = weight, block

    def __call__(self, x):
        return _rounded(x, self.block) @ self.weight.T


class RoundedExperts(nn.Module):
    """The same of experts' products."""

    def __init__(self, inner, block):
        super().__init__()
        self.inner, self.block = inner, block

    def __call__(self, x, indices, sorted_indices=False):
        return self.inner(_rounded(x, self.block), indices, sorted_indices)


def _dequantised(weights, quantization):
    """Plain float32 weights of a folder's tensors."""
    out = {}
    for name, w in weights.items():
        if name.endswith((".scales", ".biases")):
            continue
        path = name.rsplit(".", 1)[0]
        scales = weights.get(path + ".scales")
        if name.endswith(".weight") and scales is not None:
            q = quantization.get(path, quantization)
            kind = dict(group_size=q["group_size"], bits=q["bits"], mode=q.get("mode", "affine"))
            if kind["mode"] == "affine":
                w = mx.dequantize(w, scales.astype(mx.float32), weights[path + ".biases"].astype(mx.float32), **kind)
            else:
                w = mx.dequantize(w, scales, **kind, dtype=mx.float32)
        out[name] = w.astype(mx.float32)
    return out


PART = "language_model."  # what the names of a text model begin with where it is a part of a larger one


def _load(cfg, weights):
    model = make_model.model_of(cfg)
    names = {k for k, _ in tree_flatten(model.parameters())}
    if any(k.startswith(PART) for k in names):
        weights = {PART + k: w for k, w in weights.items()}
    model.update(tree_unflatten([(k, w) for k, w in weights.items() if k in names]))
    missing = names - set(weights)
    assert not missing, f"weights without a tensor: {sorted(missing)}"
    return model


def _folder(folder):
    folder = pathlib.Path(folder)
    cfg = json.loads((folder / "config.json").read_text())
    weights = {}
    for f in sorted(folder.glob("*.safetensors")):
        weights.update(mx.load(str(f)))
    weights = _dequantised(weights, cfg.get("quantization", {}))
    return cfg, {k.removeprefix(PART): w for k, w in weights.items()}


def folder_weights(folder):
    """(config, weights by their names as float32 arrays) of the text model of an MLX folder."""
    cfg, weights = _folder(folder)
    text = make_model.text_config(cfg)
    cfg = dict(text, model_type=next(t for t in (cfg["model_type"], text["model_type"]) if t in make_gguf.FAMILIES))
    return cfg, {k: np.array(w) for k, w in weights.items()}


def folder_model(folder):
    """(model, config of the text model) of an MLX folder with all weights as float32."""
    cfg, weights = _folder(folder)
    return _load(cfg, weights), make_model.text_config(cfg)


def gguf_model(path):
    """(mlx-lm model, config) of a GGUF file."""
    cfg, weights = make_gguf.read(path)
    return _load(cfg, {k: mx.array(w) for k, w in weights.items()}), cfg


def round_activations(model, block):
    """Make every matrix product of a model (the output head too) see activations rounded to int8 in blocks."""
    for _, m in list(model.named_modules()):
        for key, child in list(m.children().items()):
            if isinstance(child, nn.Linear):
                setattr(m, key, RoundedLinear(child.weight, block))
            elif isinstance(child, SwitchLinear):
                setattr(m, key, RoundedExperts(child, block))
    text = getattr(model, "language_model", model)
    if not hasattr(text, "lm_head"):
        embed = text.model.embed_tokens
        head = RoundedLinear(embed.weight, block)
        embed.as_linear = lambda x: head(x)
    return model


class NumpyLlama:
    """A model of the family llama or qwen2 in plain numpy, float32: a second implementation beside mlx-lm's, and quick enough on a CPU
    for whole texts. Weights by their MLX names; keys and values of the tokens seen so far are kept."""

    def __init__(self, cfg, weights):
        self.cfg, self.w = cfg, {k: np.array(v, dtype=np.float32) for k, v in weights.items()}
        self.dim = cfg["hidden_size"] // cfg["num_attention_heads"]
        self.inv_freq = cfg["rope_theta"] ** (-np.arange(0, self.dim, 2) / self.dim)
        self.reset()

    def reset(self):
        self.cache = [(None, None)] * self.cfg["num_hidden_layers"]
        self.n = 0

    def norm(self, x, name):
        mean = np.mean(x.astype(np.float64) ** 2, axis=-1, keepdims=True)
        return (x / np.sqrt(mean + self.cfg["rms_norm_eps"])).astype(np.float32) * self.w[name + ".weight"]

    def rope(self, x, pos):
        angle = pos[:, None, None] * self.inv_freq
        cos, sin = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
        a, b = np.split(x, 2, axis=-1)
        return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)

    def attention(self, x, layer, pos):
        path = f"model.layers.{layer}.self_attn."
        heads, kv_heads = self.cfg["num_attention_heads"], self.cfg["num_key_value_heads"]
        bias = lambda name: self.w.get(path + name + ".bias", np.float32(0))
        part = lambda name, n: (x @ self.w[path + name + ".weight"].T + bias(name)).reshape(len(x), n, self.dim)
        q, k = self.rope(part("q_proj", heads), pos), self.rope(part("k_proj", kv_heads), pos)
        v = part("v_proj", kv_heads)
        if self.n:
            k, v = (np.concatenate([old, new]) for old, new in zip(self.cache[layer], (k, v)))
        self.cache[layer] = (k, v)
        out = np.empty((len(x), heads, self.dim), np.float32)
        hidden = np.arange(len(k))[None, :] > pos[:, None]
        for h in range(heads):
            kv = h // (heads // kv_heads)
            scores = q[:, h] @ k[:, kv].T / np.float32(np.sqrt(self.dim))
            scores[hidden] = -np.inf
            p = np.exp(scores - scores.max(axis=-1, keepdims=True))
            out[:, h] = p @ v[:, kv] / p.sum(axis=-1, keepdims=True)
        return out.reshape(len(x), -1) @ self.w[path + "o_proj.weight"].T

    def ffn(self, x, layer):
        path = f"model.layers.{layer}.mlp."
        gate, up = x @ self.w[path + "gate_proj.weight"].T, x @ self.w[path + "up_proj.weight"].T
        return (gate / (1 + np.exp(-gate)) * up) @ self.w[path + "down_proj.weight"].T

    def __call__(self, ids, last_only=False):
        """Logits [len(ids), vocab] (or of the last token) after `ids`, which follow what was seen before."""
        pos = np.arange(self.n, self.n + len(ids))
        x = self.w["model.embed_tokens.weight"][ids]
        for i in range(self.cfg["num_hidden_layers"]):
            x = x + self.attention(self.norm(x, f"model.layers.{i}.input_layernorm"), i, pos)
            x = x + self.ffn(self.norm(x, f"model.layers.{i}.post_attention_layernorm"), i)
        self.n += len(ids)
        x = self.norm(x[-1:] if last_only else x, "model.norm")
        return x @ self.w.get("lm_head.weight", self.w["model.embed_tokens.weight"]).T


def gguf_numpy(path):
    """NumpyLlama of a llama-type GGUF file."""
    cfg, weights = make_gguf.read(path)
    return NumpyLlama(cfg, weights)


def logits(model, ids):
    """[len(ids), vocab] float32: the logits after each position."""
    if isinstance(model, NumpyLlama):
        model.reset()
        return model(ids)
    return np.array(model(mx.array([ids]))[0].astype(mx.float32))


def greedy(model, ids, n):
    """n tokens of greedy decoding by a NumpyLlama and the gap between the best two logits at each, in standard
    deviations of the logits."""
    model.reset()
    out, gaps, x = [], [], list(ids)
    for _ in range(n):
        l = model(x, last_only=True)[0]
        best = int(l.argmax())
        out.append(best)
        gaps.append(float((l[best] - np.partition(l, -2)[-2]) / l.std()))
        x = [best]
    return out, gaps


def perplexity(model, ids, window):
    """Non-overlapping windows; every position of a window but its first token is scored. (perplexity, n_tokens)"""
    total, n = 0.0, 0
    for at in range(0, len(ids), window):
        part = ids[at:at + window]
        if len(part) < 2:
            continue
        l = logits(model, part)[:-1]
        m = l.max(axis=-1)
        norm = m + np.log(np.exp(l - m[:, None]).sum(axis=-1, dtype=np.float64))
        total += (norm - l[np.arange(len(part) - 1), part[1:]]).sum()
        n += len(part) - 1
    return float(np.exp(total / n)), n
