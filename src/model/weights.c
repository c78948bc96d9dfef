// The tensors of a model: found by the family's names, checked in shape and type, taken into use on the
// backend.
#include "model/weights_matrix.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALONE, INSIDE, WRAPPED };

// What the family calls a role in such files; NULL: it has none.
static const char *name_of(const weights_loader *l, model_role role) {
  const model_arch *a = l->m->spec.arch;
  return l->gguf ? a->names[role].gguf : a->names[role].mlx;
}

// A folder's names may be those of the family ("model.norm", "lm_head"), or of a part of a larger model:
// "language_model.model.norm", "language_model.lm_head"; or "model.language_model.norm", "lm_head".
static void path_of(const weights_loader *l, model_role role, int layer, char out[160]) {
  static const char *const before[] = {
      [ALONE] = "", [INSIDE] = "model.language_model.", [WRAPPED] = "language_model."};
  const char *name = name_of(l, role), *first = before[l->names];
  const bool in_model = strncmp(name, "model.", 6) == 0;
  if (l->names == INSIDE) first = in_model ? first : "", name += in_model ? 6 : 0;
  const char *at = strstr(name, "%d");
  if (at)
    snprintf(out, 160, "%s%.*s%d%s", first, (int)(at - name), name, layer, at + 2);
  else
    snprintf(out, 160, "%s%s", first, name);
}

const pn_tensor *weights_find(const weights_loader *l, const char *path, const char *suffix) {
  char name[192];
  int n = snprintf(name, sizeof name, "%s%s%s", path, *suffix ? "." : "", suffix);
  return pn_tensors_find(l->tensors, (pn_str){name, (size_t)n});
}

static void find_names(weights_loader *l) {
  char path[160];
  for (int i = ALONE; !l->gguf && i <= WRAPPED; i++) {
    l->names = i;
    path_of(l, ROLE_EMBED, 0, path);
    if (weights_find(l, path, "weight")) return;
  }
  l->names = ALONE;
}

const char *weights_shape_text(const pn_tensor *t, char out[96]) {
  int n = 0;
  out[0] = '\0';
  for (int i = 0; i < t->n_dims; i++)
    n += snprintf(out + n, 96 - (size_t)n, "%s%llu", i ? ", " : "", (unsigned long long)t->shape[i]);
  return out;
}

// Folders of Qwen 3.5 as they were published keep norms less one and convolutions as [channels, 1, taps];
// those that were converted have neither.
static bool norms_are_less_one(const weights_loader *l) {
  const model_arch *a = l->m->spec.arch;
  if (l->gguf || a->norms != NORMS_LESS_ONE_RAW) return !l->gguf && a->norms == NORMS_LESS_ONE;
  for (int i = 0; i < l->m->spec.c.n_layers; i++) {
    char path[160];
    path_of(l, ROLE_CONV, i, path);
    const pn_tensor *t = weights_find(l, path, "weight");
    if (t) return t->n_dims == 3 && t->shape[2] > 1;
  }
  return false;
}

// A tensor of one dimension, as `find` names it, into host[width].
static bool read_vector(const weights_loader *l, const char *path, const char *suffix, int64_t width,
                        float *host) {
  const pn_tensor *t = weights_find(l, path, suffix);
  const char *dot = *suffix ? "." : "";
  if (!t) return pn_fail(l->e, PN_ERR_CORRUPT, "tensor %s%s%s is missing", path, dot, suffix);
  bool plain = t->dtype == PN_F32 || t->dtype == PN_F16 || t->dtype == PN_BF16;
  char found[96];
  if (!plain || t->n_dims != 1 || t->shape[0] != (uint64_t)width)
    return pn_fail(l->e, PN_ERR_CORRUPT, "tensor %s%s%s: expected F32, F16 or BF16 [%lld], found %s [%s]",
                   path, dot, suffix, (long long)width, t->type_name, weights_shape_text(t, found));
  pn_floats_to_f32(t->dtype, t->data, host, (size_t)width);
  return true;
}

// The vectors of n roles one after another, as one; the caller frees it.
static float *read_vectors(const weights_loader *l, const model_role *roles, const int64_t *widths, int n,
                           const char *suffix, int layer) {
  int64_t all = 0, at = 0;
  for (int i = 0; i < n; i++) all += widths[i];
  float *host = malloc((size_t)all * sizeof *host);
  if (!host) return pn_fail(l->e, PN_ERR_NOMEM, "out of memory for a vector of %lld", (long long)all), NULL;
  for (int i = 0; i < n; at += widths[i++]) {
    char path[160];
    path_of(l, roles[i], layer, path);
    if (!read_vector(l, path, suffix, widths[i], host + at)) return free(host), NULL;
  }
  return host;
}

// A weight of the n numbers, which are freed; NULL: nothing.
static pn_weight *open_vector(const weights_loader *l, float *host, int64_t n) {
  pn_weight *w = host ? l->m->b->ops->vector_open(l->m->b, host, n, l->e) : NULL;
  free(host);
  return w;
}

static pn_weight *load_norm(const weights_loader *l, model_role role, int layer, int64_t width) {
  float *host = read_vectors(l, &role, &width, 1, "weight", layer);
  for (int64_t i = 0; host && l->norms_less_one && role != ROLE_MIX_NORM && i < width; i++) host[i] += 1;
  return open_vector(l, host, width);
}

// Of a delta net's heads: rate | bias.
static pn_weight *load_decay(const weights_loader *l, int layer, int n_heads) {
  const model_role roles[] = {ROLE_DECAY_RATE, ROLE_DECAY_BIAS};
  const int64_t widths[] = {n_heads, n_heads};
  float *host = read_vectors(l, roles, widths, 2, "", layer);
  for (int h = 0; host && !l->gguf && h < n_heads; h++) host[h] = -expf(host[h]);
  return open_vector(l, host, 2 * n_heads);
}

static uint64_t matrix_bytes(const pn_matrix *m) {
  uint64_t n = (uint64_t)m->rows * m->row_bytes;
  if (m->scales)
    n += (uint64_t)(m->rows * (m->cols / m->group)) * (m->biases ? 2 : 1) *
         pn_dtype_block_bytes(m->scale_dtype);
  return n;
}

// Count what was opened as w. Of experts a row needs n_experts_used.
static void note_matrix(pn_model *m, const pn_weight *w, const pn_matrix *x, const weights_shape *s,
                        bool streamed, bool in_layer) {
  uint64_t bytes = matrix_bytes(x), n = (uint64_t)(x->rows * x->cols);
  m->size.parameters += n;
  if (s->experts) {
    n = n / (uint64_t)s->experts * (uint64_t)m->spec.c.n_experts_used;
    bytes = bytes / (uint64_t)s->experts * (uint64_t)m->spec.c.n_experts_used;
  }
  m->size.active += n;
  if (in_layer) m->size.active_in_layers += n;
  if (streamed) m->weight_bytes += bytes;
  m->matrices[m->n_matrices++] = (model_matrix){w, bytes};
}

static pn_weight *load_matrix(weights_loader *l, model_role role, int layer, weights_shape shape,
                              bool streamed, bool biased) {
  char path[160];
  path_of(l, role, layer, path);
  if (!weights_find(l, path, "weight"))
    return pn_fail(l->e, PN_ERR_CORRUPT, "tensor %s.weight is missing", path), NULL;
  if (!biased && weights_find(l, path, "bias"))
    return pn_fail(l->e, PN_ERR_UNSUPPORTED, "tensor %s.bias: biases are not supported", path), NULL;
  pn_matrix m;
  if (!weights_matrix(l, path, &shape, &m)) return NULL;
  pn_weight *w = l->m->b->ops->weight_open(l->m->b, &m, l->e);
  if (!w) return pn_fail_in(l->e, "tensor %s.weight", path), NULL;
  note_matrix(l->m, w, &m, &shape, streamed, role > ROLE_HEAD);
  return w;
}

// A convolution's taps, transposed: [taps][channels].
static pn_weight *load_conv(weights_loader *l, int i, const model_recipe *r) {
  char path[160], found[96];
  path_of(l, ROLE_CONV, i, path);
  const pn_tensor *t = weights_find(l, path, "weight");
  if (!t) return pn_fail(l->e, PN_ERR_CORRUPT, "tensor %s.weight is missing", path), NULL;
  const size_t taps = (size_t)r->conv_taps, width = (size_t)r->conv_width, n = taps * width;
  const bool fits = t->shape[0] == width && ((t->n_dims == 2 && t->shape[1] == taps) ||
                                             (t->n_dims == 3 && t->shape[1] == taps && t->shape[2] == 1) ||
                                             (t->n_dims == 3 && t->shape[1] == 1 && t->shape[2] == taps));
  const bool plain = t->dtype == PN_F32 || t->dtype == PN_F16 || t->dtype == PN_BF16;
  if (!fits || !plain)
    return pn_fail(l->e, PN_ERR_CORRUPT,
                   "tensor %s.weight: expected F32, F16 or BF16 [%zu, %zu], found %s [%s]", path, width, taps,
                   t->type_name, weights_shape_text(t, found)),
           NULL;
  float *rows = malloc(2 * n * sizeof *rows), *columns = rows + n;
  if (!rows) return pn_fail(l->e, PN_ERR_NOMEM, "out of memory for %s", path), NULL;
  pn_floats_to_f32(t->dtype, t->data, rows, n);
  for (size_t c = 0; c < width; c++)
    for (size_t k = 0; k < taps; k++) columns[k * width + c] = rows[c * taps + k];
  pn_weight *w = l->m->b->ops->vector_open(l->m->b, columns, (int64_t)n, l->e);
  free(rows);
  return w;
}

static pn_weight *load_ones(const weights_loader *l, int n) {
  float *host = malloc((size_t)n * sizeof *host);
  if (!host) return pn_fail(l->e, PN_ERR_NOMEM, "out of memory for a vector of %d", n), NULL;
  for (int i = 0; i < n; i++) host[i] = 1;
  return open_vector(l, host, n);
}

static bool load_out_scale(const weights_loader *l, model_layer *layer, int i) {
  char path[160];
  path_of(l, ROLE_OUT_SCALE, i, path);
  return read_vector(l, path, "", 1, &layer->out_scale);
}

// The vectors that each layer has of each token, and of the embedding. Their sum is halved in power: that
// goes into the norm's weights, and into the scale of the table.
static bool load_per_layer(weights_loader *l) {
  pn_model *m = l->m;
  const model_role norm = ROLE_PER_LAYER_IN_NORM;
  const int64_t one = m->spec.per_layer, all = one * m->spec.c.n_layers;
  m->per_layer_embed =
      load_matrix(l, ROLE_PER_LAYER_EMBED, 0, (weights_shape){m->spec.per_layer_vocab, all, 0}, false, false);
  if (!m->per_layer_embed) return false;
  m->per_layer_in =
      load_matrix(l, ROLE_PER_LAYER_IN, 0, (weights_shape){all, m->spec.c.d_model, 0}, true, false);
  float *host = m->per_layer_in ? read_vectors(l, &norm, &one, 1, "weight", 0) : NULL;
  for (int64_t i = 0; host && i < one; i++) host[i] *= (float)sqrt(0.5);
  m->per_layer_norm = open_vector(l, host, one);
  return m->per_layer_norm != NULL;
}

static bool load_bias(weights_loader *l, model_layer *layer, int i) {
  const model_recipe *r = &layer->recipe;
  const int64_t q = (int64_t)r->n_heads * r->head_dim, kv = (int64_t)r->n_kv_heads * r->head_dim;
  const model_role parts[] = {ROLE_Q, ROLE_K, ROLE_V}, whole[] = {ROLE_QKV};
  const int64_t widths[] = {q, kv, kv}, all[] = {q + 2 * kv};
  const bool fused = l->m->spec.arch->names[ROLE_QKV].mlx != NULL;
  float *host =
      fused ? read_vectors(l, whole, all, 1, "bias", i) : read_vectors(l, parts, widths, 3, "bias", i);
  layer->qkv_bias = open_vector(l, host, all[0]);
  return layer->qkv_bias != NULL;
}

// Checkpoints as they are published may hold each expert as a tensor of its own.
static bool experts_are_stacked(const weights_loader *l, int i) {
  char path[160], first[192];
  path_of(l, ROLE_EXPERT_GATE, i, path);
  const char *at = strstr(path, "switch_mlp.");
  if (!at || weights_find(l, path, "weight")) return true;
  snprintf(first, sizeof first, "%.*sexperts.0.%s", (int)(at - path), path, at + strlen("switch_mlp."));
  return !weights_find(l, first, "weight") ||
         pn_fail(l->e, PN_ERR_UNSUPPORTED,
                 "tensor %s.weight: experts that are tensors of their own are not supported; take an MLX "
                 "folder or a GGUF file of this model",
                 first);
}

static bool load_experts(weights_loader *l, model_layer *layer, int i) {
  const model_recipe *r = &layer->recipe;
  const int64_t d = l->m->spec.c.d_model, f = r->d_expert, n = r->n_experts;
  char path[160];
  if (!experts_are_stacked(l, i)) return false;
  bool both = name_of(l, ROLE_EXPERT_GATE_UP) != NULL;
  if (both) {
    path_of(l, ROLE_EXPERT_GATE_UP, i, path);
    both = weights_find(l, path, "weight") != NULL;
  }
  const struct {
    model_role role;
    weights_shape shape;
    bool wanted;
  } want[] = {{ROLE_ROUTER, {n, d, 0}, true},
              {ROLE_EXPERT_GATE, {f, d, n}, !both},
              {ROLE_EXPERT_UP, {f, d, n}, !both},
              {ROLE_EXPERT_GATE_UP, {2 * f, d, n}, both},
              {ROLE_EXPERT_DOWN, {d, f, n}, true}};
  for (size_t k = 0; k < sizeof want / sizeof want[0]; k++) {
    pn_weight **w = &layer->w[want[k].role];
    if (want[k].wanted && !(*w = load_matrix(l, want[k].role, i, want[k].shape, true, false))) return false;
  }
  return true;
}

static bool load_layer(weights_loader *l, int i) {
  model_layer *layer = &l->m->layers[i];
  layer->recipe = recipe_of(&l->m->spec, i);
  const model_recipe *r = &layer->recipe;
  const bool attends = r->n_heads > 0, keeps = attends && r->kv_from < 0, dense = r->n_experts == 0;
  const int64_t d = l->m->spec.c.d_model, o = (int64_t)r->n_heads * r->head_dim, q = r->out_gate ? 2 * o : o,
                kv = (int64_t)r->n_kv_heads * r->head_dim, f = r->d_ffn;
  const struct {
    model_role role;
    int64_t rows, cols; // cols 0: a vector
    bool wanted, biased;
  } want[] = {{ROLE_ATTN_NORM, d, 0, true, false},
              {ROLE_Q, q, d, attends, r->qkv_bias},
              {ROLE_K, kv, d, keeps, r->qkv_bias},
              {ROLE_V, kv, d, keeps && !r->v_is_k, r->qkv_bias},
              {ROLE_QKV, q + 2 * kv, d, attends, r->qkv_bias},
              {ROLE_Q_NORM, r->head_dim, 0, r->qk_norm, false},
              {ROLE_K_NORM, r->head_dim, 0, r->qk_norm && keeps, false},
              {ROLE_O, d, o, attends, false},
              {ROLE_MIX_IN, r->mix_in, d, !attends, false},
              {ROLE_MIX_GATE, r->mix_out, d, r->mix_heads > 0, false},
              {ROLE_MIX_BETA, r->mix_heads, d, r->mix_heads > 0, false},
              {ROLE_MIX_DECAY, r->mix_heads, d, r->mix_heads > 0, false},
              {ROLE_MIX_NORM, r->mix_heads ? r->mix_out / r->mix_heads : 0, 0, r->mix_heads > 0, false},
              {ROLE_MIX_OUT, d, r->mix_out, !attends, false},
              {ROLE_ATTN_POST_NORM, d, 0, r->norm_behind, false},
              {ROLE_FFN_NORM, d, 0, true, false},
              {ROLE_FFN_POST_NORM, d, 0, r->norm_behind, false},
              {ROLE_GATE, f, d, dense, false},
              {ROLE_UP, f, d, dense, false},
              {ROLE_GATE_UP, 2 * f, d, dense, false},
              {ROLE_DOWN, d, f, dense, false},
              {ROLE_PER_LAYER_GATE, r->per_layer, d, r->per_layer > 0, false},
              {ROLE_PER_LAYER_OUT, d, r->per_layer, r->per_layer > 0, false},
              {ROLE_PER_LAYER_NORM, d, 0, r->per_layer > 0, false}};
  for (size_t k = 0; k < sizeof want / sizeof want[0]; k++) {
    model_role role = want[k].role;
    if (!want[k].wanted || !name_of(l, role)) continue;
    const weights_shape shape = {want[k].rows, want[k].cols, 0};
    layer->w[role] = want[k].cols ? load_matrix(l, role, i, shape, true, want[k].biased)
                                  : load_norm(l, role, i, want[k].rows);
    if (!layer->w[role]) return false;
  }
  if (!dense && !load_experts(l, layer, i)) return false;
  if (r->conv_taps && !(layer->conv = load_conv(l, i, r))) return false;
  if (r->v_norm && !(layer->ones = load_ones(l, r->head_dim))) return false;
  if (r->out_scale && !load_out_scale(l, layer, i)) return false;
  if (r->mix_heads && !(layer->decay = load_decay(l, i, r->mix_heads))) return false;
  return !attends || !r->qkv_bias || load_bias(l, layer, i);
}

bool weights_open(pn_model *m, pn_files *files, pn_error *e) {
  const pn_model_config *c = &m->spec.c;
  weights_loader l = {.m = m,
                      .files = files,
                      .tensors = pn_files_tensors(files),
                      .gguf = pn_files_gguf(files) != NULL,
                      .e = e};
  if (!l.gguf) {
    const pn_json *config;
    if (!pn_files_json(files, "config.json", &config, e)) return false;
    l.quantization = pn_json_get(config, "quantization");
  }
  find_names(&l);
  l.norms_less_one = norms_are_less_one(&l);
  m->layers = calloc((size_t)c->n_layers, sizeof *m->layers);
  m->matrices = calloc((size_t)(c->n_layers + 1) * N_ROLES, sizeof *m->matrices); // no role twice a layer
  if (!m->layers || !m->matrices) return pn_fail(e, PN_ERR_NOMEM, "out of memory for %d layers", c->n_layers);
  const weights_shape vocabulary = {c->n_vocab, c->d_model, 0};
  m->embed = load_matrix(&l, ROLE_EMBED, 0, vocabulary, c->tied_head, false);
  if (!m->embed) return false;
  m->head = c->tied_head ? m->embed : load_matrix(&l, ROLE_HEAD, 0, vocabulary, true, false);
  if (!m->head) return false;
  m->final_norm = load_norm(&l, ROLE_FINAL_NORM, 0, c->d_model);
  if (!m->final_norm) return false;
  if (m->spec.per_layer && !load_per_layer(&l)) return false;
  int n_in_group[PN_MODEL_MAX_GROUPS] = {0};
  for (int i = 0; i < c->n_layers; i++) {
    if (!load_layer(&l, i)) return false;
    model_layer *layer = &m->layers[i];
    const int from = layer->recipe.n_heads > 0 ? layer->recipe.kv_from : -1;
    layer->group = from >= 0 ? m->layers[from].group : recipe_group(c, &layer->recipe);
    layer->group_layer = from >= 0 ? m->layers[from].group_layer : n_in_group[layer->group]++;
  }
  return true;
}

void weights_close(pn_model *m) {
  const pn_backend_ops *ops = m->b->ops;
  for (int i = 0; m->layers && i < m->spec.c.n_layers; i++) {
    for (int r = 0; r < N_ROLES; r++) ops->weight_close(m->b, m->layers[i].w[r]);
    ops->weight_close(m->b, m->layers[i].qkv_bias);
    ops->weight_close(m->b, m->layers[i].conv);
    ops->weight_close(m->b, m->layers[i].decay);
    ops->weight_close(m->b, m->layers[i].ones);
  }
  ops->weight_close(m->b, m->per_layer_norm);
  ops->weight_close(m->b, m->per_layer_in);
  ops->weight_close(m->b, m->per_layer_embed);
  ops->weight_close(m->b, m->final_norm);
  if (m->head != m->embed) ops->weight_close(m->b, m->head);
  ops->weight_close(m->b, m->embed);
  free(m->layers);
  free(m->matrices);
}
