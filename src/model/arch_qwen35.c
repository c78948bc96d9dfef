// Qwen 3.5, 3.6 and 3.8, dense: gated delta nets, and every few layers attention with a gate on its output.
#include "model/config_keys.h"
#include "model/plan.h"

// Layer i attends where i + 1 is a multiple of the interval; all others are gated delta nets.
static void layer(const model_spec *s, int i, model_recipe *r) {
  r->out_gate = true;
  if ((i + 1) % s->full_interval == 0) return;
  const int heads = s->delta.n_heads, values = heads * s->delta.head_dim,
            width = 2 * s->delta.n_key_heads * s->delta.key_dim + values;
  *r = (model_recipe){.mixer = block_delta,
                      .ffn = r->ffn,
                      .d_ffn = r->d_ffn,
                      .mix_in = width,
                      .mix_out = values,
                      .mix_heads = heads,
                      .conv_taps = s->delta.taps,
                      .conv_width = width,
                      .state_floats =
                          (int64_t)values * s->delta.key_dim + (int64_t)(s->delta.taps - 1) * width,
                      .rope = -1};
}

// GGUF files may have a block behind the layers that guesses further tokens; it is not used.
static bool skip_guessing_block(model_spec *s, const config_keys *k) {
  int extra = 0;
  if (!config_key_int(k, NULL, "nextn_predict_layers", 0, s->c.n_layers - 1, &extra)) return false;
  s->c.n_layers -= extra;
  return true;
}

// Attention without a gate would lie in other rows of W_q.
static bool check_gate(const config_keys *k) {
  const pn_json *gate = pn_json_get(k->json, "attn_output_gate");
  if (!pn_json_is(gate, PN_JSON_BOOL) || pn_json_true(gate)) return true;
  return pn_fail(k->e, PN_ERR_UNSUPPORTED, "%s: %sattn_output_gate: expected true, found false", k->where,
                 k->part);
}

static bool configure(model_spec *s, const config_keys *k) {
  static const char n_heads[] = "linear_num_value_heads", rank[] = "ssm.time_step_rank",
                    n_keys[] = "linear_num_key_heads", groups[] = "ssm.group_count";
  int interval = 4, values = 0;
  if (!check_gate(k) || !skip_guessing_block(s, k) ||
      !config_key_int(k, "full_attention_interval", "full_attention_interval", 1, 1024, &interval) ||
      !config_key_int(k, n_heads, rank, 1, 1024, &s->delta.n_heads) ||
      !config_key_int(k, n_keys, groups, 1, 1024, &s->delta.n_key_heads) ||
      !config_key_int(k, "linear_key_head_dim", "ssm.state_size", 1, PN_DELTA_MAX_KEY, &s->delta.key_dim) ||
      !config_key_int(k, "linear_conv_kernel_dim", "ssm.conv_kernel", 2, 16, &s->delta.taps))
    return false;
  s->full_interval = interval;
  if (s->delta.n_heads % s->delta.n_key_heads)
    return config_key_wrong(k, n_keys, groups, "a divisor of the number of value heads",
                            s->delta.n_key_heads);
  if (k->json)
    return config_key_int(k, "linear_value_head_dim", NULL, 1, 1024, &s->delta.head_dim) &&
           config_key_layer_types(k, s->c.n_layers, interval, "linear_attention");
  if (!config_key_int(k, NULL, "ssm.inner_size", 1, 1 << 20, &values)) return false;
  s->delta.head_dim = values / s->delta.n_heads;
  s->delta.tiled = true;
  if (values % s->delta.n_heads || s->delta.head_dim > 1024)
    return config_key_wrong(k, NULL, "ssm.inner_size", "ssm.time_step_rank heads of 1 to 1024", values);
  return true;
}

static const char *const json_types[] = {"qwen3_5", "qwen3_5_text", NULL};
static const char *const gguf_archs[] = {"qwen35", NULL};

#define LINEAR "model.layers.%d.linear_attn."

const model_arch model_arch_qwen35 = {
    .family = "qwen35",
    .json_types = json_types,
    .gguf_archs = gguf_archs,
    .gguf_rope_order = PN_ROPE_HALF,
    .qk_norm = true,
    .norms = NORMS_LESS_ONE_RAW,
    .defaults = {.norm_eps = 1e-6, .rope_theta = 100000, .partial_rotary = 0.25},
    .configure = configure,
    .layer = layer,
    .names =
        {MODEL_NAMES_BUT_FFN_NORM, [ROLE_Q_NORM] = {"model.layers.%d.self_attn.q_norm", "blk.%d.attn_q_norm"},
         [ROLE_K_NORM] = {"model.layers.%d.self_attn.k_norm", "blk.%d.attn_k_norm"},
         [ROLE_FFN_NORM] = {"model.layers.%d.post_attention_layernorm", "blk.%d.post_attention_norm"},
         [ROLE_MIX_IN] = {LINEAR "in_proj_qkv", "blk.%d.attn_qkv"},
         [ROLE_MIX_GATE] = {LINEAR "in_proj_z", "blk.%d.attn_gate"},
         [ROLE_MIX_BETA] = {LINEAR "in_proj_b", "blk.%d.ssm_beta"},
         [ROLE_MIX_DECAY] = {LINEAR "in_proj_a", "blk.%d.ssm_alpha"},
         [ROLE_CONV] = {LINEAR "conv1d", "blk.%d.ssm_conv1d"},
         [ROLE_MIX_NORM] = {LINEAR "norm", "blk.%d.ssm_norm"},
         [ROLE_MIX_OUT] = {LINEAR "out_proj", "blk.%d.ssm_out"},
         [ROLE_DECAY_RATE] = {LINEAR "A_log", "blk.%d.ssm_a"},
         [ROLE_DECAY_BIAS] = {LINEAR "dt_bias", "blk.%d.ssm_dt.bias"}},
};
