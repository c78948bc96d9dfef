#include "grammar/schema_path.h"

#include "grammar/schema_forms.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool find(pn_buf *out, const pn_json *at, const pn_json *node) {
  size_t n = out->n;
  if (at == node) return true;
  for (size_t i = 0; pn_json_is(at, PN_JSON_ARRAY) && i < pn_json_len(at); i++) {
    pn_buf_printf(out, "%s%zu", n ? "." : "", i);
    if (find(out, pn_json_at(at, i), node)) return true;
    out->n = n;
  }
  for (const pn_json_member *it = pn_json_first(at); it; it = pn_json_next(at, it)) {
    if (n) pn_buf_char(out, '.');
    pn_buf_str(out, pn_json_key(it));
    if (find(out, pn_json_value(it), node)) return true;
    out->n = n;
  }
  return false;
}

void schema_path_write(pn_buf *out, const pn_json *root, const pn_json *node) { find(out, root, node); }

static int hex(char c) {
  return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

// One step of a JSON pointer (RFC 6901), with the escapes of a URI fragment.
static void read_step(pn_str *rest, pn_buf *step) {
  pn_buf_clear(step);
  while (rest->n && *rest->p != '/') {
    char c = *rest->p;
    size_t n = 1;
    if (c == '%' && rest->n >= 3 && hex(rest->p[1]) >= 0 && hex(rest->p[2]) >= 0) {
      c = (char)(hex(rest->p[1]) * 16 + hex(rest->p[2]));
      n = 3;
    } else if (c == '~' && rest->n >= 2 && (rest->p[1] == '0' || rest->p[1] == '1')) {
      c = rest->p[1] == '0' ? '~' : '/';
      n = 2;
    }
    pn_buf_char(step, c);
    *rest = (pn_str){rest->p + n, rest->n - n};
  }
}

const pn_json *schema_target(const pn_json *root, pn_str ref) {
  pn_buf step = {0};
  const pn_json *at = root;
  if (ref.n == 0 || *ref.p != '#') return NULL;
  pn_str rest = {ref.p + 1, ref.n - 1};
  while (at && rest.n) {
    if (*rest.p != '/') {
      at = NULL; // the name of an anchor
      break;
    }
    rest = (pn_str){rest.p + 1, rest.n - 1};
    read_step(&rest, &step);
    const char *key = pn_buf_cstr(&step);
    at = pn_json_is(at, PN_JSON_ARRAY) ? pn_json_at(at, strtoul(key, NULL, 10)) : pn_json_get(at, key);
  }
  pn_buf_fini(&step);
  return pn_json_is(at, PN_JSON_OBJECT) || pn_json_is(at, PN_JSON_BOOL) ? at : NULL;
}
