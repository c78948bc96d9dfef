// An answer is read as it comes. A step looks at what is held and takes what is decided; what may still
// become a mark or a call's header stays, which is never more than the longest header.
#include "dialect/raw.h"
#include "dialect/value_reader.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NAME = 256, MAX_SPACE = 4096, MAX_ID = 64 };

typedef enum mode {
  AT_START,    // nothing but white space so far: thinking may begin, or a bare call
  AT_THINKING, // its leading white space
  IN_THINKING,
  IN_TEXT,
  IN_ARGUMENTS,
  AT_TAIL,   // behind a call's arguments
  AT_FURTHER // behind a call: another one of its section, or the section's end
} mode;

struct pn_dialect_reader {
  pn_dialect_reading how;
  pn_dialect_sink sink;
  mode mode;
  bool calls, thought; // there may be calls; thinking is over
  bool behind_call;    // no text since
  bool in_control;     // within a control token that says nothing
  bool ended;
  pn_buf held;  // raw text that is not decided
  pn_buf space; // white space that is dropped when a mark follows, else text
  pn_buf said;  // text or thinking that the sink is not told of yet
  bool said_thinks;
  pn_buf json;
  pn_buf tool; // the name of the call whose arguments are read
  value_reader arguments;
};

pn_dialect_reader *pn_dialect_reader_new(const pn_dialect_reading *how, const pn_dialect_sink *sink) {
  pn_dialect_reader *r = calloc(1, sizeof *r);
  if (!r) return NULL;
  *r = (pn_dialect_reader){.how = *how, .sink = *sink, .calls = how->is_tool != NULL};
  if (how->thinks && how->tongue->think_close.n) r->mode = AT_THINKING;
  return r;
}

void pn_dialect_reader_free(pn_dialect_reader *r) {
  if (!r) return;
  value_reader_fini(&r->arguments);
  pn_buf_fini(&r->held);
  pn_buf_fini(&r->space);
  pn_buf_fini(&r->said);
  pn_buf_fini(&r->json);
  pn_buf_fini(&r->tool);
  free(r);
}

// --- telling the sink --------------------------------------------------------------------------------------

static void tell_said(pn_dialect_reader *r) {
  if (r->said.n && !r->said.oom)
    (r->said_thinks ? r->sink.thinking : r->sink.text)(r->sink.ctx, pn_buf_view(&r->said));
  pn_buf_clear(&r->said);
}

static void say(pn_dialect_reader *r, pn_str text) {
  bool thinks = r->mode == IN_THINKING;
  if (thinks != r->said_thinks) tell_said(r);
  r->said_thinks = thinks;
  r->behind_call = false;
  pn_buf_str(&r->said, pn_buf_view(&r->space));
  pn_buf_clear(&r->space);
  pn_buf_str(&r->said, text);
}

static void keep_space(pn_dialect_reader *r, char c) {
  if (r->space.n == MAX_SPACE) say(r, (pn_str){0});
  pn_buf_char(&r->space, c);
}

static void tell_json(pn_dialect_reader *r) {
  if (r->json.n && !r->json.oom) r->sink.arguments(r->sink.ctx, pn_buf_view(&r->json));
  pn_buf_clear(&r->json);
}

static void begin_call(pn_dialect_reader *r, pn_str name) {
  tell_said(r);
  pn_buf_clear(&r->space);
  r->sink.call(r->sink.ctx, name);
  value_reader_fini(&r->arguments);
  pn_buf_clear(&r->tool);
  pn_buf_str(&r->tool, name);
  r->arguments =
      (value_reader){.tongue = r->how.tongue, .how = &r->how, .tool = pn_buf_view(&r->tool), .out = &r->json};
  r->mode = IN_ARGUMENTS;
}

static void end_call(pn_dialect_reader *r, bool whole) {
  if (!whole) value_close(&r->arguments);
  tell_json(r);
  r->sink.call_end(r->sink.ctx, whole);
  r->behind_call = true;
  r->mode = whole ? AT_TAIL : IN_TEXT;
}

// --- marks -------------------------------------------------------------------------------------------------

// At the end of the answer nothing is left open.
static raw_match begins(const pn_dialect_reader *r, pn_str raw, pn_str want) {
  raw_match m = raw_begins(raw, want);
  return m == RAW_MORE && r->ended ? RAW_NO : m;
}

static pn_str rest_of(pn_str raw, size_t n) { return raw.n ? (pn_str){raw.p + n, raw.n - n} : raw; }

// The byte with which an object, the first parameter or, when there is none, what closes the call begins.
static bool may_follow_name(const pn_tongue *t, char c) {
  if (!t->dialect->parameters) return c == '{';
  pn_str close = t->tail.n ? t->tail : t->end;
  return c == t->key.p[0] || (close.n && c == close.p[0]);
}

// The name of a call and MIDDLE. A name ends where MIDDLE, or else the arguments begin, of which names have
// no byte.
static raw_match name_begins(const pn_dialect_reader *r, pn_str raw, pn_str *name, size_t *n) {
  const pn_tongue *t = r->how.tongue;
  pn_str middle = t->middle;
  size_t i = 0;
  for (; i < raw.n && !(middle.n ? raw.p[i] == middle.p[0] : may_follow_name(t, raw.p[i])); i++)
    if (i == MAX_NAME || (unsigned char)raw.p[i] <= ' ' || (unsigned char)raw.p[i] >= 0xFE) return RAW_NO;
  if (i == raw.n) return r->ended ? RAW_NO : RAW_MORE;
  raw_match m = begins(r, rest_of(raw, i), middle);
  *name = (pn_str){raw.p, i};
  *n = i + middle.n;
  return m == RAW_YES && !r->how.is_tool(r->how.ctx, *name) ? RAW_NO : m;
}

// A call's header behind up to two marks.
static raw_match call_begins(const pn_dialect_reader *r, pn_str raw, pn_str mark, pn_str begin, pn_str *name,
                             size_t *n) {
  const pn_str parts[] = {mark, begin, r->how.tongue->head};
  size_t at = 0;
  if (!r->calls) return RAW_NO;
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    raw_match m = begins(r, rest_of(raw, at), parts[i]);
    if (m != RAW_YES) return m;
    at += parts[i].n;
  }
  size_t n_name = 0;
  raw_match m = name_begins(r, rest_of(raw, at), name, &n_name);
  *n = at + n_name;
  return m;
}

static raw_match section_begins(const pn_dialect_reader *r, pn_str raw, pn_str *name, size_t *n) {
  pn_str open = r->how.tongue->open;
  if (!open.n || raw.p[0] != open.p[0]) return RAW_NO;
  return call_begins(r, raw, open, r->how.tongue->begin, name, n);
}

// --- steps -------------------------------------------------------------------------------------------------
// Each takes the first *n bytes and says whether to go on.

static bool skip_control(pn_dialect_reader *r, pn_str raw, size_t *n) {
  size_t end = pn_str_find(raw, PN_STR("\xFE"), 0);
  r->in_control = end == SIZE_MAX && raw.p[0] != PN_RAW_END;
  *n = end == SIZE_MAX ? raw.n : end + 1;
  return true;
}

// Whether a byte belongs to a control token and not to text.
static bool is_marker(char c) { return c == PN_RAW_BEGIN || c == PN_RAW_END; }

// The bytes that are text for sure: the first, and what follows up to a byte that may be more.
static bool say_run(pn_dialect_reader *r, pn_str raw, pn_str mark, size_t *n) {
  size_t i = 1;
  while (i < raw.n && !raw_is_space(raw.p[i]) && !is_marker(raw.p[i]) && !(mark.n && raw.p[i] == mark.p[0]))
    i++;
  say(r, (pn_str){raw.p, i});
  *n = i;
  return true;
}

static bool step_start(pn_dialect_reader *r, pn_str raw, size_t *n) {
  const pn_tongue *t = r->how.tongue;
  pn_str name = {0};
  size_t n_open = 0, n_bare = 0;
  if (raw_is_space(raw.p[0])) {
    if (!r->thought) keep_space(r, raw.p[0]);
    *n = 1;
    return true;
  }
  raw_match think = r->thought || !t->think_open.n ? RAW_NO : begins(r, raw, t->think_open);
  if (think == RAW_YES) {
    pn_buf_clear(&r->space);
    r->mode = AT_THINKING;
    *n = t->think_open.n;
    return true;
  }
  raw_match open = section_begins(r, raw, &name, &n_open), bare = RAW_NO;
  if (open != RAW_YES && t->dialect->bare) bare = call_begins(r, raw, (pn_str){0}, t->begin, &name, &n_bare);
  if (open == RAW_YES || bare == RAW_YES) {
    *n = open == RAW_YES ? n_open : n_bare;
    begin_call(r, name);
    return true;
  }
  if (think == RAW_MORE || open == RAW_MORE || bare == RAW_MORE) return false;
  if (is_marker(raw.p[0])) return skip_control(r, raw, n);
  r->mode = IN_TEXT;
  return true;
}

static bool step_thinking(pn_dialect_reader *r, pn_str raw, size_t *n) {
  pn_str close = r->how.tongue->think_close;
  bool space = raw_is_space(raw.p[0]);
  raw_match m = space ? RAW_NO : begins(r, raw, close);
  if (m == RAW_MORE) return false;
  if (m == RAW_YES) {
    tell_said(r);
    pn_buf_clear(&r->space);
    r->thought = true;
    r->mode = AT_START;
    *n = close.n;
    return true;
  }
  if (is_marker(raw.p[0])) return skip_control(r, raw, n);
  *n = 1;
  if (space && r->mode == IN_THINKING) keep_space(r, raw.p[0]);
  if (space) return true;
  r->mode = IN_THINKING;
  return say_run(r, raw, close, n);
}

static bool step_text(pn_dialect_reader *r, pn_str raw, size_t *n) {
  pn_str name;
  raw_match m = section_begins(r, raw, &name, n);
  if (m == RAW_MORE) return *n = 0, false;
  if (m == RAW_YES) return begin_call(r, name), true;
  if (is_marker(raw.p[0])) return skip_control(r, raw, n);
  if (raw_is_space(raw.p[0]) && r->calls) return keep_space(r, raw.p[0]), *n = 1, true;
  return say_run(r, raw, r->calls ? r->how.tongue->open : (pn_str){0}, n);
}

static bool step_arguments(pn_dialect_reader *r, pn_str raw, size_t *n) {
  value_result result = value_read(&r->arguments, raw, n);
  if (result == VALUE_MORE && r->ended) *n = raw.n; // half an escape, half a literal
  if (result != VALUE_MORE || r->ended)
    end_call(r, result == VALUE_DONE);
  else
    tell_json(r);
  return r->mode != IN_ARGUMENTS;
}

// An id that a model gives its call behind the arguments, as it has seen in templates: `, "id": "x"`.
static raw_match id_begins(const pn_dialect_reader *r, pn_str raw, size_t *n) {
  const pn_str begin = PN_STR(", \"id\": \"");
  if (!pn_str_starts(r->how.tongue->tail, PN_STR("}"))) return RAW_NO;
  raw_match m = raw_begins(raw, begin);
  if (m != RAW_YES) return m;
  for (size_t i = begin.n; i < raw.n && i < begin.n + MAX_ID; i++) {
    *n = i + 1;
    if (raw.p[i] == '"') return RAW_YES;
    if (!isalnum((unsigned char)raw.p[i]) && raw.p[i] != '_' && raw.p[i] != '-') return RAW_NO;
  }
  return raw.n < begin.n + MAX_ID ? RAW_MORE : RAW_NO;
}

static bool step_tail(pn_dialect_reader *r, pn_str raw, size_t *n) {
  pn_str tail = r->how.tongue->tail;
  size_t n_id = 0;
  raw_match id = id_begins(r, raw, &n_id);
  if (id != RAW_YES) n_id = 0;
  raw_match m = raw_begins(rest_of(raw, n_id), tail);
  bool more = m == RAW_MORE || id == RAW_MORE;
  if (more && !r->ended) return false;
  // A mark that the answer's end cuts off is no text.
  *n = more ? raw.n : m == RAW_YES ? n_id + tail.n : 0;
  r->mode = m == RAW_YES ? AT_FURTHER : IN_TEXT;
  return true;
}

static bool step_further(pn_dialect_reader *r, pn_str raw, size_t *n) {
  const pn_tongue *t = r->how.tongue;
  pn_str name;
  size_t n_call = 0;
  raw_match end = begins(r, raw, t->end), call = RAW_NO;
  if (t->between.p) call = call_begins(r, raw, t->between, (pn_str){0}, &name, &n_call);
  if (call == RAW_YES) return begin_call(r, name), *n = n_call, true;
  // An END without text is there only when no call is.
  bool over = end == RAW_YES && (t->end.n || call == RAW_NO);
  if (!over && (end == RAW_MORE || call == RAW_MORE)) return false;
  bool cut = r->ended && raw_begins(raw, t->end) == RAW_MORE;
  *n = over ? t->end.n : cut ? raw.n : 0;
  r->mode = IN_TEXT;
  return true;
}

static bool take_step(pn_dialect_reader *r, pn_str raw, size_t *n) {
  if (r->mode == AT_TAIL) return step_tail(r, raw, n);
  if (r->mode == AT_FURTHER) return step_further(r, raw, n);
  if (raw.n == 0) return false;
  if (r->in_control) return skip_control(r, raw, n);
  switch (r->mode) {
  case AT_START: return step_start(r, raw, n);
  case AT_THINKING:
  case IN_THINKING: return step_thinking(r, raw, n);
  case IN_ARGUMENTS: return step_arguments(r, raw, n);
  default: return step_text(r, raw, n);
  }
}

static void take_steps(pn_dialect_reader *r) {
  size_t at = 0;
  for (bool go_on = true; go_on;) {
    size_t n = 0;
    go_on = take_step(r, rest_of(pn_buf_view(&r->held), at), &n);
    at += n;
  }
  pn_buf_drop(&r->held, at);
}

static bool has_memory(const pn_dialect_reader *r) {
  return !(r->held.oom || r->space.oom || r->said.oom || r->json.oom || r->tool.oom || r->arguments.key.oom ||
           r->arguments.dropped.oom);
}

bool pn_dialect_read(pn_dialect_reader *r, pn_str raw) {
  if (r->ended) return true;
  pn_buf_str(&r->held, raw);
  if (!has_memory(r)) return false;
  take_steps(r);
  tell_said(r);
  return has_memory(r);
}

// The answer ends within a call's header: no call yet, and no text.
static bool ends_in_header(pn_dialect_reader *r) {
  pn_str raw = pn_buf_view(&r->held), name;
  size_t n;
  if (!r->calls || raw.n == 0) return false;
  if (r->mode == AT_FURTHER && r->how.tongue->between.p)
    return call_begins(r, raw, r->how.tongue->between, (pn_str){0}, &name, &n) == RAW_MORE;
  if (r->mode != IN_TEXT && r->mode != AT_START) return false;
  return section_begins(r, raw, &name, &n) == RAW_MORE && (r->behind_call || raw.n >= r->how.tongue->open.n);
}

bool pn_dialect_read_end(pn_dialect_reader *r) {
  if (r->ended) return has_memory(r);
  if (ends_in_header(r)) {
    pn_buf_clear(&r->held);
    pn_buf_clear(&r->space);
  }
  r->ended = true;
  take_steps(r);
  if (r->mode == IN_ARGUMENTS) end_call(r, false);
  if (!r->behind_call && r->space.n) say(r, (pn_str){0});
  tell_said(r);
  return has_memory(r);
}
