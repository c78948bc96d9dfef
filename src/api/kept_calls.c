#include "api/kept_calls.h"

#include "base/hash.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define N_BUCKETS 512

typedef struct call {
  struct call *next;  // of the same bucket
  struct call *newer; // by age
  size_t n_id, n_name, n_arguments;
  char text[]; // id, name, arguments
} call;

struct kept_calls {
  pthread_mutex_t lock;
  size_t limit_bytes, used_bytes;
  call *buckets[N_BUCKETS];
  call *oldest, *newest;
};

kept_calls *kept_calls_new(size_t limit_bytes) {
  kept_calls *k = calloc(1, sizeof *k);
  if (!k) return NULL;
  k->limit_bytes = limit_bytes;
  pthread_mutex_init(&k->lock, NULL);
  return k;
}

void kept_calls_free(kept_calls *k) {
  if (!k) return;
  for (call *c = k->oldest, *newer; c; c = newer) {
    newer = c->newer;
    free(c);
  }
  pthread_mutex_destroy(&k->lock);
  free(k);
}

static call **bucket_of(kept_calls *k, pn_str id) { return &k->buckets[pn_hash(id.p, id.n, 0) % N_BUCKETS]; }
static pn_str id_of(const call *c) { return (pn_str){c->text, c->n_id}; }
static pn_str name_of(const call *c) { return (pn_str){c->text + c->n_id, c->n_name}; }
static pn_str arguments_of(const call *c) { return (pn_str){c->text + c->n_id + c->n_name, c->n_arguments}; }
static size_t cost_of(const call *c) { return sizeof *c + c->n_id + c->n_name + c->n_arguments; }

static void drop_oldest(kept_calls *k) {
  call *c = k->oldest, **at = bucket_of(k, id_of(c));
  while (*at != c) at = &(*at)->next;
  *at = c->next;
  k->oldest = c->newer;
  if (!k->oldest) k->newest = NULL;
  k->used_bytes -= cost_of(c);
  free(c);
}

void kept_calls_add(kept_calls *k, pn_str id, pn_str name, pn_str arguments) {
  call *c = malloc(sizeof *c + id.n + name.n + arguments.n);
  if (!c) return; // then what the client sends is used
  *c = (call){.n_id = id.n, .n_name = name.n, .n_arguments = arguments.n};
  memcpy(c->text, id.p, id.n);
  memcpy(c->text + id.n, name.p, name.n);
  memcpy(c->text + id.n + name.n, arguments.p, arguments.n);
  pthread_mutex_lock(&k->lock);
  c->next = *bucket_of(k, id);
  *bucket_of(k, id) = c;
  *(k->newest ? &k->newest->newer : &k->oldest) = c;
  k->newest = c;
  k->used_bytes += cost_of(c);
  while (k->used_bytes > k->limit_bytes && k->oldest) drop_oldest(k);
  pthread_mutex_unlock(&k->lock);
}

pn_json *kept_calls_find(kept_calls *k, pn_str id, pn_str name) {
  pn_json *found = NULL;
  pthread_mutex_lock(&k->lock);
  for (const call *c = *bucket_of(k, id); c && !found; c = c->next)
    if (pn_str_eq(id_of(c), id) && pn_str_eq(name_of(c), name)) found = pn_json_parse(arguments_of(c), NULL);
  pthread_mutex_unlock(&k->lock);
  return found;
}
