// What a chat template can do, found by letting it render a small conversation.
#include "api/messages_prompt.h"

// A tool, a call and its result under names that no template writes by itself. Nine characters in the id: some templates
// refuse others.
static const char conversation[] = "{\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"probe_tool\","
                                   "\"description\":\"d\",\"parameters\":"
                                   "{\"type\":\"object\",\"properties\":{\"x\":{\"type\":\"string\","
                                   "\"description\":\"d\"}},\"required\":[\"x\"]}}}],"
                                   "\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":"
                                   "\"assistant\",\"content\":\"\",\"tool_calls\":["
                                   "{\"id\":\"abcdefghi\",\"type\":\"function\",\"function\":{\"name\":"
                                   "\"probe_call\",\"arguments\":{\"x\":\"probe_x\"}}}]},"
                                   "{\"role\":\"tool\",\"tool_call_id\":\"abcdefghi\",\"name\":\"probe_"
                                   "call\",\"content\":\"probe_result\"}],"
                                   "\"add_generation_prompt\":true}";

bool template_knows_tools(const pn_template *t, const pn_template_consts *consts) {
  static const char *const wanted[] = {"probe_tool", "probe_call", "probe_x", "probe_result"};
  pn_json *vars = pn_json_parse(pn_str_of(conversation), NULL);
  pn_buf text = {0};
  pn_text_spans user = {0};
  bool ok = vars && pn_template_render(t, vars, consts, &(pn_template_limits){0}, &text, &user, NULL);
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
    ok = ok && pn_str_find(pn_buf_view(&text), pn_str_of(wanted[i]), 0) != SIZE_MAX;
  pn_text_spans_fini(&user);
  pn_buf_fini(&text);
  pn_json_free(vars);
  return ok;
}
