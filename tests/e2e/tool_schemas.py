"""Twenty tools: Claude Code's own, as recorded from it, and some that use what MCP servers do."""

import json
import lzma
import pathlib

RECORDED = pathlib.Path(__file__).parents[1] / "clients/recorded/claude_code.json.xz"

MCP = {
    "create_issue": {
        "type": "object",
        "properties": {
            "title": {"type": "string", "minLength": 1, "maxLength": 80},
            "labels": {"type": "array", "items": {"enum": ["bug", "docs", "feature"]}, "uniqueItems": True},
            "assignee": {"type": ["string", "null"]},
            "priority": {"type": "integer", "minimum": 1, "maximum": 5},
        },
        "required": ["title", "priority"],
        "additionalProperties": False,
    },
    "query": {
        "type": "object",
        "$defs": {
            "filter": {
                "oneOf": [
                    {
                        "type": "object",
                        "properties": {"field": {"type": "string", "pattern": "^[a-z_]{1,12}$"}, "equals": {"type": ["string", "number"]}},
                        "required": ["field", "equals"],
                        "additionalProperties": False,
                    },
                    {
                        "type": "object",
                        "properties": {"all": {"type": "array", "items": {"$ref": "#/$defs/filter"}, "maxItems": 3}},
                        "required": ["all"],
                        "additionalProperties": False,
                    },
                ]
            }
        },
        "properties": {"where": {"$ref": "#/$defs/filter"}, "limit": {"type": "integer", "exclusiveMinimum": 0, "maximum": 1000}},
        "required": ["where"],
    },
    "schedule": {
        "type": "object",
        "properties": {
            "when": {"anyOf": [{"type": "string", "format": "date-time"}, {"const": "now"}]},
            "id": {"type": "string", "format": "uuid"},
            "repeat": {"type": "number", "minimum": 0.5, "maximum": 24, "multipleOf": 0.5},
        },
        "required": ["when", "id"],
        "additionalProperties": False,
    },
    "set_env": {
        "type": "object",
        "properties": {
            "variables": {
                "type": "object",
                "propertyNames": {"pattern": "^[A-Z][A-Z0-9_]{0,15}$"},
                "additionalProperties": {"type": "string", "maxLength": 40},
                "minProperties": 1,
                "maxProperties": 3,
            }
        },
        "required": ["variables"],
    },
    "send_mail": {
        "type": "object",
        "properties": {
            "to": {"type": "array", "items": {"type": "string", "format": "email", "maxLength": 60}, "minItems": 1, "maxItems": 3},
            "subject": {"type": "string", "maxLength": 60},
            "urgent": {"type": "boolean", "default": False},
        },
        "required": ["to", "subject"],
        "additionalProperties": False,
    },
    "shape": {
        "type": "object",
        "properties": {"kind": {"enum": ["circle", "square"]}, "radius": {"type": "number", "exclusiveMinimum": 0}, "side": {"type": "number"}},
        "required": ["kind"],
        "allOf": [
            {"if": {"properties": {"kind": {"const": "circle"}}}, "then": {"required": ["radius"]}, "else": {"required": ["side"]}}
        ],
        "additionalProperties": False,
    },
    "move": {
        "type": "object",
        "properties": {"path": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "integer"}], "minItems": 2, "maxItems": 2}},
        "required": ["path"],
    },
    "anything": {"type": "object", "properties": {"value": {}}, "required": ["value"], "additionalProperties": False},
    "nothing": {"type": "object", "properties": {}, "additionalProperties": False},
}


def recorded():
    found = {}

    def walk(v):
        if isinstance(v, dict):
            if "input_schema" in v and "name" in v:
                found[v["name"]] = v["input_schema"]
            for x in v.values():
                walk(x)
        elif isinstance(v, list):
            for x in v:
                walk(x)

    walk(json.loads(lzma.open(RECORDED).read()))
    found.pop("DeferredToolPlaceholder", None)
    return found


def tools():
    schemas = recorded() | MCP
    assert len(schemas) == 20
    return [{"name": n, "description": f"The tool {n}.", "input_schema": s} for n, s in schemas.items()]
