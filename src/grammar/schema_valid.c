#include "grammar/schema_valid.h"

#include "base/utf8.h"
#include "grammar/schema_equal.h"
#include "grammar/schema_judge.h"

#include <stdlib.h>
#include <string.h>

// Schemas within schemas, along the instance or not. Bounds the stack.
#define MAX_DEPTH 500

// What a rule looks at.
typedef struct job {
  const pn_json *schema, *value;
  const place *at;
} job;

static verdict check(judge *j, const pn_json *schema, const pn_json *value, const place *at);

static const pn_json *keyword(const job *b, const char *key, pn_json_type t) {
  const pn_json *v = pn_json_get(b->schema, key);
  return pn_json_is(v, t) ? v : NULL;
}

static const pn_json *number(const job *b, const char *key) {
  const pn_json *v = pn_json_get(b->schema, key);
  return pn_json_is_number(v) ? v : NULL;
}

// -- Any value

static verdict check_ref(judge *j, const job *b) {
  const pn_json *ref = keyword(b, "$ref", PN_JSON_STRING);
  if (!ref) return VALID;
  const pn_json *target = judge_resolve(j, b->at, pn_json_str(ref));
  return target ? check(j, target, b->value, b->at) : BROKEN;
}

typedef struct type_name {
  const char *name, *words;
} type_name;
static const type_name type_names[] = {
    {"null", "null"},       {"boolean", "a boolean"}, {"integer", "an integer"}, {"number", "a number"},
    {"string", "a string"}, {"array", "an array"},    {"object", "an object"},
};

static const type_name *find_type(const pn_json *name) {
  for (size_t i = 0; i < sizeof type_names / sizeof *type_names; i++)
    if (pn_str_is(pn_json_str(name), type_names[i].name)) return &type_names[i];
  return NULL;
}

static bool is_of_type(const pn_json *v, pn_str name) {
  switch (pn_json_type_of(v)) {
  case PN_JSON_NULL: return pn_str_is(name, "null");
  case PN_JSON_BOOL: return pn_str_is(name, "boolean");
  case PN_JSON_INT:
  case PN_JSON_REAL: return pn_str_is(name, "number") || (pn_str_is(name, "integer") && schema_is_integer(v));
  case PN_JSON_STRING: return pn_str_is(name, "string");
  case PN_JSON_ARRAY: return pn_str_is(name, "array");
  case PN_JSON_OBJECT: return pn_str_is(name, "object");
  default: return false;
  }
}

static verdict check_type(judge *j, const job *b) {
  const pn_json *type = pn_json_get(b->schema, "type");
  bool many = pn_json_is(type, PN_JSON_ARRAY);
  if (!many && !pn_json_is(type, PN_JSON_STRING)) return VALID;
  size_t n = many ? pn_json_len(type) : 1;
  if (judge_spend(j, b->at, n)) return BROKEN;
  for (size_t i = 0; i < n; i++) {
    const pn_json *name = many ? pn_json_at(type, i) : type;
    if (!find_type(name))
      return judge_broken(j, b->at, PN_ERR_UNSUPPORTED, "the schema's type %s is not known", show(name).s);
    if (is_of_type(b->value, pn_json_str(name))) return VALID;
  }
  if (j->quiet) return INVALID;
  pn_buf words = {0};
  for (size_t i = 0; i < n; i++)
    pn_buf_printf(&words, "%s%s", i ? " or " : "", find_type(many ? pn_json_at(type, i) : type)->words);
  judge_invalid(j, b->at, "expected %s, found %s", pn_buf_cstr(&words), show(b->value).s);
  pn_buf_fini(&words);
  return INVALID;
}

static verdict check_const(judge *j, const job *b) {
  const pn_json *wanted = pn_json_get(b->schema, "const");
  if (!wanted) return VALID;
  size_t n_steps = 0;
  bool same = schema_same(b->value, wanted, &n_steps);
  if (judge_spend(j, b->at, n_steps)) return BROKEN;
  return same ? VALID : judge_invalid(j, b->at, "expected %s, found %s", show(wanted).s, show(b->value).s);
}

static verdict check_enum(judge *j, const job *b) {
  const pn_json *list = keyword(b, "enum", PN_JSON_ARRAY);
  if (!list) return VALID;
  size_t n_steps = 0;
  bool found = judge_lists(j, list, b->value, &n_steps);
  if (judge_spend(j, b->at, n_steps)) return BROKEN;
  if (found || j->quiet) return found ? VALID : INVALID;
  pn_buf words = {0};
  show_list(&words, list);
  judge_invalid(j, b->at, "expected %s, found %s", pn_buf_cstr(&words), show(b->value).s);
  pn_buf_fini(&words);
  return INVALID;
}

// -- Numbers and strings

static verdict check_number(judge *j, const job *b) {
  static const struct {
    const char *key, *words;
    int wrong;    // how a wrong value compares to the bound
    bool is_open; // the bound itself is wrong too
  } bounds[] = {{"minimum", "at least", -1, false},
                {"maximum", "at most", 1, false},
                {"exclusiveMinimum", "more than", -1, true},
                {"exclusiveMaximum", "less than", 1, true}};
  if (!pn_json_is_number(b->value)) return VALID;
  for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
    const pn_json *bound = number(b, bounds[i].key);
    int order = bound ? schema_compare(b->value, bound) : -bounds[i].wrong;
    if (order == bounds[i].wrong || (order == 0 && bounds[i].is_open))
      return judge_invalid(j, b->at, "expected %s %s, found %s", bounds[i].words, show(bound).s,
                           show(b->value).s);
  }
  const pn_json *of = number(b, "multipleOf");
  if (of && schema_compare_count(0, of) != 0 && !schema_is_multiple(b->value, of))
    return judge_invalid(j, b->at, "expected a multiple of %s, found %s", show(of).s, show(b->value).s);
  return VALID;
}

static verdict check_count(judge *j, const job *b, size_t n, const char *min_key, const char *max_key,
                           const char *what) {
  const pn_json *min = number(b, min_key), *max = number(b, max_key);
  if (min && schema_compare_count(n, min) < 0)
    return judge_invalid(j, b->at, "expected at least %s %s, found %zu", show(min).s, what, n);
  if (max && schema_compare_count(n, max) > 0)
    return judge_invalid(j, b->at, "expected at most %s %s, found %zu", show(max).s, what, n);
  return VALID;
}

static size_t count_characters(pn_str s) {
  size_t n = 0;
  for (size_t i = 0; i < s.n; i++) n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
  return n;
}

static verdict check_string(judge *j, const job *b) {
  if (!pn_json_is(b->value, PN_JSON_STRING)) return VALID;
  pn_str text = pn_json_str(b->value);
  if (judge_spend(j, b->at, text.n / 64)) return BROKEN;
  verdict r = check_count(j, b, count_characters(text), "minLength", "maxLength", "characters");
  if (r) return r;
  const char *const keys[] = {"pattern", "format"};
  for (int i = 0; i < 2; i++) {
    const pn_json *pattern = keyword(b, keys[i], PN_JSON_STRING);
    r = pattern ? judge_accepts(j, b->at, pn_json_str(pattern), i == 1, text) : VALID;
    if (r == BROKEN) return r;
    if (r)
      return judge_invalid(j, b->at, "expected text of the %s %s, found %s", keys[i], show(pattern).s,
                           show(b->value).s);
  }
  return VALID;
}

// -- Arrays

static verdict check_items(judge *j, const job *b) {
  if (!pn_json_is(b->value, PN_JSON_ARRAY)) return VALID;
  const pn_json *first = keyword(b, "prefixItems", PN_JSON_ARRAY), *rest = pn_json_get(b->schema, "items");
  if (pn_json_is(rest, PN_JSON_ARRAY)) { // draft-07
    if (!first) first = rest;
    rest = pn_json_get(b->schema, "additionalItems");
  }
  size_t n_first = pn_json_len(first);
  for (size_t i = 0; i < pn_json_len(b->value); i++) {
    const pn_json *schema = i < n_first ? pn_json_at(first, i) : rest;
    if (!schema) break;
    place at = place_index(b->at, i);
    verdict r = check(j, schema, pn_json_at(b->value, i), &at);
    if (r) return r;
  }
  return VALID;
}

typedef struct hashed {
  uint64_t hash;
  size_t index;
} hashed;

static int by_hash(const void *a, const void *b) {
  const hashed *x = a, *y = b;
  if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
  return (x->index > y->index) - (x->index < y->index);
}

// Equal items have equal hashes, so they are neighbours once sorted, up to collisions.
static verdict find_twins(judge *j, const job *b, const hashed *items, size_t n) {
  for (size_t i = 0; i < n; i++) {
    for (size_t k = i + 1; k < n && items[k].hash == items[i].hash; k++) {
      size_t x = items[i].index, y = items[k].index, n_steps = 0;
      bool same = schema_same(pn_json_at(b->value, x), pn_json_at(b->value, y), &n_steps);
      if (judge_spend(j, b->at, n_steps)) return BROKEN;
      if (same)
        return judge_invalid(j, b->at, "expected no two equal items, found items %zu and %zu equal", x, y);
    }
  }
  return VALID;
}

static verdict check_unique(judge *j, const job *b) {
  size_t n = pn_json_len(b->value);
  if (!pn_json_true(pn_json_get(b->schema, "uniqueItems")) || n < 2) return VALID;
  hashed *items = calloc(n, sizeof *items);
  if (!items) return judge_broken(j, b->at, PN_ERR_NOMEM, "out of memory");
  size_t n_steps = 0;
  for (size_t i = 0; i < n; i++) items[i] = (hashed){schema_hash(pn_json_at(b->value, i), &n_steps), i};
  qsort(items, n, sizeof *items, by_hash);
  verdict r = judge_spend(j, b->at, n_steps);
  if (!r) r = find_twins(j, b, items, n);
  free(items);
  return r;
}

static verdict check_contains(judge *j, const job *b) {
  const pn_json *schema = pn_json_get(b->schema, "contains"), *min = number(b, "minContains"),
                *max = number(b, "maxContains");
  if (!schema) return VALID;
  size_t n_found = 0;
  for (size_t i = 0; i < pn_json_len(b->value); i++) {
    place at = place_index(b->at, i);
    j->quiet++;
    verdict r = check(j, schema, pn_json_at(b->value, i), &at);
    j->quiet--;
    if (r == BROKEN) return r;
    n_found += r == VALID;
  }
  if (!min && n_found == 0)
    return judge_invalid(j, b->at, "expected at least 1 item as `contains` describes, found 0");
  if (min && schema_compare_count(n_found, min) < 0)
    return judge_invalid(j, b->at, "expected at least %s items as `contains` describes, found %zu",
                         show(min).s, n_found);
  if (max && schema_compare_count(n_found, max) > 0)
    return judge_invalid(j, b->at, "expected at most %s items as `contains` describes, found %zu",
                         show(max).s, n_found);
  return VALID;
}

static verdict check_array(judge *j, const job *b) {
  if (!pn_json_is(b->value, PN_JSON_ARRAY)) return VALID;
  verdict r = check_count(j, b, pn_json_len(b->value), "minItems", "maxItems", "items");
  if (!r) r = check_unique(j, b);
  return r ? r : check_contains(j, b);
}

// -- Objects

static verdict check_required(judge *j, const job *b, const pn_json *names, const char *needed_by) {
  if (!pn_json_is(names, PN_JSON_ARRAY)) return VALID; // draft-03 has booleans here
  if (judge_spend(j, b->at, pn_json_len(names))) return BROKEN;
  for (size_t i = 0; i < pn_json_len(names); i++) {
    const pn_json *name = pn_json_at(names, i);
    pn_str text = pn_json_str(name);
    if (!pn_json_is(name, PN_JSON_STRING)) continue;
    // A name with a NUL can't be a member's.
    if (!memchr(text.p, '\0', text.n) && pn_json_get(b->value, text.p)) continue;
    if (needed_by)
      return judge_invalid(j, b->at, "the property %s is missing, which %s needs", show(name).s,
                           show_str(pn_str_of(needed_by)).s);
    return judge_invalid(j, b->at, "the property %s is missing", show(name).s);
  }
  return VALID;
}

static verdict check_name(judge *j, const job *b, pn_str key) {
  const pn_json *schema = pn_json_get(b->schema, "propertyNames");
  if (!schema) return VALID;
  place at = place_name(b->at, key);
  pn_json *name = pn_json_new_str(key);
  if (!name) return judge_broken(j, &at, PN_ERR_NOMEM, "out of memory");
  verdict r = check(j, schema, name, &at);
  pn_json_free(name);
  return r;
}

// One member by `properties`, `patternProperties` and, when neither speaks of it, `additionalProperties`.
static verdict check_member(judge *j, const job *b, pn_str key, const pn_json *value) {
  const pn_json *schema = pn_json_get(pn_json_get(b->schema, "properties"), key.p),
                *patterns = keyword(b, "patternProperties", PN_JSON_OBJECT);
  place at = place_key(b->at, key);
  bool named = schema;
  verdict r = schema ? check(j, schema, value, &at) : VALID;
  for (const pn_json_member *it = pn_json_first(patterns); !r && it; it = pn_json_next(patterns, it)) {
    verdict match = judge_accepts(j, &at, pn_json_key(it), false, key);
    if (match == BROKEN) return BROKEN;
    if (match == INVALID) continue;
    named = true;
    r = check(j, pn_json_value(it), value, &at);
  }
  const pn_json *others = pn_json_get(b->schema, "additionalProperties");
  return !r && !named && others ? check(j, others, value, &at) : r;
}

static verdict check_members(judge *j, const job *b) {
  if (!pn_json_is(b->value, PN_JSON_OBJECT)) return VALID;
  verdict r = VALID;
  for (const pn_json_member *it = pn_json_first(b->value); !r && it; it = pn_json_next(b->value, it)) {
    r = judge_spend(j, b->at, 1);
    if (!r) r = check_name(j, b, pn_json_key(it));
    if (!r) r = check_member(j, b, pn_json_key(it), pn_json_value(it));
  }
  return r;
}

static verdict check_dependents(judge *j, const job *b) {
  static const char *const keys[] = {"dependentRequired", "dependentSchemas", "dependencies"};
  if (!pn_json_is(b->value, PN_JSON_OBJECT)) return VALID;
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    const pn_json *all = keyword(b, keys[i], PN_JSON_OBJECT);
    for (const pn_json_member *it = pn_json_first(all); it; it = pn_json_next(all, it)) {
      const pn_json *what = pn_json_value(it);
      if (judge_spend(j, b->at, 1)) return BROKEN;
      if (!pn_json_get(b->value, pn_json_key(it).p)) continue;
      verdict r = pn_json_is(what, PN_JSON_ARRAY) ? check_required(j, b, what, pn_json_key(it).p)
                                                  : check(j, what, b->value, b->at);
      if (r) return r;
    }
  }
  return VALID;
}

static verdict check_object(judge *j, const job *b) {
  if (!pn_json_is(b->value, PN_JSON_OBJECT)) return VALID;
  verdict r = check_count(j, b, pn_json_len(b->value), "minProperties", "maxProperties", "properties");
  return r ? r : check_required(j, b, pn_json_get(b->schema, "required"), NULL);
}

// -- Schemas of schemas

static verdict check_all(judge *j, const job *b) {
  const pn_json *list = keyword(b, "allOf", PN_JSON_ARRAY);
  verdict r = VALID;
  for (size_t i = 0; !r && i < pn_json_len(list); i++) r = check(j, pn_json_at(list, i), b->value, b->at);
  return r;
}

// Why none of some alternatives fits. When one got further into the value than the value itself, what stopped
// it is the best that can be said.
static verdict none_fits(judge *j, const job *b, const char *key, size_t n, const pn_error *best,
                         size_t best_depth) {
  if (best_depth <= b->at->depth)
    return judge_invalid(j, b->at, "expected one of the %zu alternatives of %s, found %s", n, key,
                         show(b->value).s);
  judge_invalid(j, b->at, "fits none of the %zu alternatives of %s (%s)", n, key, best->msg);
  if (!j->quiet) j->e_depth = best_depth;
  return INVALID;
}

// anyOf, and oneOf, of which only one may fit.
static verdict check_some(judge *j, const job *b, const char *key, bool only_one) {
  const pn_json *list = keyword(b, key, PN_JSON_ARRAY);
  pn_error best = {0};
  size_t best_depth = 0, n_found = 0, n = pn_json_len(list);
  for (size_t i = 0; i < n && n_found < 2; i++) {
    j->quiet += n_found > 0;
    verdict r = check(j, pn_json_at(list, i), b->value, b->at);
    j->quiet -= n_found > 0;
    if (r == BROKEN || (r == VALID && !only_one)) return r;
    if (r == VALID) n_found++;
    if (r == INVALID && !j->quiet && n_found == 0 && j->e_depth > best_depth)
      best = j->e, best_depth = j->e_depth;
  }
  if (!list || n_found == 1) return VALID;
  if (n_found > 1) return judge_invalid(j, b->at, "fits more than one of the alternatives of %s", key);
  return none_fits(j, b, key, n, &best, best_depth);
}

static verdict check_any(judge *j, const job *b) { return check_some(j, b, "anyOf", false); }
static verdict check_one(judge *j, const job *b) { return check_some(j, b, "oneOf", true); }

static verdict check_quietly(judge *j, const pn_json *schema, const job *b) {
  j->quiet++;
  verdict r = check(j, schema, b->value, b->at);
  j->quiet--;
  return r;
}

static verdict check_not(judge *j, const job *b) {
  const pn_json *schema = pn_json_get(b->schema, "not");
  if (!schema) return VALID;
  verdict r = check_quietly(j, schema, b);
  if (r != VALID) return r == BROKEN ? r : VALID;
  return judge_invalid(j, b->at, "%s is what `not` excludes", show(b->value).s);
}

static verdict check_if(judge *j, const job *b) {
  const pn_json *condition = pn_json_get(b->schema, "if");
  if (!condition) return VALID;
  verdict r = check_quietly(j, condition, b);
  if (r == BROKEN) return r;
  const pn_json *schema = pn_json_get(b->schema, r == VALID ? "then" : "else");
  return schema ? check(j, schema, b->value, b->at) : VALID;
}

static verdict check(judge *j, const pn_json *schema, const pn_json *value, const place *at) {
  // What is cheap and says most comes first.
  static verdict (*const rules[])(judge *, const job *) = {
      check_type,   check_const, check_enum,  check_number,  check_string,     check_array,
      check_object, check_ref,   check_items, check_members, check_dependents, check_all,
      check_any,    check_one,   check_not,   check_if,
  };
  if (judge_spend(j, at, 1)) return BROKEN;
  if (pn_json_is(schema, PN_JSON_BOOL))
    return pn_json_true(schema) ? VALID : judge_invalid(j, at, "the schema allows nothing here");
  if (!pn_json_is(schema, PN_JSON_OBJECT))
    return judge_broken(j, at, PN_ERR_UNSUPPORTED, "the schema has %s where a schema should be",
                        pn_json_type_name(pn_json_type_of(schema)));
  if (j->depth >= MAX_DEPTH)
    return judge_broken(j, at, PN_ERR_LIMIT, "the schema goes more than %d schemas deep", MAX_DEPTH);
  j->depth++;
  const job b = {schema, value, at};
  verdict r = VALID;
  for (size_t i = 0; !r && i < sizeof rules / sizeof *rules; i++) r = rules[i](j, &b);
  j->depth--;
  return r;
}

verdict schema_judge(judge *j, const pn_json *schema, const pn_json *value) {
  const place top = {.kind = STEP_ROOT};
  j->n_steps = j->depth = 0;
  return check(j, schema, value, &top);
}

bool schema_valid(const pn_json *root, const pn_json *schema, const pn_json *value, pn_error *e) {
  judge j = {.root = root};
  verdict r = schema_judge(&j, schema, value);
  if (r && e) *e = j.e;
  judge_fini(&j);
  return r == VALID;
}
