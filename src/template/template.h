// Chat templates: the part of Jinja that chat templates use, as transformers' environment evaluates it
// (trim_blocks, lstrip_blocks, loop controls, raise_exception, strftime_now, tojson). A template is immutable
// after opening and shared by all threads; a rendering has its own state and memory.
#ifndef PN_TEMPLATE_H
#define PN_TEMPLATE_H

#include "base/error.h"
#include "base/json.h"
#include "base/str.h"
#include "formats/formats.h"

typedef struct pn_template pn_template;

// The model's own template text: chat_template.jinja, or "chat_template" of tokenizer_config.json (a string,
// or the entry named "default"), or the GGUF key tokenizer.chat_template. *out is {NULL, 0} when the model
// has none.
bool pn_template_source(pn_files *files, pn_str *out, pn_error *e);

// Parse. Messages give line and column. The source is copied.
pn_template *pn_template_open(pn_str source, pn_error *e);
void pn_template_close(pn_template *t);

// What a rendering may cost at most; zeros mean the defaults.
typedef struct pn_template_limits {
  uint64_t max_steps;      // evaluated nodes; default 5,000,000
  size_t max_output_bytes; // default 64 MiB; values in memory are limited to four times that
  int max_depth;           // nesting of expressions and macro calls; default 200
} pn_template_limits;

// Constants that the template may write as control text.
typedef struct pn_template_consts {
  pn_str bos_token, eos_token, unk_token, pad_token; // {NULL, 0}: undefined
  int64_t now_ms;                                    // for strftime_now; UTC
} pn_template_consts;

// The ranges of the output that came from user text (sorted, merged); control tokens must not be parsed in
// them. Zero-initialise; pn_text_spans_fini frees.
typedef struct pn_text_spans {
  pn_span *p;
  size_t n, cap;
} pn_text_spans;
void pn_text_spans_fini(pn_text_spans *s);

// Render with the members of the object `vars` ("messages", "tools", "add_generation_prompt", ...) as
// variables. Message keys whose value is null are dropped; `tools` and `documents` are always defined (as
// none). Every string that comes from `vars` is user text, byte by byte, through every operation and filter,
// except the "role" of a message. A template that calls raise_exception fails with PN_ERR_USAGE and its
// message; limits with PN_ERR_LIMIT.
bool pn_template_render(const pn_template *t, const pn_json *vars, const pn_template_consts *consts,
                        const pn_template_limits *limits, pn_buf *out, pn_text_spans *user, pn_error *e);

#endif
