// Settings as words: help, --print-config, and guessing what a misspelt word meant.
#include "cli/options.h"

#include <string.h>

// Insertions, deletions, replacements and swaps of neighbours that turn a into b; words longer than 31 are
// far apart.
static int distance(const char *a, const char *b) {
  size_t na = strlen(a), nb = strlen(b);
  int d[33][33];
  if (na > 31 || nb > 31) return 99;
  for (size_t i = 0; i <= na; i++) {
    for (size_t j = 0; j <= nb; j++) {
      if (i == 0 || j == 0) {
        d[i][j] = (int)(i + j);
        continue;
      }
      int best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
      if (d[i - 1][j] + 1 < best) best = d[i - 1][j] + 1;
      if (d[i][j - 1] + 1 < best) best = d[i][j - 1] + 1;
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && d[i - 2][j - 2] + 1 < best)
        best = d[i - 2][j - 2] + 1;
      d[i][j] = best;
    }
  }
  return d[na][nb];
}

const char *nearest_word(const char *word, const char *const *candidates, int n) {
  const char *best = NULL;
  size_t len = strlen(word);
  int least = len <= 4 ? 2 : len <= 7 ? 3 : 4; // a distance below this is near
  for (int i = 0; i < n; i++) {
    int d = distance(word, candidates[i]);
    // The beginning of a longer name is near too: --max-tok for --max-tokens.
    if (len >= 3 && strncmp(word, candidates[i], len) == 0) d = 1;
    if (d < least) least = d, best = candidates[i];
  }
  return best;
}

void options_print(const options *o, pn_buf *out) {
  for (int i = 0; i < o->n_values; i++) {
    const option_value *v = &o->values[i];
    char env[64];
    option_env_name(v->spec, env);
    const char *text = !v->text ? "-" : v->spec->kind == OPTION_SECRET ? "(hidden)" : v->text;
    pn_buf_printf(out, "%-16s %-24s ", v->spec->name, text);
    switch (v->source) {
    case FROM_DEFAULT: pn_buf_z(out, "default\n"); break;
    case FROM_CONFIG: pn_buf_printf(out, "config file %s\n", options_text(o, "config")); break;
    case FROM_ENVIRONMENT: pn_buf_printf(out, "environment %s\n", env); break;
    case FROM_FLAG: pn_buf_printf(out, "flag --%s\n", v->spec->name); break;
    }
  }
}

void options_help(unsigned verb, pn_buf *out) {
  for (const option_spec *s = option_table; s->name; s++) {
    if (!(s->verbs & verb) || !s->help) continue;
    char env[64];
    option_env_name(s, env);
    pn_buf flag = {0};
    if (s->kind != OPTION_SECRET) pn_buf_printf(&flag, "--%s", s->name);
    const char *value = s->kind == OPTION_CHOICE ? s->choices : s->arg;
    if (value) pn_buf_printf(&flag, " %s", value);
    if (flag.n)
      pn_buf_printf(out, "  %-28s %s", pn_buf_cstr(&flag), s->help);
    else
      pn_buf_printf(out, "  (environment only)           %s", s->help);
    if (s->fallback && s->kind != OPTION_SWITCH) pn_buf_printf(out, " (default: %s)", s->fallback);
    pn_buf_printf(out, " [%s]\n", env);
    pn_buf_fini(&flag);
  }
  pn_buf_z(out, "  --help                       this text\n");
}
