"""Claude Code in a terminal, by what its screen shows."""

import json
import pathlib
import time

from claude_code import running
from terminal import Terminal


def settled(claude):
    """A home in which nothing is left to be asked."""
    key = claude.env["ANTHROPIC_API_KEY"]
    project = {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}
    (pathlib.Path(claude.env["HOME"]) / ".claude.json").write_text(json.dumps({
        "hasCompletedOnboarding": True, "theme": "dark", "customApiKeyResponses": {"approved": [key[-20:]], "rejected": []},
        "projects": {str(claude.work): project}}))  # fmt: skip
    return claude


def test_a_command_in_a_terminal(claude):
    settled(claude)
    t = Terminal(claude.words("--allowedTools", "Bash"), claude.env, claude.work)
    t.wait("❯")
    t.type("run: echo hi")
    screen = t.wait("The command printed hi.")
    assert "Ran 1 shell command" in screen or "echo hi" in screen
    t.press(b"\x03")
    time.sleep(0.3)
    t.press(b"\x03")
    assert t.end() == 0


def test_escape_stops_an_answer(claude, server):
    """The default model talks until it is stopped; its prompt alone takes its time."""
    settled(claude).env["ANTHROPIC_BASE_URL"] = server.url
    t = Terminal(claude.words(), claude.env, claude.work)
    t.wait("❯")
    t.type("Tell a long story.")
    end = time.monotonic() + 60
    while not running(server) and time.monotonic() < end:
        time.sleep(0.02)
    assert running(server)
    time.sleep(1)
    t.press(b"\x1b")
    end = time.monotonic() + 5
    while running(server) and time.monotonic() < end:
        time.sleep(0.02)
    assert not running(server)
    t.wait("❯")  # it waits for the next word
    t.press(b"\x03")
    time.sleep(0.3)
    t.press(b"\x03")
    t.end()
