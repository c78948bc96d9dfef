#include "grammar/guide_rules.h"

#include "grammar/schema_kinds.h"
#include "grammar/schema_rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_RULE_STATES 60000

typedef struct guide_work {
  rules *r;
  const pn_guide_ask *ask;
  schema_compiler compiler;
  guide_gaps *gaps;
  int32_t body, sections, section, thinking; // rules; -1: there are none
  pn_error *e;
} guide_work;

void guide_gaps_fini(guide_gaps *g) {
  for (size_t i = 0; i < g->n; i++) {
    free((char *)(uintptr_t)g->p[i].where);
    free((char *)(uintptr_t)g->p[i].what);
  }
  free(g->p);
  *g = (guide_gaps){0};
}

static bool no_memory(guide_work *w) { return pn_fail(w->e, PN_ERR_NOMEM, "out of memory for a grammar"); }

static bool add_gap(guide_work *w, pn_str where, pn_rung rung, const char *what) {
  guide_gaps *g = w->gaps;
  if (g->n == g->cap) {
    size_t cap = g->cap ? g->cap * 2 : 8;
    pn_guide_gap *p = realloc(g->p, cap * sizeof *p);
    if (!p) return no_memory(w);
    g->p = p;
    g->cap = cap;
  }
  pn_guide_gap gap = {pn_str_dup(where), rung, pn_str_dup(pn_str_of(what))};
  g->p[g->n++] = gap;
  return (gap.where && gap.what) || no_memory(w);
}

// --- values ------------------------------------------------------------------------------------------------

// The rule of a schema: as strict as it can be held, one rung after the other.
static int32_t value_rule(guide_work *w, const pn_json *schema, pn_str where, bool strict, schema_place as) {
  static const char object[] = "{\"type\":\"object\"}";
  pn_error now = {0};
  schema_compiler *c = &w->compiler;
  size_t n_rules = w->r->n;
  c->w.relax = false;
  int32_t rule = schema_rule(c, schema, as, &now);
  if (rule >= 0) return rule;
  if (strict || now.code == PN_ERR_NOMEM) {
    if (w->e) *w->e = now;
    return pn_fail_in(w->e, "%.*s", (int)where.n, where.p), -1;
  }
  // What was begun is never called.
  schema_compiler_drop(c, n_rules);
  c->w.relax = true;
  rule = schema_rule(c, schema, as, &now);
  if (rule >= 0) {
    for (size_t i = 0; i < c->w.n_gaps; i++) {
      char what[300];
      snprintf(what, sizeof what, "%s: %s", c->w.gaps[i].path ? c->w.gaps[i].path : "",
               c->w.gaps[i].what ? c->w.gaps[i].what : "");
      if (!add_gap(w, where, PN_RUNG_RELAXED, what)) return -1;
    }
    return rule;
  }
  schema_compiler_drop(c, n_rules);
  if (!add_gap(w, where, PN_RUNG_ANY, now.msg)) return -1;
  pn_json *any =
      as == SCHEMA_PARAMETERS ? schema_kinds_alone(schema) : pn_json_parse(pn_str_of(object), NULL);
  rule = any ? schema_rule(c, any, as, w->e) : (no_memory(w), -1);
  schema_compiler_own(c, any);
  return rule;
}

// --- calls -------------------------------------------------------------------------------------------------

static const pn_json *function_of(const pn_json *tool) { return pn_json_get(tool, "function"); }
static pn_str name_of(const pn_json *tool) { return pn_json_str(pn_json_get(function_of(tool), "name")); }

static bool write_call(guide_work *w, nfa *n, int32_t from, int32_t to, const pn_json *tool) {
  const pn_tongue *t = w->ask->tongue;
  const pn_json *schema = pn_json_get(function_of(tool), "parameters");
  static const char none[] = "{\"type\":\"object\",\"properties\":{},\"additionalProperties\":false}";
  pn_buf where = {0};
  pn_buf_z(&where, "tools.");
  pn_buf_str(&where, name_of(tool));
  if (where.oom) return pn_buf_fini(&where), no_memory(w);
  if (!pn_json_is(schema, PN_JSON_OBJECT)) {
    pn_json *own = pn_json_parse(pn_str_of(none), NULL);
    schema_compiler_own(&w->compiler, own);
    schema = own;
  }
  schema_place as = t->dialect->parameters ? SCHEMA_PARAMETERS
                    : t->dialect->named    ? SCHEMA_NAMED
                                           : SCHEMA_VALUE;
  int32_t arguments = schema ? value_rule(w, schema, pn_buf_view(&where),
                                          pn_json_true(pn_json_get(function_of(tool), "strict")), as)
                             : (no_memory(w), -1);
  pn_buf_fini(&where);
  if (arguments < 0) return false;
  const pn_tokenizer *k = w->compiler.tokenizer;
  int32_t at = nfa_raw(n, nfa_text(n, nfa_raw(n, from, t->head, k), name_of(tool)), t->middle, k),
          behind = nfa_state(n);
  nfa_call(n, at, arguments, behind);
  nfa_jump(n, nfa_raw(n, behind, t->tail, k), to);
  return true;
}

static bool finish_rule(guide_work *w, nfa *n, int32_t rule, int32_t from, int32_t to) {
  dfa *d = dfa_of(n, from, to, MAX_RULE_STATES, w->e);
  nfa_fini(n);
  w->r->p[rule].d = d;
  return d != NULL;
}

// What follows OPEN: BEGIN call {BETWEEN call} END.
static bool write_section(guide_work *w) {
  const pn_guide_ask *a = w->ask;
  const pn_tongue *t = a->tongue;
  const pn_tokenizer *k = w->compiler.tokenizer;
  nfa n = {0};
  int32_t from = nfa_state(&n), to = nfa_state(&n), call = nfa_state(&n), behind = nfa_state(&n);
  nfa_jump(&n, nfa_raw(&n, from, t->begin, k), call);
  bool ok = true;
  for (size_t i = 0; ok && i < pn_json_len(a->tools); i++) {
    const pn_json *tool = pn_json_at(a->tools, i);
    if (a->only.n && !pn_str_eq(name_of(tool), a->only)) continue;
    ok = write_call(w, &n, call, behind, tool);
  }
  if (t->dialect->between && !a->one_call) nfa_jump(&n, nfa_raw(&n, behind, t->between, k), call);
  nfa_jump(&n, nfa_raw(&n, behind, t->end, k), to);
  if (ok) return finish_rule(w, &n, w->section, from, to);
  nfa_fini(&n);
  return false;
}

// A section behind its OPEN, and as many more.
static bool write_sections(guide_work *w) {
  const pn_tongue *t = w->ask->tongue;
  const pn_tokenizer *k = w->compiler.tokenizer;
  nfa n = {0};
  int32_t from = nfa_state(&n), to = nfa_state(&n);
  nfa_call(&n, from, w->section, to);
  if (t->dialect->again && !w->ask->one_call)
    nfa_jump(&n, nfa_raw(&n, nfa_raw(&n, to, t->again, k), t->open, k), from);
  return finish_rule(w, &n, w->sections, from, to);
}

// --- text --------------------------------------------------------------------------------------------------

static bool is_control(pn_str raw) { return raw.n && raw.p[0] == PN_RAW_BEGIN; }

// Of n bytes of the mark and byte b behind them: how many at the end begin the mark.
static size_t longest_end(pn_str mark, size_t n, int b) {
  size_t len = n + 1;
  while (len > 0 && !((uint8_t)mark.p[len - 1] == b && memcmp(mark.p, mark.p + (n + 1 - len), len - 1) == 0))
    len--;
  return len;
}

// Any bytes, in which `mark` does not stand; a state for each number of the mark's bytes that were read last.
// What comes when the mark is complete, the caller adds to states[mark.n].
static void write_until(nfa *n, int32_t *states, pn_str mark) {
  for (size_t i = 0; i <= mark.n; i++) states[i] = nfa_state(n);
  for (size_t i = 0; i < mark.n; i++) {
    for (int b = 0, first = 0; b < 256; b++) {
      size_t len = longest_end(mark, i, b);
      if (b < 255 && longest_end(mark, i, b + 1) == len) continue;
      nfa_add(n, states[i], first, b, states[len]);
      first = b + 1;
    }
  }
}

#define MAX_MARK 64

// Text in which the control token or the spelled mark does not stand; *marked is where it has just been read.
// Returns the state where nothing was read; every state of the text is joined to `end`.
static int32_t write_text(nfa *n, pn_str mark, const pn_tokenizer *k, int32_t end, int32_t *marked) {
  int32_t states[MAX_MARK + 1];
  if (mark.n == 0 || is_control(mark) || mark.n > MAX_MARK) {
    int32_t at = nfa_state(n);
    nfa_add(n, at, 0, 255, at);
    nfa_jump(n, at, end);
    *marked = mark.n ? nfa_raw(n, at, mark, k) : nfa_state(n);
    return at;
  }
  write_until(n, states, mark);
  for (size_t i = 0; i < mark.n; i++) nfa_jump(n, states[i], end);
  *marked = states[mark.n];
  return states[0];
}

// A section at the very beginning, without OPEN: text may begin like one, but not with all of its head.
static int32_t write_bare(guide_work *w, nfa *n, int32_t text, int32_t to) {
  pn_str head = w->ask->tongue->head;
  int32_t first = nfa_state(n), at = first;
  for (size_t i = 0; i < head.n; i++) {
    uint8_t b = (uint8_t)head.p[i];
    int32_t next = nfa_state(n);
    nfa_jump(n, at, to);
    if (b > 0) nfa_add(n, at, 0, b - 1, text);
    if (b < 255) nfa_add(n, at, b + 1, 255, text);
    if (i + 1 < head.n) nfa_add(n, at, b, b, next);
    at = next;
  }
  nfa_call(n, first, w->sections, to);
  return first;
}

// Everything behind the thinking.
static bool write_body(guide_work *w) {
  const pn_guide_ask *a = w->ask;
  const pn_tokenizer *k = w->compiler.tokenizer;
  nfa n = {0};
  int32_t from = nfa_state(&n), to = nfa_state(&n), marked = -1;
  if (a->calls == PN_CALLS_MUST) {
    nfa_call(&n, nfa_raw(&n, from, a->tongue->open, k), w->sections, to);
    if (a->tongue->dialect->bare) nfa_call(&n, from, w->sections, to);
  } else if (a->schema) {
    int32_t rule = value_rule(w, a->schema, PN_STR("schema"), a->strict, SCHEMA_VALUE);
    if (rule < 0) return nfa_fini(&n), false;
    nfa_call(&n, from, rule, to);
    if (a->calls == PN_CALLS_AUTO) nfa_call(&n, nfa_raw(&n, from, a->tongue->open, k), w->sections, to);
  } else {
    pn_str open = a->tongue ? a->tongue->open : (pn_str){0};
    int32_t text = write_text(&n, open, k, to, &marked);
    w->r->p[w->body].is_text = true;
    if (a->calls == PN_CALLS_AUTO && open.n) nfa_call(&n, marked, w->sections, to);
    if (a->calls == PN_CALLS_AUTO && a->tongue->dialect->bare)
      nfa_jump(&n, from, write_bare(w, &n, text, to));
    else
      nfa_jump(&n, from, text);
  }
  return finish_rule(w, &n, w->body, from, to) &&
         (!w->r->p[w->body].is_text || rules_find_plain(&w->r->p[w->body], w->e));
}

// --- thinking ----------------------------------------------------------------------------------------------

// Thought, then its mark; white space that models put behind it.
static void write_behind(guide_work *w, nfa *n, int32_t from, int32_t to) {
  int32_t end = nfa_state(n);
  nfa_jump(n, from, end);
  nfa_jump(n, nfa_text(n, from, PN_STR("\n")), end);
  nfa_jump(n, nfa_text(n, from, PN_STR("\n\n")), end);
  nfa_call(n, end, w->body, to);
}

static bool write_thinking(guide_work *w) {
  nfa n = {0};
  int32_t from = nfa_state(&n), to = nfa_state(&n), nowhere = nfa_state(&n), marked;
  nfa_jump(&n, from, write_text(&n, w->ask->tongue->think_close, w->compiler.tokenizer, nowhere, &marked));
  nfa_jump(&n, marked, to);
  w->r->p[w->thinking].is_thinking = true;
  return finish_rule(w, &n, w->thinking, from, to) && rules_find_plain(&w->r->p[w->thinking], w->e);
}

static bool write_answer(guide_work *w, int32_t rule) {
  const pn_guide_ask *a = w->ask;
  nfa n = {0};
  int32_t from = nfa_state(&n), to = nfa_state(&n);
  if (a->thinks == PN_THINKS_NOT || a->thinks == PN_THINKS_MAYBE) nfa_call(&n, from, w->body, to);
  if (a->thinks != PN_THINKS_NOT) {
    int32_t open = from, behind = nfa_state(&n);
    if (a->thinks != PN_THINKS_ALREADY)
      open = nfa_raw(&n, from, a->tongue->think_open, w->compiler.tokenizer);
    nfa_call(&n, open, w->thinking, behind);
    write_behind(w, &n, behind, to);
  }
  return finish_rule(w, &n, rule, from, to);
}

// What ends thinking that is over its limit.
static bool write_closing(guide_work *w, int32_t rule) {
  nfa n = {0};
  int32_t from = nfa_state(&n), to = nfa_state(&n);
  int32_t at =
      nfa_raw(&n, nfa_text(&n, from, PN_STR("\n")), w->ask->tongue->think_close, w->compiler.tokenizer);
  nfa_call(&n, nfa_text(&n, at, PN_STR("\n\n")), w->body, to);
  return finish_rule(w, &n, rule, from, to);
}

bool guide_rules(rules *r, const pn_guide_ask *ask, int32_t *closing, guide_gaps *gaps, pn_error *e) {
  const pn_tongue *t = ask->tongue;
  guide_work w = {.r = r, .ask = ask, .gaps = gaps, .section = -1, .sections = -1, .thinking = -1, .e = e};
  bool calls = ask->calls != PN_CALLS_NONE, thinks = ask->thinks != PN_THINKS_NOT;
  w.compiler = (schema_compiler){
      .r = r, .style = &pn_style_json, .tokenizer = ask->vocab ? pn_vocab_tokenizer(ask->vocab) : NULL};
  int32_t answer = rules_add(r);
  w.body = rules_add(r);
  if (calls) {
    w.section = rules_add(r);
    w.sections = rules_add(r);
    w.compiler.style = t->dialect->values;
    w.compiler.quote = t->quote;
    w.compiler.tongue = t;
  }
  *closing = -1;
  if (thinks) {
    w.thinking = rules_add(r);
    *closing = rules_add(r);
  }
  bool ok = !r->oom || no_memory(&w);
  ok = ok && (!calls || (write_section(&w) && write_sections(&w)));
  if (!calls || w.compiler.style != &pn_style_json) { // the answer itself is JSON in any dialect
    schema_compiler_restyle(&w.compiler);
  }
  ok = ok && write_body(&w) && (!thinks || (write_thinking(&w) && write_closing(&w, *closing))) &&
       write_answer(&w, answer);
  schema_compiler_fini(&w.compiler);
  if (!ok || rules_finish(r, e)) return ok;
  return e && e->code == PN_ERR_UNSUPPORTED
             ? pn_fail(e, PN_ERR_UNSUPPORTED, "no answer is possible: no value is valid by what is asked for")
             : false;
}
