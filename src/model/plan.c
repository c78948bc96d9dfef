// The plan of a model: embedding, layers by their recipes, and the head.
#include "model/plan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

pn_view plan_buffer(plan *p, const char *tag, int64_t width, bool by_logits) {
  int i = 0, n = p->p.n_buffers;
  while (i < n &&
         (p->buffers[i].width != width || p->buffers[i].by_logits != by_logits || strcmp(p->tags[i], tag)))
    i++;
  if (i == PLAN_MAX_BUFFERS) {
    p->failed = true;
    i = 0;
  } else if (i == n) {
    p->buffers[i] = (pn_buffer){(int32_t)width, by_logits};
    p->tags[i] = tag;
    p->p.n_buffers++;
  }
  return (pn_view){i, 0, (int32_t)width};
}

pn_step *plan_emit(plan *p, pn_op op, const char *name, pn_view in, pn_view out) {
  static pn_step nowhere;
  if (p->p.n_steps == p->cap_steps) {
    int cap = p->cap_steps ? 2 * p->cap_steps : 64;
    pn_step *more = realloc(p->steps, (size_t)cap * sizeof *more);
    if (!more) {
      p->failed = true;
      return &nowhere;
    }
    p->steps = more;
    p->cap_steps = cap;
  }
  pn_step *s = &p->steps[p->p.n_steps++];
  *s = (pn_step){.op = op, .layer = p->layer, .name = name, .in = {in}, .out = out};
  return s;
}

void plan_matmul(plan *p, const char *name, pn_view in, pn_view out, const pn_weight *w0, const pn_weight *w1,
                 const pn_weight *w2) {
  const pn_weight *const all[] = {w0, w1, w2};
  pn_step *s = plan_emit(p, PN_OP_MATMUL, name, in, out);
  for (int i = 0; i < 3; i++)
    if (all[i]) s->w[s->n_weights++] = all[i];
}

void plan_norm(plan *p, const char *name, pn_view in, pn_view out, const pn_weight *w, float eps, int heads) {
  pn_step *s = plan_emit(p, PN_OP_RMSNORM, name, in, out);
  s->w[s->n_weights++] = w;
  s->norm.eps = eps;
  s->norm.heads = heads;
}

// h = rmsnorm(x), the output of the sublayer before added to x first.
static void join(plan *p, const pn_model *m, const char *name, const pn_weight *norm) {
  const pn_view x = p->stream[PLAN_X], h = p->stream[PLAN_H];
  plan_norm(p, name, x, h, norm, m->spec.c.norm_eps, 1);
  if (!p->settled) {
    pn_step *s = &p->steps[p->p.n_steps - 1];
    s->op = PN_OP_ADD_RMSNORM;
    s->in[1] = p->stream[PLAN_Y];
  }
  p->settled = false; // a sublayer follows
}

// Add the output of the sublayer before to x, unless it was.
static void settle(plan *p) {
  if (!p->settled) plan_emit(p, PN_OP_ADD, "residual", p->stream[PLAN_Y], p->stream[PLAN_X]);
  p->settled = true;
}

// The output of a sublayer, normed where there is such a norm.
static void norm_behind(plan *p, const pn_model *m, const char *name, const pn_weight *norm) {
  const pn_view y = p->stream[PLAN_Y];
  if (norm) plan_norm(p, name, y, y, norm, m->spec.c.norm_eps, 1);
}

// What the embedding is multiplied by; some models were made with a factor of bf16.
static float embedding_scale(const pn_model *m) {
  const float root = sqrtf((float)m->spec.c.d_model);
  if (m->spec.arch->embed == EMBED_PLAIN) return 1;
  return m->spec.arch->embed == EMBED_ROOT ? root : pn_bf16_to_f32(pn_f32_to_bf16(root));
}

// What a layer does to x behind its sublayers.
static void finish_layer(plan *p, const pn_model *m, const model_layer *l) {
  if (l->recipe.extra) {
    settle(p);
    l->recipe.extra(p, m, l);
    p->settled = false;
  }
  if (!l->recipe.out_scale) return;
  settle(p);
  plan_emit(p, PN_OP_SCALE, "out_scale", (pn_view){0}, p->stream[PLAN_X])->scale.by = l->out_scale;
}

static void build_layer(plan *p, const pn_model *m, int i) {
  const model_layer *l = &m->layers[i];
  p->layer_step[i] = p->p.n_steps;
  p->layer = i;
  join(p, m, "attn_norm", l->w[ROLE_ATTN_NORM]);
  l->recipe.mixer(p, m, l);
  norm_behind(p, m, "attn_post_norm", l->w[ROLE_ATTN_POST_NORM]);
  join(p, m, "ffn_norm", l->w[ROLE_FFN_NORM]);
  l->recipe.ffn(p, m, l);
  norm_behind(p, m, "ffn_post_norm", l->w[ROLE_FFN_POST_NORM]);
  finish_layer(p, m, l);
}

static void build(plan *p, const pn_model *m) {
  static const char *const tags[PLAN_N_STREAMS] = {"x", "h", "y"};
  const pn_model_config *c = &m->spec.c;
  for (int i = 0; i < PLAN_N_STREAMS; i++) p->stream[i] = plan_buffer(p, tags[i], c->d_model, false);
  const pn_view x = p->stream[PLAN_X], last = plan_buffer(p, "last", c->d_model, true);
  p->layer = -1;
  pn_step *s = plan_emit(p, PN_OP_EMBED, "embed", (pn_view){0}, x);
  s->w[s->n_weights++] = m->embed;
  s->embed.scale = embedding_scale(m);
  p->settled = true;
  if (m->per_layer_embed) per_layer_begin(p, m);
  for (int i = 0; i < c->n_layers; i++) build_layer(p, m, i);
  p->layer = -1;
  p->layer_step[c->n_layers] = p->p.n_steps;
  settle(p);
  plan_emit(p, PN_OP_GATHER, "last", x, last);
  plan_norm(p, "final_norm", last, last, m->final_norm, c->norm_eps, 1);
  const pn_view logits = plan_buffer(p, "logits", c->n_vocab, true);
  plan_matmul(p, "logits", last, logits, m->head, NULL, NULL);
  if (m->spec.soft_cap > 0)
    plan_emit(p, PN_OP_SOFT_CAP, "soft_cap", (pn_view){0}, logits)->cap.limit = (float)m->spec.soft_cap;
}

plan *plan_new(const pn_model *m, pn_error *e) {
  const pn_model_config *c = &m->spec.c;
  plan *p = calloc(1, sizeof *p);
  if (p) p->layer_step = calloc((size_t)c->n_layers + 1, sizeof *p->layer_step);
  if (p && p->layer_step) {
    for (int i = 0; i < m->spec.n_ropes; i++) {
      const model_rope *r = &m->spec.ropes[i];
      p->ropes[i] = (pn_rope){r->order, r->n_rot, r->inv_freq, r->scale};
    }
    build(p, m);
    p->p.steps = p->steps;
    p->p.buffers = p->buffers;
    p->p.ropes = p->ropes;
    p->p.n_ropes = m->spec.n_ropes;
    if (!p->failed) return p;
  }
  plan_free(p);
  pn_fail(e, PN_ERR_NOMEM, "out of memory for the plan of %d layers", c->n_layers);
  return NULL;
}

void plan_free(plan *p) {
  if (!p) return;
  free(p->steps);
  free(p->layer_step);
  free(p);
}

const pn_plan *pn_model_plan(const pn_model *m) { return &m->plan->p; }

static void write_view(const plan *p, pn_view v, pn_buf *out) {
  if (v.width <= 0) return;
  bool whole = v.offset == 0 && v.width == p->buffers[v.buffer].width;
  pn_buf_printf(out, " %s", p->tags[v.buffer]);
  if (!whole) pn_buf_printf(out, "[%d:%d]", (int)v.offset, (int)(v.offset + v.width));
}

static void write_parameters(const pn_step *s, pn_buf *out) {
  switch (s->op) {
  case PN_OP_RMSNORM:
  case PN_OP_GATED_RMSNORM:
    if (s->norm.heads > 1) pn_buf_printf(out, ", %d heads", s->norm.heads);
    break;
  case PN_OP_ROPE:
    pn_buf_printf(out, ", rotation %d, %d heads of %d", s->rope.table, s->rope.n_heads, s->rope.head_dim);
    break;
  case PN_OP_ATTENTION:
    pn_buf_printf(out, ", %d heads of %d over %d", s->attention.n_heads, s->attention.head_dim,
                  s->attention.n_kv_heads);
    if (s->attention.window) pn_buf_printf(out, ", window %d", s->attention.window);
    break;
  case PN_OP_ROUTE:
    pn_buf_printf(out, ", %d of %d, %s%s", s->out.width / 2, s->in[0].width,
                  s->route.gate == PN_GATE_SOFTMAX ? "softmax" : "sigmoid",
                  s->route.normalise ? ", normalised" : "");
    break;
  case PN_OP_EXPERTS: pn_buf_printf(out, ", %d experts of %d", s->experts.n_experts, s->experts.width); break;
  case PN_OP_SHORT_CONV: pn_buf_printf(out, ", %d taps", s->conv.taps); break;
  case PN_OP_GATED_DELTA:
    pn_buf_printf(out, ", %d heads of %d over %d of %d", s->delta.n_heads, s->delta.head_dim,
                  s->delta.n_key_heads, s->delta.key_dim);
    break;
  default: break;
  }
}

void pn_model_plan_write(const pn_model *m, pn_buf *out) {
  const plan *p = m->plan;
  for (int i = 0; i < p->p.n_steps; i++) {
    const pn_step *s = &p->steps[i];
    char layer[16] = "-";
    if (s->layer >= 0) snprintf(layer, sizeof layer, "%d", s->layer);
    pn_buf_printf(out, "%5d %4s  %-12s %-12s", i, layer, s->name, pn_op_name(s->op));
    write_view(p, s->in[0], out);
    write_view(p, s->in[1], out);
    if (s->n_weights) pn_buf_printf(out, " (%d weight%s)", s->n_weights, s->n_weights == 1 ? "" : "s");
    if (s->out.width > 0) pn_buf_printf(out, " ->");
    write_view(p, s->out, out);
    write_parameters(s, out);
    pn_buf_char(out, '\n');
  }
}
