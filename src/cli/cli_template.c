// pensieve template: the prompt as the model's own template writes it.
#include "base/clock.h"
#include "cli/console.h"
#include "cli/open_model.h"
#include "cli/tools_fallback.h"
#include "cli/verbs.h"

static bool read_variables(pn_json **vars, pn_error *e) {
  pn_buf in = {0};
  bool ok = console_read(NULL, (size_t)64 << 20, &in, e);
  if (ok) {
    *vars = pn_json_parse(pn_buf_view(&in), e);
    ok = *vars || pn_fail_in(e, "stdin");
    if (ok && !pn_json_is(*vars, PN_JSON_OBJECT))
      ok = pn_fail(e, PN_ERR_USAGE, "stdin: expected an object such as {\"messages\":[...]}, found %s",
                   pn_json_type_name(pn_json_type_of(*vars)));
    if (!ok && e && e->code == PN_ERR_CORRUPT) e->code = PN_ERR_USAGE;
  }
  pn_buf_fini(&in);
  return ok;
}

bool cli_template(const options *o, pn_error *e) {
  open_model m = {0};
  pn_json *vars = NULL;
  pn_buf out = {0};
  pn_text_spans user = {0};
  bool ok = open_model_read(&m, o, NULL, OPEN_TOKENIZER | OPEN_TEMPLATE, e);
  if (ok && !m.chat_template) ok = pn_fail(e, PN_ERR_UNSUPPORTED, "%s has no chat template", m.path);
  ok = ok && read_variables(&vars, e);
  if (ok && options_on(o, "tools-fallback")) {
    pn_json *plain = tools_fallback(vars, e);
    pn_json_free(vars);
    vars = plain;
    ok = plain != NULL;
  }
  if (ok) {
    m.consts.now_ms = (int64_t)pn_wall_ms();
    ok = pn_template_render(m.chat_template, vars, &m.consts, &(pn_template_limits){0}, &out, &user, e) &&
         console_write(&out, e);
  }
  pn_text_spans_fini(&user);
  pn_buf_fini(&out);
  pn_json_free(vars);
  open_model_close(&m);
  return ok;
}
