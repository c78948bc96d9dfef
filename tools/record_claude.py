#!/usr/bin/env python3
"""Record what Claude Code sends, for tests/clients/test_replay.py: build/node must hold it (tools/node-clients).

    tools/record_claude.py OUT.json.xz

Claude Code runs against a server on 127.0.0.1 that plays a model with prepared answers, in a few sessions. Of each request
the path, some headers and the body are kept, without what is private or somebody's own text: every word of every text
becomes another word, always the same one for the same word, so that what was a prefix of something still is one. Keys,
block types, names of tools, the structure of their schemas, cache marks and what the prepared answers said stay.
"""

import hashlib
import http.server
import json
import lzma
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading

ROOT = pathlib.Path(__file__).resolve().parent.parent
WORDS = ("time year people way day man thing woman life child world school state family student group country problem hand "
         "part place case week company system program question work government number night point home water room mother "
         "area money story fact month lot right study book eye job word business issue side kind head house service friend "
         "father power hour game line end member law car city community name president team minute idea kid body back "
         "parent face others level office door health person art war history party result change morning reason research "
         "girl guy moment air teacher force education").split()
KEPT = ("x-anthropic-billing-header:",)  # which servers look for
HEADERS = ("anthropic-version", "anthropic-beta", "x-claude-code-session-id", "x-claude-code-agent-id", "x-stainless-retry-count")

# Sessions: words behind `claude`, the answers of the model in turn (the last one again for everything that follows).
TEXT = [{"type": "text", "text": "  Hello there.\n"}]


def call(name, **arguments):
    return {"type": "tool_use", "name": name, "input": arguments}


SESSIONS = {
    "bare": [(["--bare", "-p", "Say hello"], [TEXT])],
    "bash": [(["--bare", "-p", "run: echo hi", "--allowedTools", "Bash"],
              [[{"type": "text", "text": "I run it."}, call("Bash", command="echo hi", description="Say hi")], TEXT])],
    "edit": [(["--bare", "-p", "change the file", "--allowedTools", "Read,Edit"],
              [[call("Read", file_path="{work}/note.txt")],
               [call("Edit", file_path="{work}/note.txt", old_string="one", new_string="two")], TEXT])],
    "wrong": [(["--bare", "-p", "do it", "--allowedTools", "Bash"],
               [[call("Bash", cmd="no such argument"), call("NoSuchTool", x=1)], TEXT])],
    "whole": [(["-p", "Say hello"], [TEXT]), (["-p", "And again", "--continue"], [TEXT])],
}


def sse(blocks, number):
    """A message of these blocks as a stream."""
    def frame(kind, **data):
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n"

    usage = {"input_tokens": 10, "output_tokens": 1}
    out = frame("message_start", message={"id": f"msg_{number}", "type": "message", "role": "assistant", "model": "local",
                                          "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage})
    for i, b in enumerate(blocks):
        if b["type"] == "text":
            out += frame("content_block_start", index=i, content_block={"type": "text", "text": ""})
            out += frame("content_block_delta", index=i, delta={"type": "text_delta", "text": b["text"]})
        else:
            out += frame("content_block_start", index=i, content_block={
                "type": "tool_use", "id": f"toolu_{number}_{i}", "name": b["name"], "input": {}})
            out += frame("content_block_delta", index=i, delta={"type": "input_json_delta", "partial_json": json.dumps(b["input"])})
        out += frame("content_block_stop", index=i)
    reason = "tool_use" if any(b["type"] == "tool_use" for b in blocks) else "end_turn"
    out += frame("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage={"output_tokens": 5})
    return (out + frame("message_stop")).encode()


class Recorder(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        s = self.server
        with s.lock:
            s.requests.append({"path": self.path, "headers": {h: self.headers[h] for h in HEADERS if self.headers[h]},
                               "body": body})
            side = "tools" not in body or not body["tools"]  # titles and such don't take an answer of the session
            blocks = TEXT if side else s.answers[0] if len(s.answers) == 1 else s.answers.pop(0)
            s.number += 1
            data = b'{"input_tokens":10}' if "count_tokens" in self.path else sse(blocks, s.number)
        self.send_response(200)
        self.send_header("content-type", "application/json" if "count_tokens" in self.path else "text/event-stream")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class Disguise:
    """Words for words."""

    def __init__(self):
        self.ids = {}

    def word(self, m):
        digest = hashlib.sha256(b"pensieve" + m.group(0).encode()).digest()
        return WORDS[int.from_bytes(digest[:4], "big") % len(WORDS)]

    def text(self, s):
        for kept in KEPT:
            if s.startswith(kept):
                return kept + " cc_version=0.0.0; cc_entrypoint=cli; cch=" + hashlib.sha256(s.encode()).hexdigest()[:5] + ";"
        return re.sub(r"\S+", self.word, s)

    def name(self, s, kind):
        """One name for every name of a kind, by the order in which they come."""
        return self.ids.setdefault((kind, s), f"{kind}_{sum(k == kind for k, _ in self.ids) + 1}")

    def schema(self, v):
        if isinstance(v, dict):
            return {k: self.text(x) if k == "description" and isinstance(x, str) else self.schema(x) for k, x in v.items()}
        return [self.schema(x) for x in v] if isinstance(v, list) else v

    def value(self, v, key=None):
        if isinstance(v, list):
            return [self.value(x, key) for x in v]
        if isinstance(v, dict):
            out = {}
            for k, x in v.items():
                if k == "input_schema" or k == "schema":
                    out[k] = self.schema(x)
                elif k == "input":
                    out[k] = {a: self.text(b) if isinstance(b, str) and "/" in b else b for a, b in x.items()}
                else:
                    out[k] = self.value(x, k)
            return out
        if not isinstance(v, str) or key in ("type", "role", "name", "ttl", "effort", "display", "keep", "model", "tool_name"):
            return v
        if key in ("id", "tool_use_id"):
            return self.name(v, "toolu")
        if key == "user_id":
            return json.dumps({"session_id": self.name(v, "user")})
        return self.text(v)

    def request(self, r):
        headers = {h: self.name(v, "session") if h.endswith("-id") else v for h, v in r["headers"].items()}
        return {"path": r["path"], "headers": headers, "body": self.value(r["body"])}


def record(server, words, answers, home, work):
    server.answers = json.loads(json.dumps(answers).replace("{work}", str(work)))
    server.requests = []
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "ANTHROPIC_API_KEY": "local-development",
           "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{server.server_address[1]}", "CLAUDE_CODE_MAX_RETRIES": "0",
           "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1"}
    subprocess.run([ROOT / "build/node/node_modules/.bin/claude", *words, "--model", "local"], env=env, cwd=work,
                   stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    return server.requests


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    server.lock, server.number = threading.Lock(), 0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    disguise, sessions = Disguise(), {}
    for name, runs in SESSIONS.items():
        with tempfile.TemporaryDirectory() as folder:
            home, work = pathlib.Path(folder, "home"), pathlib.Path(folder, "work")
            home.mkdir()
            work.mkdir()
            (work / "note.txt").write_text("one\n")
            requests = []
            for words, answers in runs:
                requests += record(server, words, answers, home, work)
            sessions[name] = [disguise.request(r) for r in requests]
            print(f"{name}: {len(requests)} requests", file=sys.stderr)
    data = json.dumps({"client": "Claude Code 2.1.330", "sessions": sessions}, indent=None).encode()
    pathlib.Path(sys.argv[1]).write_bytes(lzma.compress(data, preset=9))
    print(f"{len(data)} bytes, {os.path.getsize(sys.argv[1])} compressed", file=sys.stderr)


main()
