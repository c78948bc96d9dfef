// GGUF versions 2 and 3, all numbers little-endian; a string is u64 length + bytes:
//   offset 0   4    "GGUF"
//   offset 4   u32  version
//   offset 8   u64  number of tensors
//   offset 16  u64  number of metadata entries
//   offset 24       entries: string key, u32 type, value; an array is u32 type, u64 n, n elements
//              ...  tensors: string name, u32 n_dims, u64 dims[n_dims] (contiguous first), u32 type, u64
//              offset ...  padding to general.alignment (32 when absent), then data; offsets count from here
#include "base/utf8.h"
#include "formats/formats.h"
#include "formats/ggml_type.h"
#include "formats/name_index.h"
#include "formats/range.h"

#include <inttypes.h>

#define MAX_NAME_BYTES 65535
#define MAX_ENTRIES 65536u
#define MAX_STRINGS ((uint64_t)1 << 24) // of one array
#define MAX_DIMS 4
#define MIN_ENTRY_BYTES 14  // 1-byte key, 1-byte value
#define MIN_TENSOR_BYTES 25 // 1-byte name, no dimensions

// A place in the file; at <= n always.
typedef struct reader {
  const unsigned char *p;
  size_t n, at;
  const char *where;
  pn_arena *arena;
  pn_error *e;
} reader;

static bool need(reader *r, uint64_t n_bytes, const char *what) {
  if (n_bytes <= r->n - r->at) return true;
  return pn_fail(r->e, PN_ERR_CORRUPT,
                 "%s: %s at offset %zu needs %" PRIu64 " bytes, but only %zu are left (incomplete download?)",
                 r->where, what, r->at, n_bytes, r->n - r->at);
}

static bool take_u32(reader *r, const char *what, uint32_t *out) {
  if (!need(r, 4, what)) return false;
  *out = range_u32(r->p + r->at);
  r->at += 4;
  return true;
}

static bool take_u64(reader *r, const char *what, uint64_t *out) {
  if (!need(r, 8, what)) return false;
  *out = range_u64(r->p + r->at);
  r->at += 8;
  return true;
}

static bool take_str(reader *r, const char *what, pn_str *out) {
  uint64_t n;
  if (!take_u64(r, what, &n) || !need(r, n, what)) return false;
  *out = (pn_str){(const char *)r->p + r->at, (size_t)n};
  r->at += (size_t)n;
  return true;
}

// A key or tensor name: 1 to 65,535 bytes of UTF-8.
static bool take_name(reader *r, const char *what, pn_str *out) {
  size_t at = r->at;
  if (!take_str(r, what, out)) return false;
  if (out->n > 0 && out->n <= MAX_NAME_BYTES && pn_utf8_check(*out) == out->n) return true;
  return pn_fail(r->e, PN_ERR_CORRUPT, "%s: %s at offset %zu (%zu bytes) must be 1 to %d bytes of UTF-8",
                 r->where, what, at, out->n, MAX_NAME_BYTES);
}

static size_t element_bytes(pn_gguf_type t) {
  static const unsigned char bytes[] = {1, 1, 2, 2, 4, 4, 4,
                                        1, 8, 0, 8, 8, 8}; // a string: at least its length
  return bytes[t];
}

static bool take_strings(reader *r, pn_gguf_value *v) {
  if (v->n > MAX_STRINGS)
    return pn_fail(r->e, PN_ERR_LIMIT,
                   "%s: metadata \"%.*s\" has %" PRIu64 " strings; at most %" PRIu64 " are read", r->where,
                   NAME_SHOWN(v->key), v->n, MAX_STRINGS);
  size_t start = r->at;
  pn_str s;
  for (uint64_t i = 0; i < v->n; i++) // all lengths are proven before memory is taken
    if (!take_str(r, "a metadata string", &s)) return false;
  pn_str *strings = pn_arena_array(r->arena, (size_t)v->n, sizeof *strings);
  if (!strings)
    return pn_fail(r->e, PN_ERR_NOMEM, "%s: out of memory for %" PRIu64 " strings", r->where, v->n);
  r->at = start;
  for (uint64_t i = 0; i < v->n; i++)
    if (!take_str(r, "a metadata string", &strings[i])) return false;
  v->strings = strings;
  return true;
}

static bool take_elements(reader *r, pn_gguf_value *v) {
  size_t size = element_bytes(v->type);
  if (v->n > (r->n - r->at) / size)
    return pn_fail(r->e, PN_ERR_CORRUPT,
                   "%s: metadata \"%.*s\" at offset %zu claims %" PRIu64
                   " elements of %zu bytes or more, but only %zu bytes are left (incomplete download?)",
                   r->where, NAME_SHOWN(v->key), r->at, v->n, size, r->n - r->at);
  v->data = r->p + r->at;
  if (v->type == PN_GGUF_STR) return take_strings(r, v);
  if (v->type == PN_GGUF_BOOL)
    for (uint64_t i = 0; i < v->n; i++)
      if (v->data[i] > 1)
        return pn_fail(r->e, PN_ERR_CORRUPT,
                       "%s: metadata \"%.*s\": a boolean at offset %zu is %u, not 0 or 1", r->where,
                       NAME_SHOWN(v->key), r->at + (size_t)i, v->data[i]);
  r->at += (size_t)v->n * size;
  return true;
}

static bool take_type(reader *r, const pn_gguf_value *v, uint32_t *type) {
  size_t at = r->at;
  if (!take_u32(r, "a metadata type", type)) return false;
  if (*type <= PN_GGUF_F64) return true;
  return pn_fail(r->e, PN_ERR_CORRUPT,
                 "%s: metadata \"%.*s\": type %" PRIu32 " at offset %zu is not one of 0 to %d", r->where,
                 NAME_SHOWN(v->key), *type, at, PN_GGUF_F64);
}

static bool take_value(reader *r, pn_gguf_value *v) {
  uint32_t type;
  if (!take_name(r, "a metadata key", &v->key) || !take_type(r, v, &type)) return false;
  v->n = 1;
  v->is_array = type == PN_GGUF_ARRAY;
  if (v->is_array && (!take_type(r, v, &type) || !take_u64(r, "an array length", &v->n))) return false;
  if (type == PN_GGUF_ARRAY)
    return pn_fail(r->e, PN_ERR_UNSUPPORTED,
                   "%s: metadata \"%.*s\" is an array of arrays, which is not supported", r->where,
                   NAME_SHOWN(v->key));
  v->type = (pn_gguf_type)type;
  return take_elements(r, v);
}

static bool take_values(reader *r, uint64_t n, pn_gguf *g) {
  if (n > (r->n - r->at) / MIN_ENTRY_BYTES)
    return pn_fail(r->e, PN_ERR_CORRUPT,
                   "%s: %" PRIu64 " metadata entries (offset 16) don't fit a file of %zu bytes", r->where, n,
                   r->n);
  if (n > MAX_ENTRIES)
    return pn_fail(r->e, PN_ERR_LIMIT, "%s: %" PRIu64 " metadata entries; at most %u are read", r->where, n,
                   MAX_ENTRIES);
  g->values = pn_arena_array(r->arena, (size_t)n, sizeof *g->values);
  if (!g->values) return pn_fail(r->e, PN_ERR_NOMEM, "%s: out of memory for metadata", r->where);
  g->n_values = (size_t)n;
  for (size_t i = 0; i < g->n_values; i++)
    if (!take_value(r, &g->values[i])) return false;
  uint32_t *index;
  size_t index_size;
  return name_index_require(r->arena, g->values, g->n_values, sizeof *g->values, &index, &index_size,
                            r->where, "metadata", r->e);
}

static bool read_alignment(reader *r, pn_gguf *g) {
  const pn_gguf_value *v = pn_gguf_get(g, "general.alignment");
  g->alignment = 32;
  if (!v) return true;
  int64_t n;
  if (v->is_array || !pn_gguf_int(v, 0, &n) || n <= 0 || n > UINT32_MAX || (n & (n - 1)))
    return pn_fail(r->e, PN_ERR_CORRUPT, "%s: general.alignment must be a power of two below 2^32", r->where);
  g->alignment = (uint64_t)n;
  return true;
}

// Shape in our order; the file's first dimension is the contiguous one. *n_elements is their product.
static bool take_shape(reader *r, pn_tensor *t, uint64_t *n_elements) {
  uint32_t n;
  size_t at = r->at;
  if (!take_u32(r, "a tensor's number of dimensions", &n)) return false;
  if (n > MAX_DIMS)
    return pn_fail(r->e, PN_ERR_CORRUPT,
                   "%s: tensor \"%.*s\" at offset %zu has %" PRIu32 " dimensions, at most %d exist", r->where,
                   NAME_SHOWN(t->name), at, n, MAX_DIMS);
  t->n_dims = (int)n;
  for (uint32_t i = 0; i < n; i++)
    if (!take_u64(r, "a tensor's dimension", &t->shape[n - 1 - i])) return false;
  if (!range_elements(t->shape, t->n_dims, n_elements))
    return pn_fail(r->e, PN_ERR_CORRUPT,
                   "%s: tensor \"%.*s\" at offset %zu: the number of elements overflows 64 bits", r->where,
                   NAME_SHOWN(t->name), at);
  return true;
}

// Name, shape, type and data offset of one tensor. `bytes` is its range in the data, empty when *sized is
// false.
static bool take_tensor(reader *r, uint64_t alignment, pn_tensor *t, range *bytes, bool *sized) {
  uint64_t n_elements = 1, n_bytes = 0;
  uint32_t number;
  if (!take_name(r, "a tensor name", &t->name) || !take_shape(r, t, &n_elements)) return false;
  size_t at = r->at;
  if (!take_u32(r, "a tensor's type", &number)) return false;
  const ggml_type type = ggml_type_of(number);
  if (!type.name)
    return pn_fail(
        r->e, PN_ERR_UNSUPPORTED,
        "%s: tensor \"%.*s\": type %" PRIu32
        " at offset %zu is not known (a program's own?); take a file of another type, such as Q4_K_M",
        r->where, NAME_SHOWN(t->name), number, at);
  t->dtype = type.dtype;
  t->type_name = type.name;
  *sized = type.block > 0;
  uint64_t row = t->n_dims ? t->shape[t->n_dims - 1] : 1;
  if (*sized && row % type.block)
    return pn_fail(r->e, PN_ERR_CORRUPT,
                   "%s: tensor \"%.*s\" of type %s: a row of %" PRIu64
                   " is not a whole number of blocks of %u",
                   r->where, NAME_SHOWN(t->name), type.name, row, type.block);
  at = r->at;
  if (!take_u64(r, "a tensor's data offset", &bytes->begin)) return false;
  if (bytes->begin % alignment)
    return pn_fail(r->e, PN_ERR_CORRUPT,
                   "%s: tensor \"%.*s\": data offset %" PRIu64
                   " (at offset %zu) is not a multiple of %" PRIu64,
                   r->where, NAME_SHOWN(t->name), bytes->begin, at, alignment);
  if ((*sized && __builtin_mul_overflow(n_elements / type.block, type.bytes, &n_bytes)) ||
      __builtin_add_overflow(bytes->begin, n_bytes, &bytes->end))
    return pn_fail(r->e, PN_ERR_CORRUPT, "%s: tensor \"%.*s\": its size overflows 64 bits", r->where,
                   NAME_SHOWN(t->name));
  return true;
}

// Give every tensor its bytes. `ranges` in the order of the tensors; data begins at offset `begin` of the
// file.
static bool place(reader *r, pn_tensors *ts, range *ranges, const bool *sized, uint64_t begin) {
  if (begin > r->n) begin = r->n; // only tensors without bytes are left then
  uint64_t n_data = r->n - begin, at = 0;
  range_sort(ranges, ts->n);
  for (size_t i = 0; i < ts->n; i++) {
    range *x = &ranges[i];
    pn_tensor *t = &ts->items[x->item];
    if (!sized[x->item]) x->end = i + 1 < ts->n ? ranges[i + 1].begin : n_data < x->begin ? x->begin : n_data;
    if (x->end > n_data)
      return pn_fail(r->e, PN_ERR_CORRUPT,
                     "%s: tensor \"%.*s\" (%s) needs the bytes from offset %" PRIu64 " to %" PRIu64
                     ", but the file ends at %zu (incomplete download?)",
                     r->where, NAME_SHOWN(t->name), t->type_name, begin + x->begin, begin + x->end, r->n);
    if (x->begin < at && x->end > x->begin)
      return pn_fail(r->e, PN_ERR_CORRUPT,
                     "%s: tensor \"%.*s\" begins at data offset %" PRIu64
                     ", but the one before ends at %" PRIu64,
                     r->where, NAME_SHOWN(t->name), x->begin, at);
    if (x->end > at) at = x->end;
    t->data = r->p + begin + x->begin;
    t->n_bytes = (size_t)(x->end - x->begin);
  }
  return true;
}

static bool take_tensors(reader *r, uint64_t n, pn_gguf *g) {
  if (n > (r->n - r->at) / MIN_TENSOR_BYTES)
    return pn_fail(r->e, PN_ERR_CORRUPT, "%s: %" PRIu64 " tensors (offset 8) don't fit a file of %zu bytes",
                   r->where, n, r->n);
  if (n > NAME_INDEX_MAX)
    return pn_fail(r->e, PN_ERR_LIMIT, "%s: %" PRIu64 " tensors; at most %zu are supported", r->where, n,
                   NAME_INDEX_MAX);
  pn_tensors *ts = &g->tensors;
  ts->n = (size_t)n;
  ts->items = pn_arena_array(r->arena, ts->n, sizeof *ts->items);
  range *ranges = pn_arena_array(r->arena, ts->n, sizeof *ranges);
  bool *sized = pn_arena_array(r->arena, ts->n, sizeof *sized);
  if (!ts->items || !ranges || !sized)
    return pn_fail(r->e, PN_ERR_NOMEM, "%s: out of memory for %zu tensors", r->where, ts->n);
  for (size_t i = 0; i < ts->n; i++) {
    ranges[i].item = i;
    if (!take_tensor(r, g->alignment, &ts->items[i], &ranges[i], &sized[i])) return false;
  }
  uint64_t begin = (r->at + g->alignment - 1) & ~(g->alignment - 1);
  return place(r, ts, ranges, sized, begin) &&
         name_index_require(r->arena, ts->items, ts->n, sizeof *ts->items, &ts->index, &ts->index_size,
                            r->where, "tensor", r->e);
}

static bool read_start(reader *r, pn_gguf *g, uint64_t *n_tensors, uint64_t *n_values) {
  pn_str file = {(const char *)r->p, r->n};
  if (!pn_str_starts(file, PN_STR("GGUF")))
    return pn_fail(r->e, PN_ERR_CORRUPT, "%s: not a GGUF file: no \"GGUF\" at offset 0%s", r->where,
                   range_hint(file));
  r->at = 4;
  if (!take_u32(r, "the version", &g->version)) return false;
  if (g->version == 1)
    return pn_fail(r->e, PN_ERR_UNSUPPORTED, "%s: GGUF version 1 is not supported; convert it to version 3",
                   r->where);
  if (g->version != 0 && (g->version & 0xFFFF) == 0)
    return pn_fail(r->e, PN_ERR_UNSUPPORTED,
                   "%s: a big-endian GGUF file; only little-endian ones are supported", r->where);
  if (g->version != 2 && g->version != 3)
    return pn_fail(r->e, PN_ERR_UNSUPPORTED,
                   "%s: GGUF version %" PRIu32 " at offset 4; supported are 2 and 3", r->where, g->version);
  return take_u64(r, "the number of tensors", n_tensors) &&
         take_u64(r, "the number of metadata entries", n_values);
}

bool pn_gguf_parse(pn_arena *a, pn_str file, const char *where, pn_gguf *out, pn_error *e) {
  *out = (pn_gguf){0};
  reader r = {(const unsigned char *)file.p, file.n, 0, where, a, e};
  uint64_t n_tensors = 0, n_values = 0;
  bool ok = read_start(&r, out, &n_tensors, &n_values) && take_values(&r, n_values, out) &&
            read_alignment(&r, out) && take_tensors(&r, n_tensors, out);
  if (!ok) *out = (pn_gguf){0};
  return ok;
}
