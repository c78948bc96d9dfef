// The strings of a schema.
#include "grammar/regex.h"
#include "grammar/schema_rules.h"
#include "grammar/schema_walk.h"

#include <string.h>

void string_parts_fini(string_parts *p) {
  for (int i = 0; i < p->n_owned; i++) dfa_free(p->owned[i]);
  pn_buf_fini(&p->key);
  p->n_owned = 0;
}

bool string_parts_add(string_parts *p, dfa *d, bool in, pn_str name) {
  string_limits *l = &p->limits;
  if ((in ? l->n_in : l->n_out) == STRING_MAX_PARTS) {
    dfa_free(d);
    return false;
  }
  if (in)
    l->in[l->n_in++] = d;
  else
    l->out[l->n_out++] = d;
  p->owned[p->n_owned++] = d;
  pn_buf_printf(&p->key, "%c%zu:", in ? 'i' : 'o', name.n);
  pn_buf_str(&p->key, name);
  return true;
}

static bool add_pattern(schema_compiler *c, const pn_json *s, bool in, string_parts *out, pn_error *e) {
  pn_str pattern = pn_json_str(pn_json_get(s, "pattern"));
  pn_error now = {0};
  int64_t min, max;
  if (in && regex_is_length(pattern, &min, &max)) {
    form_at_least(&out->limits.min, min);
    if (max >= 0) form_at_most(&out->limits.max, max);
    return true;
  }
  dfa *d = regex_compile(pattern, &now);
  if (!d && now.code == PN_ERR_NOMEM) return e && (*e = now, false);
  if (!d) return schema_cannot(&c->w, s, "pattern", now.msg, e);
  return string_parts_add(out, d, in, pattern) ||
         schema_cannot(&c->w, s, "pattern", "too many patterns hold for one string", e);
}

// Formats that nobody knows are notes for people.
static bool add_format(schema_compiler *c, const pn_json *s, bool in, string_parts *out, pn_error *e) {
  pn_str format = pn_json_str(pn_json_get(s, "format"));
  pn_error now = {0};
  dfa *d = format_compile(format, &now);
  if (!d && now.code != PN_OK) return e && (*e = now, false);
  return !d || string_parts_add(out, d, in, format) ||
         schema_cannot(&c->w, s, "format", "too many formats hold for one string", e);
}

static bool add_banned(schema_compiler *c, const schema_form *f, string_parts *out, pn_error *e) {
  pn_str texts[256];
  size_t n = 0;
  pn_buf name = {0};
  for (size_t i = 0; i < f->banned.n; i++) {
    const pn_json *one = pn_json_get(f->banned.p[i], "const"), *list = pn_json_get(f->banned.p[i], "enum");
    for (size_t k = 0; k < (one ? 1 : pn_json_len(list)); k++) {
      const pn_json *v = one ? one : pn_json_at(list, k);
      if (!pn_json_is(v, PN_JSON_STRING)) continue;
      if (n == sizeof texts / sizeof *texts) {
        pn_buf_fini(&name);
        return schema_cannot(&c->w, f->banned.p[i], "enum", "more than 256 texts can't be excluded", e);
      }
      texts[n++] = pn_json_str(v);
      pn_json_write(&name, v);
    }
  }
  bool ok = true;
  if (n) {
    dfa *d = texts_dfa(texts, n, e);
    ok = d && (string_parts_add(out, d, false, pn_buf_view(&name)) ||
               schema_cannot(&c->w, f->banned.p[0], "", "too many limits hold for one string", e));
  }
  pn_buf_fini(&name);
  return ok;
}

bool string_parts_of(schema_compiler *c, const schema_form *f, string_parts *out, pn_error *e) {
  *out = (string_parts){.limits = {.min = f->min_len, .max = f->max_len}};
  bool ok = true;
  for (size_t i = 0; ok && i < f->patterns.n; i++) ok = add_pattern(c, f->patterns.p[i], true, out, e);
  for (size_t i = 0; ok && i < f->not_patterns.n; i++)
    ok = add_pattern(c, f->not_patterns.p[i], false, out, e);
  for (size_t i = 0; ok && i < f->formats.n; i++) ok = add_format(c, f->formats.p[i], true, out, e);
  for (size_t i = 0; ok && i < f->not_formats.n; i++) ok = add_format(c, f->not_formats.p[i], false, out, e);
  return ok && add_banned(c, f, out, e);
}

// `bare`: raw text up to whatever comes behind the rule.
int32_t string_parts_rule(schema_compiler *c, const string_parts *p, bool bare, pn_error *e) {
  bool is_new, raw = bare || c->style->quote;
  pn_buf key = {0};
  pn_buf_printf(&key, "%c%lld,%lld,", raw ? 'R' : 'S', (long long)p->limits.min, (long long)p->limits.max);
  pn_buf_str(&key, pn_buf_view(&p->key));
  int32_t rule = key.oom || p->key.oom ? -1 : compiler_find(c, key.p, key.n, &is_new);
  pn_buf_fini(&key);
  if (rule < 0) {
    pn_fail(e, PN_ERR_NOMEM, "out of memory for a grammar");
    return -1;
  }
  if (!is_new) return rule;
  // A mark that is a control token is no text, and can't be in it.
  bool spelled = c->quote.n && c->quote.p[0] != PN_RAW_BEGIN;
  pn_error now = {0};
  if (raw ? raw_string_rule(&c->r->p[rule], &p->limits, spelled ? c->quote : (pn_str){0}, &now)
          : string_rule(&c->r->p[rule], &p->limits, &now))
    return compiler_count(c, rule, e) ? rule : -1;
  bool may = now.code == PN_ERR_LIMIT && schema_cannot(&c->w, c->w.root, "", now.msg, e);
  if (!may) {
    if (now.code != PN_ERR_LIMIT && e) *e = now;
    return -1;
  }
  string_limits any = {.max = -1};
  if (p->always) any.out[any.n_out++] = p->always;
  bool ok = raw ? raw_string_rule(&c->r->p[rule], &any, spelled ? c->quote : (pn_str){0}, e)
                : string_rule(&c->r->p[rule], &any, e);
  return ok ? rule : -1;
}
