// What a tokenizer is made of, for the loaders and the walks of this room.
#ifndef PN_TOKENIZER_PARTS_H
#define PN_TOKENIZER_PARTS_H

#include "tokenizer/added.h"
#include "tokenizer/bpe.h"
#include "tokenizer/long_lists.h"
#include "tokenizer/normalize.h"
#include "tokenizer/pretok.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/vocab.h"

#define PARTS_MAX_ENDS 32
#define PARTS_MAX_REPLACES 8

// How tokens become bytes. Read while loading; only strip_blank afterwards.
typedef struct decoder {
  bool byte_level;
  bool byte_fallback;
  bool strip_blank; // one blank at the very beginning is dropped
  struct decoder_replace {
    pn_str from, to;
  } replaces[PARTS_MAX_REPLACES];
  size_t n_replaces;
} decoder;

// One added token as a file describes it.
typedef struct added_entry {
  pn_str content;
  int64_t id;
  bool special, lstrip, rstrip, single_word;
  bool normalized;    // the content is normalised, and searched in normalised text
  bool as_normalized; // it is so already
} added_entry;

struct pn_tokenizer {
  pn_arena arena; // everything that has no release of its own
  vocab vocab;
  bpe bpe;
  normalizer normalizer;
  pretok pretok;
  decoder decoder;
  added_set added;            // searched in the text as it came
  added_set added_normalized; // ordinary added tokens that are searched after normalising
  int32_t bos, eos;
  bool adds_bos;
  int32_t ends[PARTS_MAX_ENDS];
  size_t n_ends;
};

// The steps of loading that both kinds of file share, in this order; the vocabulary's spellings, the
// pre-tokeniser, the normaliser and the decoder are set before.
bool parts_add_tokens(pn_tokenizer *t, const added_entry *entries, size_t n, const char *where, pn_error *e);
bool parts_index(pn_tokenizer *t, pn_error *e); // bytes of every token, tables, byte symbols

// The halves of a merge spelled "left right".
bool parts_split_merge(pn_str merge, const char *where, size_t i, pn_str *left, pn_str *right, pn_error *e);
// Merges of a list from `first` on, by the spellings of their halves; the rank is the place in the list. A
// half or a result that is no token is an error.
#define PARTS_MERGES (VOCAB_MANY / 3)
bool parts_add_merges(pn_tokenizer *t, const pn_str (*halves)[2], size_t n, const char *where, size_t first,
                      pn_buf *scratch, pn_error *e);

// load_json.c, load_pipeline.c, load_gguf.c, gguf_splits.c, load_ids.c
// `lists`: the vocabulary and the merges, which are empty in `root`; NULL: they are in it.
bool load_json(pn_tokenizer *t, const pn_json *root, const long_lists *lists, pn_error *e);
bool load_normalizer(pn_tokenizer *t, const pn_json *v, pn_error *e);
bool load_pretok(pn_tokenizer *t, const pn_json *v, pn_error *e);
bool load_decoder(pn_tokenizer *t, const pn_json *v, pn_error *e);
bool load_split_step(pn_tokenizer *t, pn_str pattern, bool literal, pretok_behavior behavior, bool invert,
                     const char *where, pn_error *e);
bool load_digits_step(pn_tokenizer *t, const char *where, pn_error *e);
bool load_gguf_split(pn_tokenizer *t, pn_str name, pn_error *e); // by tokenizer.ggml.pre; empty: the default
bool load_gguf(pn_tokenizer *t, const pn_gguf *g, pn_error *e);
bool load_json_ids(pn_tokenizer *t, pn_files *files, const pn_json *root, pn_error *e);
bool load_gguf_ids(pn_tokenizer *t, const pn_gguf *g, pn_error *e);

#endif
