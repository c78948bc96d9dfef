#include "engine/engine_int.h"

void idle_pages_give_back(pn_kv_pool *pool, pn_backend *b, pn_kv *kv) {
  if (!b->ops->kv_discard) return;
  int32_t first;
  int n;
  while (pn_kv_take_idle_run(pool, 0, &first, &n)) b->ops->kv_discard(b, kv, first, n);
}
