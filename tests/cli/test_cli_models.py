"""Finding models, and what is said about those that are missing or damaged."""

import json
import os
import re


import pytest

import make_model


@pytest.fixture
def models(tmp_path, default_model):
    """A folder ./models with the default model under two names."""
    (tmp_path / "models" / "org").mkdir(parents=True)
    for name in ("small.gguf", "org/other.gguf"):
        os.symlink(default_model, tmp_path / "models" / name)
    return tmp_path / "models"


def test_no_model_says_how_to_get_one(run):
    for verb in ("serve", "tokens", "run"):
        r = run(verb)
        assert r.returncode == 3 and b"make run" in r.stderr and b"--model" in r.stderr
        assert r.stderr.count(b"\n") == 1


def test_an_unknown_model_names_the_nearest(run, models):
    r = run("tokens", "--model", "smal")
    assert r.returncode == 3 and b"did you mean small?" in r.stderr
    r = run("tokens", "--model", "/no/such/thing")
    assert r.returncode == 3 and b"/no/such/thing" in r.stderr


@pytest.mark.parametrize("name, hub", [("Qwen/Qwen3-4B", True), ("unsloth/Qwen3-4B-GGUF:Q4_K_M", True), ("org/", False),
                                       ("/Qwen/Qwen3-4B", False), ("./Qwen/x", False), ("a/b/c", False),
                                       ("org/x.gguf", False), ("a:b/c", False)])
def test_names_of_the_hub_are_recognised(run, models, name, hub):
    r = run("tokens", "--model", name)
    assert r.returncode == 3 and (b"repository on the hub" in r.stderr) == hub


def test_several_models_must_be_told_apart(run, models):
    r = run("tokens")
    assert r.returncode == 3 and b"2 models" in r.stderr and b"org/other, small" in r.stderr


def test_the_only_model_and_the_default_one(run, models):
    os.unlink(models / "org" / "other.gguf")
    assert json.loads(run("tokens", input=b"Hi").stdout)["ids"]
    os.symlink(models / "small.gguf", models / "another.gguf")
    assert run("tokens", input=b"Hi").returncode == 3
    os.symlink(models / "small.gguf", models / "default.gguf")
    assert run("tokens", input=b"Hi").returncode == 0


@pytest.mark.parametrize("name", ["small", "small.gguf", "org/other", "models/small.gguf"])
def test_names_and_paths(run, models, name):
    assert run("tokens", "--model", name, input=b"Hi").returncode == 0
    assert run("tokens", input=b"Hi", env={"MODEL_PATH": name}).returncode == 0


def test_models_dir(run, models, tmp_path):
    os.rename(models, tmp_path / "elsewhere")
    assert run("tokens", "--model", "small").returncode == 3
    assert run("tokens", "--model", "small", "--models-dir", "elsewhere").returncode == 0
    assert run("tokens", "--model", "small", env={"PENSIEVE_MODELS": tmp_path / "elsewhere"}).returncode == 0
    (tmp_path / "data" / "pensieve").mkdir(parents=True)
    os.rename(tmp_path / "elsewhere", tmp_path / "data" / "pensieve" / "models")
    assert run("tokens", "--model", "small").returncode == 0


def test_list(run, models):
    (models / "broken.gguf").write_bytes(b"GGUF")
    v = json.loads(run("list", "--json").stdout)
    assert v["models_dir"] == "models"
    assert [m["name"] for m in v["models"]] == ["broken", "org/other", "small"]
    assert "problem" in v["models"][0]
    assert v["models"][2]["family"] == "llama" and v["models"][2]["context"] == 8192
    text = run("list").stdout.decode().splitlines()
    assert len(text) == 4 and text[3].split()[:3] == ["small", "llama", "Q4_1"]


def test_parts_are_one_model(run, models, default_model):
    """The first file of a model in several stands for all."""
    for i in (1, 2, 3):
        os.symlink(default_model, models / f"large-{i:05}-of-00003.gguf")
    names = [m["name"] for m in json.loads(run("list", "--json").stdout)["models"]]
    assert sorted(names) == ["large", "org/other", "small"]
    assert json.loads(run("tokens", "--model", "large", input=b"Hi").stdout)["ids"]


def test_list_of_nothing(run):
    r = run("list")
    assert r.returncode == 0 and r.stdout == b"" and b"no model" in r.stderr


DAMAGES = {
    "empty": lambda b: b"",
    "not a model": lambda b: b"hello" * 1000,
    "cut in the header": lambda b: b[:5000],
    "cut in the tensors": lambda b: b[: len(b) // 2],
    "absurd counts": lambda b: b[:8] + b"\xff" * 16 + b[24:],
}


@pytest.mark.parametrize("how", DAMAGES)
def test_damaged_files(run, default_model, tmp_path, how):
    with open(default_model, "rb") as f:
        (tmp_path / "bad.gguf").write_bytes(DAMAGES[how](f.read()))
    for words in (("serve", "--port", "0"), ("tokens",), ("logits", "--ids", "1", "--out", "x.npy"), ("run", "Hi")):
        r = run(*words, "--model", "bad.gguf")
        assert r.returncode == 3, (words, r)
        assert b"bad.gguf" in r.stderr and r.stdout == b"" and r.stderr.count(b"\n") == 1
    assert not (tmp_path / "x.npy").exists()
    r = run("inspect", "bad.gguf", "--json")
    v = json.loads(r.stdout)
    assert r.returncode == 3 and v["supported"] is False and v["problems"]


def test_a_folder_without_weights(run, tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text("{}")
    r = run("tokens", "--model", "m")
    assert r.returncode == 3 and b"m" in r.stderr


def test_inspect(run, default_model):
    v = json.loads(run("inspect", default_model, "--json", "--tensors").stdout)
    assert v["supported"] and v["problems"] == [] and v["family"] == "llama" and v["quantization"] == "Q4_1"
    assert (v["layers"], v["width"], v["heads"], v["kv_heads"], v["vocab"]) == (30, 576, 9, 3, 49152)
    each = v["kv_bytes_per_token"]
    offered = re.search(r"--kv (\S+)", run("serve", "--help").stdout.decode()).group(1).split("|")
    assert list(each) == [t for t in ("f16", "int8", "int4") if t in offered]
    assert each["f16"] == 30 * 3 * 64 * 2 * 2
    assert all(0 < b < a for a, b in zip(list(each.values()), list(each.values())[1:]))
    for row in v["memory"]:
        assert row["kv_bytes"] == row["context"] * each["f16"] == row["total_bytes"] - v["bytes"]
        assert row["kv_bytes_by_type"] == {t: row["context"] * n for t, n in each.items()}
    assert [row["context"] for row in v["memory"]] == [2048, 8192]
    assert len(v["tensors"]) == v["n_tensors"] == 272
    assert next(t for t in v["tensors"] if t["name"] == "token_embd.weight")["shape"] == [49152, 576]
    assert v["reading_gb_s"] > 0 and v["weight_bytes_per_token"] == pytest.approx(v["bytes"], rel=0.1)
    at_most = v["reading_gb_s"] * 1e9 / v["weight_bytes_per_token"]
    assert 0 < v["expected_decode_tok_s"]["low"] < v["expected_decode_tok_s"]["high"] < at_most
    text = run("inspect", "--model", default_model).stdout.decode()
    assert re.search(r"^reading       [0-9.]+ GB/s by \d+ threads? over ", text, re.M)
    assert re.search(r"^decode        [0-9.]+ to [0-9.]+ tok/s expected without context: [0-9.]+ MB of weights a token$", text, re.M)
    assert "problems      none" in text and "8192 tokens" in text
    costs = ", ".join(f"{n} bytes as {t}" for t, n in each.items())
    assert f"KV cache      a token costs {costs}\n" in text
    assert re.search(r"287 MB with 8192 tokens \(KV cache f16: 189 MB.*\)", text)


def test_inspect_tells_what_states_take(run, tmp_path):
    """Three delta nets of 15 heads of 64 x 20, and the inputs of their convolutions."""
    folder = make_model.make(tmp_path / "m", "qwen3_5", "tiny")
    v = json.loads(run("inspect", folder, "--json").stdout)
    floats = 15 * 64 * 20 + 3 * (2 * 5 * 20 + 15 * 64)
    assert v["state_bytes"] == 3 * -(-4 * floats // 64) * 64
    assert all(row["kv_bytes"] >= 3 * v["state_bytes"] for row in v["memory"])  # a running one, and two kept
    assert re.search(r"states +\S+ [kK]B of a request", run("inspect", folder).stdout.decode())


def test_inspect_lists_every_problem(run, default_model, tmp_path):
    """An unknown tokenizer and an unknown family at once."""
    with open(default_model, "rb") as f:
        b = f.read()
    key = b"tokenizer.ggml.model" + (8).to_bytes(4, "little") + (4).to_bytes(8, "little")
    arch = b"general.architecture" + (8).to_bytes(4, "little") + (5).to_bytes(8, "little")
    assert b.count(key + b"gpt2") == 1 and b.count(arch + b"llama") == 1
    (tmp_path / "odd.gguf").write_bytes(b.replace(key + b"gpt2", key + b"odd!").replace(arch + b"llama", arch + b"mamba"))
    r = run("inspect", "odd.gguf", "--json")
    problems = json.loads(r.stdout)["problems"]
    assert r.returncode == 3 and len(problems) >= 2
    assert any("mamba" in p for p in problems) and any("odd!" in p for p in problems)
