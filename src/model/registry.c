#include "model/model_internal.h"

#include <stddef.h>

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

const char *registry_known(void) { return "llama, mistral, phi3"; }
