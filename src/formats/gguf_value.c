// Reading GGUF metadata values that were parsed and checked before.
#include "formats/formats.h"
#include "formats/range.h"

const pn_gguf_value *pn_gguf_get(const pn_gguf *g, const char *key) {
  for (size_t i = 0; i < g->n_values; i++)
    if (pn_str_is(g->values[i].key, key)) return &g->values[i];
  return NULL;
}

static double f32_at(const unsigned char *p) {
  uint32_t u = range_u32(p);
  float f;
  memcpy(&f, &u, sizeof f);
  return (double)f;
}

static double f64_at(const unsigned char *p) {
  uint64_t u = range_u64(p);
  double d;
  memcpy(&d, &u, sizeof d);
  return d;
}

// Only whole numbers that an int64_t holds exactly.
static bool int_of_num(double d, int64_t *out) {
  if (!(d >= -0x1p63 && d < 0x1p63) || d != (double)(int64_t)d) return false;
  *out = (int64_t)d;
  return true;
}

bool pn_gguf_int(const pn_gguf_value *v, uint64_t i, int64_t *out) {
  if (!v || i >= v->n) return false;
  const unsigned char *p = v->data;
  switch (v->type) {
  case PN_GGUF_U8:
  case PN_GGUF_BOOL: *out = p[i]; return true;
  case PN_GGUF_I8: *out = (int8_t)p[i]; return true;
  case PN_GGUF_U16: *out = p[2 * i] | p[2 * i + 1] << 8; return true;
  case PN_GGUF_I16: *out = (int16_t)(uint16_t)(p[2 * i] | p[2 * i + 1] << 8); return true;
  case PN_GGUF_U32: *out = range_u32(p + 4 * i); return true;
  case PN_GGUF_I32: *out = (int32_t)range_u32(p + 4 * i); return true;
  case PN_GGUF_U64:
  case PN_GGUF_I64: {
    uint64_t u = range_u64(p + 8 * i);
    if (v->type == PN_GGUF_U64 && u > INT64_MAX) return false;
    *out = (int64_t)u;
    return true;
  }
  case PN_GGUF_F32: return int_of_num(f32_at(p + 4 * i), out);
  case PN_GGUF_F64: return int_of_num(f64_at(p + 8 * i), out);
  case PN_GGUF_STR:
  case PN_GGUF_ARRAY: return false;
  }
  return false;
}

bool pn_gguf_num(const pn_gguf_value *v, uint64_t i, double *out) {
  if (!v || i >= v->n) return false;
  int64_t whole;
  switch (v->type) {
  case PN_GGUF_F32: *out = f32_at(v->data + 4 * i); return true;
  case PN_GGUF_F64: *out = f64_at(v->data + 8 * i); return true;
  case PN_GGUF_U64: *out = (double)range_u64(v->data + 8 * i); return true;
  default:
    if (!pn_gguf_int(v, i, &whole)) return false;
    *out = (double)whole;
    return true;
  }
}

pn_str pn_gguf_str(const pn_gguf_value *v, uint64_t i) {
  return v && v->type == PN_GGUF_STR && i < v->n ? v->strings[i] : (pn_str){0};
}
