"""What schemathesis changes in its requests, loaded by SCHEMATHESIS_HOOKS: answers of one token, so that thousands of
requests take seconds. What is malformed stays so."""
import schemathesis

LENGTHS = ("max_tokens", "max_completion_tokens")


def shorten(body):
    for name in LENGTHS:
        if type(body.get(name)) is int and body[name] > 1:
            body[name] = 1


@schemathesis.hook
def before_call(context, case, kwargs):
    body = case.body
    if not isinstance(body, dict):
        return
    shorten(body)
    if case.operation.path == "/v1/chat/completions" and all(body.get(name) is None for name in LENGTHS):
        body["max_completion_tokens"] = 1
    for request in body["requests"] if isinstance(body.get("requests"), list) else []:
        if isinstance(request, dict) and isinstance(request.get("params"), dict):
            shorten(request["params"])
