"""What usage says about the prefix cache, through the official SDK: the three figures add up to the whole prompt, and a
conversation that is sent again with one more turn is read from the cache but for that turn."""

import anthropic
import pytest

from conftest import Server, prompt_tokens
from tap import Tap

N_TURNS = 25
PAGE_TOKENS = 32  # the cache keeps whole pages
MARK = {"type": "ephemeral"}


@pytest.fixture(scope="module")
def client(pensieve, default_model, tmp_path_factory):
    s = Server(pensieve, default_model, tmp_path_factory.mktemp("cache") / "log")
    with Tap(s.url) as tap, anthropic.Anthropic(base_url=tap.url, api_key="local", max_retries=0, timeout=120) as c:
        yield c
    assert not tap.wrong_counts and s.stop() == 0


def count(client, messages, **more):
    return client.messages.count_tokens(model="m", messages=messages, **more).input_tokens


def ask(client, messages, stream=False, max_tokens=12, **more):
    args = {"model": "m", "max_tokens": max_tokens, "messages": messages, "extra_body": {"temperature": 0}, **more}
    if not stream:
        return client.messages.create(**args)
    with client.messages.stream(**args) as s:
        for event in s:
            if event.type == "message_start":
                # a snapshot: the SDK goes on writing into the same object
                start = event.message.usage.model_copy(deep=True)
        final = s.get_final_message()
    assert prompt_tokens(start) == prompt_tokens(final.usage)
    return final


def user(text, mark=None):
    return {"role": "user", "content": [{"type": "text", "text": text, **({"cache_control": mark} if mark else {})}]}


def system(name, mark=None):
    """Words that no other test's prompt begins with."""
    text = f"{name}. " + " ".join(f"Rule {i}: {name} answers question {i} briefly." for i in range(30))
    return [{"type": "text", "text": text, **({"cache_control": mark} if mark else {})}]


def creation(usage):
    parts = usage.cache_creation
    assert parts.ephemeral_5m_input_tokens + parts.ephemeral_1h_input_tokens == usage.cache_creation_input_tokens
    return usage.cache_creation_input_tokens


def test_a_replayed_conversation_is_read_from_the_cache(client):
    messages, known = [], 0
    for turn in range(N_TURNS):
        messages.append(user(f"Turn {turn}: tell me one more thing about the number {turn * 7}."))
        m = ask(client, messages, stream=turn % 2 == 1, system=system("Replay"))
        u = m.usage
        assert prompt_tokens(u) == count(client, messages, system=system("Replay"))
        assert creation(u) == 0  # nothing was marked
        if turn:
            # all that was computed before is read, but for the page that it ends in
            assert u.cache_read_input_tokens > known - PAGE_TOKENS, f"turn {turn}"
        assert u.cache_read_input_tokens < prompt_tokens(u)  # the last token is always computed
        known = prompt_tokens(u)
        messages.append({"role": "assistant", "content": m.content[0].text if m.content else "I do not know."})


def test_the_figures_add_up_with_and_without_marks(client):
    hour = {"type": "ephemeral", "ttl": "1h"}
    for i, (mark_system, mark_user, top) in enumerate([(None, None, None), (MARK, None, None), (None, MARK, None),
                                                       (MARK, hour, None), (hour, None, None), (None, None, MARK)]):
        blocks = system(f"Figures {i}", mark_system)
        first = user("What is the first rule?")
        messages = [first, {"role": "assistant", "content": "To be brief."}, user("And the second?", mark_user)]
        for again in range(2):
            u = ask(client, messages, max_tokens=1, system=blocks,
                    extra_body={"temperature": 0, **({"cache_control": top} if top else {})}).usage
            n = count(client, messages, system=blocks)
            assert prompt_tokens(u) == n
            if mark_user or top:
                assert u.input_tokens == 0 and creation(u) == n - u.cache_read_input_tokens
            elif mark_system:
                n_system = n - count(client, messages)
                assert abs(creation(u) + u.cache_read_input_tokens - n_system) < 40 or again
                assert creation(u) == 0 or not again
            else:
                assert creation(u) == 0
            in_hour = u.cache_creation.ephemeral_1h_input_tokens
            assert in_hour == (creation(u) if hour in (mark_user, mark_system if not mark_user else None) else 0)


def test_an_edited_conversation_is_read_up_to_the_edit(client):
    blocks = system("Edit")
    a = [user("Alpha " * 40), {"role": "assistant", "content": "One."}, user("Beta " * 40)]
    ask(client, a, max_tokens=1, system=blocks)
    b = a[:2] + [user("Gamma " * 40)]
    u = ask(client, b, max_tokens=1, system=blocks).usage
    kept = count(client, a[:1], system=blocks)
    assert kept - PAGE_TOKENS < u.cache_read_input_tokens < prompt_tokens(u) - 30
