"""Long conversations as real clients send them: the prefix cache never breaks at a turn."""

import random

import anthropic
import pytest


def echo(message, k):
    """An answer as clients send it back: text loses leading white space, and its form flips."""
    text = "".join(b.text for b in message.content).lstrip()
    return {"role": "assistant", "content": text if k % 2 else [{"type": "text", "text": text}]}


def mark_last(messages):
    """Claude Code's mark is always in the last message."""
    out = [dict(m) for m in messages]
    content = out[-1]["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else [dict(b) for b in content]
    blocks[-1]["cache_control"] = {"type": "ephemeral"}
    out[-1]["content"] = blocks
    return out


@pytest.mark.parametrize("temperature", [0, 1])
def test_25_turns(server, temperature):
    client = anthropic.Anthropic(base_url=server.url, api_key="local", max_retries=0, timeout=120)
    words = ["cats", "boats", "rain", "stars", "bread", "music", "snow", "horses"]
    messages, known = [], 0
    for k in range(25):
        messages.append({"role": "user", "content": f"Tell me something odd about {words[k % 8]}, number {k}."})
        if k % 7 == 3:
            messages.append({"role": "system", "content": "Be brief."})
        request = {
            "model": "any", "messages": mark_last(messages),
            "system": [{"type": "text", "text": f"x-anthropic-billing-header: cc_version=2.1.330; cch={random.random()};"},
                       {"type": "text", "text": "You are odd.", "cache_control": {"type": "ephemeral"}}]}
        count = client.messages.count_tokens(**request).input_tokens
        m = client.messages.create(**request, max_tokens=24, extra_body={"temperature": temperature})
        u = m.usage
        whole = u.input_tokens + u.cache_creation_input_tokens + u.cache_read_input_tokens
        assert count == whole
        # All but the new turn was read: the last generated token, which was never an input, may be computed again.
        assert u.cache_read_input_tokens >= known - 1, f"turn {k}: {known - u.cache_read_input_tokens} tokens were lost"
        known = whole + u.output_tokens - (m.stop_reason == "end_turn")
        messages.append(echo(m, k))
