"""A conversation of calls: whatever a client makes of them on the way back, nothing of it is computed again."""

import json
import urllib.request

from tap import prompt_of

N_TURNS = 10
SLACK = 16  # what had to follow the last token that was chosen was never computed
TOOLS = [
    {
        "name": "search",
        "description": "Search",
        "input_schema": {
            "type": "object",
            "properties": {
                "query": {"type": "string", "maxLength": 40},
                "limit": {"type": "integer", "minimum": 1, "maximum": 50},
                "exact": {"type": "boolean"},
            },
            "required": ["query", "limit"],
            "additionalProperties": False,
        },
    },
    {
        "name": "note",
        "description": "Note",
        "input_schema": {
            "type": "object",
            "properties": {"text": {"type": "string", "maxLength": 60}, "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 3}},
            "required": ["text"],
            "additionalProperties": False,
        },
    },
]


def echoed(block):
    """As clients send it back: members in another order, and a default put in."""
    return block | {"input": dict(reversed(list(block["input"].items()))) | {"default": False}}


def test_calls_that_come_back_changed_are_read_from_the_cache(server):
    messages, known, lost = [{"role": "user", "content": "Find something."}], 0, []
    for turn in range(N_TURNS):
        body = {"model": "m", "max_tokens": 400, "tools": TOOLS, "messages": messages, "temperature": 1,
                "tool_choice": {"type": "any", "disable_parallel_tool_use": turn % 3 > 0}}
        request = urllib.request.Request(server.url + "/v1/messages", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=120) as r:
            answer = json.load(r)
        usage = answer["usage"]
        if usage["cache_read_input_tokens"] < known - SLACK:
            lost.append((turn, known, usage))
        # An answer that is cut off comes back closed, which is not what was said.
        known = prompt_of(usage) + (usage["output_tokens"] if answer["stop_reason"] == "tool_use" else 0)
        calls = answer["content"]
        assert all(b["type"] == "tool_use" for b in calls)
        messages.append({"role": "assistant", "content": [echoed(b) for b in calls]})
        messages.append({"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": b["id"], "content": f"result {turn}"} for b in reversed(calls)]})  # fmt: skip
    assert not lost
