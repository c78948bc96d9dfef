// The two ways of merging symbols: short pieces by search, long ones by a heap. Inside of bpe.
#ifndef PN_TOKENIZER_MERGE_H
#define PN_TOKENIZER_MERGE_H

#include "tokenizer/bpe.h"

#define MERGE_SMALL 48              // bytes up to which search is used
#define MERGE_MAX ((size_t)1 << 30) // bytes of the longest piece

// The merge of a pair; its left is VOCAB_NONE when there is none.
const bpe_merge *bpe_find(const bpe *b, uint32_t left, uint32_t right);

// Merge n <= MERGE_SMALL symbols in place; returns how many remain. Quadratic in n.
size_t merge_small(const bpe *b, uint32_t *sym, size_t n);

// The same in O(n log n). `mem` holds merge_large_bytes(cap) bytes and begins with cap >= n symbols.
size_t merge_large_bytes(size_t cap);
size_t merge_large(const bpe *b, void *mem, size_t cap, size_t n);

#endif
