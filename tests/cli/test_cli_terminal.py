"""The chat at a terminal: history, Ctrl-C, what stays on the screen."""

import os
import pty
import select
import signal
import time

import pytest


class Terminal:
    def __init__(self, words, env):
        try:
            self.pid, self.fd = pty.fork()
        except OSError as e:
            pytest.skip(f"this machine gives no pseudo-terminal: {e}")
        if self.pid == 0:
            os.execve(words[0], words, env)
        self.seen = b""

    def read_until(self, text, seconds=60):
        """Everything up to and with `text`."""
        end = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < end, self.seen
            if select.select([self.fd], [], [], 0.1)[0]:
                self.seen += os.read(self.fd, 65536)
        part, self.seen = self.seen.split(text, 1)
        return part + text

    def write(self, data):
        os.write(self.fd, data)

    def end(self):
        """Exit status; the program gets 20 seconds."""
        for _ in range(200):
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self.fd)
                return os.waitstatus_to_exitcode(status)
            try:  # a full terminal would hold it up
                if select.select([self.fd], [], [], 0)[0]:
                    os.read(self.fd, 65536)
            except OSError:
                pass
            time.sleep(0.1)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        pytest.fail("the chat did not end")


@pytest.fixture
def chat(pensieve, default_model):
    env = {**os.environ, "TERM": "dumb", "MODEL_PATH": default_model}
    return Terminal([pensieve, "run", "--temperature", "0", "--max-tokens", "300"], env)


def test_a_chat_remembers_and_ends(chat):
    chat.read_until(b"\r\n> ")
    chat.write(b"My name is Bob.\n")
    first = chat.read_until(b"\r\n> ")
    answer = first.split(b"My name is Bob.\r\n", 1)[1]
    said = answer.rsplit(b"\x1b[K", 1)[-1]  # what was there before may have been wiped out, this was not
    assert len(said.split(b" + ")[0]) > 20
    tokens = int(first.rsplit(b" + ", 1)[0].split()[-1])
    chat.write(b"Hello again.\n")
    second = chat.read_until(b"\r\n> ")
    assert int(second.rsplit(b" + ", 1)[0].split()[-1]) > tokens  # the prompt holds the first turn
    chat.write(b"/clear\n")
    chat.read_until(b"> ")
    chat.write(b"My name is Bob.\n")
    third = chat.read_until(b"\r\n> ")
    assert int(third.rsplit(b" + ", 1)[0].split()[-1]) == tokens
    chat.write(b"/exit\n")
    assert chat.end() == 0


def test_ctrl_c_stops_an_answer_not_the_chat(chat):
    chat.read_until(b"\r\n> ")
    chat.write(b"Write a very long story about a dragon.\n")
    chat.read_until(b"dragon.\r\n")
    time.sleep(0.3)
    chat.write(b"\x03")
    stopped = chat.read_until(b"\r\n> ", 10)
    assert b"tok/s" not in stopped
    chat.write(b"\x04")
    assert chat.end() == 0
