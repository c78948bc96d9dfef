"""Who asks: keys, callers' headers and the access log, web pages of other origins. HTTP_PROBE names the probe server
(http_probe.c). Runs with unittest or pytest."""
import json
import unittest

from http_client import HttpTest, Reader, get


class Keys(HttpTest):
    def test_key(self):
        s = self.serve(key="sk-secret")
        for good in ("x-api-key: sk-secret", "Authorization: Bearer sk-secret", "authorization: bearer   sk-secret",
                     "x-api-key: wrong\r\nAuthorization: Bearer sk-secret"):
            self.assertEqual(get(s, "/nowhere", headers=good + "\r\n").status, 404, good)
        for bad in ("", "x-api-key: sk-secre\r\n", "x-api-key: sk-secretx\r\n", "x-api-key: \r\n",
                    "x-api-key: sk-secretsk-secret\r\n", "Authorization: Basic sk-secret\r\n",
                    "Authorization: sk-secret\r\n", "X-Other: sk-secret\r\n"):
            a = get(s, "/nowhere", headers=bad)
            self.assertEqual(a.status, 401, bad)
            e = json.loads(a.body)
            self.assertEqual(e["error"]["type"], "authentication_error")
            self.assertEqual(e["request_id"], a.headers["request-id"])
        self.assertEqual(get(s, "/health").status, 200)  # routers and supervisors ask without a key
        self.assertEqual(get(s, "/healthy").status, 401)

    def test_several_keys(self):
        s = self.serve(key="one", other_key="two")
        for key, name in (("one", "main"), ("two", "other")):
            self.assertEqual(get(s, "/caller", headers=f"x-api-key: {key}\r\n").body, f"{name} - - 0".encode())
            a = get(s, "/caller", headers=f"x-api-key: wrong\r\nAuthorization: Bearer {key}\r\n")
            self.assertEqual(a.body, f"{name} - - 0".encode())
        self.assertEqual(get(s, "/caller", headers="x-api-key: three\r\n").status, 401)

    def test_refused_before_the_body(self):
        s = self.serve(key="k")
        with s.connect() as c:
            c.sendall(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n")
            r = Reader(c)
            self.assertEqual(r.answer().status, 401)
            self.assertTrue(r.ended())


class Callers(HttpTest):
    def line(self, s, answer):
        """The access line of a request."""
        pattern = '.*"request_id":"%s".*"bytes_out".*' % answer.headers["request-id"]
        return json.loads(s.wait_line(pattern, where=s.log).group(0))

    TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    def test_who_asks_in_words(self):
        s = self.serve()
        h = "X-Claude-Code-Session-Id: s-1\r\nx-claude-code-agent-id: a-2\r\nX-Stainless-Retry-Count: 2\r\n"
        self.assertEqual(get(s, "/caller", headers=h).body, b"- s-1 a-2 2")
        self.assertEqual(get(s, "/caller", headers="X-Stainless-Retry-Count: -1\r\n").body, b"- - - 0")
        long = get(s, "/caller", headers=f"X-Claude-Code-Session-Id: {'x' * 500} \xe9y\r\n").body
        self.assertEqual(long, b"- " + b"x" * 64 + b" - 0")

    def test_the_access_line(self):
        s = self.serve(key="k")
        a = get(s, "/stream/1/1", headers=f"x-api-key: k\r\nx-claude-code-session-id: s1\r\ntraceparent: {self.TRACE}\r\n")
        line = self.line(s, a)
        self.assertGreater(line.pop("ms"), 0)
        for key in ("time", "level", "request_id", "bytes_in", "bytes_out"):
            line.pop(key)
        self.assertEqual(line, {
            "message": "request", "method": "GET", "path": "/stream/1/1", "status": 200, "key": "main", "session": "s1",
            "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "parent_id": "00f067aa0ba902b7", "model": "m",
            "input_tokens": 7, "cached_tokens": 5, "output_tokens": 3, "ttft_ms": 1.5, "tok_s": 20, "stop": "end_turn"})
        # Only what is known.
        line = self.line(s, get(s, "/health"))
        self.assertEqual(set(line), {"time", "level", "message", "request_id", "method", "path", "status", "ms",
                                     "bytes_in", "bytes_out"})

    def test_the_line_of_a_client_that_left(self):
        s = self.serve()
        with s.connect() as c:
            c.sendall(b"GET /stream/1000/5 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            c.recv(100)
        line = json.loads(s.wait_line('.*"message":"client left".*', where=s.log).group(0))
        self.assertEqual(line["output_tokens"], 3)

    def test_bad_traces_are_ignored(self):
        s = self.serve()
        for bad in ("", "00-0-0-0", self.TRACE + "-x", self.TRACE.replace("4b", "4G"), "ff" + self.TRACE[2:],
                    "00-" + "0" * 32 + self.TRACE[35:], self.TRACE.upper()):
            a = get(s, "/health", headers=f"traceparent: {bad}\r\n")
            self.assertEqual(a.status, 200)
            self.assertNotIn("trace_id", self.line(s, a), bad)
        a = get(s, "/health", headers=f"traceparent: 01{self.TRACE[2:]}-more\r\n")  # of a later version
        self.assertIn("trace_id", self.line(s, a))


class Origins(HttpTest):
    """Web pages of other origins."""
    PREFLIGHT = ("Origin: {}\r\nAccess-Control-Request-Method: POST\r\n"
                 "Access-Control-Request-Headers: content-type,x-api-key, bad name ,anthropic-version\r\n")

    def allow(self, a):
        return {k: v for k, v in a.headers.items() if k.startswith("access-control") or k == "vary"}

    def test_closed_by_default(self):
        s = self.serve()
        for origin in ("https://evil.example", "http://localhost:9999", "null"):
            a = self.post(s, origin)
            self.assertEqual((a.status, self.allow(a)), (403, {}))
            self.assertEqual(json.loads(a.body)["error"]["type"], "permission_error")
            a = get(s, "/echo", method="OPTIONS", headers=self.PREFLIGHT.format(origin))
            self.assertEqual((a.status, self.allow(a)), (403, {}))
            a = get(s, "/health", headers=f"Origin: {origin}\r\n")  # which the page can't read
            self.assertEqual((a.status, self.allow(a)), (200, {}))
        self.assertEqual(self.post(s, f"http://localhost:{s.port}").status, 200)  # a page of the server itself
        self.assertEqual(self.post(s, "vscode-webview://1234").status, 200)  # a program, not a web page

    def post(self, s, origin, more=""):
        with s.connect() as c:
            c.sendall(f"POST /echo HTTP/1.1\r\nHost: localhost:{s.port}\r\nOrigin: {origin}\r\n{more}"
                      "Content-Length: 2\r\n\r\nhi".encode())
            return Reader(c).answer()

    def test_listed_origins(self):
        s = self.serve(origin="https://app.example", other_origin="http://localhost:3000", key="k")
        for origin in ("https://app.example", "http://localhost:3000"):
            a = get(s, "/echo", method="OPTIONS", headers=self.PREFLIGHT.format(origin))  # without a key
            self.assertEqual(a.status, 204)
            self.assertEqual(self.allow(a), {
                "vary": "Origin", "access-control-allow-origin": origin, "access-control-max-age": "600",
                "access-control-expose-headers": "request-id, retry-after",
                "access-control-allow-methods": "GET, HEAD, POST, DELETE",
                "access-control-allow-headers": "content-type, x-api-key, anthropic-version"})
            for more, status in (("x-api-key: k\r\n", 200), ("", 401)):  # errors can be read too
                a = self.post(s, origin, more)
                self.assertEqual((a.status, a.headers["access-control-allow-origin"]), (status, origin))
            a = get(s, "/stream/2/1", headers=f"Origin: {origin}\r\nx-api-key: k\r\n")
            self.assertEqual(a.headers["access-control-allow-origin"], origin)
        a = self.post(s, "https://evil.example", "x-api-key: k\r\n")
        self.assertEqual((a.status, self.allow(a)), (403, {"vary": "Origin"}))
        a = get(s, "/echo", method="OPTIONS", headers=self.PREFLIGHT.format("https://app.example")
                + "Access-Control-Request-Private-Network: true\r\n")
        self.assertEqual(a.headers["access-control-allow-private-network"], "true")
        self.assertEqual(get(s, "/echo", method="OPTIONS", headers="Origin: https://app.example\r\n").status, 401)

    def test_all_origins(self):
        s = self.serve(origin="*")
        a = self.post(s, "https://any.example")
        self.assertEqual((a.status, a.headers["access-control-allow-origin"]), (200, "*"))
        self.assertNotIn("access-control-allow-credentials", a.headers)


if __name__ == "__main__":
    unittest.main()
