// safetensors, all numbers little-endian:
//   offset 0      u64   N, length of the header
//   offset 8      N     JSON object, first byte '{', may end in spaces
//   offset 8 + N  rest  data; the tensors cover it from the first byte to the last without gap or overlap
#include "formats/formats.h"
#include "formats/name_index.h"
#include "formats/range.h"

#include <inttypes.h>

#define MAX_HEADER_BYTES 100000000u

static const struct {
  const char *name;
  pn_dtype dtype;
  unsigned bits;
} types[] = {
    {"F32", PN_F32, 32},          {"F16", PN_F16, 16},      {"BF16", PN_BF16, 16},
    {"F64", PN_F64, 64},          {"I8", PN_I8, 8},         {"U8", PN_U8, 8},
    {"I16", PN_I16, 16},          {"U16", PN_U16, 16},      {"I32", PN_I32, 32},
    {"U32", PN_U32, 32},          {"I64", PN_I64, 64},      {"U64", PN_U64, 64},
    {"BOOL", PN_BOOL, 8},         {"F8_E4M3", PN_OTHER, 8}, {"F8_E5M2", PN_OTHER, 8},
    {"F8_E8M0", PN_OTHER, 8},     {"F4", PN_OTHER, 4},      {"F6_E2M3", PN_OTHER, 6},
    {"F6_E3M2", PN_OTHER, 6},     {"C64", PN_OTHER, 64},    {"F8_E4M3FNUZ", PN_OTHER, 8},
    {"F8_E5M2FNUZ", PN_OTHER, 8},
};

// What parsing a header needs at every step.
typedef struct context {
  pn_arena *arena;
  const char *where;
  const unsigned char *data; // first byte behind the header
  uint64_t n_data;
  uint64_t data_at; // its offset in the file, for messages
  pn_error *e;
} context;

// Type by name; *bits is 0 when the name is new to us.
static bool read_type(context *c, const pn_json *v, pn_tensor *t, unsigned *bits) {
  if (!pn_json_is(v, PN_JSON_STRING))
    return pn_fail(c->e, PN_ERR_CORRUPT, "%s: tensor \"%.*s\": dtype must be a string, found %s", c->where,
                   NAME_SHOWN(t->name), pn_json_type_name(pn_json_type_of(v)));
  pn_str name = pn_json_str(v);
  *bits = 0;
  t->dtype = PN_OTHER;
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    if (!pn_str_is(name, types[i].name)) continue;
    t->dtype = types[i].dtype;
    t->type_name = types[i].name;
    *bits = types[i].bits;
    return true;
  }
  t->type_name = pn_arena_dup(c->arena, name);
  return t->type_name || pn_fail(c->e, PN_ERR_NOMEM, "%s: out of memory", c->where);
}

static bool read_count(const pn_json *v, uint64_t *out) {
  if (!pn_json_is(v, PN_JSON_INT) || pn_json_int(v) < 0) return false;
  *out = (uint64_t)pn_json_int(v);
  return true;
}

static bool read_shape(context *c, const pn_json *v, pn_tensor *t, uint64_t *n_elements) {
  if (!pn_json_is(v, PN_JSON_ARRAY))
    return pn_fail(c->e, PN_ERR_CORRUPT, "%s: tensor \"%.*s\": shape must be an array, found %s", c->where,
                   NAME_SHOWN(t->name), pn_json_type_name(pn_json_type_of(v)));
  size_t n = pn_json_len(v);
  if (n > PN_TENSOR_DIMS)
    return pn_fail(c->e, PN_ERR_UNSUPPORTED,
                   "%s: tensor \"%.*s\" has %zu dimensions; at most %d are supported", c->where,
                   NAME_SHOWN(t->name), n, PN_TENSOR_DIMS);
  t->n_dims = (int)n;
  for (size_t i = 0; i < n; i++)
    if (!read_count(pn_json_at(v, i), &t->shape[i]))
      return pn_fail(c->e, PN_ERR_CORRUPT,
                     "%s: tensor \"%.*s\": dimension %zu must be a whole number from 0 up", c->where,
                     NAME_SHOWN(t->name), i);
  if (!range_elements(t->shape, t->n_dims, n_elements))
    return pn_fail(c->e, PN_ERR_CORRUPT, "%s: tensor \"%.*s\": the number of elements overflows 64 bits",
                   c->where, NAME_SHOWN(t->name));
  return true;
}

static bool read_offsets(context *c, const pn_json *v, const pn_tensor *t, range *r) {
  if (pn_json_len(v) != 2 || !read_count(pn_json_at(v, 0), &r->begin) ||
      !read_count(pn_json_at(v, 1), &r->end))
    return pn_fail(c->e, PN_ERR_CORRUPT,
                   "%s: tensor \"%.*s\": data_offsets must be two whole numbers from 0 up", c->where,
                   NAME_SHOWN(t->name));
  if (r->begin > r->end)
    return pn_fail(c->e, PN_ERR_CORRUPT,
                   "%s: tensor \"%.*s\": data_offsets end (%" PRIu64 ") before they begin (%" PRIu64 ")",
                   c->where, NAME_SHOWN(t->name), r->end, r->begin);
  if (r->end > c->n_data)
    return pn_fail(c->e, PN_ERR_CORRUPT,
                   "%s: tensor \"%.*s\" ends at data offset %" PRIu64 ", but only %" PRIu64
                   " bytes of data follow the header at offset %" PRIu64 " (incomplete download?)",
                   c->where, NAME_SHOWN(t->name), r->end, c->n_data, c->data_at);
  return true;
}

static bool read_tensor(context *c, const pn_json *v, pn_tensor *t, range *r) {
  if (!pn_json_is(v, PN_JSON_OBJECT))
    return pn_fail(c->e, PN_ERR_CORRUPT, "%s: tensor \"%.*s\" must be an object, found %s", c->where,
                   NAME_SHOWN(t->name), pn_json_type_name(pn_json_type_of(v)));
  unsigned bits = 0;
  uint64_t n_elements = 1, n_bits;
  if (!read_type(c, pn_json_get(v, "dtype"), t, &bits)) return false;
  if (!read_shape(c, pn_json_get(v, "shape"), t, &n_elements)) return false;
  if (!read_offsets(c, pn_json_get(v, "data_offsets"), t, r)) return false;
  t->n_bytes = (size_t)(r->end - r->begin);
  t->data = c->data + r->begin;
  if (bits == 0) return true;
  if (__builtin_mul_overflow(n_elements, (uint64_t)bits, &n_bits) || n_bits % 8 || n_bits / 8 != t->n_bytes)
    return pn_fail(c->e, PN_ERR_CORRUPT,
                   "%s: tensor \"%.*s\": %" PRIu64
                   " elements of %s don't fit its %zu bytes at data offset %" PRIu64,
                   c->where, NAME_SHOWN(t->name), n_elements, t->type_name, t->n_bytes, r->begin);
  return true;
}

// The tensors must cover the data exactly, as the format demands (a hole could hide a second file).
static bool check_cover(context *c, const pn_tensors *out, range *r) {
  range_sort(r, out->n);
  uint64_t at = 0;
  for (size_t i = 0; i < out->n; i++) {
    pn_str name = out->items[r[i].item].name;
    if (r[i].begin < at)
      return pn_fail(c->e, PN_ERR_CORRUPT,
                     "%s: tensor \"%.*s\" begins at data offset %" PRIu64
                     ", inside tensor \"%.*s\", which ends at %" PRIu64,
                     c->where, NAME_SHOWN(name), r[i].begin, NAME_SHOWN(out->items[r[i - 1].item].name), at);
    if (r[i].begin > at)
      return pn_fail(c->e, PN_ERR_CORRUPT,
                     "%s: no tensor owns data offsets %" PRIu64 " to %" PRIu64 " (before \"%.*s\")", c->where,
                     at, r[i].begin, NAME_SHOWN(name));
    at = r[i].end;
  }
  if (at != c->n_data)
    return pn_fail(c->e, PN_ERR_CORRUPT,
                   "%s: the last tensor ends at offset %" PRIu64 ", but the file has %" PRIu64 " bytes",
                   c->where, c->data_at + at, c->data_at + c->n_data);
  return true;
}

static bool read_header(context *c, const pn_json *header, pn_tensors *out) {
  size_t n = pn_json_len(header);
  if (n > NAME_INDEX_MAX)
    return pn_fail(c->e, PN_ERR_LIMIT, "%s: %zu tensors; at most %zu are supported", c->where, n,
                   NAME_INDEX_MAX);
  out->items = pn_arena_array(c->arena, n, sizeof *out->items);
  range *ranges = pn_arena_array(c->arena, n, sizeof *ranges);
  if (!out->items || !ranges)
    return pn_fail(c->e, PN_ERR_NOMEM, "%s: out of memory for %zu tensors", c->where, n);
  for (const pn_json_member *m = pn_json_first(header); m; m = pn_json_next(header, m)) {
    pn_str name = pn_json_key(m);
    if (pn_str_is(name, "__metadata__")) {
      if (pn_json_is(pn_json_value(m), PN_JSON_OBJECT)) continue;
      if (pn_json_is(pn_json_value(m), PN_JSON_NULL)) continue; // what mlx writes where there is none
      return pn_fail(c->e, PN_ERR_CORRUPT, "%s: __metadata__ must be an object, found %s", c->where,
                     pn_json_type_name(pn_json_type_of(pn_json_value(m))));
    }
    pn_tensor *t = &out->items[out->n];
    t->name = (pn_str){pn_arena_dup(c->arena, name), name.n};
    if (!t->name.p) return pn_fail(c->e, PN_ERR_NOMEM, "%s: out of memory", c->where);
    ranges[out->n].item = out->n;
    if (!read_tensor(c, pn_json_value(m), t, &ranges[out->n])) return false;
    out->n++;
  }
  return check_cover(c, out, ranges) &&
         name_index_require(c->arena, out->items, out->n, sizeof *out->items, &out->index, &out->index_size,
                            c->where, "tensor", c->e);
}

bool pn_safetensors_parse(pn_arena *a, pn_str file, const char *where, pn_tensors *out, pn_error *e) {
  *out = (pn_tensors){0};
  if (file.n < 8)
    return pn_fail(e, PN_ERR_CORRUPT, "%s: only %zu bytes, too short for a safetensors file%s", where, file.n,
                   range_hint(file));
  const unsigned char *p = (const unsigned char *)file.p;
  uint64_t n = range_u64(p);
  if (n > file.n - 8)
    return pn_fail(e, PN_ERR_CORRUPT,
                   "%s: the header length at offset 0 is %" PRIu64 ", but only %zu bytes follow%s", where, n,
                   file.n - 8, range_hint(file));
  if (n > MAX_HEADER_BYTES)
    return pn_fail(e, PN_ERR_LIMIT,
                   "%s: the header length at offset 0 is %" PRIu64 "; at most %u is accepted", where, n,
                   MAX_HEADER_BYTES);
  if (n < 2 || p[8] != '{')
    return pn_fail(e, PN_ERR_CORRUPT, "%s: no JSON object at offset 8: it is not a safetensors file%s", where,
                   range_hint(file));
  pn_json *header = pn_json_parse((pn_str){file.p + 8, (size_t)n}, e);
  if (!header) return pn_fail_in(e, "%s: header at offset 8 (%" PRIu64 " bytes)", where, n);
  context c = {a, where, p + 8 + n, file.n - 8 - n, 8 + n, e};
  bool ok = read_header(&c, header, out);
  pn_json_free(header);
  if (!ok) *out = (pn_tensors){0};
  return ok;
}
