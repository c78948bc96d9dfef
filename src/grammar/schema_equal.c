#include "grammar/schema_equal.h"

#include "base/hash.h"
#include "grammar/schema_valid.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool schema_is_integer(const pn_json *v) {
  if (pn_json_is(v, PN_JSON_INT)) return true;
  return pn_json_is(v, PN_JSON_REAL) && trunc(pn_json_num(v)) == pn_json_num(v);
}

// -- Order

static int compare_ints(int64_t a, int64_t b) { return (a > b) - (a < b); }
static int compare_reals(double a, double b) { return (a > b) - (a < b); }

static int compare_int_real(int64_t i, double d) {
  if (d >= 0x1p63) return -1;
  if (d < -0x1p63) return 1;
  int whole = compare_ints(i, (int64_t)d);
  return whole ? whole : compare_reals(trunc(d), d);
}

int schema_compare(const pn_json *a, const pn_json *b) {
  bool a_real = pn_json_is(a, PN_JSON_REAL), b_real = pn_json_is(b, PN_JSON_REAL);
  if (a_real && b_real) return compare_reals(pn_json_num(a), pn_json_num(b));
  if (b_real) return compare_int_real(pn_json_int(a), pn_json_num(b));
  if (a_real) return -compare_int_real(pn_json_int(b), pn_json_num(a));
  return compare_ints(pn_json_int(a), pn_json_int(b));
}

int schema_compare_count(size_t n, const pn_json *number) {
  int64_t count = n > INT64_MAX ? INT64_MAX : (int64_t)n;
  if (pn_json_is(number, PN_JSON_REAL)) return compare_int_real(count, pn_json_num(number));
  return compare_ints(count, pn_json_int(number));
}

// -- Divisibility

// digits * 10^exponent without its sign; the last digit is not 0 unless all of it is.
typedef struct decimal {
  uint64_t digits;
  int exponent;
} decimal;

// The shortest decimal that reads back as d: at most 17 digits, so they fit.
static decimal decimal_of_real(double d) {
  char text[40];
  for (int digits = 15; digits <= 17; digits++) {
    snprintf(text, sizeof text, "%.*e", digits - 1, fabs(d));
    if (strtod(text, NULL) == fabs(d)) break;
  }
  decimal r = {0, 1};
  const char *p = text;
  for (; *p && *p != 'e'; p++) {
    if (*p < '0' || *p > '9') continue; // the point
    r.digits = r.digits * 10 + (uint64_t)(*p - '0');
    r.exponent--;
  }
  if (*p == 'e') r.exponent += atoi(p + 1);
  return r;
}

static decimal decimal_of(const pn_json *v) {
  decimal r = {0};
  if (pn_json_is(v, PN_JSON_REAL))
    r = decimal_of_real(pn_json_num(v));
  else
    r.digits = pn_json_int(v) < 0 ? 0 - (uint64_t)pn_json_int(v) : (uint64_t)pn_json_int(v);
  while (r.digits && r.digits % 10 == 0) {
    r.digits /= 10;
    r.exponent++;
  }
  return r;
}

static uint64_t add_mod(uint64_t a, uint64_t b, uint64_t m) { return a >= m - b ? a - (m - b) : a + b; }

bool schema_is_multiple(const pn_json *v, const pn_json *of) {
  decimal a = decimal_of(v), b = decimal_of(of);
  if (!a.digits) return true;
  // a has no factor 10 left that b would need.
  if (!b.digits || a.exponent < b.exponent) return false;
  uint64_t rest = a.digits % b.digits;
  for (int i = b.exponent; rest && i < a.exponent; i++) { // rest = rest * 10 % b, which may not fit 64 bits
    uint64_t twice = add_mod(rest, rest, b.digits);
    uint64_t five = add_mod(add_mod(twice, twice, b.digits), rest, b.digits);
    rest = add_mod(five, five, b.digits);
  }
  return rest == 0;
}

// -- Equality

static bool same_arrays(const pn_json *a, const pn_json *b, size_t *n_steps) {
  size_t n = pn_json_len(a);
  if (n != pn_json_len(b)) return false;
  for (size_t i = 0; i < n; i++)
    if (!schema_same(pn_json_at(a, i), pn_json_at(b, i), n_steps)) return false;
  return true;
}

static bool same_objects(const pn_json *a, const pn_json *b, size_t *n_steps) {
  if (pn_json_len(a) != pn_json_len(b)) return false;
  for (const pn_json_member *it = pn_json_first(a); it; it = pn_json_next(a, it)) {
    const pn_json *other = pn_json_get(b, pn_json_key(it).p);
    if (!other || !schema_same(pn_json_value(it), other, n_steps)) return false;
  }
  return true;
}

bool schema_same(const pn_json *a, const pn_json *b, size_t *n_steps) {
  *n_steps += 1;
  if (a == b) return true;
  if (pn_json_is_number(a) && pn_json_is_number(b)) return schema_compare(a, b) == 0;
  pn_json_type t = pn_json_type_of(a);
  if (t != pn_json_type_of(b)) return false;
  switch (t) {
  case PN_JSON_BOOL: return pn_json_true(a) == pn_json_true(b);
  case PN_JSON_STRING:
    if (pn_json_str(a).n != pn_json_str(b).n) return false;
    *n_steps += pn_json_str(a).n / 64;
    return pn_str_eq(pn_json_str(a), pn_json_str(b));
  case PN_JSON_ARRAY: return same_arrays(a, b, n_steps);
  case PN_JSON_OBJECT: return same_objects(a, b, n_steps);
  default: return true;
  }
}

bool schema_equal(const pn_json *a, const pn_json *b) {
  size_t n_steps = 0;
  return schema_same(a, b, &n_steps);
}

static uint64_t hash_number(const pn_json *v) {
  double d = pn_json_num(v);
  if (pn_json_is(v, PN_JSON_REAL) && !(schema_is_integer(v) && d >= -0x1p63 && d < 0x1p63)) {
    uint64_t bits;
    memcpy(&bits, &d, sizeof bits);
    return pn_hash_u64(bits ^ PN_JSON_REAL);
  }
  return pn_hash_u64((uint64_t)pn_json_int(v) + PN_JSON_INT);
}

uint64_t schema_hash(const pn_json *v, size_t *n_steps) {
  pn_json_type t = pn_json_type_of(v);
  uint64_t h = pn_hash_u64((uint64_t)t);
  *n_steps += 1;
  switch (t) {
  case PN_JSON_INT:
  case PN_JSON_REAL: return hash_number(v);
  case PN_JSON_BOOL: return h + pn_json_true(v);
  case PN_JSON_STRING:
    *n_steps += pn_json_str(v).n / 64;
    return pn_hash(pn_json_str(v).p, pn_json_str(v).n, t);
  case PN_JSON_ARRAY:
    for (size_t i = 0; i < pn_json_len(v); i++) h = pn_hash_u64(h ^ schema_hash(pn_json_at(v, i), n_steps));
    return h;
  case PN_JSON_OBJECT: // a sum: the order of members does not count
    for (const pn_json_member *it = pn_json_first(v); it; it = pn_json_next(v, it)) {
      pn_str key = pn_json_key(it);
      h += pn_hash_u64(pn_hash(key.p, key.n, schema_hash(pn_json_value(it), n_steps)));
    }
    return h;
  default: return h;
  }
}
