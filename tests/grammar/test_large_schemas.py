"""Schemas of thousands of properties and names are held whole: in the order of the schema, each at most once, with what is
required. Strict, so that a limit shows as an error."""

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


def test_thousands_of_properties(grammar):
    k = keys(6000)
    every = dict.fromkeys(k, 1)
    good = [{}, {k[0]: 1}, {k[-1]: 1}, {k[17]: 1, k[18]: 2, k[4000]: 3}, every]
    bad = [{k[18]: 1, k[17]: 1}, {"other": 1}, {k[3]: "1"}, {k[-1]: 1, "other": 1}, {k[5][:-1]: 1}]
    assert accepts(grammar, record(k), *good, *bad) == [True] * 5 + [False] * 5


def test_required_ones_among_many(grammar):
    k = keys(3000)
    schema = record(k, required=[k[2000], k[10]])
    both = {k[10]: 1, k[2000]: 1}
    good = [both, {k[0]: 1, **both, k[2999]: 1}, {k[10]: 1, k[11]: 1, k[1999]: 1, k[2000]: 1}]
    bad = [{}, {k[10]: 1}, {k[2000]: 1}, {k[11]: 1, k[2000]: 1}, {k[10]: 1, k[2001]: 1}, {k[2000]: 1, k[10]: 1}]
    assert accepts(grammar, schema, *good, *bad) == [True] * 3 + [False] * 6


def test_other_names_beside_many(grammar):
    k = keys(3000)
    schema = record(k, others={"type": "boolean"})
    good = [{"other": True}, {k[1]: 1, "other": True, "again": False}, {k[0] + "x": True}, {k[0][:-1]: True}, {"a\n\"\\": True}]
    bad = [{k[0]: True}, {"other": True, k[0]: 1}, {"other": 1}, {"other": True, k[0]: True}]
    assert accepts(grammar, schema, *good, *bad) == [True] * 5 + [False] * 4


def test_names_that_begin_alike(grammar):
    """A name that is the beginning of others, and names that are written with escapes."""
    k = ["a", "ab", "", "abc", 'a"', "a\\", 'a"b', "a\nb", "é", "éa", "b"]
    schema = record(k, required=["abc"])
    at = k.index("abc")
    good = [dict.fromkeys(k, 1), {"abc": 1}, {"a": 1, "abc": 1, "b": 1}, {"": 1, "abc": 1, 'a"b': 1, "éa": 1}]
    bad = [dict.fromkeys(k[:at], 1), {"abc": 1, "ab": 1}, {"ab": 1, "a": 1, "abc": 1}, {"abc": 1, "é": 1, 'a"': 1}]
    assert accepts(grammar, schema, *good, *bad) == [True] * 4 + [False] * 4


def test_counted_members(grammar):
    k = keys(12)
    schema = {**record(k, required=[k[6]], others=True), "minProperties": 2, "maxProperties": 4}
    a, r, z = ({k[i]: 1} for i in (0, 6, 11))
    good = [{**a, **r}, {**r, **z}, {**r, "x": 1}, {**a, **r, **z, "x": 1}, {**r, "x": 1, "y": 1, "z": 1}]
    bad = [r, {**a, **z}, {**a, **r, **z, "x": 1, "y": 1}, {"x": 1, "y": 1}]
    assert accepts(grammar, schema, *good, *bad) == [True] * 5 + [False] * 4


def test_references_share_what_they_name(grammar):
    """A hundred references to one definition cost no more than one."""
    k = keys(100)
    schema = {"$defs": {"large": record(k)}, **record(k, leaf={"$ref": "#/$defs/large"})}
    good, bad = {k[0]: {k[1]: 1}, k[2]: {k[2]: 2, k[3]: 3}}, {k[0]: {k[1]: 1}, k[2]: {k[3]: 3, k[2]: 2}}
    assert accepts(grammar, schema, good, bad) == [True, False]
    assert grammar(schema=schema, texts=[])["states"] < 5000


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


def test_copies_of_what_is_large(grammar):
    """All automata together have a limit: alternatives are written out, so each `or null` is a copy."""
    nullable = [{"anyOf": [{"$ref": "#/$defs/large"}, {"type": "null"}], "maximum": i} for i in range(400)]
    schema = {"$defs": {"large": record(keys(2000))}, "type": "array", "prefixItems": nullable}
    assert "automata take over" in grammar(schema=schema, texts=[], strict=True)["error"]
    assert grammar(schema=schema, texts=["[]"])["accepts"] == [False]  # any object instead
