"""What schemathesis changes in its requests, loaded by SCHEMATHESIS_HOOKS: answers of one token, so that thousands of
requests take seconds. What is malformed stays so."""
import schemathesis

LENGTHS = ("max_tokens", "max_completion_tokens")


def shorten(body):
    for name in LENGTHS:
        value = body.get(name)
        if (type(value) is int or type(value) is float and value.is_integer()) and value > 1:  # 5.0 is an integer too
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
