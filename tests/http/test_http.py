"""The HTTP server over real sockets. HTTP_PROBE names the probe server (http_probe.c). Runs with unittest or pytest."""
import json
import os
import random
import re
import signal
import socket
import time
import unittest

from http_client import NOTICED_S, SLOW, HttpTest, Reader, Server, get, raw, request, reset


class Basics(HttpTest):
    def test_answers_and_headers(self):
        s = self.serve()
        a = get(s, "/health")
        self.assertEqual((a.status, a.body), (200, b'{"ok":true}'))
        self.assertRegex(a.headers["request-id"], r"^req_[0-9A-Za-z]{24}$")
        self.assertNotIn("access-control-allow-origin", a.headers)
        self.assertEqual(a.headers["x-more"], "more")  # a header that the reply brings along
        self.assertNotEqual(a.headers["request-id"], get(s, "/health").headers["request-id"])
        a = get(s, "/nope")
        self.assertEqual(a.status, 404)
        self.assertIn("request-id", a.headers)
        self.assertNotIn("x-more", a.headers)
        a = get(s, "/echo")
        self.assertEqual((a.status, a.headers["allow"]), (405, "POST"))

    def test_head(self):
        s = self.serve()
        with s.connect() as c:
            r = Reader(c)
            for path in ("/", "/big/50000"):
                c.sendall(request(path, method="HEAD"))
                a = r.answer(head=True)
                self.assertEqual(a.status, 200)
            self.assertEqual(a.headers["content-length"], "50000")
            c.sendall(request("/health"))
            self.assertEqual(r.answer().body, b'{"ok":true}')

    def test_path_is_as_sent(self):
        s = self.serve()
        self.assertEqual(json.loads(get(s, "/v1/models/a%2Fb?x=%41").body)["path"], "/v1/models/a%2Fb")
        self.assertEqual(get(s, "/health?beta=true").status, 200)
        self.assertEqual(get(s, "http://127.0.0.1:80/health").status, 200)
        for path in ("/health%00x", "/%00"):
            a = get(s, path)
            self.assertEqual(a.status, 400)
            self.assertIn("request-id", a.headers)

    def test_retry_after(self):
        s = self.serve()
        self.assertNotIn("retry-after", get(s, "/health").headers)
        a = get(s, "/busy/17")
        self.assertEqual((a.status, a.headers["retry-after"]), (529, "17"))

    def test_who_asks(self):
        """A connection is a client, and so is a session over many connections."""
        s = self.serve()
        with s.connect() as one, s.connect() as two:
            def ask(sock, session=None):
                name = f"X-Claude-Code-Session-Id: {session}\r\n" if session is not None else ""
                sock.sendall(request("/client", headers=name))
                return int(Reader(sock).answer().body)

            first, second = ask(one), ask(two)
            self.assertNotEqual(first, second)
            self.assertEqual(first, ask(one))
            session = ask(one, "11111111-2222")
            self.assertEqual(session, ask(two, "11111111-2222"))
            self.assertNotIn(session, (first, second, ask(two, "11111111-2223")))
            self.assertEqual(ask(two, ""), second)
        with s.connect() as third:
            self.assertNotIn(ask(third), (first, second))

    def test_keep_alive_and_pipelining(self):
        s = self.serve()
        with s.connect() as c:
            r = Reader(c)
            for _ in range(20):
                c.sendall(request("/health"))
                self.assertEqual(r.answer().status, 200)
            c.sendall(request("/echo", "POST", body=b"one") + request("/delay/20") + request("/stream/3/5")
                      + request("/echo", "POST", body=b"two"))
            self.assertEqual(r.answer().body, b"one")
            self.assertEqual(r.answer().body, b'{"late":true}')
            self.assertEqual(r.answer().body.count(b"event: tick"), 3)
            self.assertEqual(r.answer().body, b"two")

    def test_large_bodies_both_ways(self):
        s = self.serve()
        body = os.urandom(1 << 20).hex().encode() * 4
        a = get(s, "/echo", method="POST", body=body)
        self.assertEqual(a.body, body)
        with s.connect() as c:
            c.sendall(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
                      b"5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: 1\r\n\r\n")
            self.assertEqual(Reader(c).answer().body, b"hello world")

    def test_expect_continue(self):
        s = self.serve()
        with s.connect() as c:
            r = Reader(c)
            c.sendall(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
            self.assertEqual(r.head().status, 100)
            c.sendall(b"hi")
            self.assertEqual(r.answer().body, b"hi")

    def test_http_1_0(self):
        s = self.serve()
        with s.connect() as c:
            c.sendall(b"GET /stream/3/5 HTTP/1.0\r\n\r\n")
            data = b""
            while True:
                got = c.recv(65536)
                if not got:
                    break
                data += got
        self.assertNotIn(b"chunked", data)
        self.assertEqual(data.count(b"event: tick"), 3)

    def test_no_descriptor_leaks(self):
        s = self.serve()
        get(s, "/health")
        before = s.stats()["fds"]
        for i in range(250):
            get(s, "/health")
            get(s, "/stream/2/0")
            get(s, "/echo", method="POST", body=b"x" * 5000)
            with s.connect() as c:
                c.sendall(request("/stream/100/50" if i % 2 else "/never"))
        time.sleep(0.3 * SLOW)
        st = s.stats()
        self.assertLessEqual(st["fds"], before + 2)
        self.assertEqual(st["live"], 0)


class Streams(HttpTest):
    def test_frames_come_as_they_are_made(self):
        s = self.serve()
        with s.connect() as c:
            c.sendall(request("/stream/10/20", method="GET"))
            r = Reader(c)
            a = r.head()
            self.assertEqual(a.headers["content-type"], "text/event-stream")
            self.assertEqual(a.headers["cache-control"], "no-cache")
            self.assertEqual(a.headers["x-accel-buffering"], "no")
            late = []
            for _ in range(10):
                frame = r.chunk()
                late.append(time.monotonic() - json.loads(frame.split(b"data: ")[1])["us"] / 1e6)
            self.assertEqual(r.chunk(), b"")
        self.assertLess(sorted(late)[5], 0.01 * SLOW)
        self.assertGreater(s.freed_at("/stream/10/20", False), 0)

    def test_headers_before_the_first_frame(self):
        s = self.serve()
        with s.connect() as c:
            c.sendall(request("/silent"))
            start = time.monotonic()
            self.assertEqual(Reader(c).head().status, 200)
            self.assertLess(time.monotonic() - start, 0.1 * SLOW)

    def test_pull_at_the_deadline(self):
        s = self.serve()
        with s.connect() as c:
            c.sendall(request("/ping/50"))
            r = Reader(c)
            r.head()
            start = time.monotonic()
            for _ in range(5):
                r.chunk()
            self.assertGreater(time.monotonic() - start, 0.2)
            self.assertLess(time.monotonic() - start, 0.5 * SLOW)

    def test_broken_reply_ends_the_connection(self):
        s = self.serve()
        with s.connect() as c:
            c.sendall(request("/fail"))
            r = Reader(c)
            r.head()
            with self.assertRaises((EOFError, ConnectionError)):
                while r.chunk():
                    pass
        self.assertAlive(s)

    def test_two_hundred_at_once(self):
        s = self.serve()
        socks = [s.connect() for _ in range(200)]
        for c in socks:
            c.sendall(request("/stream/20/10"))
        for c in socks:
            a = Reader(c).answer()
            self.assertEqual([json.loads(x)["n"] for x in re.findall(rb"data: (.*)", a.body)], list(range(20)))
            c.close()
        self.assertEqual(s.stats()["live"], 0)

    def test_idle_streams_cost_nothing(self):
        s = self.serve()
        socks = [s.connect() for _ in range(50)]
        for c in socks:
            c.sendall(request("/silent"))
            Reader(c).head()
        before = s.stats()["cpu_ms"]
        time.sleep(1)
        used = s.stats()["cpu_ms"] - before  # the fake engine's own ticking included
        self.assertLess(used, 400)
        for c in socks:
            c.close()

    def test_slow_reader_is_bounded_and_alone(self):
        s = self.serve(stall_ms=1500)
        slow = s.connect(rcvbuf=4096)
        slow.sendall(request("/flood"))
        slow.recv(10)
        with s.connect() as c:
            c.sendall(request("/stream/30/10"))
            self.assertEqual(Reader(c).answer().body.count(b"event: tick"), 30)
        before = s.stats()["rss_kb"]
        s.freed_at("/flood", True, timeout=10)
        self.assertLess(s.stats()["rss_kb"] - before, 20000 * SLOW)
        s.wait_line("client stopped reading", where=s.log)
        slow.close()
        self.assertAlive(s)

    def test_too_much_at_once_ends_that_stream(self):
        s = self.serve()
        with s.connect() as c:
            c.sendall(request("/burst/1000000"))
            self.assertGreater(len(Reader(c).answer().body), 1000000)
            c.sendall(request("/burst/1100000"))
            self.assertTrue(Reader(c).ended())
        s.freed_at("/burst/1100000", True)
        self.assertAlive(s)

    def test_flood_to_a_fast_reader(self):
        s = self.serve()
        with s.connect() as c:
            c.sendall(request("/flood"))
            r, n, end = Reader(c), 0, time.monotonic() + 1
            r.head()
            while time.monotonic() < end:
                n += len(r.chunk())
        self.assertGreater(n, 1 << 20)


class Clients(HttpTest):
    """Clients that leave are noticed in every phase."""

    def test_reset_right_behind_the_request(self):
        s = self.serve()
        get(s, "/health")
        fds = s.stats()["fds"]
        for path in ["/never", "/silent", "/stream/3/1"] * 30:
            c = s.connect()
            c.sendall(request(path))
            reset(c)
        time.sleep(0.1 * SLOW)
        st = s.stats()
        self.assertEqual(st["live"], 0)
        self.assertLessEqual(st["fds"], fds + 1)

    def leave(self, s, path, how, before=None, head=True):
        c = s.connect()
        c.sendall(request(path))
        if head:
            Reader(c).head()
        else:
            time.sleep(0.1 * SLOW)
        if before:
            before(c)
        start = time.monotonic()
        how(c)
        took = s.freed_at(path, True) - start
        self.assertLess(took, NOTICED_S)
        s.wait_line('"message":"client left".*' + re.escape(path), where=s.log)

    def test_close_and_reset_of_a_silent_stream(self):
        self.leave(self.serve(), "/silent", lambda c: c.close())
        self.leave(self.serve(), "/silent", reset)

    def test_close_and_reset_of_a_running_stream(self):
        self.leave(self.serve(), "/stream/1000/30", lambda c: c.close())
        self.leave(self.serve(), "/stream/1000/30", reset)

    def test_close_and_reset_while_the_answer_is_made(self):
        self.leave(self.serve(), "/never", lambda c: c.close(), head=False)
        self.leave(self.serve(), "/never", reset, head=False)

    def test_close_of_a_stuck_stream(self):
        for how in (lambda c: c.close(), reset):
            s = self.serve()
            self.leave(s, "/flood", how, before=lambda c: time.sleep(0.5))

    def test_close_with_a_pipelined_request_behind(self):
        self.leave(self.serve(), "/silent", reset, before=lambda c: c.sendall(request("/health")))

    def test_close_in_the_body_and_headers(self):
        s = self.serve()
        for part in (b"GET /hea", b"GET /health HTTP/1.1\r\nHost: lo",
                     b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nabc"):
            for how in (lambda c: c.close(), reset):
                fds = s.stats()["fds"]
                c = s.connect()
                c.sendall(part)
                time.sleep(0.05)
                how(c)
                time.sleep(0.1 * SLOW)
                self.assertLessEqual(s.stats()["fds"], fds)
        s.wait_line('"message":"client left".*/echo', where=s.log)

    def test_the_end_together_with_half_a_request(self):
        s = self.serve()
        get(s, "/health")
        fds = s.stats()["fds"]
        whole = request("/echo", "POST", body=b"x" * 5000)
        for n in (0, 3, 30, len(whole) - 5001, len(whole) - 2000):
            for shut in (True, False):
                for _ in range(10):
                    c = s.connect()
                    c.sendall(whole[:n])
                    if shut:
                        c.shutdown(socket.SHUT_WR)
                    else:
                        c.close()
        time.sleep(0.1 * SLOW)
        self.assertLessEqual(s.stats()["fds"], fds + 1)

    def test_half_close_keeps_a_stream(self):
        s = self.serve()
        for path in ("/stream/10/30", "/stream/3/5"):
            with s.connect() as c:
                c.sendall(request(path))
                c.shutdown(socket.SHUT_WR)
                a = Reader(c).answer()
                self.assertEqual(a.body.count(b"event: tick"), int(path.split("/")[2]))
                s.freed_at(path, False)

    def test_half_close_keeps_an_answer_that_is_there(self):
        s = self.serve()
        with s.connect() as c:
            c.sendall(request("/health"))
            c.shutdown(socket.SHUT_WR)
            self.assertEqual(Reader(c).answer().status, 200)

    def test_half_close_gives_up_a_pending_answer(self):
        s = self.serve()
        c = s.connect()
        c.sendall(request("/never"))
        time.sleep(0.05)
        start = time.monotonic()
        c.shutdown(socket.SHUT_WR)
        self.assertLess(s.freed_at("/never", True) - start, NOTICED_S)
        self.assertTrue(Reader(c).ended())
        c.close()
        with s.connect() as c:  # the end arrives together with the request
            c.sendall(request("/delay/2000"))
            c.shutdown(socket.SHUT_WR)
            s.freed_at("/delay/2000", True, timeout=1)

    def test_close_after_a_half_close(self):
        s = self.serve()
        c = s.connect()
        c.sendall(request("/stream/1000/20"))
        r = Reader(c)
        r.head()
        c.shutdown(socket.SHUT_WR)
        time.sleep(0.2)
        r.chunk()
        start = time.monotonic()
        c.close()
        self.assertLess(s.freed_at("/stream/1000/20", True) - start, NOTICED_S + 0.04)


class Storm(HttpTest):
    def test_clients_come_and_go(self):
        """Random requests, random ends; afterwards nothing is left behind and the server still answers."""
        s = self.serve()
        get(s, "/health")
        fds = s.stats()["fds"]
        rng = random.Random(7)
        paths = ["/health", "/delay/5", "/delay/0", "/stream/20/1", "/stream/3/0", "/flood", "/fail",
                 "/ping/3", "/big/300000", "/nope", "/burst/1200000"]
        body = b"b" * 70000
        live = []
        for _ in range(1500):
            c = s.connect(rcvbuf=rng.choice([None, 4096]))
            data = b"".join(request(rng.choice(paths)) if rng.random() < 0.8 else request("/echo", "POST", body=body)
                            for _ in range(rng.choice([1, 1, 1, 2, 3])))
            if rng.random() < 0.2:
                data = data[:rng.randrange(len(data))]
            if rng.random() < 0.1:
                c.sendall(request(rng.choice(["/never", "/silent"])))
            else:
                c.sendall(data)
                if rng.random() < 0.2:
                    c.shutdown(socket.SHUT_WR)
            live.append(c)
            while len(live) > rng.randrange(1, 40):
                c = live.pop(rng.randrange(len(live)))
                try:
                    if rng.random() < 0.5:
                        c.settimeout(rng.random() * 0.01 + 0.0001)
                        c.recv(rng.choice([1, 100, 100000]))
                except OSError:
                    pass
                (reset if rng.random() < 0.3 else socket.socket.close)(c)
        for c in live:
            c.close()
        end = time.monotonic() + 3 * SLOW
        st = s.stats()
        while (st["live"] or st["fds"] > fds + 1) and time.monotonic() < end:
            time.sleep(0.1)
            st = s.stats()
        self.assertEqual(st["live"], 0)
        self.assertLessEqual(st["fds"], fds + 1)

    def test_stop_in_the_middle(self):
        for stops in (1, 2):
            s = Server(drain=1)
            socks = []
            for i in range(60):
                c = s.connect(rcvbuf=4096)
                c.sendall(request(["/never", "/silent", "/flood", "/stream/1000/1", "/ping/3", "/big/3000000"][i % 6])[
                    :1000 if i % 5 else 30])
                socks.append(c)
            time.sleep(0.2)
            for _ in range(stops - 1):
                s.process.send_signal(signal.SIGTERM)
                time.sleep(0.05)
            s.stop()
            for c in socks:
                c.close()


class Framing(HttpTest):
    def test_smuggling(self):
        s = self.serve()
        cases = {
            "length and coding": "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            "two lengths": "Content-Length: 3\r\nContent-Length: 3\r\n",
            "two codings": "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "other coding": "Transfer-Encoding: gzip, chunked\r\n",
            "identity": "Transfer-Encoding: identity\r\n",
            "padded coding": "Transfer-Encoding: xchunked\r\n",
            "space in name": "Content-Length : 3\r\n",
            "tab in name": "Transfer-Encoding\t: chunked\r\n",
            "odd name": "Con(tent: 3\r\n",
            "two hosts": "Host: localhost\r\n",
        }
        for name, fields in cases.items():
            with self.subTest(name):
                a = raw(s, f"POST /echo HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n3\r\nabc\r\n0\r\n\r\n".encode())
                self.assertIsNotNone(a)
                self.assertEqual(a.status, 400)
                self.assertIn("request-id", a.headers)
        for name, data in {
            "signed length": b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: +3\r\n\r\nabc",
            "list of lengths": b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3, 3\r\n\r\nabc",
            "hex length": b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0x3\r\n\r\nabc",
            "no host": b"GET /health HTTP/1.1\r\n\r\n",
            "chunked in 1.0": b"POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "bad chunk": b"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "not http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        }.items():
            with self.subTest(name):
                a = raw(s, data)
                self.assertTrue(a is None or a.status in (400, 413), a and a.status)
        self.assertEqual(s.stats()["calls"], 0)

    def test_what_the_library_lets_pass_stays_in_step(self):
        """Lines that end in LF alone, folded fields and NULs are read leniently, but what follows is read from the right
        place: two requests, two answers."""
        s = self.serve()
        for first in (b"POST /echo HTTP/1.1\nHost: localhost\nContent-Length: 2\n\nhi",
                      b"POST /echo HTTP/1.1\r\nHost: localhost\r\nX-A: a\r\n\tb\r\nContent-Length: 2\r\n\r\nhi",
                      b"POST /echo HTTP/1.1\r\nHost: localhost\r\nX-A: a\0Content-Length: 9\r\nContent-Length: 2\r\n\r\nhi"):
            with self.subTest(first), s.connect() as c:
                c.sendall(first + request("/delay/1"))
                r = Reader(c)
                a = r.answer()
                self.assertEqual((a.status, a.body), (200, b"hi"))
                self.assertEqual(json.loads(r.answer().body), {"late": True})
        # A folded coding is read as no body: nothing behind it is taken for a request, the connection ends.
        folded = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding:\r\n chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
        calls = s.stats()["calls"]
        with s.connect() as c:
            c.sendall(folded + request("/delay/1"))
            r = Reader(c)
            r.answer()
            self.assertTrue(r.ended())
        self.assertEqual(s.stats()["calls"], calls + 2)  # the folded one, and /stats

    def test_many_idle_connections(self):
        s = self.serve(max_connections=300)
        idle = [s.connect() for _ in range(250)]
        for c in idle[::50]:
            c.sendall(request("/health"))
            self.assertEqual(Reader(c).answer().status, 200)
        self.assertEqual(get(s, "/health").status, 200)
        for c in idle:
            c.close()

    def test_a_long_path_in_the_log(self):
        s = self.serve()
        a = get(s, "/" + "x" * 5000)
        line = s.wait_line('.*"request_id":"%s".*"bytes_out".*' % a.headers["request-id"], where=s.log).group(0)
        self.assertEqual(len(json.loads(line)["path"]), 256)

    def test_refusal_without_a_body_keeps_the_connection(self):
        s = self.serve()
        with s.connect() as c:
            r = Reader(c)
            c.sendall(request("/health", host="evil.example"))
            self.assertEqual(r.answer().status, 403)
            c.sendall(request("/health"))
            self.assertEqual(r.answer().status, 200)

    def test_host(self):
        s = self.serve()
        for host in ("localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:8000", "192.168.1.7",
                     "a.localhost"):
            self.assertEqual(get(s, "/health", host=host).status, 200, host)
        for host in ("evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "",
                     "[::1", "[::1]x", "localhost:x", "[localhost]", "evillocalhost"):
            a = get(s, "/health", host=host)
            self.assertEqual(a.status, 403, host)
            self.assertIn(b"permission_error", a.body)
        self.assertEqual(get(s, "http://evil.example/health").status, 403)

    def test_any_host_on_other_addresses(self):
        s = self.serve(host="0.0.0.0")
        self.assertEqual(get(s, "/health", host="my.box.example").status, 200)

    def test_body_too_large_by_length(self):
        s = self.serve(max_body=100000)
        self.assertEqual(get(s, "/echo", method="POST", body=b"x" * 100000).status, 200)
        with s.connect() as c:
            c.sendall(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100001\r\n\r\n")
            r = Reader(c)
            a = r.answer()
            self.assertEqual((a.status, a.headers["connection"]), (413, "close"))
            self.assertTrue(r.ended())
        with s.connect() as c:
            c.sendall(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999999\r\n\r\n")
            self.assertEqual(Reader(c).head().status, 413)

    def test_early_answer_is_not_lost_to_a_reset(self):
        s = self.serve(max_body=100000)
        for _ in range(5):
            with s.connect() as c:
                c.sendall(request("/echo", "POST", body=b"x" * 8000000))  # all of it is taken
                self.assertEqual(Reader(c).answer().status, 413)
        self.assertEqual(s.stats()["calls"], 0)

    def test_body_too_large_in_chunks(self):
        s = self.serve(max_body=100000)
        with s.connect() as c:
            r = Reader(c)
            c.sendall(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(100):
                c.sendall(b"2000\r\n" + b"x" * 0x2000 + b"\r\n")
            c.sendall(b"0\r\n\r\n")
            self.assertEqual(r.answer().status, 413)
            c.sendall(request("/health"))
            self.assertEqual(r.answer().status, 200)

    def test_endless_chunks_end(self):
        s = self.serve(max_body=1000, body_ms=300)
        with s.connect() as c:
            c.sendall(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
            start = time.monotonic()
            with self.assertRaises(OSError):
                while time.monotonic() < start + 10 * SLOW:
                    c.sendall(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
                    time.sleep(0.005)
            self.assertLess(time.monotonic() - start, 3 * SLOW)

    def test_bodies_share_a_budget(self):
        s = self.serve(max_body=1000000)
        socks = [s.connect() for _ in range(10)]
        for c in socks:
            c.sendall(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 999999)
        time.sleep(0.5 * SLOW)
        for c in socks:
            c.sendall(b"x")
        got = sorted(Reader(c).answer().status for c in socks)
        self.assertEqual(got, [200] * 8 + [503] * 2)
        for c in socks:
            c.close()
        self.assertEqual(get(s, "/echo", method="POST", body=b"y" * 1000000).status, 200)

    def test_headers_too_large(self):
        s = self.serve()
        a = get(s, "/health", headers="X: " + "y" * 17000 + "\r\n")
        self.assertEqual(a.status, 431)
        self.assertIn("request-id", a.headers)
        self.assertEqual(get(s, "/health", headers="X: y\r\n" * 200).status, 431)
        self.assertEqual(get(s, "/" + "z" * 17000).status, 431)
        self.assertEqual(get(s, "/health", headers="X: " + "y" * 12000 + "\r\n").status, 200)
        a = raw(s, request("/health", headers="X: " + "y" * 200000 + "\r\n"))
        self.assertTrue(a is None or a.status == 431)
        self.assertAlive(s)


class Deadlines(HttpTest):
    def closed_after(self, s, data, low, high, drip=None):
        with s.connect() as c:
            start = time.monotonic()
            c.sendall(data)
            c.settimeout(0.05)
            while time.monotonic() < start + 5 * SLOW:
                try:
                    if drip:
                        c.sendall(drip)
                    if not c.recv(65536):
                        break
                except socket.timeout:
                    continue
                except ConnectionError:
                    break
            took = time.monotonic() - start
            self.assertGreater(took, low)
            self.assertLess(took, high * SLOW)

    def test_slow_headers(self):
        s = self.serve(header_ms=300)
        self.closed_after(s, b"", 0.25, 0.8)
        self.closed_after(s, b"GET /he", 0.25, 0.8)
        self.closed_after(s, b"GET /health HTTP/1.1\r\n", 0.25, 0.8, drip=b"X: y\r\n")
        self.assertAlive(s)

    def test_slow_body(self):
        s = self.serve(body_ms=300)
        head = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"
        self.closed_after(s, head, 0.25, 0.8)
        self.closed_after(s, head, 0.25, 1.2, drip=b"x")

    def test_idle(self):
        s = self.serve(idle_ms=300, header_ms=5000)
        self.closed_after(s, request("/health"), 0.25, 0.8)

    def test_waiting_has_no_deadline(self):
        s = self.serve(idle_ms=200, header_ms=200, body_ms=200, stall_ms=200)
        self.assertEqual(get(s, "/delay/800").body, b'{"late":true}')
        self.assertEqual(get(s, "/stream/3/400").body.count(b"event: tick"), 3)

    def test_connection_limit(self):
        s = self.serve(max_connections=8, header_ms=1000)
        socks = [s.connect() for _ in range(8)]
        time.sleep(0.1)
        with s.connect() as c:  # waits until one of them is closed
            c.sendall(request("/health"))
            start = time.monotonic()
            self.assertEqual(Reader(c).answer().status, 200)
            self.assertGreater(time.monotonic() - start, 0.5)
        for c in socks:
            c.close()


if __name__ == "__main__":
    unittest.main()
