// Signatures of thoughts: whether a thinking block that comes back is one of this model's, unchanged. Servers
// of the same model know each other's. They keep honest clients from mixing things up; they are no secret.
#ifndef PN_API_THINKING_H
#define PN_API_THINKING_H

#include "api/api.h"

#define THINKING_SIGNATURE_BYTES 40

void thinking_sign(const pn_api *a, pn_str text, char out[THINKING_SIGNATURE_BYTES]);
bool thinking_signed(const pn_api *a, pn_str text, pn_str signature);

#endif
