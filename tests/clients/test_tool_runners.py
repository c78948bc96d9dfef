"""The SDKs' tool runners over the agent model: two steps, with functions that are really called."""

import json
import subprocess
import shutil

import anthropic
import openai
from anthropic import beta_tool
from agent_model import ROOT

ASK = [{"role": "user", "content": "use add and mul"}]
CALLED = [["add", 2, 3], ["mul", 5, 4]]
SAID = "The answer is 20."


def test_anthropics_tool_runner(agent):
    called = []

    @beta_tool
    def add(a: int, b: int) -> str:
        """Add two numbers."""
        called.append(["add", a, b])
        return str(a + b)

    @beta_tool
    def mul(a: int, b: int) -> str:
        """Multiply two numbers."""
        called.append(["mul", a, b])
        return str(a * b)

    client = anthropic.Anthropic(base_url=agent.url, api_key="local", max_retries=0)
    last = client.beta.messages.tool_runner(model="any", max_tokens=200, tools=[add, mul], messages=ASK).until_done()
    assert called == CALLED and last.content[0].text == SAID and last.stop_reason == "end_turn"


def test_anthropics_tool_runner_for_node(node, agent):
    target = node / "tool_runner.mjs"
    shutil.copy(ROOT / "tests/clients/tool_runner.mjs", target)
    r = subprocess.run(["node", target, agent.url], capture_output=True, text=True, timeout=240)
    assert r.returncode == 0, r.stderr
    assert json.loads(r.stdout) == {"called": CALLED, "said": SAID, "stop": "end_turn"}


def test_a_loop_with_openais_sdk(agent):
    numbers = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "required": ["a", "b"]}
    tools = [{"type": "function", "function": {"name": n, "parameters": numbers}} for n in ("add", "mul")]
    functions = {"add": lambda a, b: a + b, "mul": lambda a, b: a * b}
    client = openai.OpenAI(base_url=agent.url + "/v1", api_key="local", max_retries=0)
    messages, called = list(ASK), []
    for _ in range(4):
        choice = client.chat.completions.create(model="any", max_tokens=200, messages=messages, tools=tools).choices[0]
        messages.append(choice.message.model_dump(exclude_none=True))
        if choice.finish_reason != "tool_calls":
            break
        for call in choice.message.tool_calls:
            arguments = json.loads(call.function.arguments)
            called.append([call.function.name, arguments["a"], arguments["b"]])
            messages.append({"role": "tool", "tool_call_id": call.id, "content": str(functions[call.function.name](**arguments))})
    assert called == CALLED and choice.message.content == SAID
