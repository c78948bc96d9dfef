// Patterns and formats by POSIX regular expressions, for as long as src/grammar/ has no compiler of its own: it is
// linked behind the room, so whatever the room defines itself is taken instead.
#include "grammar/regex.h"

#include <regex.h>
#include <stdlib.h>
#include <string.h>

struct dfa {
  regex_t re;
};

// What ECMA writes and POSIX does not, as far as the tests need it.
static void translate(pn_str pattern, pn_buf *out) {
  bool in_set = false;
  for (size_t i = 0; i < pattern.n; i++) {
    char c = pattern.p[i], next = i + 1 < pattern.n ? pattern.p[i + 1] : '\0';
    if (c == '[') in_set = true;
    if (c == ']') in_set = false;
    if (c == '\\' && strchr("dwsn-/", next) && next) {
      const char *set = next == 'd' ? "0-9" : next == 'w' ? "A-Za-z0-9_" : next == 's' ? " \t\r\n" : "";
      if (*set)
        pn_buf_printf(out, in_set ? "%s" : "[%s]", set);
      else
        pn_buf_char(out, next == 'n' ? '\n' : next);
      i++;
    } else if (c == '(' && pn_str_starts((pn_str){pattern.p + i, pattern.n - i}, PN_STR("(?:"))) {
      pn_buf_char(out, '(');
      i += 2;
    } else {
      pn_buf_char(out, c);
    }
  }
}

dfa *regex_compile(pn_str pattern, pn_error *e) {
  pn_buf posix = {0};
  dfa *d = calloc(1, sizeof *d);
  translate(pattern, &posix);
  int status = d ? regcomp(&d->re, pn_buf_cstr(&posix), REG_EXTENDED | REG_NOSUB) : REG_ESPACE;
  pn_buf_fini(&posix);
  if (!status) return d;
  free(d);
  pn_fail(e, PN_ERR_UNSUPPORTED, "not a regular expression");
  return NULL;
}

dfa *format_compile(pn_str format, pn_error *e) {
#define DATE "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
#define OCTET "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
  static const char *const known[][2] = {
      {"date", "^" DATE "$"},
      {"date-time", "^" DATE "[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]+)?"
                    "([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"},
      {"uuid", "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"},
      {"email", "^[^@ ]+@[^@ ]+$"},
      {"ipv4", "^" OCTET "(\\." OCTET "){3}$"},
      {"uri", "^[A-Za-z][A-Za-z0-9+.-]*:[^ ]*$"},
  };
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (pn_str_is(format, known[i][0])) return regex_compile(pn_str_of(known[i][1]), e);
  return NULL;
}

bool dfa_accepts(const dfa *d, pn_str text) {
  char *z = pn_str_dup(text);
  bool found = z && regexec(&d->re, z, 0, NULL, 0) == 0;
  free(z);
  return found;
}

void dfa_free(dfa *d) {
  if (d) regfree(&d->re);
  free(d);
}
