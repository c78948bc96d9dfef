"""Real clients against a real server over the real default model."""

import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import time

import pytest
from agent_model import assemble
from claude_code import Claude

from tap import Tap

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The server of the end-to-end tests: their conftest can't be imported by its name, which this file has too.
spec = importlib.util.spec_from_file_location("e2e_conftest", ROOT / "tests" / "e2e" / "conftest.py")
e2e = importlib.util.module_from_spec(spec)
spec.loader.exec_module(e2e)


@pytest.fixture(scope="session")
def node():
    """The folder of the clients for Node."""
    if not (shutil.which("npm") and shutil.which("node")):
        pytest.skip("npm and node are not installed: the clients for Node are not tested")
    r = subprocess.run([ROOT / "tools" / "node-clients"], capture_output=True, text=True)
    assert r.returncode == 0, r.stderr
    return pathlib.Path(r.stdout.strip())


@pytest.fixture(scope="package")
def server(pensieve, default_model, tmp_path_factory):
    """With room for the prompt of Claude Code, which is longer than what the model was made for."""
    s = e2e.Server(pensieve, default_model, tmp_path_factory.mktemp("clients") / "log", "--ctx", "24576", "--max-requests", "4",
                   "--activations", "int8")  # which computes long prompts faster
    yield s
    assert s.stop() == 0


@pytest.fixture
def tap(server):
    """Between a client and the server: what usage says of each prompt is what count_tokens says."""
    with Tap(server.url) as t:
        yield t
    assert not t.wrong_counts


@pytest.fixture
def run_node(node, server):
    """run_node(script): what the script of this folder printed; it sees the packages of `node`."""

    def call(script):
        target = node / script
        shutil.copy(ROOT / "tests" / "clients" / script, target)
        r = subprocess.run(["node", target, server.url], capture_output=True, text=True, timeout=240)
        assert r.returncode == 0, r.stderr
        return json.loads(r.stdout)

    return call


@pytest.fixture(scope="package")
def agent(pensieve, default_model, tmp_path_factory):
    """A server over a tiny model that knows some scripts by heart."""
    folder = assemble(tmp_path_factory.mktemp("agent_model"), default_model)
    s = e2e.Server(pensieve, str(folder), tmp_path_factory.mktemp("agent") / "log", "--ctx", "24576", "--max-requests", "4",
                   "--activations", "int8")
    yield s
    assert s.stop() == 0


@pytest.fixture
def claude(node, agent, tmp_path):
    return Claude(node, agent, tmp_path / "one")


@pytest.fixture
def talking_claude(node, server, tmp_path):
    """talking_claude(*words, patience, enough): Claude Code in an empty folder and home, as clients start it; the finished process,
    or None when it went on for longer than that: a model that talks to its limit is asked to go on again and again. On a slow
    machine it gets more time until there is enough()."""
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "ANTHROPIC_BASE_URL": server.url,
           "ANTHROPIC_API_KEY": "local-development", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
           "CLAUDE_CODE_MAX_RETRIES": "0", "CLAUDE_CODE_MAX_OUTPUT_TOKENS": "60",
           "CLAUDE_CODE_MAX_CONTEXT_TOKENS": "24576", "DISABLE_TELEMETRY": "1", "DISABLE_AUTOUPDATER": "1"}

    def call(*words, patience, enough):
        p = subprocess.Popen([node / "node_modules" / ".bin" / "claude", *words], env=env, cwd=tmp_path / "work", text=True,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        end = time.monotonic() + patience
        while p.poll() is None and time.monotonic() < (end if enough() else end + 600):
            time.sleep(0.2)
        ended = p.poll() is not None
        if not ended:
            p.kill()
        out, err = p.communicate()
        return subprocess.CompletedProcess(words, p.returncode, out, err) if ended else None

    return call
