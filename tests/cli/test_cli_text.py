"""tokens, template, run, logits, perplexity: input, output, limits. What the numbers are is tested elsewhere."""

import collections
import ctypes
import json
import re
import sys

import numpy as np
import pytest


def test_tokens_and_back(run, default_model):
    text = "Hello <|im_end|> w\u00f6rld \U0001f418\n".encode()
    for flags in ((), ("--special",)):
        r = run("tokens", "--model", default_model, *flags, input=text)
        assert r.returncode == 0
        assert run("tokens", "--decode", "--model", default_model, input=r.stdout).stdout == text
    plain = json.loads(run("tokens", "--model", default_model, input=b"<|im_end|>").stdout)["ids"]
    special = json.loads(run("tokens", "--special", "--model", default_model, input=b"<|im_end|>").stdout)["ids"]
    assert len(plain) > 1 and special == [2]
    assert json.loads(run("tokens", "--model", default_model).stdout) == {"ids": []}


@pytest.mark.parametrize("flags,text", [((), b"\xff"), (("--decode",), b"{"), (("--decode",), b"[1]"),
                                        (("--decode",), b'{"ids":["1"]}'), (("--decode",), b'{"ids":[-1]}'),
                                        (("--decode",), b'{"ids":[49152]}'), (("--decode",), b'{"ids":[1.0]}')])
def test_wrong_token_input(run, default_model, flags, text):
    r = run("tokens", "--model", default_model, *flags, input=text)
    assert r.returncode == 2 and r.stdout == b"" and r.stderr.count(b"\n") == 1


def test_template(run, default_model):
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    r = run("template", "--model", default_model,
            input=json.dumps({"messages": messages, "add_generation_prompt": True}).encode())
    assert r.stdout == (b"<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
                        b"<|im_start|>assistant\n")


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b'"x"'])
def test_wrong_template_input(run, default_model, text):
    r = run("template", "--model", default_model, input=text)
    assert r.returncode == 2 and b"stdin" in r.stderr


def test_run_answers_once(run, default_model):
    words = ("run", "--model", default_model, "--temperature", "0", "--max-tokens", "12")
    a = run(*words, "What is the capital of France?", timeout=300)
    assert a.returncode == 0 and a.stdout.endswith(b"\n") and len(a.stdout) > 5
    assert a.stderr == b""  # no terminal: no progress, no numbers
    assert run(*words, input=b"What is the capital of France?", timeout=300).stdout == a.stdout


def test_run_with_a_seed_repeats(run, default_model):
    words = ("run", "--model", default_model, "--temperature", "1", "--max-tokens", "12", "Tell me a story.")
    a, b, c = (run(*words, "--seed", s, timeout=300).stdout for s in ("7", "7", "8"))
    assert a == b != c


@pytest.mark.parametrize("words,text", [((), b""), (("\udcff",), b""), ((), b"\xff")])
def test_run_refuses_what_is_no_text(run, default_model, words, text):
    r = run("run", "--model", default_model, *words, input=text)
    assert r.returncode == 2 and r.stdout == b""


def test_a_prompt_that_does_not_fit(run, default_model):
    r = run("run", "--model", default_model, "--ctx", "64", input=b"word " * 200)
    assert r.returncode == 4 and b"too long" in r.stderr


def test_logits_do_not_depend_on_the_steps(run, default_model, tmp_path):
    ids = list(range(100, 170))
    (tmp_path / "ids.json").write_text(json.dumps({"ids": ids}))
    a = run("logits", "--model", default_model, "--ids-file", "ids.json", "--out", "a.npy")
    b = run("logits", "--model", default_model, "--ids", ",".join(map(str, ids)), "--out", "b.npy", "--chunk", "7",
            "--threads", "1")
    assert a.returncode == b.returncode == 0
    x, y = np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy")
    assert x.shape == (70, 49152) and x.dtype == np.float32 and np.isfinite(x).all()
    assert np.array_equal(x, y)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.npy", "b.npy", "ids.json"]


def test_logits_refuse_what_the_model_can_not_do(run, default_model, tmp_path):
    r = run("logits", "--model", default_model, "--ids", "1,49152", "--out", "x.npy")
    assert r.returncode == 2 and b"token 1 is 49152" in r.stderr
    (tmp_path / "ids.txt").write_text("1 " * 8193)
    r = run("logits", "--model", default_model, "--ids-file", "ids.txt", "--out", "x.npy")
    assert r.returncode == 2 and b"8192" in r.stderr
    r = run("logits", "--model", default_model, "--ids", "1", "--out", "no/such/folder.npy")
    assert r.returncode == 1 and b"no/such/folder.npy" in r.stderr
    assert not (tmp_path / "x.npy").exists()


def test_perplexity_counts_windows(run, default_model, tmp_path):
    text = "The quick brown fox jumps over the lazy dog. " * 8
    (tmp_path / "t.txt").write_text(text)
    n = len(json.loads(run("tokens", "--model", default_model, input=text.encode()).stdout)["ids"])
    whole = json.loads(run("perplexity", "--model", default_model, "t.txt").stdout)
    assert whole["n_tokens"] == n - 1 and 1 < whole["perplexity"] < 100
    parts = json.loads(run("perplexity", "--model", default_model, "-", "--window", "16", input=text.encode()).stdout)
    assert parts["n_tokens"] == sum(min(16, n - at) - 1 for at in range(0, n, 16))
    assert parts["perplexity"] > whole["perplexity"]


@pytest.mark.parametrize("text,flags", [("", ()), ("x", ("--window", "10000"))])
def test_perplexity_refuses(run, default_model, tmp_path, text, flags):
    (tmp_path / "t.txt").write_text(text)
    assert run("perplexity", "--model", default_model, "t.txt", *flags).returncode == 2
    assert run("perplexity", "--model", default_model, "gone.txt").returncode == 2


def test_bench_prints_one_object(run, default_model):
    r = run("bench", "--model", default_model, "--json", "--prompt", "40", "--decode", "4", "--depth", "20", "--streams",
            "1,2,5", "--repeat", "3", timeout=300)
    assert r.returncode == 0, r.stderr
    v = json.loads(r.stdout)
    assert set(v) == {"model", "backend", "threads", "load_s", "prefill", "decode", "decode_sampled", "streams", "memory",
                      "reading_gb_s"}
    assert v["backend"] == "cpu" and v["threads"] >= 1 and v["load_s"] > 0
    assert v["prefill"]["n_tokens"] == 40
    assert (v["decode"]["n_tokens"], v["decode"]["depth"]) == (4, 20) and v["decode"]["gb_s"] > 0
    assert [s["n"] for s in v["streams"]] == [1, 2, 5] and all(set(s) == {"n", "tok_s"} for s in v["streams"])
    assert set(v["prefill"]) == {"n_tokens", "tok_s"}
    assert set(v["decode"]) == {"n_tokens", "depth", "tok_s", "gb_s", "share_of_reading"}
    for d in (v["decode"], v["decode_sampled"]):
        assert d["share_of_reading"] == pytest.approx(d["gb_s"] / v["reading_gb_s"]) and d["share_of_reading"] > 0
    assert set(v["decode_sampled"]) == set(v["decode"]) and v["decode_sampled"]["n_tokens"] == 4
    for t in [v["prefill"]["tok_s"], v["decode"]["tok_s"], v["decode_sampled"]["tok_s"], *(s["tok_s"] for s in v["streams"])]:
        assert 0 < t["min"] <= t["median"] <= t["max"]
    m = v["memory"]
    assert set(m) == {"weights_bytes", "kv_bytes", "other_bytes", "peak_rss_bytes"}
    assert m["weights_bytes"] == 98362432 and m["other_bytes"] < m["peak_rss_bytes"]
    assert m["other_bytes"] < 128e6  # the memory that is read to find the machine's rate is not in it
    # A page or more of 32 tokens, and no more than the pool: five streams of a page each, or the longest sequence.
    page = 32 * 30 * 3 * 64 * 2 * 2
    assert m["kv_bytes"] % page == 0 and page <= m["kv_bytes"] <= 5 * page


def test_bench_says_how_it_samples(run, default_model):
    words = ("bench", "--model", default_model, "--prompt", "4", "--decode", "4", "--streams", "1", "--repeat", "1")
    text = run(*words).stdout.decode()
    assert "temperature 1, top_p 1, top_k 0" in text
    assert re.search(r"^reading     [0-9.]+ GB/s by \d+ threads? over .* of memory of its own; decode reached \d+ % of it, sampled \d+ %$",
                     text, re.M)
    r = run(*words, "--temperature", "0.5", "--top-p", "0.9", "--top-k", "40")
    assert r.returncode == 0 and b"temperature 0.5, top_p 0.9, top_k 40" in r.stdout
    assert run(*words, "--temperature", "-1").returncode == 2


def test_bench_tells_the_time_of_every_op(run, default_model):
    plan = run("inspect", "--plan", "--model", default_model).stdout.decode().splitlines()
    calls = collections.Counter(tuple(line.split()[2:4]) for line in plan)
    assert calls["qkv", "matmul"] == 30 and calls["kv", "kv_write"] == 30
    words = ("bench", "--ops", "--model", default_model, "--prompt", "20", "--decode", "3", "--depth", "40", "--repeat", "2")
    r = run(*words, "--json")
    assert r.returncode == 0, r.stderr
    v = json.loads(r.stdout)
    assert set(v) == {"model", "backend", "threads", "reading_gb_s", "decode", "prefill"} and v["reading_gb_s"] > 0
    for part, n_tokens in (("decode", 1), ("prefill", 20)):
        t = v[part]
        assert (t["n_tokens"], t["depth"]) == (n_tokens, 40)
        assert {(o["name"], o["op"]): o["calls"] for o in t["ops"]} == calls
        assert sum(o["share"] for o in t["ops"]) == pytest.approx(1)
        assert sum(o["us"] for o in t["ops"]) == pytest.approx(t["us"])
        for o in t["ops"]:
            assert o["share"] == pytest.approx(o["us"] / t["us"])
            assert ("gb_s" in o) == ("gop_s" in o) == (o["op"] in ("matmul", "attention"))
    # What the figures count: the head is 49152 rows of 576 columns in Q8_0, 34 bytes for 32; one row of logits.
    head = v["prefill"]["ops"][-1]
    assert head["name"] == "logits" and head["gb_s"] * head["us"] == pytest.approx(49152 * 576 * 34 / 32 / 1e3)
    assert head["gop_s"] * head["us"] == pytest.approx(2 * 49152 * 576 / 1e3)
    attention = next(o for o in v["decode"]["ops"] if o["op"] == "attention")
    assert attention["gop_s"] * attention["us"] == pytest.approx(30 * 4 * 9 * 64 * 41 / 1e3)
    text = run(*words).stdout.decode()
    assert all(f"{name} " in text for name, _ in calls) and "a chunk of 20 after 40" in text
    assert run(*words[:-4], "--depth", "8190").returncode == 2


@pytest.mark.parametrize("where,moved", [("map", False), ("huge", True)])
def test_bench_measures_ops_where_the_weights_are_to_lie(run, default_model, where, moved):
    r = run("bench", "--ops", "--model", default_model, "--weights", where, "--prompt", "4", "--decode", "1", "--repeat", "1",
            "--log-level", "debug")
    assert r.returncode == 0, r.stderr
    assert (b"weights are in memory of their own" in r.stderr) == moved


@pytest.fixture
def no_large_pages():
    """Programs that are started meanwhile get small pages only."""
    PR_SET_THP_DISABLE = 41
    libc = ctypes.CDLL(None)
    if sys.platform != "linux" or libc.prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) != 0:
        pytest.skip("large pages can't be switched off")
    yield
    libc.prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0)


def test_weights_stay_in_the_file_where_there_are_no_large_pages(run, default_model, no_large_pages):
    words = ("bench", "--ops", "--model", default_model, "--prompt", "4", "--decode", "1", "--repeat", "1", "--log-level", "debug")
    r = run(*words)
    assert r.returncode == 0
    said = re.search(r"weights stay in the mapped file: the system gives no large pages.*milliseconds=(\d+)", r.stderr.decode())
    assert said and int(said.group(1)) < 1000  # 50 on a quiet machine
    r = run(*words, "--weights", "huge")
    assert r.returncode == 0 and b"--weights huge: the system gives no large pages" in r.stderr
    assert b"weights are in memory of their own" in r.stderr


ROOM = ("--prompt", "40", "--decode", "6", "--depth", "70", "--streams", "3")


def test_bench_answers_stdin(run, default_model):
    asked = b"decode 6 70 0\nprefill 40\ndecode 4 0 1.5\nstreams 3 5 \ndecode 6 70 1\n"
    r = run("bench", "--model", default_model, "--stdin", *ROOM, input=asked)
    assert r.returncode == 0, r.stderr
    ready, *answers = map(json.loads, r.stdout.splitlines())
    assert set(ready) == {"ready"} and ready["ready"].startswith("cpu ")
    assert [set(a) - {"token_bytes"} for a in answers] == [{"tok_s"}] * 5 and all(a["tok_s"] > 0 for a in answers)
    # Keys and values in f16 of the tokens behind which the middle of an answer stands, in whole positions.
    token, (deep, _, flat, _, again) = 30 * 3 * 64 * 2 * 2, (a.get("token_bytes") for a in answers)
    assert deep == again == flat + (70 + 3 - 1 - 2) * token


@pytest.mark.parametrize("line", ["prefill 41", "prefill 0", "prefill 4 4", "decode 7 0 0", "decode 6 71 0", "decode 6 70",
                                  "decode 6 70 -1", "decode 6 70 nan", "streams 4 6", "streams 3 7", "", "stop"])
def test_bench_refuses_what_stdin_may_not_ask(run, default_model, line):
    r = run("bench", "--model", default_model, "--stdin", *ROOM, input=f"{line}\nprefill 1\n".encode())
    assert r.returncode == 2 and r.stdout.count(b"\n") == 1 and b"stdin" in r.stderr


def test_bench_needs_room_for_all_streams(run, default_model):
    words = ("bench", "--model", default_model, "--json", "--prompt", "8", "--decode", "100", "--repeat", "1")
    limit = {"GPU_MEMORY_LIMIT": str(98362432 + 64 * 2**20 + 2000 * 30 * 3 * 64 * 2 * 2)}
    r = run(*words, "--streams", "1,16", env=limit)
    assert r.returncode == 4 and r.stdout == b"" and b"a pool of 2048 tokens" in r.stderr
    assert b"1984 tokens would fit" in r.stderr
    assert run(*words, "--streams", "1", env=limit).returncode == 0


def test_backends_that_are_not_there(run, default_model):
    for name in ("cuda", "mlx"):
        assert run("run", "--model", default_model, "--backend", name, "Hi").returncode == 5


def test_a_context_beyond_the_models(run, default_model):
    r = run("run", "--model", default_model, "--ctx", "9000", "--max-tokens", "2", "Hi")
    assert r.returncode == 0 and b"--ctx: 9000 tokens are more than the 8192 that the model was made for" in r.stderr
    r = run("run", "--model", default_model, "--ctx", "8192", "--max-tokens", "2", "Hi")
    assert r.returncode == 0 and b"made for" not in r.stderr
    r = run("run", "--model", default_model, "--ctx", "70000", "--max-tokens", "2", "Hi")
    assert r.returncode == 2 and b"8 times" in r.stderr


def test_tools_as_text(run, default_model):
    vars = {"messages": [
        {"role": "system", "content": "S"}, {"role": "user", "content": "U"},
        {"role": "assistant", "content": "", "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "ls", "arguments": {"path": "/"}}}]},
        {"role": "tool", "tool_call_id": "1", "content": "etc"}, {"role": "user", "content": "V"}],
        "tools": [{"type": "function", "function": {"name": "ls"}}], "add_generation_prompt": True}
    r = run("template", "--model", default_model, "--tools-fallback", input=json.dumps(vars).encode())
    assert r.returncode == 0, r.stderr
    text = r.stdout.decode()
    assert text.startswith("<|im_start|>system\n") and '<tools>\n{"type": "function", "function": {"name": "ls"}}\n</tools>' in text
    assert text.endswith('<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n<tool_call>\n{"name": "ls", "arguments": '
                         '{"path": "/"}}\n</tool_call><|im_end|>\n<|im_start|>user\n<tool_response>\netc\n</tool_response>\nV'
                         '<|im_end|>\n<|im_start|>assistant\n')
    assert "marks.\nS<|im_end|>" in text
    plain = run("template", "--model", default_model, input=json.dumps(vars).encode()).stdout.decode()
    assert "ls" not in plain  # this model's template knows no tools
