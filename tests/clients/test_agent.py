"""The real Claude Code at work: a tiny model that knows a few scripts by heart calls its tools, and they run."""

import concurrent.futures
import json
import time
import urllib.request

from claude_code import Claude, running

EXPECTED = {
    "run: echo hi": "The command printed hi.",
    "edit the notes": "The notes say coffee now.",
    "run both": "Both commands ran.",
}


def since(server, n):
    return [l for l in server.log()[n:] if l["message"] == "request" and l.get("path") == "/v1/messages"]


def test_a_command_is_run(claude, agent):
    n = len(agent.log())
    out = claude.say("--bare", "-p", "run: echo hi", "--allowedTools", "Bash", "--output-format", "stream-json", "--verbose")
    events = [json.loads(l) for l in out.splitlines() if l.startswith("{")]
    blocks = [b for e in events if e["type"] in ("assistant", "user") for b in e["message"]["content"]]
    assert [b["input"]["command"] for b in blocks if b["type"] == "tool_use"] == ["echo hi"]
    results = [b for b in blocks if b["type"] == "tool_result"]
    assert results[0]["content"] == "hi" and not results[0].get("is_error")
    assert events[-1]["result"] == EXPECTED["run: echo hi"]
    lines = since(agent, n)
    assert [l["stop"] for l in lines] == ["tool_use", "end_turn"]
    # All of the first request and its answer, but for what had to follow the last choice, was known to the second.
    assert lines[1]["cached_tokens"] >= lines[0]["input_tokens"] + lines[0]["output_tokens"] - 16


def test_a_file_is_edited(claude):
    notes = claude.work / "notes.txt"
    notes.write_text("I like tea.\n")
    assert claude.say("--bare", "-p", "edit the notes", "--allowedTools", "Read,Edit") == EXPECTED["edit the notes"]
    assert notes.read_text() == "I like coffee.\n"


def test_two_commands_at_once(claude):
    assert claude.say("--bare", "-p", "run both", "--allowedTools", "Bash") == EXPECTED["run both"]


def test_a_session_goes_on(claude, agent):
    n = len(agent.log())
    assert claude.say("-p", "run: echo hi", "--allowedTools", "Bash") == EXPECTED["run: echo hi"]
    before, n = since(agent, n), len(agent.log())
    assert claude.say("-p", "run both", "--continue", "--allowedTools", "Bash") == EXPECTED["run both"]
    after = since(agent, n)
    # A whole prompt of Claude Code: what was said before is known.
    assert before[0]["input_tokens"] > 9000
    assert after[0]["cached_tokens"] >= before[-1]["input_tokens"] - 16


def test_two_sessions_at_once(node, agent, tmp_path):
    both = [Claude(node, agent, tmp_path / name) for name in ("a", "b")]
    prompts = ["run: echo hi", "run both"]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        said = list(pool.map(lambda c, p: c.say("--bare", "-p", p, "--allowedTools", "Bash"), both, prompts))
    assert said == [EXPECTED[p] for p in prompts]


def test_who_leaves_is_not_answered(claude, server):
    """The default model talks long; Claude Code is stopped in the middle, as by Esc: its connection closes."""
    claude.env["ANTHROPIC_BASE_URL"] = server.url
    claude.env["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] = "4000"
    p = claude.start("--bare", "-p", "Tell a long story.")
    end = time.monotonic() + 120
    while not running(server) and time.monotonic() < end:
        time.sleep(0.02)
    time.sleep(1)
    p.kill()
    p.wait()
    end = time.monotonic() + 2
    while running(server) and time.monotonic() < end:
        time.sleep(0.01)
    assert running(server) == 0


def test_a_title_is_valid(agent):
    """What Claude Code asks for beside a session."""
    schema = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"], "additionalProperties": False}
    body = {"model": "m", "max_tokens": 200, "tools": [], "system": "Generate a short title for this coding session, in sentence case.",
            "messages": [{"role": "user", "content": "<session>run: echo hi</session>"}],
            "output_config": {"format": {"type": "json_schema", "schema": schema}}}
    r = urllib.request.urlopen(urllib.request.Request(agent.url + "/v1/messages", json.dumps(body).encode()), timeout=60)
    assert json.loads(json.load(r)["content"][0]["text"]).keys() == {"title"}
