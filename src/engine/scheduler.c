#include "engine/scheduler.h"

void scheduler_add(scheduler *s, pn_gen *gen) {
  gen->next = NULL;
  if (s->last)
    s->last->next = gen;
  else
    s->first = gen;
  s->last = gen;
  s->n_waiting++;
}

int scheduler_plan(scheduler *s, step_part *parts, int max_parts) {
  if (!s->running && s->first) {
    pn_gen *gen = s->first;
    scheduler_remove(s, gen);
    s->running = gen;
  }
  if (!s->running || max_parts < 1) return 0;
  int left = s->running->n_tokens - s->running->n_computed;
  parts[0] = (step_part){s->running, left < s->chunk_tokens ? left : s->chunk_tokens};
  return 1;
}

void scheduler_remove(scheduler *s, pn_gen *gen) {
  if (s->running == gen) s->running = NULL;
  for (pn_gen **at = &s->first, *before = NULL; *at; before = *at, at = &(*at)->next) {
    if (*at != gen) continue;
    *at = gen->next;
    if (s->last == gen) s->last = before;
    s->n_waiting--;
    return;
  }
}

pn_gen *scheduler_cancelled(scheduler *s) {
  if (s->running && atomic_load(&s->running->cancelled)) return s->running;
  for (pn_gen *g = s->first; g; g = g->next)
    if (atomic_load(&g->cancelled)) return g;
  return NULL;
}

pn_gen *scheduler_any(scheduler *s) { return s->running ? s->running : s->first; }
bool scheduler_idle(const scheduler *s) { return !s->running && !s->first; }
