"""The validator against the Python package jsonschema: a list for every keyword, and random schemas and values."""

import collections
import functools
import json
import pathlib
import random
import subprocess

import pytest
from exact_schema import DRAFT_2020, DRAFT_7, reference
from random_schemas import KEYWORDS, mutate, random_instance, random_schema

ROOT = pathlib.Path(__file__).resolve().parents[2]
N_SCHEMAS = 1000


class Probe:
    def __init__(self, path):
        self.process = subprocess.Popen([str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, schema, value):
        question = json.dumps({"schema": schema, "value": value}, ensure_ascii=False)
        self.process.stdin.write(question.encode() + b"\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().decode().strip()
        return {"true": True, "false": False}.get(answer, answer)


@pytest.fixture(scope="module")
def probe():
    builds = [ROOT / "build" / name / "tests/grammar/schema_probe" for name in ("asan", "release")]
    found = [path for path in builds if path.exists()]
    if not found:
        pytest.skip("schema_probe is not built")
    p = Probe(max(found, key=lambda path: path.stat().st_mtime))
    yield p
    p.process.stdin.close()
    assert p.process.wait() == 0


def agree(probe, schema, values, draft=DRAFT_2020):
    validator = reference(schema, draft)
    for value in values:
        want, got = validator.is_valid(value), probe(schema, value)
        assert got is want, f"{json.dumps(schema)}\n{json.dumps(value)}\nthe package says {want}, we say {got}"


# -- A list for every keyword

VALUES = [
    None, True, False, 0, 1, 2, 3, -1, 1.0, 1.5, -0.0, 0.3, 0.07, 4.35, 1e300, 2**53 + 1, float(2**53), 2**63 - 1, -(2**63),
    "", "a", "b", "ab", "abc", "é", "😀😀", "2024-02-29", "2024-13-01", "2024-02-29T12:00:00Z", "127.0.0.1", "256.0.0.1",
    "123e4567-e89b-12d3-a456-426614174000", "a@example.org", "line\nbreak",
    [], [1], [1, 1.0], [1, True], [0, False], [[1], [True], [1.0]], ["a", 1], [1, "a"], [1, "a", None], [1, 2, 3, 4],
    [{"a": 1}, {"a": True}], [{"a": 1, "b": 2}, {"b": 2.0, "a": 1}], [None, None], [[], {}], [[[]]],
    {}, {"a": 1}, {"a": "x"}, {"a": None}, {"b": 1}, {"a": 1, "b": 2}, {"a": 1, "b": 2, "c": 3}, {"x1": 1}, {"ax": 1.5},
    {"x1": "s", "": 0}, {"é": 1}, {"a": {"a": {"a": 1}}}, {"a": {"a": {"a": "x"}}}, {"a b": []}, {"$ref": "#"}, {"a": [1, "a"]},
]  # fmt: skip
SCHEMAS = [
    True, False, {},
    *({"type": t} for t in ("null", "boolean", "integer", "number", "string", "array", "object")),
    {"type": ["string", "null"]}, {"type": ["integer", "array"]},
    {"enum": [1, "a", None, [1], {"a": 1}]}, {"enum": [True, 0]}, {"enum": [1.0, [True]]}, {"enum": []},
    *({"const": v} for v in (1, 1.0, True, False, 0, None, "a", [1, 1], {"b": 2, "a": 1}, 2**53, [], {})),
    {"minimum": 1}, {"minimum": 0.3}, {"minimum": -1.5}, {"maximum": 1}, {"maximum": 1.5}, {"exclusiveMinimum": 1},
    {"exclusiveMaximum": 1.0}, {"minimum": 2**53 + 1}, {"maximum": float(2**53)}, {"exclusiveMinimum": 2**63 - 2},
    {"exclusiveMaximum": 0}, {"minimum": 1, "maximum": 2, "exclusiveMaximum": 2},
    *({"multipleOf": s} for s in (1, 2, 3, 0.01, 0.1, 0.5, 1.5, 1e-8, 1e300, 7)),
    {"minLength": 1}, {"minLength": 2}, {"maxLength": 2}, {"minLength": 1, "maxLength": 1}, {"maxLength": 0}, {"maxLength": 1.0},
    *({"pattern": p} for p in ("a", "^a", "b$", "^$", "^[a-c]+$", "[0-9]{4}", "^(ab|b)c?$", "")),
    *({"format": f} for f in ("date", "date-time", "uuid", "ipv4", "email", "x-unknown")),
    {"items": {"type": "integer"}}, {"items": False}, {"items": True}, {"items": {"items": {"items": {"type": "null"}}}},
    {"prefixItems": [{"type": "integer"}]}, {"prefixItems": [True, {"type": "string"}], "items": {"type": "null"}},
    {"prefixItems": [{"type": "integer"}], "items": False}, {"prefixItems": [False]},
    {"minItems": 1}, {"minItems": 2, "maxItems": 3}, {"maxItems": 0}, {"uniqueItems": True}, {"uniqueItems": False},
    {"contains": {"type": "integer"}}, {"contains": True, "minContains": 2}, {"contains": {"type": "integer"}, "maxContains": 1},
    {"contains": {"const": 1}, "minContains": 0}, {"contains": {"const": 1}, "minContains": 0, "maxContains": 1},
    {"contains": False}, {"minContains": 5}, {"maxContains": 0},
    {"properties": {"a": {"type": "integer"}}}, {"properties": {"a": False}}, {"properties": {"$ref": {"type": "null"}}},
    {"properties": {"a": {}}, "additionalProperties": False}, {"additionalProperties": False},
    {"additionalProperties": {"type": "integer"}}, {"properties": {"a": {}}, "additionalProperties": {"type": "string"}},
    {"patternProperties": {"^x": {"type": "integer"}, "x$": {"multipleOf": 1}}},
    {"patternProperties": {"^x": {}}, "additionalProperties": False}, {"patternProperties": {"": {"type": "integer"}}},
    {"properties": {"ax": {"minimum": 1}}, "patternProperties": {"x": {"maximum": 1}}, "additionalProperties": False},
    {"required": ["a"]}, {"required": ["a", "b"]}, {"required": []}, {"required": [""]},
    {"propertyNames": {"maxLength": 1}}, {"propertyNames": {"pattern": "^[a-z]"}}, {"propertyNames": {"enum": ["a", "b"]}},
    {"propertyNames": False}, {"propertyNames": {"type": "integer"}},
    {"minProperties": 1}, {"minProperties": 2, "maxProperties": 2}, {"maxProperties": 0},
    {"dependentRequired": {"a": ["b"]}}, {"dependentRequired": {"a": [], "b": ["c", "a"]}},
    {"dependentSchemas": {"a": {"required": ["b"]}}}, {"dependentSchemas": {"a": False}}, {"dependentSchemas": {"b": {"maxProperties": 1}}},
    {"allOf": [{"minimum": 1}, {"maximum": 2}]}, {"allOf": [True, False]}, {"allOf": [{"type": "integer"}, {"type": "number"}]},
    {"anyOf": [{"type": "string"}, {"minimum": 2}]}, {"anyOf": [False, False]}, {"anyOf": [True, False]},
    {"anyOf": [{"required": ["a"]}, {"required": ["b"]}], "type": "object"},
    {"oneOf": [{"type": "integer"}, {"minimum": 2}]}, {"oneOf": [True]}, {"oneOf": [True, True]}, {"oneOf": [False]},
    {"oneOf": [{"required": ["a"]}, {"required": ["b"]}, {"type": "array"}]},
    {"not": {"type": "integer"}}, {"not": {}}, {"not": False}, {"not": {"not": {"required": ["a"]}}},
    {"if": {"type": "integer"}, "then": {"minimum": 1}, "else": {"minLength": 1}}, {"if": {"type": "integer"}, "then": False},
    {"if": {"required": ["a"]}, "else": {"type": "string"}}, {"if": True}, {"then": False, "else": False},
    {"$ref": "#/$defs/n", "$defs": {"n": {"type": "integer"}}}, {"$ref": "#/$defs/n", "minimum": 1, "$defs": {"n": {"type": "integer"}}},
    {"$ref": "#/$defs/a~1b%25~0%20%C3%A9", "$defs": {"a/b%~ é": {"type": "string"}}},
    {"properties": {"a": {"anyOf": [{"$ref": "#"}, {"type": "integer"}]}}, "type": "object"},
    {"$ref": "#/definitions/n", "definitions": {"n": {"type": "integer"}}},
    {"$ref": "#/properties/a", "properties": {"a": {"type": ["integer", "object"]}}},
    {"$ref": "#/allOf/0/items", "allOf": [{"items": {"type": ["integer", "array"]}}]},
    {"$defs": {"tree": {"type": ["array", "integer"], "items": {"$ref": "#/$defs/tree"}}}, "$ref": "#/$defs/tree"},
    {"title": 1, "description": [], "default": {}, "examples": 1, "$comment": "c", "x-unknown": {"type": "null"}},
]  # fmt: skip
DRAFT_7_SCHEMAS = [
    {"items": [{"type": "integer"}]}, {"items": [{"type": "integer"}], "additionalItems": {"type": "string"}},
    {"items": [{"type": "integer"}], "additionalItems": False}, {"items": {}, "additionalItems": False}, {"additionalItems": False},
    {"items": [], "additionalItems": {"type": "integer"}}, {"items": [False, True]},
    {"dependencies": {"a": ["b"]}}, {"dependencies": {"a": {"required": ["b"]}}}, {"dependencies": {"a": False, "b": True}},
    {"dependencies": {"b": {"minProperties": 2}, "a": []}},
    {"$ref": "#/definitions/n", "definitions": {"n": {"type": "integer"}}},
    {"contains": {"type": "integer"}}, {"if": {"minimum": 1}, "then": {"maximum": 2}, "else": {"const": 0}},
]  # fmt: skip


@pytest.mark.parametrize("schema", SCHEMAS, ids=json.dumps)
def test_keyword(probe, schema):
    agree(probe, schema, VALUES)


@pytest.mark.parametrize("schema", DRAFT_7_SCHEMAS, ids=json.dumps)
def test_keyword_of_draft_7(probe, schema):
    agree(probe, schema, VALUES, DRAFT_7)


def test_every_keyword_is_listed():
    used = set().union(*(s for s in SCHEMAS if isinstance(s, dict)))
    assert KEYWORDS <= used


@pytest.mark.parametrize(
    "schema, code",
    [
        ({"$ref": "#/$defs/nothing"}, "unsupported"),
        ({"$ref": "#an-anchor"}, "unsupported"),
        ({"pattern": "("}, "unsupported"),
        ({"type": "text"}, "unsupported"),
        ({"$ref": "#"}, "limit"),
        ({"anyOf": [{"type": "null"}, {"$ref": "#"}]}, "limit"),
    ],
    ids=str,
)
def test_what_cannot_be_checked(probe, schema, code):
    with pytest.raises(Exception):  # noqa: B017: each fails in a way of its own
        reference(schema).is_valid("text")
    assert probe(schema, "text").startswith(f"error: {code}: input: ")


# -- Random schemas


@functools.cache
def random_cases():
    """Schemas, each with a value made by it, a change of that and a change of the change."""
    cases = []
    for seed in range(N_SCHEMAS):
        rng = random.Random(seed)
        schema = random_schema(rng, rng.choice([1, 2, 2, 3, 3, 4]))
        value = random_instance(rng, schema)
        changed = mutate(rng, value)
        cases.append((schema, [value, changed, mutate(rng, changed)]))
    return cases


def test_random_schemas(probe):
    for schema, values in random_cases():
        agree(probe, schema, values)


def causes(error):
    yield error.validator
    for part in error.schema_path:
        if isinstance(part, str):
            yield part
    for below in error.context or []:
        yield from causes(below)


def test_random_schemas_say_something():
    """Both answers are frequent, also for values made from the schema, and every keyword refuses something."""
    made, changed, refused = collections.Counter(), collections.Counter(), collections.Counter()
    for schema, values in random_cases():
        for i, value in enumerate(values):
            errors = list(reference(schema).iter_errors(value))
            (changed if i else made)[not errors] += 1
            refused.update({cause for error in errors for cause in causes(error)})
    assert made[True] > N_SCHEMAS * 0.5
    assert min(changed[True], changed[False]) > N_SCHEMAS * 0.4
    for keyword in KEYWORDS - {"$defs", "if"}:
        assert refused[keyword] >= 3, f"{keyword} refuses {refused[keyword]} values"


def test_schemas_that_are_none(probe):
    """Keywords with values of a wrong kind: whatever is made of them, it is an answer."""
    for seed in range(2000):
        rng = random.Random(seed)
        schema = random_schema(rng, 3)
        value = random_instance(rng, schema)
        for _ in range(4):
            schema = mutate(rng, schema)
        answer = probe(schema, value)
        assert answer in (True, False) or answer.startswith(("error: unsupported: input", "error: limit: input")), answer


def test_the_same_seed_makes_the_same():
    for seed in range(20):
        one, two = random.Random(seed), random.Random(seed)
        a, b = random_schema(one, 3), random_schema(two, 3)
        assert json.dumps(a) == json.dumps(b)
        assert json.dumps(random_instance(one, a)) == json.dumps(random_instance(two, b))


def test_only_the_keywords_that_are_asked_for():
    def keywords(schema):
        if not isinstance(schema, dict):
            return set()
        below = [*schema.get("properties", {}).values(), schema.get("items", True)]
        return set(schema).union(*map(keywords, below))

    wanted = {"type", "properties", "required", "items", "enum"}
    for seed in range(200):
        assert keywords(random_schema(random.Random(seed), 3, wanted)) <= wanted
