// A tiny model folder written to disk for the tests of model/: random F32 weights from a seed.
#ifndef PN_TESTS_TINY_MODEL_H
#define PN_TESTS_TINY_MODEL_H

#include "base/error.h"
#include "base/str.h"
#include "formats/formats.h"

#define TINY_LLAMA_CONFIG TINY_CONFIG_OF("llama")
#define TINY_CONFIG_OF(family) TINY_CONFIG_WITH(family, 256, "")
// `more` are further members of the configuration: ",\"sliding_window\":70".
#define TINY_CONFIG_WITH(family, positions, more)                                                            \
  "{\"model_type\":\"" family "\",\"num_hidden_layers\":2,\"hidden_size\":48,\"intermediate_size\":80,"      \
  "\"num_attention_heads\":6,\"num_key_value_heads\":2,\"vocab_size\":50,\"rms_norm_eps\":1e-5,"             \
  "\"rope_theta\":10000,\"max_position_embeddings\":" #positions ",\"tie_word_embeddings\":true" more "}"

// Layers that keep different things: a window of 70 tokens in all layers; everything, then the window; a
// recurrent state (toy_family.c), then everything; a state, then the window.
#define TINY_WINDOW(positions) TINY_CONFIG_WITH("mistral", positions, ",\"sliding_window\":70")
#define TINY_FULL_WINDOW(positions)                                                                          \
  TINY_CONFIG_WITH("qwen2", positions,                                                                       \
                   ",\"sliding_window\":70,\"use_sliding_window\":true,\"max_window_layers\":1")
#define TINY_STATE_FULL(positions) TINY_CONFIG_WITH("toy", positions, "")
#define TINY_STATE_WINDOW(positions) TINY_CONFIG_WITH("toy", positions, ",\"sliding_window\":70")

// Routed experts, three of seven, in the second layer.
#define TINY_EXPERTS(positions)                                                                              \
  TINY_CONFIG_WITH("qwen3_moe", positions,                                                                   \
                   ",\"num_experts\":7,\"num_experts_per_tok\":3,\"moe_intermediate_size\":24,"              \
                   "\"norm_topk_prob\":true,\"decoder_sparse_step\":1,\"mlp_only_layers\":[0]")

// Qwen 3.5: a gated delta net, then attention with a gate.
#define TINY_DELTA_FULL(positions) TINY_DELTA_WITH(positions, 6, 3, 12, 9, 4, 2)
#define TINY_DELTA_WITH(positions, heads, key_heads, key_dim, dim, taps, interval)                           \
  TINY_CONFIG_WITH("qwen3_5", positions,                                                                     \
                   ",\"linear_num_value_heads\":" #heads ",\"linear_num_key_heads\":" #key_heads             \
                   ",\"linear_key_head_dim\":" #key_dim ",\"linear_value_head_dim\":" #dim                   \
                   ",\"linear_conv_kernel_dim\":" #taps ",\"full_attention_interval\":" #interval)

// Gemma 3: a window of 48 tokens, then everything.
#define TINY_SANDWICH(positions)                                                                             \
  TINY_CONFIG_WITH("gemma3_text", positions,                                                                 \
                   ",\"head_dim\":8,\"query_pre_attn_scalar\":12,\"rope_local_base_freq\":1000,"             \
                   "\"sliding_window\":48,\"sliding_window_pattern\":2")

// Gemma 4: the same two kinds, and a vector of 6 numbers of each token for each layer.
#define TINY_PER_LAYER(positions)                                                                            \
  TINY_CONFIG_WITH("gemma4_text", positions,                                                                 \
                   ",\"head_dim\":8,\"global_head_dim\":8,\"hidden_size_per_layer_input\":6,"                \
                   "\"final_logit_softcapping\":4,\"sliding_window\":48,\"sliding_window_pattern\":2")

// What a tensor list has otherwise, or does wrong.
typedef struct tiny_fault {
  bool biases;         // of q, k and v
  bool qk_norms;       // of the heads of q and k
  bool mixers;         // what the layers of toy_family.c have in place of attention
  bool deltas;         // gated delta nets, and gates of attention
  bool sandwich;       // norms behind the sublayers
  bool per_layer;      // vectors for each layer
  bool experts;        // router and experts, in both layers
  const char *missing; // this tensor is left out
  const char *renamed; // this one is called by renamed_to
  const char *renamed_to;
  const char *misshapen; // this one has one row too many
  const char *half;      // this one is written as F64
} tiny_fault;

// Make a folder under $TMPDIR with `config` as its config.json and the tensors of TINY_LLAMA_CONFIG's shapes;
// its path is put into path[64]. False when the disk refuses.
bool tiny_write(char path[64], const char *config, const tiny_fault *fault);
void tiny_remove(const char *path);

#endif
