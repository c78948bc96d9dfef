#include "grammar/regex_class.h"

#include <stdlib.h>

void char_set_add(char_set *s, uint32_t lo, uint32_t hi) {
  if (s->n == REGEX_MAX_RANGES) {
    s->full = true;
    return;
  }
  s->lo[s->n] = lo;
  s->hi[s->n++] = hi;
}

static void char_set_add_set(char_set *s, const char_set *other) {
  for (int i = 0; i < other->n; i++) char_set_add(s, other->lo[i], other->hi[i]);
  s->full |= other->full;
}

// Insertion: sets are short.
static void sort(char_set *s) {
  for (int i = 1; i < s->n; i++) {
    uint32_t lo = s->lo[i], hi = s->hi[i];
    int at = i;
    for (; at > 0 && s->lo[at - 1] > lo; at--) {
      s->lo[at] = s->lo[at - 1];
      s->hi[at] = s->hi[at - 1];
    }
    s->lo[at] = lo;
    s->hi[at] = hi;
  }
}

void char_set_invert(char_set *s) {
  char_set out = {.full = s->full};
  uint32_t next = 0; // the first character that may be outside
  sort(s);
  for (int i = 0; i < s->n; i++) {
    if (s->lo[i] > next) char_set_add(&out, next, s->lo[i] - 1);
    if (s->hi[i] + 1 > next) next = s->hi[i] + 1;
  }
  if (next <= REGEX_LAST_CHAR) char_set_add(&out, next, REGEX_LAST_CHAR);
  *s = out;
}

bool char_set_named(char_set *s, char letter) {
  static const uint32_t digits[][2] = {{'0', '9'}, {0}},
                        words[][2] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}, {0}},
                        spaces[][2] = {{'\t', '\r'},
                                       {' ', ' '},
                                       {0xA0, 0xA0},
                                       {0x1680, 0x1680},
                                       {0x2000, 0x200A},
                                       {0x2028, 0x2029},
                                       {0x202F, 0x202F},
                                       {0x205F, 0x205F},
                                       {0x3000, 0x3000},
                                       {0xFEFF, 0xFEFF},
                                       {0}};
  char lower = (char)(letter | 0x20);
  const uint32_t(*ranges)[2] = lower == 'd' ? digits : lower == 'w' ? words : lower == 's' ? spaces : NULL;
  char_set named = {0};
  if (!ranges) return false;
  for (; (*ranges)[1]; ranges++) char_set_add(&named, (*ranges)[0], (*ranges)[1]);
  if (letter != lower) char_set_invert(&named);
  char_set_add_set(s, &named);
  return true;
}

void char_set_dot(char_set *s) {
  *s = (char_set){0};
  char_set_add(s, '\n', '\n');
  char_set_add(s, '\r', '\r');
  char_set_add(s, 0x2028, 0x2029);
  char_set_invert(s);
}

void char_set_write(char_set *s, nfa *n, int32_t from, int32_t to) {
  int32_t tail[4] = {to, -1, -1, -1};
  sort(s);
  for (int i = 0; i < s->n;) {
    uint32_t lo = s->lo[i], hi = s->hi[i];
    for (i++; i < s->n && s->lo[i] <= hi + 1; i++)
      if (s->hi[i] > hi) hi = s->hi[i];
    nfa_chars(n, from, lo, hi, tail);
  }
}
