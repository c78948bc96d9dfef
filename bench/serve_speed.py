#!/usr/bin/env python3
"""Tokens a second of one stream over HTTP beside the same generation in the process (`pensieve bench`), interleaved.

    bench/serve_speed.py MODEL [ROUNDS]
"""

import json
import pathlib
import socket
import statistics
import subprocess
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
PENSIEVE = str(ROOT / "build" / "pensieve")


def in_process(model):
    out = subprocess.run([PENSIEVE, "bench", "--model", model, "--prompt", "32", "--decode", "128", "--streams", "1",
                          "--repeat", "1", "--json"], check=True, capture_output=True).stdout
    return json.loads(out)["decode"]["tok_s"]["median"]


def over_http(url):
    """Tokens a second between the first and the last piece of text; server-sent events, read as they come."""
    body = json.dumps({"model": "m", "max_tokens": 129, "stream": True, "temperature": 0, "messages": [
        {"role": "user", "content": "Write a long story about a fox and a crow."}]}).encode()
    first = last = None
    tokens = 0
    with urllib.request.urlopen(urllib.request.Request(url + "/v1/messages", body), timeout=300) as r:
        for line in r:
            if line.startswith(b"event: content_block_delta"):
                last = time.perf_counter()
                first = first or last
            elif line.startswith(b"data: ") and b'"message_delta"' in line:
                tokens = json.loads(line[6:])["usage"]["output_tokens"]
    return (tokens - 1) / (last - first)


def main():
    model, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 7
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    server = subprocess.Popen([PENSIEVE, "serve", "--model", model, "--port", str(port)], stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        start = time.perf_counter()
        while True:
            try:
                urllib.request.urlopen(url + "/health").close()
                break
            except OSError:
                time.sleep(0.002)
        print(f"ready after {time.perf_counter() - start:.3f} s")
        pairs = [(over_http(url), in_process(model)) for _ in range(rounds)]
    finally:
        server.terminate()
        server.wait()
    http, alone = (statistics.median(p[i] for p in pairs) for i in (0, 1))
    print(f"over HTTP {http:.0f} tok/s, in the process {alone:.0f} tok/s, ratio {http / alone:.3f} (medians of {rounds})")


if __name__ == "__main__":
    main()
