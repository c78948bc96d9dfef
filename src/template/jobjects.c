// Methods of dictionaries, lists, loops and cyclers, and how methods are found.
#include "template/jbuiltin.h"
#include "template/jeval.h"

static bool view(const jcall *call, const char *name, bool keys, bool values, jvalue *out) {
  jctx *c = call->c;
  const jdict *d = call->self.u.dict;
  jseq *s = jseq_new(c, d->n);
  if (!s || !jstep(c, d->n)) return false;
  s->view = name;
  for (size_t i = 0; i < d->n; i++) {
    jvalue v = keys ? d->keys[i] : d->values[i];
    if (keys && values) {
      jseq *pair = jseq_new(c, 2);
      if (!pair || !jseq_push(c, pair, d->keys[i]) || !jseq_push(c, pair, d->values[i])) return false;
      v = jseq_value(J_TUPLE, pair);
    }
    if (!jseq_push(c, s, v)) return false;
  }
  *out = jseq_value(J_VIEW, s);
  return true;
}
static bool m_items(const jcall *call, jvalue *out) { return view(call, "dict_items", true, true, out); }
static bool m_keys(const jcall *call, jvalue *out) { return view(call, "dict_keys", true, false, out); }
static bool m_values(const jcall *call, jvalue *out) { return view(call, "dict_values", false, true, out); }

static bool m_get(const jcall *call, jvalue *out) {
  jvalue a[JBIND_MAX], *v;
  if (!jbind(call, "key default", 1, a) || !jdict_get(call->c, call->self.u.dict, a[0], &v)) return false;
  *out = v ? *v : a[1].kind == J_MISSING ? jnone() : a[1];
  return true;
}

static bool m_copy(const jcall *call, jvalue *out) { return *out = call->self, true; } // values never change

static bool m_seq_count(const jcall *call, jvalue *out) {
  jvalue a[JBIND_MAX];
  int64_t n = 0;
  if (!jbind(call, "value", 1, a)) return false;
  for (size_t i = 0; i < call->self.u.seq->n; i++) {
    bool eq;
    if (!jvalue_eq(call->c, call->self.u.seq->items[i], a[0], &eq)) return false;
    n += eq;
  }
  *out = jint(n);
  return true;
}

static bool m_seq_index(const jcall *call, jvalue *out) {
  jvalue a[JBIND_MAX];
  if (!jbind(call, "value", 1, a)) return false;
  for (size_t i = 0; i < call->self.u.seq->n; i++) {
    bool eq;
    if (!jvalue_eq(call->c, call->self.u.seq->items[i], a[0], &eq)) return false;
    if (eq) return *out = jint((int64_t)i), true;
  }
  return jfail_type(call->c, "the value is not in the list");
}

static bool m_cycle(const jcall *call, jvalue *out) {
  if (call->n_args == 0) return jfail_type(call->c, "no items for cycling given");
  *out = call->args[call->self.u.loop->at % call->n_args];
  return true;
}

static bool m_changed(const jcall *call, jvalue *out) {
  jloop *l = call->self.u.loop;
  jseq *now = jseq_new(call->c, call->n_args);
  bool same = false;
  if (!now) return false;
  for (size_t i = 0; i < call->n_args; i++) now->items[i] = call->args[i];
  now->n = call->n_args;
  if (l->changed.kind == J_TUPLE && !jvalue_eq(call->c, l->changed, jseq_value(J_TUPLE, now), &same))
    return false;
  if (!same) l->changed = jseq_value(J_TUPLE, now);
  *out = jbool(!same);
  return true;
}

static bool m_next(const jcall *call, jvalue *out) {
  jseq *s = call->self.u.seq;
  *out = s->items[s->at];
  s->at = (s->at + 1) % s->n;
  return true;
}

static bool m_reset(const jcall *call, jvalue *out) {
  call->self.u.seq->at = 0;
  *out = jnone();
  return true;
}

const jmethod jmethods_dict[] = {{"items", m_items}, {"keys", m_keys}, {"values", m_values},
                                 {"get", m_get},     {"copy", m_copy}, {NULL, NULL}};
const jmethod jmethods_list[] = {
    {"count", m_seq_count}, {"index", m_seq_index}, {"copy", m_copy}, {NULL, NULL}};
const jmethod jmethods_loop[] = {{"cycle", m_cycle}, {"changed", m_changed}, {NULL, NULL}};
const jmethod jmethods_cycler[] = {{"next", m_next}, {"reset", m_reset}, {NULL, NULL}};

const jmethod *jmethod_find(jvalue obj, pn_str name) {
  const jmethod *m = NULL;
  switch (obj.kind) {
  case J_STR: m = jmethods_str; break;
  case J_DICT: m = jmethods_dict; break;
  case J_LIST:
  case J_TUPLE: m = jmethods_list; break;
  case J_LOOP: m = jmethods_loop; break;
  case J_CYCLER: m = jmethods_cycler; break;
  default: return NULL;
  }
  while (m->name && !pn_str_is(name, m->name)) m++;
  if (m->name && obj.kind == J_TUPLE && pn_str_is(name, "copy")) return NULL;
  return m->name ? m : NULL;
}

bool jmethod_is_unsafe(jvalue obj, pn_str name) {
  static const char *const list[] = {"append", "clear",  "pop",    "reverse", "insert",
                                     "sort",   "extend", "remove", NULL};
  static const char *const dict[] = {"clear", "pop", "popitem", "setdefault", "update", NULL};
  const char *const *p = obj.kind == J_LIST ? list : obj.kind == J_DICT ? dict : NULL;
  while (p && *p && !pn_str_is(name, *p)) p++;
  return p && *p;
}
