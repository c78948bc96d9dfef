#!/usr/bin/env python3
"""How long large JSON Schemas take to compile, by grammar_probe and, when it is installed, by llguidance, in turn.

    bench/large_schemas.py MODEL [PROBE] [NAME...]

Schemas of the sizes that tool servers and OpenAPI documents have: many properties, long enums, many definitions. For each
a line: states of the automaton, milliseconds of the processor to compile (median of 5), the same of llguidance (grammar and
first matcher; it leaves more of the work to the masks), and what could not be enforced. Names select schemas by what they
begin with.
"""

import json
import pathlib
import random
import statistics
import subprocess
import sys
import time

try:
    import llguidance
except ImportError:
    llguidance = None

ROOT = pathlib.Path(__file__).resolve().parents[1]
ROUNDS = 5
WORDS = """account active address amount archived author balance batch billing branch bucket build cache card category
channel city client code comment commit company contact content count country created currency customer data date default
delay deleted deploy description device disk domain due duration email enabled endpoint environment event expires external
field file filter first flag folder format gateway group hash header height host image index input instance interval invoice
issue item job key kind label language last level limit line link list locale location lock log mail max member memory
message method metric min mode model month name network node note number object offset option order origin output owner page
parent path payment period phone plan policy pool port position price priority product profile project provider public
quantity query queue range rate reason record refund region release remote replica report request resource result retry
review role route rule scale schedule scope score secret section server service session setting shard shipping size sort
source stage start state status step storage street subnet subscription summary support tag target task tax team template
tenant test text time timeout title token total trace track type unit updated url usage user value vendor version view
volume webhook weight width window worker zone""".split()


def name(rng, parts=(1, 3)):
    words = [rng.choice(WORDS) for _ in range(rng.randint(*parts))]
    return words[0] + "".join(w.capitalize() for w in words[1:])


def names(rng, n, parts=(1, 3)):
    """n different names."""
    seen = {}
    while len(seen) < n:
        s = name(rng, parts)
        seen[s if s not in seen else f"{s}{rng.randint(2, 9999)}"] = None
    return list(seen)


def leaf(rng):
    s = rng.choice([
        {"type": "string"}, {"type": "string"}, {"type": "string", "maxLength": 255}, {"type": "boolean"},
        {"type": "integer"}, {"type": "integer", "minimum": 0}, {"type": "number"}, {"type": ["string", "null"]},
        {"type": "string", "format": "date-time"}, {"type": "string", "format": "uuid"},
        {"type": "array", "items": {"type": "string"}}, {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "string", "enum": names(rng, 4, (1, 1))},
    ])  # fmt: skip
    return {"description": " ".join(rng.choices(WORDS, k=8)), **s}


def record(rng, n, required, extra=False, leaves=leaf):
    keys = names(rng, n)
    return {
        "type": "object",
        "properties": {k: leaves(rng) for k in keys},
        "required": rng.sample(keys, int(n * required)),
        "additionalProperties": extra,
    }


def definitions(rng, n, props):
    """Objects that refer to each other, as the components of an OpenAPI document do."""
    keys = names(rng, n, (2, 3))

    def part(r):
        k = r.random()
        ref = {"$ref": f"#/$defs/{r.choice(keys)}"}
        if k < 0.15:
            return ref
        if k < 0.25:
            return {"type": "array", "items": ref}
        if k < 0.3:
            return {"anyOf": [ref, {"type": "null"}]}
        return leaf(r)

    defs = {k: record(rng, props, 0.3, leaves=part) for k in keys}
    return {"$defs": defs, "type": "object", "properties": {k: {"$ref": f"#/$defs/{k}"} for k in keys}}


def tools(rng, n, props):
    """A call of one of many tools, told apart by its name."""
    return {
        "anyOf": [
            {
                "type": "object",
                "properties": {"name": {"const": k}, "arguments": record(rng, props, 0.4)},
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
            for k in names(rng, n, (2, 3))
        ]
    }


def chain(n):
    defs = {}
    for i in range(n):
        properties = {"value": {"type": "string"}, "next": {"$ref": f"#/$defs/level{i + 1}"}}
        defs[f"level{i}"] = {"type": "object", "properties": properties, "additionalProperties": False}
    defs[f"level{n}"] = {"type": "string"}
    return {"$defs": defs, "$ref": "#/$defs/level0"}


def schemas():
    rng = random.Random(8)
    return {
        "enum of 200": {"enum": names(rng, 200)},
        "enum of 1000": {"enum": names(rng, 1000)},
        "enum of 2000": {"enum": names(rng, 2000)},
        "enum of 1000, typed": {"type": "string", "enum": names(rng, 1000)},
        "3 enums of 500": {"type": "object", "properties": {f"e{i}": {"enum": names(rng, 500)} for i in range(3)}},
        "100 properties": record(rng, 100, 0.2),
        "300 properties": record(rng, 300, 0.2),
        "1000 properties": record(rng, 1000, 0.1),
        "1000 properties, strings": record(rng, 1000, 0.0, leaves=lambda r: {"type": "string"}),
        "1000 properties and others": record(rng, 1000, 0.05, extra=True),
        "1000 properties, required": record(rng, 1000, 1.0),
        "8000 properties": record(rng, 8000, 0.01),
        "8000 properties, strings": record(rng, 8000, 0.0, leaves=lambda r: {"type": "string"}),
        "8000 properties and others": record(rng, 8000, 0.0, extra=True),
        "50 definitions of 12": definitions(rng, 50, 12),
        "300 definitions of 12": definitions(rng, 300, 12),
        "1000 definitions of 8": definitions(rng, 1000, 8),
        "30 tools": tools(rng, 30, 8),
        "60 tools": tools(rng, 60, 15),
        "chain of 500": chain(500),
        "nested objects": record(rng, 60, 0.5, leaves=lambda r: record(r, 20, 0.5)),
        "1 to 150 of 200 properties": {**record(rng, 200, 0.0), "minProperties": 1, "maxProperties": 150},
    }


def peer_ms(schema, tokenizer):
    start = time.thread_time()
    grammar = llguidance.LLMatcher.grammar_from_json_schema(json.dumps(schema), overrides={"whitespace_pattern": ""})
    matcher = llguidance.LLMatcher(tokenizer, grammar)
    ms = (time.thread_time() - start) * 1e3
    return ms, matcher.get_error()


def main():
    probe = sys.argv[2] if len(sys.argv) > 2 else ROOT / "build/release/tests/grammar/grammar_probe"
    chosen = tuple(sys.argv[3:])
    p = subprocess.Popen([probe, sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    tokenizer = llguidance.LLTokenizer("byte") if llguidance else None
    ratios = []
    print(f"{'schema':28} {'KB':>5} {'states':>7} {'ms':>9} {'llguidance':>10}  not enforced")
    for what, schema in schemas().items():
        if chosen and not what.startswith(chosen):
            continue
        mine, theirs, error = [], [], ""
        for _ in range(ROUNDS):
            p.stdin.write(json.dumps({"schema": schema, "texts": []}) + "\n")
            p.stdin.flush()
            answer = json.loads(p.stdout.readline())
            mine.append(answer.get("compile_us", float("nan")) / 1e3)
            if llguidance:
                ms, error = peer_ms(schema, tokenizer)
                theirs.append(ms)
        ms, peer = statistics.median(mine), statistics.median(theirs) if theirs else float("nan")
        gaps = "; ".join(answer.get("gaps", [])) or answer.get("error", "")
        print(f"{what:28} {len(json.dumps(schema)) >> 10:5} {answer.get('states', 0):7} {ms:9.2f} {peer:10.2f}  {gaps[:60]}"
              + (f"  (llguidance: {error[:60]})" if error else ""), flush=True)
        ratios.append(ms / peer)
    print(f"ours over theirs: median {statistics.median(ratios):.2f}, most {max(ratios):.2f}")


if __name__ == "__main__":
    main()
