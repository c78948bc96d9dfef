#include "api/query.h"

#include <stdlib.h>

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

bool query_limit(pn_str query, int otherwise, int most, int *limit, pn_error *e) {
  pn_buf text = {0};
  bool ok = true;
  *limit = otherwise;
  if (query_get(query, "limit", &text)) {
    char *end;
    long n = strtol(pn_buf_cstr(&text), &end, 10);
    ok = text.n > 0 && *end == '\0' && n >= 1 && n <= most;
    if (ok) *limit = (int)n;
  }
  pn_buf_fini(&text);
  return ok || pn_fail(e, PN_ERR_USAGE, "limit: Input should be an integer from 1 to %d", most);
}
