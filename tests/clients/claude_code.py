"""Claude Code as a program."""

import json
import os
import subprocess
import urllib.request


def running(server):
    """Requests that the engine works on."""
    with urllib.request.urlopen(server.url + "/health", timeout=10) as r:
        return json.load(r)["running"]


class Claude:
    """Claude Code in a home and a folder of its own."""

    def __init__(self, node, server, folder):
        self.program, self.work = node / "node_modules" / ".bin" / "claude", folder / "work"
        self.work.mkdir(parents=True)
        (folder / "home").mkdir()
        self.env = {"PATH": os.environ["PATH"], "HOME": str(folder / "home"), "ANTHROPIC_BASE_URL": server.url,
                    "ANTHROPIC_API_KEY": "local-development", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
                    "CLAUDE_CODE_MAX_RETRIES": "0", "CLAUDE_CODE_MAX_OUTPUT_TOKENS": "500",
                    "CLAUDE_CODE_MAX_CONTEXT_TOKENS": "24576", "DISABLE_TELEMETRY": "1", "DISABLE_AUTOUPDATER": "1"}

    def words(self, *words):
        return [self.program, "--model", "some-local-name", *words]

    def start(self, *words):
        return subprocess.Popen(self.words(*words), env=self.env, cwd=self.work, text=True, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def say(self, *words):
        """What it answers."""
        p = self.start(*words)
        out, err = p.communicate(timeout=300)
        assert p.returncode == 0, out + err
        return out.strip()
