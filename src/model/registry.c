#include "model/model_internal.h"

#include <stddef.h>
#include <stdio.h>

static const model_arch *const archs[] = {&model_arch_llama, &model_arch_phi3};
#define N_ARCHS (sizeof archs / sizeof archs[0])

static bool listed(const char *const *names, pn_str name) {
  for (; *names; names++)
    if (pn_str_is(name, *names)) return true;
  return false;
}

const model_arch *registry_by_json_type(pn_str type) {
  for (size_t i = 0; i < N_ARCHS; i++)
    if (listed(archs[i]->json_types, type)) return archs[i];
  return NULL;
}

const model_arch *registry_by_gguf_arch(pn_str name) {
  for (size_t i = 0; i < N_ARCHS; i++)
    if (listed(archs[i]->gguf_archs, name)) return archs[i];
  return NULL;
}

const char *registry_known(bool gguf, char out[96]) {
  size_t n = 0;
  out[0] = '\0';
  for (size_t i = 0; i < N_ARCHS; i++)
    for (const char *const *name = gguf ? archs[i]->gguf_archs : archs[i]->json_types; *name && n < 95;
         name++)
      n += (size_t)snprintf(out + n, 96 - n, "%s%s", n ? ", " : "", *name);
  return out;
}
