"""A program in a pseudo-terminal, and what its screen shows."""

import fcntl
import os
import pty
import signal
import struct
import termios
import threading
import time

import pyte

ROWS, COLUMNS = 40, 120


class Terminal:
    def __init__(self, words, env, cwd):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(cwd)
            os.execve(words[0], [str(w) for w in words], {**env, "TERM": "xterm-256color", "LANG": "C.UTF-8"})
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.screen = pyte.Screen(COLUMNS, ROWS)
        self.stream = pyte.ByteStream(self.screen)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        while True:
            try:
                data = os.read(self.fd, 65536)
            except OSError:  # it has ended
                return
            if not data:
                return
            self.stream.feed(data)

    def text(self):
        return "\n".join(line.rstrip() for line in self.screen.display if line.strip())

    def wait(self, what, timeout=120):
        """The screen, when it shows this."""
        end = time.monotonic() + timeout
        while what not in self.text():
            assert time.monotonic() < end, f"{what!r} is not on the screen:\n{self.text()}"
            time.sleep(0.1)
        return self.text()

    def type(self, text):
        os.write(self.fd, text.encode())
        time.sleep(0.7)  # a paste would be taken otherwise than keys
        os.write(self.fd, b"\r")

    def press(self, keys):
        os.write(self.fd, keys)

    def end(self, timeout=20):
        """Its exit status; killed when it doesn't end."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.1)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        return None
