#include "grammar/key_watch.h"

#include <stdlib.h>
#include <string.h>

void key_watch_fini(key_watch *w) {
  free(w->open);
  free(w->keys_at);
  pn_buf_fini(&w->keys);
  *w = (key_watch){0};
}

void key_watch_reset(key_watch *w) {
  w->n_open = 0;
  pn_buf_clear(&w->keys);
  w->in_string = w->in_key = w->escaped = w->wants_key = false;
}

static bool grow(key_watch *w) {
  size_t cap = w->cap_open ? w->cap_open * 2 : 16;
  char *open = realloc(w->open, cap);
  if (open) w->open = open;
  size_t *at = realloc(w->keys_at, cap * sizeof *at);
  if (at) w->keys_at = at;
  if (open && at) w->cap_open = cap;
  w->oom = w->oom || !open || !at;
  return open && at;
}

bool key_watch_copy(key_watch *to, const key_watch *from) {
  key_watch_reset(to);
  while (to->cap_open < from->n_open)
    if (!grow(to)) return false;
  if (from->n_open) memcpy(to->open, from->open, from->n_open);
  if (from->n_open) memcpy(to->keys_at, from->keys_at, from->n_open * sizeof *to->keys_at);
  pn_buf_str(&to->keys, pn_buf_view(&from->keys));
  to->n_open = from->n_open;
  to->key_at = from->key_at;
  to->in_string = from->in_string;
  to->in_key = from->in_key;
  to->escaped = from->escaped;
  to->wants_key = from->wants_key;
  to->oom = from->oom || to->keys.oom;
  return !to->oom;
}

static void push(key_watch *w, char c) {
  if (w->n_open == w->cap_open && !grow(w)) return;
  w->open[w->n_open] = c;
  w->keys_at[w->n_open++] = w->keys.n;
  w->wants_key = c == '{';
}

static void pop(key_watch *w) {
  if (w->n_open == 0) return;
  w->keys.n = w->keys_at[--w->n_open];
  w->wants_key = false;
}

static void read_in_string(key_watch *w, char c) {
  if (w->in_key) pn_buf_char(&w->keys, c);
  if (w->escaped) {
    w->escaped = false;
  } else if (c == '\\') {
    w->escaped = true;
  } else if (c == '"') {
    w->in_string = w->in_key = false;
  }
}

static void read_byte(key_watch *w, char c) {
  if (w->in_string) {
    read_in_string(w, c);
    return;
  }
  switch (c) {
  case '"':
    w->in_string = true;
    w->in_key = w->wants_key;
    if (w->in_key) {
      w->key_at = w->keys.n;
      pn_buf_char(&w->keys, c);
    }
    w->wants_key = false;
    break;
  case '{':
  case '[': push(w, c); break;
  case '}':
  case ']': pop(w); break;
  case ',': w->wants_key = w->n_open && w->open[w->n_open - 1] == '{'; break;
  default: break;
  }
}

void key_watch_read(key_watch *w, pn_str text) {
  for (size_t i = 0; i < text.n; i++) read_byte(w, text.p[i]);
  w->oom |= w->keys.oom;
}

pn_str key_watch_key(const key_watch *w) {
  return w->in_key ? (pn_str){w->keys.p + w->key_at, w->keys.n - w->key_at} : (pn_str){0};
}

bool key_watch_next(const key_watch *w, size_t *at, pn_str *key) {
  if (w->n_open == 0) return false;
  const char *p = w->keys.p;
  size_t end = w->in_key ? w->key_at : w->keys.n, from = w->keys_at[w->n_open - 1] + *at, n = 1;
  if (from >= end) return false;
  for (bool escaped = false; from + n < end && (escaped || p[from + n] != '"'); n++)
    escaped = !escaped && p[from + n] == '\\';
  n++; // its closing quote
  *key = (pn_str){p + from, n};
  *at += n;
  return true;
}

static bool is_known(const key_watch *w, pn_str key) {
  pn_str known;
  for (size_t at = 0; key_watch_next(w, &at, &known);)
    if (pn_str_eq(known, key)) return true;
  return false;
}

bool key_watch_repeats(const key_watch *w, pn_str text) {
  char key[2048];
  size_t n = 0, i = 0, none = 0;
  pn_str first;
  bool escaped = w->escaped;
  if (!key_watch_next(w, &none, &first)) return false;
  if (w->in_key) {
    n = w->keys.n - w->key_at;
    if (n >= sizeof key) return false;
    memcpy(key, w->keys.p + w->key_at, n);
  } else if (w->wants_key) {
    while (i < text.n && text.p[i] != '"') i++;
    if (i == text.n) return false;
    key[n++] = text.p[i++];
  } else {
    return false; // no token both ends a value and writes a whole key
  }
  for (; i < text.n && n < sizeof key; i++) {
    key[n++] = text.p[i];
    if (!escaped && text.p[i] == '"') return is_known(w, (pn_str){key, n});
    escaped = !escaped && text.p[i] == '\\';
  }
  return false;
}
