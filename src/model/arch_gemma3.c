// Gemma 3: norms before and behind every sublayer, feed-forwards gated by gelu, and attention within a window
// in all layers but every sixth, each kind with a rotation of its own.
#include "model/config_keys.h"

#include <math.h>

static void layer(const model_spec *s, int i, model_recipe *r) {
  const bool full = (i + 1) % s->full_interval == 0;
  r->rope = full ? 0 : 1;
  r->window = full ? 0 : s->c.window;
}

// The rotation of the layers with a window.
static bool read_local_rope(model_spec *s, const config_keys *k) {
  const pn_json *part = pn_json_get(pn_json_get(k->json, "rope_parameters"), "sliding_attention");
  const config_keys local = {k->where, part, "rope_parameters.sliding_attention.", k->gguf, k->arch, k->e};
  model_rope *r = &s->ropes[1];
  *r = s->ropes[0];
  r->theta = 10000;
  s->n_ropes = 2;
  if (!config_key_positive(k, "rope_local_base_freq", "rope.freq_base_swa", &r->theta) ||
      (part && !config_key_positive(&local, "rope_theta", NULL, &r->theta)))
    return false;
  rope_plain(r, 1);
  return true;
}

// GGUF files say nothing of the scale. Only the largest model's is not that of its heads' size.
static double default_scalar(const model_spec *s, const config_keys *k) {
  if (k->json) return 256;
  return s->c.n_layers == 62 ? (double)s->c.d_model / s->c.n_heads : s->c.head_dim;
}

static bool configure(model_spec *s, const config_keys *k) {
  int interval = 6, window = 0;
  double scalar = default_scalar(s, k);
  if (!config_key_int(k, "sliding_window_pattern", "attention.sliding_window_pattern", 1, 1024, &interval) ||
      !config_key_int(k, "_sliding_window_pattern", NULL, 1, 1024, &interval) ||
      !config_key_int(k, "sliding_window", "attention.sliding_window", 1, 1 << 28, &window) ||
      !config_key_positive(k, "query_pre_attn_scalar", NULL, &scalar) ||
      !config_key_layer_types(k, s->c.n_layers, interval, "sliding_attention"))
    return false;
  s->full_interval = interval;
  s->attention_scale = 1 / sqrt(scalar);
  return read_local_rope(s, k);
}

static const char *const json_types[] = {"gemma3_text", "gemma3", NULL};
static const char *const gguf_archs[] = {"gemma3", NULL};

const model_arch model_arch_gemma3 = {
    .family = "gemma3",
    .json_types = json_types,
    .gguf_archs = gguf_archs,
    .gguf_rope_order = PN_ROPE_HALF,
    .qk_norm = true,
    .norms = NORMS_LESS_ONE,
    .gelu = true,
    .norm_behind = true,
    .embed = EMBED_ROOT_BF16,
    // Those of the models that see, whose configurations leave most of it out.
    .defaults = {.n_heads = 8,
                 .n_kv_heads = 4,
                 .head_dim = 256,
                 .n_vocab = 262208,
                 .max_positions = 131072,
                 .norm_eps = 1e-6,
                 .rope_theta = 1e6},
    .configure = configure,
    .layer = layer,
    .names =
        {MODEL_NAMES_BUT_FFN_NORM, [ROLE_Q_NORM] = {"model.layers.%d.self_attn.q_norm", "blk.%d.attn_q_norm"},
         [ROLE_K_NORM] = {"model.layers.%d.self_attn.k_norm", "blk.%d.attn_k_norm"},
         [ROLE_ATTN_POST_NORM] = {"model.layers.%d.post_attention_layernorm", "blk.%d.post_attention_norm"},
         [ROLE_FFN_NORM] = {"model.layers.%d.pre_feedforward_layernorm", "blk.%d.ffn_norm"},
         [ROLE_FFN_POST_NORM] = {"model.layers.%d.post_feedforward_layernorm", "blk.%d.post_ffw_norm"}},
};
