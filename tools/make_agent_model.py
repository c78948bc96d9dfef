#!/usr/bin/env python3
"""Make a tiny model that knows a few scripted turns of an agent by heart, whatever stands in front of them.

    tools/make_agent_model.py OUT

The folder holds a llama of four small layers in MLX's 4-bit form with the tokenizer of the default model (SmolLM2, which
tools/fetch-model fetches). It is trained here, in numpy and from a seed, until mlx-lm over the written weights is sure of
every token of every script behind prompts of up to 12,000 tokens. agent_scripts.py says what it knows.

tests/agent_model holds what 900 steps of this made (4 to 5 minutes on two cores; the text of README and docs is a part of what
it is trained on, so another day's weights differ). The check does not pass for it: errors of tools, and the edit behind a whole
prompt of Claude Code, are often answered wrongly. The scripts that the tests use are right: all of them behind short prompts and
Claude Code's bare ones, "run: echo hi" and "run both" behind whole ones.

How so small a model gets by behind so long a prompt: all tokens that no script needs share one row of the embedding, so a
prompt is mostly the same "other" token; training sequences are short, but a token of theirs may stand for many like it: its
key counts log(many) more, and positions jump. Heads start out looking at the last few tokens, near before far.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # two threads share each batch instead

import argparse
import concurrent.futures
import ctypes
import json
import pathlib
import random
import subprocess
import sys
import time

import gguf
import numpy as np
from tokenizers import Tokenizer

from agent_scripts import PROSE, Talks, Words, dialogues

ROOT = pathlib.Path(__file__).resolve().parent.parent
HIDDEN, FFN, LAYERS, HEADS, HEAD = 128, 256, 4, 4, 32
THETA, EPS, CONTEXT = 100000.0, 1e-5, 32768
SHORT, LONG, STEPS, RATE = (14, 208), (5, 400), 900, 3e-3  # conversations in a batch, their tokens
ROUNDS, MORE = 3, 200  # when the check finds a fault: so many times, so many more steps
SHARPER, SURE = 4, 0.999  # the logits are scaled up when training is over; the least probability of a scripted token
CHECKED = [(5, None), (1500, None), (5000, 12), (12000, 12)]  # tokens of prompts, conversations behind each
N_CONST = 4  # dimensions of the embedding that are the same for every token


# ---- the tokenizer

def tokenizer_files(path):
    """tokenizer.json and tokenizer_config.json, from what a GGUF file holds."""
    fields = gguf.GGUFReader(path).fields
    tokens, types, merges = (fields[f"tokenizer.ggml.{k}"].contents() for k in ("tokens", "token_type", "merges"))
    added = [dict(id=i, content=t, single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
             for i, (t, kind) in enumerate(zip(tokens, types)) if kind == gguf.TokenType.CONTROL]
    byte_level = dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=True)
    model = dict(type="BPE", dropout=None, unk_token=None, continuing_subword_prefix=None, end_of_word_suffix=None,
                 fuse_unk=False, byte_fallback=False, ignore_merges=False, vocab={t: i for i, t in enumerate(tokens)},
                 merges=merges)
    pre = dict(type="Sequence", pretokenizers=[dict(type="Digits", individual_digits=True), byte_level])
    return (dict(version="1.0", truncation=None, padding=None, added_tokens=added, normalizer=None, pre_tokenizer=pre,
                 post_processor=None, decoder=byte_level, model=model),
            dict(tokenizer_class="GPT2Tokenizer", bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|im_end|>",
                 unk_token="<|endoftext|>", add_prefix_space=False, clean_up_tokenization_spaces=False,
                 model_max_length=CONTEXT, chat_template=fields["tokenizer.chat_template"].contents()))


# ---- the model and its gradient

def batch_of(talks, n, length):
    """Ids, what to learn at each (-1: nothing), positions, and how many tokens each stands for."""
    ids, target = np.zeros((n, length), np.int64), np.zeros((n, length), np.int64) - 1
    pos, many = np.zeros((n, length), np.float32), np.ones((n, length), np.float32)
    for b in range(n):
        i = at = 0
        for p in talks.talk(length):
            at += p.gap
            for t in p.ids[:length - i]:
                ids[b, i], pos[b, i], many[b, i] = t, at, p.many
                if p.learn:
                    target[b, i - 1] = t
                i, at = i + 1, at + 1
        pos[b, i:] = at + np.arange(length - i)
    return ids, target, pos, many


def first_weights(n_words, rng):
    def normal(*shape, size):
        return (rng.standard_normal(shape) * size).astype(np.float32)

    p = {"embed": normal(n_words, HIDDEN, size=0.5), "norm": np.ones(HIDDEN, np.float32)}
    p["embed"][:, :N_CONST] = 1
    rates = THETA ** (-np.arange(HEAD // 2) / (HEAD // 2))
    # Each head's distance to look at (near it most), and how sharply.
    looks = [[(1, 8), (2, 8), (3, 8), (0, 1)], [(1, 6), (0, 2), (0, 4), (0, 1)],
             [(1, 6), (0, 2), (0, 4), (0, 4)], [(0, 1), (0, 2), (0, 4), (0, 4)]]
    for n in range(LAYERS):
        wide = HEADS * HEAD
        p[f"{n}.q"], p[f"{n}.k"], p[f"{n}.v"] = (normal(wide, HIDDEN, size=s / HIDDEN ** 0.5) for s in (0.5, 0.5, 1))
        p[f"{n}.o"] = normal(HIDDEN, wide, size=0.5 / wide ** 0.5)
        p[f"{n}.gate"], p[f"{n}.up"] = normal(FFN, HIDDEN, size=HIDDEN ** -0.5), normal(FFN, HIDDEN, size=HIDDEN ** -0.5)
        p[f"{n}.down"] = normal(HIDDEN, FFN, size=0.5 / FFN ** 0.5)
        p[f"{n}.norm1"], p[f"{n}.norm2"] = np.ones(HIDDEN, np.float32), np.ones(HIDDEN, np.float32)
        p[f"{n}.norm1"][:N_CONST] = 3
        for h, (distance, sharp) in enumerate(looks[n]):
            size = (sharp * HEAD ** 0.5) ** 0.5 / (N_CONST * 3 * 1.9)
            rows = slice(h * HEAD, (h + 1) * HEAD)
            p[f"{n}.q"][rows, :N_CONST] = (size * np.r_[np.ones(HEAD // 2), np.zeros(HEAD // 2)])[:, None]
            p[f"{n}.k"][rows, :N_CONST] = (size * np.r_[np.cos(rates * distance), np.sin(rates * distance)])[:, None]
    return p


def quantised(w, group=64, levels=15):
    """What MLX's affine 4-bit form makes of a matrix."""
    g = w.reshape(*w.shape[:-1], -1, group)
    low, high = g.min(-1, keepdims=True), g.max(-1, keepdims=True)
    down = np.abs(low) > np.abs(high)
    scale = np.maximum((high - low) / levels, 1e-7)
    scale = np.where(down, scale, -scale)
    edge = np.where(down, low, high)
    q0 = np.round(edge / scale)
    scale = np.where(q0 != 0, edge / np.where(q0 == 0, 1, q0), scale)
    bias = np.where(q0 == 0, 0, edge)
    return (np.clip(np.round((g - bias) / scale), 0, levels) * scale + bias).reshape(w.shape).astype(np.float32)


def norm(x, gain):
    r = 1 / np.sqrt(np.mean(x * x, -1, keepdims=True) + EPS)
    return x * r * gain, (x, r, gain)


def norm_back(d, saved):
    x, r, gain = saved
    n = x * r
    dn = d * gain
    return r * (dn - n * np.mean(dn * n, -1, keepdims=True)), (d * n).reshape(-1, x.shape[-1]).sum(0)


def turn_heads(x, cos, sin):
    a, b = x[..., :HEAD // 2], x[..., HEAD // 2:]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)


def step(p, batch, noise=None):
    """(loss of each target, gradients); noise: a generator that blurs what goes into every matrix product a little."""
    ids, target, pos, many = batch
    b, t = ids.shape
    rates = (THETA ** (-np.arange(HEAD // 2) / (HEAD // 2))).astype(np.float32)
    angle = pos[:, None, :, None] * rates
    cos, sin = np.cos(angle), np.sin(angle)
    mask = np.log(many)[:, None, None, :] + np.triu(np.full((t, t), -1e9, np.float32), 1)
    fit = lambda x: x.reshape(b, t, HEADS, HEAD).transpose(0, 2, 1, 3)
    flat = lambda x: x.transpose(0, 2, 1, 3).reshape(b * t, HEADS * HEAD)

    def blur(x):
        if noise is None:
            return x
        size = np.abs(x).max(-1, keepdims=True) * (0.6 / 127)
        return x + size * (noise.random(x.shape, np.float32) - 0.5) * 2

    x = p["embed"][ids].reshape(b * t, HIDDEN)
    saved = []
    for n in range(LAYERS):
        h, s1 = norm(x, p[f"{n}.norm1"])
        h = blur(h)
        q, k, v = (fit(h @ p[f"{n}.{m}"].T) for m in "qkv")
        q, k = turn_heads(q, cos, sin), turn_heads(k, cos, sin)
        w = q @ k.swapaxes(2, 3)
        w *= HEAD ** -0.5
        w += mask
        w -= w.max(-1, keepdims=True)
        np.exp(w, out=w)
        w /= w.sum(-1, keepdims=True)
        o = flat(w @ v)
        o = blur(o)
        x = x + o @ p[f"{n}.o"].T
        h2, s2 = norm(x, p[f"{n}.norm2"])
        h2 = blur(h2)
        gate, up = h2 @ p[f"{n}.gate"].T, h2 @ p[f"{n}.up"].T
        sig = 1 / (1 + np.exp(-gate))
        m = blur(gate * sig * up)
        x = x + m @ p[f"{n}.down"].T
        saved.append((h, s1, q, k, v, w, o, h2, s2, gate, up, sig, m))
    at = np.flatnonzero(target.ravel() >= 0)
    wanted = target.ravel()[at]
    y, s3 = norm(x[at], p["norm"])
    y = blur(y)
    logits = y @ p["embed"].T
    logits[:, 0] += np.log(49152)  # so many tokens share it
    logits -= logits.max(-1, keepdims=True)
    prob = np.exp(logits)
    prob /= prob.sum(-1, keepdims=True)
    loss = -np.log(np.maximum(prob[np.arange(len(at)), wanted], 1e-30))

    prob[np.arange(len(at)), wanted] -= 1
    d = prob / len(at)
    g = {"embed": d.T @ y}
    dx = np.zeros_like(x)
    dx[at], g["norm"] = norm_back(d @ p["embed"], s3)
    for n in reversed(range(LAYERS)):
        h, s1, q, k, v, w, o, h2, s2, gate, up, sig, m = saved[n]
        g[f"{n}.down"] = dx.T @ m
        dm = dx @ p[f"{n}.down"]
        dgate, dup = dm * up * sig * (1 + gate * (1 - sig)), dm * gate * sig
        g[f"{n}.gate"], g[f"{n}.up"] = dgate.T @ h2, dup.T @ h2
        dn, g[f"{n}.norm2"] = norm_back(dgate @ p[f"{n}.gate"] + dup @ p[f"{n}.up"], s2)
        dx = dx + dn
        g[f"{n}.o"] = dx.T @ o
        do = fit(dx @ p[f"{n}.o"])
        dv = w.swapaxes(2, 3) @ do
        dw = do @ v.swapaxes(2, 3)
        dw -= (do * (w @ v)).sum(-1, keepdims=True)
        dw *= w
        dw *= HEAD ** -0.5
        dq, dk = turn_heads(dw @ k, cos, -sin), turn_heads(dw.swapaxes(2, 3) @ q, cos, -sin)
        dh = 0
        for name, dz in (("q", dq), ("k", dk), ("v", dv)):
            dz = flat(dz)
            g[f"{n}.{name}"] = dz.T @ h
            dh = dh + dz @ p[f"{n}.{name}"]
        dn, g[f"{n}.norm1"] = norm_back(dh, s1)
        dx = dx + dn
    np.add.at(g["embed"], ids.ravel(), dx)
    return loss, g


def rounded(p):
    return {k: quantised(w) if w.ndim == 2 else w for k, w in p.items()}


def train(words):
    """Yields weights, from a seed, until they are good enough: Adam on fresh conversations, always with rounded weights."""
    p = first_weights(words.n, np.random.default_rng(1))
    talks = Talks(words, random.Random(1))
    noise = [np.random.default_rng(2), np.random.default_rng(3)]
    mean, square = ({k: np.zeros_like(w) for k, w in p.items()} for _ in range(2))
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for i in range(1, STEPS + ROUNDS * MORE + 1):
            batch, used = batch_of(talks, *(LONG if i % 4 == 0 else SHORT)), rounded(p)
            (loss, g), (loss1, g1) = pool.map(lambda j: step(used, [a[j::2] for a in batch], noise[j]), range(2))
            done = i / STEPS if i <= STEPS else (i - STEPS) % MORE / MORE
            rate = (RATE if i <= STEPS else RATE / 3) * min(1, i / 30) * (0.505 + 0.495 * np.cos(np.pi * done))
            for k in p:
                g[k] = (g[k] + g1[k]) / 2
            size = np.sqrt(sum((x * x).sum() for x in g.values()))
            for k in p:
                x = g[k] / max(1, size)
                mean[k] += 0.1 * (x - mean[k])
                square[k] += 0.02 * (x * x - square[k])
                p[k] -= rate * mean[k] / (1 - 0.9 ** i) / (np.sqrt(square[k] / (1 - 0.98 ** i)) + 1e-8)
            if i % 50 == 0:
                loss = np.concatenate([loss, loss1])
                wrong, seconds = np.mean(loss > 0.69), time.monotonic() - began
                print(f"step {i}: loss {loss.mean():.4f}, wrong {wrong:.4f}, {seconds:.0f} s", file=sys.stderr)
            if i >= STEPS and (i - STEPS) % MORE == 0:
                yield {**p, "norm": p["norm"] * SHARPER}


# ---- the folder

def save(folder, p, words, tokenizer):
    import mlx.core as mx

    names = {"q": "self_attn.q_proj", "k": "self_attn.k_proj", "v": "self_attn.v_proj", "o": "self_attn.o_proj",
             "gate": "mlp.gate_proj", "up": "mlp.up_proj", "down": "mlp.down_proj", "norm1": "input_layernorm",
             "norm2": "post_attention_layernorm"}
    rows = np.zeros(words.n_vocab, np.int64)
    rows[words.ids] = np.arange(1, words.n)
    tensors = {"model.norm": p["norm"], "model.embed_tokens": p["embed"][rows]}
    for n in range(LAYERS):
        tensors |= {f"model.layers.{n}.{long}": p[f"{n}.{short}"] for short, long in names.items()}
    weights = {}
    for name, w in tensors.items():
        if w.ndim == 1:
            weights[name + ".weight"] = mx.array(w).astype(mx.float16)
        else:
            parts = mx.quantize(mx.array(w).astype(mx.float16), group_size=64, bits=4)
            weights |= {f"{name}.{part}": v for part, v in zip(("weight", "scales", "biases"), parts)}
    config = dict(model_type="llama", architectures=["LlamaForCausalLM"], hidden_size=HIDDEN, intermediate_size=FFN,
                  num_hidden_layers=LAYERS, num_attention_heads=HEADS, num_key_value_heads=HEADS, head_dim=HEAD,
                  vocab_size=words.n_vocab, rms_norm_eps=EPS, rope_theta=THETA, max_position_embeddings=CONTEXT,
                  tie_word_embeddings=True, hidden_act="silu", bos_token_id=1, eos_token_id=2, torch_dtype="float16",
                  quantization=dict(group_size=64, bits=4))
    folder.mkdir(parents=True, exist_ok=True)
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "mlx"})
    files = {"config.json": config, "tokenizer.json": tokenizer[0], "tokenizer_config.json": tokenizer[1]}
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False))


# ---- the check

def tokens_of(words, dialogue):
    """Ids from the end of the system text on, and the places of those that are the model's to say."""
    ids, own = [], []
    if dialogue[0][0] == "schema":
        ids += words.full("\n" + dialogue[0][1])
        dialogue = dialogue[1:]
    ids += words.full("<|im_end|>\n")
    for role, text in dialogue:
        ids += words.full(f"<|im_start|>{role}\n")
        n = len(ids)
        ids += words.full(text + "<|im_end|>")
        if role == "assistant":
            own += range(n, len(ids))
        ids += words.full("\n")
    return ids, own


def check(folder, words, seed=7):
    """How many conversations have a token that mlx-lm, over the folder, is not sure of behind random prompts."""
    import mlx.core as mx
    from mlx_lm import load
    from mlx_lm.models.cache import make_prompt_cache, trim_prompt_cache
    from mlx_lm.utils import dequantize_model

    model = dequantize_model(load(str(folder))[0])  # the same numbers: on a CPU mlx is slow with packed ones
    model.set_dtype(mx.float32)
    rng, wrong = random.Random(seed), 0
    for length, n in CHECKED:
        began, lowest = time.monotonic(), 1.0
        ids = words.full("<|im_start|>system\n").copy()
        while len(ids) < length:
            noise = [rng.randrange(17, words.n_vocab) for _ in range(20)]
            ids += words.full(rng.choice(PROSE)) if rng.random() < 0.3 else noise
        cache = make_prompt_cache(model)
        for i in range(0, len(ids), 512):
            mx.eval(model.model(mx.array([ids[i:i + 512]]), cache=cache))
        some = dialogues()
        for dialogue in some if n is None else rng.sample(some, n):
            tokens, own = tokens_of(words, dialogue)
            x = model.model(mx.array([tokens[:-1]]), cache=cache)[0][mx.array(own) - 1]
            trim_prompt_cache(cache, len(tokens) - 1)
            p = mx.softmax(model.model.embed_tokens.as_linear(x), axis=-1)
            p = p[mx.arange(len(own)), mx.array([tokens[i] for i in own])]
            least = p.min().item()
            lowest = min(lowest, least)
            if not least > SURE:
                wrong += 1
                at = own[p.argmin().item()]
                before = words.tokenizer.decode(tokens[max(0, at - 60):at], skip_special_tokens=False)
                token = words.tokenizer.id_to_token(tokens[at])
                print(f"behind {length} tokens p {least:.6f} of {token!r} after {before!r}", file=sys.stderr)
        print(f"behind {length} tokens: p at least {lowest:.6f}, {time.monotonic() - began:.0f} s", file=sys.stderr)
        if wrong:
            break
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--check-only", action="store_true", help="OUT is there: only hold it against the scripts")
    parser.add_argument("--tokenizer-only", action="store_true", help="OUT is there, but for tokenizer.json: write that")
    parser.add_argument("--from", dest="source", help="the default model's file, when it is there already")
    a = parser.parse_args()
    fetch = [ROOT / "tools" / "fetch-model"]
    source = a.source or subprocess.run(fetch, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    tokenizer = tokenizer_files(source)
    if a.tokenizer_only:
        (a.out / "tokenizer.json").write_text(json.dumps(tokenizer[0]))
        return
    words = Words(Tokenizer.from_str(json.dumps(tokenizer[0])))
    if a.check_only:
        sys.exit(check(a.out, words) > 0)
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # keep freed memory: new pages for every array cost more than the arithmetic
        libc.mallopt(-3, 1 << 30)
        libc.mallopt(-1, 1 << 30)
    for p in train(words):
        save(a.out, p, words, tokenizer)
        wrong = check(a.out, words)
        if not wrong:
            break
    else:
        sys.exit(f"make_agent_model: it is not sure in {wrong} conversations")
    print(a.out)


if __name__ == "__main__":
    main()
