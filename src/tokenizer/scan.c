#include "tokenizer/scan.h"

// The splits of GPT-2, Llama 3, Qwen and GPT-4o, as their tokenizer files spell them.
const char scan_gpt2_pattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const char scan_llama3_pattern[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const char scan_qwen2_pattern[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

// Qwen 3.5: marks are part of words.
const char scan_qwen35_pattern[] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}"
                                   "| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|"
                                   "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
// GPT-4o and gpt-oss: words are cut where a capital follows a small letter.
const char scan_o200k_pattern[] =
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'"
    "ve|'m|'ll|'d)?|"
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'"
    "ve|'m|'ll|'d)?|"
    "\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

scan_kind scan_kind_of(pn_str pattern) {
  if (pn_str_is(pattern, scan_gpt2_pattern)) return SCAN_GPT2;
  if (pn_str_is(pattern, scan_llama3_pattern)) return SCAN_LLAMA3;
  if (pn_str_is(pattern, scan_o200k_pattern)) return SCAN_O200K;
  bool qwen = pn_str_is(pattern, scan_qwen2_pattern) || pn_str_is(pattern, scan_qwen35_pattern);
  return qwen ? SCAN_QWEN2 : SCAN_NONE;
}

enum { LETTER = 1, DIGIT = 2, SPACE = 4, OTHER = 8, WIDE = 16 };

#define X8(x) x, x, x, x, x, x, x, x
#define X16(x) X8(x), X8(x)
#define O OTHER
#define L LETTER
#define S SPACE
static const unsigned char classes[256] = {
    X8(O),     O,         S,         S,         S,         S,         S,         O,         O,
    X16(O), // controls; 0x09..0x0D are spaces
    S,         O,         O,         O,         O,         O,         O,         O,
    X8(O), // blank and punctuation
    X8(DIGIT), DIGIT,     DIGIT,     O,         O,         O,         O,         O,
    O, // 0..9
    O,         L,         L,         L,         L,         L,         L,         L,         X8(L),
    X8(L),     L,         L,         L,         O,         O,         O,         O,         O, // @ A..Z
    O,         L,         L,         L,         L,         L,         L,         L,         X8(L),
    X8(L),     L,         L,         L,         O,         O,         O,         O,         O, // ` a..z
    X16(WIDE), X16(WIDE), X16(WIDE), X16(WIDE), X16(WIDE), X16(WIDE), X16(WIDE), X16(WIDE),
};
#undef O
#undef L
#undef S

typedef struct cursor {
  const unsigned char *p;
  size_t n;
} cursor;

static unsigned class_at(cursor c, size_t i) { return i < c.n ? classes[c.p[i]] : 0; }

// End of the run of one class from i, or 0 when a wide character ends it.
static size_t run(cursor c, size_t i, unsigned class) {
  while (i < c.n && classes[c.p[i]] == class) i++;
  return class_at(c, i) == WIDE ? 0 : i;
}

static size_t length(size_t at, size_t end) { return end ? end - at : 0; }

// Length of 's 't 're 've 'm 'll 'd at an apostrophe, else 0. `fold`: capitals count too.
static size_t contraction(cursor c, size_t at, unsigned fold) {
  if (at + 1 >= c.n) return 0;
  unsigned a = c.p[at + 1] | fold, b = at + 2 < c.n ? c.p[at + 2] | fold : 0;
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
  return ((a == 'r' || a == 'v') && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

// \s+(?!\S)|\s+ for the spaces [at, end): the last stays with what follows.
static size_t spaces(cursor c, size_t at, size_t end) {
  return end == c.n || end - at == 1 ? end - at : end - at - 1;
}

static size_t match_gpt2(cursor c, size_t at) {
  if (c.p[at] == '\'') {
    size_t n = contraction(c, at, 0);
    if (n) return n;
  }
  size_t body = at + (c.p[at] == ' ');
  unsigned class = class_at(c, body);
  if (class == WIDE) return 0;
  if (class & (LETTER | DIGIT | OTHER)) return length(at, run(c, body, class));
  size_t end = run(c, at, SPACE);
  return end ? spaces(c, at, end) : 0;
}

static bool is_break(cursor c, size_t i) { return i < c.n && (c.p[i] == '\r' || c.p[i] == '\n'); }

static size_t digits(cursor c, size_t at, size_t max) {
  size_t end = at + 1;
  while (end < at + max && class_at(c, end) == DIGIT) end++;
  return end < at + max && class_at(c, end) == WIDE ? 0 : end - at;
}

// Punctuation with one blank before it and line breaks (and slashes) behind it, or spaces.
static size_t match_rest(cursor c, size_t at, bool slashes) {
  size_t body = at + (c.p[at] == ' ');
  if (class_at(c, body) == OTHER) {
    size_t end = run(c, body, OTHER);
    while (end && (is_break(c, end) || (slashes && end < c.n && c.p[end] == '/'))) end++;
    return length(at, end);
  }
  size_t end = run(c, at, SPACE);
  if (end == 0) return 0;
  for (size_t i = end; i > at; i--)
    if (is_break(c, i - 1)) return i - at;
  return spaces(c, at, end);
}

static size_t match_llama3(cursor c, size_t at, size_t max_digits) {
  unsigned class = classes[c.p[at]], next = class_at(c, at + 1);
  if (next == WIDE && class != DIGIT) return 0;
  if (c.p[at] == '\'') {
    if (class_at(c, at + 2) == WIDE) return 0;
    size_t n = contraction(c, at, 0x20);
    if (n) return n;
  }
  if (class == LETTER) return length(at, run(c, at, LETTER));
  if (class == DIGIT) return digits(c, at, max_digits);
  if (next == LETTER && !is_break(c, at)) return length(at, run(c, at + 1, LETTER));
  return match_rest(c, at, false);
}

// Capitals, then small letters, then a contraction. Letters of other scripts may be both.
static size_t cased_word(cursor c, size_t at) {
  size_t end = at;
  while (end < c.n && c.p[end] >= 'A' && c.p[end] <= 'Z') end++;
  while (end < c.n && c.p[end] >= 'a' && c.p[end] <= 'z') end++;
  if (class_at(c, end) == WIDE) return 0;
  if (end == c.n || c.p[end] != '\'') return end;
  if (class_at(c, end + 1) == WIDE || class_at(c, end + 2) == WIDE) return 0;
  return end + contraction(c, end, 0x20);
}

static size_t match_o200k(cursor c, size_t at) {
  unsigned class = classes[c.p[at]], next = class_at(c, at + 1);
  if (class == DIGIT) return digits(c, at, 3);
  if (next == WIDE) return 0;
  if (class == LETTER) return length(at, cased_word(c, at));
  if (next == LETTER && !is_break(c, at)) return length(at, cased_word(c, at + 1));
  return match_rest(c, at, true);
}

size_t scan_match(scan_kind kind, pn_str s, size_t at) {
  cursor c = {(const unsigned char *)s.p, s.n};
  if (kind == SCAN_NONE || classes[c.p[at]] == WIDE) return 0;
  if (kind == SCAN_GPT2) return match_gpt2(c, at);
  if (kind == SCAN_O200K) return match_o200k(c, at);
  return match_llama3(c, at, kind == SCAN_LLAMA3 ? 3 : 1);
}
