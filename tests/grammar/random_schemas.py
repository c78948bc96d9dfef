"""Random JSON schemas, and values that are often valid by them.

    rng = random.Random(seed)
    schema = random_schema(rng, depth=3)     # or with keywords={"type", "properties", ...} only
    value = random_instance(rng, schema)     # tries to be valid; not always with success
    other = mutate(rng, value)               # the same with one to three changes

The same seed gives the same schemas. Schemas are of draft 2020-12 and always can be checked: references exist and an
instance is consumed before a schema refers to itself. Numbers fit 64 bits. Patterns mean the same to ECMA, to Python
and to POSIX on the strings that are made here.
"""

import copy
import json
import re

TYPES = ["null", "boolean", "integer", "number", "string", "array", "object"]
KEYWORDS = frozenset(
    "type enum const minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minLength maxLength pattern format "
    "properties patternProperties additionalProperties required propertyNames minProperties maxProperties "
    "dependentRequired dependentSchemas items prefixItems minItems maxItems uniqueItems contains minContains "
    "maxContains allOf anyOf oneOf not if then else $ref $defs".split()
)

NUMBERS = [-2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 10, 100, -1.5, 0.5, 1.0, 1.5, 2.0, 2.5, 0.01, 0.07, 0.3, 1.1, 4.35, 1e20,
           2**53 + 1, -(2**53) - 1]  # fmt: skip
STEPS = [1, 2, 3, 5, 10, 0.5, 0.1, 0.01, 1.5, 2.0]
STRINGS = ["", "a", "b", "ab", "ba", "abc", "aab", "bb", "abab", "x1", "y22", "A", "é", "aé", "\U0001f600b", 'say "a"',
           "a/b~c", "line\nbreak", "1", "true", "hello world"]  # fmt: skip
KEYS = ["a", "b", "c", "ab", "x1", "x2", "é", "a b", "", "$ref", "type"]
PATTERNS = ["a", "^a", "b$", "a+b", "^[ab]*$", "^(a|b){1,3}$", "[0-9]", "^[a-z]+[0-9]*$", "^[^a]", "ab|ba", "^$", "^x"]
FORMATS = {
    "date": (["2024-02-29", "1999-12-31"], ["2024-13-01", "2024-1-1", "yesterday"]),
    "date-time": (["2024-02-29T23:59:59Z", "1999-12-31T00:00:00.25+02:00"], ["2024-02-29", "2024-02-29T25:00:00Z"]),
    "uuid": (["123e4567-e89b-12d3-a456-426614174000"], ["123e4567e89b12d3a456426614174000", "123"]),
    "ipv4": (["127.0.0.1", "255.255.255.255"], ["256.1.1.1", "1.2.3"]),
    "email": (["somebody@example.org"], ["nobody"]),
    "x-unknown": (["anything"], []),
}
ALL_STRINGS = STRINGS + [s for good, bad in FORMATS.values() for s in good + bad]
DEFS = ["one", "two/three", "four five", "six~%7"]


def chance(rng, p):
    return rng.random() < p


def random_value(rng, depth=2):
    """Any JSON value."""
    kind = rng.choice(TYPES if depth > 0 else TYPES[:5])
    if kind == "null":
        return None
    if kind == "boolean":
        return chance(rng, 0.5)
    if kind == "integer":
        return rng.randint(-3, 12)
    if kind == "number":
        return rng.choice(NUMBERS)
    if kind == "string":
        return rng.choice(ALL_STRINGS if chance(rng, 0.2) else STRINGS)
    if kind == "array":
        return [random_value(rng, depth - 1) for _ in range(rng.randint(0, 3))]
    return {rng.choice(KEYS): random_value(rng, depth - 1) for _ in range(rng.randint(0, 3))}


# -- Schemas


class Maker:
    def __init__(self, rng, keywords):
        self.rng = rng
        self.keywords = KEYWORDS if keywords is None else frozenset(keywords)
        self.defs = DEFS[: rng.randint(1, len(DEFS))] if {"$ref", "$defs"} <= self.keywords and chance(rng, 0.4) else []

    def may(self, keyword, p):
        return keyword in self.keywords and chance(self.rng, p)

    def root(self, depth):
        schema = self.schema(depth, first_def=0, inside=False)
        if not isinstance(schema, dict):
            return schema
        if self.defs:
            schema["$defs"] = {
                name: self.schema(max(depth - 1, 0), first_def=i + 1, inside=False) for i, name in enumerate(self.defs)
            }
        return schema

    def reference(self, first_def, inside):
        """A $ref. Where no part of the instance was consumed yet (not inside), only to later definitions, so that
        no circle comes about."""
        names = self.defs if inside else self.defs[first_def:]
        escape = str.maketrans({"~": "~0", "/": "~1", "%": "%25", " ": "%20"})
        choices = ["#/$defs/" + name.translate(escape) for name in names]
        if inside and "$ref" in self.keywords:
            choices.append("#")
        return self.rng.choice(choices) if choices else None

    def schema(self, depth, first_def, inside):
        rng = self.rng
        if chance(rng, 0.06) and inside:
            return chance(rng, 0.7)
        schema = {}
        if self.may("$ref", 0.12):
            ref = self.reference(first_def, inside)
            if ref:
                schema["$ref"] = ref
                if chance(rng, 0.7):
                    return schema
        types = rng.sample(TYPES if depth > 0 else TYPES[:5], 2 if chance(rng, 0.25) else 1)
        if depth > 0 and chance(rng, 0.5):
            types[0] = rng.choice(["array", "object", "object"])
        if self.may("type", 0.85):
            schema["type"] = types[0] if len(types) == 1 else sorted(set(types))
        if self.may("const", 0.05):
            schema["const"] = self.literal(types)
        elif self.may("enum", 0.1):
            schema["enum"] = [self.literal(types) for _ in range(rng.randint(1, 4))]
        for kind in types:
            getattr(self, kind, lambda *_: None)(schema, depth)
        if depth > 0:
            self.combine(schema, types, depth - 1, first_def, inside)
        return schema

    def literal(self, types):
        return random_instance(self.rng, {"type": self.rng.choice(types)})

    def number(self, schema, depth):
        rng = self.rng
        for low in ("minimum", "exclusiveMinimum"):
            if self.may(low, 0.2):
                schema[low] = rng.choice(NUMBERS[:18])
        for high in ("maximum", "exclusiveMaximum"):
            if self.may(high, 0.2):
                schema[high] = rng.choice([3, 5, 7.0, 9.5, 10, 100] if chance(rng, 0.7) else NUMBERS)
        if self.may("multipleOf", 0.2):
            schema["multipleOf"] = rng.choice(STEPS)

    integer = number

    def bounds(self, schema, low, high, top):
        at_least = self.rng.randint(0, top)
        if self.may(low, 0.25):
            schema[low] = at_least
        if self.may(high, 0.25):
            schema[high] = self.rng.randint(at_least if chance(self.rng, 0.95) else 0, top + 2)

    def string(self, schema, depth):
        self.bounds(schema, "minLength", "maxLength", 3)
        if self.may("pattern", 0.25):
            schema["pattern"] = self.rng.choice(PATTERNS)
        elif self.may("format", 0.2):
            schema["format"] = self.rng.choice(sorted(FORMATS))

    def array(self, schema, depth):
        rng, below = self.rng, lambda: self.schema(depth - 1, 0, True)
        self.bounds(schema, "minItems", "maxItems", 2)
        if depth > 0 and self.may("prefixItems", 0.25):
            schema["prefixItems"] = [below() for _ in range(rng.randint(1, 3))]
        if depth > 0 and self.may("items", 0.6):
            schema["items"] = below()
        if self.may("uniqueItems", 0.2):
            schema["uniqueItems"] = chance(rng, 0.9)
        if depth > 0 and self.may("contains", 0.2):
            schema["contains"] = below()
            if self.may("minContains", 0.5):
                schema["minContains"] = rng.randint(0, 2)
            if self.may("maxContains", 0.4):
                schema["maxContains"] = rng.randint(1, 3)

    def object(self, schema, depth):
        rng, below = self.rng, lambda: self.schema(depth - 1, 0, True)
        names = rng.sample(KEYS, rng.randint(1, 4))
        if depth > 0 and self.may("properties", 0.85):
            schema["properties"] = {name: below() for name in names}
        if self.may("required", 0.4):
            schema["required"] = rng.sample(names, rng.randint(0, len(names)))
            if chance(rng, 0.05):
                schema["required"].append(rng.choice([k for k in KEYS if k not in schema["required"]]))
        if depth > 0 and self.may("patternProperties", 0.15):
            schema["patternProperties"] = {rng.choice(PATTERNS): below() for _ in range(rng.randint(1, 2))}
        if self.may("additionalProperties", 0.35):
            schema["additionalProperties"] = below() if depth > 0 and chance(rng, 0.5) else False
        if self.may("propertyNames", 0.1):
            names_schema = {}
            self.string(names_schema, depth)
            schema["propertyNames"] = names_schema if chance(rng, 0.9) else {"enum": names + rng.sample(KEYS, 3)}
        self.bounds(schema, "minProperties", "maxProperties", 2)
        if self.may("dependentRequired", 0.12):
            schema["dependentRequired"] = {k: rng.sample(names, rng.randint(0, len(names))) for k in rng.sample(KEYS, 2)}
        if depth > 0 and self.may("dependentSchemas", 0.12):
            schema["dependentSchemas"] = {rng.choice(names): self.constraint(["object"], depth - 1)}

    def constraint(self, types, depth):
        """A schema without a type of its own or references, for values of these types."""
        schema = {}
        for kind in types:
            getattr(self, kind, lambda *_: None)(schema, depth)
        return schema

    def combine(self, schema, types, depth, first_def, inside):
        rng = self.rng

        def part(related=0.6):
            made = self.constraint(types, depth) if chance(rng, related) else {}
            return made or self.schema(depth, first_def, inside)

        if self.may("allOf", 0.08):
            schema["allOf"] = [part(0.9) for _ in range(rng.randint(1, 2))]
        some = rng.choice(["anyOf", "oneOf"])
        if self.may(some, 0.2):
            alone = chance(rng, 0.7)
            schema[some] = [part(0 if alone else 0.9) for _ in range(rng.randint(1, 3))]
            if alone:
                for keyword in [k for k in schema if k not in (some, "$ref")]:
                    del schema[keyword]
        if self.may("not", 0.08):
            schema["not"] = part()
        if self.may("if", 0.08):
            schema["if"] = part()
            if self.may("then", 0.8):
                schema["then"] = part()
            if self.may("else", 0.6):
                schema["else"] = part()


def random_schema(rng, depth, keywords=None):
    """A schema of at most `depth` levels (references aside); `keywords`: only these are used, None: all of KEYWORDS."""
    return Maker(rng, keywords).root(depth)


# -- Values


def resolve(root, ref):
    value = root
    for part in ref.split("/")[1:]:
        part = re.sub("%([0-9A-Fa-f]{2})", lambda m: chr(int(m.group(1), 16)), part)
        value = value[part.replace("~1", "/").replace("~0", "~")]
    return value


def merge(a, b):
    """One schema for what both ask, roughly: good enough for making values."""
    if a is False or b is False:
        return False
    if a is True or b is True:
        return b if a is True else a
    both = {**a, **b}
    for key in ("properties", "patternProperties", "dependentRequired", "dependentSchemas"):
        if key in a and key in b:
            both[key] = {**a[key], **b[key]}
    if "required" in a and "required" in b:
        both["required"] = sorted({*a["required"], *b["required"]})
    for low in ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"):
        if low in a and low in b:
            both[low] = max(a[low], b[low])
    for high in ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"):
        if high in a and high in b:
            both[high] = min(a[high], b[high])
    if "allOf" in a and "allOf" in b:
        both["allOf"] = a["allOf"] + b["allOf"]
    return both


OUT_OF_FUEL = -6  # from here on containers are empty, whatever the schema says: it may ask for an endless value


class Instances:
    def __init__(self, rng, root):
        self.rng, self.root = rng, root
        self.n_left = 150  # values, as each level of an endless one may have several

    def flatten(self, schema, fuel):
        """Follow references and choose alternatives, until only keywords of values are left."""
        rng = self.rng
        for _ in range(12):
            if not isinstance(schema, dict):
                return schema
            rest = dict(schema)
            if "$ref" in rest and fuel > OUT_OF_FUEL:
                schema = merge(rest, resolve(self.root, rest.pop("$ref")))
            elif rest.get("allOf"):
                schema = rest
                for part in rest.pop("allOf"):
                    schema = merge(schema, part)
            elif rest.get("anyOf") or rest.get("oneOf"):
                schema = merge(rest, rng.choice(rest.pop("anyOf" if rest.get("anyOf") else "oneOf")))
            elif "if" in rest:
                condition, then, other = rest.pop("if"), rest.pop("then", True), rest.pop("else", True)
                schema = merge(merge(rest, condition), then) if chance(rng, 0.5) else merge(rest, other)
            else:
                return rest
        return rest

    def make(self, schema, fuel=4):
        rng = self.rng
        self.n_left -= 1
        if self.n_left < 0:
            fuel = OUT_OF_FUEL
        schema = self.flatten(schema, fuel)
        if not isinstance(schema, dict):
            return random_value(rng, min(max(fuel, 0), 1))
        if "const" in schema:
            return copy.deepcopy(schema["const"])
        if schema.get("enum"):
            return copy.deepcopy(rng.choice(schema["enum"]))
        types = schema.get("type", self.guess(schema))
        kind = types if isinstance(types, str) else rng.choice(types)
        if kind == "null":
            return None
        if kind == "boolean":
            return chance(rng, 0.5)
        return getattr(self, kind)(schema, fuel)

    def guess(self, schema):
        """The types that the keywords of a schema without a type speak of."""
        words = " ".join(schema)
        found = [kind for kind, pattern in (
            ("string", "Length|pattern\\b|format"), ("number", "[mM]inimum|[mM]aximum|multiple"),
            ("array", "tems|ontains"), ("object", "ropert|required|dependent"),
        ) if re.search(pattern, words)]  # fmt: skip
        return found or TYPES

    def number(self, schema, fuel):
        rng = self.rng
        step = schema.get("multipleOf", rng.choice([1, 1, 0.5, 0.25]))
        if schema.get("type") == "integer":
            step = max(1, int(step)) if step >= 1 and step == int(step) else 10 * step if step == 0.5 else 1
        low = max(schema.get("minimum", -5), schema.get("exclusiveMinimum", -5))
        high = min(schema.get("maximum", low + 8), schema.get("exclusiveMaximum", low + 8))
        value = round(rng.randint(int(low // step), max(int(low // step), int(high // step) + 1)) * step, 6)
        if isinstance(value, float) and value == int(value) and chance(rng, 0.7):
            return int(value)
        return value

    def integer(self, schema, fuel):
        return self.number({**schema, "type": "integer"}, fuel)

    def string(self, schema, fuel):
        rng = self.rng
        good, bad = FORMATS.get(schema.get("format"), (STRINGS, []))
        pool = good + bad if chance(rng, 0.1) else good
        low, high = schema.get("minLength", 0), schema.get("maxLength", 99)
        pool = [s for s in pool if low <= len(s) <= high] or pool
        pool = [s for s in pool if re.search(schema.get("pattern", ""), s)] or pool
        return rng.choice(pool)

    def array(self, schema, fuel):
        rng = self.rng
        if fuel <= OUT_OF_FUEL:
            return []
        first, rest = schema.get("prefixItems", []), schema.get("items", True)
        low = max(schema.get("minItems", 0), schema.get("minContains", 1) if "contains" in schema else 0)
        n = rng.randint(low, max(low, min(schema.get("maxItems", low + 3), low + 3)))
        if fuel <= 0:
            n = low
        if rest is False:
            n = min(n, len(first))
        value = [self.make(first[i] if i < len(first) else rest, fuel - 1) for i in range(n)]
        if "contains" in schema:
            for i in rng.sample(range(n), min(n, schema.get("minContains", 1))):
                wanted = merge(rest, schema["contains"]) if i >= len(first) else schema["contains"]
                value[i] = self.make(wanted, fuel - 1)
        return value

    def object(self, schema, fuel):
        rng = self.rng
        if fuel <= OUT_OF_FUEL:
            return {}
        properties = schema.get("properties", {})
        required = list(schema.get("required", []))
        names = required + [k for k in properties if k not in required and chance(rng, 0.5 if fuel > 0 else 0)]
        others = [k for k in KEYS if k not in names]
        rng.shuffle(others)
        extra = schema.get("minProperties", 0) - len(names)
        if schema.get("additionalProperties") is not False and chance(rng, 0.25):
            extra += 1
        names += others[: max(extra, 0)]
        for name, needs in schema.get("dependentRequired", {}).items():
            if name in names:
                names += [k for k in needs if k not in names]
        allowed = schema.get("propertyNames", {})
        if isinstance(allowed, dict) and chance(rng, 0.5):
            names = [k for k in names if k in required or re.search(allowed.get("pattern", ""), k)]
        value = {}
        for name in names:
            below = [properties[name]] if name in properties else []
            below += [s for p, s in schema.get("patternProperties", {}).items() if re.search(p, name)]
            below = below or [schema.get("additionalProperties", True)]
            whole = below[0]
            for part in below[1:]:
                whole = merge(whole, part)
            if whole is not False or name in required:
                value[name] = self.make(whole, fuel - 1)
        return value


def random_instance(rng, schema):
    """A value that tries to be valid. What it does not try: `not`, and merging schemas exactly."""
    return Instances(rng, schema).make(schema)


# -- Changes


def mutate_once(rng, value):
    if isinstance(value, (list, dict)) and value and chance(rng, 0.7):
        key = rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
        what = rng.random()
        if what < 0.55:
            value[key] = mutate_once(rng, value[key])
        elif what < 0.75:
            del value[key]
        elif isinstance(value, dict):
            value[rng.choice(KEYS)] = copy.deepcopy(value[key]) if chance(rng, 0.5) else random_value(rng, 1)
        else:
            value.insert(rng.randint(0, len(value)), copy.deepcopy(value[key]) if chance(rng, 0.6) else random_value(rng, 1))
        return value
    if isinstance(value, bool):
        return rng.choice([not value, int(value), None])
    if isinstance(value, (int, float)):
        changed = rng.choice([value + 1, value - 1, -value, value + 0.5, value + 0.01, float(value), value == 1, str(value)])
        return round(changed, 6) if isinstance(changed, float) else changed
    if isinstance(value, str):
        return rng.choice([value + "a", value[1:], value[::-1], value + value, value.upper(), rng.choice(ALL_STRINGS), [value], None])
    return random_value(rng, 1)


def mutate(rng, value):
    """A copy with one to three small changes."""
    value = copy.deepcopy(value)
    for _ in range(rng.randint(1, 3)):
        value = mutate_once(rng, value)
    return value


if __name__ == "__main__":
    import random
    import sys

    generator = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    made = random_schema(generator, 3)
    print(json.dumps(made, indent=2))
    for _ in range(5):
        print(json.dumps(random_instance(generator, made)))
