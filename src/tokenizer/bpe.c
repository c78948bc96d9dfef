#include "tokenizer/bpe.h"

#include "base/utf8.h"
#include "tokenizer/merge.h"

#include <stdlib.h>
#include <sys/mman.h>

#define SEEN_MAX_BYTES 96 // longer words rarely come twice
#define HUGE_BYTES ((size_t)8 << 20)

// A word of this call and where its ids stand in the output.
struct bpe_seen {
  const char *p;
  uint32_t n, hash;
  size_t at;
  uint32_t n_ids;
};

enum { WHOLE_UNKNOWN, WHOLE_YES, WHOLE_NO };

bool bpe_init(bpe *b, pn_arena *a, const vocab *v, size_t n_max, pn_error *e) {
  size_t size = 16;
  while (size < n_max + n_max / 2) size *= 2;
  b->merges = pn_arena_array(a, size, sizeof *b->merges);
  if (!b->merges) return pn_fail(e, PN_ERR_NOMEM, "out of memory for %zu merges", n_max);
  memset(b->merges, 0xFF, size * sizeof *b->merges);
  b->mask = size - 1;
  b->v = v;
  return true;
}

static bool is_bar(pn_str s, size_t at) { return at + 3 <= s.n && memcmp(s.p + at, "\xE2\x96\x81", 3) == 0; }

// The edges of a spelling as `joins` counts them.
static unsigned first_edge(pn_str s) { return is_bar(s, 0) ? 0xFF : (unsigned char)s.p[0]; }
static unsigned last_edge(pn_str s) {
  return s.n >= 3 && is_bar(s, s.n - 3) ? 0xFF : (unsigned char)s.p[s.n - 1];
}

// What `joins` has of a merge.
static void note_edges(bpe *b, const vocab_token *left, const vocab_token *right) {
  pn_str l = left->spelling, r = right->spelling;
  if ((left->flags | right->flags) & VOCAB_BYTE || l.n == 0 || r.n == 0) {
    b->unclear = true; // their spelling does not tell their bytes
    return;
  }
  unsigned first = first_edge(r);
  b->joins[last_edge(l)][first / 64] |= (uint64_t)1 << first % 64;
}

void bpe_add(bpe *b, uint32_t left, uint32_t right, uint32_t rank, uint32_t id) {
  bpe_merge *m = merge_find(b, left, right);
  if (m->left == VOCAB_NONE) b->n_merges++;
  *m = (bpe_merge){left, right, rank, id};
  if (rank >= b->n_ranks) b->n_ranks = (size_t)rank + 1;
  note_edges(b, &b->v->t[left], &b->v->t[right]);
}

void bpe_fetch(const bpe *b, uint32_t left, uint32_t right) {
  __builtin_prefetch(&b->merges[merge_slot(b, left, right)], 1);
}

void bpe_finish(bpe *b) {
  bool complete = b->byte_fallback;
  for (int i = 0; i < 256; i++) complete &= b->byte_ids[i] != VOCAB_NONE;
  b->chunked = !b->byte_level && !b->ignore_merges && complete && !b->unclear &&
               vocab_find_text(b->v, PN_STR("\xE2\x96\x81"), vocab_hash("\xE2\x96\x81", 3)) != VOCAB_NONE;
}

bool bpe_call_init(bpe_call *c, const bpe *b, pn_ids *out, size_t text_bytes, pn_error *e) {
  size_t size = 64;
  while (size < text_bytes / 8 && size < 16384) size *= 2;
  *c = (bpe_call){.b = b, .out = out, .seen = calloc(size, sizeof *c->seen), .seen_mask = size - 1};
  if (!c->seen) return pn_fail(e, PN_ERR_NOMEM, "out of memory for encoding a text");
  return true;
}

void bpe_call_fini(bpe_call *c) {
  free(c->seen);
  free(c->large);
  merge_sweep_free(c->sweep);
  *c = (bpe_call){0};
}

// Add one missing symbol; returns the new count.
static size_t add_unknown(const bpe *b, uint32_t *sym, size_t n, bool *in_unknown) {
  if (b->unk == VOCAB_NONE || (b->fuse_unk && *in_unknown)) return n;
  sym[n] = b->unk;
  *in_unknown = true;
  return n + 1;
}

// The first symbols of a piece, at most one a byte.
static size_t symbols(const bpe *b, pn_str s, uint32_t *sym) {
  size_t n = 0;
  bool in_unknown = false;
  if (b->byte_level) {
    for (size_t i = 0; i < s.n; i++) {
      uint32_t id = b->byte_ids[(unsigned char)s.p[i]];
      if (id == VOCAB_NONE)
        n = add_unknown(b, sym, n, &in_unknown);
      else
        sym[n++] = id, in_unknown = false;
    }
    return n;
  }
  for (size_t at = 0, len; at < s.n; at += len) {
    uint32_t cp;
    len = pn_utf8_decode(s, at, &cp);
    if (len == 0) len = 1; // the text was checked: never here
    pn_str ch = {s.p + at, len};
    uint32_t id = vocab_find_text(b->v, ch, vocab_hash(ch.p, ch.n));
    bool bytes = id == VOCAB_NONE && b->byte_fallback;
    for (size_t i = 0; bytes && i < len; i++) bytes = b->byte_ids[(unsigned char)ch.p[i]] != VOCAB_NONE;
    if (id == VOCAB_NONE && !bytes) {
      n = add_unknown(b, sym, n, &in_unknown);
      continue;
    }
    in_unknown = false;
    if (!bytes) sym[n++] = id;
    for (size_t i = 0; bytes && i < len; i++) sym[n++] = b->byte_ids[(unsigned char)ch.p[i]];
  }
  return n;
}

static bool grow_large(bpe_call *c, size_t n, pn_error *e) {
  if (n <= c->large_bytes) return true;
  free(c->large);
  c->large_bytes = n + n / 2;
  c->large = malloc(c->large_bytes);
  if (!c->large) {
    c->large_bytes = 0;
    return pn_fail(e, PN_ERR_NOMEM, "out of memory for encoding a piece of text");
  }
#ifdef MADV_HUGEPAGE
  if (c->large_bytes >= HUGE_BYTES) { // with small pages a third of the time goes into getting them
    uintptr_t begin = ((uintptr_t)c->large + 4095) & ~(uintptr_t)4095;
    madvise((void *)begin, ((uintptr_t)c->large + c->large_bytes - begin) & ~(uintptr_t)4095, MADV_HUGEPAGE);
  }
#endif
  return true;
}

static bool ids_append(pn_ids *out, const uint32_t *id, size_t n, pn_error *e) {
  if (out->cap - out->n < n) {
    size_t cap = out->cap * 2 + n + 64;
    int32_t *p = cap < SIZE_MAX / sizeof *p ? realloc(out->p, cap * sizeof *p) : NULL;
    if (!p) {
      out->oom = true;
      return pn_fail(e, PN_ERR_NOMEM, "out of memory for %zu token ids", cap);
    }
    out->p = p;
    out->cap = cap;
  }
  if (n) memcpy(out->p + out->n, id, n * sizeof *id); // ids are below VOCAB_MAX_IDS
  out->n += n;
  return true;
}

// Whether most symbols are the same as the one before.
static bool is_run(const uint32_t *sym, size_t n) {
  size_t same = 0;
  for (size_t i = 1; i < n; i++) same += sym[i] == sym[i - 1];
  return same > n / 2;
}

static bool merge_long(bpe_call *c, pn_str s, pn_error *e) {
  if (!grow_large(c, merge_large_bytes(s.n), e)) return false;
  uint32_t *sym = c->large;
  size_t n = symbols(c->b, s, sym);
  bool ok = true;
  if (n < MERGE_SWEEP && !is_run(sym, n)) {
    n = merge_large(c->b, c->large, s.n, n);
  } else {
    if (!c->sweep) c->sweep = merge_sweep_new(c->b);
    ok = c->sweep && merge_sweep_run(c->sweep, c->large, s.n, &n);
  }
  return ok ? ids_append(c->out, sym, n, e)
            : pn_fail(e, PN_ERR_NOMEM, "out of memory for encoding a piece of text");
}

static bool merge_piece(bpe_call *c, pn_str s, pn_error *e) {
  uint32_t small[MERGE_SMALL];
  if (s.n <= MERGE_SMALL) {
    size_t n = symbols(c->b, s, small);
    return ids_append(c->out, small, merge_small(c->b, small, n), e);
  }
  if (s.n > MERGE_MAX)
    return pn_fail(e, PN_ERR_LIMIT, "a piece of text has %zu bytes, more than %zu", s.n, (size_t)MERGE_MAX);
  return merge_long(c, s, e);
}

// The token that is this text, if encoding the text gives it alone. For a token the answer is always the
// same, so the first thread that works it out keeps it.
static bool whole_word(bpe_call *c, pn_str s, uint32_t hash, pn_error *e, bool *done) {
  const bpe *b = c->b;
  uint32_t id = vocab_find_text(b->v, s, hash);
  *done = false;
  if (id == VOCAB_NONE) return true;
  unsigned char state =
      b->ignore_merges ? WHOLE_YES : atomic_load_explicit(&b->v->whole[id], memory_order_relaxed);
  if (state == WHOLE_NO) return true;
  *done = true;
  if (state == WHOLE_YES) return ids_append(c->out, &id, 1, e);
  size_t at = c->out->n;
  if (!merge_piece(c, s, e)) return false;
  bool whole = c->out->n == at + 1 && c->out->p[at] == (int32_t)id;
  atomic_store_explicit(&b->v->whole[id], whole ? WHOLE_YES : WHOLE_NO, memory_order_relaxed);
  return true;
}

static bool word(bpe_call *c, pn_str s, pn_error *e) {
  uint32_t hash = vocab_hash(s.p, s.n);
  struct bpe_seen *seen = &c->seen[hash & c->seen_mask];
  size_t at = c->out->n;
  if (seen->hash == hash && seen->n == s.n && s.n && memcmp(seen->p, s.p, s.n) == 0) {
    if (c->out->cap - at >= seen->n_ids) { // the source may not move while it is copied
      for (size_t i = 0; i < seen->n_ids; i++) c->out->p[at + i] = c->out->p[seen->at + i];
      c->out->n += seen->n_ids;
      return true;
    }
  }
  bool done;
  if (!whole_word(c, s, hash, e, &done)) return false;
  if (!done && !merge_piece(c, s, e)) return false;
  if (s.n <= SEEN_MAX_BYTES)
    *seen = (struct bpe_seen){s.p, (uint32_t)s.n, hash, at, (uint32_t)(c->out->n - at)};
  return true;
}

// Cut where no merge can join and encode the chunks: the ids are the same, and words repeat.
static bool chunks(bpe_call *c, pn_str s, pn_error *e) {
  size_t begin = 0;
  unsigned last = 0;
  for (size_t at = 0, len; at < s.n; at += len) {
    unsigned first = (unsigned char)s.p[at];
    len = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    if (at + len > s.n) len = s.n - at;
    bool bar = first == 0xE2 && is_bar(s, at);
    if (bar) first = 0xFF;
    if (at > begin && !(c->b->joins[last][first / 64] >> first % 64 & 1)) {
      if (!word(c, (pn_str){s.p + begin, at - begin}, e)) return false;
      begin = at;
    }
    last = bar ? 0xFF : (unsigned char)s.p[at + len - 1];
  }
  return begin == s.n || word(c, (pn_str){s.p + begin, s.n - begin}, e);
}

bool bpe_piece(bpe_call *c, pn_str piece, pn_error *e) {
  return c->b->chunked ? chunks(c, piece, e) : word(c, piece, e);
}
