#include "tokenizer/parts.h"

#include "base/utf8.h"

#include <stdlib.h>

// The byte that a character of GPT-2's byte alphabet stands for, or -1: printable Latin-1 stands for itself,
// the other bytes follow in order from U+0100.
static int alphabet_byte(uint32_t cp) {
  if ((cp >= 33 && cp <= 126) || (cp >= 161 && cp <= 172) || (cp >= 174 && cp <= 255)) return (int)cp;
  if (cp < 256) return -1;
  uint32_t k = cp - 256;
  if (k <= 32) return (int)k;              // 0..32
  if (k <= 66) return (int)(k - 33 + 127); // 127..160
  return k == 67 ? 173 : -1;
}

// Bytes of a spelling in the byte alphabet; false when a character is not of it.
static bool alphabet_decode(pn_str s, pn_buf *out) {
  for (size_t at = 0, len; at < s.n; at += len) {
    uint32_t cp;
    len = pn_utf8_decode(s, at, &cp);
    int byte = len ? alphabet_byte(cp) : -1;
    if (byte < 0) return false;
    pn_buf_char(out, (char)byte);
  }
  return true;
}

static int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// The byte of "<0xNN>", or -1.
static int fallback_byte(pn_str s) {
  if (s.n != 6 || memcmp(s.p, "<0x", 3) != 0 || s.p[5] != '>') return -1;
  int hi = hex(s.p[3]), lo = hex(s.p[4]);
  return hi < 0 || lo < 0 ? -1 : hi * 16 + lo;
}

static void replace_all(pn_buf *b, pn_buf *scratch, const decoder *d) {
  for (size_t i = 0; i < d->n_replaces; i++) {
    pn_buf_clear(scratch);
    pn_str s = pn_buf_view(b);
    size_t done = 0;
    if (s.n == 0 || !memchr(s.p, d->replaces[i].from.p[0], s.n)) continue;
    for (size_t at; (at = pn_str_find(s, d->replaces[i].from, done)) != SIZE_MAX;) {
      pn_buf_add(scratch, s.p + done, at - done);
      pn_buf_str(scratch, d->replaces[i].to);
      done = at + d->replaces[i].from.n;
    }
    if (done == 0) continue;
    pn_buf_add(scratch, s.p + done, s.n - done);
    pn_buf swap = *b;
    *b = *scratch;
    *scratch = swap;
  }
}

// The bytes that one token decodes to.
static bool set_bytes(pn_tokenizer *t, vocab_token *k, pn_buf *b, pn_buf *scratch, pn_error *e) {
  k->bytes = k->spelling;
  bool added = k->flags & VOCAB_ADDED;
  if (added && (t->decoder.byte_level || k->flags & VOCAB_CONTROL)) return true;
  pn_buf_clear(b);
  int byte = t->decoder.byte_fallback && !added ? fallback_byte(k->spelling) : -1;
  if (t->decoder.byte_level) {
    if (!alphabet_decode(k->spelling, b)) return true; // cannot come from text: stands for its own spelling
  } else if (byte >= 0) {
    pn_buf_char(b, (char)byte);
    k->flags |= VOCAB_BYTE;
  } else {
    pn_buf_str(b, k->spelling);
    replace_all(b, scratch, &t->decoder);
  }
  if (!b->oom && pn_str_eq(pn_buf_view(b), k->spelling)) return true;
  const char *copy = b->oom || scratch->oom ? NULL : pn_arena_dup(&t->arena, pn_buf_view(b));
  if (!copy) return pn_fail(e, PN_ERR_NOMEM, "out of memory for the vocabulary");
  k->bytes = (pn_str){copy, b->n};
  return true;
}

static void find_byte_ids(pn_tokenizer *t) {
  for (int i = 0; i < 256; i++) {
    t->bpe.byte_ids[i] = VOCAB_NONE;
    char c = (char)i, spelled[8];
    if (t->bpe.byte_level) {
      t->bpe.byte_ids[i] = vocab_find_text(&t->vocab, (pn_str){&c, 1}, vocab_hash(&c, 1));
    } else if (t->bpe.byte_fallback) {
      static const char digits[] = "0123456789ABCDEF";
      memcpy(spelled, "<0x", 3);
      spelled[3] = digits[i / 16];
      spelled[4] = digits[i % 16];
      spelled[5] = '>';
      uint32_t id = vocab_find(&t->vocab, (pn_str){spelled, 6});
      if (id != VOCAB_NONE && t->vocab.t[id].flags & VOCAB_BYTE) t->bpe.byte_ids[i] = id;
    }
  }
}

bool parts_index(pn_tokenizer *t, pn_error *e) {
  pn_buf b = {0}, scratch = {0};
  bool ok = true;
  for (uint32_t id = 0; ok && id < t->vocab.n; id++)
    if (t->vocab.t[id].flags & VOCAB_USED) ok = set_bytes(t, &t->vocab.t[id], &b, &scratch, e);
  pn_buf_fini(&b);
  pn_buf_fini(&scratch);
  t->vocab.byte_level = t->bpe.byte_level;
  if (!ok || !vocab_index_text(&t->vocab, &t->arena, e)) return false;
  find_byte_ids(t);
  return true;
}

// The spelling of an ordinary token may be in the byte alphabet while the added one is plain.
static bool same_token(pn_str spelling, pn_str content, bool byte_level) {
  if (pn_str_eq(spelling, content)) return true;
  pn_buf b = {0};
  bool same = byte_level && alphabet_decode(spelling, &b) && pn_str_eq(pn_buf_view(&b), content);
  pn_buf_fini(&b);
  return same;
}

static bool claim_id(pn_tokenizer *t, const added_entry *a, const char *where, pn_error *e) {
  if (a->id < 0 || a->id >= (int64_t)t->vocab.n || !(t->vocab.t[a->id].flags & VOCAB_USED))
    return vocab_set(&t->vocab, &t->arena, where, a->id, a->content, e);
  vocab_token *k = &t->vocab.t[a->id];
  if (k->flags & VOCAB_ADDED || !same_token(k->spelling, a->content, t->decoder.byte_level))
    return pn_fail(e, PN_ERR_CORRUPT, "%s: id %lld belongs to both \"%.*s\" and \"%.*s\"", where,
                   (long long)a->id, k->spelling.n < 60 ? (int)k->spelling.n : 60, k->spelling.p,
                   a->content.n < 60 ? (int)a->content.n : 60, a->content.p);
  if (!pn_str_eq(k->spelling, a->content)) {
    const char *copy = pn_arena_dup(&t->arena, a->content);
    if (!copy) return pn_fail(e, PN_ERR_NOMEM, "out of memory for the vocabulary");
    k->spelling = (pn_str){copy, a->content.n};
  }
  return true;
}

bool parts_add_tokens(pn_tokenizer *t, const added_entry *entries, size_t n, const char *where, pn_error *e) {
  added_token *raw = pn_arena_array(&t->arena, n, sizeof *raw);
  added_token *late = pn_arena_array(&t->arena, n, sizeof *late);
  size_t n_raw = 0, n_late = 0;
  if (!raw || !late) return pn_fail(e, PN_ERR_NOMEM, "out of memory for %zu added tokens", n);
  splitter_match *match = splitter_match_new(e);
  bool ok = match != NULL;
  for (size_t i = 0; ok && i < n; i++) {
    const added_entry *a = &entries[i];
    if (a->content.n == 0) {
      ok = pn_fail(e, PN_ERR_CORRUPT, "%s[%zu]: an added token without content", where, i);
      break;
    }
    if (!(ok = claim_id(t, a, where, e))) break;
    vocab_token *k = &t->vocab.t[a->id];
    bool control = a->special || added_is_mark(a->content);
    k->flags |= VOCAB_ADDED | (control ? VOCAB_CONTROL : 0);
    added_token x = {.content = k->spelling,
                     .id = (uint32_t)a->id,
                     .control = control,
                     .lstrip = a->lstrip,
                     .rstrip = a->rstrip,
                     .single_word = a->single_word};
    // Control marks are searched in the text as the template wrote it, whatever the normaliser would make of
    // it.
    if (control || !(a->normalized || a->as_normalized))
      raw[n_raw++] = x;
    else if (a->as_normalized)
      late[n_late++] = x;
    else if ((ok = normalize_run(&t->normalizer, match, &t->arena, x.content, &x.content, e)))
      late[n_late++] = x;
  }
  splitter_match_free(match);
  return ok && added_init(&t->added, &t->arena, raw, n_raw, e) &&
         added_init(&t->added_normalized, &t->arena, late, n_late, e);
}

bool parts_split_merge(pn_str merge, const char *where, size_t i, pn_str *left, pn_str *right, pn_error *e) {
  const char *blank = merge.n ? memchr(merge.p, ' ', merge.n) : NULL;
  size_t at = blank ? (size_t)(blank - merge.p) : 0;
  if (!blank || memchr(blank + 1, ' ', merge.n - at - 1))
    return pn_fail(e, PN_ERR_CORRUPT, "%s[%zu]: expected two tokens with one blank between, found \"%.*s\"",
                   where, i, merge.n < 60 ? (int)merge.n : 60, merge.p);
  *left = (pn_str){merge.p, at};
  *right = (pn_str){blank + 1, merge.n - at - 1};
  return true;
}

static bool not_there(pn_str s, const char *where, size_t i, pn_error *e) {
  return pn_fail(e, PN_ERR_CORRUPT, "%s[%zu]: \"%.*s\" is not in the vocabulary", where, i,
                 s.n < 60 ? (int)s.n : 60, s.p);
}

bool parts_add_merges(pn_tokenizer *t, const pn_str (*halves)[2], size_t n, const char *where, size_t first,
                      pn_buf *scratch, pn_error *e) {
  pn_str spellings[3 * PARTS_MERGES];
  uint32_t ids[3 * PARTS_MERGES];
  pn_buf_clear(scratch);
  for (size_t i = 0; i < n; i++) {
    pn_buf_str(scratch, halves[i][0]);
    pn_buf_str(scratch, halves[i][1]);
  }
  if (scratch->oom) return pn_fail(e, PN_ERR_NOMEM, "out of memory for merges");
  const char *joined = scratch->p;
  for (size_t i = 0; i < n; i++) {
    pn_str *s = &spellings[3 * i];
    s[0] = halves[i][0], s[1] = halves[i][1], s[2] = (pn_str){joined, s[0].n + s[1].n};
    joined += s[2].n;
  }
  vocab_find_many(&t->vocab, spellings, 3 * n, ids);
  for (size_t i = 0; i < n; i++) {
    for (size_t k = 3 * i; k < 3 * i + 3; k++)
      if (ids[k] == VOCAB_NONE) return not_there(spellings[k], where, first + i, e);
    bpe_fetch(&t->bpe, ids[3 * i], ids[3 * i + 1]);
  }
  for (size_t i = 0; i < n; i++) // no merge may make a control token out of plain text
    if (!(t->vocab.t[ids[3 * i + 2]].flags & VOCAB_CONTROL))
      bpe_add(&t->bpe, ids[3 * i], ids[3 * i + 1], (uint32_t)(first + i), ids[3 * i + 2]);
  return true;
}
