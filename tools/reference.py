"""Reference forwards in float32, for tests: mlx-lm's models over a folder's weights or over a dequantised GGUF file,
plainly or with activations rounded to int8 in blocks before every matrix product."""

import json
import pathlib

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten, tree_unflatten

import make_model


class RoundedLinear(nn.Module):
    """y = W q(x), where q rounds x to int8 with one scale for each block of columns."""

    def __init__(self, weight, block):
        super().__init__()
        self.weight, self.block = weight, block

    def __call__(self, x):
        b = x.reshape(*x.shape[:-1], -1, self.block)
        d = mx.abs(b).max(axis=-1, keepdims=True) / 127
        q = mx.round(b / mx.where(d == 0, 1, d)) * d
        return q.reshape(x.shape) @ self.weight.T


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
            biases = weights[path + ".biases"].astype(mx.float32)
            w = mx.dequantize(w, scales.astype(mx.float32), biases, group_size=q["group_size"], bits=q["bits"])
        out[name] = w.astype(mx.float32)
    return out


def _load(cfg, weights):
    model = make_model.model_of(cfg)
    names = {k for k, _ in tree_flatten(model.parameters())}
    model.update(tree_unflatten([(k, w) for k, w in weights.items() if k in names]))
    missing = names - set(weights)
    assert not missing, f"weights without a tensor: {sorted(missing)}"
    return model


def folder_model(folder):
    """(model, config) of an MLX folder with all weights as float32."""
    folder = pathlib.Path(folder)
    cfg = json.loads((folder / "config.json").read_text())
    weights = {}
    for f in sorted(folder.glob("*.safetensors")):
        weights.update(mx.load(str(f)))
    return _load(cfg, _dequantised(weights, cfg.get("quantization", {}))), cfg


GGUF_NAMES = {
    "token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}


def _half_split(w, n_heads):
    """Rows of q or k from the interleaved rotary order of llama-type GGUF files to the half-split one."""
    dim = w.shape[0] // n_heads
    return w.reshape(n_heads, dim // 2, 2, w.shape[1]).swapaxes(1, 2).reshape(w.shape)


def gguf_model(path):
    """(model, config) of a llama-type GGUF file, dequantised by the package `gguf`."""
    import gguf

    r = gguf.GGUFReader(path)
    get = lambda key: r.fields["llama." + key].contents()
    cfg = dict(model_type="llama", num_hidden_layers=get("block_count"), hidden_size=get("embedding_length"),
               intermediate_size=get("feed_forward_length"), num_attention_heads=get("attention.head_count"),
               num_key_value_heads=get("attention.head_count_kv"), rms_norm_eps=get("attention.layer_norm_rms_epsilon"),
               rope_theta=get("rope.freq_base"), max_position_embeddings=get("context_length"), tie_word_embeddings=True)
    weights = {}
    for t in r.tensors:
        w = gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32)
        parts = t.name.split(".")
        if parts[0] == "blk":
            if parts[2] in ("attn_q", "attn_k"):
                w = _half_split(w, cfg["num_attention_heads" if parts[2] == "attn_q" else "num_key_value_heads"])
            name = f"model.layers.{parts[1]}.{GGUF_NAMES[parts[2]]}.weight"
        else:
            name = GGUF_NAMES[parts[0]] + ".weight"
        weights[name] = mx.array(w)
    cfg["vocab_size"] = weights["model.embed_tokens.weight"].shape[0]
    cfg["tie_word_embeddings"] = "lm_head.weight" not in weights
    return _load(cfg, weights), cfg


def round_activations(model, block):
    """Make every matrix product of a model (the output head too) see activations rounded to int8 in blocks."""
    for _, m in list(model.named_modules()):
        for key, child in list(m.children().items()):
            if isinstance(child, nn.Linear):
                setattr(m, key, RoundedLinear(child.weight, block))
    if not hasattr(model, "lm_head"):
        embed = model.model.embed_tokens
        head = RoundedLinear(embed.weight, block)
        embed.as_linear = lambda x: head(x)
    return model


def logits(model, ids):
    """[len(ids), vocab] float32: the logits after each position."""
    return np.array(model(mx.array([ids]))[0].astype(mx.float32))


def greedy(model, ids, n, stop_ids=()):
    """Up to n tokens of greedy decoding and the gap between the best two logits at each."""
    from mlx_lm.models.cache import make_prompt_cache

    cache = make_prompt_cache(model)
    x, out, gaps = mx.array([ids]), [], []
    for _ in range(n):
        l = np.array(model(x, cache=cache)[0, -1].astype(mx.float32))
        best = int(l.argmax())
        second = np.partition(l, -2)[-2]
        out.append(best)
        gaps.append(float((l[best] - second) / l.std()))
        if best in stop_ids:
            break
        x = mx.array([[best]])
    return out, gaps


def perplexity(model, ids, window):
    """Non-overlapping windows; every position of a window but its first token is scored. (perplexity, n_tokens)"""
    total, n = 0.0, 0
    for at in range(0, len(ids), window):
        part = ids[at:at + window]
        if len(part) < 2:
            continue
        l = logits(model, part)[:-1].astype(np.float64)
        m = l.max(axis=-1, keepdims=True)
        logp = l - m - np.log(np.exp(l - m).sum(axis=-1, keepdims=True))
        total -= logp[np.arange(len(part) - 1), part[1:]].sum()
        n += len(part) - 1
    return float(np.exp(total / n)), n
