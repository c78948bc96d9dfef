// The named formats of JSON Schema as patterns.
#include "grammar/regex.h"

// RFC 3339. Days by month; the 29th of February in leap years only.
#define YEAR_4 "([0-9][0-9](0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)"
#define YEAR "([1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
#define DATE                                                                                                 \
  "(" YEAR "-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]" \
  "|2[0-8]))|" YEAR_4 "-02-29)"
#define TIME                                                                                                 \
  "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
#define HEX "[0-9a-fA-F]"
#define BYTE "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
// RFC 3986, absolute: scheme, then an authority and a path, or a path; query; fragment.
#define PCHAR "([A-Za-z0-9._~!$&'()*+,;=:@-]|%" HEX HEX ")"
#define URI                                                                                                  \
  "[A-Za-z][A-Za-z0-9+.-]*:(//([A-Za-z0-9._~!$&'()*+,;=:@-]|%" HEX HEX ")*(/" PCHAR "*)*|/?(" PCHAR          \
  "+(/" PCHAR "*)*)?)(\\?(" PCHAR "|[/?])*)?(#(" PCHAR "|[/?])*)?"

static const struct {
  const char *name, *pattern;
} formats[] = {
    {"date", "^" DATE "$"},
    {"date-time", "^" DATE "[Tt]" TIME "$"},
    {"time", "^" TIME "$"},
    {"uuid", "^" HEX "{8}-" HEX "{4}-" HEX "{4}-" HEX "{4}-" HEX "{12}$"},
    // RFC 5321's mailbox without quoted parts and address literals.
    {"email", "^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\\.[A-Za-z0-9!#$%&'*+/"
              "=?^_`{|}~-]+)*@[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
              "(\\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$"},
    {"ipv4", "^(" BYTE "\\.){3}" BYTE "$"},
    {"uri", "^" URI "$"},
};

static const char *pattern_of(pn_str format) {
  for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
    if (pn_str_is(format, formats[i].name)) return formats[i].pattern;
  return NULL;
}

bool format_known(pn_str format) { return pattern_of(format) != NULL; }

dfa *format_compile(pn_str format, pn_error *e) {
  const char *pattern = pattern_of(format);
  if (e) *e = (pn_error){0};
  return pattern ? regex_compile(pn_str_of(pattern), e) : NULL;
}
