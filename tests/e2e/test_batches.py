"""Message Batches through the official SDK: answered beside other work, kept over a kill."""

import signal
import time
import urllib.request

import anthropic
import pytest

from conftest import Server


def client_of(server, **more):
    return anthropic.Anthropic(base_url=server.url, api_key="local", max_retries=0, timeout=60, **more)


@pytest.fixture
def client(server):
    with client_of(server) as c:
        yield c


def request(custom_id, text="Say hi.", max_tokens=8, **more):
    return {"custom_id": custom_id, "params": {"model": "any", "max_tokens": max_tokens, "temperature": 0,
                                               "messages": [{"role": "user", "content": text}], **more}}


def ended(client, batch_id, timeout=60):
    end = time.monotonic() + timeout
    while (batch := client.messages.batches.retrieve(batch_id)).processing_status != "ended":
        assert time.monotonic() < end, batch
        time.sleep(0.02)
    return batch


def n_succeeded(server):
    """Requests of batches that this process has answered."""
    with urllib.request.urlopen(server.url + "/metrics", timeout=10) as r:
        line = next(l for l in r.read().decode().splitlines()
                    if l.startswith('pensieve_batch_requests_total{result="succeeded"}'))
    return float(line.split()[1])


def results(client, batch_id):
    """By custom_id; each once."""
    found = {}
    for r in client.messages.batches.results(batch_id):
        assert r.custom_id not in found
        found[r.custom_id] = r.result
    return found


def test_answers_equal_those_of_single_requests(client):
    texts = [f"What is {i} plus {i}?" for i in range(6)]
    batch = client.messages.batches.create(requests=[request(f"sum-{i}", t) for i, t in enumerate(texts)])
    assert batch.id.startswith("msgbatch_") and batch.type == "message_batch"
    assert batch.processing_status == "in_progress" and batch.request_counts.processing == 6
    assert batch.ended_at is None and batch.results_url is None and batch.archived_at is None
    assert (batch.expires_at - batch.created_at).total_seconds() == 24 * 3600
    batch = ended(client, batch.id)
    assert batch.request_counts.to_dict() == {"processing": 0, "succeeded": 6, "errored": 0, "canceled": 0, "expired": 0}
    assert batch.created_at <= batch.ended_at < batch.expires_at
    got = results(client, batch.id)
    assert sorted(got) == [f"sum-{i}" for i in range(6)]
    for i, text in enumerate(texts):
        single = client.messages.create(model="any", max_tokens=8, extra_body={"temperature": 0},
                                        messages=[{"role": "user", "content": text}])
        message = got[f"sum-{i}"].message
        assert got[f"sum-{i}"].type == "succeeded" and message.content[0].text == single.content[0].text
        assert message.usage.output_tokens == single.usage.output_tokens and message.id.startswith("msg_")


def test_a_bad_request_is_an_errored_result(client):
    batch = client.messages.batches.create(requests=[
        request("good"), request("long", "word " * 20000), request("image", [{"type": "text"}]),
        request("tokens", max_tokens=0)])
    assert ended(client, batch.id).request_counts.errored == 3
    got = results(client, batch.id)
    assert got["good"].type == "succeeded"
    for custom_id, message in (("long", "prompt is too long: "), ("image", "messages.0.content.0.text: Field required"),
                               ("tokens", "max_tokens: ")):
        error = got[custom_id].error
        assert got[custom_id].type == "errored" and error.type == "error"
        assert error.error.type == "invalid_request_error" and error.error.message.startswith(message)
        assert error.request_id.startswith("req_")


def test_what_is_malformed_is_refused_at_once(client):
    for requests, message in (([], "requests: "), ([request("a"), request("a")], "requests.1.custom_id: "),
                              ([request("ä")], "requests.0.custom_id: "),
                              ([request("a", stream=True)], "requests.0.params.stream: ")):
        with pytest.raises(anthropic.BadRequestError) as e:
            client.messages.batches.create(requests=requests)
        assert e.value.body["error"]["message"].startswith(message)


def test_cancel_and_delete(client):
    batch = client.messages.batches.create(requests=[
        request(f"r{i}", f"Write a long story about fox number {i}.", max_tokens=2000) for i in range(50)])
    with pytest.raises(anthropic.BadRequestError):
        client.messages.batches.delete(batch.id)
    with pytest.raises(anthropic.AnthropicError):
        client.messages.batches.results(batch.id)
    canceling = client.messages.batches.cancel(batch.id)
    assert canceling.processing_status in ("canceling", "ended") and canceling.cancel_initiated_at
    batch = ended(client, batch.id)
    counts = batch.request_counts
    assert counts.canceled > 0 and counts.canceled + counts.succeeded == 50 and counts.processing == 0
    assert sum(r.type == "canceled" for r in results(client, batch.id).values()) == counts.canceled
    with pytest.raises(anthropic.BadRequestError):
        client.messages.batches.cancel(batch.id)
    deleted = client.messages.batches.delete(batch.id)
    assert deleted.id == batch.id and deleted.type == "message_batch_deleted"
    for call in (client.messages.batches.retrieve, client.messages.batches.delete, client.messages.batches.results):
        with pytest.raises(anthropic.NotFoundError):
            call(batch.id)


def test_pages(pensieve, default_model, tmp_path):
    s = Server(pensieve, default_model, tmp_path / "log")
    try:
        with client_of(s) as client:
            assert client.messages.batches.list().data == []
            ids = [client.messages.batches.create(requests=[request("a", max_tokens=1)]).id for _ in range(7)]
            newest = list(reversed(ids))
            page = client.messages.batches.list(limit=3)
            assert [b.id for b in page.data] == newest[:3] and page.has_more
            assert page.first_id == newest[0] and page.last_id == newest[2]
            assert [b.id for b in client.messages.batches.list(limit=2)] == newest  # through all pages
            assert [b.id for b in client.messages.batches.list(limit=2, after_id=newest[3])] == newest[4:]
            before = client.messages.batches.list(limit=2, before_id=newest[3])
            assert [b.id for b in before.data] == newest[1:3] and before.has_more
            assert [b.id for b in client.beta.messages.batches.list(limit=1000).data] == newest  # ?beta=true
            with pytest.raises(anthropic.BadRequestError):
                client.messages.batches.list(limit=0)
    finally:
        assert s.stop() == 0


def test_a_kill_loses_and_doubles_nothing(pensieve, default_model, tmp_path):
    n = 60
    s = Server(pensieve, default_model, tmp_path / "log")
    with client_of(s) as client:
        batch = client.messages.batches.create(requests=[
            request(f"r{i}", f"Count from {i} to ten.", max_tokens=20) for i in range(n)])
    n_before = 0
    for kill in (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM):
        while n_succeeded(s) < 4:
            time.sleep(0.01)
        n_before += 4
        s.process.send_signal(kill)
        s.process.wait(10)
        s = Server(pensieve, default_model, tmp_path / "log", port=s.port)
    try:
        with client_of(s) as client:
            batch = ended(client, batch.id)
            assert batch.request_counts.succeeded == n
            got = results(client, batch.id)
            assert sorted(got) == sorted(f"r{i}" for i in range(n))
            assert 0 < n_succeeded(s) <= n - n_before  # what was answered before is not answered again
    finally:
        assert s.stop() == 0


def test_others_come_first(pensieve, default_model, tmp_path):
    s = Server(pensieve, default_model, tmp_path / "log")
    try:
        with client_of(s) as client:
            alone = []
            for i in range(3):
                at = time.monotonic()
                client.messages.create(model="any", max_tokens=20, messages=[{"role": "user", "content": f"Hello {i}!"}])
                alone.append(time.monotonic() - at)
            batch = client.messages.batches.create(requests=[
                request(f"r{i}", f"Write a long story about fox number {i}.", max_tokens=300) for i in range(40)])
            time.sleep(0.5)
            beside = []
            for i in range(3):
                at = time.monotonic()
                m = client.messages.create(model="any", max_tokens=20,
                                           messages=[{"role": "user", "content": f"Hello again {i}!"}])
                beside.append(time.monotonic() - at)
                assert m.usage.output_tokens > 0
            assert client.messages.batches.retrieve(batch.id).processing_status == "in_progress"
            assert min(beside) < 3 * max(alone) + 0.5
            client.messages.batches.cancel(batch.id)
            ended(client, batch.id)
    finally:
        assert s.stop() == 0


def test_a_folder_that_another_server_has(pensieve, default_model, tmp_path):
    first = Server(pensieve, default_model, tmp_path / "log")
    second = Server(pensieve, default_model, tmp_path / "log2")
    try:
        with client_of(first) as one, client_of(second) as two:
            batch = one.messages.batches.create(requests=[request("a")])
            with pytest.raises(anthropic.InternalServerError) as e:
                two.messages.batches.retrieve(batch.id)
            assert "run by another server" in e.value.body["error"]["message"]
            ended(one, batch.id)
            assert first.stop() == 0
            assert results(two, batch.id)["a"].type == "succeeded"
    finally:
        assert first.stop() == 0 and second.stop() == 0
