// The metadata keys of a GGUF file: "<architecture>.block_count" and so on.
#include "model/config_keys.h"

#include <stdio.h>
#include <string.h>

typedef struct reader {
  const pn_gguf *g;
  const char *path;
  char arch[32];
  bool lists; // of a list for all layers the first layer's is taken
  pn_error *e;
} reader;

static const pn_gguf_value *get(const reader *r, const char *suffix) {
  char key[96];
  snprintf(key, sizeof key, "%s.%s", r->arch, suffix);
  return pn_gguf_get(r->g, key);
}

static bool get_int(const reader *r, const char *suffix, bool required, int *out) {
  const pn_gguf_value *v = get(r, suffix);
  if (!v && !required) return true;
  if (!v) return pn_fail(r->e, PN_ERR_CORRUPT, "%s: key %s.%s is missing", r->path, r->arch, suffix);
  if (v->is_array && !r->lists)
    return pn_fail(r->e, PN_ERR_UNSUPPORTED, "%s: %s.%s: a value for each layer is not supported", r->path,
                   r->arch, suffix);
  int64_t n;
  if (!pn_gguf_int(v, 0, &n) || n < 0 || n > INT32_MAX)
    return pn_fail(r->e, PN_ERR_CORRUPT, "%s: %s.%s: expected an integer from 0 to %d", r->path, r->arch,
                   suffix, INT32_MAX);
  *out = (int)n;
  return true;
}

static bool get_num(const reader *r, const char *suffix, double *out) {
  const pn_gguf_value *v = get(r, suffix);
  if (!v) return true;
  if (!pn_gguf_num(v, 0, out))
    return pn_fail(r->e, PN_ERR_CORRUPT, "%s: %s.%s: expected a number", r->path, r->arch, suffix);
  return true;
}

// An F32 tensor of n values, or NULL when it isn't there.
static bool get_factors(const reader *r, const char *name, int n, const unsigned char **out) {
  const pn_tensor *t = pn_tensors_find(&r->g->tensors, pn_str_of(name));
  *out = NULL;
  if (!t) return true;
  if (t->dtype != PN_F32 || t->n_dims != 1 || t->shape[0] != (uint64_t)n)
    return pn_fail(r->e, PN_ERR_CORRUPT, "%s: tensor %s: expected F32 of %d values, found %s of %llu",
                   r->path, name, n, t->type_name, (unsigned long long)t->shape[0]);
  *out = t->data;
  return true;
}

static double factor_at(const unsigned char *p, int i) {
  float f;
  memcpy(&f, p + 4 * i, 4);
  return (double)f;
}

static bool read_frequencies(const reader *r, const model_spec *s, model_rope *rope) {
  pn_str type = {0};
  const pn_gguf_value *v = get(r, "rope.scaling.type");
  if (v) type = pn_gguf_str(v, 0);
  double factor = 1, attention = 0, original = 4096;
  if (!get_num(r, "rope.scaling.factor", &factor) || !get_num(r, "rope.scaling.attn_factor", &attention) ||
      !get_num(r, "rope.scaling.original_context_length", &original))
    return false;
  int half = rope->n_rot / 2;
  const unsigned char *longs, *freqs;
  if (!get_factors(r, "rope_factors_long.weight", half, &longs) ||
      !get_factors(r, "rope_freqs.weight", half, &freqs))
    return false;
  if (longs) {
    if (!s->arch->long_rope)
      return pn_fail(r->e, PN_ERR_UNSUPPORTED, "%s: LongRoPE factors are not supported for %s", r->path,
                     s->arch->family);
    if (original < 2)
      return pn_fail(r->e, PN_ERR_CORRUPT, "%s: rope.scaling.original_context_length: expected 2 or more",
                     r->path);
    double factors[MODEL_MAX_ROT / 2];
    for (int i = 0; i < half; i++) factors[i] = factor_at(longs, i);
    rope_long(rope, factors, s->c.max_positions, original, attention);
    return true;
  }
  if (type.n == 0 || pn_str_is(type, "none"))
    rope_plain(rope, 1);
  else if (pn_str_is(type, "linear") && factor > 0)
    rope_plain(rope, factor);
  else
    return pn_fail(r->e, PN_ERR_UNSUPPORTED, "%s: rope.scaling.type \"%.*s\" is not supported for %s",
                   r->path, (int)type.n, type.p, s->arch->family);
  for (int i = 0; freqs && i < half; i++)
    rope->inv_freq[i] = (float)((double)rope->inv_freq[i] / factor_at(freqs, i));
  return true;
}

// The first rotation.
static bool read_rope(const reader *r, model_spec *s) {
  model_rope *rope = &s->ropes[0];
  *rope = (model_rope){.order = s->arch->gguf_rope_order, .n_rot = s->c.head_dim, .theta = 10000};
  s->n_ropes = 1;
  if (!get_int(r, "rope.dimension_count", false, &rope->n_rot) || !get_num(r, "rope.freq_base", &rope->theta))
    return false;
  if (rope->n_rot >= 2 && rope->n_rot <= MODEL_MAX_ROT) return read_frequencies(r, s, rope);
  return pn_fail(r->e, PN_ERR_CORRUPT, "%s: rope.dimension_count: expected 2 to %d, found %d", r->path,
                 MODEL_MAX_ROT, rope->n_rot);
}

// The type that most matrices have: what people call the file's quantisation.
static void describe_quantization(const reader *r, model_spec *s) {
  size_t count[PN_OTHER + 1] = {0};
  for (size_t i = 0; i < r->g->tensors.n; i++)
    if (r->g->tensors.items[i].n_dims >= 2) count[r->g->tensors.items[i].dtype]++;
  int most = 0;
  for (int t = 1; t <= PN_OTHER; t++)
    if (count[t] > count[most]) most = t;
  snprintf(s->c.quantization, sizeof s->c.quantization, "%s", pn_dtype_name((pn_dtype)most));
}

static bool read_sizes(const reader *r, model_spec *s) {
  pn_model_config *c = &s->c;
  if (!get_int(r, "block_count", true, &c->n_layers) || !get_int(r, "embedding_length", true, &c->d_model) ||
      !get_int(r, "feed_forward_length", !s->arch->experts, &c->d_ffn) ||
      !get_int(r, "attention.head_count", true, &c->n_heads) ||
      !get_int(r, "context_length", true, &c->max_positions))
    return false;
  if (c->n_heads < 1 || c->max_positions < 1)
    return pn_fail(r->e, PN_ERR_CORRUPT, "%s: attention.head_count and context_length must be 1 or more",
                   r->path);
  c->n_kv_heads = c->n_heads;
  c->head_dim = c->d_model / c->n_heads;
  if (!get_int(r, "attention.head_count_kv", false, &c->n_kv_heads) ||
      !get_int(r, "attention.key_length", false, &c->head_dim))
    return false;
  int value_dim = c->head_dim;
  if (!get_int(r, "attention.value_length", false, &value_dim)) return false;
  if (value_dim != c->head_dim)
    return pn_fail(r->e, PN_ERR_UNSUPPORTED, "%s: keys of %d and values of %d a head are not supported",
                   r->path, c->head_dim, value_dim);
  double eps = 1e-5;
  if (!get_int(r, "attention.sliding_window", false, &c->window) ||
      !get_num(r, "attention.layer_norm_rms_epsilon", &eps))
    return false;
  if (c->window >= c->max_positions) c->window = 0;
  c->norm_eps = (float)eps;
  return true;
}

// A required integer of a range.
static bool get_within(const reader *r, const char *suffix, int lowest, int highest, int *out) {
  if (!get_int(r, suffix, true, out)) return false;
  if (*out >= lowest && *out <= highest) return true;
  return pn_fail(r->e, PN_ERR_CORRUPT, "%s: %s.%s: expected %d to %d, found %d", r->path, r->arch, suffix,
                 lowest, highest, *out);
}

// All layers have experts in files of these families, and weights that sum up to 1.
static bool read_experts(const reader *r, model_spec *s) {
  pn_model_config *c = &s->c;
  double scale = 1;
  if (!s->arch->experts) return true;
  if (!get_within(r, "expert_count", 1, PN_MAX_EXPERTS, &c->n_experts) ||
      !get_within(r, "expert_used_count", 1, c->n_experts, &c->n_experts_used) ||
      !get_within(r, "expert_feed_forward_length", 1, MODEL_MAX_FFN, &c->d_expert) ||
      !get_num(r, "expert_weights_scale", &scale))
    return false;
  s->route = (pn_route){PN_GATE_SOFTMAX, true, scale != 0 ? (float)scale : 1};
  return true;
}

// The vocabulary's size as the embedding has it; the key and the tokenizer's list can only confirm it.
static bool read_vocab(const reader *r, model_spec *s) {
  const pn_tensor *t = pn_tensors_find(&r->g->tensors, PN_STR("token_embd.weight"));
  if (!t || t->n_dims != 2 || t->shape[0] > INT32_MAX)
    return pn_fail(r->e, PN_ERR_CORRUPT, "%s: tensor token_embd.weight: expected a matrix, found %s", r->path,
                   t ? "another shape" : "none");
  s->c.n_vocab = (int)t->shape[0];
  s->c.tied_head = !pn_tensors_find(&r->g->tensors, PN_STR("output.weight"));
  return true;
}

// Files that are no model themselves, by general.type (or the architecture of parts that see and hear).
static bool refuse_part(const reader *r, pn_str arch) {
  const pn_gguf_value *v = pn_gguf_get(r->g, "general.type");
  const pn_str type = v ? pn_gguf_str(v, 0) : (pn_str){0};
  const char *what = pn_str_is(type, "adapter") ? "an adapter (LoRA)"
                     : pn_str_is(type, "mmproj") || pn_str_is(arch, "clip")
                         ? "the part of a model that sees or hears"
                     : pn_str_is(type, "vocab") ? "a vocabulary without weights"
                                                : NULL;
  return !what || pn_fail(r->e, PN_ERR_UNSUPPORTED,
                          "%s: this is %s, no model; give the file of the model itself", r->path, what);
}

bool config_read_gguf(const pn_gguf *g, const char *path, model_spec *s, pn_error *e) {
  reader r = {.g = g, .path = path, .e = e};
  const pn_gguf_value *v = pn_gguf_get(g, "general.architecture");
  pn_str name = v ? pn_gguf_str(v, 0) : (pn_str){0};
  if (!refuse_part(&r, name)) return false;
  s->arch = registry_by_gguf_arch(name);
  char known[REGISTRY_TEXT];
  if (!s->arch)
    return pn_fail(e, PN_ERR_UNSUPPORTED, "%s: general.architecture: expected one of %s, found \"%.*s\"",
                   path, registry_known(true, known), (int)(name.n < 64 ? name.n : 64), name.n ? name.p : "");
  snprintf(r.arch, sizeof r.arch, "%.*s", (int)name.n, name.p);
  snprintf(s->c.family, sizeof s->c.family, "%s", r.arch);
  r.lists = s->arch->lists;
  describe_quantization(&r, s);
  const config_keys keys = {.where = path, .gguf = g, .arch = r.arch, .e = e};
  return read_sizes(&r, s) && read_experts(&r, s) && read_vocab(&r, s) && read_rope(&r, s) &&
         (!s->arch->configure || s->arch->configure(s, &keys)) && config_check(s, path, e);
}
