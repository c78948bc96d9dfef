// How many requests a minute each API key may send. Without keys all clients share one measure.
#ifndef PN_API_RATE_H
#define PN_API_RATE_H

#include "api/api.h"

typedef struct api_rate api_rate;

// NULL when there is no limit (per_minute 0), or memory ran out (*e says so).
api_rate *api_rate_new(int per_minute, pn_error *e);
void api_rate_free(api_rate *t);
// Whether a request of this key (NULL: none) may begin at now_us, which counts it; else *retry_after_s says
// when. A key that was quiet may send a minute's requests at once. The HTTP thread; `t` may be NULL.
bool api_rate_take(api_rate *t, const char *key_name, uint64_t now_us, int *retry_after_s);
int api_rate_per_minute(const api_rate *t);

#endif
