#include "grammar/schema_forms.h"

#include "grammar/schema_path.h"
#include "grammar/schema_walk.h"

#include <stddef.h>
#include <string.h>

#define MAX_FORMS 64
#define MAX_DEPTH 100
#define MAX_LISTED 2000 // values of an enum
#define MAX_STEPS 50000 // some schemas are short and have no end of alternatives

// --- lists in the arena ------------------------------------------------------------------------------------

static void *room(schema_work *w, void *p, size_t n, size_t *cap, size_t size) {
  if (n < *cap) return p;
  size_t more = n ? n * 2 : 4;
  void *q = pn_arena_array(&w->arena, more, size);
  if (!q) return w->oom = true, NULL;
  if (n) memcpy(q, p, n * size);
  *cap = more;
  return q;
}

void form_list_add(schema_work *w, json_list *l, const pn_json *v) {
  const pn_json **p = room(w, (void *)(uintptr_t)l->p, l->n, &l->cap, sizeof(*l->p));
  if (!p) return;
  l->p = p;
  l->p[l->n++] = v;
}

void schema_terms_add(schema_work *w, schema_terms *t, const pn_json *schema, bool negated) {
  schema_term *p = room(w, t->p, t->n, &t->cap, sizeof *t->p);
  if (!p) return;
  t->p = p;
  t->p[t->n++] = (schema_term){schema, negated};
}

void form_note(schema_work *w, schema_form *f, pn_str name, prop_kind kind, const pn_json *schema,
               bool negated) {
  prop_note *p = room(w, f->notes, f->n_notes, &f->cap_notes, sizeof *f->notes);
  if (!p) return;
  f->notes = p;
  f->notes[f->n_notes++] = (prop_note){name, kind, {schema, negated}};
}

// Lists are shared up to here: without room, the next one to add something takes a copy.
schema_form form_copy(const schema_form *f) {
  schema_form g = *f;
  json_list *all[] = {&g.banned,      &g.lo,           &g.lo_open,      &g.hi,      &g.hi_open,
                      &g.multiple,    &g.patterns,     &g.not_patterns, &g.formats, &g.not_formats,
                      &g.array_parts, &g.object_parts, &g.names};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) all[i]->cap = 0;
  g.cap_notes = 0;
  return g;
}

// --- what can't be held ------------------------------------------------------------------------------------

static void note_gap(schema_work *w, pn_buf *path, const char *why) {
  schema_gap *p = room(w, w->gaps, w->n_gaps, &w->cap_gaps, sizeof *w->gaps);
  if (!p) return;
  w->gaps = p;
  p[w->n_gaps++] =
      (schema_gap){pn_arena_dup(&w->arena, pn_buf_view(path)), pn_arena_dup(&w->arena, pn_str_of(why))};
}

bool schema_cannot(schema_work *w, const pn_json *schema, const char *keyword, const char *why, pn_error *e) {
  pn_buf path = {0};
  schema_path_write(&path, w->root, schema);
  if (*keyword) {
    if (path.n) pn_buf_char(&path, '.');
    pn_buf_z(&path, keyword);
  }
  if (path.n == 0) pn_buf_z(&path, "the schema");
  if (w->relax)
    note_gap(w, &path, why);
  else
    pn_fail(e, PN_ERR_UNSUPPORTED, "%s: %s", pn_buf_cstr(&path), why);
  pn_buf_fini(&path);
  return w->relax;
}

// --- the walk ----------------------------------------------------------------------------------------------

const todo *walk_push(schema_walk *x, const todo *list, todo_kind kind, const pn_json *schema, bool negated,
                      int depth) {
  todo *t = pn_arena_alloc(&x->w->arena, sizeof *t);
  if (!t) return x->w->oom = true, list;
  *t = (todo){.next = list, .kind = kind, .schema = schema, .negated = negated, .depth = depth};
  return t;
}

void form_at_least(int64_t *min, int64_t v) {
  if (v > *min) *min = v;
}
void form_at_most(int64_t *max, int64_t v) {
  if (*max < 0 || v < *max) *max = v;
}

int64_t form_count(const pn_json *v, bool up) {
  double d = pn_json_num(v);
  if (d < 0 || d > 1e15) return d < 0 ? (up ? 0 : -1) : (int64_t)1e15;
  int64_t n = (int64_t)d;
  return n + (up && (double)n < d);
}

static unsigned type_bits(pn_str name) {
  static const struct {
    const char *name;
    unsigned bits;
  } known[] = {{"null", TYPE_NULL},     {"boolean", TYPE_BOOL},
               {"integer", TYPE_INT},   {"number", TYPE_INT | TYPE_REAL},
               {"string", TYPE_STRING}, {"array", TYPE_ARRAY},
               {"object", TYPE_OBJECT}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (pn_str_is(name, known[i].name)) return known[i].bits;
  return 0;
}

bool form_says_type(const pn_json *schema) {
  const pn_json *type = pn_json_get(schema, "type");
  return pn_json_is(type, PN_JSON_STRING) || pn_json_is(type, PN_JSON_ARRAY);
}

unsigned form_types(const pn_json *type) {
  unsigned bits = type_bits(pn_json_str(type));
  for (size_t i = 0; pn_json_is(type, PN_JSON_ARRAY) && i < pn_json_len(type); i++)
    bits |= type_bits(pn_json_str(pn_json_at(type, i)));
  return bits;
}

// --- keywords that hold at once ----------------------------------------------------------------------------

static bool refuse_unknown(schema_walk *x, const pn_json *s) {
  static const char *const keys[] = {"contains", "unevaluatedProperties", "unevaluatedItems", "$dynamicRef",
                                     "$recursiveRef"};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
    if (pn_json_get(s, keys[i]) && !schema_cannot(x->w, s, keys[i], "this keyword can't be enforced", x->e))
      return false;
  return true;
}

static void hold_numbers(schema_walk *x, schema_form *f, const pn_json *s) {
  const struct {
    const char *keyword;
    json_list *list;
  } keys[] = {{"minimum", &f->lo},
              {"exclusiveMinimum", &f->lo_open},
              {"maximum", &f->hi},
              {"exclusiveMaximum", &f->hi_open},
              {"multipleOf", &f->multiple}};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    const pn_json *v = pn_json_get(s, keys[i].keyword);
    if (pn_json_is_number(v)) form_list_add(x->w, keys[i].list, v);
  }
}

static void hold_counts(schema_form *f, const pn_json *s) {
  const struct {
    const char *min, *max;
    int64_t *low, *high;
    unsigned type;
  } keys[] = {{"minLength", "maxLength", &f->min_len, &f->max_len, TYPE_STRING},
              {"minItems", "maxItems", &f->min_items, &f->max_items, TYPE_ARRAY},
              {"minProperties", "maxProperties", &f->min_props, &f->max_props, TYPE_OBJECT}};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    const pn_json *min = pn_json_get(s, keys[i].min), *max = pn_json_get(s, keys[i].max);
    if (pn_json_is_number(min)) form_at_least(keys[i].low, form_count(min, true));
    if (!pn_json_is_number(max)) continue;
    int64_t most = form_count(max, false);
    if (most < 0)
      f->types &= ~keys[i].type;
    else
      form_at_most(keys[i].high, most);
  }
}

static void hold_members(schema_walk *x, schema_form *f, const pn_json *s) {
  schema_work *w = x->w;
  if (pn_json_get(s, "items") || pn_json_get(s, "prefixItems")) form_list_add(w, &f->array_parts, s);
  if (pn_json_get(s, "properties") || pn_json_get(s, "patternProperties") ||
      pn_json_get(s, "additionalProperties"))
    form_list_add(w, &f->object_parts, s);
  if (pn_json_get(s, "propertyNames")) form_list_add(w, &f->names, pn_json_get(s, "propertyNames"));
  const pn_json *required = pn_json_get(s, "required");
  for (size_t i = 0; pn_json_is(required, PN_JSON_ARRAY) && i < pn_json_len(required); i++)
    if (pn_json_is(pn_json_at(required, i), PN_JSON_STRING))
      form_note(w, f, pn_json_str(pn_json_at(required, i)), PROP_REQUIRED, NULL, false);
  if (pn_json_is(pn_json_get(s, "pattern"), PN_JSON_STRING)) form_list_add(w, &f->patterns, s);
  if (pn_json_is(pn_json_get(s, "format"), PN_JSON_STRING)) form_list_add(w, &f->formats, s);
  f->unique |= pn_json_true(pn_json_get(s, "uniqueItems"));
}

// The values themselves are checked against everything that holds, so one list is enough; a const is the
// shortest.
static bool hold_values(schema_walk *x, schema_form *f, const pn_json *s) {
  const pn_json *one = pn_json_get(s, "const"), *list = pn_json_get(s, "enum");
  bool lists = pn_json_is(list, PN_JSON_ARRAY);
  if (!one && lists && pn_json_len(list) > MAX_LISTED)
    return schema_cannot(x->w, s, "enum", "more than 2000 values can't be held", x->e);
  if (one || (lists && !f->listed)) f->listed = s;
  return true;
}

// What makes alternatives is looked at when everything else of the value is known.
static bool hold(schema_walk *x, schema_form *f, const pn_json *s, int depth, const todo **list) {
  if (!refuse_unknown(x, s)) return false;
  if (form_says_type(s)) f->types &= form_types(pn_json_get(s, "type"));
  if (!hold_values(x, f, s)) return false;
  hold_numbers(x, f, s);
  hold_counts(f, s);
  hold_members(x, f, s);
  const pn_json *all = pn_json_get(s, "allOf"), *any = pn_json_get(s, "anyOf"),
                *one = pn_json_get(s, "oneOf"), *ref = pn_json_get(s, "$ref");
  if (pn_json_is(any, PN_JSON_ARRAY)) *list = walk_push(x, *list, TODO_ANY, any, false, depth);
  if (pn_json_is(one, PN_JSON_ARRAY)) *list = walk_push(x, *list, TODO_ONE, one, false, depth);
  if (pn_json_get(s, "if")) *list = walk_push(x, *list, TODO_IF, s, false, depth);
  if (pn_json_get(s, "dependentRequired") || pn_json_get(s, "dependentSchemas") ||
      pn_json_get(s, "dependencies"))
    *list = walk_push(x, *list, TODO_DEPENDENT, s, false, depth);
  for (size_t i = 0; pn_json_is(all, PN_JSON_ARRAY) && i < pn_json_len(all); i++)
    *list = walk_push(x, *list, TODO_TERM, pn_json_at(all, i), false, depth);
  if (pn_json_get(s, "not")) *list = walk_push(x, *list, TODO_TERM, pn_json_get(s, "not"), true, depth);
  if (!pn_json_is(ref, PN_JSON_STRING)) return true;
  const pn_json *target = schema_target(x->w->root, pn_json_str(ref));
  if (target)
    *list = walk_push(x, *list, TODO_TERM, target, false, depth);
  else
    return schema_cannot(x->w, s, "$ref", "there is no such schema here", x->e);
  return true;
}

// --- alternatives ------------------------------------------------------------------------------------------

static bool split_any(schema_walk *x, const schema_form *f, const todo *t) {
  for (size_t i = 0; i < pn_json_len(t->schema); i++) {
    const todo *list = t->next;
    for (size_t j = 0; t->kind == TODO_ONE && j < pn_json_len(t->schema); j++)
      if (j != i) list = walk_push(x, list, TODO_TERM, pn_json_at(t->schema, j), true, t->depth);
    if (!walk_branch(x, f, walk_push(x, list, TODO_TERM, pn_json_at(t->schema, i), false, t->depth)))
      return false;
  }
  return true;
}

static bool split_if(schema_walk *x, const schema_form *f, const todo *t) {
  const pn_json *when = pn_json_get(t->schema, "if"), *then = pn_json_get(t->schema, "then"),
                *otherwise = pn_json_get(t->schema, "else");
  const todo *yes = t->next, *no = t->next;
  if (!then && !otherwise) return walk_branch(x, f, t->next);
  if (then) yes = walk_push(x, yes, TODO_TERM, then, false, t->depth);
  if (otherwise) no = walk_push(x, no, TODO_TERM, otherwise, false, t->depth);
  return walk_branch(x, f, walk_push(x, yes, TODO_TERM, when, false, t->depth)) &&
         walk_branch(x, f, walk_push(x, no, TODO_TERM, when, true, t->depth));
}

// The index-th property that asks for something, over the three keywords that can say so.
static const pn_json_member *dependent_at(const pn_json *s, size_t index) {
  static const char *const keys[] = {"dependentRequired", "dependentSchemas", "dependencies"};
  for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
    for (const pn_json_member *it = pn_json_first(pn_json_get(s, keys[k])); it;
         it = pn_json_next(pn_json_get(s, keys[k]), it))
      if (index-- == 0) return it;
  return NULL;
}

// Without the property, or with what it asks for.
static bool split_dependent(schema_walk *x, const schema_form *f, const todo *t) {
  const pn_json_member *it = dependent_at(t->schema, t->index);
  if (!it) return walk_branch(x, f, t->next);
  todo *rest = pn_arena_alloc(&x->w->arena, sizeof *rest);
  if (!rest) return x->w->oom = true, false;
  *rest = *t;
  rest->index++;
  const pn_json *wants = pn_json_value(it);
  schema_form without = form_copy(f), with = form_copy(f);
  form_note(x->w, &without, pn_json_key(it), PROP_FORBIDDEN, NULL, false);
  if (!walk_branch(x, &without, rest)) return false;
  if (!pn_json_is(wants, PN_JSON_ARRAY))
    return walk_branch(x, &with, walk_push(x, rest, TODO_TERM, wants, false, t->depth));
  for (size_t i = 0; i < pn_json_len(wants); i++)
    form_note(x->w, &with, pn_json_str(pn_json_at(wants, i)), PROP_REQUIRED, NULL, false);
  return walk_branch(x, &with, rest);
}

static bool add_form(schema_walk *x, const schema_form *f) {
  if (f->types == 0) return true;
  if (x->out->n == MAX_FORMS)
    return pn_fail(x->e, PN_ERR_LIMIT, "the schema has too many alternatives for one value (over %d)",
                   MAX_FORMS);
  schema_form *p = room(x->w, x->out->p, x->out->n, &x->out->cap, sizeof *p);
  if (!p) return false;
  x->out->p = p;
  p[x->out->n++] = *f;
  return true;
}

bool walk_branch(schema_walk *x, const schema_form *form, const todo *list) {
  schema_form f = form_copy(form);
  for (const todo *t; (t = list) && f.types && !x->w->oom;) {
    list = t->next;
    if (++x->w->steps > MAX_STEPS) return pn_fail(x->e, PN_ERR_LIMIT, "the schema is too complex");
    if (t->depth > MAX_DEPTH)
      return schema_cannot(x->w, t->schema, "", "the schema refers to itself without end", x->e) &&
             add_form(x, &f);
    switch (t->kind) {
    case TODO_ANY:
    case TODO_ONE: return split_any(x, &f, t);
    case TODO_IF: return split_if(x, &f, t);
    case TODO_DEPENDENT: return split_dependent(x, &f, t);
    case TODO_TERM: break;
    }
    if (pn_json_is(t->schema, PN_JSON_BOOL)) {
      if (pn_json_true(t->schema) == t->negated) return true;
    } else if (t->negated) {
      return walk_negated(x, &f, list, t->schema, t->depth + 1);
    } else if (pn_json_is(t->schema, PN_JSON_OBJECT) && !hold(x, &f, t->schema, t->depth + 1, &list)) {
      return false;
    }
  }
  return !x->w->oom && add_form(x, &f);
}

bool schema_forms_of(schema_work *w, const schema_terms *terms, schema_forms *out, pn_error *e) {
  schema_walk x = {w, out, e};
  const schema_form all = {.types = TYPE_ALL, .max_len = -1, .max_items = -1, .max_props = -1};
  const todo *list = NULL;
  for (size_t i = terms->n; i-- > 0;)
    list = walk_push(&x, list, TODO_TERM, terms->p[i].schema, terms->p[i].negated, 0);
  if (walk_branch(&x, &all, list) && !w->oom) return true;
  return w->oom ? pn_fail(e, PN_ERR_NOMEM, "out of memory for a schema") : false;
}
