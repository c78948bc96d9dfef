#include "cli/wait_answer.h"

#include "cli/interrupt.h"

#include <time.h>

void bell_init(bell *b) {
  *b = (bell){0};
  pthread_mutex_init(&b->lock, NULL);
  pthread_cond_init(&b->rung, NULL);
}

void bell_fini(bell *b) {
  pthread_cond_destroy(&b->rung);
  pthread_mutex_destroy(&b->lock);
}

void bell_ring(void *ctx) {
  bell *b = ctx;
  pthread_mutex_lock(&b->lock);
  b->n_rings++;
  pthread_cond_signal(&b->rung);
  pthread_mutex_unlock(&b->lock);
}

void bell_wait(bell *b, int timeout_ms) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  t.tv_nsec += (long)timeout_ms % 1000 * 1000000;
  t.tv_sec += timeout_ms / 1000 + t.tv_nsec / 1000000000;
  t.tv_nsec %= 1000000000;
  pthread_mutex_lock(&b->lock);
  while (b->n_rings == b->n_heard)
    if (pthread_cond_timedwait(&b->rung, &b->lock, &t) != 0) break;
  b->n_heard = b->n_rings;
  pthread_mutex_unlock(&b->lock);
}

bool answer_wait(pn_engine *g, pn_request *r, void (*take)(void *ctx, const pn_event *ev), void *ctx,
                 pn_event *last, pn_error *e) {
  bell b;
  bell_init(&b);
  r->notify = bell_ring;
  r->notify_ctx = &b;
  pn_gen *gen = pn_engine_submit(g, r, e);
  for (bool over = gen == NULL; !over;) {
    bell_wait(&b, 100);
    if (interrupt_count()) pn_gen_cancel(gen);
    while (!over && pn_gen_next(gen, last)) {
      if (take) take(ctx, last);
      over = last->kind == PN_EVENT_DONE || last->kind == PN_EVENT_FAILED;
    }
  }
  bool ok = gen && last->kind == PN_EVENT_DONE;
  if (gen && !ok && e) *e = last->error;
  if (gen) pn_gen_release(gen);
  bell_fini(&b);
  return ok;
}
