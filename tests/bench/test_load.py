"""The arithmetic and the parsing of the load generator and of the soak: no server is needed."""

import asyncio
import importlib.machinery
import importlib.util
import json
import pathlib
import random
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "bench"))
sys.path.insert(0, str(ROOT / "tools"))

import load_client
import load_stats
import soak_work


def tool(name):
    loader = importlib.machinery.SourceFileLoader(f"{name}_tool", str(ROOT / "tools" / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def frame(kind, **more):
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n".encode()


STREAM = b"".join([
    frame("message_start", message={"usage": {"input_tokens": 5, "cache_read_input_tokens": 3, "output_tokens": 0}}),
    frame("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    frame("ping"),
    frame("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hé"}),
    frame("content_block_delta", index=0, delta={"type": "text_delta", "text": "llo"}),
    frame("content_block_stop", index=0),
    frame("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 3}),
    frame("message_stop")])
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunked(body, size):
    parts = [body[i:i + size] for i in range(0, len(body), size)]
    return b"".join(b"%x\r\n" % len(p) + p + b"\r\n" for p in parts) + b"0\r\n\r\n"


@pytest.mark.parametrize("size", [1, 7, 100, 100000])
def test_a_chunked_stream_is_read(size):
    raw = HEAD + chunked(STREAM, size)
    status, headers, body, whole = load_client.split_answer(raw)
    assert (status, headers["transfer-encoding"], body, whole) == (200, "chunked", STREAM, True)
    said = load_client.read_events(body)
    assert said["text"] == "Héllo" and said["complete"] and said["stop_reason"] == "end_turn"
    assert said["usage"] == {"input_tokens": 5, "cache_read_input_tokens": 3, "output_tokens": 3}


def test_every_cut_is_noticed():
    raw = HEAD + chunked(STREAM, 50)
    for n in range(len(raw)):
        assert not load_client.split_answer(raw[:n])[3], n
        assert soak_work.meaning(raw[:n]) is None
    plain = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    assert load_client.split_answer(plain)[2:] == (b"hello", True)
    assert not load_client.split_answer(plain[:-1])[3]


@pytest.mark.parametrize("size", [1, 3, 26, 27, 40, 1000])
def test_text_events_are_counted_however_reads_cut_them(size):
    async def run():
        a = load_client.Answer(b"")
        for i in range(0, len(HEAD + STREAM), size):
            a.data_received((HEAD + STREAM)[i:i + size])
        return a

    a = asyncio.run(run())
    assert len(a.times) == 2 and len(a.gaps()) == 1
    assert (a.times[0] == a.times[1]) or size < 1000


def test_an_answer_knows_its_tokens():
    async def run():
        a = load_client.Answer(b"")
        a.data_received(HEAD + chunked(STREAM, 300))
        return a.read()

    a = asyncio.run(run())
    assert (a.error, a.n_prompt, a.n_cached, a.n_output, a.text) == (None, 8, 3, 3, "Héllo")


def test_percentiles():
    assert load_stats.percentile([], 50) is None
    assert load_stats.percentile([3], 99) == 3
    assert load_stats.percentile([4, 1, 3, 2], 50) == 2.5
    assert load_stats.percentile(list(range(101)), 99) == 99
    assert load_stats.percentile([1, 2], 90) == pytest.approx(1.9)


class Done:
    def __init__(self, times, n_output, error=None):
        self.times, self.n_output, self.error = times, n_output, error
        self.n_prompt, self.n_cached, self.ttft, self.e2e = 10, 5, times[0] if times else 0, times[-1] if times else 0

    gaps = load_client.Answer.gaps


def test_figures_of_a_run():
    answers = [Done([1, 2, 3], 3), Done([2, 4, 6], 6), Done([], 0, "status 529")]
    f = load_stats.of_answers(answers, begin=0, busy_end=4, end=6)
    assert f["output_tok_s"] == pytest.approx((3 + 6 * 2 / 3) / 4)  # the last event came when streams had run out
    assert f["requests_s"] == pytest.approx(2 / 6) and f["errors"] == 1 and f["requests"] == 3
    assert f["itl_p50"] == 1.5 and f["cache_hit"] == 0.5 and f["tokens_per_event"] == 1.5
    assert f["tpot_p50"] == pytest.approx((2 / 2 + 4 / 5) / 2)


def test_a_server_without_usage_shows_dashes():
    a = Done([1, 2], 0)
    a.n_prompt = 0
    f = load_stats.of_answers([a], 0, 2, 2)
    assert f["output_tok_s"] is None and f["cache_hit"] is None
    rows = load_stats.table([("chat", [{"output_tok_s": 2.0, "ttft_p50": 0.01}, f])], ["one", "two"])
    assert "| output tokens/s | 2.0 | - | - | more |" in rows
    assert "| chat | first token p50, ms | 10.0 | 1000.0 | 0.01 | less |" in rows


def test_medians_leave_out_what_is_unknown():
    assert load_stats.medians([{"a": 1, "b": None}, {"a": 5}, {"a": 2, "b": None}]) == {"a": 2, "b": None}


def test_words_are_the_same_for_a_seed():
    assert load_client.words(random.Random(3), 50) == load_client.words(random.Random(3), 50)
    text = load_client.words(random.Random(3), 500)
    assert abs(len(text.split()) + text.count(".") - 500) <= 1  # tokens, nearly


def test_the_soak_sees_what_changed():
    raw = HEAD + chunked(STREAM, 64)
    told = soak_work.meaning(raw)
    assert told == (200, "Héllo", "end_turn", None, (8, 3))
    clients = soak_work.Clients(1, soak_work.Tally())
    item = soak_work.Item("one", {})
    item.quiet = told
    assert clients.judge(item, raw) and not clients.tally.faults
    assert not clients.judge(item, HEAD + chunked(STREAM.replace(b"llo", b"lla"), 64))
    assert not clients.judge(item, raw[:-40])
    assert [f.split(":")[0] for f in clients.tally.faults] == ["an answer differs from the quiet one", "an answer was cut off"]
    clients.stop.set()  # no pause after a refusal
    busy = b"HTTP/1.1 529 Busy\r\nContent-Length: 61\r\n\r\n" + b'{"type":"error","error":{"type":"overloaded_error","message":1}}'
    clients.judge(item, busy.replace(b"61", b"64"))
    assert clients.tally.counts["refused with 529"] == 1 and clients.tally.counts["529 without retry-after"] == 1


def test_streams_and_whole_answers_mean_the_same():
    body = json.dumps({"type": "message", "id": "x", "content": [{"type": "text", "text": "Héllo"}], "stop_reason": "end_turn",
                       "stop_sequence": None, "usage": {"input_tokens": 8, "output_tokens": 3}}).encode()
    whole = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    assert soak_work.meaning(whole) == soak_work.meaning(HEAD + chunked(STREAM, 64))


def test_growth_of_memory():
    soak = tool("soak")
    flat = [(t, 1000 if t < 10 else 2000) for t in range(101)]  # what is committed in the warm-up does not count
    assert soak.growth(flat) == 0
    assert soak.growth([(t, t) for t in range(101)]) == pytest.approx(95 - 14.5, abs=1)
    assert soak.growth([]) is None


def test_the_log_may_only_inform(tmp_path):
    soak, tally = tool("soak"), soak_work.Tally()
    log = tmp_path / "log"
    log.write_text('listening\n{"level":"info","message":"request"}\n{"level":"error","message":"step failed"}\n{oops\n')
    soak.check_log(log, tally)
    assert sorted(tally.n_faults) == ["a log line is not JSON", "the log says 'step failed'"]


def test_there_are_about_forty_requests_and_they_are_the_same_for_a_seed():
    items, again = soak_work.make_items(5), soak_work.make_items(5)
    assert 35 <= len(items) <= 50 and len({i.name for i in items}) == len(items)
    assert [i.body for i in items] == [i.body for i in again]
