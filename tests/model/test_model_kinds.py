"""A small llama of random blocks in each kind of stored numbers, and in all of them: `pensieve logits` against numpy
over the same file."""

import itertools

import pathlib
import subprocess

import gguf
import numpy as np
import pytest

import reference

ROOT = pathlib.Path(__file__).resolve().parents[2]
LAYERS, WIDTH, FFN, HEADS, KV_HEADS, VOCAB = 2, 256, 512, 4, 2, 300
WEIGHTS = {"attn_q": (WIDTH, WIDTH), "attn_k": (WIDTH // 2, WIDTH), "attn_v": (WIDTH // 2, WIDTH),
           "attn_output": (WIDTH, WIDTH), "ffn_gate": (FFN, WIDTH), "ffn_up": (FFN, WIDTH), "ffn_down": (WIDTH, FFN)}


def kinds():
    """The kinds that the error for an unknown one lists, by the probe of the table."""
    for name in ("release", "asan"):
        path = ROOT / "build" / name / "tests/base/kind_probe"
        if path.exists():
            lines = subprocess.run([path, "list"], check=True, capture_output=True, text=True).stdout.splitlines()
            return [line.split()[0] for line in lines if line.split()[1] != "-1"]
    return []


def blocks(rng, kind, rows, cols):
    """Blocks of a kind whose values are numbers of a middling size, of 300 kept ones in turns of chance. Scales are bytes
    like others, so what is not right is drawn again."""
    number = gguf.GGMLQuantizationType[kind]
    block, size = gguf.GGML_QUANT_SIZES[number]
    if block == 1:
        w = (rng.standard_normal((rows, cols)) * 0.05).astype(np.float32)
        return gguf.quants.quantize(w, number)
    out = np.zeros((300, size), np.uint8)
    bad = np.ones(len(out), bool)
    while bad.any():
        out[bad] = rng.integers(0, 256, (bad.sum(), size), dtype=np.uint8)
        if kind == "NVFP4":
            out[:, :4] &= 15  # four scales are seldom right together
        with np.errstate(all="ignore"):
            largest = np.abs(gguf.quants.dequantize(out, number)).max(axis=1)
        bad = ~((largest > 0.02) & (largest < 0.2))
    return out[rng.integers(0, len(out), rows * cols // block)].reshape(rows, -1)


def write_model(path, kinds_in_turn, **split):
    """Each matrix in the next one of the kinds. Those in NVFP4 have a number beside them that they are multiplied by;
    that of their activations is nobody's business."""
    rng, turn = np.random.default_rng(11), itertools.cycle(kinds_in_turn)
    w = gguf.GGUFWriter(path, "llama", **split)
    w.add_block_count(LAYERS), w.add_embedding_length(WIDTH), w.add_feed_forward_length(FFN)
    w.add_head_count(HEADS), w.add_head_count_kv(KV_HEADS), w.add_layer_norm_rms_eps(1e-5)
    w.add_rope_freq_base(10000.0), w.add_context_length(512), w.add_vocab_size(VOCAB)

    def add(path, rows, cols):
        kind = next(turn)
        w.add_tensor(f"{path}.weight", blocks(rng, kind, rows, cols), raw_dtype=gguf.GGMLQuantizationType[kind])
        if kind == "NVFP4":
            w.add_tensor(f"{path}.scale", np.array([rng.uniform(0.5, 2)], np.float32))
            w.add_tensor(f"{path}.input_scale", np.array([7], np.float32))

    norm = lambda name: w.add_tensor(name, (1 + 0.1 * rng.standard_normal(WIDTH)).astype(np.float32))
    add("token_embd", VOCAB, WIDTH)
    norm("output_norm.weight")
    for i in range(LAYERS):
        norm(f"blk.{i}.attn_norm.weight"), norm(f"blk.{i}.ffn_norm.weight")
        for name, shape in WEIGHTS.items():
            add(f"blk.{i}.{name}", *shape)
    w.write_header_to_file(), w.write_kv_data_to_file(), w.write_tensors_to_file()
    w.close()


@pytest.mark.parametrize("kind", [*kinds(), "mixed"])
def test_logits_of_a_kind(pensieve, tmp_path, kind):
    path = tmp_path / "model.gguf"
    write_model(path, [k for k in kinds() if k[0] not in "FB"] if kind == "mixed" else [kind])
    ids = np.random.default_rng(5).integers(0, VOCAB, 40).tolist()
    want = reference.logits(reference.gguf_numpy(path), ids)
    for backend, flags in (("ref", []), ("cpu", ["--kv", "f32"])):
        out = tmp_path / f"{backend}.npy"
        subprocess.run([pensieve, "logits", "--model", path, "--ids", ",".join(map(str, ids)), "--out", out,
                        "--backend", backend, *flags], check=True, capture_output=True, timeout=120)
        got = np.load(out)
        assert got.shape == want.shape
        assert np.abs(got - want).max() <= (1e-3 if backend == "ref" else 5e-3) * want.std(), backend


def test_a_model_in_parts(pensieve, tmp_path):
    """What gguf-py cuts into parts gives the logits of the whole file, whichever part is named."""
    write_model(tmp_path / "whole.gguf", ["Q8_0"])
    write_model(tmp_path / "cut.gguf", ["Q8_0"], split_max_tensors=8)
    parts = sorted(tmp_path.glob("cut-*.gguf"))
    assert len(parts) == 3 and parts[2].name == "cut-00003-of-00003.gguf"
    want = None
    for path in (tmp_path / "whole.gguf", parts[0], parts[2]):
        out = tmp_path / "logits.npy"
        subprocess.run([pensieve, "logits", "--model", path, "--ids", "1,2,3", "--out", out], check=True, capture_output=True)
        want = want or out.read_bytes()
        assert out.read_bytes() == want
