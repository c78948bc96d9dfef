#include "tokenizer/splitter.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

struct splitter {
  pcre2_code *code;
  bool jit;
};

struct splitter_match {
  pcre2_match_data *data;
  pcre2_match_context *context;
};

// Unicode's White_Space, which is what \s means here. PCRE2's own \s also takes U+180E.
#define SPACES                                                                                               \
  "\\x09-\\x0d\\x20\\x85\\xa0\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define NOT_SPACES                                                                                           \
  "\\x00-\\x08\\x0e-\\x1f\\x21-\\x84\\x86-\\x9f\\xa1-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}"        \
  "\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{10ffff}"

// Write the pattern with every \s and \S spelled out.
static void translate(pn_buf *out, pn_str p) {
  bool in_class = false;
  for (size_t i = 0; i < p.n; i++) {
    char c = p.p[i];
    if (c == '\\' && i + 1 < p.n) {
      char d = p.p[++i];
      if (d == 's' || d == 'S')
        pn_buf_z(out, in_class   ? (d == 's' ? SPACES : NOT_SPACES)
                      : d == 's' ? "[" SPACES "]"
                                 : "[^" SPACES "]");
      else
        pn_buf_char(out, c), pn_buf_char(out, d);
      continue;
    }
    pn_buf_char(out, c);
    if (c == '[' && !in_class) {
      in_class = true;
      if (i + 1 < p.n && p.p[i + 1] == '^') pn_buf_char(out, p.p[++i]);
      if (i + 1 < p.n && p.p[i + 1] == ']') pn_buf_z(out, "\\]"), i++;
    } else if (c == ']')
      in_class = false;
  }
}

splitter *splitter_new(pn_str pattern, bool literal, const char *where, pn_error *e) {
  pn_buf text = {0};
  splitter *s = calloc(1, sizeof *s);
  if (literal)
    pn_buf_str(&text, pattern);
  else
    translate(&text, pattern);
  if (!s || text.oom) {
    pn_fail(e, PN_ERR_NOMEM, "%s: out of memory for a pattern", where);
    goto fail;
  }
  int code;
  PCRE2_SIZE at;
  uint32_t options = literal ? PCRE2_UTF | PCRE2_LITERAL : PCRE2_UTF | PCRE2_UCP;
  s->code = pcre2_compile((PCRE2_SPTR)(text.p ? text.p : ""), text.n, options, &code, &at, NULL);
  if (!s->code) {
    char why[160] = "";
    pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
    pn_fail(e, PN_ERR_UNSUPPORTED, "%s: the pattern \"%.*s\" is not understood: %s", where,
            pattern.n < 120 ? (int)pattern.n : 120, pattern.p, why);
    goto fail;
  }
  s->jit = pcre2_jit_compile(s->code, PCRE2_JIT_COMPLETE) == 0;
  pn_buf_fini(&text);
  return s;
fail:
  pn_buf_fini(&text);
  free(s);
  return NULL;
}

void splitter_free(splitter *s) {
  if (!s) return;
  pcre2_code_free(s->code);
  free(s);
}

splitter_match *splitter_match_new(pn_error *e) {
  splitter_match *m = calloc(1, sizeof *m);
  if (m) {
    m->data = pcre2_match_data_create(1, NULL);
    m->context = pcre2_match_context_create(NULL);
  }
  if (m && m->data && m->context) return m;
  splitter_match_free(m);
  pn_fail(e, PN_ERR_NOMEM, "out of memory for splitting text");
  return NULL;
}

void splitter_match_free(splitter_match *m) {
  if (!m) return;
  pcre2_match_context_free(m->context);
  pcre2_match_data_free(m->data);
  free(m);
}

splitter_found splitter_next(const splitter *s, splitter_match *m, pn_str text, size_t from, pn_span *hit,
                             pn_error *e) {
  PCRE2_SPTR p = (PCRE2_SPTR)(text.p ? text.p : "");
  int rc = PCRE2_ERROR_JIT_STACKLIMIT;
  if (s->jit) rc = pcre2_jit_match(s->code, p, text.n, from, 0, m->data, m->context);
  if (rc == PCRE2_ERROR_JIT_STACKLIMIT || rc == PCRE2_ERROR_MATCHLIMIT) {
    // Backtracking over a long run takes a few steps a byte; more than that is a pattern gone wild.
    size_t steps = 10000000 + 16 * (text.n - from);
    pcre2_set_match_limit(m->context, steps < UINT32_MAX ? (uint32_t)steps : UINT32_MAX);
    rc = pcre2_match(s->code, p, text.n, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, m->data, m->context);
  }
  if (rc == PCRE2_ERROR_NOMATCH) return SPLITTER_NONE;
  if (rc < 0) {
    char why[160] = "";
    pcre2_get_error_message(rc, (PCRE2_UCHAR *)why, sizeof why);
    pn_fail(e, rc == PCRE2_ERROR_NOMEMORY ? PN_ERR_NOMEM : PN_ERR_LIMIT,
            "splitting the text with the tokenizer's pattern failed: %s", why);
    return SPLITTER_FAILED;
  }
  const PCRE2_SIZE *v = pcre2_get_ovector_pointer(m->data);
  *hit = (pn_span){v[0], v[1]};
  if (v[0] <= v[1] && v[0] >= from) return SPLITTER_HIT; // \K could turn it round
  pn_fail(e, PN_ERR_UNSUPPORTED, "the tokenizer's pattern moves its own start with \\K");
  return SPLITTER_FAILED;
}
