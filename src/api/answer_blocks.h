// An answer as content blocks, as they grow: text, thinking, calls of tools.
//
// Thread: the owner's.
#ifndef PN_API_ANSWER_BLOCKS_H
#define PN_API_ANSWER_BLOCKS_H

#include "dialect/dialect.h"

typedef enum block_kind { BLOCK_TEXT, BLOCK_THINKING, BLOCK_CALL } block_kind;

#define BLOCK_ID_BYTES 32
typedef struct answer_block {
  block_kind kind;
  pn_buf text;             // or the call's arguments as JSON: valid when the block has ended
  pn_buf name;             // of a call
  char id[BLOCK_ID_BYTES]; // of a call: "toolu_01" and 22 letters and digits
  bool ended;
} answer_block;

// How an answer is to be read. Zero: all of it is text.
typedef struct answer_reading {
  const pn_tongue *tongue; // NULL: no marks; must outlive the answer
  // An object: by the names that can be called, the schemas of their parameters. NULL: none. Shared.
  const pn_json *tools;
  bool thinks; // the answer begins within thinking
} answer_reading;

typedef struct answer_blocks {
  answer_block *p;
  size_t n, cap;
  pn_json *tools;
  pn_dialect_reader *reader; // NULL: all is text
  bool oom;
} answer_blocks;

bool answer_blocks_init(answer_blocks *b, const answer_reading *how); // false: out of memory
void answer_blocks_fini(answer_blocks *b);
void answer_blocks_read(answer_blocks *b, pn_str raw);
void answer_blocks_end(answer_blocks *b); // every block has ended then
size_t answer_blocks_calls(const answer_blocks *b);
// A prefix and 22 random letters and digits; out has BLOCK_ID_BYTES.
void answer_make_id(char *out, const char *prefix);

#endif
