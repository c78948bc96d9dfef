// Schemas that say the same: large documents repeat a few short ones, and refer to others by name. One rule
// does for all of them.
#include "grammar/schema_rules.h"

#include <stdlib.h>

#define MAX_TEXT 400 // bytes of a schema that is compared by its text
#define MAX_HOPS 100 // of references to references

// Notes for people, and places for schemas that only count where they are referred to.
static bool is_note(pn_str key) {
  static const char *const notes[] = {"description", "title",      "default",     "examples",
                                      "$comment",    "deprecated", "readOnly",    "writeOnly",
                                      "example",     "$defs",      "definitions", "$schema"};
  for (size_t i = 0; i < sizeof notes / sizeof *notes; i++)
    if (pn_str_is(key, notes[i])) return true;
  return false;
}

// What a schema refers to when it says nothing else.
static const pn_json *referred(const schema_compiler *c, const pn_json *s) {
  const pn_json *ref = pn_json_get(s, "$ref");
  if (!pn_json_is(ref, PN_JSON_STRING)) return NULL;
  for (const pn_json_member *it = pn_json_first(s); it; it = pn_json_next(s, it))
    if (pn_json_value(it) != ref && !is_note(pn_json_key(it))) return NULL;
  return schema_target(c->w.root, pn_json_str(ref));
}

// The text of a short value; false: it is too long. `top`: without notes.
static bool write_short(pn_buf *out, const pn_json *v, bool top) {
  bool ok = true;
  if (pn_json_is(v, PN_JSON_ARRAY)) {
    pn_buf_char(out, '[');
    for (size_t i = 0; ok && i < pn_json_len(v); i++, pn_buf_char(out, ','))
      ok = write_short(out, pn_json_at(v, i), false);
    pn_buf_char(out, ']');
  } else if (pn_json_is(v, PN_JSON_OBJECT)) {
    pn_buf_char(out, '{');
    for (const pn_json_member *it = pn_json_first(v); ok && it; it = pn_json_next(v, it)) {
      if (top && is_note(pn_json_key(it))) continue;
      ok = pn_json_key(it).n < MAX_TEXT;
      if (!ok) break;
      pn_json_write_str(out, pn_json_key(it));
      pn_buf_char(out, ':');
      ok = write_short(out, pn_json_value(it), false);
      pn_buf_char(out, ',');
    }
    pn_buf_char(out, '}');
  } else if (pn_json_str(v).n < MAX_TEXT) {
    pn_json_write(out, v);
  } else {
    ok = false;
  }
  return ok && out->n < MAX_TEXT && !out->oom;
}

const pn_json *schema_first_alike(schema_compiler *c, const pn_json *s) {
  const pn_json *target;
  for (int i = 0; i < MAX_HOPS && (target = referred(c, s)) != NULL; i++) s = target;
  pn_buf text = {0};
  pn_buf_add(&text, &c->w.root, sizeof c->w.root); // references in it are of this document
  bool ok = pn_json_is(s, PN_JSON_OBJECT) && write_short(&text, s, true);
  size_t n = c->contents.n, i = ok ? set_table_find(&c->contents, text.p, text.n) : 0;
  pn_buf_fini(&text);
  if (!ok || c->contents.oom) return s;
  if (i < n) return c->first_of[i];
  if (i >= c->cap_first) {
    size_t cap = c->cap_first ? c->cap_first * 2 : 64;
    const pn_json **p = realloc(c->first_of, cap * sizeof *p);
    if (!p) return c->w.oom = true, s;
    c->first_of = p;
    c->cap_first = cap;
  }
  return c->first_of[i] = s;
}
