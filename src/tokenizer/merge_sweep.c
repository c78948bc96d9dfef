// Merging the symbols of very long pieces: places are kept by the rank of their pair, and all of one rank are
// merged in one sweep from left to right. A heap of places would jump through the piece for each merge.
#include "base/arena.h"
#include "tokenizer/merge.h"

#include <stdlib.h>

typedef struct node {
  uint32_t next, prev; // NODE_END at the ends
  uint32_t rank, id;   // of merging this symbol with the next
} node;

#define NODE_END UINT32_MAX

#define BLOCK_PLACES 62

typedef struct block {
  struct block *next;
  uint32_t p[BLOCK_PLACES];
} block;

// The places that have had a pair of one rank; those that have it no longer are passed over.
typedef struct bucket {
  block *first, *last;
  size_t n;
  uint32_t rank, highest; // place
  bool unsorted;
} bucket;

struct merge_sweep {
  uint32_t *bucket_of; // by rank: number of the bucket + 1; 0: there is none
  size_t n_ranks;
  bucket *buckets;
  size_t n_buckets, cap_buckets;
  uint64_t *ranks; // heap of the ranks whose buckets wait
  size_t n_ranks_waiting, cap_ranks;
  uint64_t *urgent; // heap of (rank, place): pairs that came up during a sweep and are not of a higher rank
  size_t n_urgent, cap_urgent;
  uint32_t now;  // the rank of the sweep
  uint32_t owed; // a place that is in no bucket yet, since its pair will have changed; NODE_END: none
  struct pair {
    uint32_t left, right, rank, id;
  } before, behind; // what was looked up last
  pn_arena arena;   // of the blocks
  block *unused;
  uint32_t *sorted; // the places of a bucket that was not
  size_t cap_sorted;
  bool oom;
  // Of the piece.
  const bpe *b;
  uint32_t *sym;
  node *nodes;
};

// --- heaps, the least first --------------------------------------------------------------------------------

static bool heap_push(uint64_t **heap, size_t *n, size_t *cap, uint64_t x) {
  if (*n == *cap) {
    size_t more = *cap ? *cap * 2 : 256;
    uint64_t *p = realloc(*heap, more * sizeof *p);
    if (!p) return false;
    *heap = p;
    *cap = more;
  }
  size_t i = (*n)++;
  for (; i > 0 && (*heap)[(i - 1) / 2] > x; i = (i - 1) / 2) (*heap)[i] = (*heap)[(i - 1) / 2];
  (*heap)[i] = x;
  return true;
}

static uint64_t heap_pop(uint64_t *heap, size_t *n) {
  uint64_t top = heap[0], x = heap[--*n];
  size_t i = 0;
  for (size_t kid; (kid = 2 * i + 1) < *n; i = kid) {
    kid += kid + 1 < *n && heap[kid + 1] < heap[kid];
    if (heap[kid] >= x) break;
    heap[i] = heap[kid];
  }
  heap[i] = x;
  return top;
}

// --- buckets -----------------------------------------------------------------------------------------------

static bucket *bucket_new(merge_sweep *w, uint32_t rank) {
  if (w->n_buckets == w->cap_buckets) {
    size_t cap = w->cap_buckets ? w->cap_buckets * 2 : 256;
    bucket *p = realloc(w->buckets, cap * sizeof *p);
    if (!p) return NULL;
    w->buckets = p;
    w->cap_buckets = cap;
  }
  w->buckets[w->n_buckets] = (bucket){.rank = rank};
  w->bucket_of[rank] = (uint32_t)++w->n_buckets;
  return &w->buckets[w->n_buckets - 1];
}

static block *bucket_grow(merge_sweep *w, bucket *k) {
  block *x = w->unused;
  if (x)
    w->unused = x->next;
  else if (!(x = pn_arena_alloc(&w->arena, sizeof *x)))
    return NULL;
  x->next = NULL;
  if (k->last)
    k->last->next = x;
  else
    k->first = x;
  return k->last = x;
}

static void bucket_add(merge_sweep *w, uint32_t rank, uint32_t at) {
  uint32_t number = w->bucket_of[rank];
  bucket *k = number ? &w->buckets[number - 1] : bucket_new(w, rank);
  if (!k || (k->n % BLOCK_PLACES == 0 && !bucket_grow(w, k))) {
    w->oom = true;
    return;
  }
  if (k->n == 0) w->oom |= !heap_push(&w->ranks, &w->n_ranks_waiting, &w->cap_ranks, rank);
  k->unsorted |= k->highest > at;
  k->highest = at;
  k->last->p[k->n++ % BLOCK_PLACES] = at;
}

// --- merging -----------------------------------------------------------------------------------------------

// In runs of one symbol the same pair comes again and again.
static void look_up(merge_sweep *w, struct pair *memo, uint32_t at, uint32_t next) {
  uint32_t left = w->sym[at], right = w->sym[next];
  if (memo->left != left || memo->right != right) {
    const bpe_merge *m = merge_find(w->b, left, right);
    *memo = (struct pair){left, right, m->rank, m->id}; // of a free slot: BPE_NO_RANK
  }
  w->nodes[at].rank = memo->rank;
  w->nodes[at].id = memo->id;
}

// The pair at `at` is new; `soon`: its right symbol is merged next, unless something comes between.
static void renew(merge_sweep *w, struct pair *memo, uint32_t at, bool soon) {
  node *d = &w->nodes[at];
  if (d->next == NODE_END) {
    d->rank = BPE_NO_RANK;
    return;
  }
  look_up(w, memo, at, d->next);
  if (d->rank == BPE_NO_RANK) return;
  if (d->rank <= w->now)
    w->oom |= !heap_push(&w->urgent, &w->n_urgent, &w->cap_urgent, (uint64_t)d->rank << 32 | at);
  else if (soon)
    w->owed = at;
  else
    bucket_add(w, d->rank, at);
}

// `then`: the place that comes next in the sweep.
static void merge_at(merge_sweep *w, uint32_t rank, uint32_t at, uint32_t then) {
  node *d = &w->nodes[at];
  uint32_t owed = w->owed;
  w->owed = NODE_END;
  if (d->rank == rank) { // else its pair has gone
    node *gone = &w->nodes[d->next];
    gone->rank = BPE_NO_RANK; // also marks it as no longer in the list
    w->sym[at] = d->id;
    d->next = gone->next;
    if (d->next != NODE_END) w->nodes[d->next].prev = at;
    if (d->prev != NODE_END) renew(w, &w->before, d->prev, false);
    if (owed == d->prev) owed = NODE_END;
    renew(w, &w->behind, at, d->next == then);
  }
  if (owed != NODE_END && w->nodes[owed].rank != BPE_NO_RANK) bucket_add(w, w->nodes[owed].rank, owed);
}

static void merge_urgent(merge_sweep *w, uint64_t before) {
  while (w->n_urgent && w->urgent[0] < before && !w->oom) {
    uint64_t top = heap_pop(w->urgent, &w->n_urgent);
    merge_at(w, (uint32_t)(top >> 32), (uint32_t)top, NODE_END);
  }
}

static int by_place(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

static void sweep_places(merge_sweep *w, uint32_t rank, const uint32_t *p, size_t n, uint32_t then) {
  for (size_t i = 0; i < n && !w->oom; i++) {
    if (w->n_urgent) merge_urgent(w, (uint64_t)rank << 32 | p[i]);
    merge_at(w, rank, p[i], i + 1 < n ? p[i + 1] : then);
  }
}

// The places in order, where they came in another.
static void sweep_sorted(merge_sweep *w, const bucket *k) {
  if (k->n > w->cap_sorted) {
    free(w->sorted);
    w->cap_sorted = k->n * 2;
    w->sorted = malloc(w->cap_sorted * sizeof *w->sorted);
    if (!w->sorted) {
      w->cap_sorted = 0;
      w->oom = true;
      return;
    }
  }
  size_t n = 0;
  for (const block *x = k->first; x; x = x->next)
    for (size_t i = 0; i < BLOCK_PLACES && n < k->n; i++) w->sorted[n++] = x->p[i];
  qsort(w->sorted, n, sizeof *w->sorted, by_place);
  sweep_places(w, k->rank, w->sorted, n, NODE_END);
}

static void sweep(merge_sweep *w, uint32_t rank) {
  bucket taken = w->buckets[w->bucket_of[rank] - 1];
  w->buckets[w->bucket_of[rank] - 1] = (bucket){.rank = rank};
  w->now = rank;
  if (taken.unsorted) sweep_sorted(w, &taken);
  for (block *x = taken.first, *next; x; x = next) {
    next = x->next;
    size_t n = taken.n < BLOCK_PLACES ? taken.n : BLOCK_PLACES;
    if (!taken.unsorted) sweep_places(w, rank, x->p, n, next ? next->p[0] : NODE_END);
    taken.n -= n;
    x->next = w->unused;
    w->unused = x;
  }
  merge_urgent(w, UINT64_MAX);
}

static void begin(merge_sweep *w, size_t n) {
  w->now = 0;
  w->owed = NODE_END;
  w->before = w->behind = (struct pair){.left = VOCAB_NONE};
  for (size_t i = 0; i < n && !w->oom; i++) {
    node *d = &w->nodes[i];
    *d = (node){i + 1 < n ? (uint32_t)(i + 1) : NODE_END, i ? (uint32_t)(i - 1) : NODE_END, BPE_NO_RANK, 0};
    if (i + 1 == n) break;
    look_up(w, &w->behind, (uint32_t)i, (uint32_t)i + 1);
    if (d->rank != BPE_NO_RANK) bucket_add(w, d->rank, (uint32_t)i);
  }
}

static void clear(merge_sweep *w) {
  for (size_t i = 0; i < w->n_buckets; i++) w->bucket_of[w->buckets[i].rank] = 0;
  w->n_buckets = w->n_ranks_waiting = w->n_urgent = 0;
  w->oom = false;
  w->unused = NULL;
  pn_arena_fini(&w->arena);
}

merge_sweep *merge_sweep_new(const bpe *b) {
  merge_sweep *w = calloc(1, sizeof *w);
  if (!w) return NULL;
  w->b = b;
  w->bucket_of = calloc(b->n_ranks ? b->n_ranks : 1, sizeof *w->bucket_of);
  if (w->bucket_of) return w;
  free(w);
  return NULL;
}

void merge_sweep_free(merge_sweep *w) {
  if (!w) return;
  pn_arena_fini(&w->arena);
  free(w->bucket_of);
  free(w->buckets);
  free(w->ranks);
  free(w->urgent);
  free(w->sorted);
  free(w);
}

bool merge_sweep_run(merge_sweep *w, void *mem, size_t cap, size_t *n) {
  w->sym = mem;
  w->nodes = (node *)(void *)(w->sym + ((cap + 3) & ~(size_t)3));
  begin(w, *n);
  while (w->n_ranks_waiting && !w->oom) sweep(w, (uint32_t)heap_pop(w->ranks, &w->n_ranks_waiting));
  bool ok = !w->oom;
  size_t kept = 0;
  for (uint32_t i = *n ? 0 : NODE_END; ok && i != NODE_END; i = w->nodes[i].next) w->sym[kept++] = w->sym[i];
  *n = kept;
  clear(w);
  return ok;
}
