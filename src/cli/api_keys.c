#include "cli/api_keys.h"

#include "cli/console.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_KEYS 1024

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// The next word of s, which moves behind it. {NULL, 0}: there is none.
static pn_str take_word(pn_str *s) {
  while (s->n && is_space(*s->p)) *s = (pn_str){s->p + 1, s->n - 1};
  pn_str word = {s->p, 0};
  while (s->n && !is_space(*s->p)) {
    word.n++;
    *s = (pn_str){s->p + 1, s->n - 1};
  }
  return word;
}

// One key of this name.
static bool api_keys_add(api_keys *k, pn_str name, pn_str key, pn_error *e) {
  for (size_t i = 0; i < key.n; i++)
    if (key.p[i] <= ' ' || key.p[i] >= 0x7F)
      return pn_fail(e, PN_ERR_USAGE, "the key %.*s holds a character that no header can carry", (int)name.n,
                     name.p);
  for (int i = 0; i < k->n; i++) {
    if (pn_str_is(name, k->p[i].name))
      return pn_fail(e, PN_ERR_USAGE, "there are two keys of the name %.*s", (int)name.n, name.p);
    if (pn_str_is(key, k->p[i].key))
      return pn_fail(e, PN_ERR_USAGE, "%s and %.*s are the same key", k->p[i].name, (int)name.n, name.p);
  }
  if (k->n == MAX_KEYS) return pn_fail(e, PN_ERR_USAGE, "more than %d keys", MAX_KEYS);
  if (!k->p) k->p = pn_arena_array(&k->arena, MAX_KEYS, sizeof *k->p);
  char *n = pn_arena_dup(&k->arena, name), *v = pn_arena_dup(&k->arena, key);
  if (!k->p || !n || !v) return pn_fail(e, PN_ERR_NOMEM, "out of memory for the API keys");
  k->p[k->n++] = (pn_http_key){n, v};
  return true;
}

static bool parse_line(api_keys *k, pn_str line, pn_error *e) {
  pn_str first = take_word(&line), second = take_word(&line);
  if (first.n == 0 || *first.p == '#') return true;
  if (take_word(&line).n) return pn_fail(e, PN_ERR_USAGE, "expected a name and a key, or only a key");
  if (second.n) {
    if (first.n > 64) return pn_fail(e, PN_ERR_USAGE, "the name has more than 64 characters");
    return api_keys_add(k, first, second, e);
  }
  char name[16];
  snprintf(name, sizeof name, "key%d", k->n + 1);
  return api_keys_add(k, pn_str_of(name), first, e);
}

bool api_keys_parse(api_keys *k, pn_str text, pn_error *e) {
  for (int line = 1; text.n; line++) {
    const char *end = memchr(text.p, '\n', text.n);
    size_t n = end ? (size_t)(end - text.p) : text.n;
    if (!parse_line(k, (pn_str){text.p, n}, e)) return pn_fail_in(e, "line %d", line);
    n += end != NULL;
    text = (pn_str){text.p + n, text.n - n};
  }
  return k->n > 0 || pn_fail(e, PN_ERR_USAGE, "there is no key in it");
}

bool api_keys_read(api_keys *k, const options *o, pn_error *e) {
  const char *file = options_text(o, "api-key-file"), *text = options_text(o, "api-key");
  if (!file) return !text || api_keys_add(k, PN_STR("default"), pn_str_of(text), e);
  pn_buf b = {0};
  bool ok = console_read(file, 1 << 20, &b, e) && api_keys_parse(k, pn_buf_view(&b), e);
  pn_buf_fini(&b);
  if (!ok) return pn_fail_in(e, "--api-key-file %s", file);
  struct stat st;
  if (stat(file, &st) == 0 && st.st_mode & 077)
    console_note("pensieve: other users of this machine may read the API keys in %s; chmod 600 it", file);
  return true;
}

void api_keys_fini(api_keys *k) {
  pn_arena_fini(&k->arena);
  *k = (api_keys){0};
}
