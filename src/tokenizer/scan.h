// The split patterns of the large families by hand, for ASCII: the common case many times faster than a
// regular expression. Where a character outside of ASCII could matter, they pass.
#ifndef PN_TOKENIZER_SCAN_H
#define PN_TOKENIZER_SCAN_H

#include "base/str.h"

typedef enum scan_kind { SCAN_NONE, SCAN_GPT2, SCAN_LLAMA3, SCAN_QWEN2, SCAN_O200K } scan_kind;

extern const char scan_gpt2_pattern[], scan_llama3_pattern[], scan_qwen2_pattern[], scan_qwen35_pattern[],
    scan_o200k_pattern[];

// The kind whose pattern is exactly this one. Patterns that differ only outside of ASCII share one.
scan_kind scan_kind_of(pn_str pattern);
// Length of the match that begins at s[at] (at < s.n), or 0: ask the pattern.
size_t scan_match(scan_kind kind, pn_str s, size_t at);

#endif
