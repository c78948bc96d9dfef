#include "grammar/schema_report.h"

#include "base/utf8.h"

#include <string.h>

#define PATH_MAX_BYTES 160
#define LIST_MAX_BYTES 200
#define STRING_MAX_BYTES 40

place place_key(const place *up, pn_str key) {
  return (place){.up = up, .kind = STEP_KEY, .key = key, .depth = up->depth + 1};
}

place place_index(const place *up, size_t index) {
  return (place){.up = up, .kind = STEP_INDEX, .index = index, .depth = up->depth + 1};
}

place place_name(const place *up, pn_str key) {
  return (place){.up = up, .kind = STEP_NAME, .key = key, .depth = up->depth + 1};
}

static bool is_plain(pn_str key) {
  for (size_t i = 0; i < key.n; i++) {
    char c = key.p[i];
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$';
    if (!letter && !(i > 0 && ((c >= '0' && c <= '9') || c == '-'))) return false;
  }
  return key.n > 0 && key.n <= STRING_MAX_BYTES;
}

static void step_write(pn_buf *out, const place *at) {
  switch (at->kind) {
  case STEP_ROOT: pn_buf_z(out, "input"); break;
  case STEP_INDEX: pn_buf_printf(out, "[%zu]", at->index); break;
  case STEP_NAME: pn_buf_printf(out, " (the name %s)", show_str(at->key).s); break;
  case STEP_KEY:
    if (is_plain(at->key)) {
      pn_buf_char(out, '.');
      pn_buf_str(out, at->key);
    } else {
      pn_buf_printf(out, "[%s]", show_str(at->key).s);
    }
    break;
  }
}

void place_write(pn_buf *out, const place *at) {
  // From the end, until there is no room: of a long path the end says more.
  const place *steps[PATH_MAX_BYTES];
  size_t n = 0;
  pn_buf one = {0};
  for (size_t used = 0; at && n < PATH_MAX_BYTES; at = at->up) {
    pn_buf_clear(&one);
    step_write(&one, at);
    used += one.n;
    if (n && used > PATH_MAX_BYTES) break;
    steps[n++] = at;
  }
  pn_buf_fini(&one);
  if (at) pn_buf_z(out, "input...");
  while (n > 0) step_write(out, steps[--n]);
}

shown show_str(pn_str s) {
  pn_buf b = {0};
  shown r = {0};
  bool cut = s.n > STRING_MAX_BYTES;
  if (cut) s.n = pn_utf8_complete((pn_str){s.p, STRING_MAX_BYTES});
  pn_json_write_str(&b, s);
  // Escapes can make it six times as long.
  size_t n = b.n;
  if (n >= sizeof r.s - 3) n = pn_utf8_complete((pn_str){b.p, sizeof r.s - 4}), cut = true;
  if (b.p) memcpy(r.s, b.p, n);
  if (cut) memcpy(r.s + n, "...", 3);
  pn_buf_fini(&b);
  return r;
}

shown show(const pn_json *v) {
  pn_json_type t = pn_json_type_of(v);
  if (t == PN_JSON_STRING) return show_str(pn_json_str(v));
  pn_buf b = {0};
  shown r = {0};
  if (t == PN_JSON_ARRAY || t == PN_JSON_OBJECT || t == PN_JSON_MISSING)
    pn_buf_z(&b, pn_json_type_name(t));
  else
    pn_json_write(&b, v);
  if (b.p) memcpy(r.s, b.p, b.n < sizeof r.s ? b.n : sizeof r.s - 1);
  pn_buf_fini(&b);
  return r;
}

void show_list(pn_buf *out, const pn_json *array) {
  size_t n = pn_json_len(array), start = out->n;
  for (size_t i = 0; i < n; i++) {
    if (i) pn_buf_z(out, i + 1 == n ? " or " : ", ");
    if (out->n - start > LIST_MAX_BYTES) {
      pn_buf_z(out, "...");
      return;
    }
    pn_buf_z(out, show(pn_json_at(array, i)).s);
  }
}
