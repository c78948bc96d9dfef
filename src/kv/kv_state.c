// Slots of recurrent states: the running one of each table, the marks of tables in pages that are not known
// yet, and snapshots that hang on pages of the tree, at an offset within the page.
#include "kv/kv_int.h"

#include <string.h>

#define PAGE PN_KV_PAGE_TOKENS

static void unhang(pn_kv_pool *p, int32_t slot) {
  kv_states *s = &p->states;
  kv_snapshot *a = &s->slot[slot];
  int32_t node = a->node, *link = &s->of_node[node];
  while (*link != slot) link = &s->slot[*link].next;
  *link = a->next;
  s->offsets[node] &= ~(UINT32_C(1) << (a->offset - 1));
  a->node = KV_NONE;
  kv_tree_changed(p, node);
}

static void link_to(pn_kv_pool *p, int32_t slot, int32_t node, int offset) {
  kv_states *s = &p->states;
  s->slot[slot] = (kv_snapshot){node, s->of_node[node], offset};
  s->of_node[node] = slot;
  s->offsets[node] |= UINT32_C(1) << (offset - 1);
  kv_tree_changed(p, node);
}

static void evict(pn_kv_pool *p) {
  int32_t slot = p->states.ids.oldest;
  kv_ids_uncache(&p->states.ids, slot);
  unhang(p, slot);
  kv_ids_put(&p->states.ids, slot);
  p->states.ids.n_evicted++;
}

int32_t kv_state_take(pn_kv_pool *p) {
  kv_ids *ids = &p->states.ids;
  if (ids->n_free == 0) {
    if (ids->oldest == KV_NONE) return KV_NONE;
    evict(p);
  }
  return kv_ids_take(ids);
}

void kv_state_unref(pn_kv_pool *p, int32_t slot) {
  kv_ids *ids = &p->states.ids;
  if (!kv_ids_unref(ids, slot)) return;
  if (p->states.slot[slot].node == KV_NONE)
    kv_ids_put(ids, slot);
  else
    kv_ids_cache(ids, slot);
}

int32_t kv_state_at(const pn_kv_pool *p, int32_t node, int offset) {
  const kv_states *s = &p->states;
  if (!(s->offsets[node] >> (offset - 1) & 1)) return KV_NONE;
  int32_t slot = s->of_node[node];
  while (s->slot[slot].offset != offset) slot = s->slot[slot].next;
  return slot;
}

void kv_state_hang(pn_kv_pool *p, int32_t slot, int32_t node, int offset) {
  kv_ids *ids = &p->states.ids;
  int32_t there = kv_state_at(p, node, offset);
  if (there == KV_NONE) {
    link_to(p, slot, node, offset);
  } else if (ids->id[there].refs == 0) { // used just now
    kv_ids_uncache(ids, there);
    kv_ids_cache(ids, there);
  }
  kv_state_unref(p, slot);
}

void kv_state_drop(pn_kv_pool *p, int32_t node) {
  if (!p->states.ids.n) return;
  for (int32_t slot; (slot = p->states.of_node[node]) != KV_NONE;) {
    unhang(p, slot);
    if (p->states.ids.id[slot].refs) continue;
    kv_ids_uncache(&p->states.ids, slot);
    kv_ids_put(&p->states.ids, slot);
  }
}

void kv_state_move(pn_kv_pool *p, int32_t from, int32_t to) {
  if (!p->states.ids.n) return;
  for (int32_t slot = p->states.of_node[from], next; slot != KV_NONE; slot = next) {
    next = p->states.slot[slot].next;
    int offset = p->states.slot[slot].offset;
    if (kv_state_at(p, to, offset) != KV_NONE) continue;
    unhang(p, slot);
    link_to(p, slot, to, offset);
  }
}

void kv_state_forget(pn_kv_pool *p) {
  while (p->states.ids.n && p->states.ids.oldest != KV_NONE) evict(p);
}

void kv_state_settle(pn_kv_pool *p, pn_kv_table *t, int32_t part) {
  int kept = 0;
  for (int k = 0; k < t->n_marks; k++) {
    int pos = t->marks[k].pos, i = (pos - 1) / PAGE;
    int32_t node = i < t->n_known ? t->pages[i] : i == t->n_known ? part : KV_NONE;
    if (node == KV_NONE)
      t->marks[kept++] = t->marks[k];
    else
      kv_state_hang(p, t->marks[k].slot, node, pos - i * PAGE);
  }
  t->n_marks = kept;
}

void kv_state_cut(pn_kv_pool *p, pn_kv_table *t, int n) {
  while (t->n_marks && t->marks[t->n_marks - 1].pos > n) kv_state_unref(p, t->marks[--t->n_marks].slot);
}

bool pn_kv_pool_has_states(const pn_kv_pool *p) { return p->states.ids.n > 0; }

void pn_kv_unmark(pn_kv_pool *p, pn_kv_table *t, int32_t slot) {
  for (int k = 0; k < t->n_marks; k++) {
    if (t->marks[k].slot != slot) continue;
    kv_state_unref(p, slot);
    memmove(t->marks + k, t->marks + k + 1, (size_t)(--t->n_marks - k) * sizeof *t->marks);
    return;
  }
  kv_ids *ids = &p->states.ids; // it hangs already, and nothing else holds it
  if (p->states.slot[slot].node == KV_NONE) return;
  unhang(p, slot);
  if (ids->id[slot].refs) return;
  kv_ids_uncache(ids, slot);
  kv_ids_put(ids, slot);
}

static void give_up_oldest(pn_kv_pool *p, pn_kv_table *t) {
  kv_state_unref(p, t->marks[0].slot);
  memmove(t->marks, t->marks + 1, (size_t)--t->n_marks * sizeof *t->marks);
}

void pn_kv_lose_state(pn_kv_pool *p, pn_kv_table *t) {
  if (t->state != KV_NONE) kv_state_unref(p, t->state);
  t->state = KV_NONE;
}

pn_kv_copy pn_kv_mark(pn_kv_pool *p, pn_kv_table *t, int n_computed) {
  const pn_kv_copy none = {KV_NONE, KV_NONE};
  int i = (n_computed - 1) / PAGE, offset = n_computed - i * PAGE;
  if (!p->states.ids.n || t->state == KV_NONE || n_computed < 1 || i >= t->n_pages) return none;
  bool known = i < t->n_known;
  if (known && kv_state_at(p, t->pages[i], offset) != KV_NONE) return none;
  if (!known && t->n_marks && t->marks[t->n_marks - 1].pos >= n_computed) return none;
  if (!known && t->n_marks == PN_KV_MAX_MARKS) give_up_oldest(p, t);
  int32_t slot = kv_state_take(p);
  if (slot == KV_NONE) return none;
  if (known) {
    kv_state_hang(p, slot, t->pages[i], offset);
  } else {
    t->marks[t->n_marks].pos = n_computed;
    t->marks[t->n_marks++].slot = slot;
  }
  return (pn_kv_copy){t->state, slot};
}
