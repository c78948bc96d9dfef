// Source text to tokens. White space control (-, +, trim_blocks, lstrip_blocks) is done here.
#ifndef PN_TEMPLATE_JLEX_H
#define PN_TEMPLATE_JLEX_H

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"

typedef enum jtoken_kind {
  JT_END,
  JT_TEXT,        // literal text
  JT_PRINT_BEGIN, // {{
  JT_PRINT_END,
  JT_BLOCK_BEGIN, // {%
  JT_BLOCK_END,
  JT_NAME,
  JT_STRING, // text: what is between the quotes, escapes not yet resolved
  JT_INT,
  JT_FLOAT,
  JT_OP, // text: the operator
} jtoken_kind;

typedef struct jtoken {
  jtoken_kind kind;
  pn_str text; // points into the source
  int line, column;
} jtoken;

typedef struct jtokens {
  jtoken *items; // the last one is JT_END
  size_t n, cap;
} jtokens;

// `source` has \n line ends and must outlive the tokens.
bool jlex_run(pn_arena *a, pn_str source, jtokens *out, pn_error *e);

#endif
