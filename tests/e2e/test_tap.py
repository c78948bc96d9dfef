"""The proxy of the tests itself: it passes on what it gets and sees a count that differs from the usage."""

import http.server
import json
import threading
import urllib.error
import urllib.request

import pytest

from tap import Tap

START = {"type": "message_start", "message": {"usage": {"input_tokens": 4, "cache_creation_input_tokens": 1,
                                                        "cache_read_input_tokens": 2, "output_tokens": 1}}}
DELTA = {"type": "message_delta", "usage": {"input_tokens": 3, "cache_read_input_tokens": 3, "output_tokens": 9}}
STREAM = "".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in (START, DELTA)).encode()


@pytest.fixture
def upstream():
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if self.path.endswith("count_tokens"):
                self.answer(200, json.dumps({"input_tokens": body["say"]}).encode())
            elif body.get("stream"):
                self.send_response(200)
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                for i in range(0, len(STREAM), 50):
                    piece = STREAM[i:i + 50]
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.write(b"0\r\n\r\n")
            else:
                self.answer(body.get("status", 200), json.dumps({"usage": START["message"]["usage"]}).encode())

        def answer(self, status, out):
            self.send_response(status)
            self.send_header("content-length", str(len(out)))
            self.end_headers()
            self.wfile.write(out)

    s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=s.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{s.server_port}"
    s.shutdown()
    s.server_close()


def post(tap, body, path="/v1/messages?beta=true"):
    return urllib.request.urlopen(tap.url + path, json.dumps(body).encode(), timeout=10).read()


def test_what_is_counted_otherwise_is_seen(upstream):
    with Tap(upstream) as tap:
        assert post(tap, {"say": 7, "stream": True}) == STREAM
        assert json.loads(post(tap, {"say": 7}))["usage"]["output_tokens"] == 1
        assert tap.wrong_counts == []
        assert [x.usage()["output_tokens"] for x in tap.messages()] == [9, 1]
        post(tap, {"say": 8, "stream": True})
        post(tap, {"say": 6})
        assert [x[2] for x in tap.wrong_counts] == [8, 6]


def test_errors_are_remembered_and_not_counted(upstream):
    with Tap(upstream, amend={"status": 529}) as tap:
        with pytest.raises(urllib.error.HTTPError):
            post(tap, {"say": 1})
        assert [x.status for x in tap.errors()] == [529] and not tap.wrong_counts
        post(tap, {"say": 1}, "/v1/messages/count_tokens")
        assert len(tap.messages()) == 1 and len(tap.exchanges) == 2
