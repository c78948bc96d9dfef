"""Large schemas are held whole. Strict, so that a limit shows as an error."""

import json


def accepts(grammar, schema, *values):
    answer = grammar(schema=schema, texts=[json.dumps(v, ensure_ascii=False) for v in values], strict=True)
    assert "error" not in answer, answer
    assert answer["gaps"] == []
    return answer["accepts"]


def keys(n):
    return [f"property {i * 7919 % 10007:05}" for i in range(n)]


def record(names, required=(), others=False, leaf=None):
    leaf = leaf or {"type": "integer"}
    properties = {k: {"description": f"the one called {k}", **leaf} for k in names}
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": others}


def test_references_share_what_they_name(grammar):
    """A hundred references to one definition cost no more than one."""
    k = keys(100)
    schema = {"$defs": {"large": record(k)}, **record(k, leaf={"$ref": "#/$defs/large"})}
    good, bad = {k[0]: {k[1]: 1}, k[2]: {k[2]: 2, k[3]: 3}}, {k[0]: {k[1]: 1}, k[2]: {k[3]: 3, k[2]: 2}}
    assert accepts(grammar, schema, good, bad) == [True, False]
    assert grammar(schema=schema, texts=[])["states"] < 7000


def test_references_that_only_meet_each_other(grammar):
    schema = {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}
    assert "without end" in grammar(schema=schema, texts=[], strict=True)["error"]


def test_alike_but_for_where_they_point(grammar):
    """The same words mean another thing under `not`, or with a value beside them."""
    leaf = {"type": "integer", "minimum": 3}
    schema = {
        "type": "object",
        "properties": {
            "a": leaf,
            "b": {"allOf": [{"type": "integer"}, {"not": dict(leaf)}]},
            "c": {**leaf, "maximum": 4},
            "d": {"title": "the same as a", **leaf},
        },
    }
    good = [{"a": 3, "b": 2, "c": 4, "d": 9}]
    bad = [{"a": 2}, {"b": 3}, {"c": 5}, {"d": 2}]
    assert accepts(grammar, schema, *good, *bad) == [True] + [False] * 4


def test_long_enums(grammar):
    names = [f"value {i}" for i in range(2000)]
    values = [*names[:1998], 7, {"a": [1.0]}]
    schema = {"enum": values, "not": {"enum": [names[5], 7.0]}}
    assert accepts(grammar, schema, names[0], names[1997], {"a": [1.0]}, names[5], 7, names[1999]) == [True] * 3 + [False] * 3
