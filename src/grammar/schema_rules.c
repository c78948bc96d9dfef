#include "grammar/schema_rules.h"

#include "grammar/numbers.h"
#include "grammar/schema_valid.h"
#include "grammar/schema_walk.h"

#include <stdlib.h>
#include <string.h>

#define MAX_RULES 4000
#define MAX_RULE_STATES 400000
#define MAX_ALL_CELLS 50000000 // of all rules: 200 MB

static size_t cells_of(const dfa *d) { return d ? (size_t)d->n_states * (size_t)d->n_classes : 0; }

bool compiler_count(schema_compiler *c, int32_t rule, pn_error *e) {
  c->n_cells += cells_of(c->r->p[rule].d);
  if (c->n_cells <= MAX_ALL_CELLS) return true;
  return pn_fail(e, PN_ERR_LIMIT, "the schema is too complex (its automata take over %d MB)",
                 MAX_ALL_CELLS / 1000000 * (int)sizeof(int32_t));
}

static void forget(schema_compiler *c) {
  set_table_fini(&c->known);
  c->n_pending = 0;
}

void schema_compiler_fini(schema_compiler *c) {
  for (size_t i = 0; i < c->n_own; i++) pn_json_free(c->own[i]);
  free(c->own);
  pn_arena_fini(&c->w.arena);
  set_table_fini(&c->known);
  set_table_fini(&c->contents);
  free(c->first_of);
  free(c->rule_of);
  free(c->pending);
  *c = (schema_compiler){0};
}

void schema_compiler_own(schema_compiler *c, pn_json *schema) {
  pn_json **p = realloc(c->own, (c->n_own + 1) * sizeof *p);
  if (!p) {
    pn_json_free(schema);
    c->w.oom = true;
    return;
  }
  c->own = p;
  c->own[c->n_own++] = schema;
}

void schema_compiler_drop(schema_compiler *c, size_t first) {
  forget(c);
  c->n_cells = 0;
  for (size_t i = 0; i < first; i++) c->n_cells += cells_of(c->r->p[i].d);
  for (size_t i = first; i < c->r->n; i++) {
    nfa n = {0};
    int32_t from = nfa_state(&n), to = nfa_state(&n);
    dfa_free(c->r->p[i].d);
    c->r->p[i].d = dfa_of(&n, from, to, 2, NULL);
    nfa_fini(&n);
  }
}

void schema_compiler_restyle(schema_compiler *c) {
  forget(c);
  c->style = &pn_style_json;
  c->quote = (pn_str){0};
}

static int32_t no_memory(pn_error *e) {
  pn_fail(e, PN_ERR_NOMEM, "out of memory for a grammar");
  return -1;
}

int32_t nfa_raw(nfa *n, int32_t from, pn_str raw, const pn_tokenizer *t) {
  size_t at = 0;
  while (at < raw.n) {
    size_t end = at;
    if (raw.p[at] != PN_RAW_BEGIN) {
      while (end < raw.n && raw.p[end] != PN_RAW_BEGIN) end++;
      from = nfa_text(n, from, (pn_str){raw.p + at, end - at});
      at = end;
      continue;
    }
    while (end < raw.n && raw.p[end] != PN_RAW_END) end++;
    int32_t to = nfa_state(n), id = pn_tokenizer_find(t, (pn_str){raw.p + at + 1, end - at - 1});
    if (id >= 0) nfa_add(n, from, RULE_TOKEN + id, RULE_TOKEN + id, to);
    from = to;
    at = end + 1;
  }
  return from;
}

// --- which rules there are ---------------------------------------------------------------------------------

int32_t compiler_find(schema_compiler *c, const void *key, size_t n, bool *is_new) {
  size_t before = c->known.n, i = set_table_find(&c->known, key, n);
  *is_new = c->known.n > before;
  if (c->known.oom) return -1;
  if (!*is_new) return c->rule_of[i];
  if (i >= c->cap_rules) {
    size_t cap = c->cap_rules ? c->cap_rules * 2 : 64;
    int32_t *p = realloc(c->rule_of, cap * sizeof *p);
    if (!p) return -1;
    c->rule_of = p;
    c->cap_rules = cap;
  }
  c->rule_of[i] = rules_add(c->r);
  return c->r->oom ? -1 : c->rule_of[i];
}

static int by_schema(const void *a, const void *b) {
  const schema_term *x = a, *y = b;
  if (x->schema != y->schema) return x->schema < y->schema ? -1 : 1;
  return x->negated - y->negated;
}

// The key of a set of terms: in order, each once, those that say nothing left out.
static void write_key(pn_buf *key, schema_terms *t) {
  if (t->n) qsort(t->p, t->n, sizeof *t->p, by_schema);
  size_t m = 0;
  for (size_t i = 0; i < t->n; i++) {
    const pn_json *s = t->p[i].schema;
    bool nothing = !t->p[i].negated && (pn_json_is(s, PN_JSON_BOOL) ? pn_json_true(s) : pn_json_len(s) == 0);
    if (!nothing && (m == 0 || by_schema(&t->p[i], &t->p[m - 1]) != 0)) t->p[m++] = t->p[i];
  }
  t->n = m;
  pn_buf_char(key, 'T');
  for (size_t i = 0; i < t->n; i++) {
    pn_buf_add(key, &t->p[i].schema, sizeof t->p[i].schema);
    pn_buf_char(key, t->p[i].negated ? '-' : '+');
  }
}

int32_t compiler_rule(schema_compiler *c, const schema_terms *terms, pn_error *e) {
  bool is_new;
  pn_buf key = {0};
  schema_terms own = {0};
  for (size_t i = 0; i < terms->n; i++)
    schema_terms_add(&c->w, &own, schema_first_alike(c, terms->p[i].schema), terms->p[i].negated);
  write_key(&key, &own);
  int32_t rule = key.oom || c->w.oom ? -1 : compiler_find(c, key.p, key.n, &is_new);
  pn_buf_fini(&key);
  if (rule < 0) return no_memory(e);
  if (!is_new) return rule;
  if (c->r->n > MAX_RULES) {
    pn_fail(e, PN_ERR_LIMIT, "the schema is too complex (over %d different parts)", MAX_RULES);
    return -1;
  }
  if (c->n_pending == c->cap_pending) {
    size_t cap = c->cap_pending ? c->cap_pending * 2 : 16;
    struct schema_pending *p = realloc(c->pending, cap * sizeof *p);
    if (!p) return no_memory(e);
    c->pending = p;
    c->cap_pending = cap;
  }
  c->pending[c->n_pending++] = (struct schema_pending){own, rule};
  return rule;
}

// --- values that are listed --------------------------------------------------------------------------------

int32_t compiler_write_literal(schema_compiler *c, nfa *n, int32_t from, const pn_json *v) {
  pn_value_style style = *c->style;
  pn_buf text = {0}, quote = {0};
  if (style.quote) {
    pn_buf_str(&quote, c->quote); // as raw text
    style.quote = pn_buf_cstr(&quote);
  }
  pn_style_write(&text, &style, v);
  n->oom |= text.oom || quote.oom;
  from = nfa_raw(n, from, pn_buf_view(&text), c->tokenizer);
  pn_buf_fini(&text);
  pn_buf_fini(&quote);
  return from;
}

bool compiler_valid(judge *j, const schema_terms *terms, const pn_json *v) {
  for (size_t i = 0; i < terms->n; i++)
    if ((schema_judge(j, terms->p[i].schema, v) == VALID) == terms->p[i].negated) return false;
  return true;
}

static void write_listed(schema_compiler *c, nfa *n, int32_t from, int32_t to, const schema_terms *terms,
                         const pn_json *s) {
  const pn_json *one = pn_json_get(s, "const"), *list = pn_json_get(s, "enum");
  judge j = {.root = c->w.root, .quiet = 1};
  for (size_t i = 0; i < (one ? 1 : pn_json_len(list)); i++) {
    const pn_json *v = one ? one : pn_json_at(list, i);
    if (compiler_valid(&j, terms, v)) nfa_jump(n, compiler_write_literal(c, n, from, v), to);
  }
  judge_fini(&j);
}

// --- constants and numbers ---------------------------------------------------------------------------------

static bool is_banned(const schema_form *f, pn_json_type type, bool value) {
  for (size_t i = 0; i < f->banned.n; i++) {
    const pn_json *one = pn_json_get(f->banned.p[i], "const"), *list = pn_json_get(f->banned.p[i], "enum");
    for (size_t k = 0; k < (one ? 1 : pn_json_len(list)); k++) {
      const pn_json *v = one ? one : pn_json_at(list, k);
      if (pn_json_is(v, type) && (type != PN_JSON_BOOL || pn_json_true(v) == value)) return true;
    }
  }
  return false;
}

static void write_constants(const schema_compiler *c, nfa *n, int32_t from, int32_t to,
                            const schema_form *f) {
  if ((f->types & TYPE_NULL) && !is_banned(f, PN_JSON_NULL, false))
    nfa_jump(n, nfa_text(n, from, pn_str_of(c->style->null)), to);
  if ((f->types & TYPE_BOOL) && !is_banned(f, PN_JSON_BOOL, true))
    nfa_jump(n, nfa_text(n, from, pn_str_of(c->style->yes)), to);
  if ((f->types & TYPE_BOOL) && !is_banned(f, PN_JSON_BOOL, false))
    nfa_jump(n, nfa_text(n, from, pn_str_of(c->style->no)), to);
}

static bool add_bound(const pn_json **list, bool *open, int *n, const pn_json *v, bool is_open) {
  if (*n == NUMBER_MAX_BOUNDS) return false;
  list[*n] = v;
  open[(*n)++] = is_open;
  return true;
}

static bool number_limits_of(const schema_form *f, number_limits *l) {
  bool ok = f->multiple.n <= NUMBER_MAX_BOUNDS;
  *l = (number_limits){.integer = !(f->types & TYPE_REAL)};
  for (size_t i = 0; ok && i < f->lo.n; i++) ok = add_bound(l->lo, l->lo_open, &l->n_lo, f->lo.p[i], false);
  for (size_t i = 0; ok && i < f->lo_open.n; i++)
    ok = add_bound(l->lo, l->lo_open, &l->n_lo, f->lo_open.p[i], true);
  for (size_t i = 0; ok && i < f->hi.n; i++) ok = add_bound(l->hi, l->hi_open, &l->n_hi, f->hi.p[i], false);
  for (size_t i = 0; ok && i < f->hi_open.n; i++)
    ok = add_bound(l->hi, l->hi_open, &l->n_hi, f->hi_open.p[i], true);
  for (size_t i = 0; ok && i < f->multiple.n; i++) l->multiple_of[l->n_multiple++] = f->multiple.p[i];
  return ok;
}

static void key_bounds(pn_buf *key, const pn_json *const *v, const bool *open, int n) {
  pn_buf_char(key, '|');
  for (int i = 0; i < n; i++) {
    pn_json_write(key, v[i]);
    pn_buf_char(key, open && open[i] ? 'o' : 'c');
  }
}

static int32_t number_rule_of(schema_compiler *c, const number_limits *l, pn_error *e) {
  bool is_new;
  pn_buf key = {0};
  pn_buf_z(&key, l->integer ? "I" : "N");
  key_bounds(&key, l->lo, l->lo_open, l->n_lo);
  key_bounds(&key, l->hi, l->hi_open, l->n_hi);
  key_bounds(&key, l->multiple_of, NULL, l->n_multiple);
  int32_t rule = key.oom ? -1 : compiler_find(c, key.p, key.n, &is_new);
  pn_buf_fini(&key);
  if (rule < 0) return no_memory(e);
  // One that could not be made can't be made the next time either.
  if ((is_new || !c->r->p[rule].d) && !number_rule(&c->r->p[rule], l, e)) return -1;
  return rule;
}

// Numbers around those that are banned: below each or above it.
static bool write_around(schema_compiler *c, nfa *n, int32_t from, int32_t to, const schema_form *f,
                         number_limits l, size_t i_schema, size_t i_value, pn_error *e) {
  for (; i_schema < f->banned.n; i_schema++, i_value = 0) {
    const pn_json *one = pn_json_get(f->banned.p[i_schema], "const"),
                  *list = pn_json_get(f->banned.p[i_schema], "enum");
    for (; i_value < (one ? 1 : pn_json_len(list)); i_value++) {
      const pn_json *v = one ? one : pn_json_at(list, i_value);
      if (!pn_json_is_number(v)) continue;
      number_limits above = l;
      if (!add_bound(l.hi, l.hi_open, &l.n_hi, v, true) ||
          !add_bound(above.lo, above.lo_open, &above.n_lo, v, true))
        return schema_cannot(&c->w, f->banned.p[i_schema], "enum", "too many numbers are excluded", e);
      return write_around(c, n, from, to, f, l, i_schema, i_value + 1, e) &&
             write_around(c, n, from, to, f, above, i_schema, i_value + 1, e);
    }
  }
  int32_t rule = number_rule_of(c, &l, e);
  if (rule < 0) return false;
  nfa_call(n, from, rule, to);
  return true;
}

static bool write_numbers(schema_compiler *c, nfa *n, int32_t from, int32_t to, const schema_form *f,
                          pn_error *e) {
  number_limits l;
  const pn_json *any = f->lo.n ? f->lo.p[0] : f->hi.n ? f->hi.p[0] : c->w.root;
  if (!number_limits_of(f, &l)) {
    if (!schema_cannot(&c->w, any, "", "too many bounds hold for one number", e)) return false;
    l = (number_limits){.integer = l.integer};
  }
  if (!(f->types & TYPE_INT) &&
      !schema_cannot(&c->w, c->w.root, "", "a number that is no integer can't be enforced", e))
    return false;
  pn_error now = {0};
  if (write_around(c, n, from, to, f, l, 0, 0, &now)) return true;
  if (now.code != PN_ERR_LIMIT && now.code != PN_ERR_UNSUPPORTED) return e && (*e = now, false);
  if (!schema_cannot(&c->w, f->multiple.n ? f->multiple.p[0] : any, "", now.msg, e)) return false;
  int32_t rule = number_rule_of(c, &(number_limits){.integer = l.integer}, e);
  if (rule >= 0) nfa_call(n, from, rule, to);
  return rule >= 0;
}

// --- all values of a set of terms --------------------------------------------------------------------------

static bool write_strings(schema_compiler *c, nfa *n, int32_t from, int32_t to, const schema_form *f,
                          pn_error *e) {
  string_parts parts;
  int32_t rule = -1;
  if (string_parts_of(c, f, &parts, e)) rule = string_parts_rule(c, &parts, false, e);
  string_parts_fini(&parts);
  if (rule < 0) return false;
  if (c->style->quote) {
    int32_t open = nfa_raw(n, from, c->quote, c->tokenizer), close = nfa_state(n);
    nfa_call(n, open, rule, close);
    nfa_jump(n, nfa_raw(n, close, c->quote, c->tokenizer), to);
  } else {
    nfa_call(n, from, rule, to);
  }
  return true;
}

static bool write_form(schema_compiler *c, nfa *n, int32_t from, int32_t to, const schema_terms *terms,
                       const schema_form *f, schema_place as, pn_error *e) {
  const object_style styles[] = {
      [SCHEMA_VALUE] = {"{", "}", c->style->colon, c->style->comma, c->style->bare_keys, false},
      [SCHEMA_NAMED] = {"", "", "=", c->style->comma, true, false},
      [SCHEMA_PARAMETERS] = {"", "", "", "", true, true},
  };
  bool arguments = as != SCHEMA_VALUE;
  if (f->listed && !arguments) {
    write_listed(c, n, from, to, terms, f->listed);
    return true;
  }
  if (f->listed &&
      !schema_cannot(&c->w, f->listed, "", "arguments that are listed as a whole can't be enforced here", e))
    return false;
  if ((f->types & TYPE_OBJECT) && !compiler_write_object(c, n, from, to, f, &styles[as], e)) return false;
  if (arguments) return true;
  write_constants(c, n, from, to, f);
  if ((f->types & (TYPE_INT | TYPE_REAL)) && !write_numbers(c, n, from, to, f, e)) return false;
  if ((f->types & TYPE_STRING) && !write_strings(c, n, from, to, f, e)) return false;
  return !(f->types & TYPE_ARRAY) || compiler_write_array(c, n, from, to, f, e);
}

static bool write_rule(schema_compiler *c, const schema_terms *terms, int32_t rule, schema_place as,
                       pn_error *e) {
  nfa n = {0};
  int32_t from = nfa_state(&n), to = nfa_state(&n);
  schema_forms forms = {0};
  bool ok = schema_forms_of(&c->w, terms, &forms, e);
  for (size_t i = 0; ok && i < forms.n; i++) ok = write_form(c, &n, from, to, terms, &forms.p[i], as, e);
  dfa *d = ok ? dfa_of(&n, from, to, MAX_RULE_STATES, e) : NULL;
  nfa_fini(&n);
  if (d) c->r->p[rule].d = d;
  return d && compiler_count(c, rule, e);
}

static bool write_pending(schema_compiler *c, pn_error *e) {
  while (c->n_pending) {
    struct schema_pending p = c->pending[--c->n_pending];
    if (!write_rule(c, &p.terms, p.rule, SCHEMA_VALUE, e)) return false;
  }
  return true;
}

int32_t schema_rule(schema_compiler *c, const pn_json *root, schema_place as, pn_error *e) {
  c->w.root = root;
  c->w.steps = 0;
  c->w.n_gaps = 0;
  schema_terms all = {0};
  schema_terms_add(&c->w, &all, root, false);
  int32_t rule;
  if (as != SCHEMA_VALUE) {
    rule = rules_add(c->r);
    if (c->r->oom) return no_memory(e);
    if (!write_rule(c, &all, rule, as, e)) return -1;
  } else {
    rule = compiler_rule(c, &all, e);
  }
  return rule >= 0 && write_pending(c, e) ? rule : -1;
}
