#include "api/messages_guide.h"

void answer_plan_fini(answer_plan *p) {
  pn_guide_unref(p->guide);
  pn_json_free(p->names);
  pn_json_free(p->tools);
  *p = (answer_plan){0};
}

// Whether the request's definition of a tool asks for strictness.
static bool is_strict(const messages_request *q, pn_str name) {
  const pn_json *tools = pn_json_get(q->json, "tools");
  for (size_t i = 0; i < pn_json_len(tools); i++) {
    const pn_json *t = pn_json_at(tools, i);
    if (pn_str_eq(pn_json_str(pn_json_get(t, "name")), name)) return pn_json_true(pn_json_get(t, "strict"));
  }
  return false;
}

static pn_json *callable(const messages_request *q, const pn_json *tool) {
  const pn_json *f = pn_json_get(tool, "function"), *name = pn_json_get(f, "name"),
                *schema = pn_json_get(f, "parameters");
  pn_json *out = pn_json_new_object(), *function = pn_json_new_object();
  bool ok = pn_json_set(function, "name", pn_json_share(name));
  if (schema) ok = pn_json_set(function, "parameters", pn_json_share(schema)) && ok;
  ok = pn_json_set(function, "strict", pn_json_new_bool(is_strict(q, pn_json_str(name)))) && ok;
  ok = pn_json_set(out, "type", pn_json_new_str(PN_STR("function"))) && ok;
  ok = pn_json_set(out, "function", function) && ok;
  if (ok) return out;
  pn_json_free(out);
  return NULL;
}

static bool add_tool(const messages_request *q, answer_plan *p, const pn_json *tool) {
  const pn_json *f = pn_json_get(tool, "function"), *schema = pn_json_get(f, "parameters");
  return pn_json_push(p->tools, callable(q, tool)) &&
         pn_json_set(p->names, pn_json_cstr(pn_json_get(f, "name")),
                     schema ? pn_json_share(schema) : pn_json_new_bool(true));
}

// What the conversation lets be called, and what the request insists on.
static bool list_tools(const messages_request *q, answer_plan *p) {
  bool ok = (p->tools = pn_json_new_array()) && (p->names = pn_json_new_object());
  for (size_t i = 0; ok && i < pn_json_len(q->tools.callable); i++)
    ok = add_tool(q, p, pn_json_at(q->tools.callable, i));
  pn_str name = pn_json_str(pn_json_get(pn_json_get(q->json, "tool_choice"), "name"));
  if (ok && name.n && !tools_find_callable(&q->tools, name)) ok = add_tool(q, p, tools_find(&q->tools, name));
  return ok;
}

static pn_guide_ask guide_ask(const messages_request *q, const prompt *p, const answer_plan *plan) {
  const pn_json *choice = pn_json_get(q->json, "tool_choice");
  pn_str type = pn_json_str(pn_json_get(choice, "type"));
  bool none = pn_json_len(plan->tools) == 0 || pn_str_is(type, "none");
  bool must = pn_str_is(type, "any") || pn_str_is(type, "tool");
  pn_guide_ask ask = {.tongue = p->tongue,
                      .tools = plan->tools,
                      .calls = none   ? PN_CALLS_NONE
                               : must ? PN_CALLS_MUST
                                      : PN_CALLS_AUTO,
                      .one_call = pn_json_true(pn_json_get(choice, "disable_parallel_tool_use")),
                      .schema = must && !none ? NULL : q->schema,
                      .strict = q->schema_is_strict,
                      .thinks = p->thinks,
                      .think_tokens = p->thinks == PN_THINKS_NOT ? 0 : q->think_tokens};
  if (pn_str_is(type, "tool")) ask.only = pn_json_str(pn_json_get(choice, "name"));
  return ask;
}

bool messages_plan(pn_api *a, const char *request_id, const messages_request *q, const prompt *p,
                   answer_plan *out, pn_error *e) {
  if (!list_tools(q, out)) return pn_fail(e, PN_ERR_NOMEM, "out of memory for the tools");
  pn_guide_ask ask = guide_ask(q, p, out);
  bool has_tools = pn_json_len(out->tools) > 0;
  if (!has_tools && !ask.schema && ask.thinks == PN_THINKS_NOT) return true;
  out->guide = guides_get(a->guides, &ask, request_id, e);
  if (!out->guide) return false;
  size_t n_gaps;
  pn_guide_gaps(out->guide, &n_gaps);
  out->has_gaps = n_gaps > 0;
  out->schema = ask.schema;
  out->reading = (answer_reading){.tongue = p->tongue,
                                  .tools = ask.calls == PN_CALLS_NONE ? NULL : out->names,
                                  .thinks = p->thinks == PN_THINKS_ALREADY};
  return true;
}
