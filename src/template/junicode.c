#include "template/junicode.h"

#include "base/utf8.h"
#include "template/junicode_tables.h"

static bool in_ranges(const uint32_t (*r)[2], size_t n, uint32_t cp) {
  size_t lo = 0, hi = n;
  while (lo < hi) {
    size_t mid = lo + (hi - lo) / 2;
    if (cp < r[mid][0])
      hi = mid;
    else if (cp > r[mid][1])
      lo = mid + 1;
    else
      return true;
  }
  return false;
}

#define IN(table, cp) in_ranges(table, sizeof table / sizeof *table, cp)

static bool ascii_lower(uint32_t cp) { return cp >= 'a' && cp <= 'z'; }
static bool ascii_upper(uint32_t cp) { return cp >= 'A' && cp <= 'Z'; }
static bool ascii_digit(uint32_t cp) { return cp >= '0' && cp <= '9'; }

bool junicode_is_space(uint32_t cp) {
  if (cp < 0x80) return (cp >= 9 && cp <= 13) || (cp >= 0x1C && cp <= 0x20);
  return cp == 0x85 || cp == 0xA0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 ||
         cp == 0x2029 || cp == 0x202F || cp == 0x205F || cp == 0x3000;
}

bool junicode_is_line_end(uint32_t cp) {
  return (cp >= 10 && cp <= 13) || (cp >= 0x1C && cp <= 0x1E) || cp == 0x85 || cp == 0x2028 || cp == 0x2029;
}

bool junicode_is_printable(uint32_t cp) {
  return cp < 0x80 ? cp >= 0x20 && cp < 0x7F : !IN(hidden_ranges, cp);
}
bool junicode_is_alpha(uint32_t cp) {
  return cp < 0x80 ? ascii_lower(cp) || ascii_upper(cp) : IN(alpha_ranges, cp);
}
bool junicode_is_decimal(uint32_t cp) { return cp < 0x80 ? ascii_digit(cp) : IN(decimal_ranges, cp); }
bool junicode_is_digit(uint32_t cp) { return cp < 0x80 ? ascii_digit(cp) : IN(digit_ranges, cp); }
bool junicode_is_numeric(uint32_t cp) { return cp < 0x80 ? ascii_digit(cp) : IN(numeric_ranges, cp); }

static int map_special(const uint32_t (*special)[4], size_t n, uint32_t cp, uint32_t out[3]) {
  for (size_t i = 0; i < n; i++) {
    if (special[i][0] != cp) continue;
    int len = 0;
    while (len < 3 && special[i][1 + len]) {
      out[len] = special[i][1 + len];
      len++;
    }
    return len;
  }
  return 0;
}

static uint32_t map_simple(const int32_t (*map)[4], size_t n, uint32_t cp) {
  // The ranges of step 2 may interleave, so that the first row that could hold cp need not be the one.
  for (size_t i = 0; i < n && (uint32_t)map[i][0] <= cp; i++) {
    uint32_t first = (uint32_t)map[i][0];
    if (cp <= (uint32_t)map[i][1] && (cp - first) % (uint32_t)map[i][2] == 0)
      return (uint32_t)((int32_t)cp + map[i][3]);
  }
  return cp;
}

#define SIZE(table) (sizeof table / sizeof *table)

int junicode_map(junicode_case to, uint32_t cp, uint32_t out[3]) {
  out[0] = cp;
  if (cp < 0x80) {
    if (to == JUNICODE_LOWER && ascii_upper(cp)) out[0] = cp + 32;
    if (to != JUNICODE_LOWER && ascii_lower(cp)) out[0] = cp - 32;
    return 1;
  }
  int n = 0;
  switch (to) {
  case JUNICODE_LOWER:
    n = map_special(lower_special, SIZE(lower_special), cp, out);
    if (!n) out[0] = map_simple(lower_map, SIZE(lower_map), cp);
    break;
  case JUNICODE_UPPER:
    n = map_special(upper_special, SIZE(upper_special), cp, out);
    if (!n) out[0] = map_simple(upper_map, SIZE(upper_map), cp);
    break;
  case JUNICODE_TITLE:
    n = map_special(title_special, SIZE(title_special), cp, out);
    if (!n) out[0] = map_simple(title_map, SIZE(title_map), cp);
    break;
  }
  return n ? n : 1;
}

bool junicode_is_lower(uint32_t cp) {
  uint32_t out[3];
  return junicode_map(JUNICODE_UPPER, cp, out) > 1 || out[0] != cp;
}

bool junicode_is_upper(uint32_t cp) {
  uint32_t out[3];
  return junicode_map(JUNICODE_LOWER, cp, out) > 1 || out[0] != cp;
}

size_t junicode_at(pn_str s, size_t at, uint32_t *cp) {
  unsigned char c = (unsigned char)s.p[at];
  if (c < 0x80) return *cp = c, 1;
  size_t n = pn_utf8_decode(s, at, cp);
  if (n == 0) *cp = 0xFFFD;
  return n ? n : 1;
}

size_t junicode_before(pn_str s, size_t end, uint32_t *cp) {
  size_t at = end - 1;
  while (at > 0 && end - at < 4 && ((unsigned char)s.p[at] & 0xC0) == 0x80) at--;
  size_t n = junicode_at((pn_str){s.p, end}, at, cp);
  if (n == end - at) return n;
  *cp = 0xFFFD;
  return 1;
}
