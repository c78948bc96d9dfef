"""A conversation of 25 turns as a real client holds it: the server's own answers come back re-serialised, marks move, the
billing line changes. From turn to turn all but the new words is read from the cache: prompt and answer of the last."""

import json
import random
import urllib.request

import pytest

from tap import prompt_of

N_TURNS = 25
SLACK = 2  # the last token that was sampled was never computed
MARK = {"type": "ephemeral"}


def noise(turn):
    """Words that no vocabulary has as one token: the model answers in kind, with tokens that its own text, read again,
    would not be cut into."""
    r = random.Random(turn)
    return " ".join("".join(r.choice("bcdfgjkqvwxzaeiouy") for _ in range(r.randint(3, 9))) for _ in range(8))


def system(turn, name):
    rules = " ".join(f"Rule {i}: {name} answers question {i} briefly and kindly." for i in range(20))
    return [{"type": "text", "text": f"x-anthropic-billing-header: cc_version=2.1.330.{turn * 37 % 1000}; cch={turn:05x};"},
            {"type": "text", "text": f"You are {name}, an assistant.", "cache_control": MARK},
            {"type": "text", "text": rules, "cache_control": MARK}]


TOOLS = [{"name": "look", "description": "Look at a file", "input_schema": {
    "type": "object", "properties": {"path": {"type": "string"}, "limit": {"type": "integer"}}}}]


def form(text, as_blocks, mark=None):
    """The content of a message, as a string or as blocks; only blocks can be marked."""
    if not as_blocks and not mark:
        return text
    return [{"type": "text", "text": text, **({"cache_control": mark} if mark else {})}] if text else []


def request(turn, name, turns, stream, temperature):
    """All turns so far in the forms that this request has them in."""
    messages = []
    for i, (role, text) in enumerate(turns):
        last = i == len(turns) - 1
        messages.append({"role": role, "content": form(text, (i + turn) % 2, MARK if last and turn % 3 else None)})
    return {"model": "m", "max_tokens": 32, "messages": messages, "system": system(turn, name), "stream": stream,
            "temperature": temperature, "metadata": {"user_id": json.dumps({"session_id": name})}}


@pytest.mark.parametrize("temperature", [0, 1])
def test_all_but_the_new_turn_is_read(tap, temperature):
    name = f"Ada {temperature}"
    turns, known, lost = [], 0, []
    for turn in range(N_TURNS):
        turns.append(("user", f"Go on with words of no language: {noise(turn)}"))
        body = json.dumps(request(turn, name, turns, turn % 4 > 1, temperature)).encode()
        headers = {"content-type": "application/json", "x-claude-code-session-id": name.replace(" ", "-")}
        urllib.request.urlopen(urllib.request.Request(tap.url + "/v1/messages", body, headers), timeout=60).read()
        x = tap.messages()[-1]
        usage = x.usage()
        if usage["cache_read_input_tokens"] < known - SLACK:
            lost.append(f"turn {turn}: {usage['cache_read_input_tokens']} of {known}, answer {turns[-2][1]!r}")
        known = prompt_of(usage) + usage["output_tokens"]
        turns.append(("assistant", x.text().lstrip()))
    assert not lost, "\n".join([f"{len(lost)} of {N_TURNS - 1} turns were not read as a whole", *lost])
    assert prompt_of(usage) > 1000


def test_a_tool_loop_is_read(tap):
    """Calls and results that the client has put there itself: nothing kept, only rendered the same each time."""
    messages, known = [{"role": "user", "content": noise(99)}], 0
    for turn in range(6):
        body = {"model": "m", "max_tokens": 3, "messages": messages, "system": system(turn, "Eve"), "tools": TOOLS}
        urllib.request.urlopen(urllib.request.Request(tap.url + "/v1/messages", json.dumps(body).encode()),
                               timeout=60).read()
        usage = tap.messages()[-1].usage()
        assert usage["cache_read_input_tokens"] >= known - SLACK, f"turn {turn}"
        known = prompt_of(usage)
        values = {"path": f"/home/user/{turn}", "limit": turn}
        call = {"type": "tool_use", "id": f"toolu_{turn}", "name": "look", "input": values}
        result = {"type": "tool_result", "tool_use_id": f"toolu_{turn}",
                  "content": f"line {turn}" if turn % 2 else [{"type": "text", "text": f"line {turn}"}]}
        messages = [*messages, {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
        for m in messages[:-1]:  # the mark moves on
            if isinstance(m["content"], list):
                m["content"][0].pop("cache_control", None)
        result["cache_control"] = MARK
