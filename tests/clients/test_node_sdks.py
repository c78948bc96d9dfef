"""The official SDKs for Node."""


def whole_prompt(usage):
    return usage["input_tokens"] + usage["cache_creation_input_tokens"] + usage["cache_read_input_tokens"]


def test_anthropics_sdk(run_node, server):
    out = run_node("anthropic_sdk.mjs")
    m = out["message"]
    assert m["type"] == "message" and m["content"][0]["text"] and m["usage"]["output_tokens"] <= 24
    assert out["count"] == whole_prompt(m["usage"])
    s = out["stream"]
    kinds = [e for e in s["events"] if e != "ping"]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert s["text"] == s["final"]["content"][0]["text"] and whole_prompt(s["final"]["usage"]) == out["count"]
    assert out["models"] == [out["model"]["id"]] and out["model"]["max_input_tokens"] == 24576
    bad, missing = out["errors"]["bad"], out["errors"]["missing"]
    assert (bad["name"], bad["status"], bad["type"]) == ("BadRequestError", 400, "invalid_request_error")
    assert bad["message"].startswith("max_tokens: ") and bad["id"].startswith("req_")
    assert (missing["name"], missing["status"], missing["type"]) == ("NotFoundError", 404, "not_found_error")
    assert out["aborted"]["name"] == "APIUserAbortError"
    server.wait_log(lambda line: line["message"] == "generation held")
    state = out["batch"]["state"]
    assert state["processing_status"] == "ended" and state["request_counts"]["succeeded"] == 1
    assert out["batch"]["results"] == {"a": "succeeded", "b": "errored"}


def test_openais_sdk(run_node):
    out = run_node("openai_sdk.mjs")
    c = out["completion"]
    text = c["choices"][0]["message"]["content"]
    tokens = c["choices"][0]["logprobs"]["content"]
    assert text and "".join(t["token"] for t in tokens) == text
    assert all(t["top_logprobs"][0]["token"] == t["token"] and t["logprob"] <= 0 for t in tokens)  # greedy
    assert "".join(k["choices"][0]["delta"].get("content", "") for k in out["chunks"] if k["choices"]) == text
    last = out["chunks"][-1]
    assert last["choices"] == [] and last["usage"]["completion_tokens"] == c["usage"]["completion_tokens"]
    assert out["models"]
    e = out["error"]
    assert (e["name"], e["status"], e["param"], e["type"]) == ("BadRequestError", 400, "model", "invalid_request_error")
    assert "makes no embeddings" in e["message"]
