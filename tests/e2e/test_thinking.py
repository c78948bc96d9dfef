"""Thinking over a real model with random weights: it says nothing sensible, but only as its template and the request let it."""

import json
import pathlib
import subprocess
import sys
import urllib.request

import pytest
from conftest import Server

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>\n{% if m.reasoning_content %}<think>\n{{ m.reasoning_content }}\n</think>\n\n"
    "{% endif %}{{ m.content }}<|end|>\n{% endfor %}{% if add_generation_prompt %}<|assistant|>\n"
    "{% if not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
ENABLED = {"type": "enabled", "budget_tokens": 1024}


@pytest.fixture(scope="module")
def thinker(pensieve, tmp_path_factory):
    folder = tmp_path_factory.mktemp("thinker") / "model"
    subprocess.run([sys.executable, ROOT / "tools/make_model.py", "--family", "llama", "--shape", "tiny", "--bits", "4", folder],
                   check=True, capture_output=True)
    config = folder / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"chat_template": TEMPLATE}))
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    s = Server(pensieve, str(folder), tmp_path_factory.mktemp("thinking") / "log")
    yield s
    assert s.stop() == 0


def ask(server, path="/v1/messages", **more):
    body = {"model": "m", "max_tokens": 1400, "messages": [{"role": "user", "content": "Think."}]} | more
    with urllib.request.urlopen(urllib.request.Request(server.url + path, json.dumps(body).encode()), timeout=300) as r:
        return json.load(r)


def test_thinking_ends_at_its_budget(thinker):
    m = ask(thinker, thinking=ENABLED)
    thought, text = m["content"][:2]
    assert thought["type"] == "thinking" and thought["thinking"] and thought["signature"]
    assert text["type"] == "text" and len(m["content"]) == 2
    assert m["usage"]["output_tokens"] > 1024


def test_stops_do_not_act_within_thinking(thinker):
    first = ask(thinker, thinking=ENABLED)["content"][0]["thinking"]
    stop = next(c for c in first if not c.isspace())
    m = ask(thinker, thinking=ENABLED, stop_sequences=[stop])
    assert m["usage"]["output_tokens"] > 1024 and m["stop_reason"] in ("stop_sequence", "max_tokens", "end_turn")


def test_display_omitted(thinker):
    thought = ask(thinker, thinking=ENABLED | {"display": "omitted"})["content"][0]
    assert thought["type"] == "thinking" and thought["thinking"] == "" and thought["signature"]


@pytest.mark.parametrize("thinking", [None, {"type": "disabled"}])
def test_no_thinking(thinker, thinking):
    m = ask(thinker, max_tokens=40, **({"thinking": thinking} if thinking else {}))
    assert all(b["type"] == "text" for b in m["content"])


def test_adaptive(thinker):
    assert ask(thinker, max_tokens=40, thinking={"type": "adaptive"})["content"]


def test_a_thought_comes_back(thinker):
    """A thought of this model's is shown again; one that was changed is not."""
    m = ask(thinker, thinking=ENABLED)
    thought = m["content"][0]

    def prompt(block):
        messages = [{"role": "user", "content": "Think."}, {"role": "assistant", "content": [block, {"type": "text", "text": "So."}]},
                    {"role": "user", "content": "Go on."}]  # fmt: skip
        return ask(thinker, path="/v1/messages/count_tokens", messages=messages)["input_tokens"]

    shown = prompt(thought)
    hidden = prompt({"type": "redacted_thinking", "data": "x"})
    assert shown > hidden
    assert prompt(thought | {"thinking": thought["thinking"] + "!"}) == hidden
    assert prompt(thought | {"signature": ""}) == hidden


def test_a_call_behind_a_thought(thinker):
    tool = {"name": "look", "input_schema": {"type": "object", "properties": {"at": {"enum": ["a", "b"]}}, "required": ["at"],
                                             "additionalProperties": False}}  # fmt: skip
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"], "additionalProperties": False}
    m = ask(thinker, thinking=ENABLED, output_config={"format": {"type": "json_schema", "schema": schema}}, tools=[tool],
            tool_choice={"type": "none"})
    assert [b["type"] for b in m["content"]] == ["thinking", "text"]
    assert json.loads(m["content"][1]["text"])["ok"] in (True, False)

