"""The comparison with other programs: rounds, failures and tables, with stand-ins for the others."""

import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "bench" / "peers"))

import peer
import peer_rounds
import peer_table
from peer_llamacpp import LlamaCpp
from peer_mlx import Mlx
from peer_openvino import OpenVino

STAND_IN = """
import json, sys
name, log = sys.argv[1:3]
print(json.dumps({"ready": name + " avx2, 2 threads"}), flush=True)
for line in sys.stdin:
    open(log, "a").write(name + ": " + line)
    if name == "bad" and line.startswith("streams"):
        sys.exit(3)
    speed = {"own": 30.0, "slow": 10.0, "bad": 60.0}[name]
    print(json.dumps({"tok_s": speed} | ({"token_bytes": 2e8} if line.startswith("decode") else {})), flush=True)
"""


def settings(**more):
    return peer.Settings(**{"isa": None, "threads": 2, "prompts": [8, 4096], "depths": [0], "decode": 5, "streams": [1, 3],
                            "binary": pathlib.Path("none"), **more})


class StandIn(peer.Peer):
    def __init__(self, name, folder):
        self.name, self.folder = name, folder
        super().__init__(settings())

    def takes(self, model):
        pass

    def command(self, model):
        return [sys.executable, "-c", STAND_IN, self.name, str(self.folder / "asked")]


@pytest.fixture
def rounds(tmp_path, monkeypatch):
    class Reading:
        def __init__(self, threads):
            pass

        def gb_s(self):
            return 10.0

        def stop(self):
            pass

    monkeypatch.setattr(peer_rounds, "Reading", Reading)

    def make(*names):
        return peer_rounds.Rounds(pathlib.Path("m.gguf"), [StandIn(n, tmp_path) for n in names], settings(),
                                  subprocess.DEVNULL)

    return make


def test_programs_are_asked_in_turn(rounds, tmp_path):
    results = rounds("own", "slow").run(3)
    asked = (tmp_path / "asked").read_text().splitlines()
    warm = [a for n in ("own", "slow") for a in (f"{n}: prefill 8", f"{n}: decode 5 0 0", f"{n}: decode 5 0 1",
                                                 f"{n}: streams 3 5")]
    assert asked[:8] == warm
    assert [a for a in asked[8:] if "prefill 8" in a] == [f"{n}: prefill 8" for n in ("own", "slow", "slow", "own", "own", "slow")]
    # Long prompts, and the start and memory of a process of its own, in every other round.
    assert sum("prefill 4096" in a for a in asked) == 4
    assert {k: sorted(v) for k, v in results.values.items() if k[1] == "own"} == {
        ("prefill 8", "own"): [0, 1, 2], ("prefill 4096", "own"): [0, 2], ("decode 0 0", "own"): [0, 1, 2],
        ("decode 0 1", "own"): [0, 1, 2], ("streams 3", "own"): [0, 1, 2], ("start", "own"): [0, 2],
        ("memory", "own"): [0, 2]}
    assert results.notes == [] and results.values["memory", "slow"][0] > 1


def test_a_program_that_ends_is_left_out_from_then_on(rounds):
    r = rounds("own", "bad", "slow")
    results = r.run(2)
    assert results.notes == ["bad, streams 3: its driver ended with status 3"]
    assert not any(name == "bad" for _, name in results.values)
    assert len(results.values["streams 3", "slow"]) == 2


def test_a_driver_that_says_nothing_or_nonsense():
    for code, what in (("print('hello')", "answers b'hello'"), ("", "ended with status 0"),
                       ("import time; time.sleep(9)", "no answer within 1 s")):
        with pytest.raises(peer.Missing, match=what):
            peer.Driver("x", [sys.executable, "-c", code], None, subprocess.DEVNULL, seconds=1)


def results_of(**values):
    r = peer_rounds.Results()
    for name, rows in values.items():
        for key, figures in rows.items():
            for i, v in figures.items():
                r.add(key, name, i, v)
    return r


def test_ratios_are_of_the_same_round_and_above_one_when_ahead():
    speed = peer_rounds.Measure("p", "prefill")
    start = peer_rounds.Measure("s", "start", "s", less=True)
    r = results_of(own={"p": {0: 100, 1: 50, 2: 90}, "s": {0: 0.5}}, a={"p": {0: 50, 1: 50, 3: 1}, "s": {0: 2.0}},
                   b={"p": {0: 10, 1: 10}, "s": {0: 1.0}})
    assert peer_table.best_of(speed, r, ["a", "b"]) == "a" and peer_table.best_of(start, r, ["a", "b"]) == "b"
    assert peer_table.ratios(speed, r, "own", "a") == [2, 1]
    assert peer_table.ratios(start, r, "own", "b") == [2]
    text = peer_table.table([speed, start], r, "own", ["a", "b"])
    assert text.splitlines()[2:] == ["| prefill | 90.0 (50.0-100) | 50.0 (1.0-50.0) | 10.0 (10.0-10.0) | 1.50 (1.00-2.00) a |  |",
                                     "| start, s | 0.50 | 2.00 | 1.00 | 2.00 b |  |"]


def test_share_of_reading_and_what_nobody_measured():
    decode = peer_rounds.Measure("d", "decode", reads=True)
    r = results_of(own={"d": {0: 30.0}})
    r.token_bytes["d"], r.reading = 2e8, [10.0, 20.0]
    rows = peer_table.table([decode, peer_rounds.Measure("x", "nothing")], r, "own", ["a"]).splitlines()
    assert rows[2:] == ["| decode | 30.0 | - | - | 0.40 |"]


def test_a_section_is_replaced_between_its_marks():
    begin, end = peer_table.marks("avx2")
    other = "\n".join(peer_table.marks("avx512-vnni"))
    text = f"# T\n\n{begin}\nold\n{end}\n{other}\nafter\n"
    new = peer_table.replace_section(text, "avx2", "\nnew\n")
    assert new == f"# T\n\n{begin}\nnew\n{end}\n{other}\nafter\n"
    assert peer_table.replace_section(new, "avx2", "new") == new
    for bad in ("", f"{end}\n{begin}\n", text + begin):
        with pytest.raises(ValueError, match="avx2"):
            peer_table.replace_section(bad, "avx2", "x")


def test_the_document_has_a_place_for_every_instruction_set_that_is_written():
    text = (ROOT / "docs" / "SPEED.md").read_text()
    for isa in ("avx2", "avx512-vnni"):
        assert peer_table.replace_section(text, isa, "x") != text


def test_what_programs_take(tmp_path):
    gguf = tmp_path / "m.gguf"
    gguf.touch()
    for kind, takes, refuses in ((LlamaCpp, gguf, tmp_path), (OpenVino, gguf, tmp_path), (Mlx, tmp_path, gguf)):
        kind(settings()).takes(takes)
        with pytest.raises(peer.Missing):
            kind(settings()).takes(refuses)


def test_a_set_up_is_of_one_instruction_set_and_version(tmp_path, monkeypatch):
    monkeypatch.setattr(peer, "PLACE", tmp_path)
    avx2, native = LlamaCpp(settings(isa="avx2")), LlamaCpp(settings())
    assert "-DGGML_AVX512=OFF" in avx2.flags() and "-DGGML_NATIVE=ON" in native.flags()
    made = []
    monkeypatch.setattr(LlamaCpp, "make", lambda self: made.append(self.build))
    monkeypatch.setattr(peer, "ROOT", tmp_path)
    avx2.set_up()
    avx2.set_up()
    assert made == ["avx2"] and avx2.is_set_up() and not native.is_set_up()
    monkeypatch.setattr(LlamaCpp, "stamp", lambda self: "another version")
    assert not avx2.is_set_up()


def test_the_whole_of_it_with_pensieve_alone(pensieve, default_model, tmp_path):
    about = json.loads(subprocess.run([pensieve, "bench", "--stdin", "--model", default_model], input=b"", check=True,
                                      capture_output=True).stdout)["ready"]
    isa = about.partition(",")[0].split()[-1]
    doc, figures = tmp_path / "doc.md", tmp_path / "figures.json"
    doc.write_text("before\n" + "\n".join(peer_table.marks(isa)) + "\nafter\n")
    words = ["--peers", "", "--binary", pensieve, "--prompts", "16", "--depths", "0,20", "--decode", "8", "--streams", "1,2",
             "--rounds", "2", "--busy", "--write", "--doc", doc, "--json", figures, default_model]
    r = subprocess.run([sys.executable, ROOT / "bench" / "peers", *map(str, words)], capture_output=True, text=True, timeout=300)
    assert r.returncode == 0, r.stderr
    text = doc.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and r.stdout.strip() in text
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]
    assert rows[2:] == ["prefill, 16 tokens", "decode behind 0, greedy", "decode behind 0, temperature 1",
                        "decode behind 20, greedy", "decode behind 20, temperature 1", "2 streams", "1 stream over HTTP",
                        "2 streams over HTTP, prompts included", "first token over HTTP, prompt of about 512, ms", "ready after the start, s",
                        "resident at most, a prompt of 512, 64 tokens, MB"]
    m = json.loads(figures.read_text())["models"][0]
    started = ("http 1", "http 2", "first", "start", "memory")
    assert all(len(v["rounds"]) == (1 if v["measure"] in started else 2) for v in m["values"]) and m["notes"] == []
    assert min(x for v in m["values"] for x in v["rounds"].values()) > 0
    assert len(m["reading_gb_s"]) == 2 and m["token_bytes"]["decode 20 0"] > m["token_bytes"]["decode 0 0"] > 9e7
