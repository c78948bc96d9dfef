"""The document of the API against the server that it describes."""
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request

import jsonschema
import openapi_spec_validator
import pytest

from conftest import Server


@pytest.fixture(scope="module")
def own(pensieve, default_model, tmp_path_factory):
    """A server of its own: thousands of requests are no one else's."""
    s = Server(pensieve, default_model, tmp_path_factory.mktemp("openapi") / "log")
    yield s
    assert s.stop() == 0


def call(server, path, method="GET", body=None, **headers):
    r = urllib.request.Request(server.url + path, method=method, headers=headers,
                               data=None if body is None else json.dumps(body).encode())
    try:
        with urllib.request.urlopen(r, timeout=30) as a:
            return a.status, a.headers, a.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.headers, e.read().decode()


@pytest.fixture(scope="module")
def document(own):
    status, headers, text = call(own, "/openapi.json")
    assert (status, headers["content-type"], headers["cache-control"]) == (200, "application/json", "no-cache")
    return json.loads(text)


def check(document, name, value):
    jsonschema.Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": document["components"]}) \
        .validate(value)


def test_the_document_is_valid(document):
    openapi_spec_validator.validate(document)
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_no_undocumented_answer(own, document, tmp_path):
    """Thousands of requests, well formed and not, from the document alone. Left out are two checks: that everything well
    formed is served (not what the model can't do), and that what was made is there (results only at a batch's end)."""
    here = pathlib.Path(__file__).resolve().parent
    r = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "--no-color", "run", own.url + "/openapi.json",
         "--exclude-checks", "positive_data_acceptance,ensure_resource_availability", "--max-examples", "20",
         "--seed", "1", "--generation-database", "none", "--request-timeout", "30"],
        env={**os.environ, "PYTHONPATH": str(here), "SCHEMATHESIS_HOOKS": "openapi_hooks"}, cwd=tmp_path,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900)
    assert r.returncode == 0, r.stdout[-6000:] + r.stderr[-2000:]
    n = int(re.search(r"(\d+) generated", r.stdout).group(1))
    assert n > 3000, r.stdout[-2000:]
    assert call(own, "/health")[0] == 200
    assert not [line for line in own.log() if line["level"] == "error"]


def test_events_and_lines_are_as_documented(own, document):
    """Which schemathesis sees by chance only."""
    message = {"model": "m", "max_tokens": 3, "messages": [{"role": "user", "content": "Hi"}]}
    status, headers, text = call(own, "/v1/messages", "POST", {**message, "stream": True})
    assert status == 200 and headers["content-type"].startswith("text/event-stream")
    events = [json.loads(line[6:]) for line in text.split("\n") if line.startswith("data: ")]
    assert {e["type"] for e in events} >= {"message_start", "content_block_delta", "message_delta", "message_stop"}
    for event in events:
        check(document, "MessageEvent", event)
    status, _, text = call(own, "/v1/messages/batches", "POST",
                           {"requests": [{"custom_id": "good", "params": message}, {"custom_id": "bad", "params": {}}]})
    batch = json.loads(text)
    end = time.monotonic() + 30
    while batch["processing_status"] != "ended":
        check(document, "MessageBatch", batch)
        assert time.monotonic() < end
        time.sleep(0.05)
        batch = json.loads(call(own, f"/v1/messages/batches/{batch['id']}")[2])
    check(document, "MessageBatch", batch)
    status, headers, text = call(own, batch["results_url"])
    assert (status, headers["content-type"]) == (200, "application/x-jsonl")
    lines = [json.loads(line) for line in text.splitlines()]
    assert {line["custom_id"]: line["result"]["type"] for line in lines} == {"good": "succeeded", "bad": "errored"}
    for line in lines:
        check(document, "BatchResult", line)


def test_other_methods_and_paths(own, document):
    status, headers, text = call(own, "/v1/messages", "PUT", {})
    assert (status, headers["allow"]) == (405, "POST")
    check(document, "Error", json.loads(text))
    status, _, text = call(own, "/v1/nowhere")
    assert status == 404
    check(document, "Error", json.loads(text))
    status, _, text = call(own, "/v1/chat/completions", "DELETE")
    assert status == 405
    check(document, "OpenAIError", json.loads(text))


def test_the_page_needs_no_key_and_nobody_else(pensieve, default_model, tmp_path):
    (tmp_path / "key").write_text("secret\n")
    (tmp_path / "key").chmod(0o600)
    s = Server(pensieve, default_model, tmp_path / "log", "--ctx", "512", "--api-key-file", str(tmp_path / "key"))
    try:
        types = {"/docs": "text/html", "/docs/docs.js": "text/javascript", "/docs/docs.css": "text/css"}
        for path, kind in types.items():
            status, headers, text = call(s, path)
            assert (status, headers["content-type"]) == (200, kind + "; charset=utf-8")
            assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
            assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-cache"
            assert text and "://" not in text
        assert call(s, "/openapi.json")[0] == 200
        for path in ("/", "/v1/models", "/metrics", "/docs/other", "/docs/../metrics", "/openapi.json/x"):
            assert call(s, path)[0] == 401, path
        assert call(s, "/v1/models", **{"x-api-key": "secret"})[0] == 200
    finally:
        assert s.stop() == 0
