"""Running the program the way a script does."""

import os
import signal
import socket
import subprocess
import time

import pytest

SETTINGS = ("MODEL_PATH", "GPU_MEMORY_LIMIT", "MAX_CONTEXT_LENGTH", "LOG_LEVEL")


def clean_environment(**more):
    """This environment without any of the program's settings."""
    env = {k: v for k, v in os.environ.items() if k not in SETTINGS and not k.startswith("PENSIEVE_")}
    return {**env, **{k: str(v) for k, v in more.items()}}


@pytest.fixture
def run(pensieve, tmp_path):
    """run(*words, input=b"", env={}): the finished process, from an empty folder."""

    def call(*words, input=b"", env=None, timeout=120):
        return subprocess.run([pensieve, *map(str, words)], input=input, capture_output=True, timeout=timeout,
                              cwd=tmp_path, env=clean_environment(XDG_DATA_HOME=tmp_path / "data", **(env or {})))

    return call


@pytest.fixture
def start(pensieve, tmp_path):
    """start(*words, env={}): a running `serve` and the lines that it said, once it listens. Its attribute `plan` has
    the lines before those."""
    running = []

    def call(*words, env=None, n_lines=4):
        p = subprocess.Popen([pensieve, "serve", *map(str, words)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
                             stdin=subprocess.DEVNULL, cwd=tmp_path, text=True,
                             env=clean_environment(XDG_DATA_HOME=tmp_path / "data", **(env or {})))
        running.append(p)
        lines, p.plan = [], []
        while len(lines) < n_lines:
            line = p.stderr.readline()
            assert line, f"the server ended: {lines}"
            if line.startswith(("listening", "model", "for", "try")):
                lines.append(line.rstrip("\n"))
            elif not lines:
                p.plan.append(line.rstrip("\n"))
        return p, lines

    yield call
    for p in running:
        if p.poll() is None:
            p.send_signal(signal.SIGTERM)
        try:
            p.wait(20)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
        p.stderr.close()


@pytest.fixture
def taken_port():
    """A port of the loopback interface that somebody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        yield s.getsockname()[1]


def wait_until(true, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.02)
    return False
