#include "template/template.h"

#include "base/utf8.h"
#include "template/jbuiltin.h"
#include "template/jeval.h"
#include "template/jparse.h"

#include <stdlib.h>
#include <string.h>

#define MAX_SOURCE_BYTES ((size_t)8 << 20)
#define HARD_MAX_DEPTH 1000 // what the C stack carries

struct pn_template {
  pn_arena arena;
  jnames names;
  jblock body;
};

// \r\n and \r become \n, and one line end at the end goes.
static bool copy_source(pn_arena *a, pn_str s, pn_str *out) {
  char *p = pn_arena_alloc(a, s.n + 1);
  size_t n = 0;
  if (!p) return false;
  for (size_t i = 0; i < s.n; i++) {
    if (s.p[i] == '\r' && i + 1 < s.n && s.p[i + 1] == '\n') continue;
    p[n++] = s.p[i] == '\r' ? '\n' : s.p[i];
  }
  if (n && p[n - 1] == '\n') n--;
  *out = (pn_str){p, n};
  return true;
}

static bool parse_source(pn_template *t, pn_str source, pn_error *e) {
  jtokens tokens = {0};
  pn_str copy;
  if (source.n > MAX_SOURCE_BYTES)
    return pn_fail(e, PN_ERR_LIMIT, "template of %zu bytes: at most %zu are read", source.n,
                   MAX_SOURCE_BYTES);
  size_t bad = pn_utf8_check(source);
  if (bad != source.n) return pn_fail(e, PN_ERR_CORRUPT, "template is not UTF-8 at byte %zu", bad);
  if (!copy_source(&t->arena, source, &copy)) return pn_fail(e, PN_ERR_NOMEM, "out of memory for a template");
  return jlex_run(&t->arena, copy, &tokens, e) && jparse_run(&t->arena, &tokens, &t->names, &t->body, e);
}

pn_template *pn_template_open(pn_str source, pn_error *e) {
  pn_template *t = calloc(1, sizeof *t);
  if (!t) return pn_fail(e, PN_ERR_NOMEM, "out of memory for a template"), NULL;
  if (parse_source(t, source, e)) return t;
  pn_template_close(t);
  return NULL;
}

void pn_template_close(pn_template *t) {
  if (!t) return;
  pn_arena_fini(&t->arena);
  free(t);
}

void pn_text_spans_fini(pn_text_spans *s) {
  free(s->p);
  *s = (pn_text_spans){0};
}

static bool define(jctx *c, const pn_template *t, pn_str name, jvalue v) {
  const jname *n = jparse_find_name(&t->names, name);
  return !n || jscope_set(c, c->scope, n, v); // a name that is never mentioned needs no value
}

// Messages lose the keys whose value is null, and their role is the one string that isn't user text.
static bool import_messages(jctx *c, const pn_json *messages, jvalue *out) {
  jseq *s = jseq_new(c, pn_json_len(messages));
  if (!s) return false;
  for (size_t i = 0; i < pn_json_len(messages); i++) {
    const pn_json *message = pn_json_at(messages, i);
    jvalue v;
    if (!pn_json_is(message, PN_JSON_OBJECT)) {
      if (!jimport(c, message, JTEXT_USER, 0, &v) || !jseq_push(c, s, v)) return false;
      continue;
    }
    jdict *d = jdict_new(c, pn_json_len(message));
    if (!d) return false;
    for (const pn_json_member *m = pn_json_first(message); m; m = pn_json_next(message, m)) {
      if (pn_json_is(pn_json_value(m), PN_JSON_NULL)) continue;
      const bool role = pn_str_is(pn_json_key(m), "role") && pn_json_is(pn_json_value(m), PN_JSON_STRING);
      const jtext *key = jtext_new(c, pn_json_key(m), JTEXT_USER);
      if (!key || !jimport(c, pn_json_value(m), role ? JTEXT_PLAIN : JTEXT_USER, 1, &v)) return false;
      if (!jdict_set(c, d, jstr(key), v)) return false;
    }
    if (!jseq_push(c, s, (jvalue){.kind = J_DICT, .u.dict = d})) return false;
  }
  *out = jseq_value(J_LIST, s);
  return true;
}

static bool define_consts(jctx *c, const pn_template *t, const pn_template_consts *k) {
  if (!k) return true;
  c->now_ms = k->now_ms;
  const struct {
    pn_str name, value;
  } all[] = {{PN_STR("bos_token"), k->bos_token},
             {PN_STR("eos_token"), k->eos_token},
             {PN_STR("unk_token"), k->unk_token},
             {PN_STR("pad_token"), k->pad_token}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    if (!all[i].value.p) continue;
    const jtext *text = jtext_new(c, all[i].value, JTEXT_PLAIN);
    if (!text || !define(c, t, all[i].name, jstr(text))) return false;
  }
  return true;
}

static bool define_all(jctx *c, const pn_template *t, const pn_json *vars, const pn_template_consts *k) {
  if (!define(c, t, PN_STR("tools"), jnone()) || !define(c, t, PN_STR("documents"), jnone())) return false;
  if (!define_consts(c, t, k)) return false;
  for (const pn_json_member *m = pn_json_first(vars); m; m = pn_json_next(vars, m)) {
    const pn_str name = pn_json_key(m);
    const pn_json *value = pn_json_value(m);
    jvalue v;
    const bool messages = pn_str_is(name, "messages") && pn_json_is(value, PN_JSON_ARRAY);
    if (!jparse_find_name(&t->names, name)) continue;
    if (!(messages ? import_messages(c, value, &v) : jimport(c, value, JTEXT_USER, 0, &v))) return false;
    if (!define(c, t, name, v)) return false;
  }
  return true;
}

static bool give_output(jctx *c, pn_buf *out, pn_text_spans *user) {
  const jbuild *b = c->out;
  const size_t before = out->n;
  if (user) {
    pn_span *p = b->n_runs ? realloc(user->p, (user->n + b->n_runs) * sizeof *p) : user->p;
    if (b->n_runs && !p) return pn_fail(c->e, PN_ERR_NOMEM, "out of memory for a rendered template");
    user->p = p;
    for (size_t i = 0; i < b->n_runs; i++)
      user->p[user->n++] = (pn_span){before + b->runs[i].begin, before + b->runs[i].end};
    user->cap = user->n;
  }
  pn_buf_add(out, b->p, b->n);
  return !out->oom || pn_fail(c->e, PN_ERR_NOMEM, "out of memory for a rendered template");
}

bool pn_template_render(const pn_template *t, const pn_json *vars, const pn_template_consts *consts,
                        const pn_template_limits *limits, pn_buf *out, pn_text_spans *user, pn_error *e) {
  const pn_template_limits l = limits ? *limits : (pn_template_limits){0};
  jctx c = {.e = e,
            .max_steps = l.max_steps ? l.max_steps : 5000000,
            .max_output = l.max_output_bytes ? l.max_output_bytes : (size_t)64 << 20,
            .max_depth = l.max_depth > 0 ? l.max_depth : 200};
  if (c.max_depth > HARD_MAX_DEPTH) c.max_depth = HARD_MAX_DEPTH;
  if (c.max_output > SIZE_MAX / 8) c.max_output = SIZE_MAX / 8;
  c.arena.limit_bytes = c.max_output * 4;
  bool ok = (c.scope = jscope_new(&c, NULL)) && (c.out = jbuild_new(&c)) && define_all(&c, t, vars, consts) &&
            jexec_block(&c, &t->body) != JFLOW_FAIL && give_output(&c, out, user);
  pn_arena_fini(&c.arena);
  return ok;
}
