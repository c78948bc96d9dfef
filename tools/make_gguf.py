#!/usr/bin/env python3
"""Write the GGUF file of an MLX folder, so that both forms of the same weights can be held against each other.

    tools/make_gguf.py --kind Q4_K FOLDER OUT.gguf

A family is a row of FAMILIES: its architecture, its keys, and the two names of each tensor with what the file does to
its rows. The same rows read a file back (`read`): its configuration, and its weights as an MLX model has them.
"""

import argparse
from typing import Callable, NamedTuple

import gguf
import numpy as np

F32 = gguf.GGMLQuantizationType.F32


class Tensor(NamedTuple):
    """A tensor by its names without ".weight" or ".bias", {} standing for the layer; names that have no such suffix are
    given whole. to_gguf(w, cfg) and to_mlx(w, cfg) change one form into the other."""
    gguf: str
    mlx: str
    to_gguf: Callable = lambda w, cfg: w
    to_mlx: Callable = lambda w, cfg: w
    f32: bool = False  # whatever the file's kind: routers, small convolutions


class Family(NamedTuple):
    arch: str
    keys: list  # (key without the architecture, member of the configuration or a function of it); absent ones are left out
    tensors: list
    implied: dict | Callable = {}  # members of the configuration that a file does not say, or a function of its keys
    extra: Callable = lambda cfg: {}  # tensors of the file alone, by their names
    joined: dict = {}  # GGUF name: the two names whose rows it may hold, one after the other


def _by_heads(w, n_heads, split):
    """Rows of q or k between the half-split rotary order and the interleaved one of llama-type files."""
    shape = (n_heads, 2, -1) if split == "half" else (n_heads, -1, 2)
    return w.reshape(*shape, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def _rotated(name, mlx, heads):
    return Tensor(name, mlx, lambda w, cfg: _by_heads(w, cfg[heads], "half"), lambda w, cfg: _by_heads(w, cfg[heads], "pairs"))


KEYS = [("block_count", "num_hidden_layers"), ("embedding_length", "hidden_size"), ("feed_forward_length", "intermediate_size"),
        ("attention.head_count", "num_attention_heads"), ("attention.head_count_kv", "num_key_value_heads"),
        ("attention.layer_norm_rms_epsilon", "rms_norm_eps"), ("rope.freq_base", "rope_theta"),
        ("context_length", "max_position_embeddings"), ("attention.key_length", "head_dim"),
        ("attention.value_length", "head_dim")]
FLOATS = {"attention.layer_norm_rms_epsilon", "rope.freq_base", "rope.freq_base_swa", "final_logit_softcapping"}

OUTER = [Tensor("token_embd", "model.embed_tokens"), Tensor("output_norm", "model.norm"), Tensor("output", "lm_head")]
NORMS = [Tensor("blk.{}.attn_norm", "model.layers.{}.input_layernorm"),
         Tensor("blk.{}.ffn_norm", "model.layers.{}.post_attention_layernorm")]
QK = [Tensor("blk.{}.attn_q", "model.layers.{}.self_attn.q_proj"), Tensor("blk.{}.attn_k", "model.layers.{}.self_attn.k_proj")]
VO = [Tensor("blk.{}.attn_v", "model.layers.{}.self_attn.v_proj"),
      Tensor("blk.{}.attn_output", "model.layers.{}.self_attn.o_proj")]
QK_NORMS = [Tensor("blk.{}.attn_q_norm", "model.layers.{}.self_attn.q_norm"),
            Tensor("blk.{}.attn_k_norm", "model.layers.{}.self_attn.k_norm")]
FFN = [Tensor("blk.{}.ffn_gate", "model.layers.{}.mlp.gate_proj"), Tensor("blk.{}.ffn_up", "model.layers.{}.mlp.up_proj"),
       Tensor("blk.{}.ffn_down", "model.layers.{}.mlp.down_proj")]
EXPERTS = [Tensor("blk.{}.ffn_gate_inp", "model.layers.{}.mlp.gate", f32=True),
           Tensor("blk.{}.ffn_gate_exps", "model.layers.{}.mlp.switch_mlp.gate_proj"),
           Tensor("blk.{}.ffn_up_exps", "model.layers.{}.mlp.switch_mlp.up_proj"),
           Tensor("blk.{}.ffn_down_exps", "model.layers.{}.mlp.switch_mlp.down_proj")]
EXPERT_KEYS = [("expert_count", "num_experts"), ("expert_used_count", "num_experts_per_tok"),
               ("expert_feed_forward_length", "moe_intermediate_size")]

def _value_heads(first, dim):
    """Functions of (w, cfg) that move the value heads of a delta net, rows from first(cfg) on of dim(cfg) each, from the
    folder's order (those of a key head together) to the file's (one of each key head in turn), and back."""
    def move(w, cfg, back):
        n_keys, n = cfg["linear_num_key_heads"], cfg["linear_num_value_heads"]
        head, v = np.split(w, [first(cfg)])
        shape = (n // n_keys, n_keys) if back else (n_keys, n // n_keys)
        v = v.reshape(*shape, dim(cfg), *v.shape[1:]).swapaxes(0, 1).reshape(v.shape)
        return np.concatenate([head, v])

    return lambda w, cfg: move(w, cfg, False), lambda w, cfg: move(w, cfg, True)


_whole, _v_dim = lambda cfg: 0, lambda cfg: cfg["linear_value_head_dim"]
_of_qkv = _value_heads(lambda cfg: 2 * cfg["linear_num_key_heads"] * cfg["linear_key_head_dim"], _v_dim)
_of_values, _of_heads = _value_heads(_whole, _v_dim), _value_heads(_whole, lambda cfg: 1)
_LINEAR = "model.layers.{}.linear_attn."
DELTA = [Tensor("blk.{}.attn_qkv", _LINEAR + "in_proj_qkv", *_of_qkv), Tensor("blk.{}.attn_gate", _LINEAR + "in_proj_z", *_of_values),
         Tensor("blk.{}.ssm_beta", _LINEAR + "in_proj_b", *_of_heads), Tensor("blk.{}.ssm_alpha", _LINEAR + "in_proj_a", *_of_heads),
         Tensor("blk.{}.ssm_conv1d", _LINEAR + "conv1d", lambda w, cfg: _of_qkv[0](w[:, :, 0], cfg),
                lambda w, cfg: _of_qkv[1](w, cfg)[:, :, None], f32=True),
         Tensor("blk.{}.ssm_a", _LINEAR + "A_log", lambda w, cfg: -np.exp(_of_heads[0](w, cfg)),
                lambda w, cfg: np.log(-_of_heads[1](w, cfg))),
         Tensor("blk.{}.ssm_dt.bias", _LINEAR + "dt_bias", *_of_heads), Tensor("blk.{}.ssm_norm", _LINEAR + "norm"),
         Tensor("blk.{}.ssm_out", _LINEAR + "out_proj", lambda w, cfg: _of_values[0](w.T, cfg).T,
                lambda w, cfg: _of_values[1](w.T, cfg).T)]
DELTA_KEYS = [("block_count", lambda cfg: cfg["num_hidden_layers"] + cfg.get("mtp_num_hidden_layers", 0)),
              ("nextn_predict_layers", lambda cfg: cfg.get("mtp_num_hidden_layers")),
              ("rope.freq_base", lambda cfg: cfg["rope_parameters"]["rope_theta"]),
              ("rope.dimension_count", lambda cfg: int(cfg["head_dim"] * cfg["rope_parameters"]["partial_rotary_factor"])),
              ("full_attention_interval", "full_attention_interval"), ("ssm.conv_kernel", "linear_conv_kernel_dim"),
              ("ssm.state_size", "linear_key_head_dim"), ("ssm.group_count", "linear_num_key_heads"),
              ("ssm.time_step_rank", "linear_num_value_heads"),
              ("ssm.inner_size", lambda cfg: cfg["linear_num_value_heads"] * cfg["linear_value_head_dim"])]


def _of_delta_keys(get):
    return dict(num_hidden_layers=get("block_count") - (get("nextn_predict_layers") or 0),
                linear_value_head_dim=get("ssm.inner_size") // get("ssm.time_step_rank"),
                rope_parameters=dict(type="default", rope_theta=get("rope.freq_base"),
                                     partial_rotary_factor=get("rope.dimension_count") / get("attention.key_length")))


def _of_kind(cfg, kind, key):
    return cfg["rope_parameters"][kind + "_attention"][key]


def _gemma4_frequencies(cfg):
    """What the frequencies of layers that attend to everything are divided by: those beyond the share don't rotate."""
    factors = np.full(cfg["global_head_dim"] // 2, 1e30, np.float32)
    factors[:int(cfg["global_head_dim"] * _of_kind(cfg, "full", "partial_rotary_factor")) // 2] = 1
    return {"rope_freqs.weight": factors}


def _of_gemma4_keys(get):
    sliding = get("attention.sliding_window_pattern")
    return dict(num_hidden_layers=get("block_count"), hidden_size=get("embedding_length"),
                intermediate_size=get("feed_forward_length")[0], vocab_size_per_layer_input=700,
                layer_types=["sliding_attention" if s else "full_attention" for s in sliding],
                rope_parameters=dict(
                    full_attention=dict(rope_type="proportional", rope_theta=get("rope.freq_base"),
                                        partial_rotary_factor=0.25),
                    sliding_attention=dict(rope_type="default", rope_theta=get("rope.freq_base_swa"))))


GEMMA4_KEYS = [
    ("context_length", "max_position_embeddings"), ("embedding_length", "hidden_size"),
    ("feed_forward_length", lambda cfg: [cfg["intermediate_size"] * (1 + (i >= cfg["num_hidden_layers"] -
                                                                          cfg["num_kv_shared_layers"]))
                                         for i in range(cfg["num_hidden_layers"])]),
    ("attention.key_length", "global_head_dim"), ("attention.value_length", "global_head_dim"),
    ("attention.key_length_swa", "head_dim"), ("attention.value_length_swa", "head_dim"),
    ("rope.freq_base", lambda cfg: _of_kind(cfg, "full", "rope_theta")),
    ("rope.freq_base_swa", lambda cfg: _of_kind(cfg, "sliding", "rope_theta")),
    ("rope.dimension_count", "global_head_dim"), ("rope.dimension_count_swa", "head_dim"),
    ("attention.sliding_window", "sliding_window"), ("attention.shared_kv_layers", "num_kv_shared_layers"),
    ("attention.sliding_window_pattern", lambda cfg: [t == "sliding_attention" for t in cfg["layer_types"]]),
    ("embedding_length_per_layer_input", "hidden_size_per_layer_input"),
    ("final_logit_softcapping", "final_logit_softcapping")]
GEMMA4 = [Tensor("blk.{}.attn_norm", "model.layers.{}.input_layernorm"),
          Tensor("blk.{}.post_attention_norm", "model.layers.{}.post_attention_layernorm"),
          Tensor("blk.{}.ffn_norm", "model.layers.{}.pre_feedforward_layernorm"),
          Tensor("blk.{}.post_ffw_norm", "model.layers.{}.post_feedforward_layernorm"),
          Tensor("per_layer_token_embd", "model.embed_tokens_per_layer"),
          Tensor("per_layer_model_proj", "model.per_layer_model_projection"),
          Tensor("per_layer_proj_norm", "model.per_layer_projection_norm"),
          Tensor("blk.{}.inp_gate", "model.layers.{}.per_layer_input_gate"),
          Tensor("blk.{}.proj", "model.layers.{}.per_layer_projection"),
          Tensor("blk.{}.post_norm", "model.layers.{}.post_per_layer_input_norm"),
          Tensor("blk.{}.layer_output_scale.weight", "model.layers.{}.layer_scalar")]

# Norms of the folder are less one; those of the file are whole.
_LESS_ONE = (lambda w, cfg: w + 1, lambda w, cfg: w - 1)
GEMMA3 = [Tensor(t.gguf, t.mlx, *_LESS_ONE) for t in OUTER[1:2] + NORMS[:1] + QK_NORMS + [
    Tensor("blk.{}.post_attention_norm", "model.layers.{}.post_attention_layernorm"),
    Tensor("blk.{}.ffn_norm", "model.layers.{}.pre_feedforward_layernorm"),
    Tensor("blk.{}.post_ffw_norm", "model.layers.{}.post_feedforward_layernorm")]]

FAMILIES = {
    "llama": Family("llama", KEYS, OUTER + NORMS + VO + FFN +
                    [_rotated("blk.{}.attn_q", "model.layers.{}.self_attn.q_proj", "num_attention_heads"),
                     _rotated("blk.{}.attn_k", "model.layers.{}.self_attn.k_proj", "num_key_value_heads")]),
    "qwen2": Family("qwen2", KEYS, OUTER + NORMS + QK + VO + FFN),
    "qwen3": Family("qwen3", KEYS, OUTER + NORMS + QK + VO + QK_NORMS + FFN),
    "qwen3_5": Family("qwen35", [k for k in KEYS if k[0] not in ("block_count", "rope.freq_base")] + DELTA_KEYS,
                      OUTER + NORMS[:1] + QK + VO + QK_NORMS + FFN + DELTA +
                      [Tensor("blk.{}.post_attention_norm", "model.layers.{}.post_attention_layernorm")], _of_delta_keys),
    "gemma3_text": Family("gemma3", KEYS + [("attention.sliding_window", "sliding_window"),
                                           ("attention.sliding_window_pattern", "sliding_window_pattern")],
                          OUTER[:1] + QK + VO + FFN + GEMMA3,
                          lambda get: dict(query_pre_attn_scalar=get("attention.key_length"), rope_local_base_freq=1e4)),
    "gemma4_text": Family("gemma4", [k for k in KEYS if "length" not in k[0] and k[0] != "rope.freq_base"] + GEMMA4_KEYS,
                          OUTER + QK + VO + FFN + QK_NORMS + GEMMA4, _of_gemma4_keys, extra=_gemma4_frequencies),
    "qwen3_moe": Family("qwen3moe", KEYS + EXPERT_KEYS, OUTER + NORMS + QK + VO + QK_NORMS + EXPERTS,
                        implied=dict(decoder_sparse_step=1, mlp_only_layers=[], norm_topk_prob=True),
                        joined={"blk.{}.ffn_gate_up_exps": ("blk.{}.ffn_gate_exps", "blk.{}.ffn_up_exps")}),
}


def _layered(pattern, name):
    """The layer that a name has at the pattern's {}, "" when it has none; None: another name."""
    head, mark, tail = pattern.partition("{}")
    layer = name[len(head):len(name) - len(tail)]
    fits = name.startswith(head) and name.endswith(tail) and name == head + layer + tail
    return layer if fits and (layer.isdigit() if mark else not layer) else None


def _find(tensors, side, name):
    """(tensor, its name on the other side), by the whole name or without its suffix."""
    for base, suffix in ((name, ""), *((name[:-len(s)], s) for s in (".weight", ".bias") if name.endswith(s))):
        for t in tensors:
            layer = _layered(getattr(t, side), base)
            if layer is not None:
                return t, (t.mlx if side == "gguf" else t.gguf).format(layer) + suffix
    raise KeyError(f"no tensor of the family is called {name}")


def _pack_q6_k(x):
    x = x.reshape(-1, 16, 16)
    scale = np.abs(x).max(axis=2) / 31
    d = (scale.max(axis=1, keepdims=True) / 127).astype(np.float16)
    sc = np.rint(np.divide(scale, d, where=d > 0, out=np.zeros_like(scale)))
    step = sc * d.astype(np.float32)
    q = np.rint(np.divide(x, step[..., None], where=step[..., None] > 0, out=np.zeros_like(x)))
    q = (np.clip(q, -32, 31) + 32).astype(np.uint8).reshape(-1, 2, 4, 32)
    ql = (q[:, :, 0:2] & 15) | (q[:, :, 2:4] & 15) << 4
    qh = np.bitwise_or.reduce((q >> 4) << np.arange(0, 8, 2, dtype=np.uint8)[:, None], axis=2)
    n = len(q)
    return np.concatenate([ql.reshape(n, 128), qh.reshape(n, 64), sc.astype(np.int8).view(np.uint8), d.view(np.uint8)], axis=1)


def _pack_q4_k(x):
    x = x.reshape(-1, 8, 32)
    low = np.minimum(x.min(axis=2), 0)
    scale = (x.max(axis=2) - low) / 15
    d = (scale.max(axis=1, keepdims=True) / 63).astype(np.float16)
    dmin = (-low.min(axis=1, keepdims=True) / 63).astype(np.float16)
    part = lambda v, by: np.clip(np.rint(np.divide(v, by, where=by > 0, out=np.zeros_like(v))), 0, 63)
    s, m = part(scale, d.astype(np.float32)), part(-low, dmin.astype(np.float32))
    step = (s * d.astype(np.float32))[..., None]
    above = x + (m * dmin.astype(np.float32))[..., None]
    q = np.clip(np.rint(np.divide(above, step, where=step > 0, out=np.zeros_like(x))), 0, 15).astype(np.uint8)
    s, m, q = s.astype(np.uint8), m.astype(np.uint8), q.reshape(-1, 4, 2, 32)
    packed = np.concatenate([s[:, :4] | s[:, 4:] >> 4 << 6, m[:, :4] | m[:, 4:] >> 4 << 6, s[:, 4:] & 15 | (m[:, 4:] & 15) << 4],
                            axis=1)
    n = len(q)
    return np.concatenate([d.view(np.uint8), dmin.view(np.uint8), packed, (q[:, :, 0] | q[:, :, 1] << 4).reshape(n, 128)], axis=1)


PACKERS = {"Q4_K": _pack_q4_k, "Q6_K": _pack_q6_k}  # the package `gguf` reads these but does not write them
KINDS = ["F32", "F16", "Q8_0", "Q4_K", "Q6_K"]


def _pack(w, kind):
    """(array, type) of a tensor in that kind, or in the next one whose blocks fit its rows."""
    number = gguf.GGMLQuantizationType[kind]
    while w.shape[-1] % gguf.GGML_QUANT_SIZES[number][0]:
        kind = {"Q4_K": "Q8_0", "Q6_K": "Q8_0"}.get(kind, "F16")
        number = gguf.GGMLQuantizationType[kind]
    if kind in PACKERS:
        return PACKERS[kind](np.ascontiguousarray(w)).reshape(*w.shape[:-1], -1), number
    return gguf.quants.quantize(w, number), number


def _joined(family, tensors):
    """The tensors of a file by their names, those of `family.joined` put together."""
    for both, parts in family.joined.items():
        for name in list(tensors):
            layer = _layered(parts[0] + ".weight", name)
            if layer is not None:
                pair = [tensors.pop(part.format(layer) + ".weight") for part in parts]
                tensors[both.format(layer) + ".weight"] = np.concatenate(pair, axis=-2)
    return tensors


def _parted(family, name, w):
    """What one tensor of a file holds: (name, weights), two of a joined one."""
    for both, parts in family.joined.items():
        layer = _layered(both + ".weight", name)
        if layer is not None:
            return [(part.format(layer) + ".weight", half) for part, half in zip(parts, np.split(w, 2, axis=-2))]
    return [(name, w)]


def write(path, cfg, weights, kind, joined=False):
    """Write float32 weights by their MLX names as a file of `kind`; `joined`: with the tensors that may be one as one."""
    if cfg.get("rope_scaling"):
        raise ValueError("rope_scaling is not written")
    family = FAMILIES[cfg["model_type"]]
    out = gguf.GGUFWriter(path, family.arch)
    for key, member in family.keys:
        value = member(cfg) if callable(member) else cfg.get(member)
        key = f"{family.arch}.{key}"
        if value is not None:
            floats = key[len(family.arch) + 1:] in FLOATS
            (out.add_array if isinstance(value, list) else out.add_float32 if floats else out.add_uint32)(key, value)
    tensors = {}
    for name, w in weights.items():
        t, theirs = _find(family.tensors, "mlx", name)
        tensors[theirs] = t.to_gguf(w, cfg).astype(np.float32)
    for name, w in (_joined(family, tensors) if joined else tensors).items():
        plain = w.ndim == 1 or any(t.f32 and _layered(t.gguf + ".weight", name) is not None for t in family.tensors)
        data, number = (w, F32) if plain else _pack(w, kind)
        out.add_tensor(name, data, raw_dtype=number)
    for name, w in family.extra(cfg).items():
        out.add_tensor(name, w, raw_dtype=F32)
    out.write_header_to_file(), out.write_kv_data_to_file(), out.write_tensors_to_file()
    out.close()
    return path


def read(path):
    """(configuration, weights by their MLX names as float32 arrays) of a GGUF file of one of the families."""
    r = gguf.GGUFReader(path)
    arch = r.fields["general.architecture"].contents()
    model_type, family = next((n, f) for n, f in FAMILIES.items() if f.arch == arch)
    get = lambda key: r.fields[f"{arch}.{key}"].contents() if f"{arch}.{key}" in r.fields else None
    cfg = dict(family.implied(get) if callable(family.implied) else family.implied, model_type=model_type)
    for key, member in family.keys:
        if isinstance(member, str) and get(key) is not None:
            cfg[member] = get(key)
    weights = {}
    factors = {t.name: t.data[0] for t in r.tensors if t.name.endswith((".scale", ".input_scale"))}
    for t in r.tensors:
        if t.name in factors or t.name == "rope_freqs.weight":
            continue
        w = gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32)
        w *= factors.get(t.name.removesuffix("weight") + "scale", np.float32(1))
        for name, w in _parted(family, t.name, w):
            tensor, ours = _find(family.tensors, "gguf", name)
            weights[ours] = tensor.to_mlx(w, cfg)
    cfg["vocab_size"] = len(weights["model.embed_tokens.weight"])
    cfg["tie_word_embeddings"] = "lm_head.weight" not in weights
    return cfg, weights


def main():
    import reference

    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("folder")
    p.add_argument("out")
    p.add_argument("--kind", default="F16", choices=KINDS)
    p.add_argument("--joined", action="store_true", help="write the tensors that a file may hold as one as one")
    a = p.parse_args()
    write(a.out, *reference.folder_weights(a.folder), a.kind, a.joined)
    print(a.out)


if __name__ == "__main__":
    main()
