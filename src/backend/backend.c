#include "backend/backend.h"

#include "backend/cpu/cpu.h"
#include "backend/cpu/cpu_isa.h"

#include <string.h>

pn_backend *pn_backend_open(const pn_backend_options *o, pn_error *e) {
  const char *name = o->name ? o->name : "auto", *activations = o->activations;
  if (activations && strcmp(activations, "int16") != 0 && strcmp(activations, "int8") != 0) {
    pn_fail(e, PN_ERR_USAGE, "unknown precision of activations '%s': expected int16 or int8", activations);
    return NULL;
  }
  if (strcmp(name, "ref") == 0) return cpu_ref_open(o, e);
  if (strcmp(name, "cpu") == 0 || strcmp(name, "auto") == 0) return cpu_open(o, e);
  if (strcmp(name, "cuda") == 0 || strcmp(name, "mlx") == 0)
    pn_fail(e, PN_ERR_DEVICE, "the backend '%s' is not part of this build; 'cpu' is", name);
  else
    pn_fail(e, PN_ERR_USAGE, "unknown backend '%s': expected auto, cpu, ref, cuda or mlx", name);
  return NULL;
}

void pn_backend_close(pn_backend *b) {
  if (b) b->ops->close(b);
}

static const char *const kv_names[PN_KV_N_TYPES] = {"f32", "f16", "bf16", "int8", "int4"};

const char *pn_kv_type_name(pn_kv_type t) { return (unsigned)t < PN_KV_N_TYPES ? kv_names[t] : "unknown"; }

bool pn_kv_type_of(const char *name, pn_kv_type *out) {
  for (int t = 0; t < PN_KV_N_TYPES; t++) {
    if (strcmp(name, kv_names[t]) != 0) continue;
    *out = (pn_kv_type)t;
    return true;
  }
  return false;
}

uint64_t pn_kv_token_bytes(pn_backend *b, const pn_kv_shape *s) {
  pn_kv_shape one = *s;
  one.n_pages = 1;
  uint64_t page = b->ops->kv_bytes(b, &one), n = s->page_tokens < 1 ? 1 : (uint64_t)s->page_tokens;
  return page == UINT64_MAX ? page : page / n + (page % n != 0);
}

const char *const *pn_backend_isas(void) {
  static const char *const x512[] = {"avx512", "avx2", "scalar", NULL};
  static const char *const x256[] = {"avx2", "scalar", NULL};
  static const char *const arm[] = {"neon", "scalar", NULL};
  static const char *const plain[] = {"scalar", NULL};
  switch (cpu_isa_best()) {
  case CPU_AVX512: return x512;
  case CPU_AVX2: return x256;
  case CPU_NEON: return arm;
  default: return plain;
  }
}

const char *pn_backend_cpu_features(void) {
  switch (cpu_isa_best()) {
  case CPU_AVX512: return "avx2 avx512-vnni";
  case CPU_AVX2: return "avx2";
  case CPU_NEON: return "neon-dotprod";
  default: return "scalar";
  }
}
