// Arguments into parameters.
#include "template/jbuiltin.h"
#include "template/jeval.h"

// The next word of a list separated by spaces.
static pn_str next_word(const char **p) {
  while (**p == ' ') ++*p;
  const char *from = *p;
  while (**p && **p != ' ') ++*p;
  return (pn_str){from, (size_t)(*p - from)};
}

bool jbind(const jcall *call, const char *params, int required, jvalue out[JBIND_MAX]) {
  pn_str words[JBIND_MAX];
  size_t n = 0;
  for (pn_str w = next_word(&params); w.n && n < JBIND_MAX; w = next_word(&params)) words[n++] = w;
  for (size_t i = 0; i < JBIND_MAX; i++) out[i] = (jvalue){.kind = J_MISSING};
  if (call->n_args > n)
    return jfail_type(call->c, "%s takes at most %zu argument(s), %zu given", call->what, n, call->n_args);
  for (size_t i = 0; i < call->n_args; i++) out[i] = call->args[i];
  for (size_t i = 0; i < call->n_named; i++) {
    size_t at = 0;
    while (at < n && !pn_str_eq(words[at], call->names[i])) at++;
    if (at == n)
      return jfail_type(call->c, "%s has no argument '%s'", call->what, jquote(call->c, call->names[i]));
    if (out[at].kind != J_MISSING)
      return jfail_type(call->c, "%s got two values for '%s'", call->what, jquote(call->c, words[at]));
    out[at] = call->named[i];
  }
  for (int i = 0; i < required; i++)
    if (out[i].kind == J_MISSING)
      return jfail_type(call->c, "%s misses the argument '%s'", call->what, jquote(call->c, words[i]));
  return true;
}

bool jbind_int(const jcall *call, jvalue v, int64_t missing, int64_t *out) {
  *out = missing;
  if (v.kind == J_MISSING || v.kind == J_NONE) return true;
  return jvalue_as_int(call->c, v, call->what, out);
}
