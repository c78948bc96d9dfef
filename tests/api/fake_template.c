#include "fake_rooms.h"

#include <ctype.h>
#include <stdlib.h>

void pn_text_spans_fini(pn_text_spans *s) {
  free(s->p);
  *s = (pn_text_spans){0};
}

static void add_span(pn_text_spans *s, size_t begin, size_t end) {
  if (begin == end) return;
  s->p = realloc(s->p, (s->n + 1) * sizeof *s->p);
  s->p[s->n++] = (pn_span){begin, end};
}

bool pn_template_render(const pn_template *t, const pn_json *vars, const pn_template_consts *consts,
                        const pn_template_limits *limits, pn_buf *out, pn_text_spans *user, pn_error *e) {
  (void)consts, (void)limits;
  if (t->kind == FAKE_EMPTY) return true;
  const pn_json *messages = pn_json_get(vars, "messages");
  for (size_t i = 0; i < pn_json_len(messages); i++) {
    const pn_json *m = pn_json_at(messages, i);
    bool system = pn_str_is(pn_json_str(pn_json_get(m, "role")), "system");
    if (system && t->kind == FAKE_NO_SYSTEM) return pn_fail(e, PN_ERR_USAGE, "no system role");
    if (system && t->kind == FAKE_SYSTEM_FIRST && i > 0) return pn_fail(e, PN_ERR_USAGE, "system not first");
    pn_buf_printf(out, "[%s]", pn_json_cstr(pn_json_get(m, "role")));
    size_t begin = out->n;
    pn_buf_str(out, pn_json_str(pn_json_get(m, "content")));
    for (size_t k = begin; t->kind == FAKE_SHOUT && k < out->n; k++)
      out->p[k] = (char)toupper((unsigned char)out->p[k]);
    if (t->kind != FAKE_SHOUT) add_span(user, begin, out->n);
    pn_buf_z(out, "[/]\n");
  }
  if (pn_json_true(pn_json_get(vars, "add_generation_prompt"))) pn_buf_z(out, "[assistant]");
  return true;
}
