// What the files of model/ share: an architecture as data, the checked specification of one model, its weights.
#ifndef PN_MODEL_INTERNAL_H
#define PN_MODEL_INTERNAL_H

#include "model/model.h"

// The tensors that a family may have. A family names those it uses; a fused one replaces its parts.
typedef enum model_role {
  ROLE_EMBED,
  ROLE_FINAL_NORM,
  ROLE_HEAD,
  ROLE_ATTN_NORM, // from here on: once a layer
  ROLE_Q,
  ROLE_K,
  ROLE_V,
  ROLE_QKV, // rows q | k | v
  ROLE_O,
  ROLE_FFN_NORM,
  ROLE_GATE,
  ROLE_UP,
  ROLE_GATE_UP, // rows gate | up
  ROLE_DOWN,
  N_ROLES
} model_role;

// The recipe of a layer: which kinds of sublayer it has. Both are wrapped as x += sublayer(rmsnorm(x)).
typedef enum model_mixer { MIXER_ATTENTION } model_mixer;
typedef enum model_ffn { FFN_GATED_SILU } model_ffn;
typedef struct model_recipe {
  model_mixer mixer;
  model_ffn ffn;
} model_recipe;

// A family as data. Tensor paths hold %d for the layer; the MLX path has no ".weight" suffix, the GGUF name neither.
typedef struct model_arch {
  const char *family;
  const char *const *json_types; // values of config.json's model_type, NULL-terminated
  const char *const *gguf_archs; // values of general.architecture
  pn_rope_order gguf_rope_order; // the order in which GGUF files of this family keep the rows of q and k
  bool long_rope;                // rope_scaling of type longrope (su) is known
  model_recipe recipe;           // of every layer
  struct {
    const char *mlx, *gguf;
  } names[N_ROLES];
} model_arch;

extern const model_arch model_arch_llama, model_arch_phi3;
// By model_type or general.architecture; NULL when there is none.
const model_arch *registry_by_json_type(pn_str type);
const model_arch *registry_by_gguf_arch(pn_str name);
// The model_type values (or the general.architecture ones) of all families, for messages: "llama, mistral, phi3".
const char *registry_known(bool gguf, char out[96]);

#define MODEL_MAX_ROT 1024

// A checked configuration with everything that forward needs beyond the public part.
typedef struct model_spec {
  pn_model_config c;
  const model_arch *arch;
  float inv_freq[MODEL_MAX_ROT / 2];
} model_spec;

bool config_read_json(pn_files *files, model_spec *out, pn_error *e);
bool config_read_gguf(const pn_gguf *g, const char *path, model_spec *out, pn_error *e);
bool config_read(pn_files *files, model_spec *out, pn_error *e); // whichever it is, then config_check
// Range checks that both readers share; `where` names the file.
bool config_check(const model_spec *s, const char *where, pn_error *e);

// inv_freq[i] = theta^(-2i / n_rot) / divisor, i < n_rot / 2.
void rope_plain(model_spec *s, double divisor);
// Llama 3.1's rescaling by wavelength; divides inv_freq in place.
void rope_llama3(model_spec *s, double factor, double low, double high, double original);
// LongRoPE with the long factors at every length (n_rot / 2 of them); attention factor 0: from max / original.
void rope_long(model_spec *s, const double *long_factors, double original, double attention_factor);

typedef struct model_layer {
  pn_weight *w[N_ROLES];
  float *attn_norm, *ffn_norm; // backend memory
} model_layer;

// Scratch of a step; one allocation, cut by scratch_reserve. Rows are dense: stride = width.
typedef struct model_scratch {
  void *memory;
  size_t bytes;
  int max_rows, max_logits;
  float *x, *h, *y;     // [rows][d_model]: residual stream, normed input, sublayer output
  float *qkv, *mix;     // [rows][(n_heads + 2 n_kv_heads) head_dim], [rows][n_heads head_dim]
  float *gate_up, *act; // [rows][2 d_ffn], [rows][d_ffn]; share memory with qkv and mix
  float *last, *logits; // [logits][d_model], [logits][n_vocab]
} model_scratch;

struct pn_model {
  model_spec spec;
  pn_backend *b;
  pn_rope rope;
  float attention_scale;   // 1 / sqrt(head_dim)
  pn_weight *embed, *head; // the same when tied
  float *final_norm;
  model_layer *layers;
  uint64_t weight_bytes;
  model_scratch s;   // of pn_model_forward
  const void *begun; // the pass whose batch the backend was told last; NULL: another step's
};

// Room for so many rows and rows of logits; what was there is kept when that is enough.
bool scratch_reserve(model_scratch *s, const pn_model *m, int max_rows, int max_logits, pn_error *e);
void scratch_fini(model_scratch *s, const pn_model *m);

bool weights_open(pn_model *m, pn_files *files, pn_error *e);
void weights_close(pn_model *m);

// One step under way.
typedef struct model_step {
  pn_model *m;
  const model_scratch *s;
  pn_kv *kv;
  int n_rows;
  const pn_forward_trace *trace;
  bool stopped; // by the trace
} model_step;

// Report a result to the trace. False: stop here.
bool step_after(model_step *st, const char *op, int layer, const float *x, int64_t stride, int n_rows,
                int width);

// Sublayers: input s.h (normed), output s.y. False when the trace stopped the step.
bool block_attention(model_step *st, int layer);
bool block_ffn(model_step *st, int layer);

#endif
