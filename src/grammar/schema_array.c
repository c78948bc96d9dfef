// The arrays of a schema.
#include "grammar/schema_rules.h"
#include "grammar/schema_valid.h"

#define MAX_ITEMS 1000 // that are counted
#define MAX_UNIQUE 8   // different values of a list in which each may come once

// What holds for the item at i: by all parts, the listed ones first.
static void item_terms(schema_compiler *c, const schema_form *f, size_t i, schema_terms *out) {
  for (size_t k = 0; k < f->array_parts.n; k++) {
    const pn_json *part = f->array_parts.p[k], *prefix = pn_json_get(part, "prefixItems"),
                  *rest = pn_json_get(part, "items");
    if (pn_json_is(rest, PN_JSON_ARRAY)) { // as drafts up to 2019-09 spell it
      prefix = rest;
      rest = pn_json_get(part, "additionalItems");
    }
    if (i < pn_json_len(prefix))
      schema_terms_add(&c->w, out, pn_json_at(prefix, i), false);
    else if (rest)
      schema_terms_add(&c->w, out, rest, false);
  }
}

static size_t longest_prefix(const schema_form *f) {
  size_t most = 0;
  for (size_t k = 0; k < f->array_parts.n; k++) {
    const pn_json *items = pn_json_get(f->array_parts.p[k], "items");
    size_t n = pn_json_len(
        pn_json_is(items, PN_JSON_ARRAY) ? items : pn_json_get(f->array_parts.p[k], "prefixItems"));
    if (n > most) most = n;
  }
  return most;
}

static const pn_json *place_of(const schema_compiler *c, const schema_form *f) {
  return f->array_parts.n ? f->array_parts.p[0] : c->w.root;
}

// The few values that all items may have; false: there are others.
static bool add_item_values(judge *j, const schema_terms *terms, const pn_json *s, json_list *out) {
  const pn_json *one = pn_json_get(s, "const"), *list = pn_json_get(s, "enum");
  for (size_t k = 0; k < (one ? 1 : pn_json_len(list)); k++) {
    const pn_json *v = one ? one : pn_json_at(list, k);
    bool seen = false;
    for (size_t i = 0; i < out->n; i++) seen |= schema_equal(out->p[i], v);
    if (seen || !compiler_valid(j, terms, v)) continue;
    if (out->n == MAX_UNIQUE) return false;
    out->p[out->n++] = v;
  }
  return true;
}

// *too_many: there are others than these few.
static bool item_values(schema_compiler *c, const schema_terms *terms, json_list *out, bool *too_many,
                        pn_error *e) {
  schema_forms forms = {0};
  judge j = {.root = c->w.root, .quiet = 1};
  *too_many = true;
  if (!schema_forms_of(&c->w, terms, &forms, e)) return false;
  bool few = true;
  for (size_t i = 0; few && i < forms.n; i++)
    few = forms.p[i].listed && add_item_values(&j, terms, forms.p[i].listed, out);
  judge_fini(&j);
  *too_many = !few;
  return true;
}

// Every set of values used so far is a state.
static void write_unique(schema_compiler *c, nfa *n, int32_t open, int32_t close, const schema_form *f,
                         const json_list *v) {
  int32_t state[1 << MAX_UNIQUE];
  size_t n_sets = (size_t)1 << v->n;
  state[0] = open;
  for (size_t s = 1; s < n_sets; s++) state[s] = nfa_state(n);
  for (size_t s = 0; s < n_sets; s++) {
    int64_t used = __builtin_popcountll(s);
    if (used >= f->min_items && (f->max_items < 0 || used <= f->max_items)) nfa_jump(n, state[s], close);
    int32_t at = s ? nfa_text(n, state[s], pn_str_of(c->style->comma)) : state[s];
    for (size_t i = 0; i < v->n; i++)
      if (!(s >> i & 1)) nfa_jump(n, compiler_write_literal(c, n, at, v->p[i]), state[s | (size_t)1 << i]);
  }
}

// *done: the list is written here.
static bool try_unique(schema_compiler *c, nfa *n, int32_t open, int32_t close, const schema_form *f,
                       bool *done, pn_error *e) {
  const pn_json *values[MAX_UNIQUE];
  json_list v = {.p = values};
  schema_terms terms = {0};
  bool too_many = true;
  *done = f->max_items >= 0 && f->max_items <= 1;
  if (*done) return *done = false, true; // one item can't come twice
  item_terms(c, f, 0, &terms);
  if (longest_prefix(f) == 0 && !item_values(c, &terms, &v, &too_many, e)) return false;
  if (too_many)
    return schema_cannot(&c->w, place_of(c, f), "uniqueItems",
                         "this can only be enforced for up to 8 enumerated values", e);
  write_unique(c, n, open, close, f, &v);
  *done = true;
  return true;
}

static bool write_items(schema_compiler *c, nfa *n, int32_t open, int32_t close, const schema_form *f,
                        pn_error *e) {
  int64_t prefix = (int64_t)longest_prefix(f), min = f->min_items, max = f->max_items, chain = prefix;
  if (min > MAX_ITEMS || max > MAX_ITEMS) {
    if (!schema_cannot(&c->w, place_of(c, f), "", "more than 1000 items can't be counted", e)) return false;
    if (min > MAX_ITEMS) min = MAX_ITEMS;
    if (max > MAX_ITEMS) max = -1;
  }
  if (min > chain) chain = min;
  if (max > chain) chain = max;
  if (max >= 0 && max < chain) chain = max;
  int32_t at = open;
  for (int64_t i = 0; i <= chain; i++) {
    schema_terms terms = {0};
    if (i >= min) nfa_jump(n, at, close);
    if (max >= 0 && i == max) break;
    item_terms(c, f, (size_t)i, &terms);
    int32_t rule = compiler_rule(c, &terms, e);
    if (rule < 0) return false;
    int32_t item = i ? nfa_text(n, at, pn_str_of(c->style->comma)) : at, next = nfa_state(n);
    nfa_call(n, item, rule, next);
    if (i == chain) { // and any number more
      nfa_jump(n, next, close);
      int32_t again = nfa_text(n, next, pn_str_of(c->style->comma));
      nfa_call(n, again, rule, next);
    }
    at = next;
  }
  return true;
}

static bool bans_arrays(const schema_compiler *c, const schema_form *f) {
  (void)c;
  for (size_t i = 0; i < f->banned.n; i++) {
    const pn_json *one = pn_json_get(f->banned.p[i], "const"), *list = pn_json_get(f->banned.p[i], "enum");
    for (size_t k = 0; k < (one ? 1 : pn_json_len(list)); k++)
      if (pn_json_is(one ? one : pn_json_at(list, k), PN_JSON_ARRAY)) return true;
  }
  return false;
}

bool compiler_write_array(schema_compiler *c, nfa *n, int32_t from, int32_t to, const schema_form *f,
                          pn_error *e) {
  int32_t open = nfa_text(n, from, PN_STR("[")), close = nfa_state(n);
  bool done = false;
  if (bans_arrays(c, f) && !schema_cannot(&c->w, f->banned.p[0], "", "an array can't be excluded", e))
    return false;
  nfa_jump(n, nfa_text(n, close, PN_STR("]")), to);
  if (f->unique && !try_unique(c, n, open, close, f, &done, e)) return false;
  return done || write_items(c, n, open, close, f, e);
}
