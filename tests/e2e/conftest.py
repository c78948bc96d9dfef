"""A real server over the real default model, on a free port of 127.0.0.1."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import time
import urllib.request

import pytest

from tap import Tap


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def prompt_tokens(usage):
    """The whole prompt, as the API defines it."""
    return usage.input_tokens + usage.cache_creation_input_tokens + usage.cache_read_input_tokens


class Server:
    def __init__(self, pensieve, model, log_path, *flags, port=None):
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_path = pathlib.Path(log_path)
        self.started = time.monotonic()
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [pensieve, "serve", "--model", model, "--port", str(self.port), "--log-format", "json", *flags],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                env={**os.environ, "XDG_DATA_HOME": str(self.log_path.parent / "data")})
        self.wait_ready()

    def wait_ready(self):
        while True:
            try:
                with urllib.request.urlopen(self.url + "/health", timeout=1) as r:
                    if json.load(r)["status"] == "ok":
                        break
            except OSError:
                pass
            assert self.process.poll() is None, self.log_path.read_text()
            assert time.monotonic() - self.started < 30, "not ready within 30 s"
            time.sleep(0.005)
        self.ready_s = time.monotonic() - self.started

    def log(self):
        lines = []
        for line in self.log_path.read_text().splitlines():
            if line.startswith("{"):
                lines.append(json.loads(line))
        return lines

    def wait_log(self, wanted, timeout=10):
        """The first log line for which wanted(line) holds."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            for line in self.log():
                if wanted(line):
                    return line
            time.sleep(0.01)
        raise AssertionError("no such line in the log:\n" + self.log_path.read_text()[-3000:])

    def rss_kb(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(l for l in status.splitlines() if l.startswith("VmRSS")).split()[1])

    def n_descriptors(self):
        return len(list(pathlib.Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def stop(self, timeout=20):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)


@pytest.fixture(scope="session")
def server(pensieve, default_model, tmp_path_factory):
    s = Server(pensieve, default_model, tmp_path_factory.mktemp("server") / "log")
    yield s
    assert s.stop() == 0


@pytest.fixture
def tap(server):
    """Between a client and the shared server: what usage says of each prompt is what count_tokens says."""
    with Tap(server.url) as t:
        yield t
    assert not t.wrong_counts
