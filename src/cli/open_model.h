// A model opened for a verb: files, tokenizer, template, and with a backend the model itself.
#ifndef PN_CLI_OPEN_MODEL_H
#define PN_CLI_OPEN_MODEL_H

#include "cli/cores.h"
#include "cli/memory_plan.h"
#include "cli/weight_home.h"
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
  memory_plan plan;  // of the engine, once it is open
  uint64_t start_us; // when opening began
  weight_home home;  // where the weights lie
} open_model;

// `named` as for discover_model. `parts` is a sum of OPEN_*.
bool open_model_read(open_model *m, const options *o, const char *named, unsigned parts, pn_error *e);
void open_model_close(open_model *m);

// The folders where modules of backends are looked for, separated by ':'; of the user's, then those of this
// program.
void open_model_modules(const options *o, char *out, size_t cap);
// Threads to compute with: --threads, or as many as cores_choose says of this machine.
int open_model_threads(const options *o);
void open_model_choose_threads(cores_choice *out);

// Have the weights where the settings want them (weight_home_settle), whatever else is to take beside_bytes.
// open_model_engine does it.
bool open_model_settle(open_model *m, const options *o, uint64_t beside_bytes, pn_error *e);

// The constants that the template may write, from the tokenizer and the model's files.
pn_template_consts open_model_consts(pn_files *files, const pn_tokenizer *t);

// What a verb wants of an engine; zero: one request at a time, nobody waits.
typedef struct engine_wish {
  int n_ctx;         // tokens that a sequence needs; 0: as many as the model was made for, or as fit
  int64_t kv_tokens; // tokens that the pool must hold; 0: max_running contexts, or what fits
  int max_running, max_queue;
  float prefill_share; // 0: the engine's default
  int cache_idle_s;    // 0: never
  pn_metrics *metrics; // NULL: nothing is counted
} engine_wish;

// An engine over an opened model, within memory: with the context that was asked for or a refusal that says
// what would fit; else with the wish's, or with what fits, which is said on stderr.
pn_engine *open_model_engine(open_model *m, const options *o, const engine_wish *w, pn_error *e);

#endif
