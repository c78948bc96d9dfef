"""What Claude Code really sends (tools/record_claude.py made it, with other words), sent to the real server."""

import json
import lzma
import pathlib
import urllib.error
import urllib.request

import pytest

RECORDED = pathlib.Path(__file__).parent / "recorded" / "claude_code.json.xz"
SESSIONS = json.loads(lzma.open(RECORDED).read())["sessions"]


def shorter(v, n=40):
    """The same with every text cut to its first words, so that a whole prompt takes seconds."""
    if isinstance(v, dict):
        return {k: x if k in ("type", "role", "name", "id", "tool_use_id", "input", "model") else shorter(x, n)
                for k, x in v.items()}
    if isinstance(v, list):
        return [shorter(x, n) for x in v]
    return " ".join(v.split(" ")[:n]) if isinstance(v, str) else v


def post(server, path, body, headers):
    request = urllib.request.Request(server.url + path, data=json.dumps(body).encode(),
                                     headers={"content-type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=120) as r:
            return r.status, r.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


def usage_of(answer, stream):
    """The last word on the usage."""
    if not stream:
        return json.loads(answer)["usage"]
    data = [json.loads(line[6:]) for line in answer.splitlines() if line.startswith("data: ")]
    assert data[0]["type"] == "message_start" and data[-1]["type"] == "message_stop"
    return next(d["usage"] for d in data if d["type"] == "message_delta")


@pytest.mark.parametrize("name", SESSIONS)
def test_a_recorded_session(server, name):
    known = 0
    for r in SESSIONS[name]:
        body = {**shorter(r["body"]), "max_tokens": 3, "thinking": {"type": "disabled"}}
        status, answer = post(server, r["path"], body, r["headers"])
        assert status == 200, answer
        u = usage_of(answer, body.get("stream"))
        whole = u["input_tokens"] + u["cache_creation_input_tokens"] + u["cache_read_input_tokens"]
        count = {k: v for k, v in body.items() if k not in ("stream", "max_tokens")}
        status, counted = post(server, "/v1/messages/count_tokens?beta=true", count, r["headers"])
        assert status == 200 and json.loads(counted)["input_tokens"] == whole, counted
        # The prompt of the request before is an exact beginning of this one, but for the mark that invites an answer.
        assert u["cache_read_input_tokens"] >= known - 8, (name, known, u)
        known = whole


def test_every_tool_is_shown_unless_it_is_deferred(server):
    body = {**SESSIONS["whole"][0]["body"], "max_tokens": 1}
    del body["stream"]
    assert any(t.get("defer_loading") for t in body["tools"])
    counts = []
    for tools in (body["tools"], [t for t in body["tools"] if not t.get("defer_loading")]):
        status, counted = post(server, "/v1/messages/count_tokens", {**body, "tools": tools}, {})
        assert status == 200, counted
        counts.append(json.loads(counted)["input_tokens"])
    assert counts[0] == counts[1] > 8192
