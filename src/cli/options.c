#include "cli/options.h"

#include "base/map.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void option_env_name(const option_spec *s, char out[64]) {
  if (s->env) {
    snprintf(out, 64, "%s", s->env);
    return;
  }
  int n = snprintf(out, 64, "PENSIEVE_%s", s->name);
  for (int i = 0; i < n; i++) out[i] = (char)(out[i] == '-' ? '_' : toupper((unsigned char)out[i]));
}

// Index of the value, or -1.
static int find(const options *o, const char *name, size_t n) {
  for (int i = 0; i < o->n_values; i++)
    if (strlen(o->values[i].spec->name) == n && strncmp(o->values[i].spec->name, name, n) == 0) return i;
  return -1;
}

static const option_value *get(const options *o, const char *name) {
  int i = find(o, name, strlen(name));
  assert(i >= 0);
  return &o->values[i];
}

// --- checking ----------------------------------------------------------------------------------------------

static bool parse_switch(const char *text, bool *on) {
  static const char *const yes[] = {"true", "1", "yes", "on"}, *const no[] = {"false", "0", "no", "off"};
  for (int i = 0; i < 4; i++) {
    if (strcmp(text, yes[i]) == 0) return *on = true, true;
    if (strcmp(text, no[i]) == 0) return *on = false, true;
  }
  return false;
}

// A size such as 8G, 1.5GiB, 500000000 or 80%. *share is set for a percentage, else *bytes.
static bool parse_bytes(const char *text, double *bytes, double *share) {
  char *end;
  errno = 0;
  double v = strtod(text, &end);
  if (end == text || errno || !isfinite(v) || v <= 0 || !isdigit((unsigned char)text[0])) return false;
  *share = 0;
  if (strcmp(end, "%") == 0) {
    *share = v / 100;
    return v <= 100;
  }
  static const char units[] = "KMGT";
  const char *unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
  if (unit) {
    v = ldexp(v, 10 * (int)(unit - units + 1));
    end++;
    if (strcmp(end, "iB") == 0 || strcmp(end, "B") == 0) end += strlen(end);
  }
  *bytes = v;
  return *end == '\0' && v >= 1 && v < 0x1p63;
}

static bool is_choice(const char *choices, const char *text) {
  size_t n = strlen(text);
  for (const char *at = choices; n && at; at = strchr(at, '|'), at = at ? at + 1 : NULL)
    if (strncmp(at, text, n) == 0 && (at[n] == '|' || at[n] == '\0')) return true;
  return false;
}

bool option_offers(const char *name, const char *choice) {
  for (const option_spec *s = option_table; s->name; s++)
    if (s->kind == OPTION_CHOICE && strcmp(s->name, name) == 0) return is_choice(s->choices, choice);
  return false;
}

static bool parse_number(const option_spec *s, const char *text, double *out) {
  char *end;
  errno = 0;
  if (!isdigit((unsigned char)*text) && !strchr("+-.", *text)) return false;
  *out = strtod(text, &end);
  if (end == text || *end || errno || !isfinite(*out)) return false;
  if (s->kind == OPTION_INT && (strpbrk(text, ".eExX") || *out != floor(*out))) return false;
  return *out >= s->min && *out <= s->max;
}

static bool check_value(const options *o, const option_value *v, pn_error *e) {
  const option_spec *s = v->spec;
  char origin[128], range[80];
  double a, b;
  bool on;
  options_origin(o, s->name, origin);
  switch (s->kind) {
  case OPTION_TEXT:
  case OPTION_SECRET: return true;
  case OPTION_SWITCH:
    if (parse_switch(v->text, &on)) return true;
    return pn_fail(e, PN_ERR_USAGE, "%s: expected true or false, found \"%s\"", origin, v->text);
  case OPTION_CHOICE:
    if (is_choice(s->choices, v->text)) return true;
    return pn_fail(e, PN_ERR_USAGE, "%s: expected one of %s, found \"%s\"", origin, s->choices, v->text);
  case OPTION_BYTES:
    if (parse_bytes(v->text, &a, &b)) return true;
    return pn_fail(e, PN_ERR_USAGE, "%s: expected a size such as 8G, 500M or 80%%, found \"%s\"", origin,
                   v->text);
  case OPTION_INT:
  case OPTION_NUMBER: break;
  }
  if (parse_number(s, v->text, &a)) return true;
  if (s->max >= 2147483647)
    snprintf(range, sizeof range, "of %.15g or more", s->min);
  else
    snprintf(range, sizeof range, "from %.15g to %.15g", s->min, s->max);
  return pn_fail(e, PN_ERR_USAGE, "%s: expected %s %s, found \"%s\"", origin,
                 s->kind == OPTION_INT ? "a whole number" : "a number", range, v->text);
}

// --- sources -----------------------------------------------------------------------------------------------

static bool set(options *o, option_value *v, const char *text, option_source source, pn_error *e) {
  v->text = text;
  v->source = source;
  return check_value(o, v, e);
}

static bool read_environment(options *o, pn_error *e) {
  for (int i = 0; i < o->n_values; i++) {
    char name[64];
    option_env_name(o->values[i].spec, name);
    const char *text = getenv(name);
    if (!text || !*text || o->values[i].source > FROM_ENVIRONMENT) continue;
    if (!set(o, &o->values[i], text, FROM_ENVIRONMENT, e)) return false;
  }
  return true;
}

static bool unknown_flag(const options *o, const char *name, pn_error *e) {
  const char *names[OPTIONS_MAX + 1] = {"help"};
  int n = 1;
  for (int i = 0; i < o->n_values; i++)
    if (o->values[i].spec->kind != OPTION_SECRET) names[n++] = o->values[i].spec->name;
  const char *near = nearest_word(name, names, n);
  if (near)
    return pn_fail(e, PN_ERR_USAGE, "`%s` has no flag --%s; did you mean --%s?", o->verb_name, name, near);
  return pn_fail(e, PN_ERR_USAGE, "`%s` has no flag --%s; `pensieve %s --help` shows them", o->verb_name,
                 name, o->verb_name);
}

// One flag at argv[*i], which starts with "--".
static bool read_flag(options *o, int argc, char **argv, int *i, pn_error *e) {
  const char *name = argv[*i] + 2, *equal = strchr(name, '=');
  size_t n = equal ? (size_t)(equal - name) : strlen(name);
  if (n == 4 && strncmp(name, "help", 4) == 0) return o->help = true;
  int at = find(o, name, n);
  option_value *v = at < 0 ? NULL : &o->values[at];
  if (!v || v->spec->kind == OPTION_SECRET) {
    char *word = pn_arena_dup(&o->arena, (pn_str){name, n});
    return unknown_flag(o, word ? word : "", e);
  }
  if (equal) return set(o, v, equal + 1, FROM_FLAG, e);
  if (v->spec->kind == OPTION_SWITCH) return set(o, v, "true", FROM_FLAG, e);
  if (*i + 1 >= argc)
    return pn_fail(e, PN_ERR_USAGE, "--%s wants a value: --%s %s", v->spec->name, v->spec->name,
                   v->spec->arg ? v->spec->arg : v->spec->choices);
  return set(o, v, argv[++*i], FROM_FLAG, e);
}

// A word that options_read takes for a flag of the verb, or for the end of its flags.
static bool is_ours(const options *o, const char *word) {
  if (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "--") == 0) return true;
  if (strncmp(word, "--", 2) != 0) return false;
  int at = find(o, word + 2, strcspn(word + 2, "="));
  return at >= 0 && o->values[at].spec->kind != OPTION_SECRET;
}

static bool read_flags(options *o, int argc, char **argv, pn_error *e) {
  bool only_args = false;
  o->args = pn_arena_array(&o->arena, (size_t)argc + 1, sizeof *o->args);
  if (!o->args) return pn_fail(e, PN_ERR_NOMEM, "out of memory for the command line");
  for (int i = 0; i < argc; i++) {
    if (o->verb & VERBS_HANDING_ON && !is_ours(o, argv[i])) only_args = true;
    if (only_args || argv[i][0] != '-' || argv[i][1] == '\0')
      o->args[o->n_args++] = argv[i];
    else if (strcmp(argv[i], "--") == 0)
      only_args = true;
    else if (strcmp(argv[i], "-h") == 0)
      o->help = true;
    else if (argv[i][1] != '-')
      return pn_fail(e, PN_ERR_USAGE, "flags are written with two dashes: -%s", argv[i]);
    else if (!read_flag(o, argc, argv, &i, e))
      return false;
  }
  return true;
}

// Whether a key of the configuration file names this setting: as the flag, with _ for -, or as in the
// environment.
static bool key_is(const option_spec *s, const char *key) {
  char env[64];
  option_env_name(s, env);
  if (strcmp(key, env) == 0) return true;
  const char *name = s->name;
  while (*key && (*key == *name || (*key == '_' && *name == '-'))) key++, name++;
  return *key == *name;
}

static bool config_value(options *o, option_value *v, const pn_json *value, pn_error *e) {
  if (v->source > FROM_CONFIG) return true;
  pn_buf b = {0};
  if (pn_json_is(value, PN_JSON_STRING))
    pn_buf_str(&b, pn_json_str(value));
  else if (pn_json_is(value, PN_JSON_BOOL) || pn_json_is_number(value))
    pn_json_write(&b, value);
  else
    return pn_fail(e, PN_ERR_USAGE, "key \"%s\": expected a string, a number or a boolean, found %s",
                   v->spec->name, pn_json_type_name(pn_json_type_of(value)));
  char *text = pn_arena_dup(&o->arena, pn_buf_view(&b));
  pn_buf_fini(&b);
  if (!text) return pn_fail(e, PN_ERR_NOMEM, "out of memory");
  return set(o, v, text, FROM_CONFIG, e);
}

static bool config_key(options *o, const char *key, const pn_json *value, pn_error *e) {
  for (int i = 0; i < o->n_values; i++)
    if (key_is(o->values[i].spec, key)) return config_value(o, &o->values[i], value, e);
  const char *names[128];
  int n = 0;
  for (const option_spec *s = option_table; s->name; s++) {
    if (key_is(s, key)) return true; // a setting of other verbs
    if (n < 128) names[n++] = s->name;
  }
  const char *near = nearest_word(key, names, n);
  return pn_fail(e, PN_ERR_USAGE, "there is no setting \"%s\"%s%s%s", key, near ? "; did you mean \"" : "",
                 near ? near : "", near ? "\"?" : "");
}

static bool read_config(options *o, pn_error *e) {
  const char *path = get(o, "config")->text;
  if (!path) return true;
  pn_buf text = {0};
  pn_json *root = NULL;
  bool ok = pn_file_read(path, 1 << 20, &text, e);
  if (ok) {
    root = pn_json_parse(pn_buf_view(&text), e);
    ok = root != NULL;
    if (ok && !pn_json_is(root, PN_JSON_OBJECT))
      ok = pn_fail(e, PN_ERR_USAGE, "expected a JSON object of settings, found %s",
                   pn_json_type_name(pn_json_type_of(root)));
    for (const pn_json_member *it = pn_json_first(root); ok && it; it = pn_json_next(root, it))
      ok = config_key(o, pn_json_key(it).p, pn_json_value(it), e);
    if (!ok) pn_fail_in(e, "configuration file %s", path);
  }
  if (!ok && e) e->code = PN_ERR_USAGE;
  pn_json_free(root);
  pn_buf_fini(&text);
  return ok;
}

bool options_read(options *o, const char *verb_name, unsigned verb, int argc, char **argv, pn_error *e) {
  *o = (options){.verb_name = verb_name, .verb = verb};
  for (const option_spec *s = option_table; s->name; s++) {
    if (!(s->verbs & verb)) continue;
    assert(o->n_values < OPTIONS_MAX);
    o->values[o->n_values++] = (option_value){s, s->fallback, FROM_DEFAULT};
  }
  if (!read_flags(o, argc, argv, e)) return false;
  return o->help || (read_environment(o, e) && read_config(o, e));
}

void options_fini(options *o) { pn_arena_fini(&o->arena); }

// --- values ------------------------------------------------------------------------------------------------

const char *options_text(const options *o, const char *name) { return get(o, name)->text; }
bool options_set(const options *o, const char *name) { return get(o, name)->source != FROM_DEFAULT; }

double options_number(const options *o, const char *name) {
  const char *text = get(o, name)->text;
  return text ? strtod(text, NULL) : 0;
}
bool options_flagged(const options *o, const char *name) { return get(o, name)->source == FROM_FLAG; }

int64_t options_int(const options *o, const char *name) { return (int64_t)options_number(o, name); }

bool options_on(const options *o, const char *name) {
  bool on = false;
  const char *text = get(o, name)->text;
  return text && parse_switch(text, &on) && on;
}

uint64_t options_bytes(const options *o, const char *name, uint64_t whole) {
  double bytes, share;
  const char *text = get(o, name)->text;
  if (!text || !parse_bytes(text, &bytes, &share)) return 0;
  return share > 0 ? (uint64_t)((double)whole * share) : (uint64_t)bytes;
}

void options_origin(const options *o, const char *name, char out[128]) {
  const option_value *v = get(o, name);
  char env[64];
  option_env_name(v->spec, env);
  switch (v->source) {
  case FROM_DEFAULT: snprintf(out, 128, "the default of --%s", name); break;
  case FROM_CONFIG: snprintf(out, 128, "\"%s\"", name); break;
  case FROM_ENVIRONMENT: snprintf(out, 128, "%s in the environment", env); break;
  case FROM_FLAG: snprintf(out, 128, "--%s", name); break;
  }
}
