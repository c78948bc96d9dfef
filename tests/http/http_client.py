"""What test_http.py drives the probe server with: a server process, requests as bytes, answers as they are framed."""
import json
import os
import re
import signal
import socket
import struct
import subprocess
import threading
import time
import unittest

PROBE = os.environ.get("HTTP_PROBE", "build/release/tests/http/http_probe")
SLOW = float(os.environ.get("HTTP_SLOW", "1"))  # how much slower a sanitizer makes everything
NOTICED_S = 0.05 * SLOW


class Server:
    def __init__(self, **flags):
        args = [PROBE]
        flags.setdefault("port", 0)
        for key, value in flags.items():
            args += ["--" + key.replace("_", "-"), str(value)]
        self.lines, self.log, self.sockets = [], [], []
        self.process = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.readers = [threading.Thread(target=self._read, args=a, daemon=True)
                        for a in ((self.process.stdout, self.lines), (self.process.stderr, self.log))]
        for t in self.readers:
            t.start()
        self.port = int(self.wait_line(r"port (\d+)", 10).group(1))

    @staticmethod
    def _read(pipe, to):
        for line in pipe:
            to.append((time.monotonic(), line.rstrip("\n")))

    def wait_line(self, pattern, timeout=5, where=None):
        end = time.monotonic() + timeout * SLOW
        while time.monotonic() < end:
            for _, line in list(self.lines if where is None else where):
                m = re.search(pattern, line)
                if m:
                    return m
            if self.process.poll() is not None and time.monotonic() > end - timeout * SLOW + 1:
                break
            time.sleep(0.002)
        raise AssertionError(f"no line like {pattern}: {self.lines[-5:]} {self.log[-5:]}")

    def freed_at(self, path, gone, timeout=5):
        """Monotonic seconds at which the reply of path was freed."""
        return int(self.wait_line(rf"^free {re.escape(path)} {int(gone)} (\d+)$", timeout).group(1)) / 1e6

    def connect(self, rcvbuf=None):
        s = socket.socket()
        self.sockets.append(s)
        if rcvbuf:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        s.settimeout(10 * SLOW)
        s.connect(("127.0.0.1", self.port))
        return s

    def stats(self):
        return json.loads(get(self, "/stats").body)

    def stop(self, expect=0):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            rc = self.process.wait(20 * SLOW)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError("the server did not stop")
        for t in self.readers:
            t.join(5)
        for s in self.sockets:
            s.close()
        self.process.stdout.close()
        self.process.stderr.close()
        if rc != expect:
            raise AssertionError(f"exit {rc}: " + "\n".join(line for _, line in self.log[-40:]))


class Answer:
    def __init__(self, status, headers, body, version):
        self.status, self.headers, self.body, self.version = status, headers, body, version


class Reader:
    """Reads answers from a socket, one after the other."""

    def __init__(self, sock):
        self.sock, self.buf = sock, b""

    def more(self):
        got = self.sock.recv(65536)
        if not got:
            raise EOFError(self.buf)
        self.buf += got

    def until(self, mark):
        while mark not in self.buf:
            self.more()
        at = self.buf.index(mark) + len(mark)
        out, self.buf = self.buf[:at], self.buf[at:]
        return out

    def exactly(self, n):
        while len(self.buf) < n:
            self.more()
        out, self.buf = self.buf[:n], self.buf[n:]
        return out

    def head(self):
        lines = self.until(b"\r\n\r\n").decode().split("\r\n")
        version, status = lines[0].split(" ")[:2]
        headers = {}
        for line in lines[1:]:
            if line:
                name, value = line.split(":", 1)
                headers[name.lower()] = value.strip()
        return Answer(int(status), headers, b"", version)

    def chunk(self):
        n = int(self.until(b"\r\n").strip(), 16)
        data = self.exactly(n)
        self.exactly(2)
        return data

    def answer(self, head=False):
        a = self.head()
        if head or a.status == 204:
            return a
        if a.headers.get("transfer-encoding") == "chunked":
            while True:
                c = self.chunk()
                if not c:
                    return a
                a.body += c
        a.body = self.exactly(int(a.headers["content-length"]))
        return a

    def ended(self):
        """True when the server closes (a reset counts too)."""
        try:
            while True:
                if not self.sock.recv(65536):
                    return True
        except ConnectionError:
            return True
        except socket.timeout:
            return False


def request(path, method="GET", headers="", body=b"", host="localhost"):
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{length}{headers}\r\n".encode() + body


def get(server, path, **k):
    with server.connect() as s:
        s.sendall(request(path, **k))
        return Reader(s).answer(head=k.get("method") == "HEAD")


def raw(server, data):
    """Send bytes, read one answer; None when the server just closed."""
    with server.connect() as s:
        try:
            s.sendall(data)
            return Reader(s).answer()
        except (EOFError, ConnectionError):
            return None


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class HttpTest(unittest.TestCase):
    def serve(self, **flags):
        s = Server(**flags)
        self.addCleanup(s.stop)
        return s

    def assertAlive(self, server):
        self.assertEqual(get(server, "/health").status, 200)
