// Text to token ids and back. A tokenizer is immutable after opening and shared by all threads.
#ifndef PN_TOKENIZER_H
#define PN_TOKENIZER_H

#include "base/error.h"
#include "base/str.h"
#include "formats/formats.h"

typedef struct pn_tokenizer pn_tokenizer;

// From tokenizer.json (and tokenizer_config.json, special_tokens_map.json, generation_config.json) of a
// folder, or from the tokenizer.ggml.* keys of a GGUF file. Byte-level BPE (GPT-2 family) and
// SentencePiece-style BPE with byte fallback (Llama-2 family, Gemma). Anything else is refused by name. Of
// tokens that a GGUF file spells alike the first is made from text, and a warning says so.
pn_tokenizer *pn_tokenizer_open(pn_files *files, pn_error *e);
void pn_tokenizer_close(pn_tokenizer *t);

// A growable list of ids: zero-initialise, pn_ids_fini frees.
typedef struct pn_ids {
  int32_t *p;
  size_t n, cap;
  bool oom;
} pn_ids;
void pn_ids_fini(pn_ids *ids);
void pn_ids_add(pn_ids *ids, int32_t id);

// Append the ids of `text`. No BOS or EOS is added. Control tokens (special tokens, and added tokens that are
// shaped like control marks) are recognised in the text except where they touch one of the n_plain ranges
// (sorted, not overlapping): there their spelling is ordinary text. One range over the whole text gives plain
// encoding. Linear in the length of the text. Bytes that are not UTF-8 are an error (PN_ERR_USAGE).
bool pn_tokenizer_encode(const pn_tokenizer *t, pn_str text, const pn_span *plain, size_t n_plain,
                         pn_ids *out, pn_error *e);

int32_t pn_tokenizer_n_vocab(const pn_tokenizer *t);
// The id whose token is spelled exactly so, in the vocabulary's own spelling, or -1.
int32_t pn_tokenizer_find(const pn_tokenizer *t, pn_str spelling);
// The spelling of a control token (what a template writes), or of an ordinary token in the vocabulary's own
// spelling.
pn_str pn_tokenizer_spelling(const pn_tokenizer *t, int32_t id);
bool pn_tokenizer_is_control(const pn_tokenizer *t, int32_t id);
int32_t pn_tokenizer_bos(const pn_tokenizer *t);   // -1 when there is none
int32_t pn_tokenizer_eos(const pn_tokenizer *t);   // -1 when there is none
bool pn_tokenizer_adds_bos(const pn_tokenizer *t); // the model expects a BOS before raw text (not templates)
// Every id that ends a turn (eos, <|im_end|>, <|end|>, <|eot_id|>, ... as the model's files say).
const int32_t *pn_tokenizer_end_ids(const pn_tokenizer *t, size_t *n);

// Bytes of ids as they come, never half a UTF-8 character: incomplete bytes are held until the next id or the
// flush, which replaces what never became valid by U+FFFD. Zero-initialise with .t set; one owner.
typedef struct pn_detokenizer {
  const pn_tokenizer *t;
  bool keep_control; // write control tokens' spelling too; otherwise they give no bytes
  bool started;      // set by the first id: the SentencePiece decoder drops one leading space there
  unsigned char held[8];
  size_t n_held;
} pn_detokenizer;
void pn_detokenizer_add(pn_detokenizer *d, int32_t id, pn_buf *out); // an id out of range gives nothing
void pn_detokenizer_flush(pn_detokenizer *d, pn_buf *out);
// Exact bytes of all ids at once, not repaired.
void pn_tokenizer_decode(const pn_tokenizer *t, const int32_t *ids, size_t n, bool keep_control, pn_buf *out);

#endif
