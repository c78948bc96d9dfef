#include "tokenizer/long_lists.h"

#include "base/utf8.h"
#include "tokenizer/vocab.h"

#include <stdlib.h>

#define MAX_FILE ((size_t)1 << 30)

typedef struct reader {
  const unsigned char *p;
  size_t n, at;
  long_lists *l;
} reader;

void long_lists_fini(long_lists *l) {
  pn_buf_fini(&l->escaped);
  free(l->tokens);
  free(l->merges);
  *l = (long_lists){0};
}

static bool grow(void **p, size_t n, size_t *cap, size_t size) {
  if (n < *cap) return true;
  size_t more = *cap ? *cap * 2 : 4096;
  void *q = realloc(*p, more * size);
  if (!q) return false;
  *p = q;
  *cap = more;
  return true;
}

// --- what JSON is made of ----------------------------------------------------------------------------------

static void skip_space(reader *r) {
  while (r->at < r->n &&
         (r->p[r->at] == ' ' || r->p[r->at] == '\n' || r->p[r->at] == '\r' || r->p[r->at] == '\t'))
    r->at++;
}

// White space, the character, and white space behind it.
static bool take(reader *r, char c) {
  skip_space(r);
  if (r->at >= r->n || r->p[r->at] != (unsigned char)c) return false;
  r->at++;
  skip_space(r);
  return true;
}

static bool read_hex(reader *r, uint32_t *out) {
  *out = 0;
  for (int i = 0; i < 4; i++, r->at++) {
    if (r->at >= r->n) return false;
    unsigned char c = r->p[r->at], low = c | 0x20;
    if (c >= '0' && c <= '9')
      *out = *out * 16 + (c - '0');
    else if (low >= 'a' && low <= 'f')
      *out = *out * 16 + (low - 'a' + 10u);
    else
      return false;
  }
  return true;
}

// Behind a backslash. A NUL and half a surrogate pair are left to the reader of all JSON.
static bool read_escape(reader *r, pn_buf *out) {
  static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
  if (r->at >= r->n) return false;
  unsigned char c = r->p[r->at++];
  const char *known = c ? strchr(names, c) : NULL;
  if (known) return pn_buf_char(out, values[known - names]), true;
  uint32_t cp, low;
  if (c != 'u' || !read_hex(r, &cp) || cp == 0) return false;
  if (cp >= 0xD800 && cp < 0xE000) {
    if (cp >= 0xDC00 || r->n - r->at < 6 || r->p[r->at] != '\\' || r->p[r->at + 1] != 'u') return false;
    r->at += 2;
    if (!read_hex(r, &low) || low < 0xDC00 || low >= 0xE000) return false;
    cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
  }
  char bytes[4];
  pn_buf_add(out, bytes, pn_utf8_encode(cp, bytes));
  return true;
}

// The rest of a string in which an escape was met.
static bool read_escaped(reader *r, size_t begin, long_text *out) {
  pn_buf *b = &r->l->escaped;
  size_t from = b->n;
  pn_buf_add(b, r->p + begin, r->at - begin);
  while (r->at < r->n && r->p[r->at] != '"') {
    unsigned char c = r->p[r->at++];
    if (c < 0x20) return false;
    if (c != '\\')
      pn_buf_char(b, (char)c);
    else if (!read_escape(r, b))
      return false;
  }
  *out = (long_text){(uint32_t)(r->n + from), (uint32_t)(b->n - from)};
  return r->at++ < r->n && !b->oom && b->n < MAX_FILE;
}

// A string, at its opening quote.
static bool read_string(reader *r, long_text *out) {
  if (r->at >= r->n || r->p[r->at] != '"') return false;
  size_t begin = ++r->at, at = begin;
  while (at < r->n && r->p[at] >= 0x20 && r->p[at] != '"' && r->p[at] != '\\') at++;
  r->at = at;
  if (at >= r->n || r->p[at] < 0x20) return false;
  if (r->p[at] == '\\') return read_escaped(r, begin, out);
  *out = (long_text){(uint32_t)begin, (uint32_t)(at - begin)};
  r->at++;
  return true;
}

static bool read_id(reader *r, uint32_t *id) {
  size_t begin = r->at;
  *id = 0;
  while (r->at < r->n && r->p[r->at] >= '0' && r->p[r->at] <= '9' && *id < VOCAB_MAX_IDS)
    *id = *id * 10 + (r->p[r->at++] - '0');
  bool ended = r->at < r->n && strchr(" \n\r\t,}", r->p[r->at]) && r->p[r->at];
  return ended && r->at > begin && *id < VOCAB_MAX_IDS && (r->at == begin + 1 || r->p[begin] != '0');
}

// Any value, without a look at whether it is right: the reader of all JSON sees it too.
static bool skip_value(reader *r) {
  size_t depth = 0;
  long_text s;
  for (;;) {
    skip_space(r);
    if (r->at >= r->n) return false;
    unsigned char c = r->p[r->at];
    if (c == '"') {
      if (!read_string(r, &s)) return false;
    } else if (c == '{' || c == '[') {
      depth++, r->at++;
    } else if (c == '}' || c == ']') {
      if (depth == 0) return false;
      depth--, r->at++;
    } else if ((c == ',' || c == ':') && depth == 0) {
      return false;
    } else {
      r->at++;
      while (depth == 0 && r->at < r->n && !strchr(" \n\r\t,}]", r->p[r->at])) r->at++;
    }
    if (depth == 0) return true;
  }
}

// --- the lists ---------------------------------------------------------------------------------------------

static bool read_vocab(reader *r) {
  long_lists *l = r->l;
  if (l->vocab_at.end || !take(r, '{')) return false;
  do {
    if (!grow((void **)&l->tokens, l->n_tokens, &l->cap_tokens, sizeof *l->tokens)) return false;
    long_token *t = &l->tokens[l->n_tokens++];
    if (!read_string(r, &t->spelling) || !take(r, ':') || !read_id(r, &t->id)) return false;
    pn_str s = long_lists_text(l, t->spelling);
    if (pn_utf8_check(s) != s.n) return false; // a merge that isn't UTF-8 is none of these
  } while (take(r, ','));
  return take(r, '}');
}

static bool read_merges(reader *r) {
  long_lists *l = r->l;
  if (l->merges_at.end || !take(r, '[')) return false;
  do {
    if (!grow((void **)&l->merges, l->n_merges, &l->cap_merges, sizeof *l->merges)) return false;
    long_merge *m = &l->merges[l->n_merges++];
    m->right = (long_text){0, LONG_JOINED};
    if (take(r, '[')) {
      if (!read_string(r, &m->left) || !take(r, ',') || !read_string(r, &m->right) || !take(r, ']'))
        return false;
    } else if (!read_string(r, &m->left)) {
      return false;
    }
  } while (take(r, ','));
  return take(r, ']');
}

// The members of an object: of the model when `is_model`, else of the whole file, in which the model is.
static bool read_members(reader *r, bool is_model) {
  bool found = is_model;
  if (!take(r, '{')) return false;
  do {
    long_text key;
    if (!read_string(r, &key) || !take(r, ':')) return false;
    pn_str name = long_lists_text(r->l, key);
    size_t begin = r->at;
    if (is_model && pn_str_is(name, "vocab")) {
      if (!read_vocab(r)) return false;
      r->l->vocab_at = (pn_span){begin, r->at};
    } else if (is_model && pn_str_is(name, "merges")) {
      if (!read_merges(r)) return false;
      r->l->merges_at = (pn_span){begin, r->at};
    } else if (!is_model && pn_str_is(name, "model")) {
      if (found || !read_members(r, true)) return false;
      found = true;
    } else if (!skip_value(r)) {
      return false;
    }
  } while (take(r, ','));
  return take(r, '}') && found;
}

bool long_lists_read(long_lists *l, pn_str file) {
  reader r = {(const unsigned char *)file.p, file.n, 0, l};
  l->file = file;
  return file.n < MAX_FILE && read_members(&r, false) && l->vocab_at.end && l->merges_at.end;
}

void long_lists_rest(const long_lists *l, pn_buf *out) {
  bool vocab_first = l->vocab_at.begin < l->merges_at.begin;
  pn_span a = vocab_first ? l->vocab_at : l->merges_at, b = vocab_first ? l->merges_at : l->vocab_at;
  pn_buf_add(out, l->file.p, a.begin);
  pn_buf_z(out, vocab_first ? "{}" : "[]");
  pn_buf_add(out, l->file.p + a.end, b.begin - a.end);
  pn_buf_z(out, vocab_first ? "[]" : "{}");
  pn_buf_add(out, l->file.p + b.end, l->file.n - b.end);
}
