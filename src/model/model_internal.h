// What the files of model/ share: an architecture as data, the checked specification of one model, its
// weights.
#ifndef PN_MODEL_INTERNAL_H
#define PN_MODEL_INTERNAL_H

#include "model/model.h"

// The tensors that a family may have. A family names those it uses; a fused one replaces its parts.
typedef enum model_role {
  ROLE_EMBED,
  ROLE_FINAL_NORM,
  ROLE_HEAD,
  ROLE_PER_LAYER_EMBED, // a vector for each layer, of each token
  ROLE_PER_LAYER_IN,    // the same of the embedding
  ROLE_PER_LAYER_IN_NORM,
  ROLE_ATTN_NORM, // from here on: once a layer
  ROLE_Q,
  ROLE_K,
  ROLE_V,
  ROLE_QKV, // rows q | k | v
  ROLE_Q_NORM,
  ROLE_K_NORM,
  ROLE_O,
  ROLE_ATTN_POST_NORM, // of what a sublayer gives
  ROLE_FFN_POST_NORM,
  ROLE_MIX_IN,   // into and out of a mixer that is not attention
  ROLE_MIX_GATE, // of its output
  ROLE_MIX_BETA, // a row each of its heads
  ROLE_MIX_DECAY,
  ROLE_CONV,     // [channels][taps]
  ROLE_MIX_NORM, // of each head of the output
  ROLE_MIX_OUT,
  // Whole names of vectors, a number each of the mixer's heads: what decay is exp(-exp(.)) of in folders, and
  // exp(.) of in GGUF files; and what is added to ROLE_MIX_DECAY's.
  ROLE_DECAY_RATE,
  ROLE_DECAY_BIAS,
  ROLE_FFN_NORM,
  ROLE_GATE,
  ROLE_UP,
  ROLE_GATE_UP, // rows gate | up
  ROLE_DOWN,
  ROLE_PER_LAYER_GATE,
  ROLE_PER_LAYER_OUT,
  ROLE_PER_LAYER_NORM,
  ROLE_OUT_SCALE,   // the whole name of one number
  ROLE_ROUTER,      // logits of experts
  ROLE_EXPERT_GATE, // from here on: [expert][row][column]
  ROLE_EXPERT_UP,
  ROLE_EXPERT_GATE_UP, // each expert's rows gate | up; replaces the two where a file has it
  ROLE_EXPERT_DOWN,
  N_ROLES
} model_role;

// What a layer is made of. Every sublayer, a function that emits its steps (model/plan.h), is x +=
// sublayer(rmsnorm(x)), or x += rmsnorm(sublayer(rmsnorm(x))).
struct plan;
struct model_layer;
typedef void model_sublayer(struct plan *p, const pn_model *m, const struct model_layer *l);
typedef struct model_recipe {
  model_sublayer *mixer, *ffn;
  model_sublayer *extra;                    // behind them, of x itself and not of its norm; NULL: none
  int n_heads, n_kv_heads, head_dim, d_ffn; // n_heads 0: the mixer is not attention
  int n_experts, n_experts_used, d_expert;  // 0: the feed-forward has none
  int mix_in, mix_out;                      // then the widths that ROLE_MIX_IN gives and ROLE_MIX_OUT takes
  int mix_heads;                            // heads of mix_out with gate, beta and decay; 0: none
  int conv_taps, conv_width;                // of its causal convolution; 0: it has none
  int64_t state_floats;                     // that it keeps of a sequence
  int rope;                                 // which of the plan's rotations; -1: none
  int window;                               // of attention, in tokens; 0: all
  float scale;                              // of its scores
  bool qk_norm;     // every head of q and k goes through an rmsnorm before the rotation
  bool qkv_bias;    // q, k and v have biases
  bool gelu;        // the feed-forward gates by gelu, approximated by tanh, else by silu
  bool norm_behind; // sublayers have a norm behind them too
  bool v_norm;      // every head of v goes through an rmsnorm without weights
  bool v_is_k;      // v is the norm of k before its own: there is no W_v
  bool out_scale;   // a number of the layer multiplies x behind it
  int per_layer;    // width of this layer's own vector of each token, which `extra` reads; 0: none
  int kv_from;      // the earlier layer whose K and V it reads in place of its own; -1: none
  bool out_gate;    // W_q gives q and then a gate of the result for each head; needs qk_norm
} model_recipe;

// The weights of norms as they are to be, or less one; or less one in folders that were not converted.
typedef enum model_norms { NORMS_WHOLE, NORMS_LESS_ONE, NORMS_LESS_ONE_RAW } model_norms;

// A family as data. Tensor paths hold %d for the layer; the MLX path has no ".weight" suffix, the GGUF name
// neither. Each stands in a file arch_<name>.c as model_arch_<name>; the build finds it by that.
typedef struct model_spec model_spec;
struct config_keys;
typedef struct model_arch {
  const char *family;
  const char *const *json_types; // values of config.json's model_type, NULL-terminated
  const char *const *gguf_archs; // values of general.architecture
  pn_rope_order gguf_rope_order; // the order in which GGUF files of this family keep the rows of q and k
  bool long_rope;                // rope_scaling of type longrope (su) is known
  bool qk_norm, qkv_bias;        // of every layer
  bool experts;                  // routed ones, in the layers that the configuration says
  model_norms norms;             // in folders
  bool gelu, norm_behind;        // of every layer
  enum { EMBED_PLAIN, EMBED_ROOT, EMBED_ROOT_BF16 } embed; // times the square root of the model's width
  bool own_ropes;                                          // `configure` makes the rotations of folders
  bool lists; // GGUF files may give some sizes as a list of all layers; `configure` reads those
  struct {
    int n_heads, n_kv_heads, head_dim, n_vocab, max_positions;
    double norm_eps, rope_theta, partial_rotary;
  } defaults; // of what config.json does not say; 0: those of llama, or there is none
  // Read what only this family's configurations have, after all else (model/config_keys.h); NULL: nothing.
  bool (*configure)(model_spec *s, const struct config_keys *k);
  void (*layer)(const model_spec *s, int i, model_recipe *r); // what layer i has otherwise; NULL: nothing
  struct {
    const char *mlx, *gguf;
  } names[N_ROLES];
} model_arch;

// The names that llama gave to its tensors, and many families kept; most but for the second norm.
#define MODEL_NAMES_OF_LLAMA                                                                                 \
  [ROLE_FFN_NORM] = {"model.layers.%d.post_attention_layernorm", "blk.%d.ffn_norm"}, MODEL_NAMES_BUT_FFN_NORM
#define MODEL_NAMES_BUT_FFN_NORM                                                                             \
  [ROLE_EMBED] = {"model.embed_tokens", "token_embd"}, [ROLE_FINAL_NORM] = {"model.norm", "output_norm"},    \
  [ROLE_HEAD] = {"lm_head", "output"},                                                                       \
  [ROLE_ATTN_NORM] = {"model.layers.%d.input_layernorm", "blk.%d.attn_norm"},                                \
  [ROLE_Q] = {"model.layers.%d.self_attn.q_proj", "blk.%d.attn_q"},                                          \
  [ROLE_K] = {"model.layers.%d.self_attn.k_proj", "blk.%d.attn_k"},                                          \
  [ROLE_V] = {"model.layers.%d.self_attn.v_proj", "blk.%d.attn_v"},                                          \
  [ROLE_O] = {"model.layers.%d.self_attn.o_proj", "blk.%d.attn_output"},                                     \
  [ROLE_GATE] = {"model.layers.%d.mlp.gate_proj", "blk.%d.ffn_gate"},                                        \
  [ROLE_UP] = {"model.layers.%d.mlp.up_proj", "blk.%d.ffn_up"},                                              \
  [ROLE_DOWN] = {"model.layers.%d.mlp.down_proj", "blk.%d.ffn_down"}

// The names of routed experts in MLX folders and GGUF files. No MLX folder has gate and up in one.
#define MODEL_NAMES_OF_EXPERTS                                                                               \
  [ROLE_ROUTER] = {"model.layers.%d.mlp.gate", "blk.%d.ffn_gate_inp"},                                       \
  [ROLE_EXPERT_GATE] = {"model.layers.%d.mlp.switch_mlp.gate_proj", "blk.%d.ffn_gate_exps"},                 \
  [ROLE_EXPERT_UP] = {"model.layers.%d.mlp.switch_mlp.up_proj", "blk.%d.ffn_up_exps"},                       \
  [ROLE_EXPERT_GATE_UP] = {NULL, "blk.%d.ffn_gate_up_exps"},                                                 \
  [ROLE_EXPERT_DOWN] = {"model.layers.%d.mlp.switch_mlp.down_proj", "blk.%d.ffn_down_exps"}

extern const model_arch *const model_archs[]; // all families, NULL-terminated; written by the build
// By model_type or general.architecture; NULL when there is none.
const model_arch *registry_by_json_type(pn_str type);
const model_arch *registry_by_gguf_arch(pn_str name);
// The model_type values (or the general.architecture ones) of all families, for messages: "llama, mistral,
// phi3".
#define REGISTRY_TEXT 512
const char *registry_known(bool gguf, char out[REGISTRY_TEXT]);

#define MODEL_MAX_ROT 1024
#define MODEL_MAX_LAYERS 1024
#define MODEL_MAX_FFN (1 << 20)
#define MODEL_MAX_ROPES 2

// A rotation of queries and keys by their positions.
typedef struct model_rope {
  pn_rope_order order;
  int n_rot; // dimensions of a head
  double theta;
  float scale; // multiplies q and k in the rotated dimensions (LongRoPE), else 1
  float inv_freq[MODEL_MAX_ROT / 2];
} model_rope;

// A checked configuration with everything that forward needs beyond the public part.
struct model_spec {
  pn_model_config c;
  const model_arch *arch;
  int window_from;   // the first layer that has the sliding window
  int full_interval; // families of two kinds of layers: each layer of this number attends to everything
  struct {           // of gated delta nets
    int n_heads, head_dim, n_key_heads, key_dim, taps;
    bool tiled; // heads read the key heads in turn, not in runs
  } delta;
  struct { // where layers that attend to everything, or the last ones, differ from the others; 0: they don't
    int full_head_dim, full_kv_heads, n_shared, shared_ffn;
    bool v_is_k; // of those that attend to everything
  } vary;
  int per_layer, per_layer_vocab; // of the vectors for each layer; 0: there are none
  double soft_cap;                // of logits; 0: none
  double attention_scale;         // of scores, 0: one by the square root of the head's size
  int n_ropes;                    // at least 1: most layers have the first
  model_rope ropes[MODEL_MAX_ROPES];
  pn_route route;               // to experts
  bool dense[MODEL_MAX_LAYERS]; // layers without experts where others have them
};

bool config_read_json(pn_files *files, model_spec *out, pn_error *e);
bool config_read_gguf(const pn_gguf *g, const char *path, model_spec *out, pn_error *e);
bool config_read(pn_files *files, model_spec *out, pn_error *e); // whichever it is, then config_check
// Range checks that both readers share; `where` names the file.
bool config_check(const model_spec *s, const char *where, pn_error *e);

// inv_freq[i] = theta^(-2i / n_rot) / divisor, i < n_rot / 2.
void rope_plain(model_rope *r, double divisor);
// Llama 3.1's rescaling by wavelength; divides inv_freq in place.
void rope_llama3(model_rope *r, double factor, double low, double high, double original);
// LongRoPE with the long factors at every length (n_rot / 2 of them); attention factor 0: from max /
// original.
void rope_long(model_rope *r, const double *long_factors, int max_positions, double original,
               double attention_factor);

// The recipe of layer i; and the groups of the configuration, from all recipes. PN_ERR_UNSUPPORTED: too many.
model_recipe recipe_of(const model_spec *s, int i);
bool recipe_groups(model_spec *s, const char *where, pn_error *e);
int recipe_group(const pn_model_config *c, const model_recipe *r); // its number

typedef struct model_layer {
  model_recipe recipe;
  int group, group_layer; // of the configuration; which of its layers
  pn_weight *w[N_ROLES];
  pn_weight *qkv_bias; // q | k | v
  pn_weight *conv;     // [taps][channels]
  pn_weight *decay;    // of the heads of a delta net: rate | bias
  pn_weight *ones;     // [head_dim], weights of the norm of v
  float out_scale;
} model_layer;

typedef struct model_matrix {
  const pn_weight *w;
  uint64_t bytes; // that a row needs
} model_matrix;

struct pn_model {
  model_spec spec;
  pn_backend *b;
  pn_weight *embed, *head; // the same when tied
  pn_weight *final_norm;
  pn_weight *per_layer_embed, *per_layer_in, *per_layer_norm; // NULL: there are none
  model_layer *layers;
  uint64_t weight_bytes;
  pn_model_size size;
  model_matrix *matrices; // every one that was opened
  int n_matrices;
  struct plan *plan;
  pn_workspace *ws; // of pn_model_forward
  int max_rows, max_logits;
};

bool weights_open(pn_model *m, pn_files *files, pn_error *e);
void weights_close(pn_model *m);

#endif
