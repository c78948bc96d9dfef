// The objects of a schema. Known properties come in their order, each at most once; then all others.
#include "grammar/grammar.h"
#include "grammar/regex.h"
#include "grammar/schema_keys.h"
#include "grammar/schema_rules.h"
#include "grammar/schema_valid.h"

#include <string.h>

#define MAX_COUNT 200  // properties that are counted
#define MAX_PATTERNS 4 // of patternProperties
#define MAX_NAMES 32   // that are listed although the schema only describes them
#define MAX_NAME_BYTES 128
#define MAX_KEY_SYMBOLS 400000

typedef struct known_prop {
  pn_str name;
  bool required, forbidden;
  schema_terms terms; // of its value
} known_prop;

typedef struct name_pattern {
  pn_str text;
  dfa *d;
} name_pattern;

typedef struct object_work {
  schema_compiler *c;
  const schema_form *f;
  const object_style *style;
  known_prop *props; // in the arena
  size_t n_props, cap_props;
  set_table known; // their names, by the same numbers
  name_pattern patterns[MAX_PATTERNS];
  size_t n_patterns;
  bool open;          // a pattern could not be held: other properties may have any name and value
  bool never;         // no object is valid
  schema_forms names; // of propertyNames
  pn_str found[MAX_NAMES];
  pn_error *e;
} object_work;

// --- known properties --------------------------------------------------------------------------------------

static known_prop *prop_of(object_work *o, pn_str name) {
  size_t i = set_table_find(&o->known, name.p, name.n);
  o->c->w.oom |= o->known.oom;
  if (o->c->w.oom) return NULL;
  if (i < o->n_props) return &o->props[i];
  if (o->n_props == o->cap_props) {
    size_t cap = o->cap_props ? o->cap_props * 2 : 16;
    known_prop *p = pn_arena_array(&o->c->w.arena, cap, sizeof *p);
    if (!p) {
      o->c->w.oom = true;
      return NULL;
    }
    if (o->n_props) memcpy(p, o->props, o->n_props * sizeof *p);
    o->props = p;
    o->cap_props = cap;
  }
  o->props[o->n_props] = (known_prop){.name = name};
  return &o->props[o->n_props++];
}

static void find_props(object_work *o) {
  const schema_form *f = o->f;
  for (size_t i = 0; i < f->object_parts.n; i++) {
    const pn_json *props = pn_json_get(f->object_parts.p[i], "properties");
    for (const pn_json_member *it = pn_json_first(props); it; it = pn_json_next(props, it))
      prop_of(o, pn_json_key(it));
  }
  for (size_t i = 0; i < f->n_notes; i++) {
    known_prop *p = prop_of(o, f->notes[i].name);
    if (!p) return;
    p->required |= f->notes[i].kind == PROP_REQUIRED;
    p->forbidden |= f->notes[i].kind == PROP_FORBIDDEN;
  }
  for (size_t i = 0; i < o->names.n; i++) { // names that are listed
    const pn_json *s = o->names.p[i].listed, *one = pn_json_get(s, "const"), *list = pn_json_get(s, "enum");
    for (size_t k = 0; s && k < (one ? 1 : pn_json_len(list)); k++) {
      const pn_json *v = one ? one : pn_json_at(list, k);
      if (pn_json_is(v, PN_JSON_STRING)) prop_of(o, pn_json_str(v));
    }
  }
}

static const name_pattern *pattern_of(const object_work *o, pn_str text) {
  for (size_t i = 0; i < o->n_patterns; i++)
    if (pn_str_eq(o->patterns[i].text, text)) return &o->patterns[i];
  return NULL;
}

// What one part says of a property's value. `matches` has a bit for each pattern that the name has.
static void part_terms(object_work *o, const pn_json *part, pn_str name, unsigned matches,
                       schema_terms *out) {
  const pn_json *props = pn_json_get(part, "properties"), *patterns = pn_json_get(part, "patternProperties"),
                *others = pn_json_get(part, "additionalProperties");
  // A name with a NUL can't be a member's.
  const pn_json *own = name.p && !memchr(name.p, '\0', name.n) ? pn_json_get(props, name.p) : NULL;
  bool named = own != NULL;
  if (own) schema_terms_add(&o->c->w, out, own, false);
  for (const pn_json_member *it = pn_json_first(patterns); it; it = pn_json_next(patterns, it)) {
    const name_pattern *p = pattern_of(o, pn_json_key(it));
    if (!p || !(matches >> (p - o->patterns) & 1)) continue;
    schema_terms_add(&o->c->w, out, pn_json_value(it), false);
    named = true;
  }
  if (!named && others && !(o->open && pn_json_len(patterns))) schema_terms_add(&o->c->w, out, others, false);
}

static bool name_is_valid(const object_work *o, pn_str name) {
  pn_json *v = pn_json_new_str(name);
  bool ok = v != NULL;
  for (size_t i = 0; ok && i < o->f->names.n; i++) ok = schema_valid(o->c->w.root, o->f->names.p[i], v, NULL);
  pn_json_free(v);
  return ok;
}

static bool is_never(const schema_terms *t) {
  for (size_t i = 0; i < t->n; i++)
    if (pn_json_is(t->p[i].schema, PN_JSON_BOOL) && pn_json_true(t->p[i].schema) == t->p[i].negated)
      return true;
  return false;
}

static void settle_props(object_work *o) {
  for (size_t i = 0; i < o->n_props; i++) {
    known_prop *p = &o->props[i];
    unsigned matches = 0;
    for (size_t k = 0; k < o->n_patterns; k++)
      matches |= (unsigned)dfa_accepts(o->patterns[k].d, p->name) << k;
    for (size_t k = 0; k < o->f->object_parts.n; k++)
      part_terms(o, o->f->object_parts.p[k], p->name, matches, &p->terms);
  }
  for (size_t k = 0; k < o->f->n_notes; k++) {
    const prop_note *note = &o->f->notes[k];
    known_prop *p = note->kind == PROP_HOLDS ? prop_of(o, note->name) : NULL;
    if (p) schema_terms_add(&o->c->w, &p->terms, note->term.schema, note->term.negated);
  }
  for (size_t i = 0; i < o->n_props; i++) {
    known_prop *p = &o->props[i];
    p->forbidden |= is_never(&p->terms) || !name_is_valid(o, p->name);
    o->never |= p->required && p->forbidden;
  }
}

static bool find_patterns(object_work *o) {
  for (size_t i = 0; i < o->f->object_parts.n; i++) {
    const pn_json *part = o->f->object_parts.p[i], *patterns = pn_json_get(part, "patternProperties");
    for (const pn_json_member *it = pn_json_first(patterns); it; it = pn_json_next(patterns, it)) {
      pn_error now = {0};
      if (pattern_of(o, pn_json_key(it))) continue;
      dfa *d = o->n_patterns < MAX_PATTERNS ? regex_compile(pn_json_key(it), &now) : NULL;
      if (d) {
        o->patterns[o->n_patterns++] = (name_pattern){pn_json_key(it), d};
        continue;
      }
      if (now.code == PN_ERR_NOMEM) return o->e && (*o->e = now, false);
      o->open = true;
      if (!schema_cannot(&o->c->w, part, "patternProperties", now.code ? now.msg : "too many patterns", o->e))
        return false;
    }
  }
  return true;
}

// --- other properties --------------------------------------------------------------------------------------

// Names that have exactly these patterns and are none of the known ones, by one form of propertyNames.
static int32_t name_rule(object_work *o, const schema_form *names, unsigned matches, bool *none) {
  string_parts parts;
  pn_error now = {0};
  pn_buf key = {0};
  pn_str *texts = pn_arena_array(&o->c->w.arena, o->n_props + 1, sizeof *texts);
  size_t n = 0;
  int32_t rule = -1;
  *none = false;
  bool ok = string_parts_of(o->c, names, &parts, o->e);
  if (!texts) ok = false, o->c->w.oom = true;
  for (size_t i = 0; ok && i < o->n_props; i++) {
    texts[n++] = o->props[i].name;
    pn_json_write_str(&key, o->props[i].name);
  }
  if (ok && n) {
    dfa *d = texts_dfa(texts, n, o->e);
    ok = d && string_parts_add(&parts, d, false, pn_buf_view(&key));
  }
  if (ok && o->style->bare_keys) { // a key must end where something else begins
    dfa *d = regex_compile(PN_STR("^[A-Za-z_][A-Za-z0-9_]*$"), &now);
    ok = d && string_parts_add(&parts, d, true, PN_STR("identifier"));
  }
  for (size_t i = 0; ok && i < o->n_patterns; i++) {
    dfa *d = regex_compile(o->patterns[i].text, &now);
    ok = d && string_parts_add(&parts, d, matches >> i & 1, o->patterns[i].text);
  }
  if (ok) rule = string_parts_rule(o->c, &parts, o->style->bare_keys, o->e);
  if (rule >= 0) *none = dfa_empty(o->c->r->p[rule].d);
  if (!ok && o->e && o->e->code == PN_OK)
    pn_fail(o->e, PN_ERR_LIMIT, "too many limits hold for the names of properties");
  string_parts_fini(&parts);
  pn_buf_fini(&key);
  return rule;
}

// The names of a rule when there are few: then they are properties like those that are listed, each at most
// once.
static bool list_names(object_work *o, const dfa *d, int32_t state, pn_buf *text, int *n) {
  bool ok = *n <= MAX_NAMES && text->n <= MAX_NAME_BYTES;
  if (ok && d->accepts[state]) {
    pn_json *name =
        o->style->bare_keys ? pn_json_new_str(pn_buf_view(text)) : pn_json_parse(pn_buf_view(text), NULL);
    char *copy = name ? pn_arena_dup(&o->c->w.arena, pn_json_str(name)) : NULL;
    if (copy && (*n)++ < MAX_NAMES) o->found[*n - 1] = (pn_str){copy, pn_json_str(name).n};
    o->c->w.oom |= !copy;
    pn_json_free(name);
  }
  for (int b = 0; ok && b < 256; b++) {
    int32_t next = dfa_step(d, state, (uint8_t)b);
    if (next < 0) continue;
    pn_buf_char(text, (char)b);
    ok = list_names(o, d, next, text, n);
    text->n--;
  }
  return ok && *n <= MAX_NAMES;
}

static bool find_finite_names(object_work *o) {
  static const schema_form any_name = {.types = TYPE_STRING, .max_len = -1, .max_items = -1, .max_props = -1};
  size_t n_names = o->f->names.n ? o->names.n : 1;
  for (unsigned matches = 0; matches < 1u << o->n_patterns; matches++)
    for (size_t i = 0; i < n_names; i++) {
      const schema_form *form = o->f->names.n ? &o->names.p[i] : &any_name;
      bool none;
      int n = 0;
      pn_buf text = {0};
      if (form->listed || !(form->types & TYPE_STRING) || (form == &any_name && !matches)) continue;
      int32_t rule = name_rule(o, form, matches, &none);
      if (rule < 0) return false;
      const grammar_rule *r = &o->c->r->p[rule];
      bool few = !none && !r->counted && list_names(o, r->d, 0, &text, &n);
      pn_buf_fini(&text);
      for (int k = 0; few && k < n; k++) prop_of(o, o->found[k]);
    }
  return true;
}

// What stands in front of a name that is no string, and behind any name.
static int32_t write_key_begin(object_work *o, nfa *n, int32_t from) {
  return o->style->parameters ? nfa_raw(n, from, o->c->tongue->key, o->c->tokenizer) : from;
}

static int32_t write_key_end(object_work *o, nfa *n, int32_t from) {
  return o->style->parameters ? nfa_raw(n, from, o->c->tongue->value, o->c->tokenizer)
                              : nfa_text(n, from, pn_str_of(o->style->colon));
}

// Of a member's value; {NULL, 0}: of those that have no name of their own.
static int32_t value_rule(object_work *o, pn_str name, const schema_terms *terms) {
  if (!o->style->parameters) return compiler_rule(o->c, terms, o->e);
  return compiler_parameter(o->c, terms, pn_schema_kinds(o->c->w.root, name), o->e);
}

// What may stand between the known properties and the end: from `at` back to `next`, behind a comma unless it
// is the first.
static bool write_others(object_work *o, nfa *n, int32_t at, int32_t next) {
  static const schema_form any_name = {.types = TYPE_STRING, .max_len = -1, .max_items = -1, .max_props = -1};
  size_t n_names = o->f->names.n ? o->names.n : 1;
  for (unsigned matches = 0; matches < 1u << o->n_patterns; matches++) {
    schema_terms terms = {0};
    for (size_t k = 0; k < o->f->object_parts.n; k++)
      part_terms(o, o->f->object_parts.p[k], (pn_str){0}, matches, &terms);
    if (is_never(&terms)) continue;
    for (size_t i = 0; i < n_names; i++) {
      const schema_form *form = o->f->names.n ? &o->names.p[i] : &any_name;
      bool none;
      if (form->listed || !(form->types & TYPE_STRING)) continue;
      int32_t name = name_rule(o, form, matches, &none);
      if (name < 0) return false;
      if (none) continue;
      int32_t value = value_rule(o, (pn_str){0}, &terms), colon = nfa_state(n);
      if (value < 0) return false;
      nfa_call(n, write_key_begin(o, n, at), name, colon);
      nfa_call(n, write_key_end(o, n, colon), value, next);
    }
  }
  return true;
}

// --- the whole object --------------------------------------------------------------------------------------

// Whether a key can be told from what stands around it.
static bool can_be_bare(pn_str name) {
  for (size_t i = 0; i < name.n; i++) {
    char c = name.p[i];
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-'))
      return false;
  }
  return name.n > 0;
}

static int32_t write_key(object_work *o, nfa *n, int32_t from, pn_str name) {
  if (o->style->parameters || (o->style->bare_keys && can_be_bare(name))) {
    from = nfa_text(n, write_key_begin(o, n, from), name);
  } else if (o->style->bare_keys) { // as the style writes a text
    pn_json *v = pn_json_new_str(name);
    n->oom |= !v;
    from = compiler_write_literal(o->c, n, from, v);
    pn_json_free(v);
  } else {
    pn_buf text = {0};
    pn_style_write_str(&text, &pn_style_json, name);
    n->oom |= text.oom;
    from = nfa_text(n, from, pn_buf_view(&text));
    pn_buf_fini(&text);
  }
  return write_key_end(o, n, from);
}

// The keys of all members that may come, as symbols.
static bool find_keys(object_work *o, member_keys *keys) {
  pn_arena *a = &o->c->w.arena;
  keys->n = 0;
  keys->p = pn_arena_array(a, o->n_props + 1, sizeof *keys->p);
  keys->last = pn_arena_array(a, o->n_props + 1, sizeof *keys->last);
  if (!keys->p || !keys->last) return o->c->w.oom = true, false;
  for (size_t i = 0; i < o->n_props; i++) {
    const known_prop *p = &o->props[i];
    if (p->forbidden) continue;
    int32_t rule = value_rule(o, p->name, &p->terms);
    if (rule < 0) return false;
    nfa line = {0};
    write_key(o, &line, nfa_state(&line), p->name);
    int32_t *symbols = pn_arena_array(a, line.n_edges + 1, sizeof *symbols);
    o->c->w.oom |= line.oom || !symbols;
    for (size_t k = 0; symbols && k < line.n_edges; k++) symbols[k] = line.edges[k].lo;
    // No control token is missing in it.
    bool whole = line.n_edges + 1 == (size_t)line.n_states &&
                 (!o->style->parameters || compiler_can_name(o->c, p->name));
    if (whole) keys->p[keys->n++] = (member_key){symbols, line.n_edges, rule, p->required};
    o->never |= !whole && p->required;
    nfa_fini(&line);
    if (o->c->w.oom) return false;
  }
  for (size_t i = keys->n, last = keys->n; i-- > 0;) keys->last[i] = last = keys->p[i].required ? i : last;
  return true;
}

// Where an object is when so many of the members are over: at[i] when the next may be member i.
typedef struct row {
  int32_t *at; // [n + 1]
} row;

static bool row_make(object_work *o, nfa *n, size_t n_keys, row *r) {
  r->at = pn_arena_array(&o->c->w.arena, n_keys + 1, sizeof *r->at);
  if (!r->at) return o->c->w.oom = true, false;
  for (size_t i = 0; i <= n_keys; i++) r->at[i] = nfa_state(n);
  return true;
}

// Rows by number of members so far: only whether there are any, unless they are counted. The last row goes
// back to itself. `others` has the states in which no known member comes any more.
static bool write_rows(object_work *o, nfa *n, const member_keys *keys, int32_t open, int last, int64_t max,
                       int32_t *others) {
  row now = {0}, next = {0}, starts = {0};
  size_t first_end = 0; // from here on nothing is required
  for (size_t i = 0; i < keys->n; i++)
    if (keys->p[i].required) first_end = i + 1;
  if (!row_make(o, n, keys->n, &now)) return false;
  nfa_jump(n, open, now.at[0]);
  for (int k = 0; k <= last; k++, now = next) {
    bool more = max < 0 || k < max;
    others[k] = nfa_state(n);
    for (size_t i = first_end; i <= keys->n; i++) nfa_jump(n, now.at[i], others[k]);
    if (k < last) {
      if (!row_make(o, n, keys->n, &next) || !row_make(o, n, keys->n, &starts)) return false;
      if (more && !member_keys_write(keys, n, &o->c->w.arena, starts.at, next.at + 1))
        return o->c->w.oom = true, false;
    }
    for (size_t i = 0; more && i < keys->n; i++) { // the last row has the same ends as the one before it
      nfa_jump(n, k ? nfa_text(n, now.at[i], pn_str_of(o->style->comma)) : now.at[i], starts.at[i]);
      if (k == 0) break;
    }
  }
  return true;
}

// So many symbols of keys in all rows can't become an automaton.
static bool too_many(const object_work *o, const member_keys *keys, int last) {
  size_t n = 0;
  for (size_t i = 0; i < keys->n; i++) n += keys->p[i].n_symbols;
  if (n <= MAX_KEY_SYMBOLS / (size_t)last) return false;
  pn_fail(o->e, PN_ERR_LIMIT, "too complex: the names of properties have over %d characters",
          MAX_KEY_SYMBOLS);
  return true;
}

static bool write_members(object_work *o, nfa *n, int32_t open, int32_t close) {
  int64_t min = o->f->min_props, max = o->f->max_props;
  int32_t others[MAX_COUNT + 2];
  member_keys keys;
  if (min > MAX_COUNT || max > MAX_COUNT) {
    if (!schema_cannot(&o->c->w, o->c->w.root, "", "more than 200 properties can't be counted", o->e))
      return false;
    if (min > MAX_COUNT) min = MAX_COUNT;
    if (max > MAX_COUNT) max = -1;
  }
  int last = (int)(max > min ? max : min);
  if (last < 1) last = 1;
  if (max >= 0 && max < min) return true; // nothing is valid
  if (!find_keys(o, &keys)) return false;
  if (o->never) return true;
  if (too_many(o, &keys, last) || !write_rows(o, n, &keys, open, last, max, others)) return false;
  for (int k = 0; k <= last; k++) {
    if (k >= min && !(max >= 0 && k > max)) nfa_jump(n, others[k], close);
    if (max >= 0 && k >= max) continue;
    int32_t at = k ? nfa_text(n, others[k], pn_str_of(o->style->comma)) : others[k];
    if (!write_others(o, n, at, others[k < last ? k + 1 : last])) return false;
  }
  return true;
}

static bool bans_objects(const schema_form *f) {
  for (size_t i = 0; i < f->banned.n; i++) {
    const pn_json *one = pn_json_get(f->banned.p[i], "const"), *list = pn_json_get(f->banned.p[i], "enum");
    for (size_t k = 0; k < (one ? 1 : pn_json_len(list)); k++)
      if (pn_json_is(one ? one : pn_json_at(list, k), PN_JSON_OBJECT)) return true;
  }
  return false;
}

bool compiler_write_object(schema_compiler *c, nfa *n, int32_t from, int32_t to, const schema_form *f,
                           const object_style *style, pn_error *e) {
  object_work o = {.c = c, .f = f, .style = style, .e = e};
  schema_terms names = {0};
  if (bans_objects(f) && !schema_cannot(&c->w, f->banned.p[0], "", "an object can't be excluded", e))
    return false;
  for (size_t i = 0; i < f->names.n; i++) schema_terms_add(&c->w, &names, f->names.p[i], false);
  bool ok = (f->names.n == 0 || schema_forms_of(&c->w, &names, &o.names, e)) && find_patterns(&o);
  if (ok) {
    find_props(&o);
    ok = find_finite_names(&o);
    settle_props(&o);
    if (ok && !o.never) {
      int32_t close = nfa_state(n);
      nfa_jump(n, nfa_text(n, close, pn_str_of(style->close)), to);
      ok = write_members(&o, n, nfa_text(n, from, pn_str_of(style->open)), close);
    }
  }
  for (size_t i = 0; i < o.n_patterns; i++) dfa_free(o.patterns[i].d);
  set_table_fini(&o.known);
  return ok && !c->w.oom;
}
