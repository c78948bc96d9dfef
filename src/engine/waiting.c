#include "engine/waiting.h"

#include <stddef.h>

void waiting_add(waiting_line *w, sequence *s) {
  s->next = s->next_client = NULL;
  w->n++;
  sequence **at = &w->clients;
  while (*at && (*at)->client != s->client) at = &(*at)->next_client;
  if (*at) at = &(*at)->next;
  while (*at) at = &(*at)->next; // a client's line, or nothing where a new client begins
  *at = s;
}

void waiting_pause(waiting_line *w, sequence *s) {
  s->next = w->paused;
  s->next_client = NULL;
  w->paused = s;
  w->n++;
}

sequence *waiting_front(const waiting_line *w) { return w->paused ? w->paused : w->clients; }

// `at` points to the first of a client: its next one takes its place.
static void drop_first(sequence **at) {
  sequence *s = *at, *heir = s->next;
  if (heir) heir->next_client = s->next_client;
  *at = heir ? heir : s->next_client;
}

void waiting_take(waiting_line *w) {
  w->n--;
  if (w->paused) {
    w->paused = w->paused->next;
    return;
  }
  sequence *heir = w->clients->next, **at = &w->clients;
  drop_first(at);
  if (!heir || !heir->next_client) return;
  *at = heir->next_client;
  heir->next_client = NULL;
  while (*at) at = &(*at)->next_client;
  *at = heir;
}

static bool unlink_from(sequence **at, const sequence *s) {
  while (*at && *at != s) at = &(*at)->next;
  if (!*at) return false;
  *at = s->next;
  return true;
}

void waiting_remove(waiting_line *w, sequence *s) {
  w->n--;
  if (unlink_from(&w->paused, s)) return;
  for (sequence **at = &w->clients; *at; at = &(*at)->next_client) {
    if (*at == s) {
      drop_first(at);
      return;
    }
    if (unlink_from(&(*at)->next, s)) return;
  }
}

sequence *waiting_find(const waiting_line *w, bool (*want)(const sequence *s, void *ctx), void *ctx) {
  for (sequence *s = w->paused; s; s = s->next)
    if (want(s, ctx)) return s;
  for (sequence *first = w->clients; first; first = first->next_client)
    for (sequence *s = first; s; s = s->next)
      if (want(s, ctx)) return s;
  return NULL;
}
