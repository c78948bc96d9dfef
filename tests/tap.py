"""A proxy in the middle: it passes every byte of an answer on as it comes, remembers each exchange, and asks about every
message that was answered whether count_tokens says of the same body what its usage said."""

import http.client
import http.server
import json
import threading
import urllib.parse

HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


class Exchange:
    """One request and what was answered; body and usage are None where there was none."""

    def __init__(self, method, path, headers, body):
        self.method, self.path, self.headers = method, path.partition("?")[0], headers
        self.query = path.partition("?")[2]
        self.body = json.loads(body) if body else None
        self.status, self.answer, self.complete = None, b"", False

    def usage(self):
        """The last figures of the answer, those of the start where a later event leaves one out."""
        if self.status != 200 or not self.answer:
            return None
        if not self.body.get("stream"):
            return json.loads(self.answer).get("usage") if self.complete else None
        usage = None
        for line in self.answer.splitlines():
            if line.startswith(b"data: {"):
                try:
                    event = json.loads(line[6:])
                except ValueError:
                    break  # the client left in the middle of it
                found = event.get("usage") or event.get("message", {}).get("usage")
                usage = {**(usage or {}), **(found or {})} or None
        return usage

    def text(self):
        """The text of the answer."""
        if not self.body.get("stream"):
            return "".join(b.get("text", "") for b in json.loads(self.answer)["content"])
        deltas = (json.loads(l[6:]).get("delta", {}) for l in self.answer.splitlines() if l.startswith(b"data: {"))
        return "".join(d.get("text", "") for d in deltas)

    def __repr__(self):
        return f"{self.method} {self.path} -> {self.status}"


def prompt_of(usage):
    """The whole prompt, as the API defines it."""
    return sum(usage[k] or 0 for k in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"))


class Tap:
    """A proxy before `upstream`; `amend` holds fields that every message's request gets on its way."""

    def __init__(self, upstream, amend=None):
        self.upstream = urllib.parse.urlsplit(upstream)
        self.amend, self.exchanges, self.wrong_counts = amend or {}, [], []
        self.lock = threading.Lock()
        tap = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self):
                super().setup()
                self.up = tap.connect()

            def finish(self):
                self.up.close()
                super().finish()

            def log_message(self, *_):
                pass

            def go(self):
                tap.pass_on(self)

            do_GET = do_HEAD = do_POST = do_DELETE = do_PUT = do_OPTIONS = go

        class Quiet(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *_):
                pass  # a client that left

        self.httpd = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.httpd.server_port}"
        self.thread = threading.Thread(target=self.httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.httpd.shutdown()
        self.httpd.server_close()
        self.thread.join()

    def connect(self):
        return http.client.HTTPConnection(self.upstream.hostname, self.upstream.port, timeout=600)

    def reset(self):
        with self.lock:
            self.exchanges.clear()

    def messages(self):
        """The exchanges of /v1/messages itself, in the order of their arrival."""
        with self.lock:
            return [x for x in self.exchanges if x.method == "POST" and x.path.rstrip("/").endswith("/v1/messages")]

    def errors(self):
        """Exchanges with a 4xx or 5xx, but for the HEAD of a path that is not there."""
        with self.lock:
            return [x for x in self.exchanges if (x.status or 599) >= 400 and (x.method, x.status) != ("HEAD", 404)]

    def pass_on(self, h):
        body = h.rfile.read(int(h.headers.get("content-length", 0)))
        if self.amend and h.path.partition("?")[0].endswith("/v1/messages"):
            body = json.dumps({**json.loads(body), **self.amend}).encode()
        x = Exchange(h.command, h.path, dict(h.headers.items()), body)
        with self.lock:
            self.exchanges.append(x)
        headers = {k: v for k, v in h.headers.items() if k.lower() not in HOP}
        try:
            h.up.request(h.command, h.path, body=body or None, headers=headers)
            r = h.up.getresponse()
        except (OSError, http.client.HTTPException):  # the server closed it while nobody asked
            h.up.close()
            h.up.request(h.command, h.path, body=body or None, headers=headers)
            r = h.up.getresponse()
        x.status = r.status
        whole = "0" if h.command == "HEAD" else r.getheader("content-length")
        h.send_response_only(r.status)
        for k, v in r.getheaders():
            if k.lower() not in HOP:
                h.send_header(k, v)
        h.send_header(*(("content-length", whole) if whole is not None else ("transfer-encoding", "chunked")))
        h.end_headers()
        try:
            while piece := r.read1(65536):
                x.answer += piece
                if whole is None:
                    piece = b"%x\r\n%s\r\n" % (len(piece), piece)
                elif len(x.answer) == int(whole):
                    x.complete = True
                    self.check(x, headers)  # before the client knows, so that a test sees what was found
                h.wfile.write(piece)
            if whole is None:
                x.complete = True
                self.check(x, headers)
                h.wfile.write(b"0\r\n\r\n")
        except OSError:  # the client has gone: so do we
            h.up.close()
            h.close_connection = True
            self.check(x, headers)

    def count(self, body, headers={}):
        """What count_tokens says of this body; an error's envelope when it refuses."""
        c = self.connect()
        c.request("POST", "/v1/messages/count_tokens", body=json.dumps(body).encode(), headers=headers)
        said = json.loads(c.getresponse().read())
        c.close()
        return said.get("input_tokens", said)

    def check(self, x, headers):
        if x not in self.messages() or not (usage := x.usage()):
            return
        if (said := self.count(x.body, headers)) != prompt_of(usage):
            with self.lock:
                self.wrong_counts.append((x.body, usage, said))
