#!/usr/bin/env python3
"""Load on a Messages API server, or on two in turn: one Markdown table, both side by side. docs/LOAD.md says how to use it.

    bench/serve_load.py --start "build/pensieve serve --model M" --streams 1,4,8
    bench/serve_load.py --url http://127.0.0.1:8000 --peer-start "llama-server -m M -np 8 -c 65536" --workload agent
"""

import argparse
import asyncio
import gc
import json
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import load_work
from load_client import Client, Server, message_body
from load_stats import medians, table


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("--url", help="a server that runs, such as http://127.0.0.1:8000")
    p.add_argument("--start", metavar="COMMAND", help="start this server and end it afterwards; --port N is added, or put "
                   "where {port} stands")
    p.add_argument("--name", default="pensieve", help="what the table calls it")
    p.add_argument("--peer-url", help="a second server to measure in turn with the first")
    p.add_argument("--peer-start", metavar="COMMAND", help="the same, started here")
    p.add_argument("--peer-name", default="peer")
    p.add_argument("--workload", default="chat", choices=["chat", "agent", "prefill-interference", "second-turn", "memory"])
    p.add_argument("--mode", default="closed", choices=["closed", "open"], help="closed: streams that ask again when "
                   "answered; open: conversations begin at --rate a second (chat and agent)")
    p.add_argument("--streams", default="1,4,8,16", help="closed: how many at once, one measurement each")
    p.add_argument("--rate", default="1", help="open: conversations a second, one measurement each (1,2,4)")
    p.add_argument("--requests", type=int, default=6, help="chat: requests a stream (open: in all); second-turn: conversations")
    p.add_argument("--sessions", type=int, default=1, help="agent: conversations a stream (open: in all)")
    p.add_argument("--turns", type=int, default=4, help="agent: turns a conversation")
    p.add_argument("--prefix-tokens", type=int, default=4000, help="agent: what all share; 12000 where the context allows")
    p.add_argument("--turn-tokens", type=int, default=500, help="agent: new tokens a turn")
    p.add_argument("--long-tokens", type=int, default=7500, help="prefill-interference: the long prompt")
    p.add_argument("--conversation-tokens", type=int, default=3000, help="second-turn: the first turn")
    p.add_argument("--repeat", type=int, default=3, help="rounds; the table has their medians")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--json", metavar="FILE", help="also write every round as JSON; - is standard output, without the table")
    p.add_argument("--log", metavar="FILE", help="where the output of started servers goes")
    o = p.parse_args()
    if bool(o.url) == bool(o.start):
        p.error("name one server: --url or --start")
    if o.peer_url and o.peer_start:
        p.error("name one peer: --peer-url or --peer-start")
    if o.workload == "memory" and (o.url or o.peer_url):
        p.error("memory is read from servers that are started here: --start, --peer-start")
    return o


def cells(o):
    """(title, function(server, seed) -> (figures, errors)) of every measurement."""
    if o.workload == "prefill-interference":
        return [(o.workload, lambda s, seed: load_work.interference(o, s, seed))]
    if o.workload == "second-turn":
        return [(o.workload, lambda s, seed: load_work.second_turn(o, s, seed))]
    streams = [int(n) for n in o.streams.split(",")]
    if o.workload == "memory":
        return [(f"memory, {n} streams", lambda s, seed, n=n: load_work.memory(o, s, seed, n)) for n in streams]
    if o.mode == "open":
        return [(f"{o.workload}, {r}/s", lambda s, seed, r=float(r): load_work.open_loop(o, s, seed, r))
                for r in o.rate.split(",")]
    return [(f"{o.workload}, {n} streams", lambda s, seed, n=n: load_work.closed(o, s, seed, n)) for n in streams]


def open_server(name, url, command, log):
    begin = time.monotonic()
    server = Server(name, url, command, log)
    try:
        server.wait_ready()
    except RuntimeError:
        server.stop()
        raise
    server.ready_s = time.monotonic() - begin if command else None
    return server


async def warm(server):
    a = await Client(server.url).ask(message_body([{"role": "user", "content": "Say hello."}], 8))
    if a.error:
        raise RuntimeError(f"{server.name} does not answer: {a.error}")


def measure(o, specs, log):
    """results[cell][server] is the list of the rounds' figures."""
    todo = cells(o)
    results = [[[] for _ in specs] for _ in todo]
    fresh = o.workload == "memory"  # memory is that of a server that has done nothing else
    servers = []
    try:
        if not fresh:
            for spec in specs:
                servers.append(open_server(*spec, log))
                asyncio.run(warm(servers[-1]))
        for r in range(o.repeat):
            for c, (title, run) in enumerate(todo):
                for i, spec in enumerate(specs):
                    if fresh:
                        servers = [open_server(*spec, log)]
                    gc.collect()
                    figures, errors = asyncio.run(run(servers[0 if fresh else i], o.seed * 10000 + r * 100 + c))
                    results[c][i].append(figures)
                    note = f", errors: {'; '.join(errors)}" if errors else ""
                    print(f"round {r + 1}/{o.repeat}, {title}, {spec[0]}: done{note}", file=sys.stderr)
                    if fresh:
                        servers.pop().stop()
    finally:
        for s in servers:
            s.stop()
    return [title for title, _ in todo], results


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that started servers are ended
    o = arguments()
    specs = [(o.name, o.url, o.start)]
    if o.peer_url or o.peer_start:
        specs.append((o.peer_name, o.peer_url, o.peer_start))
    log = open(o.log, "wb") if o.log else None
    try:
        titles, results = measure(o, specs, log)
    except RuntimeError as e:
        sys.exit(f"serve_load: {e}")
    finally:
        if log:
            log.close()
    names = [s[0] for s in specs]
    medians_of = [[medians(rounds) for rounds in cell] for cell in results]
    if o.json:
        out = {"settings": vars(o), "cells": [
            {"title": t, "servers": [{"name": n, "median": m, "rounds": r} for n, m, r in zip(names, ms, rs)]}
            for t, ms, rs in zip(titles, medians_of, results)]}
        text = json.dumps(out, indent=1)
        if o.json == "-":
            print(text)
            return
        pathlib.Path(o.json).write_text(text + "\n")
    print(table(list(zip(titles, medians_of)), names))
    print(f"\nMedians of {o.repeat} rounds, the servers in turn. Times are the client's; text events that arrive in one read "
          "share its time, and inter-token times are those between text events.")


if __name__ == "__main__":
    main()
