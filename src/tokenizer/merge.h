// The ways of merging symbols: short pieces by search, long ones by a heap, very long ones by sweeps. All
// give the same. Inside of bpe.
#ifndef PN_TOKENIZER_MERGE_H
#define PN_TOKENIZER_MERGE_H

#include "base/hash.h"
#include "tokenizer/bpe.h"

#define MERGE_SMALL 48              // bytes up to which search is used
#define MERGE_MAX ((size_t)1 << 30) // bytes of the longest piece

static inline size_t merge_slot(const bpe *b, uint32_t left, uint32_t right) {
  return (size_t)pn_hash_u64((uint64_t)left << 32 | right) & b->mask;
}

// Where the merge of a pair is, or would be: then its left is VOCAB_NONE.
static inline bpe_merge *merge_find(const bpe *b, uint32_t left, uint32_t right) {
  size_t i = merge_slot(b, left, right);
  while (b->merges[i].left != VOCAB_NONE && (b->merges[i].left != left || b->merges[i].right != right))
    i = (i + 1) & b->mask;
  return &b->merges[i];
}

// Merge n <= MERGE_SMALL symbols in place; returns how many remain. Quadratic in n.
size_t merge_small(const bpe *b, uint32_t *sym, size_t n);

// The same in O(n log n). `mem` holds merge_large_bytes(cap) bytes and begins with cap >= n symbols.
size_t merge_large_bytes(size_t cap);
size_t merge_large(const bpe *b, void *mem, size_t cap, size_t n);

// The same for very long pieces, and for runs of one symbol; *n becomes what remains. False: out of memory.
#define MERGE_SWEEP 512 // symbols from which on it is faster
typedef struct merge_sweep merge_sweep;
merge_sweep *merge_sweep_new(const bpe *b); // NULL: out of memory
void merge_sweep_free(merge_sweep *w);
bool merge_sweep_run(merge_sweep *w, void *mem, size_t cap, size_t *n);

#endif
