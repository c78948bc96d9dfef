// The vocabulary: ids, their spellings and bytes, and the tables that find them.
#ifndef PN_TOKENIZER_VOCAB_H
#define PN_TOKENIZER_VOCAB_H

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"

#include <stdatomic.h>
#include <string.h>

#define VOCAB_MAX_IDS (1 << 22) // no id may reach this
#define VOCAB_NONE UINT32_MAX

enum {
  VOCAB_USED = 1,    // the id exists
  VOCAB_CONTROL = 2, // special, or shaped like a control mark: never made from plain text
  VOCAB_ADDED = 4,   // matched as a whole in the text before anything else
  VOCAB_BYTE = 8,    // <0xNN> of byte fallback
  VOCAB_UNUSED = 16, // named by the file but never to be produced from text
};

typedef struct vocab_token {
  pn_str spelling; // in the arena
  pn_str bytes;    // what it decodes to
  unsigned flags;
} vocab_token;

// Open addressing over ids, power of two; id VOCAB_NONE marks a free slot.
typedef struct vocab_table {
  struct vocab_slot {
    uint32_t hash, id;
  } * slots;
  size_t mask;
} vocab_table;

// Read-only after loading, but for `whole`: a memo of a pure function (see bpe.c), written with relaxed
// atomics.
typedef struct vocab {
  vocab_token *t;
  uint32_t n; // highest id + 1
  vocab_table by_spelling;
  vocab_table by_text; // ordinary tokens by the text that they match: raw bytes (byte-level) or spelling
  atomic_uchar *whole;
  bool byte_level; // by_text holds raw bytes rather than spellings
} vocab;

bool vocab_init(vocab *v, pn_arena *a, uint32_t n, pn_error *e);
// Give `id` its spelling; it must be free. `where` names the list of the file.
bool vocab_set(vocab *v, pn_arena *a, const char *where, int64_t id, pn_str spelling, pn_error *e);
// Build by_spelling. Two ids with one spelling are an error, unless `twins`: then the first is found by it,
// and a warning says how many there are.
bool vocab_index(vocab *v, pn_arena *a, bool twins, pn_error *e);
// Build by_text over the ordinary tokens; byte_level, bytes and flags must be final.
bool vocab_index_text(vocab *v, pn_arena *a, pn_error *e);
uint32_t vocab_find(const vocab *v, pn_str spelling); // or VOCAB_NONE
// The same for some: memory is waited for once for all of them.
#define VOCAB_MANY 48
void vocab_find_many(const vocab *v, const pn_str *spellings, size_t n, uint32_t *ids);

static inline uint64_t vocab_read(const char *p, size_t n) {
  uint64_t w = 0;
  memcpy(&w, p, n);
  return w;
}

// Hash of a short text, eight bytes at a time.
static inline uint32_t vocab_hash(const char *p, size_t n) {
  const uint64_t k = 0x9E3779B97F4A7C15u;
  uint64_t h = n * k, tail = 0;
  for (; n > 8; p += 8, n -= 8) {
    h = (h ^ vocab_read(p, 8)) * k;
    h ^= h >> 29;
  }
  if (n >= 4)
    tail = vocab_read(p, 4) | vocab_read(p + n - 4, 4) << 32;
  else if (n > 0)
    tail = (uint64_t)(unsigned char)p[0] | (uint64_t)(unsigned char)p[n / 2] << 8 |
           (uint64_t)(unsigned char)p[n - 1] << 16;
  h = (h ^ tail) * k;
  h ^= h >> 32;
  h *= k;
  return (uint32_t)(h >> 32);
}

// The ordinary token that matches exactly this text, or VOCAB_NONE.
static inline uint32_t vocab_find_text(const vocab *v, pn_str text, uint32_t hash) {
  for (size_t i = hash & v->by_text.mask;; i = (i + 1) & v->by_text.mask) {
    struct vocab_slot s = v->by_text.slots[i];
    if (s.id == VOCAB_NONE) return VOCAB_NONE;
    if (s.hash != hash) continue;
    pn_str have = v->byte_level ? v->t[s.id].bytes : v->t[s.id].spelling;
    if (have.n == text.n && memcmp(have.p, text.p, text.n) == 0) return s.id;
  }
}

#endif
