"""Claude Code itself. The model of the tests is far too small to make use of it: what counts is that every request is served."""


def ended_well(r):
    """It has an answer, or the model talked to its limit, which the client calls an error."""
    assert r is None or r.stdout.strip(), r.stderr
    assert r is None or r.returncode == 0 or "output token maximum" in r.stdout, r.stdout


def answered(server, since):
    """The requests since then that were answered."""
    return [l for l in server.log()[since:] if l.get("path", "").startswith("/v1/") and l["message"] == "request"]


def served(server, since):
    """The requests for messages since then: all must have been answered well."""
    lines = answered(server, since)
    assert lines and all(l["status"] == 200 for l in lines), lines
    return [l for l in lines if l["path"] == "/v1/messages"]


def test_bare(talking_claude, server):
    since = len(server.log())
    r = talking_claude("--bare", "-p", "Say hello.", "--model", "some-local-name", patience=60,
               enough=lambda: answered(server, since))
    ended_well(r)
    line = served(server, since)[0]
    assert 500 < line["input_tokens"] < 3000 and line["model"] == "some-local-name" and line["session"]


def test_a_whole_prompt(talking_claude, server):
    since = len(server.log())
    r = talking_claude("-p", "Say hello.", "--model", "some-local-name", patience=100,
               enough=lambda: answered(server, since))
    ended_well(r)
    lines = served(server, since)
    assert lines[0]["input_tokens"] > 8192  # more than the model was made for
    # What the client sends again is not computed again.
    assert all(line["cached_tokens"] >= 9000 for line in lines[1:]), lines
