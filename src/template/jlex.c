#include "template/jlex.h"

#include "template/junicode.h"

#include <string.h>

typedef struct lexer {
  pn_arena *a;
  pn_error *e;
  pn_str s;
  size_t at;
  int line;
  size_t line_start; // offset of the first byte of `line`
  size_t counted;    // up to where lines were counted
  bool after_newline;
  char *open; // brackets not yet closed
  size_t n_open, cap_open;
  jtokens *out;
} lexer;

static bool starts(const lexer *l, size_t at, const char *z) {
  size_t n = strlen(z);
  return l->s.n - at >= n && memcmp(l->s.p + at, z, n) == 0;
}

static char byte_at(const lexer *l, size_t at) { return at < l->s.n ? l->s.p[at] : '\0'; }

static void count_lines(lexer *l, size_t to) {
  for (; l->counted < to; l->counted++)
    if (l->s.p[l->counted] == '\n') {
      l->line++;
      l->line_start = l->counted + 1;
    }
}

static bool fail_at(lexer *l, size_t at, const char *what) {
  count_lines(l, at);
  return pn_fail(l->e, PN_ERR_CORRUPT, "template line %d column %zu: %s", l->line, at - l->line_start + 1,
                 what);
}

// Arrays in the arena grow by doubling; what they leave behind is freed with the arena.
static bool grow(pn_arena *a, void **p, size_t n, size_t *cap, size_t size) {
  if (n < *cap) return true;
  size_t more = *cap ? *cap * 2 : 64;
  void *q = pn_arena_array(a, more, size);
  if (!q) return false;
  if (n) memcpy(q, *p, n * size);
  *p = q;
  *cap = more;
  return true;
}

static bool emit(lexer *l, jtoken_kind kind, size_t from, size_t to) {
  void *p = l->out->items;
  if (!grow(l->a, &p, l->out->n, &l->out->cap, sizeof(jtoken)))
    return pn_fail(l->e, PN_ERR_NOMEM, "out of memory while reading a template");
  l->out->items = p;
  count_lines(l, from);
  l->out->items[l->out->n++] = (jtoken){.kind = kind,
                                        .text = {l->s.p + from, to - from},
                                        .line = l->line,
                                        .column = (int)(from - l->line_start + 1)};
  return true;
}

static size_t skip_space(const lexer *l, size_t at) {
  uint32_t cp;
  while (at < l->s.n) {
    size_t n = junicode_at(l->s, at, &cp);
    if (!junicode_is_space(cp)) break;
    at += n;
  }
  return at;
}

// The end of the literal text [from, tag) after white space control: sign is '-', '+' or 0; a variable tag is
// never stripped by lstrip_blocks.
static size_t text_end(const lexer *l, size_t from, size_t tag, char sign, bool variable) {
  uint32_t cp;
  size_t end = tag;
  if (sign == '-') {
    while (end > from) {
      size_t n = junicode_before((pn_str){l->s.p + from, end - from}, end - from, &cp);
      if (!junicode_is_space(cp)) break;
      end -= n;
    }
    return end;
  }
  if (sign == '+' || variable) return tag;
  size_t line = tag;
  while (line > from && l->s.p[line - 1] != '\n') line--;
  if (line == from && !l->after_newline) return tag;
  return skip_space(l, line) >= tag ? line : tag;
}

// Go to `to`; the tokens before it end there.
static void advance(lexer *l, size_t to) {
  if (to > l->at) l->after_newline = l->s.p[to - 1] == '\n';
  l->at = to;
}

static char sign_at(const lexer *l, size_t at) {
  char c = byte_at(l, at);
  return c == '-' || c == '+' ? c : '\0';
}

// After the closing mark of a block or comment at `at`: -%} eats white space, %} one newline, +%} nothing.
static size_t after_close(const lexer *l, size_t at, char sign) {
  if (sign == '-') return skip_space(l, at);
  if (sign == '\0' && byte_at(l, at) == '\n') return at + 1;
  return at;
}

static bool lex_comment(lexer *l, size_t tag) {
  size_t from = tag + 2 + (sign_at(l, tag + 2) ? 1 : 0);
  size_t end = pn_str_find(l->s, PN_STR("#}"), from);
  if (end == SIZE_MAX) return fail_at(l, tag, "a comment that is never closed");
  char sign = end > from ? sign_at(l, end - 1) : '\0';
  advance(l, after_close(l, end + 2, sign));
  return true;
}

// Is there `word` then a closing mark behind the opening mark at `tag`? Gives the offset after the mark and
// its sign.
static bool is_tag(const lexer *l, size_t tag, const char *word, size_t *after, char *close_sign) {
  size_t at = skip_space(l, tag + 2 + (sign_at(l, tag + 2) ? 1 : 0));
  if (!starts(l, at, word)) return false;
  at = skip_space(l, at + strlen(word));
  *close_sign = sign_at(l, at);
  if (*close_sign) at++;
  if (!starts(l, at, "%}")) return false;
  *after = at + 2;
  return true;
}

static bool lex_raw(lexer *l, size_t tag, size_t body, char sign) {
  if (sign == '-') body = skip_space(l, body);
  advance(l, body);
  for (size_t at = body;; at += 2) {
    at = pn_str_find(l->s, PN_STR("{%"), at);
    if (at == SIZE_MAX) return fail_at(l, tag, "a raw block that is never closed");
    size_t after;
    char close;
    if (!is_tag(l, at, "endraw", &after, &close)) continue;
    size_t end = text_end(l, body, at, sign_at(l, at + 2), false);
    if (end > body && !emit(l, JT_TEXT, body, end)) return false;
    advance(l, after_close(l, after, close));
    return true;
  }
}

static bool lex_name(lexer *l) {
  size_t from = l->at;
  for (;; l->at++) {
    unsigned char c = (unsigned char)byte_at(l, l->at);
    bool digit = c >= '0' && c <= '9';
    if (!((c | 32) >= 'a' && (c | 32) <= 'z') && c != '_' && c < 0x80 && !(digit && l->at > from)) break;
  }
  return emit(l, JT_NAME, from, l->at);
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Digits with single underscores between them; returns where they end.
static size_t digits(const lexer *l, size_t at) {
  while (is_digit(byte_at(l, at)) || (byte_at(l, at) == '_' && is_digit(byte_at(l, at + 1)))) at++;
  return at;
}

static bool lex_number(lexer *l) {
  size_t from = l->at, end = digits(l, from);
  bool after_dot = from > 0 && l->s.p[from - 1] == '.';
  if (!after_dot) {
    size_t at = end;
    if (byte_at(l, at) == '.' && is_digit(byte_at(l, at + 1))) at = digits(l, at + 1);
    if ((byte_at(l, at) | 32) == 'e') {
      size_t exponent = at + 1 + (sign_at(l, at + 1) ? 1 : 0);
      if (is_digit(byte_at(l, exponent))) at = digits(l, exponent);
    }
    if (at > end) return l->at = at, emit(l, JT_FLOAT, from, at);
  }
  if (l->s.p[from] == '0') {
    char kind = (char)(byte_at(l, from + 1) | 32);
    const char *set = kind == 'x' ? "0123456789abcdefABCDEF" : kind == 'o' ? "01234567" : "01";
    if (kind == 'x' || kind == 'o' || kind == 'b') {
      size_t at = from + 2;
      while (byte_at(l, at) && (strchr(set, l->s.p[at]) || l->s.p[at] == '_')) at++;
      if (at > from + 2) return l->at = at, emit(l, JT_INT, from, at);
    }
    for (end = from + 1; byte_at(l, end) == '0' || byte_at(l, end) == '_';) end++;
  }
  l->at = end;
  return emit(l, JT_INT, from, end);
}

static bool lex_string(lexer *l) {
  char quote = l->s.p[l->at];
  size_t from = l->at + 1, at = from;
  while (at < l->s.n && l->s.p[at] != quote) at += l->s.p[at] == '\\' ? 2 : 1;
  if (at >= l->s.n) return fail_at(l, l->at, "a string that is never closed");
  l->at = at + 1;
  return emit(l, JT_STRING, from, at);
}

static bool lex_bracket(lexer *l, char c) {
  if (c == '(' || c == '[' || c == '{') {
    void *p = l->open;
    if (!grow(l->a, &p, l->n_open, &l->cap_open, 1))
      return pn_fail(l->e, PN_ERR_NOMEM, "out of memory while reading a template");
    l->open = p;
    l->open[l->n_open++] = c;
    return true;
  }
  char opener = c == ')' ? '(' : c == ']' ? '[' : '{';
  if (l->n_open == 0 || l->open[l->n_open - 1] != opener)
    return fail_at(l, l->at, "a closing bracket without its opening one");
  l->n_open--;
  return true;
}

static bool lex_operator(lexer *l) {
  static const char *const two[] = {"//", "**", "==", "!=", ">=", "<="};
  for (size_t i = 0; i < sizeof two / sizeof *two; i++)
    if (starts(l, l->at, two[i])) return l->at += 2, emit(l, JT_OP, l->at - 2, l->at);
  char c = l->s.p[l->at];
  if (c == '\0' || !strchr("+-/*%~[](){}><=.:|,;", c)) return fail_at(l, l->at, "an unexpected character");
  if (strchr("[](){}", c) && !lex_bracket(l, c)) return false;
  l->at++;
  return emit(l, JT_OP, l->at - 1, l->at);
}

// What is inside {{ }} or {% %}.
static bool lex_inside(lexer *l, size_t tag, bool block) {
  const char *close = block ? "%}" : "}}";
  l->n_open = 0;
  for (;;) {
    l->at = skip_space(l, l->at);
    if (l->at >= l->s.n) return fail_at(l, tag, "a tag that is never closed");
    char sign = sign_at(l, l->at);
    if (!block && sign == '+') sign = '\0';
    size_t mark = l->at + (sign ? 1 : 0);
    if (l->n_open == 0 && starts(l, mark, close)) {
      if (!emit(l, block ? JT_BLOCK_END : JT_PRINT_END, l->at, mark + 2)) return false;
      size_t to = block ? after_close(l, mark + 2, sign) : sign == '-' ? skip_space(l, mark + 2) : mark + 2;
      advance(l, to);
      return true;
    }
    char c = l->s.p[l->at];
    bool letter = ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '_' || (unsigned char)c >= 0x80;
    bool ok = letter                    ? lex_name(l)
              : is_digit(c)             ? lex_number(l)
              : (c == '\'' || c == '"') ? lex_string(l)
                                        : lex_operator(l);
    if (!ok) return false;
  }
}

static size_t find_tag(const lexer *l, size_t at) {
  while (at + 1 < l->s.n) {
    const char *p = memchr(l->s.p + at, '{', l->s.n - at - 1);
    if (!p) break;
    at = (size_t)(p - l->s.p);
    if (p[1] == '%' || p[1] == '{' || p[1] == '#') return at;
    at++;
  }
  return SIZE_MAX;
}

bool jlex_run(pn_arena *a, pn_str source, jtokens *out, pn_error *e) {
  lexer l = {.a = a, .e = e, .s = source, .line = 1, .after_newline = true, .out = out};
  while (l.at < source.n) {
    size_t from = l.at, tag = find_tag(&l, from);
    if (tag == SIZE_MAX) {
      if (!emit(&l, JT_TEXT, from, source.n)) return false;
      break;
    }
    char what = source.p[tag + 1], sign = sign_at(&l, tag + 2);
    size_t end = text_end(&l, from, tag, sign, what == '{');
    if (end > from && !emit(&l, JT_TEXT, from, end)) return false;
    size_t after;
    char raw_sign;
    bool ok;
    if (what == '#') {
      ok = lex_comment(&l, tag);
    } else if (what == '%' && is_tag(&l, tag, "raw", &after, &raw_sign) && raw_sign != '+') {
      ok = lex_raw(&l, tag, after, raw_sign);
    } else {
      ok = emit(&l, what == '%' ? JT_BLOCK_BEGIN : JT_PRINT_BEGIN, tag, tag + 2);
      l.at = tag + 2 + (sign ? 1 : 0);
      ok = ok && lex_inside(&l, tag, what == '%');
    }
    if (!ok) return false;
  }
  return emit(&l, JT_END, source.n, source.n);
}
