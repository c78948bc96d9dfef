#include "grammar/schema_judge.h"

#include "grammar/regex.h"
#include "grammar/schema_equal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_STEPS ((size_t)2000000)
#define COMPILE_STEPS 1000 // about as much as compiling a pattern costs

void judge_fini(judge *j) {
  for (size_t i = 0; i < JUDGE_COMPILED; i++)
    if (j->known[i].d) dfa_free(j->known[i].d);
  free(j->listed.slots);
}

static void tell(judge *j, const place *at, pn_code code, const char *fmt, va_list ap) {
  pn_buf path = {0};
  place_write(&path, at);
  j->e.code = code;
  j->e_depth = at->depth;
  vsnprintf(j->e.msg, sizeof j->e.msg, fmt, ap);
  pn_fail_in(&j->e, "%s", pn_buf_cstr(&path));
  pn_buf_fini(&path);
}

verdict judge_invalid(judge *j, const place *at, const char *fmt, ...) {
  if (j->quiet) return INVALID;
  va_list ap;
  va_start(ap, fmt);
  tell(j, at, PN_ERR_USAGE, fmt, ap);
  va_end(ap);
  return INVALID;
}

verdict judge_broken(judge *j, const place *at, pn_code code, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  tell(j, at, code, fmt, ap);
  va_end(ap);
  return BROKEN;
}

verdict judge_spend(judge *j, const place *at, size_t n_steps) {
  j->n_steps += n_steps;
  if (j->n_steps <= MAX_STEPS) return VALID;
  return judge_broken(j, at, PN_ERR_LIMIT, "checking by the schema takes more than %zu steps", MAX_STEPS);
}

// -- Patterns

static const compiled *compile(judge *j, const place *at, pn_str pattern, bool is_format) {
  for (size_t i = 0; i < j->n_known && i < JUDGE_COMPILED; i++)
    if (j->known[i].key == pattern.p && j->known[i].is_format == is_format) return &j->known[i];
  if (judge_spend(j, at, COMPILE_STEPS + pattern.n)) return NULL;
  pn_error e = {0};
  dfa *d = is_format ? format_compile(pattern, &e) : regex_compile(pattern, &e);
  if (!d && !(is_format && e.code == PN_OK)) {
    pn_code code = e.code == PN_ERR_NOMEM ? e.code : PN_ERR_UNSUPPORTED;
    judge_broken(j, at, code, "the schema's %s %s: %s", is_format ? "format" : "pattern", show_str(pattern).s,
                 e.msg);
    return NULL;
  }
  compiled *c = &j->known[j->n_known++ % JUDGE_COMPILED];
  if (c->d) dfa_free(c->d);
  *c = (compiled){.key = pattern.p, .is_format = is_format, .d = d};
  return c;
}

verdict judge_accepts(judge *j, const place *at, pn_str pattern, bool is_format, pn_str text) {
  const compiled *c = compile(j, at, pattern, is_format);
  if (!c || judge_spend(j, at, 1 + text.n / 64)) return BROKEN;
  return !c->d || dfa_accepts(c->d, text) ? VALID : INVALID;
}

// -- Listed values

#define LISTED_MIN 16 // shorter lists are searched one by one

static void index_list(listed *l, size_t *n_steps) {
  size_t n = pn_json_len(l->list), size = 64, n_probes = 0;
  while (size < 2 * n) size *= 2;
  l->slots = calloc(size, sizeof *l->slots); // without memory it goes on one by one
  l->mask = size - 1;
  for (size_t i = 0; l->slots && i < n; i++) {
    size_t at = schema_hash(pn_json_at(l->list, i), n_steps) & l->mask;
    while (l->slots[at] && n_probes++ < 8 * size) at = (at + 1) & l->mask;
    l->slots[at] = (uint32_t)i + 1;
  }
  if (n_probes < 8 * size) return;
  free(l->slots);
  *l = (listed){.list = l->list, .crowded = true};
}

bool judge_lists(judge *j, const pn_json *list, const pn_json *value, size_t *n_steps) {
  listed *l = &j->listed;
  size_t n = pn_json_len(list);
  if (n >= LISTED_MIN) {
    if (l->list == list && !l->slots && !l->crowded) index_list(l, n_steps);
    if (l->list != list) {
      free(l->slots);
      *l = (listed){.list = list};
    }
  }
  if (l->list != list || !l->slots) {
    for (size_t i = 0; i < n; i++)
      if (schema_same(value, pn_json_at(list, i), n_steps)) return true;
    return false;
  }
  for (size_t at = schema_hash(value, n_steps) & l->mask; l->slots[at]; at = (at + 1) & l->mask)
    if (schema_same(value, pn_json_at(list, l->slots[at] - 1), n_steps)) return true;
  return false;
}

// -- References

static int hex(char c) {
  const char *digits = "0123456789abcdef",
             *p = c ? strchr(digits, c | ((c >= 'A' && c <= 'F') ? 0x20 : 0)) : NULL;
  return p ? (int)(p - digits) : -1;
}

// One character of a reference after %-escapes; false at the end or at an escape that says nothing.
static bool next_char(pn_str ref, size_t *i, char *c) {
  if (*i >= ref.n) return false;
  *c = ref.p[(*i)++];
  if (*c != '%') return *c != '\0';
  if (ref.n - *i < 2 || hex(ref.p[*i]) < 0 || hex(ref.p[*i + 1]) < 0) return false;
  *c = (char)(hex(ref.p[*i]) << 4 | hex(ref.p[*i + 1]));
  *i += 2;
  return *c != '\0';
}

// The part of a JSON pointer up to the next slash; false when it is malformed. *i ends behind the slash;
// *last says that there was none.
static bool next_part(pn_str ref, size_t *i, pn_buf *part, bool *last) {
  char c;
  pn_buf_clear(part);
  while (*i < ref.n) {
    if (!next_char(ref, i, &c)) return false;
    if (c == '/') return true;
    if (c == '~') {
      if (!next_char(ref, i, &c) || (c != '0' && c != '1')) return false;
      c = c == '0' ? '~' : '/';
    }
    pn_buf_char(part, c);
  }
  *last = true;
  return true;
}

static const pn_json *child(const pn_json *v, pn_buf *part) {
  if (pn_json_is(v, PN_JSON_OBJECT)) return pn_json_get(v, pn_buf_cstr(part));
  size_t index = 0;
  if (part->n == 0 || part->n > 9 || (part->n > 1 && part->p[0] == '0')) return NULL;
  for (size_t i = 0; i < part->n; i++) {
    if (part->p[i] < '0' || part->p[i] > '9') return NULL;
    index = index * 10 + (size_t)(part->p[i] - '0');
  }
  return pn_json_is(v, PN_JSON_ARRAY) ? pn_json_at(v, index) : NULL;
}

const pn_json *judge_resolve(judge *j, const place *at, pn_str ref) {
  const pn_json *v = j->root;
  pn_buf part = {0};
  if (judge_spend(j, at, 1 + ref.n / 16)) return NULL;
  bool right = pn_str_is(ref, "#") || pn_str_starts(ref, PN_STR("#/"));
  size_t i = 2;
  for (bool last = ref.n < 2; right && !last;) {
    right = next_part(ref, &i, &part, &last);
    if (right) v = child(v, &part);
    right = right && v && !part.oom;
  }
  pn_buf_fini(&part);
  if (right) return v;
  judge_broken(j, at, PN_ERR_UNSUPPORTED, "the schema's $ref %s names nothing in the schema",
               show_str(ref).s);
  return NULL;
}
