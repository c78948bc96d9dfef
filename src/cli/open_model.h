// A model opened for a verb: files, tokenizer, template, and with a backend the model itself.
#ifndef PN_CLI_OPEN_MODEL_H
#define PN_CLI_OPEN_MODEL_H

#include "cli/options.h"
#include "engine/engine.h"
#include "template/template.h"

// What a verb needs of a model, beyond its files.
enum { OPEN_TOKENIZER = 1, OPEN_TEMPLATE = 2, OPEN_WEIGHTS = 4 };

// Zero-initialise; open_model_close in every case, in any state. Owned by the verb.
typedef struct open_model {
  char path[4096];
  char name[256]; // last part of the path, without .gguf
  pn_files *files;
  pn_tokenizer *tokenizer;
  pn_template *chat_template; // NULL when the model has none, or it wasn't asked for
  pn_template_consts consts;
  pn_backend *backend;
  pn_model *model;
  pn_kv_type kv_type;
  uint64_t start_us; // when opening began
} open_model;

// `named` as for discover_model. `parts` is a sum of OPEN_*.
bool open_model_read(open_model *m, const options *o, const char *named, unsigned parts, pn_error *e);
void open_model_close(open_model *m);

// Threads to compute with: --threads, or as many as there are cores for this process.
int open_model_threads(const options *o);

// The constants that the template may write, from the tokenizer and the model's files.
pn_template_consts open_model_consts(pn_files *files, const pn_tokenizer *t);

// An engine over an opened model, with a context that fits into memory: the one that was asked for or a refusal that
// says what would fit; else `wanted` tokens (0: as many as the model was made for) or what fits, which is said on stderr.
pn_engine *open_model_engine(open_model *m, const options *o, int wanted, int max_queue, pn_error *e);

#endif
