// Gemma 4, dense: norms before and behind every sublayer, vectors of each token for each layer, attention
// within a window in all layers but every fifth or sixth, whose heads are larger, and last layers that read
// the K and V of earlier ones.
#include "model/config_keys.h"
#include "model/plan.h"

#include <stdio.h>

static bool attends_to_all(const model_spec *s, int i) { return (i + 1) % s->full_interval == 0; }
static bool shares(const model_spec *s, int i) { return i >= s->c.n_layers - s->vary.n_shared; }

// The last layer of layer i's kind that has K and V of its own; -1: none.
static int last_of_kind(const model_spec *s, int i) {
  int j = s->c.n_layers - s->vary.n_shared - 1;
  while (j >= 0 && attends_to_all(s, j) != attends_to_all(s, i)) j--;
  return j;
}

static void layer(const model_spec *s, int i, model_recipe *r) {
  const bool full = attends_to_all(s, i);
  r->rope = full ? 0 : 1;
  r->window = full ? 0 : s->c.window;
  if (full) r->head_dim = s->vary.full_head_dim, r->n_kv_heads = s->vary.full_kv_heads;
  if (shares(s, i)) r->kv_from = last_of_kind(s, i), r->d_ffn = s->vary.shared_ffn;
  r->scale = 1;
  r->v_norm = r->out_scale = true;
  r->v_is_k = full && s->vary.v_is_k;
  r->per_layer = s->per_layer;
  r->extra = s->per_layer ? per_layer_extra : NULL;
}

// Layer i attends to everything where i + 1 is a multiple of what is found here.
static bool read_kinds(model_spec *s, const config_keys *k) {
  static const char pattern[] =
      "attention.sliding_window_pattern"; // of each layer, whether it has the window
  int interval = 5;
  if (k->json) {
    const pn_json *list = pn_json_get(k->json, "layer_types");
    for (size_t i = pn_json_len(list); i-- > 0;)
      if (pn_str_is(pn_json_str(pn_json_at(list, i)), "full_attention")) interval = (int)i + 1;
    if (pn_json_len(list) == 0 && !config_key_int(k, "sliding_window_pattern", NULL, 1, 1024, &interval))
      return false;
    s->full_interval = interval;
    return config_key_layer_types(k, s->c.n_layers, interval, "sliding_attention");
  }
  for (interval = 1; interval < s->c.n_layers && config_key_of_layer(k, pattern, interval - 1) > 0;)
    interval++;
  s->full_interval = interval;
  for (int i = 0; i < s->c.n_layers; i++)
    if (config_key_of_layer(k, pattern, i) != !attends_to_all(s, i))
      return config_key_wrong(k, NULL, pattern, "a list of all layers that repeats itself, but not in layer",
                              i);
  return true;
}

// Sizes that differ by the kind of layer.
static bool read_json_sizes(model_spec *s, const config_keys *k) {
  s->vary.full_head_dim = s->c.head_dim;
  s->vary.full_kv_heads = s->c.n_kv_heads;
  s->vary.v_is_k = pn_json_true(pn_json_get(k->json, "attention_k_eq_v"));
  const pn_json *wide = pn_json_get(k->json, "use_double_wide_mlp");
  const bool widens = !pn_json_is(wide, PN_JSON_BOOL) || pn_json_true(wide);
  s->vary.shared_ffn = widens ? 2 * s->c.d_ffn : s->c.d_ffn;
  if (pn_json_true(pn_json_get(k->json, "enable_moe_block")))
    return pn_fail(k->e, PN_ERR_UNSUPPORTED, "%s: %senable_moe_block: models with experts are not supported",
                   k->where, k->part);
  return config_key_int(k, "global_head_dim", NULL, 1, 1024, &s->vary.full_head_dim) &&
         (!s->vary.v_is_k ||
          config_key_int(k, "num_global_key_value_heads", NULL, 1, s->c.n_heads, &s->vary.full_kv_heads));
}

// Of a key with a number for each layer: what layer i has, checked against what it should be.
static bool check_list(const config_keys *k, const char *key, int i, int64_t want) {
  const int64_t found = config_key_of_layer(k, key, i);
  if (found < 0 || found == want) return true;
  return pn_fail(k->e, PN_ERR_UNSUPPORTED, "%s: %s.%s: layer %d: expected %lld, found %lld", k->where,
                 k->arch, key, i, (long long)want, (long long)found);
}

static bool read_gguf_sizes(model_spec *s, const config_keys *k) {
  static const char kv[] = "attention.head_count_kv", ffn[] = "feed_forward_length";
  const int last = s->c.n_layers - 1, first_full = s->full_interval - 1;
  int experts = 0;
  char v[64];
  s->vary.full_head_dim = s->c.head_dim;
  if (!config_key_int(k, NULL, "expert_count", 0, 0, &experts) ||
      !config_key_int(k, NULL, "attention.key_length_swa", 1, 1024, &s->c.head_dim))
    return false;
  const int64_t full_kv = config_key_of_layer(k, kv, first_full),
                shared_ffn = config_key_of_layer(k, ffn, last);
  s->vary.full_kv_heads = full_kv > 0 && full_kv <= s->c.n_heads ? (int)full_kv : s->c.n_kv_heads;
  s->vary.shared_ffn = shared_ffn > 0 && shared_ffn <= 1 << 20 ? (int)shared_ffn : s->c.d_ffn;
  snprintf(v, sizeof v, "blk.%d.attn_v.weight", first_full);
  s->vary.v_is_k = !pn_tensors_find(&k->gguf->tensors, pn_str_of(v));
  for (int i = 0; i <= last; i++)
    if (!check_list(k, kv, i, attends_to_all(s, i) ? s->vary.full_kv_heads : s->c.n_kv_heads) ||
        !check_list(k, ffn, i, shares(s, i) ? s->vary.shared_ffn : s->c.d_ffn))
      return false;
  return true;
}

// The rotation of one kind of layer in a folder. Where it is proportional, as many pairs rotate as the share
// says, at the frequencies that a rotation of the whole head would give them.
static bool read_json_rope(const config_keys *k, const char *kind, double theta, double share, int head_dim,
                           model_rope *r) {
  const pn_json *o = pn_json_get(pn_json_get(k->json, "rope_parameters"), kind);
  const pn_str type = pn_json_str(pn_json_get(o, "rope_type"));
  char part[64];
  const config_keys own = {.where = k->where, .json = o, .part = part, .e = k->e};
  double factor = 1;
  snprintf(part, sizeof part, "%srope_parameters.%s.", k->part, kind);
  *r = (model_rope){.order = PN_ROPE_HALF, .n_rot = head_dim, .theta = theta};
  const bool proportional = o ? pn_str_is(type, "proportional") : share < 1;
  if (type.n && !proportional && !pn_str_is(type, "default"))
    return pn_fail(k->e, PN_ERR_UNSUPPORTED, "%s: %srope_parameters.%s of type \"%.*s\" is not supported",
                   k->where, k->part, kind, (int)type.n, type.p);
  if (o) share = 1;
  if (o && (!config_key_positive(&own, "rope_theta", NULL, &r->theta) ||
            !config_key_positive(&own, "partial_rotary_factor", NULL, &share) ||
            !config_key_positive(&own, "factor", NULL, &factor)))
    return false;
  rope_plain(r, proportional ? factor : 1);
  for (int i = (int)(head_dim * share) / 2; proportional && i < head_dim / 2; i++) r->inv_freq[i] = 0;
  return true;
}

static bool read_ropes(model_spec *s, const config_keys *k) {
  s->n_ropes = 2;
  if (k->json)
    return read_json_rope(k, "full_attention", 1e6, 0.25, s->vary.full_head_dim, &s->ropes[0]) &&
           read_json_rope(k, "sliding_attention", 1e4, 1, s->c.head_dim, &s->ropes[1]);
  model_rope *r = &s->ropes[1];
  *r = (model_rope){.order = PN_ROPE_HALF, .n_rot = s->c.head_dim, .theta = 1e4};
  if (!config_key_int(k, NULL, "rope.dimension_count_swa", 2, s->c.head_dim, &r->n_rot) ||
      !config_key_positive(k, NULL, "rope.freq_base_swa", &r->theta))
    return false;
  rope_plain(r, 1);
  return true;
}

static bool configure(model_spec *s, const config_keys *k) {
  int window = 0;
  s->per_layer_vocab = s->c.n_vocab;
  if (!read_kinds(s, k) ||
      !config_key_int(k, "sliding_window", "attention.sliding_window", 1, 1 << 28, &window) ||
      !config_key_int(k, "num_kv_shared_layers", "attention.shared_kv_layers", 0, s->c.n_layers - 1,
                      &s->vary.n_shared) ||
      !config_key_int(k, "hidden_size_per_layer_input", "embedding_length_per_layer_input", 0, 65536,
                      &s->per_layer) ||
      !config_key_int(k, "vocab_size_per_layer_input", NULL, s->c.n_vocab, 1 << 24, &s->per_layer_vocab) ||
      !config_key_positive(k, "final_logit_softcapping", "final_logit_softcapping", &s->soft_cap) ||
      !(k->json ? read_json_sizes(s, k) : read_gguf_sizes(s, k)))
    return false;
  for (int i = s->c.n_layers - s->vary.n_shared; i < s->c.n_layers; i++)
    if (last_of_kind(s, i) < 0)
      return config_key_wrong(k, "num_kv_shared_layers", "attention.shared_kv_layers",
                              "an own layer of each kind before the shared ones", s->vary.n_shared);
  return read_ropes(s, k);
}

static const char *const json_types[] = {"gemma4_text", "gemma4", NULL};
static const char *const gguf_archs[] = {"gemma4", NULL};

const model_arch model_arch_gemma4 = {
    .family = "gemma4",
    .json_types = json_types,
    .gguf_archs = gguf_archs,
    .gguf_rope_order = PN_ROPE_HALF,
    .qk_norm = true,
    .gelu = true,
    .norm_behind = true,
    .embed = EMBED_ROOT,
    .own_ropes = true,
    .lists = true,
    .defaults = {.n_heads = 8,
                 .n_kv_heads = 1,
                 .head_dim = 256,
                 .n_vocab = 262144,
                 .max_positions = 131072,
                 .norm_eps = 1e-6},
    .configure = configure,
    .layer = layer,
    .names =
        {MODEL_NAMES_BUT_FFN_NORM, [ROLE_Q_NORM] = {"model.layers.%d.self_attn.q_norm", "blk.%d.attn_q_norm"},
         [ROLE_K_NORM] = {"model.layers.%d.self_attn.k_norm", "blk.%d.attn_k_norm"},
         [ROLE_ATTN_POST_NORM] = {"model.layers.%d.post_attention_layernorm", "blk.%d.post_attention_norm"},
         [ROLE_FFN_NORM] = {"model.layers.%d.pre_feedforward_layernorm", "blk.%d.ffn_norm"},
         [ROLE_FFN_POST_NORM] = {"model.layers.%d.post_feedforward_layernorm", "blk.%d.post_ffw_norm"},
         [ROLE_PER_LAYER_EMBED] = {"model.embed_tokens_per_layer", "per_layer_token_embd"},
         [ROLE_PER_LAYER_IN] = {"model.per_layer_model_projection", "per_layer_model_proj"},
         [ROLE_PER_LAYER_IN_NORM] = {"model.per_layer_projection_norm", "per_layer_proj_norm"},
         [ROLE_PER_LAYER_GATE] = {"model.layers.%d.per_layer_input_gate", "blk.%d.inp_gate"},
         [ROLE_PER_LAYER_OUT] = {"model.layers.%d.per_layer_projection", "blk.%d.proj"},
         [ROLE_PER_LAYER_NORM] = {"model.layers.%d.post_per_layer_input_norm", "blk.%d.post_norm"},
         [ROLE_OUT_SCALE] = {"model.layers.%d.layer_scalar", "blk.%d.layer_output_scale.weight"}},
};
