"""The automaton of a JSON Schema against the Python package jsonschema: what it accepts is valid, what is valid it
accepts, but for the narrowings that docs/TOOLS.md lists: one order of members, one way of white space and escapes,
integers without a fraction and of at most 18 digits, no exponents beside bounds, listed values as the schema writes them."""

import itertools
import json
import random
import re

import pytest
from exact_schema import reference
from random_schemas import mutate, random_instance, random_schema

KEYWORDS = set(
    "type enum const minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minLength maxLength pattern format "
    "properties patternProperties additionalProperties required propertyNames minProperties maxProperties "
    "dependentRequired dependentSchemas items prefixItems minItems maxItems uniqueItems "
    "allOf anyOf oneOf not if then else $ref $defs".split()
)
MAX_FORMS = 300


def orders(value):
    """The value with its members in every order, as text; None when there are too many."""
    if isinstance(value, dict):
        inner = [(k, orders(v)) for k, v in value.items()]
        if any(v is None for _, v in inner) or len(inner) > 5:
            return None
        out = []
        for p in itertools.permutations(inner):
            for combo in itertools.product(*[v for _, v in p]):
                out.append("{" + ", ".join(f"{dumps(k)}: {t}" for (k, _), t in zip(p, combo)) + "}")
                if len(out) > MAX_FORMS:
                    return None
        return out
    if isinstance(value, list):
        inner = [orders(v) for v in value]
        if any(v is None for v in inner):
            return None
        out = ["[" + ", ".join(c) + "]" for c in itertools.islice(itertools.product(*inner), MAX_FORMS + 1)]
        return out if len(out) <= MAX_FORMS else None
    if isinstance(value, float) and value.is_integer() or isinstance(value, int) and not isinstance(value, bool):
        if abs(value) >= 1e15:
            return None
        return [str(int(value)), dumps(float(value))]
    if isinstance(value, float) and "e" in dumps(value):
        return None
    return [dumps(value)]


def dumps(value):
    return json.dumps(value, ensure_ascii=False)


def agree(grammar, schema, values):
    """How many values were compared; the schema must be held strictly or refused with a reason."""
    texts, owner = [], []
    for i, v in enumerate(values):
        forms = orders(v)
        for t in forms or []:
            texts.append(t)
            owner.append(i)
    answer = grammar(schema=schema, texts=texts, strict=True)
    if "error" in answer:
        assert re.match(r"^(schema|no answer)", answer["error"]), answer
        if answer["error"].startswith("no answer"):
            for i in set(owner):
                assert not reference(schema).is_valid(values[i]), (dumps(schema), dumps(values[i]), answer["error"])
        return 0, answer["error"]
    good = {i for i, ok in zip(owner, answer["accepts"]) if ok}
    for i in sorted(set(owner)):
        valid = reference(schema).is_valid(values[i])
        assert (i in good) == valid, (dumps(schema), dumps(values[i]), "valid" if valid else "not valid")
    return len(set(owner)), None


@pytest.mark.parametrize("seed", range(40))
def test_random_schemas(grammar, seed):
    rng = random.Random(seed)
    compared = 0
    for _ in range(60):
        schema = random_schema(rng, depth=2, keywords=KEYWORDS)
        values = [random_instance(rng, schema) for _ in range(6)]
        values += [mutate(rng, v) for v in values]
        compared += agree(grammar, schema, values)[0]
    assert compared > 150


@pytest.mark.parametrize("seed", range(20))
def test_random_answers(grammar, seed):
    """Whatever a model says under a schema is valid by it."""
    rng = random.Random(1000 + seed)
    ended = made = 0
    while made < 500:
        schema = random_schema(rng, depth=2, keywords=KEYWORDS)
        for k in range(4):
            answer = grammar(schema=schema, seed=rng.randrange(1 << 30), max_tokens=300, strict=True)
            if "error" in answer:
                break
            made += 1
            assert "fault" not in answer, (dumps(schema), answer)
            if not answer["ended"]:
                continue
            ended += 1
            value = json.loads(answer["text"])
            assert reference(schema).is_valid(value), (dumps(schema), answer["text"])
    assert ended > 400


@pytest.mark.parametrize("dialect", ["qwen_xml", "glm", "glm_lines", "minimax", "hermes", "gemma4", "gemma3"])
def test_random_calls(grammar, dialect):
    """The arguments that are read of a call are valid by the tool's schema, however the dialect writes them."""
    rng = random.Random(2000)
    ended = made = 0
    while made < 150:
        schema = random_schema(rng, depth=2, keywords=KEYWORDS)
        if not isinstance(schema, dict):
            continue
        schema = {**schema, "type": "object"}
        answer = grammar(schema=schema, dialect=dialect, seed=rng.randrange(1 << 30), max_tokens=300, strict=True)
        if "error" in answer:
            continue
        made += 1
        assert "fault" not in answer, (dumps(schema), answer)
        if not answer["ended"]:
            continue
        ended += 1
        assert answer["arguments"] is not None, (dumps(schema), answer["text"])
        value = json.loads(answer["arguments"])
        assert reference(schema).is_valid(value), (dumps(schema), answer["text"], answer["arguments"])
    assert ended > 60
