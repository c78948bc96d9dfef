"""Compares ids and decoded bytes with the reference implementation of Hugging Face's `tokenizers`.

Run: pytest tests/tokenizer/test_tokenizer_hf.py
PENSIEVE_PROBE names the built tokenizer_probe (default: build/release/tests/tokenizer/tokenizer_probe) and
PN_TEST_MODEL a GGUF file of the SmolLM2 family (default: the one that tools/fetch-model fetches; without it its test is
skipped).
"""

import json
import os
import random
import struct
import subprocess
from pathlib import Path

import pytest

tokenizers = pytest.importorskip("tokenizers")
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

ROOT = Path(__file__).resolve().parents[2]
PROBE = Path(os.environ.get("PENSIEVE_PROBE", ROOT / "build/release/tests/tokenizer/tokenizer_probe"))
MODELS = Path(os.environ.get("PENSIEVE_MODELS", ROOT / "models"))
GGUF = Path(os.environ.get("PN_TEST_MODEL", MODELS / "SmolLM2-135M-Instruct.Q4_1.gguf"))

if not PROBE.exists():
    pytest.skip(f"{PROBE} is not built", allow_module_level=True)

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")


class Probe:
    """One running tokenizer_probe."""

    def __init__(self, model):
        self.process = subprocess.Popen([PROBE, model], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def _count(self):
        return struct.unpack("=i", self._read(4))[0]

    def _read(self, n):
        data = self.process.stdout.read(n)
        assert len(data) == n, f"the probe ended with status {self.process.wait()}"
        return data

    def encode(self, text, plain=False):
        data = text.encode()
        self.process.stdin.write(struct.pack("=II", int(plain), len(data)) + data)
        self.process.stdin.flush()
        n = self._count()
        assert n >= 0, self._read(self._count()).decode()
        ids = list(struct.unpack(f"={n}i", self._read(4 * n)))
        return ids, self._read(self._count())

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


# ---- texts

SCRIPTS = [
    (0x20, 0x7E), (0xA0, 0x24F), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x4FF), (0x530, 0x58F), (0x5D0, 0x5EA),
    (0x600, 0x6FF), (0x900, 0x97F), (0x980, 0x9FF), (0xE00, 0xE5B), (0x10A0, 0x10FF), (0x1100, 0x11FF),
    (0x1E00, 0x1EFF), (0x1F00, 0x1FFF), (0x2000, 0x206F), (0x2070, 0x209C), (0x20A0, 0x20BF), (0x2100, 0x214F),
    (0x2150, 0x218B), (0x2200, 0x22FF), (0x2460, 0x24FF), (0x2600, 0x27BF), (0x3000, 0x30FF), (0x3220, 0x32FF),
    (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xF900, 0xFAD9), (0xFE00, 0xFE0F), (0xFF00, 0xFFEF), (0x1D400, 0x1D7FF),
    (0x1F300, 0x1F64F), (0x1F680, 0x1F6D7), (0x1F900, 0x1F9FF), (0x20000, 0x2A6DD), (0xE0100, 0xE01EF),
]  # fmt: skip
WORDS = """the of and to in is that for it with as was on be by this from or which one would all will there say who
make when can more if no man out other so what time up go about than into could state only new year some take come
these know see use get like then first any work now may such give over think most even find day also after way many
I'm don't you're we've they'll he'd SHE'S IT'LL naïve café résumé Zürich größer straße ſtraße 'ſ 'S 'LL x'ſ être""".split()
SPACES = [" ", " ", " ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", " \n", "\n ", "\n\t\t", "\u00a0", "\u3000", "\u2028",
          "\u1680", "\u180e", "\u200b", "\x85", "\x0b", "\x0c", "\x1c", "\ufeff"]  # fmt: skip
CLUSTERS = ["👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇩🇪🇫🇷", "e\u0301", "a\u0323\u0302", "\u1100\u1161\u11a8", "q\u0307\u0323", "क्षि", "ที่",
            "\u0344", "\u212b", "\u2126", "\u1e9b\u0323", "\ufb01", "\u0958", "\u0fb2\u0f71\u0f80", "♥\ufe0f", "1️⃣"]  # fmt: skip
CODE = ["if (x[i] != 0) {", "}\n", "def f(self, *args):\n    return {**a}", "std::vector<int>", "0x1F", "1e-10",
        "12345678", "3.14159", "->", "=>", "...", "!!!", "// TODO", "/* a */", "<html>", "</b>", "&amp;", "'''", '"""',
        "http://a.b/c?d=e&f=%20", "SELECT * FROM t;", "#include <stdio.h>\n", "\\n\\t", "$HOME", "a_b_c", "camelCase"]  # fmt: skip
MARKS = ["<|im_start|>", "<|im_end|>", "<|user|>", "<|end|>", "<s>", "</s>", "<unk>", "<think>", "<0x0A>", "<|", "|>",
         "▁", "▁▁", "<tag>", "<|eot_id|>", "Ġ", "Ċ"]  # fmt: skip


def character(rng):
    a, b = rng.choice(SCRIPTS)
    return chr(rng.randint(a, b))


def any_scalar(rng):
    while True:
        c = rng.randrange(0x110000) if rng.random() < 0.5 else rng.randrange(0x300)
        # What the two sides' versions of Unicode may disagree on is left out.
        if not 0xD800 <= c < 0xE000 and (c < 0x3400 or 0xE000 <= c < 0xFB00 or c >= 0xF0000):
            return chr(c) if is_settled(c) else "?"


def is_settled(c):
    """Assigned in the oldest version of Unicode that may be in play (12), or never to be."""
    import unicodedata

    return unicodedata.ucd_3_2_0.category(chr(c)) != "Cn" or c >= 0xF0000


def english(rng, n):
    out = []
    while n > 0:
        w = rng.choice(WORDS)
        if rng.random() < 0.1:
            w = w.capitalize()
        w += rng.choice([" "] * 12 + [", ", ". ", ".\n", "; ", " - ", "\n\n", "! ", "(", ") "])
        out.append(w)
        n -= len(w)
    return "".join(out)


def mixed(rng, n, marks=True):
    out = []
    kinds = ["word", "word", "space", "chars", "script", "cluster", "code", "digits", "run", "control", "scalar"]
    kinds += ["mark"] if marks else []
    while n > 0:
        k = rng.choice(kinds)
        if k == "word":
            s = rng.choice(WORDS) + rng.choice(["", " "])
        elif k == "space":
            s = "".join(rng.choice(SPACES) for _ in range(rng.randint(1, 4)))
        elif k == "chars":
            s = "".join(character(rng) for _ in range(rng.randint(1, 5)))
        elif k == "script":
            a, b = rng.choice(SCRIPTS)
            s = "".join(chr(rng.randint(a, b)) for _ in range(rng.randint(2, 12)))
        elif k == "cluster":
            s = rng.choice(CLUSTERS)
        elif k == "code":
            s = rng.choice(CODE)
        elif k == "digits":
            s = "".join(rng.choice("0123456789٣²½Ⅷ") for _ in range(rng.randint(1, 9)))
        elif k == "run":
            s = rng.choice(" a=-\n.0é漢" + rng.choice("'\t😀")) * rng.randint(2, 70)
        elif k == "control":
            s = chr(rng.choice([*range(0, 0x20), 0x7F, *range(0x80, 0xA0), 0xAD]))
        elif k == "scalar":
            s = "".join(any_scalar(rng) for _ in range(rng.randint(1, 4)))
        else:
            s = rng.choice(MARKS)
        s = "".join(c if is_settled(ord(c)) else "?" for c in s)
        out.append(s)
        n -= len(s)
    return "".join(out)


def texts(seed, n_bytes):
    """Texts of all sizes, about n_bytes together."""
    rng = random.Random(seed)
    yield from ["", " ", "\n", "a", "▁", " a", "a ", "  ", "\r\n\r\n", "'", "é", "e\u0301"]
    while n_bytes > 0:
        size = rng.choice([8, 30, 200, 3000, 20000])
        t = english(rng, size) if rng.random() < 0.3 else mixed(rng, size)
        n_bytes -= len(t.encode())
        yield t
    for c in [" ", "a", "\n", "=", "ab", " x", "漢", "e\u0301", "\u0323\u0301"]:
        yield c * 3000
        yield c * 3000 + "z"


def corpus(seed):
    rng = random.Random(seed)
    return [english(rng, 2000) if i % 2 else mixed(rng, 2000, marks=False) for i in range(300)]


# ---- tokenizers of the families


def train(tokenizer, alphabet, vocab_size=3000, seed=11, specials=()):
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=alphabet, special_tokens=list(specials), show_progress=False
    )
    tokenizer.train_from_iterator(corpus(seed), trainer)
    return tokenizer


def byte_level(pre, normalizer=None, ignore_merges=False, added=()):
    t = Tokenizer(models.BPE())
    if normalizer:
        t.normalizer = normalizer
    t.pre_tokenizer = pre
    t.decoder = decoders.ByteLevel()
    train(t, pre_tokenizers.ByteLevel.alphabet())
    if ignore_merges:
        spec = json.loads(t.to_str())
        spec["model"]["ignore_merges"] = True
        # Words that merges don't reach, so that the flag shows.
        for w in ["Ġnaïve".encode().decode(), "xyzzy", "Ġqqq"]:
            if all(c in pre_tokenizers.ByteLevel.alphabet() for c in w):
                spec["model"]["vocab"].setdefault(w, len(spec["model"]["vocab"]))
        t = Tokenizer.from_str(json.dumps(spec))
    t.add_tokens([a for a in added if not a.special])
    t.add_special_tokens([a for a in added if a.special])
    return t


def smollm():
    pre = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    marks = [AddedToken(x, special=True, normalized=False) for x in ["<|im_start|>", "<|im_end|>"]]
    return byte_level(pre, added=marks)


def split(pattern):
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def llama3():
    marks = [AddedToken(x, special=True, normalized=False) for x in ["<|eot_id|>", "<|begin_of_text|>"]]
    return byte_level(split(LLAMA3), ignore_merges=True, added=marks)


def qwen():
    marks = [AddedToken(x, special=True, normalized=False) for x in ["<|im_start|>", "<|im_end|>"]]
    marks += [AddedToken(x, special=False, normalized=False) for x in ["<think>", "</think>"]]
    return byte_level(split(QWEN2), normalizer=normalizers.NFC(), added=marks)


def gpt2_prefix():
    return byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True))


def deepseek():
    """Several patterns in a row, gaps between matches, and runs of digits."""
    pre = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"[\r\n]"), "isolated"),
            pre_tokenizers.Split(Regex(r"\s?[A-Za-zµÀ-ÖØ-öø-ƺ]+"), "isolated"),
            pre_tokenizers.Split(Regex(r"\s?[!-/:-~！-／：-～‘-‟　-。]+"), "isolated"),
            pre_tokenizers.Split(Regex(r"\s+$"), "isolated"),
            pre_tokenizers.Split(Regex(r"[一-龥ࠀ-一가-퟿]+"), "isolated"),
            pre_tokenizers.Digits(individual_digits=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return byte_level(pre)


def behaviours():
    pre = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(" ", "merged_with_next"),
            pre_tokenizers.Split(Regex(r"[,.]"), "merged_with_previous"),
            pre_tokenizers.Split(Regex(r"[=\-]"), "contiguous"),
            pre_tokenizers.Split(Regex(r"\t"), "removed"),
            pre_tokenizers.Split(Regex(r"[^<>]+"), "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return byte_level(pre)


BYTES = [f"<0x{i:02X}>" for i in range(256)]


def sentencepiece(added=(), normalizer=None, pre=None, decoder=None, joins=False):
    """Llama-2 style: no cuts (the training is given words, or the merges would run across blanks)."""
    t = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    t.normalizer = normalizers.Replace(" ", "▁")
    t.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]{1,12}" if joins else r"▁*[^\s▁]*"), "isolated")
    trainer = trainers.BpeTrainer(
        vocab_size=4000,
        special_tokens=["<unk>", "<s>", "</s>", *BYTES],
        show_progress=False,
        limit_alphabet=400,
    )
    rng = random.Random(5)
    lines = [english(rng, 3000) + mixed(rng, 200, marks=False) for _ in range(200)]
    t.train_from_iterator([x.replace("\0", "") for x in lines], trainer)  # no token may hold a NUL
    spec = json.loads(t.to_str())
    spec["added_tokens"] = [a for a in spec["added_tokens"] if a["content"] in ("<unk>", "<s>", "</s>")]
    t = Tokenizer.from_str(json.dumps(spec))
    t.normalizer = normalizer or normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.pre_tokenizer = pre
    t.decoder = decoder or decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    t.add_tokens([a for a in added if not a.special])
    t.add_special_tokens([a for a in added if a.special])
    spec = json.loads(t.to_str())
    if pre is None:
        spec["pre_tokenizer"] = None
    return Tokenizer.from_str(json.dumps(spec))


def phi3():
    marks = [
        AddedToken("<|user|>", special=True, rstrip=True, normalized=False),
        AddedToken("<|end|>", special=True, rstrip=True, normalized=False),
        AddedToken("<tag>", special=False, lstrip=True, rstrip=True, normalized=False),
    ]
    return sentencepiece(marks)


def joined():
    """Merges run across blanks, so nothing can be cut."""
    return sentencepiece(joins=True)


def gemma():
    runs = [AddedToken("\n" * n, special=False, normalized=False) for n in range(2, 32)]
    return sentencepiece(
        runs,
        normalizer=normalizers.Replace(" ", "▁"),
        pre=pre_tokenizers.Split(" ", "merged_with_previous"),
        decoder=decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]),
    )


def metaspace():
    return sentencepiece(
        [AddedToken("<|user|>", special=True, normalized=False)],
        normalizer=normalizers.Sequence([]),
        pre=pre_tokenizers.Metaspace(prepend_scheme="first", split=False),
    )


def metaspace_split():
    return sentencepiece(
        normalizer=normalizers.Sequence([]),
        pre=pre_tokenizers.Metaspace(prepend_scheme="always", split=True),
    )


def late_added():
    """Ordinary added tokens that are searched in the normalised text."""
    words = [AddedToken("time up", special=False, normalized=True), AddedToken("ſtraße", special=False)]
    return byte_level(split(QWEN2), normalizer=normalizers.NFC(), added=words)


FAMILIES = [smollm, llama3, qwen, gpt2_prefix, deepseek, behaviours, phi3, joined, gemma, metaspace,
            metaspace_split, late_added]  # fmt: skip


def write_folder(tokenizer, path, pairs=True):
    spec = json.loads(tokenizer.to_str())
    if not pairs:
        spec["model"]["merges"] = [" ".join(m) for m in spec["model"]["merges"]]
    path.mkdir()
    (path / "tokenizer.json").write_text(json.dumps(spec, ensure_ascii=False))
    (path / "config.json").write_text("{}")
    write_safetensors(path / "model.safetensors")
    return path


def write_safetensors(path):
    header = b'{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0\0\0\0")


def check(probe, reference, text, removes=False):
    want = reference.encode(text, add_special_tokens=False).ids
    ids, data = probe.encode(text)
    if ids != want:
        at = next((i for i, (a, b) in enumerate(zip(ids, want)) if a != b), min(len(ids), len(want)))
        name = reference.id_to_token
        pytest.fail(
            f"id {at} of {len(want)}: {[name(i) for i in ids[at - 3 : at + 6]]} instead of "
            f"{[name(i) for i in want[at - 3 : at + 6]]} in {text[:200]!r}"
        )
    assert data.decode() == reference.decode(want, skip_special_tokens=False)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__)
def test_family(family, tmp_path):
    reference = family()
    probe = Probe(write_folder(reference, tmp_path / "model", pairs=family not in (smollm, phi3)))
    for text in texts(family.__name__, 700_000):
        check(probe, reference, text)
    probe.close()


def test_plain_text_makes_no_control_tokens(tmp_path):
    reference = qwen()
    probe = Probe(write_folder(reference, tmp_path / "model"))
    bare = Tokenizer.from_str(json.dumps({**json.loads(reference.to_str()), "added_tokens": []}))
    for text in texts("plain", 200_000):
        assert probe.encode(text, plain=True)[0] == bare.encode(text, add_special_tokens=False).ids
    probe.close()


# ---- GGUF


@pytest.fixture(scope="module")
def gguf_reference():
    reader = pytest.importorskip("gguf")
    if not GGUF.exists():
        pytest.skip(f"{GGUF} is not there")
    fields = reader.GGUFReader(GGUF).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    types = fields["tokenizer.ggml.token_type"].contents()
    merges = [tuple(m.split(" ")) for m in fields["tokenizer.ggml.merges"].contents()]
    assert fields["tokenizer.ggml.pre"].contents() == "smollm"
    t = Tokenizer(models.BPE(vocab={x: i for i, x in enumerate(tokens)}, merges=merges))
    t.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens([AddedToken(x, special=True, normalized=False) for x, k in zip(tokens, types) if k == 3])
    return t


def test_gguf_model(gguf_reference):
    probe = Probe(GGUF)
    for text in texts("gguf", 3_000_000):
        check(probe, gguf_reference, text)
    for text in ["<|im_start|>user\nHi <|im_end|>\n", "<|endoftext|><|endoftext|>x", "a<|im_end", "<repo_name>a"]:
        check(probe, gguf_reference, text)
    probe.close()


def test_gguf_scores(tmp_path):
    """A SentencePiece-style GGUF, whose ranks are scores, against the same vocabulary with merges."""
    gguf = pytest.importorskip("gguf")
    spec = json.loads(phi3().to_str())
    vocab = sorted(spec["model"]["vocab"], key=spec["model"]["vocab"].get)
    vocab += [a["content"] for a in spec["added_tokens"] if a["content"] not in spec["model"]["vocab"]]
    rank = {}
    for i, m in enumerate(spec["model"]["merges"]):
        rank.setdefault("".join(m), i)
    # Every pair that makes a token may merge, at the rank of the token: what the scores mean.
    merges = sorted(
        (rank[x], i, [x[:k], x[k:]])
        for i, x in enumerate(vocab)
        if x in rank
        for k in range(1, len(x))
        if x[:k] in spec["model"]["vocab"] and x[k:] in spec["model"]["vocab"]
    )
    spec["model"]["merges"] = [m[2] for m in merges]
    reference = Tokenizer.from_str(json.dumps(spec))
    special = {"<unk>": 2, "<s>": 3, "</s>": 3, "<|user|>": 3, "<|end|>": 3, "<tag>": 4}
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "phi3")
    writer.add_tokenizer_model("llama")
    writer.add_token_list(vocab)
    writer.add_token_scores([-float(rank.get(x, 1e6)) for x in vocab])
    writer.add_token_types([special.get(x, 6 if x in BYTES else 1) for x in vocab])
    writer.add_unk_token_id(vocab.index("<unk>"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    probe = Probe(tmp_path / "m.gguf")
    for text in texts("scores", 700_000):
        if "<tag>" not in text and "</s>" not in text:  # GGUF says nothing of their white space
            check(probe, reference, text)
    probe.close()
