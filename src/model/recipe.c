// What each layer is made of, and which layers keep the same of a sequence.
#include "model/plan.h"

#include <math.h>

model_recipe recipe_of(const model_spec *s, int i) {
  const pn_model_config *c = &s->c;
  model_recipe r = {.mixer = block_attention,
                    .ffn = block_ffn,
                    .n_heads = c->n_heads,
                    .n_kv_heads = c->n_kv_heads,
                    .head_dim = c->head_dim,
                    .d_ffn = c->d_ffn,
                    .window = i >= s->window_from ? c->window : 0,
                    .scale =
                        (float)(s->attention_scale > 0 ? s->attention_scale : 1 / sqrt((double)c->head_dim)),
                    .qk_norm = s->arch->qk_norm,
                    .qkv_bias = s->arch->qkv_bias,
                    .gelu = s->arch->gelu,
                    .norm_behind = s->arch->norm_behind,
                    .kv_from = -1};
  if (c->n_experts && !s->dense[i]) {
    r.ffn = block_moe;
    r.n_experts = c->n_experts;
    r.n_experts_used = c->n_experts_used;
    r.d_expert = c->d_expert;
  }
  if (s->arch->layer) s->arch->layer(s, i, &r);
  return r;
}

static pn_model_group group_of(const model_recipe *r) {
  if (r->state_floats) return (pn_model_group){.state_floats = r->state_floats};
  return (pn_model_group){.n_kv_heads = r->n_kv_heads, .head_dim = r->head_dim, .window = r->window};
}

int recipe_group(const pn_model_config *c, const model_recipe *r) {
  const pn_model_group want = group_of(r);
  int i = 0;
  for (; i < c->n_groups; i++) {
    const pn_model_group *g = &c->groups[i];
    if (g->n_kv_heads == want.n_kv_heads && g->head_dim == want.head_dim && g->window == want.window &&
        g->state_floats == want.state_floats)
      break;
  }
  return i;
}

bool recipe_groups(model_spec *s, const char *where, pn_error *e) {
  pn_model_config *c = &s->c;
  c->n_groups = 0;
  for (int i = 0; i < c->n_layers; i++) {
    const model_recipe r = recipe_of(s, i);
    if (r.n_heads > 0 && r.kv_from >= 0) continue; // keeps nothing
    int g = recipe_group(c, &r);
    if (g == PN_MODEL_MAX_GROUPS)
      return pn_fail(e, PN_ERR_UNSUPPORTED, "%s: the layers keep more than %d different things", where,
                     PN_MODEL_MAX_GROUPS);
    if (g == c->n_groups) c->groups[c->n_groups++] = group_of(&r);
    c->groups[g].n_layers++;
  }
  return true;
}
