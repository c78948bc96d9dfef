#include "api/api_rate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// A token bucket: full at the start, filled again by the passing of time.
typedef struct bucket {
  struct bucket *next;
  double left;
  uint64_t at_us;
  char key_name[];
} bucket;

struct api_rate {
  int per_minute;
  bucket *first; // as many as there are keys
};

api_rate *api_rate_new(int per_minute, pn_error *e) {
  if (per_minute <= 0) return NULL;
  api_rate *t = calloc(1, sizeof *t);
  if (t)
    t->per_minute = per_minute;
  else
    pn_fail(e, PN_ERR_NOMEM, "out of memory for the rate limit");
  return t;
}

void api_rate_free(api_rate *t) {
  for (bucket *b = t ? t->first : NULL, *next; b; b = next) {
    next = b->next;
    free(b);
  }
  free(t);
}

int api_rate_per_minute(const api_rate *t) { return t ? t->per_minute : 0; }

static bucket *bucket_of(api_rate *t, const char *key_name, uint64_t now_us) {
  for (bucket *b = t->first; b; b = b->next)
    if (strcmp(b->key_name, key_name) == 0) return b;
  bucket *b = malloc(sizeof *b + strlen(key_name) + 1);
  if (!b) return NULL;
  *b = (bucket){.next = t->first, .left = t->per_minute, .at_us = now_us};
  strcpy(b->key_name, key_name);
  return t->first = b;
}

bool api_rate_take(api_rate *t, const char *key_name, uint64_t now_us, int *retry_after_s) {
  if (!t) return true;
  bucket *b = bucket_of(t, key_name ? key_name : "", now_us);
  if (!b) return true; // without memory for counting nobody is held up
  double per_us = t->per_minute / 60e6;
  b->left = fmin(b->left + (double)(now_us - b->at_us) * per_us, t->per_minute);
  b->at_us = now_us;
  if (b->left >= 1) {
    b->left -= 1;
    return true;
  }
  *retry_after_s = (int)ceil((1 - b->left) / per_us / 1e6);
  return false;
}
