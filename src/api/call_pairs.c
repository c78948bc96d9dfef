#include "api/call_pairs.h"

#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

void call_pairs_fini(call_pairs *c) {
  pn_json_free(c->places);
  free(c->p);
  *c = (call_pairs){0};
}

size_t call_id_length(pn_str id) {
  if (id.n > 100) id.n = 100;
  return pn_utf8_complete(id);
}

static bool push(call_pairs *c, const pn_json *id, size_t message) {
  if (!c->places) c->places = pn_json_new_object();
  if (c->n == c->cap) {
    size_t cap = c->cap ? c->cap * 2 : 16;
    call_pair *p = realloc(c->p, cap * sizeof *p);
    if (!p) return false;
    c->p = p;
    c->cap = cap;
  }
  c->p[c->n] = (call_pair){.id = pn_json_str(id), .message = message};
  return pn_json_set(c->places, pn_json_cstr(id), pn_json_new_int((int64_t)c->n++));
}

call_pairing call_pairs_call(call_pairs *c, const pn_json *id, size_t message) {
  const pn_json *place = pn_json_get(c->places, pn_json_cstr(id));
  if (place && (size_t)pn_json_int(place) >= c->round) return CALL_TWICE;
  if (!push(c, id, message)) return CALL_NO_MEMORY;
  return place ? CALL_EARLIER : CALL_PAIRED;
}

call_pairing call_pairs_answer(call_pairs *c, const pn_json *id) {
  const pn_json *place = pn_json_get(c->places, pn_json_cstr(id));
  if (!place) return CALL_UNKNOWN;
  size_t i = (size_t)pn_json_int(place);
  if (i < c->round) return CALL_EARLIER;
  if (c->p[i].answered) return CALL_TWICE;
  c->p[i].answered = true;
  return CALL_PAIRED;
}

bool call_pairs_end(call_pairs *c, size_t *message, char ids[CALL_IDS_MAX]) {
  size_t n = 0;
  for (size_t i = c->round; i < c->n; i++) {
    const call_pair *p = &c->p[i];
    if (p->answered || (n && p->message != *message)) continue;
    size_t k = call_id_length(p->id);
    if (n + k + 3 > CALL_IDS_MAX) break;
    if (n) memcpy(ids + n, ", ", 2), n += 2;
    memcpy(ids + n, p->id.p, k);
    n += k;
    *message = p->message;
  }
  ids[n] = '\0';
  c->round = c->n;
  return n == 0;
}
