#include "api/query.h"

static int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = (char)(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void query_unescape(pn_buf *out, pn_str s, bool form) {
  for (size_t i = 0; i < s.n; i++) {
    int hi = s.p[i] == '%' && i + 2 < s.n ? hex(s.p[i + 1]) : -1;
    int lo = hi >= 0 ? hex(s.p[i + 2]) : -1;
    char c = form && s.p[i] == '+' ? ' ' : s.p[i];
    if (lo >= 0) {
      c = (char)(hi << 4 | lo);
      i += 2;
    }
    pn_buf_char(out, c);
  }
}

bool query_get(pn_str query, const char *name, pn_buf *value) {
  while (query.n) {
    size_t end = pn_str_find(query, PN_STR("&"), 0);
    pn_str pair = {query.p, end < query.n ? end : query.n};
    size_t sign = pn_str_find(pair, PN_STR("="), 0);
    pn_str key = {pair.p, sign < pair.n ? sign : pair.n};
    if (pn_str_is(key, name)) {
      size_t from = sign < pair.n ? sign + 1 : pair.n;
      query_unescape(value, (pn_str){pair.p + from, pair.n - from}, true);
      return true;
    }
    size_t skip = pair.n < query.n ? pair.n + 1 : query.n;
    query = (pn_str){query.p + skip, query.n - skip};
  }
  return false;
}

static const shape any_string = {.types = SHAPE_STRING};
static const shape page_limit = {.types = SHAPE_INT, .bounded = true, .min = 1, .max = 1000};
const shape_field query_page[] = {
    {"limit", &page_limit, false, "How many to list at most. Default 20."},
    {"after_id", &any_string, false, "List those behind this one."},
    {"before_id", &any_string, false, "List those before this one."},
    {0},
};
#define DEFAULT_LIMIT 20

// Digits alone. False when the number is none or beyond the shape's bounds.
static bool read_count(pn_str s, const shape *bounds, int *value) {
  double v = 0;
  for (size_t i = 0; i < s.n; i++) {
    if (s.p[i] < '0' || s.p[i] > '9') return false;
    v = v * 10 + (s.p[i] - '0');
  }
  if (!s.n || v < bounds->min || v > bounds->max) return false;
  *value = (int)v;
  return true;
}

bool query_limit(pn_str query, int *limit, pn_error *e) {
  pn_buf text = {0};
  *limit = DEFAULT_LIMIT;
  bool ok = !query_get(query, "limit", &text) || read_count(pn_buf_view(&text), &page_limit, limit);
  pn_buf_fini(&text);
  return ok || pn_fail(e, PN_ERR_USAGE, "limit: Input should be an integer from %g to %g", page_limit.min,
                       page_limit.max);
}
