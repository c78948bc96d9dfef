// Byte-pair encoding of one piece of text: start from single symbols and merge the pair of lowest rank,
// leftmost first, until none is left (Sennrich, Haddow and Birch 2016). Ranks come from a list of merges or,
// for SentencePiece-style files, from the scores of the merged tokens.
#ifndef PN_TOKENIZER_BPE_H
#define PN_TOKENIZER_BPE_H

#include "tokenizer/tokenizer.h"
#include "tokenizer/vocab.h"

#define BPE_NO_RANK UINT32_MAX

typedef struct bpe_merge {
  uint32_t left, right; // left == VOCAB_NONE: a free slot
  uint32_t rank, id;
} bpe_merge;

// Read-only after loading.
typedef struct bpe {
  const vocab *v;
  bpe_merge *merges; // open addressing, power of two
  size_t mask, n_merges;
  size_t n_ranks;         // all ranks are below
  uint32_t byte_ids[256]; // of one byte (byte-level), or of <0xNN>; VOCAB_NONE when there is none
  uint32_t unk;           // VOCAB_NONE: what has no symbol is dropped
  bool byte_level, byte_fallback, fuse_unk, ignore_merges;
  // Bit (last, first): some merge joins a symbol ending in `last` with one beginning with `first`. Where no
  // merge can join, a piece falls into independent chunks. Symbol edges are bytes; U+2581 counts as byte
  // 0xFF.
  bool chunked, unclear; // unclear: a merge whose edges are not known
  uint64_t joins[256][4];
} bpe;

// Room for n_max merges; call bpe_add for each, then bpe_finish.
bool bpe_init(bpe *b, pn_arena *a, const vocab *v, size_t n_max, pn_error *e);
void bpe_add(bpe *b, uint32_t left, uint32_t right, uint32_t rank, uint32_t id); // the last of twins counts
void bpe_fetch(const bpe *b, uint32_t left, uint32_t right);                     // that merge will be added
void bpe_finish(bpe *b);

// Working memory of one call of encode; one owner. Words already seen in the call are copied from the output.
typedef struct bpe_call {
  const bpe *b;
  pn_ids *out;
  struct bpe_seen *seen; // direct-mapped by hash
  size_t seen_mask;
  void *large; // of the long pieces
  size_t large_bytes;
  struct merge_sweep *sweep; // of the very long ones; NULL: there was none
} bpe_call;

bool bpe_call_init(bpe_call *c, const bpe *b, pn_ids *out, size_t text_bytes, pn_error *e);
void bpe_call_fini(bpe_call *c);
// Append the ids of a piece. Its bytes must stay where they are until bpe_call_fini.
bool bpe_piece(bpe_call *c, pn_str piece, pn_error *e);

#endif
