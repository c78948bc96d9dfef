"""Answers are the same with and without guessed tokens, whatever is asked, and tokens are guessed."""

import concurrent.futures
import json
import re
import urllib.request

import pytest

from conftest import Server

ITEMS = [{"id": i, "name": f"item number {i}", "tags": ["red", "green"], "size": {"width": 10 * i, "height": 7}}
         for i in range(8)]
SCHEMA = {"type": "object", "properties": {"items": {"type": "array", "maxItems": 8, "items": {
    "type": "object", "properties": {"id": {"type": "integer"}, "name": {"type": "string", "maxLength": 30},
                                     "tags": {"type": "array", "maxItems": 3, "items": {"type": "string", "maxLength": 8}}},
    "required": ["id", "name", "tags"], "additionalProperties": False}}}, "required": ["items"],
    "additionalProperties": False}
TOOL = {"type": "function", "function": {"name": "store", "description": "Store items.", "parameters": SCHEMA}}
COPY = "Repeat this text:\n" + "The quick brown fox jumps over the lazy dog, and the lazy dog sleeps on. " * 6


def requests():
    listing = "Here is a list:\n" + json.dumps(ITEMS) + "\nGive it back as JSON."
    for i, temperature in enumerate((0, 1, 0.7)):
        say = {"temperature": temperature, "seed": 5 + i, "top_p": 0.9 if i == 2 else 1}
        yield dict(say, messages=[{"role": "user", "content": COPY}], max_tokens=150)
        yield dict(say, messages=[{"role": "user", "content": listing}], max_tokens=200, response_format={
            "type": "json_schema", "json_schema": {"name": "items", "schema": SCHEMA, "strict": True}})
        yield dict(say, messages=[{"role": "user", "content": listing}], max_tokens=200, tools=[TOOL],
                   tool_choice={"type": "function", "function": {"name": "store"}})
        yield dict(say, messages=[{"role": "user", "content": COPY}], max_tokens=80, logprobs=True, top_logprobs=2)
        yield dict(say, messages=[{"role": "user", "content": COPY}], max_tokens=150, stop=["lazy dog sl"])
        yield dict(say, messages=[{"role": "user", "content": "Count from one to fifty, in words."}], max_tokens=90)


def ask(server, body):
    request = urllib.request.Request(server.url + "/v1/chat/completions", json.dumps(dict(body, model="m")).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=300) as r:
        answer = json.load(r)
    message = answer["choices"][0]["message"]
    for call in message.get("tool_calls") or []:
        call.pop("id")
    return (message, answer["choices"][0]["finish_reason"], answer["choices"][0].get("logprobs"),
            answer["usage"]["completion_tokens"])


def guessed(server):
    text = urllib.request.urlopen(server.url + "/metrics").read().decode()
    return {k: int(v) for k, v in re.findall(r'pensieve_guessed_tokens_total\{result="(\w+)"\} (\d+)', text)}


@pytest.fixture(scope="module")
def plain(pensieve, default_model, tmp_path_factory):
    s = Server(pensieve, default_model, tmp_path_factory.mktemp("plain") / "log", "--speculate", "off")
    yield s
    assert s.stop() == 0


def test_answers_are_the_same(server, plain):
    bodies = list(requests())
    before = guessed(server)
    want = [ask(plain, body) for body in bodies]
    assert guessed(plain) == {"right": 0, "wrong": 0}
    for body, answer in zip(bodies, want):
        assert ask(server, body) == answer
    with concurrent.futures.ThreadPoolExecutor(6) as pool:  # guesses for several streams in one step
        assert list(pool.map(lambda body: ask(server, body), bodies)) == want
    after = guessed(server)
    assert after["right"] - before["right"] > 200 and after["wrong"] > before["wrong"]
