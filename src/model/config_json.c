// config.json of a model folder.
#include "model/config_keys.h"

#include <stdio.h>
#include <string.h>

static const char where[] = "config.json";

// An integer member. `required` false leaves *out alone when it is missing or null.
static bool get_int(const pn_json *o, const char *key, bool required, int *out, pn_error *e) {
  const pn_json *v = pn_json_get(o, key);
  pn_json_type t = pn_json_type_of(v);
  if (!required && (t == PN_JSON_MISSING || t == PN_JSON_NULL)) return true;
  if (t == PN_JSON_MISSING) return pn_fail(e, PN_ERR_CORRUPT, "%s: key \"%s\" is missing", where, key);
  if (t != PN_JSON_INT)
    return pn_fail(e, PN_ERR_CORRUPT, "%s: %s: expected an integer, found %s", where, key,
                   pn_json_type_name(t));
  int64_t n = pn_json_int(v);
  if (n < 0 || n > INT32_MAX)
    return pn_fail(e, PN_ERR_CORRUPT, "%s: %s: expected 0 to %d, found %lld", where, key, INT32_MAX,
                   (long long)n);
  *out = (int)n;
  return true;
}

static bool get_num(const pn_json *o, const char *key, bool required, double *out, pn_error *e) {
  const pn_json *v = pn_json_get(o, key);
  pn_json_type t = pn_json_type_of(v);
  if (!required && (t == PN_JSON_MISSING || t == PN_JSON_NULL)) return true;
  if (!pn_json_is_number(v))
    return pn_fail(e, PN_ERR_CORRUPT, "%s: %s: expected a number, found %s", where, key,
                   pn_json_type_name(t));
  *out = pn_json_num(v);
  return true;
}

static bool long_factors(model_rope *r, const pn_json *scaling, int max_positions, double original,
                         pn_error *e) {
  const pn_json *list = pn_json_get(scaling, "long_factor");
  size_t want = (size_t)r->n_rot / 2;
  if (!pn_json_is(list, PN_JSON_ARRAY) || pn_json_len(list) != want)
    return pn_fail(e, PN_ERR_CORRUPT,
                   "%s: rope_scaling.long_factor: expected an array of %zu numbers, found %s of %zu", where,
                   want, pn_json_type_name(pn_json_type_of(list)), pn_json_len(list));
  double factors[MODEL_MAX_ROT / 2];
  for (size_t i = 0; i < want; i++) {
    const pn_json *v = pn_json_at(list, i);
    factors[i] = pn_json_num(v);
    if (!pn_json_is_number(v) || factors[i] <= 0)
      return pn_fail(e, PN_ERR_CORRUPT,
                     "%s: rope_scaling.long_factor[%zu]: expected a number over 0, found %g", where, i,
                     factors[i]);
  }
  if (original < 2)
    return pn_fail(e, PN_ERR_CORRUPT, "%s: original_max_position_embeddings: expected 2 or more, found %g",
                   where, original);
  rope_long(r, factors, max_positions, original, 0);
  return true;
}

// The frequencies of the first rotation, whose other numbers are known, from rope_scaling or rope_parameters,
// of the types that the family knows.
static bool read_frequencies(model_spec *s, const pn_json *cfg, const pn_json *o, pn_error *e) {
  model_rope *r = &s->ropes[0];
  const pn_json *type_value = pn_json_get(o, "rope_type");
  if (!type_value) type_value = pn_json_get(o, "type");
  pn_str type = pn_json_str(type_value);
  double factor = 1, original = 0;
  if (!get_num(o, "factor", false, &factor, e)) return false;
  if (!get_num(cfg, "original_max_position_embeddings", false, &original, e)) return false;
  if (original == 0 && !get_num(o, "original_max_position_embeddings", false, &original, e)) return false;
  if (factor <= 0)
    return pn_fail(e, PN_ERR_CORRUPT, "%s: rope_scaling.factor: expected over 0, found %g", where, factor);

  if (type.n == 0 || pn_str_is(type, "default")) return rope_plain(r, 1), true;
  if (pn_str_is(type, "linear")) return rope_plain(r, factor), true;
  if (pn_str_is(type, "llama3")) {
    double low = 1, high = 4;
    if (!get_num(o, "low_freq_factor", false, &low, e) || !get_num(o, "high_freq_factor", false, &high, e))
      return false;
    if (original == 0) original = 8192;
    if (!(low > 0 && high > low && original > 0))
      return pn_fail(e, PN_ERR_CORRUPT,
                     "%s: rope_scaling: expected 0 < low_freq_factor < high_freq_factor, found %g, %g", where,
                     low, high);
    rope_llama3(r, factor, low, high, original);
    return true;
  }
  if (s->arch->long_rope && (pn_str_is(type, "longrope") || pn_str_is(type, "su")))
    return long_factors(r, o, s->c.max_positions, original != 0 ? original : 4096, e);
  return pn_fail(e, PN_ERR_UNSUPPORTED, "%s: rope_scaling of type \"%.*s\" is not supported for %s", where,
                 (int)type.n, type.p, s->arch->family);
}

static double either(double given, double other) { return given > 0 ? given : other; }

// The first rotation. Its object is rope_scaling (older files) or rope_parameters (newer), or the latter's
// part for full attention, where kinds of layers rotate differently.
static bool read_rope(model_spec *s, const pn_json *cfg, pn_error *e) {
  model_rope *r = &s->ropes[0];
  const pn_json *newer = pn_json_get(cfg, "rope_parameters"), *full = pn_json_get(newer, "full_attention"),
                *o = pn_json_get(cfg, "rope_scaling");
  if (pn_json_is(full, PN_JSON_OBJECT)) newer = full;
  if (!pn_json_is(o, PN_JSON_OBJECT)) o = newer;
  double partial = either(s->arch->defaults.partial_rotary, 1);
  r->theta = either(s->arch->defaults.rope_theta, 10000);
  if (!get_num(newer, "rope_theta", false, &r->theta, e) ||
      !get_num(cfg, "rope_theta", false, &r->theta, e) ||
      !get_num(newer, "partial_rotary_factor", false, &partial, e) ||
      !get_num(cfg, "partial_rotary_factor", false, &partial, e))
    return false;
  if (!(partial > 0 && partial <= 1))
    return pn_fail(e, PN_ERR_CORRUPT, "%s: partial_rotary_factor: expected over 0 to 1, found %g", where,
                   partial);
  r->n_rot = (int)(s->c.head_dim * partial);
  if (r->n_rot < 2 || r->n_rot > MODEL_MAX_ROT)
    return pn_fail(e, PN_ERR_CORRUPT, "%s: rotary dimensions: expected 2 to %d, found %d", where,
                   MODEL_MAX_ROT, r->n_rot);
  r->order = pn_json_true(pn_json_get(cfg, "rope_traditional")) ? PN_ROPE_INTERLEAVED : PN_ROPE_HALF;
  s->n_ropes = 1;
  return read_frequencies(s, cfg, o, e);
}

static bool check_activation(const model_arch *a, const pn_json *cfg, pn_error *e) {
  static const char *const keys[] = {"hidden_act", "hidden_activation"};
  for (int i = 0; i < 2; i++) {
    const pn_str act = pn_json_str(pn_json_get(cfg, keys[i]));
    const bool known =
        a->gelu ? pn_str_is(act, "gelu_pytorch_tanh") : pn_str_is(act, "silu") || pn_str_is(act, "swish");
    if (act.n && !known)
      return pn_fail(e, PN_ERR_UNSUPPORTED, "%s: %s: expected \"%s\", found \"%.*s\"", where, keys[i],
                     a->gelu ? "gelu_pytorch_tanh" : "silu", (int)act.n, act.p);
  }
  return true;
}

// What we would compute wrongly if we ignored it.
static bool refuse_unknown(const model_arch *a, const pn_json *cfg, pn_error *e) {
  static const char *const biases[] = {"attention_bias", "mlp_bias", "qkv_bias"};
  for (size_t i = 0; i < sizeof biases / sizeof biases[0]; i++)
    if (pn_json_true(pn_json_get(cfg, biases[i])))
      return pn_fail(e, PN_ERR_UNSUPPORTED, "%s: %s: models with biases are not supported", where, biases[i]);
  if (!check_activation(a, cfg, e)) return false;
  return true;
}

// Qwen's configurations name a window that is not used, or only from some layer on.
static bool read_window_use(model_spec *s, const pn_json *cfg, pn_error *e) {
  const pn_json *use = pn_json_get(cfg, "use_sliding_window");
  if (!pn_json_is(use, PN_JSON_BOOL)) return true;
  if (!pn_json_true(use)) s->c.window = 0;
  return get_int(cfg, "max_window_layers", false, &s->window_from, e);
}

// A required integer of a range.
static bool get_within(const pn_json *o, const char *key, int lowest, int highest, int *out, pn_error *e) {
  if (!get_int(o, key, true, out, e)) return false;
  if (*out >= lowest && *out <= highest) return true;
  return pn_fail(e, PN_ERR_CORRUPT, "%s: %s: expected %d to %d, found %d", where, key, lowest, highest, *out);
}

// Which layers have no experts: those of mlp_only_layers, and all whose number is no multiple of
// decoder_sparse_step, counted from 1.
static bool read_dense_layers(model_spec *s, const pn_json *cfg, pn_error *e) {
  const pn_json *list = pn_json_get(cfg, "mlp_only_layers");
  const bool none = !list || pn_json_is(list, PN_JSON_NULL);
  int step = 1;
  if (!get_int(cfg, "decoder_sparse_step", false, &step, e)) return false;
  if (step < 1)
    return pn_fail(e, PN_ERR_CORRUPT, "%s: decoder_sparse_step: expected 1 or more, found 0", where);
  for (int i = 0; i < MODEL_MAX_LAYERS; i++) s->dense[i] = (i + 1) % step != 0;
  if (!none && !pn_json_is(list, PN_JSON_ARRAY))
    return pn_fail(e, PN_ERR_CORRUPT, "%s: mlp_only_layers: expected an array, found %s", where,
                   pn_json_type_name(pn_json_type_of(list)));
  for (size_t k = 0; k < pn_json_len(list); k++) {
    const pn_json *v = pn_json_at(list, k);
    const int64_t i = pn_json_int(v);
    if (!pn_json_is(v, PN_JSON_INT) || i < 0 || i >= s->c.n_layers || i >= MODEL_MAX_LAYERS)
      return pn_fail(e, PN_ERR_CORRUPT, "%s: mlp_only_layers[%zu]: expected a layer of 0 to %d, found %lld",
                     where, k, s->c.n_layers - 1, (long long)i);
    s->dense[i] = true;
  }
  for (int i = 0; i < s->c.n_layers && i < MODEL_MAX_LAYERS; i++)
    if (s->dense[i]) return get_int(cfg, "intermediate_size", true, &s->c.d_ffn, e);
  return true;
}

static bool read_experts(model_spec *s, const pn_json *cfg, pn_error *e) {
  const pn_json *normalise = pn_json_get(cfg, "norm_topk_prob");
  pn_model_config *c = &s->c;
  if (!s->arch->experts) return true;
  if (!get_within(cfg, "num_experts", 1, PN_MAX_EXPERTS, &c->n_experts, e) ||
      !get_within(cfg, "num_experts_per_tok", 1, c->n_experts, &c->n_experts_used, e) ||
      !get_within(cfg, "moe_intermediate_size", 1, MODEL_MAX_FFN, &c->d_expert, e))
    return false;
  if (normalise && !pn_json_is(normalise, PN_JSON_BOOL))
    return pn_fail(e, PN_ERR_CORRUPT, "%s: norm_topk_prob: expected true or false, found %s", where,
                   pn_json_type_name(pn_json_type_of(normalise)));
  s->route = (pn_route){PN_GATE_SOFTMAX, pn_json_true(normalise), 1};
  return read_dense_layers(s, cfg, e);
}

static void describe_quantization(model_spec *s, const pn_json *all, const pn_json *cfg) {
  const pn_json *q = pn_json_get(all, "quantization");
  int bits = (int)pn_json_int(pn_json_get(q, "bits")), group = (int)pn_json_int(pn_json_get(q, "group_size"));
  pn_str mode = pn_json_str(pn_json_get(q, "mode"));
  pn_str dtype = {0};
  static const char *const keys[] = {"torch_dtype", "dtype"};
  for (int i = 0; i < 4 && !dtype.n; i++) dtype = pn_json_str(pn_json_get(i < 2 ? cfg : all, keys[i % 2]));
  if (bits && mode.n && mode.n < 16 && !pn_str_is(mode, "affine"))
    snprintf(s->c.quantization, sizeof s->c.quantization, "MLX %.*s", (int)mode.n, mode.p);
  else if (bits)
    snprintf(s->c.quantization, sizeof s->c.quantization, "MLX %d bit, group %d", bits, group);
  else if (dtype.n && dtype.n < 32)
    snprintf(s->c.quantization, sizeof s->c.quantization, "%.*s", (int)dtype.n, dtype.p);
  else
    snprintf(s->c.quantization, sizeof s->c.quantization, "not quantised");
}

// Sizes whose absence a family may allow. Those that stay 0 are required.
static bool read_heads(model_spec *s, const pn_json *all, const pn_json *cfg, pn_error *e) {
  pn_model_config *c = &s->c;
  c->n_heads = s->arch->defaults.n_heads;
  c->n_vocab = s->arch->defaults.n_vocab;
  if (!get_int(all, "vocab_size", false, &c->n_vocab, e) ||
      !get_int(cfg, "vocab_size", c->n_vocab == 0, &c->n_vocab, e) ||
      !get_int(cfg, "num_attention_heads", c->n_heads == 0, &c->n_heads, e))
    return false;
  if (c->n_heads < 1 || c->d_model < 1)
    return pn_fail(e, PN_ERR_CORRUPT, "%s: %s: expected 1 or more, found 0", where,
                   c->n_heads < 1 ? "num_attention_heads" : "hidden_size");
  c->n_kv_heads = s->arch->defaults.n_kv_heads ? s->arch->defaults.n_kv_heads : c->n_heads;
  c->head_dim = s->arch->defaults.head_dim ? s->arch->defaults.head_dim : c->d_model / c->n_heads;
  return get_int(cfg, "num_key_value_heads", false, &c->n_kv_heads, e) &&
         get_int(cfg, "head_dim", false, &c->head_dim, e);
}

static bool read_sizes(model_spec *s, const pn_json *all, const pn_json *cfg, pn_error *e) {
  pn_model_config *c = &s->c;
  double eps = either(s->arch->defaults.norm_eps, 1e-5);
  c->max_positions = s->arch->defaults.max_positions ? s->arch->defaults.max_positions : 2048;
  if (!get_int(cfg, "num_hidden_layers", true, &c->n_layers, e) ||
      !get_int(cfg, "hidden_size", true, &c->d_model, e) ||
      !get_int(cfg, "intermediate_size", !s->arch->experts, &c->d_ffn, e) || !read_heads(s, all, cfg, e) ||
      !get_num(cfg, "rms_norm_eps", false, &eps, e) ||
      !get_int(cfg, "max_position_embeddings", false, &c->max_positions, e) ||
      !get_int(cfg, "sliding_window", false, &c->window, e) || !read_window_use(s, cfg, e))
    return false;
  c->norm_eps = (float)eps;
  if (c->max_positions < 1)
    return pn_fail(e, PN_ERR_CORRUPT, "%s: max_position_embeddings: expected 1 or more, found 0", where);
  if (c->window >= c->max_positions) c->window = 0;
  return true;
}

// Whether the head is the embedding: as the text model's part says, or all of it, or as there is no other.
static bool head_is_tied(pn_files *files, const pn_json *all, const pn_json *cfg) {
  const pn_json *tied = pn_json_get(cfg, "tie_word_embeddings");
  if (!pn_json_is(tied, PN_JSON_BOOL)) tied = pn_json_get(all, "tie_word_embeddings");
  if (pn_json_is(tied, PN_JSON_BOOL)) return pn_json_true(tied);
  const pn_tensors *t = pn_files_tensors(files);
  return !pn_tensors_find(t, PN_STR("lm_head.weight")) &&
         !pn_tensors_find(t, PN_STR("language_model.lm_head.weight"));
}

// The family of a model, or of its part that reads and writes text (cfg), which may have a name of its own.
static bool read_family(model_spec *s, const pn_json *all, const pn_json *cfg, pn_error *e) {
  pn_str type = pn_json_str(pn_json_get(cfg, "model_type"));
  s->arch = registry_by_json_type(type);
  if (!s->arch) {
    type = pn_json_str(pn_json_get(all, "model_type"));
    s->arch = registry_by_json_type(type);
  }
  char known[REGISTRY_TEXT];
  if (!s->arch)
    return pn_fail(e, PN_ERR_UNSUPPORTED, "%s: model_type: expected one of %s, found \"%.*s\"", where,
                   registry_known(false, known), (int)type.n, type.n ? type.p : "");
  snprintf(s->c.family, sizeof s->c.family, "%.*s", (int)type.n, type.p);
  return true;
}

// Weights that other programs quantised. MLX writes no method.
static bool refuse_method(const pn_json *all, pn_error *e) {
  const pn_str method = pn_json_str(pn_json_get(pn_json_get(all, "quantization_config"), "quant_method"));
  if (!method.n || pn_json_get(all, "quantization")) return true;
  return pn_fail(e, PN_ERR_UNSUPPORTED,
                 "%s: quantization_config.quant_method: \"%.*s\" is not supported; take a GGUF file of this "
                 "model (Q4_K_M, say), an MLX folder, or the folder that was not quantised",
                 where, (int)(method.n < 64 ? method.n : 64), method.p);
}

bool config_read_json(pn_files *files, model_spec *s, pn_error *e) {
  const pn_json *all, *cfg;
  if (!pn_files_json(files, where, &all, e)) return false;
  if (!pn_json_is(all, PN_JSON_OBJECT))
    return pn_fail(e, PN_ERR_CORRUPT, "%s: expected an object, found %s", where,
                   pn_json_type_name(pn_json_type_of(all)));
  cfg = pn_json_get(all, "text_config"); // of a model that sees or hears too
  if (!pn_json_is(cfg, PN_JSON_OBJECT)) cfg = all;
  if (!read_family(s, all, cfg, e) || !refuse_method(all, e)) return false;
  s->c.tied_head = head_is_tied(files, all, cfg);
  describe_quantization(s, all, cfg);
  const config_keys keys = {.where = where, .json = cfg, .part = cfg == all ? "" : "text_config.", .e = e};
  return read_sizes(s, all, cfg, e) && refuse_unknown(s->arch, cfg, e) && read_experts(s, cfg, e) &&
         (s->arch->own_ropes || read_rope(s, cfg, e)) &&
         (!s->arch->configure || s->arch->configure(s, &keys)) && config_check(s, where, e);
}
