// Reading the text that a registry writes.
#ifndef PN_TESTS_METRICS_TEXT_H
#define PN_TESTS_METRICS_TEXT_H

#include "base/metrics.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct text_line {
  char name[128], series[512]; // of "name{labels} value": the name, and all before the value
  double value;
} text_line;

// The next sample; false at the end. Comments are passed over.
static inline bool text_next(const char **at, text_line *out) {
  while (**at == '#') *at = strchr(*at, '\n') + 1;
  if (!**at) return false;
  const char *end = strchr(*at, '\n'), *p = *at;
  assert_non_null(end);
  size_t n = strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:");
  assert_true(n > 0 && n < sizeof out->name && (*p < '0' || *p > '9'));
  snprintf(out->name, sizeof out->name, "%.*s", (int)n, p);
  p += n;
  for (char before = *p == '{' ? '{' : 0; before && *p != '}';) { // name="value" and a comma, again and again
    assert_true(*p++ == before);
    before = ',';
    size_t label = strspn(p, "abcdefghijklmnopqrstuvwxyz_");
    assert_true(label > 0 && strncmp(p + label, "=\"", 2) == 0);
    for (p += label + 2; *p != '"'; p++) {
      assert_true(p < end && *p);
      if (*p == '\\') assert_non_null(memchr("\\\"n", *++p, 3));
    }
    p++;
  }
  if (*p == '}') p++;
  assert_true(*p == ' ' && (size_t)(p - *at) < sizeof out->series);
  snprintf(out->series, sizeof out->series, "%.*s", (int)(p - *at), *at);
  char *number_end;
  out->value = strtod(p + 1, &number_end);
  assert_true(number_end == end);
  *at = end + 1;
  return true;
}

// Where the line of a series begins in a text; NULL: nowhere.
static inline const char *text_find(const char *text, const char *series) {
  size_t n = strlen(series);
  for (const char *p = text; (p = strstr(p, series)); p += n)
    if ((p == text || p[-1] == '\n') && p[n] == ' ') return p;
  return NULL;
}

static inline double text_value(const char *text, const char *series) {
  const char *at = text_find(text, series);
  if (!at) fail_msg("no series %s", series);
  return at ? strtod(at + strlen(series), NULL) : 0;
}

static inline bool text_ends(const char *s, const char *end) {
  size_t n = strlen(s), k = strlen(end);
  return n >= k && strcmp(s + n - k, end) == 0;
}

// The text is well formed: every family has HELP and then TYPE, once and before its samples, which stand
// together; counters end in _total; no series comes twice.
static inline void text_check(const char *text) {
  char family[128] = "", kind[16] = "";
  for (const char *at = text; *at;) {
    if (*at == '#') {
      char typed[128];
      int n = 0;
      assert_int_equal(sscanf(at, "# HELP %127s %*[^\n]%n", family, &n), 1);
      assert_true(n > 0 && at[n] == '\n');
      at += n + 1;
      assert_int_equal(sscanf(at, "# TYPE %127s %15s", typed, kind), 2);
      assert_string_equal(typed, family);
      at = strchr(at, '\n') + 1;
      char again[160];
      snprintf(again, sizeof again, "# HELP %s ", family);
      assert_null(strstr(at, again));
      assert_int_equal(text_ends(family, "_total"), strcmp(kind, "counter") == 0);
      assert_true(*at && *at != '#');
      continue;
    }
    text_line line;
    size_t n = strlen(family);
    assert_true(text_next(&at, &line));
    assert_true(n > 0 && strncmp(line.name, family, n) == 0);
    const char *rest = line.name + n;
    if (strcmp(kind, "histogram") == 0)
      assert_true(!strcmp(rest, "_bucket") || !strcmp(rest, "_sum") || !strcmp(rest, "_count"));
    else
      assert_string_equal(rest, "");
    assert_null(text_find(at, line.series));
  }
}

// What a registry writes, for free().
static inline char *text_of(pn_metrics *m) {
  pn_buf out = {0};
  pn_metrics_write(m, &out);
  pn_buf_cstr(&out);
  return out.p;
}

// The samples of `after` that `before` doesn't have, one a line as "series value", without buckets. For
// free().
static inline char *text_changes(const char *before, const char *after) {
  pn_buf out = {0};
  text_line a;
  while (text_next(&after, &a)) {
    if (text_ends(a.name, "_bucket")) continue;
    const char *was = text_find(before, a.series);
    if (!was || strtod(was + strlen(a.series), NULL) != a.value)
      pn_buf_printf(&out, "%s %.9g\n", a.series, a.value);
  }
  pn_buf_cstr(&out);
  return out.p;
}

#endif
