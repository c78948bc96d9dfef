#!/usr/bin/env python3
"""Make a model folder of a known shape with random weights from a seed, through mlx-lm's own model classes.

    tools/make_model.py --family phi3 --shape tiny --bits 4 --group 64 --dtype float16 --seed 1 OUT
    tools/make_model.py --family phi3 --shape phi3-mini OUT      # 2.1 GB, the shape of Phi-3-mini-128k-instruct

The folder holds config.json, model.safetensors and a small tokenizer with a chat template.
"""

import argparse
import copy
import json
import math
import pathlib

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten, tree_map_with_path

TINY = dict(num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, vocab_size=700, rms_norm_eps=1e-5)
SHAPES = {
    ("llama", "tiny"): dict(TINY, hidden_size=256, intermediate_size=384, rope_theta=10000.0,
                            max_position_embeddings=2048, tie_word_embeddings=True),
    ("llama", "odd"): dict(TINY, hidden_size=192, head_dim=96, num_attention_heads=6, num_key_value_heads=3,
                           intermediate_size=320, rope_theta=500000.0, max_position_embeddings=4096,
                           tie_word_embeddings=False,
                           rope_scaling=dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                             original_max_position_embeddings=512)),
    ("qwen2", "tiny"): dict(TINY, hidden_size=256, intermediate_size=384, rope_theta=1000000.0, sliding_window=64,
                            use_sliding_window=False, max_window_layers=2, max_position_embeddings=2048,
                            tie_word_embeddings=True),
    ("qwen3", "tiny"): dict(TINY, hidden_size=256, head_dim=96, intermediate_size=384, rope_theta=1000000.0,
                            max_position_embeddings=2048, tie_word_embeddings=False, attention_bias=False),
    ("qwen3_moe", "tiny"): dict(TINY, hidden_size=256, head_dim=64, intermediate_size=384, moe_intermediate_size=128,
                                num_experts=8, num_experts_per_tok=2, decoder_sparse_step=1, mlp_only_layers=[],
                                norm_topk_prob=True, rope_theta=1000000.0, max_position_embeddings=2048,
                                tie_word_embeddings=False),
    ("qwen3_moe", "odd"): dict(TINY, num_hidden_layers=6, hidden_size=192, num_attention_heads=15, num_key_value_heads=3,
                               head_dim=64, intermediate_size=320, moe_intermediate_size=192, num_experts=7,
                               num_experts_per_tok=3, decoder_sparse_step=2, mlp_only_layers=[3], norm_topk_prob=False,
                               rope_theta=10000.0, max_position_embeddings=2048, tie_word_embeddings=True),
    ("qwen3_5", "tiny"): dict(TINY, num_hidden_layers=4, hidden_size=192, head_dim=32, num_attention_heads=6,
                              num_key_value_heads=3, intermediate_size=320, linear_num_value_heads=15,
                              linear_num_key_heads=5, linear_key_head_dim=20, linear_value_head_dim=64,
                              linear_conv_kernel_dim=4, full_attention_interval=3, max_position_embeddings=2048,
                              tie_word_embeddings=False, mtp_num_hidden_layers=1,
                              rope_parameters=dict(rope_type="default", rope_theta=1e7, partial_rotary_factor=0.25,
                                                   mrope_section=[2, 2, 2])),
    ("qwen3_5", "odd"): dict(TINY, num_hidden_layers=4, hidden_size=192, head_dim=64, num_attention_heads=3,
                             num_key_value_heads=1, intermediate_size=256, linear_num_value_heads=4,
                             linear_num_key_heads=4, linear_key_head_dim=64, linear_value_head_dim=48,
                             linear_conv_kernel_dim=3, full_attention_interval=2, max_position_embeddings=2048,
                             tie_word_embeddings=True,
                             rope_parameters=dict(type="default", rope_theta=1e6, partial_rotary_factor=0.5)),
    ("qwen3_5", "qwen3.5-0.8b"): dict(num_hidden_layers=24, hidden_size=1024, head_dim=256, num_attention_heads=8,
                                      num_key_value_heads=2, intermediate_size=3584, vocab_size=248320,
                                      rms_norm_eps=1e-6, linear_num_value_heads=16, linear_num_key_heads=16,
                                      linear_key_head_dim=128, linear_value_head_dim=128, linear_conv_kernel_dim=4,
                                      full_attention_interval=4, max_position_embeddings=262144,
                                      tie_word_embeddings=True,
                                      rope_parameters=dict(rope_type="default", rope_theta=1e7,
                                                           partial_rotary_factor=0.25, mrope_section=[11, 11, 10])),
    ("gemma3_text", "tiny"): dict(TINY, num_hidden_layers=7, hidden_size=192, head_dim=64, num_attention_heads=3,
                                  num_key_value_heads=1, intermediate_size=320, sliding_window=48,
                                  sliding_window_pattern=3, rope_theta=1e6, rope_local_base_freq=1e4,
                                  query_pre_attn_scalar=64, max_position_embeddings=2048),
    ("gemma3", "tiny"): dict(TINY, num_hidden_layers=6, hidden_size=256, head_dim=32, num_attention_heads=10,
                             num_key_value_heads=5, intermediate_size=192, sliding_window=48,
                             rope_theta=1e6, rope_local_base_freq=1e4, query_pre_attn_scalar=24,
                             max_position_embeddings=2048, rope_scaling=dict(rope_type="linear", factor=8.0)),
    ("gemma4_text", "tiny"): dict(TINY, num_hidden_layers=7, hidden_size=192, head_dim=64, global_head_dim=128,
                                  num_attention_heads=3, num_key_value_heads=1, intermediate_size=192,
                                  hidden_size_per_layer_input=64, vocab_size_per_layer_input=700,
                                  num_kv_shared_layers=3, sliding_window=48, final_logit_softcapping=3.0,
                                  max_position_embeddings=2048, tie_word_embeddings=True,
                                  layer_types=["sliding_attention", "full_attention"] * 3 + ["sliding_attention"],
                                  rope_parameters=dict(
                                      full_attention=dict(rope_type="proportional", rope_theta=1e6,
                                                          partial_rotary_factor=0.25),
                                      sliding_attention=dict(rope_type="default", rope_theta=1e4))),
    ("gemma4", "tiny"): dict(TINY, num_hidden_layers=6, hidden_size=256, head_dim=32, global_head_dim=64,
                             num_attention_heads=10, num_key_value_heads=5, num_global_key_value_heads=2,
                             attention_k_eq_v=True, intermediate_size=192, hidden_size_per_layer_input=0,
                             num_kv_shared_layers=0, sliding_window=48, sliding_window_pattern=3,
                             final_logit_softcapping=None, max_position_embeddings=2048),
    ("phi3", "tiny"): dict(TINY, hidden_size=384, num_key_value_heads=4, intermediate_size=512, rope_theta=10000.0,
                           max_position_embeddings=131072, original_max_position_embeddings=4096,
                           tie_word_embeddings=False),
    ("phi3", "phi3-mini"): dict(num_hidden_layers=32, hidden_size=3072, num_attention_heads=32, num_key_value_heads=32,
                                intermediate_size=8192, vocab_size=32064, rms_norm_eps=1e-5, rope_theta=10000.0,
                                max_position_embeddings=131072, original_max_position_embeddings=4096,
                                tie_word_embeddings=False),
}

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\\n' + message['content'] + '<|end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)


# Families whose text model is a part of a larger one, and what config.json calls that part.
NESTED = {"qwen3_5": "qwen3_5_text", "gemma3": "gemma3_text", "gemma4": "gemma4_text"}


def config_of(family, shape):
    cfg = dict(copy.deepcopy(SHAPES[family, shape]), model_type=family, bos_token_id=1, eos_token_id=2)
    cfg.update(dict(hidden_activation="gelu_pytorch_tanh") if family.startswith("gemma") else dict(hidden_act="silu"))
    if family == "phi3":
        half = cfg["hidden_size"] // cfg["num_attention_heads"] // 2
        cfg["rope_scaling"] = dict(type="longrope", short_factor=[1.0 + 0.02 * i for i in range(half)],
                                   long_factor=[1.0 + 1.3 * i for i in range(half)])
    if family in NESTED and shape != "odd":
        top = {k: cfg[k] for k in ("tie_word_embeddings", "vocab_size") if k in cfg}
        cfg = dict(top, model_type=family, text_config=dict(cfg, model_type=NESTED[family]))
    return cfg


def is_gemma3(family):
    """Norms of its folders are less one, and the head is the embedding."""
    return family.startswith("gemma3")


def text_config(cfg):
    """The part of a configuration that describes the text model."""
    return cfg.get("text_config", cfg)


def model_of(cfg):
    """mlx-lm's model for a configuration, with its random initial weights."""
    import importlib

    module = importlib.import_module(f"mlx_lm.models.{cfg['model_type']}")
    model = module.Model(module.ModelArgs.from_dict(copy.deepcopy(cfg)))
    if is_gemma3(cfg["model_type"]):
        getattr(model, "language_model", model).sanitize({})  # which ties the head
    return model


def randomize(model, dtype, seed, norm=1, scaled=True):
    """Weights of a size that keeps activations near one and spreads the logits; those of norms around `norm`.
    Not `scaled`: scores are as large as the norm of the queries makes them."""
    mx.random.seed(seed)

    def draw(path, p):
        if path.endswith("A_log"):
            return mx.random.uniform(-4, 1, p.shape).astype(dtype)
        if path.endswith((".bias", "dt_bias")):
            return (0.5 * mx.random.normal(p.shape)).astype(dtype)
        if path.endswith("q_norm.weight") and not scaled:
            return (p.shape[0] ** -0.5 * (1 + 0.1 * mx.random.normal(p.shape))).astype(dtype)
        if p.ndim == 1:
            return (norm + 0.1 * mx.random.normal(p.shape)).astype(dtype)
        return (mx.random.normal(p.shape) / math.sqrt(p.shape[-1])).astype(dtype)

    model.update(tree_map_with_path(draw, model.parameters()))


def flip_some_scales(weights, seed):
    """MLX files hold negative scales (the bias is then the largest edge); make sure that ours do."""
    keys = sorted(k for k in weights if k.endswith(".scales") and k[:-6] + "biases" in weights)
    mx.random.seed(seed + 1)
    for k in keys:
        s, b = weights[k], weights[k[:-6] + "biases"]
        flip = mx.random.uniform(shape=s.shape) < 0.3
        weights[k] = mx.where(flip, -s, s)
        weights[k[:-6] + "biases"] = mx.where(flip, -b, b)


def write_tokenizer(folder, n_vocab):
    """A byte-fallback BPE with the marks of a chat; every id below n_vocab has a spelling."""
    marks = ["<|endoftext|>", "<|assistant|>", "<|system|>", "<|user|>", "<|end|>"]
    vocab = {"<unk>": 0, "<s>": 1, "</s>": 2}
    for b in range(256):
        vocab[f"<0x{b:02X}>"] = len(vocab)
    for c in ["▁"] + [chr(c) for c in range(33, 127)]:
        vocab[c] = len(vocab)
    merges = []
    for a in "▁etaoinshrdlu":
        for b in "etaoinshrdlu":
            if len(vocab) + len(marks) < n_vocab:
                merges.append(f"{a} {b}")
                vocab[a + b] = len(vocab)
    while len(vocab) + len(marks) < n_vocab:
        vocab[f"<filler_{len(vocab)}>"] = len(vocab)
    added = [dict(id=i, content=t, single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
             for t, i in list(vocab.items())[:3]]
    added += [dict(id=len(vocab) + i, content=t, single_word=False, lstrip=False, rstrip=True, normalized=False,
                   special=True) for i, t in enumerate(marks)]
    tokenizer = dict(
        version="1.0", truncation=None, padding=None, added_tokens=added,
        normalizer=dict(type="Sequence", normalizers=[
            dict(type="Prepend", prepend="▁"), dict(type="Replace", pattern=dict(String=" "), content="▁")]),
        pre_tokenizer=None, post_processor=None,
        decoder=dict(type="Sequence", decoders=[
            dict(type="Replace", pattern=dict(String="▁"), content=" "), dict(type="ByteFallback"),
            dict(type="Fuse"), dict(type="Strip", content=" ", start=1, stop=0)]),
        model=dict(type="BPE", dropout=None, unk_token="<unk>", continuing_subword_prefix=None, end_of_word_suffix=None,
                   fuse_unk=True, byte_fallback=True, ignore_merges=False, vocab=vocab, merges=merges))
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False))
    (folder / "tokenizer_config.json").write_text(json.dumps(dict(
        tokenizer_class="LlamaTokenizer", bos_token="<s>", eos_token="<|end|>", unk_token="<unk>",
        pad_token="<|endoftext|>", add_bos_token=False, chat_template=CHAT_TEMPLATE)))


def make(folder, family, shape="tiny", bits=4, group=64, dtype="float16", seed=1, overrides=None, negative=True,
         mode="affine"):
    """Write the folder. bits 0: not quantised. overrides: {tensor path: {"bits", "group_size", "mode"} or False}; an
    override without a mode is affine."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    cfg = config_of(family, shape)
    model = model_of(cfg)
    randomize(model, getattr(mx, dtype), seed, norm=0 if is_gemma3(family) else 1,
              scaled=not family.startswith("gemma4"))
    if bits:
        overrides = overrides or {}

        def choose(path, module):
            if not hasattr(module, "to_quantized"):
                return False
            return overrides.get(path, True)

        nn.quantize(model, group_size=group, bits=bits, mode=mode, class_predicate=choose)
        cfg["quantization"] = dict(group_size=group, bits=bits, **overrides)
        if mode != "affine":
            cfg["quantization"]["mode"] = mode
        cfg["quantization_config"] = cfg["quantization"]
    weights = dict(tree_flatten(model.parameters()))
    if bits and negative:
        flip_some_scales(weights, seed)
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "mlx"})
    cfg["torch_dtype"] = dtype
    (folder / "config.json").write_text(json.dumps(cfg, indent=1))
    write_tokenizer(folder, text_config(cfg)["vocab_size"])
    return folder


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("out")
    p.add_argument("--family", default="phi3", choices=sorted({family for family, _ in SHAPES}))
    p.add_argument("--shape", default="tiny")
    p.add_argument("--bits", type=int, default=4)
    p.add_argument("--group", type=int, default=64)
    p.add_argument("--dtype", default="float16", choices=["float16", "bfloat16", "float32"])
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    make(a.out, a.family, a.shape, a.bits, a.group, a.dtype, a.seed, negative=a.shape in ("tiny", "odd"))
    print(a.out)


if __name__ == "__main__":
    main()
