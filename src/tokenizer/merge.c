#include "tokenizer/merge.h"

static void look_up(const bpe *b, uint32_t left, uint32_t right, uint32_t *rank, uint32_t *id) {
  const bpe_merge *m = merge_find(b, left, right);
  *rank = m->rank; // of a free slot: BPE_NO_RANK
  *id = m->id;
}

size_t merge_small(const bpe *b, uint32_t *sym, size_t n) {
  uint32_t rank[MERGE_SMALL], id[MERGE_SMALL];
  for (size_t i = 0; i + 1 < n; i++) look_up(b, sym[i], sym[i + 1], &rank[i], &id[i]);
  while (n > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < n; i++)
      if (rank[i] < rank[best]) best = i;
    if (rank[best] == BPE_NO_RANK) break;
    sym[best] = id[best];
    n--;
    for (size_t i = best + 1; i < n; i++) {
      sym[i] = sym[i + 1];
      rank[i - 1] = rank[i];
      id[i - 1] = id[i];
    }
    if (best + 1 < n) look_up(b, sym[best], sym[best + 1], &rank[best], &id[best]);
    if (best > 0) look_up(b, sym[best - 1], sym[best], &rank[best - 1], &id[best - 1]);
  }
  return n;
}

// A long piece: a doubly linked list of symbols and a heap of (rank, place of the left symbol). An entry is
// stale when the pair at its place no longer has that rank. At most n entries at first and two more a merge.
typedef struct node {
  uint32_t next, prev; // NODE_END at the ends
  uint32_t rank, id;   // of merging this symbol with the next
} node;

#define NODE_END UINT32_MAX

typedef struct heap {
  uint64_t *e;
  size_t n;
} heap;

static void sift_down(heap *h, size_t i) {
  uint64_t x = h->e[i];
  for (;;) {
    size_t kid = 4 * i + 1;
    if (kid >= h->n) break;
    size_t end = kid + 4 < h->n ? kid + 4 : h->n, best = kid;
    for (size_t k = kid + 1; k < end; k++)
      if (h->e[k] < h->e[best]) best = k;
    if (h->e[best] >= x) break;
    h->e[i] = h->e[best];
    i = best;
  }
  h->e[i] = x;
}

static void push(heap *h, uint64_t x) {
  size_t i = h->n++;
  while (i > 0 && h->e[(i - 1) / 4] > x) {
    h->e[i] = h->e[(i - 1) / 4];
    i = (i - 1) / 4;
  }
  h->e[i] = x;
}

static uint64_t pop(heap *h) {
  uint64_t top = h->e[0];
  h->e[0] = h->e[--h->n];
  if (h->n) sift_down(h, 0);
  return top;
}

size_t merge_large_bytes(size_t cap) {
  cap = (cap + 1) & ~(size_t)1;
  return cap * (sizeof(uint32_t) + sizeof(node) + 3 * sizeof(uint64_t));
}

// The pair at `at` is new: note its rank and remember it.
static void renew(const bpe *b, const uint32_t *sym, node *nodes, heap *h, uint32_t at) {
  node *d = &nodes[at];
  if (d->next == NODE_END) {
    d->rank = BPE_NO_RANK;
    return;
  }
  look_up(b, sym[at], sym[d->next], &d->rank, &d->id);
  if (d->rank != BPE_NO_RANK) push(h, (uint64_t)d->rank << 32 | at);
}

size_t merge_large(const bpe *b, void *mem, size_t cap, size_t n) {
  cap = (cap + 1) & ~(size_t)1;
  uint32_t *sym = mem;
  heap h = {.e = (uint64_t *)(void *)(sym + cap)};
  node *nodes = (node *)(void *)(h.e + 3 * cap);
  for (size_t i = 0; i < n; i++) {
    node *d = &nodes[i];
    *d = (node){i + 1 < n ? (uint32_t)(i + 1) : NODE_END, i ? (uint32_t)(i - 1) : NODE_END, BPE_NO_RANK, 0};
    if (i + 1 == n) break;
    look_up(b, sym[i], sym[i + 1], &d->rank, &d->id);
    if (d->rank != BPE_NO_RANK) h.e[h.n++] = (uint64_t)d->rank << 32 | i;
  }
  for (size_t i = h.n / 4 + 1; i-- > 0;)
    if (i < h.n) sift_down(&h, i);
  while (h.n) {
    uint64_t top = pop(&h);
    uint32_t at = (uint32_t)top;
    node *d = &nodes[at];
    if (d->rank != (uint32_t)(top >> 32)) continue;
    node *gone = &nodes[d->next];
    gone->rank = BPE_NO_RANK; // also marks it as no longer in the list
    sym[at] = d->id;
    d->next = gone->next;
    if (d->next != NODE_END) nodes[d->next].prev = at;
    renew(b, sym, nodes, &h, at);
    if (d->prev != NODE_END) renew(b, sym, nodes, &h, d->prev);
  }
  size_t kept = 0;
  for (uint32_t i = n ? 0 : NODE_END; i != NODE_END; i = nodes[i].next) sym[kept++] = sym[i];
  return kept;
}
