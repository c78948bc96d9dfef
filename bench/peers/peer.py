"""A program under measurement: how it is set up, what it takes, how it is driven in the process and started as a server."""

import json
import os
import pathlib
import select
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PLACE = ROOT / "build" / "peers"


class Missing(Exception):
    """Why a program can't be had, or can't do something."""


class Settings:
    """What is the same for all programs of a run."""

    def __init__(self, isa, threads, prompts, depths, decode, streams, binary):
        self.isa, self.threads, self.binary = isa, threads, binary  # isa None: the best that each finds
        self.prompts, self.depths, self.decode, self.streams = prompts, depths, decode, streams


class Peer:
    """Subclasses say the rest. A peer lives in build/peers/NAME; `packages` are pinned."""

    name = ""
    packages = ()  # of PyPI, for a virtual environment of its own
    has_server = False

    def __init__(self, settings):
        self.settings, self.place = settings, PLACE / self.name

    def takes(self, model):
        """Raises Missing when it reads no such model."""
        if model.is_dir():
            raise Missing("reads GGUF files only")

    def isa_note(self):
        """What the reader must know of the instruction set it used; None when it is the one that was asked for."""
        return None

    def kv_note(self):
        return None

    def command(self, model):
        """argv of its driver."""
        return [str(self.python()), str(HERE / f"drive_{self.name}.py"), *self.driver_words(model)]

    def server(self, model, port):
        """argv of its server, which speaks Anthropic's Messages API."""
        raise Missing("has no server with the Messages API")

    def environment(self):
        return dict(os.environ)

    def driver_words(self, model):
        s = self.settings
        return [str(model), str(s.threads), str(s.decode), str(max(s.streams))]

    def python(self):
        return self.place / "venv" / "bin" / "python"

    def stamp(self):
        """What a finished set-up was made of."""
        return "\n".join(self.packages)

    def stamp_file(self):
        return self.place / ".set-up"

    def is_set_up(self):
        try:
            return self.stamp_file().read_text() == self.stamp()
        except OSError:
            return False

    def set_up(self):
        """Make it ready in its place, or raise Missing. Does nothing when it is."""
        if self.is_set_up():
            return
        say(f"{self.name}: setting up in {self.place.relative_to(ROOT)}")
        self.place.mkdir(parents=True, exist_ok=True)
        self.stamp_file().unlink(missing_ok=True)
        self.make()
        self.stamp_file().write_text(self.stamp())

    def make(self):
        shutil.rmtree(self.place / "venv", ignore_errors=True)
        self.run_logged([sys.executable, "-m", "venv", str(self.place / "venv")])
        self.run_logged([str(self.python()), "-m", "pip", "install", "--disable-pip-version-check", *self.packages])

    def run_logged(self, argv, cwd=None):
        log = self.place / "set-up.log"
        with open(log, "ab") as f:
            try:
                done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=f, stderr=f, cwd=cwd)
            except OSError as e:
                raise Missing(f"{argv[0]}: {e.strerror}") from e
        if done.returncode:
            raise Missing(f"`{' '.join(argv[:5])} ...` failed; {log.relative_to(ROOT)} says why")


def say(text):
    print(text, file=sys.stderr, flush=True)


def peak_bytes(pid):
    """The most that was resident of a process."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None


class Driver:
    """A program that answers measurements a line at a time, as `pensieve bench --stdin` does."""

    def __init__(self, name, argv, environment, log, seconds=300):
        self.name, self.buffer = name, b""
        begin = time.monotonic()
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment)
        try:
            self.about = self.read(seconds)["ready"]
        except Missing:
            self.stop()
            raise
        self.start_s = time.monotonic() - begin

    def read(self, seconds):
        end = time.monotonic() + seconds
        out = self.process.stdout
        while b"\n" not in self.buffer:
            if not select.select([out], [], [], max(0, end - time.monotonic()))[0]:
                raise Missing(f"no answer within {seconds} s")
            data = os.read(out.fileno(), 65536)
            if not data:
                raise Missing(f"its driver ended with status {self.process.wait()}")
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        try:
            return json.loads(line)
        except ValueError as e:
            raise Missing(f"its driver answers {line[:100]!r}") from e

    def ask(self, request, seconds=900):
        try:
            self.process.stdin.write(request.encode() + b"\n")
            self.process.stdin.flush()
        except OSError as e:
            raise Missing("its driver has ended") from e
        return self.read(seconds)

    def peak_bytes(self):
        return peak_bytes(self.process.pid)

    def stop(self):
        try:
            self.process.stdin.close()
        except OSError:  # it has ended, and a request was left
            pass
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
