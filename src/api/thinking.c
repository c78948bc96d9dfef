#include "api/thinking.h"

#include "api/api_core.h"
#include "base/hash.h"

#include <stdio.h>

// "pn1." and two hashes of the text with seeds from the model's name.
void thinking_sign(const pn_api *a, pn_str text, char out[THINKING_SIGNATURE_BYTES]) {
  pn_str model = pn_str_of(a->o.model_name);
  uint64_t seed = pn_hash(model.p, model.n, 0x7468696E6B);
  snprintf(out, THINKING_SIGNATURE_BYTES, "pn1.%016llx%016llx",
           (unsigned long long)pn_hash(text.p, text.n, seed),
           (unsigned long long)pn_hash(text.p, text.n, pn_hash_u64(seed)));
}

bool thinking_signed(const pn_api *a, pn_str text, pn_str signature) {
  char ours[THINKING_SIGNATURE_BYTES];
  thinking_sign(a, text, ours);
  return pn_str_is(signature, ours);
}
