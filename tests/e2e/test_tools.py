"""Calls of tools by the default model, which is far too small to make them by itself: what it is let say is valid."""

import concurrent.futures
import json
import os
import urllib.request

import jsonschema
import pytest
from tool_schemas import tools

N_CALLS = int(os.environ.get("PN_TEST_CALLS", "40"))  # 500 by hand
TOOLS = tools()
SCHEMAS = {t["name"]: t["input_schema"] for t in TOOLS}


def check_call(block):
    schema = SCHEMAS[block["name"]]
    jsonschema.validators.validator_for(schema)(schema, format_checker=jsonschema.FormatChecker()).validate(block["input"])


def ask(server, **more):
    body = {"model": "m", "max_tokens": 400, "tools": TOOLS, "messages": [{"role": "user", "content": "Do something useful."}]}
    request = urllib.request.Request(server.url + "/v1/messages", json.dumps(body | more).encode())
    with urllib.request.urlopen(request, timeout=300) as r:
        return json.load(r)


def test_forced_calls_are_valid(server):
    """tool_choice any, temperature 1: every call that ends is of a tool that there is, with valid arguments."""

    def one(i):
        message = ask(server, tool_choice={"type": "any", "disable_parallel_tool_use": i % 2 == 0}, temperature=1)
        calls = [b for b in message["content"] if b["type"] == "tool_use"]
        assert calls == message["content"] and calls, json.dumps(message)
        assert message["stop_reason"] in ("tool_use", "max_tokens", "model_context_window_exceeded")
        whole = calls if message["stop_reason"] == "tool_use" else calls[:-1]
        for c in whole:
            check_call(c)
        assert i % 2 or len(calls) == 1
        return len(whole)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        n = sum(pool.map(one, range(N_CALLS)))
    assert n >= N_CALLS / 2  # the others talked to their limit


@pytest.mark.parametrize("name", ["Bash", "query", "shape", "nothing"])
def test_the_chosen_tool_is_called(server, name):
    message = ask(server, tool_choice={"type": "tool", "name": name, "disable_parallel_tool_use": True}, temperature=1)
    assert [b["name"] for b in message["content"]] == [name]


def test_none_is_called(server):
    message = ask(server, tool_choice={"type": "none"}, max_tokens=60)
    assert all(b["type"] == "text" for b in message["content"])
