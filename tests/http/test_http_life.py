"""The HTTP server's life over real sockets: stopping, listening, TLS. HTTP_PROBE names the probe server
(http_probe.c). Runs with unittest or pytest."""
import os
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import unittest

from http_client import NOTICED_S, PROBE, SLOW, HttpTest, Reader, Server, request, reset


class Stopping(HttpTest):
    def test_drain(self):
        s = Server(drain=10)
        idle = s.connect()
        idle.sendall(request("/health"))
        Reader(idle).answer()
        fresh = s.connect()
        stream, late = s.connect(), s.connect()
        stream.sendall(request("/stream/10/60"))
        late.sendall(request("/delay/400"))
        r = Reader(stream)
        r.head()
        s.process.send_signal(signal.SIGTERM)
        start = time.monotonic()
        self.assertTrue(Reader(idle).ended())
        self.assertTrue(Reader(fresh).ended())
        self.assertLess(time.monotonic() - start, 0.2 * SLOW)
        with self.assertRaises(ConnectionError):
            s.connect().close()
        self.assertEqual(sum(1 for _ in iter(r.chunk, b"")), 10)
        a = Reader(late).answer()
        self.assertEqual((a.body, a.headers["connection"]), (b'{"late":true}', "close"))
        s.stop()
        for c in (idle, fresh, stream, late):
            c.close()
        self.assertIn("draining", [line for _, line in s.lines])

    def test_drain_ends_at_its_deadline(self):
        """Whoever still waits then gets an error; who doesn't read holds nobody up."""
        s = Server(drain=1)
        socks = {}
        for path in ("/silent", "/never", "/flood", "/stream/100000/10", "/half"):
            socks[path] = s.connect(rcvbuf=4096)
            socks[path].sendall(request("/echo", "POST", headers="Content-Length: 100\r\n") + b"half"
                                if path == "/half" else request(path))
        time.sleep(0.3)
        start = time.monotonic()
        s.process.send_signal(signal.SIGTERM)
        for path in ("/silent", "/stream/100000/10"):
            self.assertEndsWithError(socks[path])
            self.assertLess(time.monotonic() - start, 1 + 0.5 * SLOW)
        a = Reader(socks["/never"]).answer()
        self.assertEqual((a.status, a.body, a.headers["connection"]), (503, b'{"ended":true}', "close"))
        self.assertTrue(Reader(socks["/half"]).ended())
        self.assertGreater(time.monotonic() - start, 0.9)
        s.process.wait(10)
        self.assertLess(time.monotonic() - start, 2.2 * SLOW)
        s.stop()
        s.freed_at("/flood", True, 1)
        for path in ("/silent", "/never"):
            s.freed_at(path, False, 1)
        for c in socks.values():
            c.close()

    def assertEndsWithError(self, sock):
        r = Reader(sock)
        r.head()
        body = b"".join(iter(r.chunk, b""))
        self.assertTrue(body.endswith(b'event: error\ndata: {"ended":true}\n\n'), body[-200:])
        self.assertEqual(body.count(b"event: error"), 1)
        self.assertTrue(r.ended())

    def test_second_stop_ends_at_once(self):
        s = Server(drain=100)
        silent, stuck, pending = s.connect(), s.connect(rcvbuf=4096), s.connect()
        silent.sendall(request("/silent"))
        stuck.sendall(request("/flood"))
        pending.sendall(request("/never"))
        time.sleep(0.1)
        s.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        self.assertIsNone(s.process.poll())
        start = time.monotonic()
        s.process.send_signal(signal.SIGTERM)
        self.assertEqual(s.process.wait(10), 0)
        self.assertLess(time.monotonic() - start, 0.5 * SLOW)
        self.assertEndsWithError(silent)
        self.assertEqual(Reader(pending).answer().status, 503)
        s.stop()
        for c in (silent, stuck, pending):
            c.close()


class Listening(HttpTest):
    def fails(self, code, pattern, **flags):
        flags.setdefault("port", 0)
        args = [PROBE]
        for key, value in flags.items():
            args += ["--" + key.replace("_", "-"), str(value)]
        p = subprocess.run(args, capture_output=True, text=True, timeout=20)
        self.assertEqual(p.returncode, code, p.stderr)
        self.assertRegex(p.stderr, pattern)

    def test_taken_port(self):
        s = self.serve()
        self.fails(5, rf"^127\.0\.0\.1:{s.port} is in use by another program; ", port=s.port)
        self.fails(5, "is no address of this machine", host="192.0.2.1")
        self.fails(2, "expected an address and a port", port=70000)
        self.fails(2, "can't listen on", host="no such host")

    def test_port_is_free_again_at_once(self):
        s = Server()
        with s.connect() as c:
            c.sendall(request("/health"))
            Reader(c).answer()
            s.stop()
        again = self.serve(port=s.port)
        self.assertAlive(again)

    def test_nothing_is_left_by_a_kill(self):
        """Streams run when the process dies; the next one has the port and the socket path at once."""
        s = Server()
        with tempfile.TemporaryDirectory() as d:
            u = Server(unix=os.path.join(d, "s.sock"))
            c, k = s.connect(), socket.socket(socket.AF_UNIX)
            k.connect(os.path.join(d, "s.sock"))
            for sock in (c, k):
                sock.sendall(request("/stream/1000/5"))
                Reader(sock).head()
            for killed, flags in ((s, {"port": s.port}), (u, {"unix": os.path.join(d, "s.sock")})):
                killed.process.kill()
                killed.stop(expect=-signal.SIGKILL)
                again = Server(**flags)
                with socket.socket(socket.AF_UNIX if "unix" in flags else socket.AF_INET) as n:
                    n.connect(flags.get("unix") or ("127.0.0.1", flags["port"]))
                    n.sendall(request("/health"))
                    self.assertEqual(Reader(n).answer().status, 200)
                again.stop()
            self.assertTrue(Reader(k).ended())
            c.close()
            k.close()

    def test_ipv6(self):
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            self.skipTest("no IPv6")
        s = self.serve(host="::1")
        with socket.create_connection(("::1", s.port)) as c:
            c.sendall(request("/health", host="[::1]"))
            self.assertEqual(Reader(c).answer().status, 200)
        self.fails(5, rf"^\[::1\]:{s.port} is in use", host="::1", port=s.port)

    def test_unix_socket(self):
        with tempfile.TemporaryDirectory() as d:
            path = os.path.join(d, "s.sock")
            s = Server(unix=path)
            self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
            with socket.socket(socket.AF_UNIX) as c:
                c.connect(path)
                r = Reader(c)
                c.sendall(request("/stream/3/10", host="anything"))
                self.assertEqual(r.answer().body.count(b"event: tick"), 3)
                c.sendall(request("/silent"))
                r.head()
                start = time.monotonic()
                c.close()
                self.assertLess(s.freed_at("/silent", True) - start, NOTICED_S)
            self.fails(5, "is in use by another program", unix=path)
            s.stop()
            self.assertFalse(os.path.exists(path))
            with socket.socket(socket.AF_UNIX) as stale:
                stale.bind(path)
            s = Server(unix=path)
            s.stop()
            with open(path, "w") as f:
                f.write("mine")
            self.fails(5, "is not a socket", unix=path)
            with open(path) as f:
                self.assertEqual(f.read(), "mine")
            self.fails(2, "socket path has", unix="/tmp/" + "x" * 200)


class Tls(HttpTest):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.TemporaryDirectory()
        cls.cert, cls.key = os.path.join(cls.dir.name, "cert.pem"), os.path.join(cls.dir.name, "key.pem")
        try:
            for name, key in (("cert.pem", "key.pem"), ("other.pem", "other-key.pem")):
                subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                                "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-out",
                                os.path.join(cls.dir.name, name), "-keyout", os.path.join(cls.dir.name, key)],
                               check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            raise unittest.SkipTest("no openssl program")

    @classmethod
    def tearDownClass(cls):
        cls.dir.cleanup()

    def test_tls(self):
        s = self.serve(tls_cert=self.cert, tls_key=self.key, header_ms=1000)
        ctx = ssl.create_default_context(cafile=self.cert)
        with ctx.wrap_socket(s.connect(), server_hostname="localhost") as c:
            r = Reader(c)
            c.sendall(request("/health"))
            self.assertEqual(r.answer().status, 200)
            body = b"z" * 300000
            c.sendall(request("/echo", "POST", body=body))
            self.assertEqual(r.answer().body, body)
            c.sendall(request("/stream/5/10"))
            self.assertEqual(r.answer().body.count(b"event: tick"), 5)
            c.sendall(request("/silent"))
            r.head()
            start = time.monotonic()
            c.close()
            self.assertLess(s.freed_at("/silent", True) - start, NOTICED_S)
        for path in ("/flood", "/stream/1000/1"):  # the client goes while the server writes
            c = ctx.wrap_socket(s.connect(rcvbuf=4096), server_hostname="localhost")
            c.sendall(request(path))
            Reader(c).head()
            time.sleep(0.1)
            reset(c)
            s.freed_at(path, True)
        with s.connect() as c:  # a handshake that never comes
            start = time.monotonic()
            self.assertTrue(Reader(c).ended())
            self.assertLess(time.monotonic() - start, 2.5 * SLOW)
        with s.connect() as c:  # plain HTTP
            c.sendall(request("/health"))
            self.assertTrue(Reader(c).ended())
        with ctx.wrap_socket(s.connect(), server_hostname="localhost") as c:
            c.sendall(request("/health"))
            self.assertEqual(Reader(c).answer().status, 200)

    def test_bad_files(self):
        f = Listening.fails
        other = os.path.join(self.dir.name, "other-key.pem")
        f(self, 2, "TLS needs a certificate and a key", tls_cert=self.cert)
        f(self, 1, "the TLS certificate: .*nowhere", tls_cert="/nowhere/x.pem", tls_key=self.key)
        f(self, 1, "is not PEM", tls_cert=self.cert, tls_key=__file__)
        f(self, 1, "can't be used: ", tls_cert=self.cert, tls_key=other)
        f(self, 1, "can't be used: ", tls_cert=self.key, tls_key=self.key)


if __name__ == "__main__":
    unittest.main()
