// Methods of strings.
#include "template/jbuiltin.h"
#include "template/jeval.h"

#include <string.h>

static bool give(const jtext *t, jvalue *out) {
  if (t) *out = jstr(t);
  return t != NULL;
}

// A string argument; NULL and no failure when it is missing or None.
static bool text_arg(const jcall *call, jvalue v, const jtext **out) {
  *out = NULL;
  if (v.kind == J_MISSING || v.kind == J_NONE) return true;
  if (v.kind == J_UNDEFINED) return jfail_undefined(call->c, v);
  if (v.kind != J_STR)
    return jfail_type(call->c, "%s expects a string, not '%s'", call->what, jvalue_type(v));
  *out = v.u.s;
  return true;
}

static bool need_text(const jcall *call, jvalue v, const jtext **out) {
  if (!text_arg(call, v, out)) return false;
  return *out ? true : jfail_type(call->c, "%s expects a string, not None", call->what);
}

static bool strip(const jcall *call, bool left, bool right, jvalue *out) {
  jvalue a[JBIND_MAX];
  const jtext *chars;
  if (!jbind(call, "chars", 0, a) || !text_arg(call, a[0], &chars)) return false;
  return give(jtext_strip(call->c, call->self.u.s, chars, left, right), out);
}
static bool m_strip(const jcall *call, jvalue *out) { return strip(call, true, true, out); }
static bool m_lstrip(const jcall *call, jvalue *out) { return strip(call, true, false, out); }
static bool m_rstrip(const jcall *call, jvalue *out) { return strip(call, false, true, out); }

static bool push_sub(jctx *c, jseq *s, const jtext *t, size_t from, size_t to) {
  const jtext *part = jtext_sub(c, t, from, to);
  return part && jstep(c, 1) && jseq_push(c, s, jstr(part));
}

static void reverse(jseq *s) {
  for (size_t i = 0; i < s->n / 2; i++) {
    jvalue t = s->items[i];
    s->items[i] = s->items[s->n - 1 - i];
    s->items[s->n - 1 - i] = t;
  }
}

// The last place of sep in t[0, end), or SIZE_MAX.
static size_t find_last(const jtext *t, const jtext *sep, size_t end) {
  if (sep->n > end) return SIZE_MAX;
  for (size_t at = end - sep->n + 1; at-- > 0;)
    if (sep->n == 0 || (t->p[at] == sep->p[0] && memcmp(t->p + at, sep->p, sep->n) == 0)) return at;
  return SIZE_MAX;
}

static bool split_sep(jctx *c, const jtext *t, const jtext *sep, int64_t max, bool right, jseq *s) {
  if (sep->n == 0) return jfail_type(c, "empty separator");
  if (right) {
    size_t end = t->n, at;
    while (max != 0 && (at = find_last(t, sep, end)) != SIZE_MAX) {
      if (!push_sub(c, s, t, at + sep->n, end)) return false;
      end = at;
      max--;
    }
    if (!push_sub(c, s, t, 0, end)) return false;
    reverse(s);
    return true;
  }
  size_t from = 0, at;
  while (max != 0 && (at = pn_str_find(jview(t), jview(sep), from)) != SIZE_MAX) {
    if (!push_sub(c, s, t, from, at)) return false;
    from = at + sep->n;
    max--;
  }
  return push_sub(c, s, t, from, t->n);
}

static size_t skip_space(const jtext *t, size_t at, bool space) {
  uint32_t cp;
  while (at < t->n) {
    size_t n = junicode_at(jview(t), at, &cp);
    if (junicode_is_space(cp) != space) break;
    at += n;
  }
  return at;
}

static size_t skip_space_back(const jtext *t, size_t end, bool space) {
  uint32_t cp;
  while (end > 0) {
    size_t n = junicode_before(jview(t), end, &cp);
    if (junicode_is_space(cp) != space) break;
    end -= n;
  }
  return end;
}

static bool split_space(jctx *c, const jtext *t, int64_t max, bool right, jseq *s) {
  if (right) {
    for (size_t end = skip_space_back(t, t->n, true); end > 0; end = skip_space_back(t, end, true)) {
      size_t from = max-- == 0 ? 0 : skip_space_back(t, end, false);
      if (!push_sub(c, s, t, from, end)) return false;
      end = from;
    }
    reverse(s);
    return true;
  }
  for (size_t from = skip_space(t, 0, true); from < t->n; from = skip_space(t, from, true)) {
    size_t end = max-- == 0 ? t->n : skip_space(t, from, false);
    if (!push_sub(c, s, t, from, end)) return false;
    from = end;
  }
  return true;
}

static bool split(const jcall *call, bool right, jvalue *out) {
  jvalue a[JBIND_MAX];
  const jtext *sep, *t = call->self.u.s;
  int64_t max;
  jseq *s = jseq_new(call->c, 0);
  if (!s || !jbind(call, "sep maxsplit", 0, a) || !text_arg(call, a[0], &sep)) return false;
  if (!jbind_int(call, a[1], -1, &max) || !jstep(call->c, t->n / 64)) return false;
  *out = jseq_value(J_LIST, s);
  return sep ? split_sep(call->c, t, sep, max, right, s) : split_space(call->c, t, max, right, s);
}
static bool m_split(const jcall *call, jvalue *out) { return split(call, false, out); }
static bool m_rsplit(const jcall *call, jvalue *out) { return split(call, true, out); }

static bool partition(const jcall *call, bool right, jvalue *out) {
  jvalue a[JBIND_MAX];
  const jtext *sep, *t = call->self.u.s;
  jctx *c = call->c;
  jseq *s = jseq_new(c, 3);
  if (!s || !jbind(call, "sep", 1, a) || !need_text(call, a[0], &sep)) return false;
  if (sep->n == 0) return jfail_type(c, "empty separator");
  size_t at = right ? find_last(t, sep, t->n) : pn_str_find(jview(t), jview(sep), 0);
  *out = jseq_value(J_TUPLE, s);
  if (at == SIZE_MAX && right)
    return push_sub(c, s, t, 0, 0) && push_sub(c, s, t, 0, 0) && push_sub(c, s, t, 0, t->n);
  if (at == SIZE_MAX) return push_sub(c, s, t, 0, t->n) && push_sub(c, s, t, 0, 0) && push_sub(c, s, t, 0, 0);
  return push_sub(c, s, t, 0, at) && push_sub(c, s, t, at, at + sep->n) &&
         push_sub(c, s, t, at + sep->n, t->n);
}
static bool m_partition(const jcall *call, jvalue *out) { return partition(call, false, out); }
static bool m_rpartition(const jcall *call, jvalue *out) { return partition(call, true, out); }

static bool m_splitlines(const jcall *call, jvalue *out) {
  jvalue a[JBIND_MAX];
  const jtext *t = call->self.u.s;
  jseq *s = jseq_new(call->c, 0);
  if (!s || !jbind(call, "keepends", 0, a)) return false;
  const bool keep = jvalue_truth(a[0]);
  size_t from = 0;
  uint32_t cp;
  for (size_t at = 0; at < t->n;) {
    size_t end = at + junicode_at(jview(t), at, &cp);
    if (junicode_is_line_end(cp)) {
      if (cp == '\r' && end < t->n && t->p[end] == '\n') end++;
      if (!push_sub(call->c, s, t, from, keep ? end : at)) return false;
      from = end;
    }
    at = end;
  }
  if (from < t->n && !push_sub(call->c, s, t, from, t->n)) return false;
  *out = jseq_value(J_LIST, s);
  return jstep(call->c, t->n / 64);
}

static bool affix_one(const jcall *call, const jtext *t, jvalue v, bool end, bool *yes) {
  const jtext *affix;
  if (!need_text(call, v, &affix)) return false;
  *yes = end ? pn_str_ends(jview(t), jview(affix)) : pn_str_starts(jview(t), jview(affix));
  return true;
}

static bool affix(const jcall *call, bool end, jvalue *out) {
  jvalue a[JBIND_MAX];
  bool yes = false;
  const jtext *t = call->self.u.s;
  if (!jbind(call, "prefix start end", 1, a)) return false;
  if (a[1].kind != J_MISSING || a[2].kind != J_MISSING) {
    jvalue part;
    for (int i = 1; i < 3; i++)
      if (a[i].kind == J_MISSING) a[i] = jnone();
    if (!jvalue_slice(call->c, call->self, a[1], a[2], jnone(), &part)) return false;
    t = part.u.s;
  }
  if (a[0].kind == J_TUPLE) {
    for (size_t i = 0; i < a[0].u.seq->n && !yes; i++)
      if (!affix_one(call, t, a[0].u.seq->items[i], end, &yes)) return false;
  } else if (!affix_one(call, t, a[0], end, &yes)) {
    return false;
  }
  *out = jbool(yes);
  return true;
}
static bool m_startswith(const jcall *call, jvalue *out) { return affix(call, false, out); }
static bool m_endswith(const jcall *call, jvalue *out) { return affix(call, true, out); }

static bool remove_affix(const jcall *call, bool end, jvalue *out) {
  jvalue a[JBIND_MAX];
  const jtext *affix, *t = call->self.u.s;
  if (!jbind(call, "affix", 1, a) || !need_text(call, a[0], &affix)) return false;
  bool yes = end ? pn_str_ends(jview(t), jview(affix)) : pn_str_starts(jview(t), jview(affix));
  if (!yes) return *out = call->self, true;
  return give(jtext_sub(call->c, t, end ? 0 : affix->n, end ? t->n - affix->n : t->n), out);
}
static bool m_removeprefix(const jcall *call, jvalue *out) { return remove_affix(call, false, out); }
static bool m_removesuffix(const jcall *call, jvalue *out) { return remove_affix(call, true, out); }

static bool m_upper(const jcall *call, jvalue *out) {
  return give(jtext_case(call->c, call->self.u.s, JUNICODE_UPPER), out);
}
static bool m_lower(const jcall *call, jvalue *out) {
  return give(jtext_case(call->c, call->self.u.s, JUNICODE_LOWER), out);
}
static bool m_capitalize(const jcall *call, jvalue *out) {
  return give(jtext_capitalize(call->c, call->self.u.s), out);
}

// str.title: a letter behind a letter is lower case, any other begins a word.
static bool m_title(const jcall *call, jvalue *out) {
  const jtext *t = call->self.u.s;
  jbuild *b = jbuild_new(call->c);
  if (!b) return false;
  bool inside = false;
  uint32_t cp;
  for (size_t at = 0, n; at < t->n; at += n) {
    n = junicode_at(jview(t), at, &cp);
    if (!jstep(call->c, 1) || !jbuild_mapped(b, t, at, inside ? JUNICODE_LOWER : JUNICODE_TITLE))
      return false;
    inside = junicode_is_lower(cp) || junicode_is_upper(cp);
  }
  return give(jbuild_done(b), out);
}

static bool m_replace(const jcall *call, jvalue *out) {
  jvalue a[JBIND_MAX];
  const jtext *from, *to;
  int64_t count;
  if (!jbind(call, "old new count", 2, a) || !need_text(call, a[0], &from) || !need_text(call, a[1], &to))
    return false;
  if (!jbind_int(call, a[2], -1, &count)) return false;
  return give(jtext_replace(call->c, call->self.u.s, from, to, count), out);
}

static bool m_join(const jcall *call, jvalue *out) {
  jvalue a[JBIND_MAX], *items;
  size_t n;
  jbuild *b = jbuild_new(call->c);
  if (!b || !jbind(call, "iterable", 1, a) || !jvalue_items(call->c, a[0], &items, &n)) return false;
  for (size_t i = 0; i < n; i++) {
    if (items[i].kind != J_STR)
      return jfail_type(call->c, "sequence item %zu: expected str instance, %s found", i,
                        jvalue_type(items[i]));
    if (!jstep(call->c, 1) || (i && !jbuild_text(b, call->self.u.s)) || !jbuild_text(b, items[i].u.s))
      return false;
  }
  return give(jbuild_done(b), out);
}

// Where a find or count looks: the text between the optional bounds, and the offset of its first character.
static bool search_area(const jcall *call, const jvalue a[], const jtext **t, const jtext **needle,
                        int64_t *skipped) {
  jvalue part, head, from = a[1].kind == J_MISSING ? jnone() : a[1],
                     to = a[2].kind == J_MISSING ? jnone() : a[2];
  if (!need_text(call, a[0], needle) || !jvalue_slice(call->c, call->self, from, to, jnone(), &part))
    return false;
  *t = part.u.s;
  *skipped = 0;
  if (from.kind == J_NONE) return true;
  if (!jvalue_slice(call->c, call->self, jnone(), from, jnone(), &head)) return false;
  *skipped = (int64_t)jtext_chars(head.u.s);
  return true;
}

static bool find(const jcall *call, bool right, bool must, jvalue *out) {
  jvalue a[JBIND_MAX];
  const jtext *t, *needle;
  int64_t skipped;
  if (!jbind(call, "sub start end", 1, a) || !search_area(call, a, &t, &needle, &skipped)) return false;
  size_t at = right ? find_last(t, needle, t->n) : pn_str_find(jview(t), jview(needle), 0);
  if (!jstep(call->c, t->n / 256)) return false;
  if (at == SIZE_MAX && must) return jfail_type(call->c, "substring not found");
  const jtext before = {.p = t->p, .n = at == SIZE_MAX ? 0 : at, .n_chars = SIZE_MAX};
  *out = jint(at == SIZE_MAX ? -1 : skipped + (int64_t)jtext_chars(&before));
  return true;
}
static bool m_find(const jcall *call, jvalue *out) { return find(call, false, false, out); }
static bool m_rfind(const jcall *call, jvalue *out) { return find(call, true, false, out); }
static bool m_index(const jcall *call, jvalue *out) { return find(call, false, true, out); }
static bool m_rindex(const jcall *call, jvalue *out) { return find(call, true, true, out); }

static bool m_count(const jcall *call, jvalue *out) {
  jvalue a[JBIND_MAX];
  const jtext *t, *needle;
  int64_t skipped, n = 0;
  if (!jbind(call, "sub start end", 1, a) || !search_area(call, a, &t, &needle, &skipped)) return false;
  if (needle->n == 0) return *out = jint((int64_t)jtext_chars(t) + 1), true;
  for (size_t at = 0; (at = pn_str_find(jview(t), jview(needle), at)) != SIZE_MAX; at += needle->n) n++;
  *out = jint(n);
  return jstep(call->c, t->n / 64);
}

static bool all_chars(const jcall *call, bool (*test)(uint32_t), jvalue *out) {
  const jtext *t = call->self.u.s;
  bool yes = t->n > 0;
  uint32_t cp;
  for (size_t at = 0; at < t->n && yes;) {
    at += junicode_at(jview(t), at, &cp);
    yes = test(cp);
  }
  *out = jbool(yes);
  return jstep(call->c, t->n / 64);
}

static bool is_alnum(uint32_t cp) { return junicode_is_alpha(cp) || junicode_is_numeric(cp); }
static bool is_ascii(uint32_t cp) { return cp < 0x80; }
static bool m_isalpha(const jcall *call, jvalue *out) { return all_chars(call, junicode_is_alpha, out); }
static bool m_isdigit(const jcall *call, jvalue *out) { return all_chars(call, junicode_is_digit, out); }
static bool m_isdecimal(const jcall *call, jvalue *out) { return all_chars(call, junicode_is_decimal, out); }
static bool m_isnumeric(const jcall *call, jvalue *out) { return all_chars(call, junicode_is_numeric, out); }
static bool m_isalnum(const jcall *call, jvalue *out) { return all_chars(call, is_alnum, out); }
static bool m_isspace(const jcall *call, jvalue *out) { return all_chars(call, junicode_is_space, out); }
static bool m_isascii(const jcall *call, jvalue *out) {
  return call->self.u.s->n ? all_chars(call, is_ascii, out) : (*out = jbool(true), true);
}

// Some cased character, and none of the other case.
static bool one_case(const jcall *call, bool (*good)(uint32_t), bool (*bad)(uint32_t), jvalue *out) {
  const jtext *t = call->self.u.s;
  bool some = false, wrong = false;
  uint32_t cp;
  for (size_t at = 0; at < t->n && !wrong;) {
    at += junicode_at(jview(t), at, &cp);
    some |= good(cp);
    wrong = bad(cp);
  }
  *out = jbool(some && !wrong);
  return jstep(call->c, t->n / 64);
}
static bool m_islower(const jcall *call, jvalue *out) {
  return one_case(call, junicode_is_lower, junicode_is_upper, out);
}
static bool m_isupper(const jcall *call, jvalue *out) {
  return one_case(call, junicode_is_upper, junicode_is_lower, out);
}

static bool fill(jbuild *b, const jtext *with, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (!jstep(b->c, 1) || !(with ? jbuild_text(b, with) : jbuild_z(b, " ", false))) return false;
  return true;
}

static bool justify(const jcall *call, int side, jvalue *out) {
  jvalue a[JBIND_MAX];
  const jtext *with, *t = call->self.u.s;
  int64_t width;
  jbuild *b = jbuild_new(call->c);
  if (!b || !jbind(call, "width fillchar", 1, a) || !jbind_int(call, a[0], 0, &width)) return false;
  if (!text_arg(call, a[1], &with)) return false;
  if (with && jtext_chars(with) != 1) return jfail_type(call->c, "the fill character must be one character");
  const size_t n = jtext_chars(t), room = width > 0 && (size_t)width > n ? (size_t)width - n : 0;
  // Python's center puts the odd space left when the width is odd.
  const size_t left = side < 0 ? 0 : side > 0 ? room : room / 2 + (room & (size_t)width & 1);
  if (!fill(b, with, left) || !jbuild_text(b, t) || !fill(b, with, room - left)) return false;
  return give(jbuild_done(b), out);
}
static bool m_ljust(const jcall *call, jvalue *out) { return justify(call, -1, out); }
static bool m_rjust(const jcall *call, jvalue *out) { return justify(call, 1, out); }
static bool m_center(const jcall *call, jvalue *out) { return justify(call, 0, out); }

static bool m_zfill(const jcall *call, jvalue *out) {
  jvalue a[JBIND_MAX];
  const jtext *t = call->self.u.s, zero = {.p = "0", .n = 1, .n_chars = 1};
  int64_t width;
  jbuild *b = jbuild_new(call->c);
  if (!b || !jbind(call, "width", 1, a) || !jbind_int(call, a[0], 0, &width)) return false;
  const size_t n = jtext_chars(t), room = width > 0 && (size_t)width > n ? (size_t)width - n : 0;
  const size_t sign = t->n && (t->p[0] == '-' || t->p[0] == '+') ? 1 : 0;
  if (!jbuild_slice(b, t, 0, sign) || !fill(b, &zero, room) || !jbuild_slice(b, t, sign, t->n)) return false;
  return give(jbuild_done(b), out);
}

// "{}" and "{0}" and "{name}" without conversions or format specifications.
static bool format_field(const jcall *call, pn_str field, size_t *next, jvalue *out) {
  size_t index = 0, digits = 0;
  while (digits < field.n && digits < 6 && field.p[digits] >= '0' && field.p[digits] <= '9')
    index = index * 10 + (size_t)(field.p[digits++] - '0');
  if (digits == field.n) {
    if (field.n == 0) index = (*next)++;
    if (index >= call->n_args) return jfail_type(call->c, "not enough arguments for format");
    return *out = call->args[index], true;
  }
  for (size_t i = 0; i < call->n_named; i++)
    if (pn_str_eq(call->names[i], field)) return *out = call->named[i], true;
  return jfail(call->c, PN_ERR_UNSUPPORTED, "the format field '{%s}'", jquote(call->c, field));
}

static bool m_format(const jcall *call, jvalue *out) {
  const jtext *t = call->self.u.s, *one;
  jbuild *b = jbuild_new(call->c);
  size_t plain = 0, next = 0;
  if (!b) return false;
  for (size_t at = 0; at < t->n; at++) {
    const char c = t->p[at];
    if (c != '{' && c != '}') continue;
    if (!jbuild_slice(b, t, plain, at)) return false;
    if (at + 1 < t->n && t->p[at + 1] == c) {
      plain = ++at;
      continue;
    }
    size_t end = c == '{' ? pn_str_find(jview(t), PN_STR("}"), at) : SIZE_MAX;
    jvalue v;
    if (end == SIZE_MAX) return jfail_type(call->c, "single '%c' encountered in format string", c);
    if (!format_field(call, (pn_str){t->p + at + 1, end - at - 1}, &next, &v)) return false;
    if (!jdump_str(call->c, v, &one) || !jbuild_text(b, one)) return false;
    at = end;
    plain = end + 1;
  }
  return jbuild_slice(b, t, plain, t->n) && give(jbuild_done(b), out);
}

const jmethod jmethods_str[] = {
    {"strip", m_strip},
    {"lstrip", m_lstrip},
    {"rstrip", m_rstrip},
    {"split", m_split},
    {"rsplit", m_rsplit},
    {"partition", m_partition},
    {"rpartition", m_rpartition},
    {"splitlines", m_splitlines},
    {"startswith", m_startswith},
    {"endswith", m_endswith},
    {"removeprefix", m_removeprefix},
    {"removesuffix", m_removesuffix},
    {"upper", m_upper},
    {"lower", m_lower},
    {"casefold", m_lower},
    {"title", m_title},
    {"capitalize", m_capitalize},
    {"replace", m_replace},
    {"join", m_join},
    {"find", m_find},
    {"rfind", m_rfind},
    {"index", m_index},
    {"rindex", m_rindex},
    {"count", m_count},
    {"isalpha", m_isalpha},
    {"isdigit", m_isdigit},
    {"isdecimal", m_isdecimal},
    {"isnumeric", m_isnumeric},
    {"isalnum", m_isalnum},
    {"isspace", m_isspace},
    {"isascii", m_isascii},
    {"islower", m_islower},
    {"isupper", m_isupper},
    {"ljust", m_ljust},
    {"rjust", m_rjust},
    {"center", m_center},
    {"zfill", m_zfill},
    {"format", m_format},
    {NULL, NULL},
};
