// When a schema does not hold: one of its keywords doesn't. Each that is there makes an alternative.
#include "grammar/regex.h"
#include "grammar/schema_walk.h"

#include <stddef.h>

typedef struct negation {
  schema_walk *x;
  const schema_form *f;
  const todo *list;
  const pn_json *s;
  int depth;
} negation;

static bool other_types(const negation *n) {
  schema_form f = form_copy(n->f);
  f.types &= ~form_types(pn_json_get(n->s, "type"));
  return walk_branch(n->x, &f, n->list);
}

static bool other_values(const negation *n) {
  schema_form f = form_copy(n->f);
  form_list_add(n->x->w, &f.banned, n->s);
  return walk_branch(n->x, &f, n->list);
}

// A number beyond a bound.
static bool beyond(const negation *n, const char *keyword, size_t list) {
  const pn_json *bound = pn_json_get(n->s, keyword);
  if (!pn_json_is_number(bound)) return true;
  schema_form f = form_copy(n->f);
  f.types &= TYPE_INT | TYPE_REAL;
  form_list_add(n->x->w, (json_list *)((char *)&f + list), bound);
  return walk_branch(n->x, &f, n->list);
}

static bool out_of_bounds(const negation *n) {
  return beyond(n, "minimum", offsetof(schema_form, hi_open)) &&
         beyond(n, "exclusiveMinimum", offsetof(schema_form, hi)) &&
         beyond(n, "maximum", offsetof(schema_form, lo_open)) &&
         beyond(n, "exclusiveMaximum", offsetof(schema_form, lo));
}

// Too few, or too many.
static bool miscounted(const negation *n, const char *min, const char *max, unsigned type, size_t low,
                       size_t high) {
  const pn_json *least = pn_json_get(n->s, min), *most = pn_json_get(n->s, max);
  if (pn_json_is_number(least) && form_count(least, true) > 0) {
    schema_form f = form_copy(n->f);
    f.types &= type;
    form_at_most((int64_t *)((char *)&f + high), form_count(least, true) - 1);
    if (!walk_branch(n->x, &f, n->list)) return false;
  }
  if (!pn_json_is_number(most)) return true;
  schema_form f = form_copy(n->f);
  f.types &= type;
  form_at_least((int64_t *)((char *)&f + low), form_count(most, false) + 1);
  return walk_branch(n->x, &f, n->list);
}

static bool other_texts(const negation *n, const char *keyword, size_t list) {
  if (!pn_json_is(pn_json_get(n->s, keyword), PN_JSON_STRING)) return true;
  if (*keyword == 'f' && !format_known(pn_json_str(pn_json_get(n->s, keyword))))
    return true; // every text has it
  schema_form f = form_copy(n->f);
  f.types &= TYPE_STRING;
  form_list_add(n->x->w, (json_list *)((char *)&f + list), n->s);
  return walk_branch(n->x, &f, n->list);
}

// A property that is missing, or whose value is another one.
static bool other_members(const negation *n) {
  const pn_json *required = pn_json_get(n->s, "required"), *props = pn_json_get(n->s, "properties");
  for (size_t i = 0; pn_json_is(required, PN_JSON_ARRAY) && i < pn_json_len(required); i++) {
    schema_form f = form_copy(n->f);
    f.types &= TYPE_OBJECT;
    form_note(n->x->w, &f, pn_json_str(pn_json_at(required, i)), PROP_FORBIDDEN, NULL, false);
    if (!walk_branch(n->x, &f, n->list)) return false;
  }
  for (const pn_json_member *it = pn_json_first(props); it; it = pn_json_next(props, it)) {
    schema_form f = form_copy(n->f);
    f.types &= TYPE_OBJECT;
    form_note(n->x->w, &f, pn_json_key(it), PROP_REQUIRED, NULL, false);
    form_note(n->x->w, &f, pn_json_key(it), PROP_HOLDS, pn_json_value(it), true);
    if (!walk_branch(n->x, &f, n->list)) return false;
  }
  return true;
}

static bool with(const negation *n, const todo *list, const pn_json *s, bool negated) {
  return walk_branch(n->x, n->f, walk_push(n->x, list, TODO_TERM, s, negated, n->depth));
}

static bool other_parts(const negation *n) {
  const pn_json *all = pn_json_get(n->s, "allOf"), *any = pn_json_get(n->s, "anyOf"),
                *no = pn_json_get(n->s, "not"), *when = pn_json_get(n->s, "if"),
                *ref = pn_json_get(n->s, "$ref");
  for (size_t i = 0; pn_json_is(all, PN_JSON_ARRAY) && i < pn_json_len(all); i++)
    if (!with(n, n->list, pn_json_at(all, i), true)) return false;
  if (pn_json_is(any, PN_JSON_ARRAY)) {
    const todo *list = n->list;
    for (size_t i = 0; i < pn_json_len(any); i++)
      list = walk_push(n->x, list, TODO_TERM, pn_json_at(any, i), true, n->depth);
    if (!walk_branch(n->x, n->f, list)) return false;
  }
  if (no && !with(n, n->list, no, false)) return false;
  const pn_json *target =
      pn_json_is(ref, PN_JSON_STRING) ? schema_target(n->x->w->root, pn_json_str(ref)) : NULL;
  if (target && !with(n, n->list, target, true)) return false;
  if (!when) return true;
  const pn_json *then = pn_json_get(n->s, "then"), *otherwise = pn_json_get(n->s, "else");
  if (then && !with(n, walk_push(n->x, n->list, TODO_TERM, then, true, n->depth), when, false)) return false;
  return !otherwise || with(n, walk_push(n->x, n->list, TODO_TERM, otherwise, true, n->depth), when, true);
}

// What can't be turned round. Left out, the alternative holds nothing, so that nothing valid is lost.
static bool refuse(const negation *n, bool *open) {
  static const char *const keys[] = {
      "multipleOf",        "items",         "prefixItems",           "uniqueItems",     "contains",
      "patternProperties", "propertyNames", "additionalProperties",  "oneOf",           "dependentRequired",
      "dependentSchemas",  "dependencies",  "unevaluatedProperties", "unevaluatedItems"};
  *open = false;
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    const pn_json *v = pn_json_get(n->s, keys[i]);
    bool says = v && !(pn_json_is(v, PN_JSON_BOOL) &&
                       pn_json_true(v) != (i == 3)); // true allows all, uniqueItems false too
    if (pn_json_is(v, PN_JSON_OBJECT) && pn_json_len(v) == 0) says = false;
    if (!says) continue;
    if (!schema_cannot(n->x->w, n->s, keys[i], "this keyword can't be negated (in not, oneOf or if)",
                       n->x->e))
      return false;
    *open = true;
  }
  return true;
}

bool walk_negated(schema_walk *x, const schema_form *f, const todo *list, const pn_json *s, int depth) {
  const negation n = {x, f, list, s, depth};
  bool open;
  if (!refuse(&n, &open)) return false;
  if (open) return walk_branch(x, f, list);
  if (form_says_type(s) && !other_types(&n)) return false;
  if ((pn_json_get(s, "const") || pn_json_is(pn_json_get(s, "enum"), PN_JSON_ARRAY)) && !other_values(&n))
    return false;
  return out_of_bounds(&n) &&
         miscounted(&n, "minLength", "maxLength", TYPE_STRING, offsetof(schema_form, min_len),
                    offsetof(schema_form, max_len)) &&
         miscounted(&n, "minItems", "maxItems", TYPE_ARRAY, offsetof(schema_form, min_items),
                    offsetof(schema_form, max_items)) &&
         miscounted(&n, "minProperties", "maxProperties", TYPE_OBJECT, offsetof(schema_form, min_props),
                    offsetof(schema_form, max_props)) &&
         other_texts(&n, "pattern", offsetof(schema_form, not_patterns)) &&
         other_texts(&n, "format", offsetof(schema_form, not_formats)) && other_members(&n) &&
         other_parts(&n);
}
