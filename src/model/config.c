#include "model/model_internal.h"

#include <math.h>

// One range check: "config.json: hidden_size: expected 1 to 65536, found 0".
static bool in_range(const char *where, const char *what, double v, double lo, double hi, pn_error *e) {
  if (v >= lo && v <= hi) return true;
  return pn_fail(e, PN_ERR_CORRUPT, "%s: %s: expected %g to %g, found %g", where, what, lo, hi, v);
}

// Whether any layer has a feed-forward of its own size, without experts.
static bool has_dense_layers(const model_spec *s) {
  for (int i = 0; i < s->c.n_layers && i < MODEL_MAX_LAYERS; i++)
    if (!s->c.n_experts || s->dense[i]) return true;
  return false;
}

static bool check_rope(const model_spec *s, const model_rope *r, const char *where, pn_error *e) {
  const int widest = s->vary.full_head_dim > s->c.head_dim ? s->vary.full_head_dim : s->c.head_dim;
  if (!in_range(where, "rope theta", r->theta, 1e-3, 1e12, e) ||
      !in_range(where, "rotary dimensions", r->n_rot, 2, widest, e))
    return false;
  if (r->n_rot % 2)
    return pn_fail(e, PN_ERR_CORRUPT, "%s: rotary dimensions must be even, found %d", where, r->n_rot);
  for (int i = 0; i < r->n_rot / 2; i++)
    if (!isfinite(r->inv_freq[i]))
      return pn_fail(e, PN_ERR_CORRUPT, "%s: rotary frequency %d is not a finite number", where, i);
  if (!isfinite(r->scale))
    return pn_fail(e, PN_ERR_CORRUPT, "%s: the rope scale is not a finite number", where);
  return true;
}

bool config_check(const model_spec *s, const char *where, pn_error *e) {
  const pn_model_config *c = &s->c;
  bool ok = in_range(where, "number of layers", c->n_layers, 1, MODEL_MAX_LAYERS, e) &&
            in_range(where, "hidden size", c->d_model, 1, 65536, e) &&
            in_range(where, "feed-forward size", c->d_ffn, has_dense_layers(s) ? 1 : 0, MODEL_MAX_FFN, e) &&
            in_range(where, "number of attention heads", c->n_heads, 1, 1024, e) &&
            in_range(where, "number of key/value heads", c->n_kv_heads, 1, c->n_heads, e) &&
            in_range(where, "head size", c->head_dim, 1, 1024, e) &&
            in_range(where, "vocabulary size", c->n_vocab, 1, 1 << 24, e) &&
            in_range(where, "context length", c->max_positions, 1, 1 << 28, e) &&
            in_range(where, "norm epsilon", (double)c->norm_eps, 0, 1, e) &&
            in_range(where, "sliding window", c->window, 0, 1 << 28, e);
  if (!ok) return false;
  if (c->n_heads % c->n_kv_heads)
    return pn_fail(e, PN_ERR_CORRUPT, "%s: %d attention heads can't share %d key/value heads evenly", where,
                   c->n_heads, c->n_kv_heads);
  for (int i = 0; i < s->n_ropes; i++)
    if (!check_rope(s, &s->ropes[i], where, e)) return false;
  return true;
}

bool config_read(pn_files *files, model_spec *out, pn_error *e) {
  *out = (model_spec){0};
  const pn_gguf *g = pn_files_gguf(files);
  const char *path = pn_files_path(files);
  return (g ? config_read_gguf(g, path, out, e) : config_read_json(files, out, e)) &&
         recipe_groups(out, path, e);
}

bool pn_model_read_config(pn_files *files, pn_model_config *out, pn_error *e) {
  model_spec s;
  if (!config_read(files, &s, e)) return false;
  *out = s.c;
  return true;
}
