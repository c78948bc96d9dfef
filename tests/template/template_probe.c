// Render templates for the comparison with Jinja. Standard input has one request a line,
// {"template": "...", "vars": {...}, "consts": {"bos_token": "...", ...}}, and standard output one answer a
// line: {"text": "...", "user": [[begin, end], ...]} or {"error": "...", "code": "..."}.
#include "template/template.h"

#include <stdio.h>
#include <stdlib.h>

static pn_str constant(const pn_json *consts, const char *name) {
  return pn_json_str(pn_json_get(consts, name));
}

static void answer(const char *line, size_t n) {
  pn_error e = {0};
  pn_buf out = {0}, text = {0};
  pn_text_spans user = {0};
  pn_json *request = pn_json_parse((pn_str){line, n}, &e);
  const pn_json *c = pn_json_get(request, "consts"), *limits = pn_json_get(request, "limits");
  const pn_template_consts consts = {.bos_token = constant(c, "bos_token"),
                                     .eos_token = constant(c, "eos_token"),
                                     .unk_token = constant(c, "unk_token"),
                                     .pad_token = constant(c, "pad_token"),
                                     .now_ms = pn_json_int(pn_json_get(c, "now_ms"))};
  const pn_template_limits l = {.max_steps = (uint64_t)pn_json_int(pn_json_get(limits, "max_steps"))};
  pn_template *t = request ? pn_template_open(pn_json_str(pn_json_get(request, "template")), &e) : NULL;
  if (t && pn_template_render(t, pn_json_get(request, "vars"), &consts, &l, &text, &user, &e)) {
    pn_buf_z(&out, "{\"text\": ");
    pn_json_write_str(&out, pn_buf_view(&text));
    pn_buf_z(&out, ", \"user\": [");
    for (size_t i = 0; i < user.n; i++)
      pn_buf_printf(&out, "%s[%zu, %zu]", i ? ", " : "", user.p[i].begin, user.p[i].end);
    pn_buf_z(&out, "]}\n");
  } else {
    pn_buf_z(&out, "{\"error\": ");
    pn_json_write_str(&out, pn_str_of(e.msg));
    pn_buf_printf(&out, ", \"code\": \"%s\"}\n", pn_code_name(e.code));
  }
  fwrite(out.p, 1, out.n, stdout);
  fflush(stdout);
  pn_template_close(t);
  pn_json_free(request);
  pn_buf_fini(&out);
  pn_buf_fini(&text);
  pn_text_spans_fini(&user);
}

int main(void) {
  pn_buf line = {0};
  for (int c; (c = getchar()) != EOF;) {
    if (c != '\n') {
      pn_buf_char(&line, (char)c);
      continue;
    }
    answer(pn_buf_cstr(&line), line.n);
    pn_buf_clear(&line);
  }
  pn_buf_fini(&line);
  return 0;
}
