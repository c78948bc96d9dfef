"""OpenAI's clients through their own SDK, against the real server and the real default model."""

import openai
import pytest


@pytest.fixture
def client(server):
    with openai.OpenAI(base_url=server.url + "/v1", api_key="local", max_retries=0, timeout=120) as c:
        yield c


ASK = [{"role": "user", "content": "What is the capital of France?"}]


def test_an_answer(client):
    r = client.chat.completions.create(model="any", messages=ASK, temperature=0, max_tokens=40)
    assert r.object == "chat.completion" and r.model == "any" and r.id.startswith("chatcmpl-")
    assert "Paris" in r.choices[0].message.content and r.choices[0].finish_reason == "stop"
    assert r.usage.total_tokens == r.usage.prompt_tokens + r.usage.completion_tokens
    assert r._request_id is None or r._request_id.startswith("req_")


def test_without_a_limit_it_is_the_context(client):
    r = client.chat.completions.create(model="any", messages=ASK, temperature=0)
    assert r.choices[0].finish_reason == "stop"


def test_a_stream(client):
    whole = client.chat.completions.create(model="any", messages=ASK, temperature=0, max_tokens=40)
    chunks = list(client.chat.completions.create(model="any", messages=ASK, temperature=0, max_tokens=40, stream=True,
                                                 stream_options={"include_usage": True}))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant" and chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


def test_seeds_and_stops(client):
    def draw(seed, **more):
        return client.chat.completions.create(model="any", messages=[{"role": "user", "content": "Tell me a story."}],
                                              temperature=1.2, max_tokens=30, seed=seed, **more).choices[0]

    assert draw(7).message.content == draw(7).message.content
    assert draw(7).message.content != draw(8).message.content
    word = draw(7).message.content.split()[3]
    cut = draw(7, stop=[word])
    assert word not in cut.message.content and cut.finish_reason == "stop"


def test_log_probabilities(client):
    r = client.chat.completions.create(model="any", messages=ASK, temperature=0, max_tokens=8, logprobs=True, top_logprobs=3)
    tokens = r.choices[0].logprobs.content
    assert "".join(t.token for t in tokens) == r.choices[0].message.content
    for t in tokens:
        assert t.logprob <= 0 and bytes(t.bytes).decode(errors="replace") == t.token
        assert [x.logprob for x in t.top_logprobs] == sorted((x.logprob for x in t.top_logprobs), reverse=True)
        assert t.top_logprobs[0].token == t.token and t.top_logprobs[0].logprob == t.logprob


def test_tools_are_rendered(client):
    tools = [{"type": "function", "function": {"name": "weather", "description": "Weather of a city",
                                               "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]
    plain = client.chat.completions.create(model="any", messages=ASK, max_tokens=1)
    with_tools = client.chat.completions.create(model="any", max_tokens=1, tools=tools, messages=ASK + [
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "Sunny."}])
    assert with_tools.usage.prompt_tokens > plain.usage.prompt_tokens + 60


def test_text_completions(client):
    r = client.completions.create(model="any", prompt="The capital of France is", temperature=0, max_tokens=3, logprobs=1)
    assert "Paris" in r.choices[0].text and r.choices[0].logprobs.tokens[0] == " Paris"
    chunks = list(client.completions.create(model="any", prompt="The capital of France is", temperature=0, max_tokens=3,
                                            stream=True))
    assert "".join(c.choices[0].text for c in chunks) == r.choices[0].text


def test_models_and_errors(client):
    assert [m.id for m in client.models.list()] and client.models.retrieve("SmolLM2-135M-Instruct.Q4_1").object == "model"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gone")
    with pytest.raises(openai.BadRequestError) as e:
        client.chat.completions.create(model="any", messages=[{"role": "user", "content": "word " * 20000}])
    assert e.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError) as e:
        client.embeddings.create(model="any", input="x")
    assert e.value.param == "model" and "makes no embeddings" in e.value.message
