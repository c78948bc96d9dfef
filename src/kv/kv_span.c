// Pages of known prefixes as bytes: a head, then what each group keeps of the page, in the groups' order.
#include "base/hash.h"
#include "kv/kv_memory.h"

#include <string.h>

#define MARK UINT64_C(0x31565350534e5050) // "PPNSPSV1"

typedef struct head {
  uint64_t mark, identity, n_bytes;
  uint64_t check; // of the head with 0 here, and of all that follows
  uint64_t hash;  // pn_kv_span.hash
  int32_t from, n_tokens, state_pos;
  uint32_t has_page, has_windows, has_state; // has_windows: a bit each
} head;

typedef struct part {
  int group;
  int32_t number; // -1: not there
} part;

// What the span says of each group.
static int parts_of(const pn_kv_memory *m, const pn_kv_span *s, part out[PN_KV_MAX_GROUPS]) {
  for (int i = 0, w = 0; i < m->n_groups; i++) {
    const pn_kv_kind kind = m->groups[i].kind;
    out[i] = (part){i, kind == PN_KV_STATE ? s->state : kind == PN_KV_WINDOW ? s->window[w++] : s->page};
  }
  return m->n_groups;
}

uint64_t pn_kv_span_bytes(const pn_kv_memory *m, const pn_kv_span *s) {
  part parts[PN_KV_MAX_GROUPS];
  uint64_t n = sizeof(head);
  for (int i = 0, k = parts_of(m, s, parts); i < k; i++)
    if (parts[i].number >= 0) n += m->page_bytes[i];
  return n;
}

static uint64_t check_of(const head *h, const void *bytes) {
  head plain = *h;
  plain.check = 0;
  return pn_hash((const char *)bytes + sizeof *h, (size_t)h->n_bytes - sizeof *h,
                 pn_hash(&plain, sizeof plain, MARK));
}

bool pn_kv_span_write(const pn_kv_memory *m, const pn_kv_span *s, void *out, pn_error *e) {
  part parts[PN_KV_MAX_GROUPS];
  char *at = (char *)out + sizeof(head);
  head h = {.mark = MARK,
            .identity = m->identity,
            .n_bytes = pn_kv_span_bytes(m, s),
            .hash = s->hash,
            .from = s->from,
            .n_tokens = s->n_tokens,
            .state_pos = s->state >= 0 ? s->state_pos : 0,
            .has_page = s->page >= 0,
            .has_state = s->state >= 0};
  for (int w = 0; w < PN_KV_MAX_WINDOWS; w++) h.has_windows |= (uint32_t)(s->window[w] >= 0) << w;
  for (int i = 0, k = parts_of(m, s, parts); i < k; i++) {
    if (parts[i].number < 0) continue;
    if (!m->b->ops->kv_export(m->b, m->kv[i], parts[i].number, at, e)) return false;
    at += m->page_bytes[i];
  }
  h.check = check_of(&h, out);
  memcpy(out, &h, sizeof h);
  return true;
}

// Numbers that say only what is there.
static pn_kv_span span_of(const head *h) {
  pn_kv_span s = {.from = h->from,
                  .n_tokens = h->n_tokens,
                  .hash = h->hash,
                  .page = h->has_page ? 0 : -1,
                  .state = h->has_state ? 0 : -1,
                  .state_pos = h->state_pos,
                  .held = -1};
  for (int w = 0; w < PN_KV_MAX_WINDOWS; w++) s.window[w] = h->has_windows >> w & 1 ? 0 : -1;
  return s;
}

bool pn_kv_span_read(const pn_kv_memory *m, const void *bytes, size_t n, pn_kv_span *out, pn_error *e) {
  head h;
  if (n < sizeof h)
    return pn_fail(e, PN_ERR_CORRUPT, "a page of the KV cache: expected at least %zu bytes, found %zu",
                   sizeof h, n);
  memcpy(&h, bytes, sizeof h);
  if (h.mark != MARK)
    return pn_fail(e, PN_ERR_UNSUPPORTED, "a page of the KV cache: not one of this version");
  if (h.n_bytes != n)
    return pn_fail(e, PN_ERR_CORRUPT, "a page of the KV cache: expected %llu bytes, found %zu",
                   (unsigned long long)h.n_bytes, n);
  if (check_of(&h, bytes) != h.check)
    return pn_fail(e, PN_ERR_CORRUPT, "a page of the KV cache: its checksum does not agree with its bytes");
  if (h.identity != m->identity)
    return pn_fail(e, PN_ERR_UNSUPPORTED,
                   "a page of the KV cache: it is of another model, backend or type of KV");
  *out = span_of(&h);
  if (pn_kv_span_bytes(m, out) != n || h.n_tokens < 1 || h.n_tokens > PN_KV_PAGE_TOKENS || h.from < 0)
    return pn_fail(e, PN_ERR_CORRUPT, "a page of the KV cache: its head contradicts itself");
  return true;
}

bool pn_kv_span_load(const pn_kv_memory *m, const void *bytes, const pn_kv_span *numbers, pn_error *e) {
  part there[PN_KV_MAX_GROUPS], to[PN_KV_MAX_GROUPS];
  head h;
  memcpy(&h, bytes, sizeof h);
  const pn_kv_span all = span_of(&h);
  const char *at = (const char *)bytes + sizeof h;
  parts_of(m, numbers, to);
  for (int i = 0, k = parts_of(m, &all, there); i < k; i++) {
    if (there[i].number < 0) continue;
    if (to[i].number >= 0 && !m->b->ops->kv_import(m->b, m->kv[i], to[i].number, at, e)) return false;
    at += m->page_bytes[i];
  }
  return true;
}
