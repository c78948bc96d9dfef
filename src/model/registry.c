// Which family a model is of.
#include "model/model_internal.h"

#include <stddef.h>
#include <stdio.h>

static bool listed(const char *const *names, pn_str name) {
  for (; *names; names++)
    if (pn_str_is(name, *names)) return true;
  return false;
}

const model_arch *registry_by_json_type(pn_str type) {
  for (const model_arch *const *a = model_archs; *a; a++)
    if (listed((*a)->json_types, type)) return *a;
  return NULL;
}

const model_arch *registry_by_gguf_arch(pn_str name) {
  for (const model_arch *const *a = model_archs; *a; a++)
    if (listed((*a)->gguf_archs, name)) return *a;
  return NULL;
}

const char *registry_known(bool gguf, char out[REGISTRY_TEXT]) {
  size_t n = 0;
  out[0] = '\0';
  for (const model_arch *const *a = model_archs; *a; a++)
    for (const char *const *name = gguf ? (*a)->gguf_archs : (*a)->json_types; *name && n < REGISTRY_TEXT - 1;
         name++)
      n += (size_t)snprintf(out + n, REGISTRY_TEXT - n, "%s%s", n ? ", " : "", *name);
  return out;
}
