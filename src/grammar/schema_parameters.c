// The values of parameters: KEY name VALUE, then a string as it is or a JSON value, then PAD CLOSE NEXT.
//
// A string can't hold CLOSE when that is spelled in letters, and where a parameter can also be something else
// than a string, it can't be what would be read as that. PAD may be left out where that changes no value.
#include "grammar/schema_rules.h"
#include "grammar/schema_valid.h"

#include <string.h>

#define MAX_STATES 60000

typedef struct parameter_work {
  schema_compiler *c;
  const schema_terms *terms;
  unsigned kinds;
  nfa *n;
  int32_t from, padded, open; // padded: PAD must follow; open: it may
  pn_error *e;
} parameter_work;

static bool no_memory(pn_error *e) { return pn_fail(e, PN_ERR_NOMEM, "out of memory for a grammar"); }

// The terms, and that the value is a string or none.
static bool narrow(parameter_work *w, bool string, schema_terms *out) {
  static const char only[] = "{\"type\":\"string\"}",
                    others[] = "{\"type\":[\"null\",\"boolean\",\"number\",\"array\",\"object\"]}";
  pn_json **kept = &w->c->narrow[string];
  if (!*kept) schema_compiler_own(w->c, *kept = pn_json_parse(pn_str_of(string ? only : others), NULL));
  if (!*kept || w->c->w.oom) return no_memory(w->e);
  for (size_t i = 0; i < w->terms->n; i++)
    schema_terms_add(&w->c->w, out, w->terms->p[i].schema, w->terms->p[i].negated);
  schema_terms_add(&w->c->w, out, *kept, false);
  return !w->c->w.oom || no_memory(w->e);
}

// --- texts that are no strings -----------------------------------------------------------------------------

static void add_word(nfa *n, int32_t from, const char *word, int32_t to) {
  nfa_jump(n, nfa_text(n, from, pn_str_of(word)), to);
}

// [0-9]+, which may be followed by what `to` has.
static int32_t add_digits(nfa *n, int32_t from) {
  int32_t at = nfa_state(n);
  nfa_add(n, from, '0', '9', at);
  nfa_add(n, at, '0', '9', at);
  return at;
}

// JSON's numbers (RFC 8259, section 6).
static void add_numbers(nfa *n, int32_t from, int32_t to) {
  int32_t first = nfa_state(n), whole = nfa_state(n), more = nfa_state(n), point = nfa_state(n),
          mark = nfa_state(n), power = nfa_state(n);
  nfa_jump(n, from, first);
  nfa_add(n, from, '-', '-', first);
  nfa_add(n, first, '0', '0', whole);
  nfa_add(n, first, '1', '9', more);
  nfa_add(n, more, '0', '9', more);
  nfa_jump(n, more, whole);
  nfa_add(n, whole, '.', '.', point);
  int32_t fraction = add_digits(n, point);
  nfa_jump(n, whole, mark);
  nfa_jump(n, fraction, mark);
  nfa_jump(n, mark, to);
  nfa_add(n, mark, 'e', 'e', power);
  nfa_add(n, mark, 'E', 'E', power);
  int32_t digits = nfa_state(n);
  nfa_jump(n, power, digits);
  nfa_add(n, power, '+', '+', digits);
  nfa_add(n, power, '-', '-', digits);
  nfa_jump(n, add_digits(n, digits), to);
}

// The texts that hold CLOSE, or would be read as a value of another of these kinds.
static dfa *odd_texts(const schema_compiler *c, unsigned kinds, pn_error *e) {
  nfa n = {0};
  int32_t from = nfa_state(&n), to = nfa_state(&n), rest = nfa_state(&n);
  pn_str close = c->tongue->close;
  nfa_add(&n, rest, 0, 255, rest);
  nfa_jump(&n, rest, to);
  if (close.n && close.p[0] != PN_RAW_BEGIN) {
    int32_t before = nfa_state(&n);
    nfa_jump(&n, from, before);
    nfa_add(&n, before, 0, 255, before);
    nfa_jump(&n, nfa_text(&n, before, close), rest);
  }
  if (kinds & PN_KIND_OBJECT) add_word(&n, from, "{", rest);
  if (kinds & PN_KIND_ARRAY) add_word(&n, from, "[", rest);
  if (kinds & PN_KIND_NULL) add_word(&n, from, "null", to), add_word(&n, from, "None", to);
  if (kinds & PN_KIND_BOOL) {
    add_word(&n, from, "true", to), add_word(&n, from, "True", to);
    add_word(&n, from, "false", to), add_word(&n, from, "False", to);
  }
  if (kinds & PN_KIND_NUMBER) add_numbers(&n, from, to);
  dfa *d = dfa_of(&n, from, to, MAX_STATES, e);
  nfa_fini(&n);
  return d;
}

// --- strings -----------------------------------------------------------------------------------------------

static void write_listed(parameter_work *w, const schema_terms *terms, const pn_json *s, const dfa *odd) {
  const pn_json *one = pn_json_get(s, "const"), *list = pn_json_get(s, "enum");
  judge j = {.root = w->c->w.root, .quiet = 1};
  for (size_t i = 0; i < (one ? 1 : pn_json_len(list)); i++) {
    const pn_json *v = one ? one : pn_json_at(list, i);
    if (pn_json_is(v, PN_JSON_STRING) && compiler_valid(&j, terms, v) && !dfa_accepts(odd, pn_json_str(v)))
      nfa_jump(w->n, nfa_text(w->n, w->from, pn_json_str(v)), w->padded);
  }
  judge_fini(&j);
}

static bool is_free(const string_limits *l) {
  return l->n_in == 0 && l->n_out == 0 && l->min <= 0 && l->max < 0;
}

static bool write_form(parameter_work *w, const schema_form *f, pn_error *e) {
  string_parts parts;
  pn_buf name = {0};
  int32_t rule = -1;
  bool ok = string_parts_of(w->c, f, &parts, e),
       any = ok && w->kinds == PN_KIND_STRING && is_free(&parts.limits);
  dfa *odd = ok ? odd_texts(w->c, w->kinds, e) : NULL;
  pn_buf_printf(&name, "parameter %u", w->kinds);
  if (odd) parts.always = odd;
  ok = odd && (string_parts_add(&parts, odd, false, pn_buf_view(&name)) ||
               pn_fail(e, PN_ERR_LIMIT, "too many limits hold for one string"));
  if (ok) rule = string_parts_rule(w->c, &parts, true, e);
  pn_buf_fini(&name);
  string_parts_fini(&parts);
  if (rule >= 0) nfa_call(w->n, w->from, rule, any ? w->open : w->padded);
  return rule >= 0;
}

static bool write_strings(parameter_work *w) {
  schema_terms terms = {0};
  schema_forms forms = {0};
  if (!narrow(w, true, &terms) || !schema_forms_of(&w->c->w, &terms, &forms, w->e)) return false;
  dfa *odd = odd_texts(w->c, w->kinds, w->e);
  bool ok = odd != NULL;
  for (size_t i = 0; ok && i < forms.n; i++) {
    const schema_form *f = &forms.p[i];
    if (f->listed)
      write_listed(w, &terms, f->listed, odd);
    else if (f->types & TYPE_STRING)
      ok = write_form(w, f, w->e);
  }
  dfa_free(odd);
  return ok;
}

// --- other values ------------------------------------------------------------------------------------------

// Python's words beside JSON's: templates that turn values into text write those.
static bool write_words(parameter_work *w, const schema_terms *terms) {
  static const char *const words[][2] = {{"true", "True"}, {"false", "False"}, {"null", "None"}};
  judge j = {.root = w->c->w.root, .quiet = 1};
  bool ok = true;
  for (size_t i = 0; ok && i < 3; i++) {
    pn_json *v = pn_json_parse(pn_str_of(words[i][0]), NULL);
    ok = v != NULL || no_memory(w->e);
    if (ok && compiler_valid(&j, terms, v)) add_word(w->n, w->from, words[i][1], w->open);
    pn_json_free(v);
  }
  judge_fini(&j);
  return ok;
}

static bool write_others(parameter_work *w) {
  schema_terms terms = {0};
  if (!narrow(w, false, &terms)) return false;
  int32_t rule = compiler_rule(w->c, &terms, w->e);
  if (rule < 0) return false;
  nfa_call(w->n, w->from, rule, w->open);
  return !(w->kinds & (PN_KIND_BOOL | PN_KIND_NULL)) || write_words(w, &terms);
}

int32_t compiler_parameter(schema_compiler *c, const schema_terms *terms, unsigned kinds, pn_error *e) {
  const pn_tongue *t = c->tongue;
  nfa n = {0};
  int32_t to, end, rule = rules_add(c->r);
  parameter_work w = {.c = c,
                      .terms = terms,
                      .kinds = kinds,
                      .n = &n,
                      .e = e,
                      .from = nfa_state(&n),
                      .padded = nfa_state(&n)};
  w.open = nfa_state(&n);
  end = nfa_state(&n);
  to = nfa_state(&n);
  nfa_jump(&n, w.open, end);
  nfa_jump(&n, w.open, w.padded);
  nfa_jump(&n, nfa_raw(&n, w.padded, t->pad, c->tokenizer), end);
  nfa_jump(&n, nfa_raw(&n, nfa_raw(&n, end, t->close, c->tokenizer), t->next, c->tokenizer), to);
  bool ok = (!c->r->oom || no_memory(e)) && (!(kinds & PN_KIND_STRING) || write_strings(&w)) &&
            (!(kinds & ~(unsigned)PN_KIND_STRING) || write_others(&w));
  dfa *d = ok ? dfa_of(&n, w.from, to, MAX_STATES, e) : NULL;
  nfa_fini(&n);
  if (!d) return -1;
  c->r->p[rule].d = d;
  return compiler_count(c, rule, e) ? rule : -1;
}

// A name must end where the mark behind it begins.
bool compiler_can_name(const schema_compiler *c, pn_str name) {
  for (size_t i = 0; i < name.n; i++)
    if ((unsigned char)name.p[i] < ' ' || name.p[i] == c->tongue->value.p[0]) return false;
  return name.n > 0;
}
