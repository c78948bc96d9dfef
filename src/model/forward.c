// Running a model's plan over a batch of rows: whole, or layer by layer with other steps between.
#include "model/plan.h"

#include <stdlib.h>

// One step under way.
typedef struct model_run {
  pn_model *m;
  pn_workspace *ws;
  const pn_forward_trace *trace;
  int n_rows, n_logits;
  bool stopped; // by the trace
} model_run;

static bool tell(model_run *r, const pn_step *s, pn_error *e) {
  const pn_backend_ops *ops = r->m->b->ops;
  if (r->trace->done) {
    if (!ops->sync(r->m->b, e)) return false;
    r->trace->done(r->trace->ctx, s);
  }
  if (s->out.width <= 0 || !r->trace->after) return true;
  int n = r->m->plan->buffers[s->out.buffer].by_logits ? r->n_logits : r->n_rows;
  float *rows = malloc((size_t)n * (size_t)s->out.width * sizeof *rows);
  if (!rows) return pn_fail(e, PN_ERR_NOMEM, "out of memory for a trace of %d rows", n);
  bool ok = ops->read(r->m->b, r->ws, s->out, 0, n, rows, e);
  if (ok) r->stopped = !r->trace->after(r->trace->ctx, s, rows, n);
  free(rows);
  return ok;
}

// Steps [from, to): submitted together where the backend takes them so, one by one for a trace. False: one
// failed.
static bool run_steps(model_run *r, int from, int to, pn_error *e) {
  const pn_backend_ops *ops = r->m->b->ops;
  if (ops->submit && !r->trace) return ops->submit(r->m->b, r->ws, from, to, e);
  const pn_step *steps = r->m->plan->steps;
  for (int i = from; i < to && !r->stopped; i++) {
    ops->run(r->m->b, r->ws, &steps[i]);
    if (r->trace && !tell(r, &steps[i], e)) return false;
  }
  return true;
}

static pn_logits logits_in(const pn_model *m, pn_workspace *ws) {
  return (pn_logits){ws, m->plan->steps[m->plan->p.n_steps - 1].out};
}

pn_logits pn_model_logits(const pn_model *m) { return logits_in(m, m->ws); }

// From that step to the end: what follows the last layer only when logits are wanted. They go to the host
// unless it is NULL.
static bool run_to_end(model_run *r, int from, float *logits, pn_error *e) {
  const plan *p = r->m->plan;
  int to = r->n_logits > 0 ? p->p.n_steps : p->layer_step[r->m->spec.c.n_layers];
  if (!run_steps(r, from, to, e)) return false;
  if (r->stopped || r->n_logits == 0 || !logits) return true;
  return r->m->b->ops->read(r->m->b, r->ws, logits_in(r->m, r->ws).view, 0, r->n_logits, logits, e);
}

// A workspace for the model's plan, prepared for submitting where the backend does that.
static pn_workspace *open_workspace(pn_model *m, int max_rows, int max_logits, pn_error *e) {
  const pn_backend_ops *ops = m->b->ops;
  pn_workspace *ws = ops->workspace_open(m->b, &m->plan->p, max_rows, max_logits, e);
  if (!ws || !ops->compile || ops->compile(m->b, ws, e)) return ws;
  ops->workspace_close(m->b, ws);
  return NULL;
}

static bool check_batch(const pn_model *m, const pn_batch *batch, pn_error *e) {
  if (batch->n_rows < 1 || batch->n_logits < 0)
    return pn_fail(e, PN_ERR_INTERNAL, "a step of %d rows and %d logits", batch->n_rows, batch->n_logits);
  if (batch->n_kv != m->spec.c.n_groups)
    return pn_fail(e, PN_ERR_INTERNAL, "a step with the KV of %d groups of layers; the model has %d",
                   batch->n_kv, m->spec.c.n_groups);
  for (int r = 0; r < batch->n_rows; r++)
    if (batch->token[r] < 0 || batch->token[r] >= m->spec.c.n_vocab)
      return pn_fail(e, PN_ERR_USAGE, "token id: expected 0 to %d, found %d", m->spec.c.n_vocab - 1,
                     batch->token[r]);
  for (int k = 0; k < batch->n_logits; k++)
    if (batch->logit_rows[k] < 0 || batch->logit_rows[k] >= batch->n_rows)
      return pn_fail(e, PN_ERR_INTERNAL, "logits are asked for row %d of %d", batch->logit_rows[k],
                     batch->n_rows);
  return true;
}

uint64_t pn_model_row_bytes(const pn_model *m) {
  enum { ROWS = 64 };
  uint64_t offsets[PLAN_MAX_BUFFERS];
  return pn_plan_layout(&m->plan->p, ROWS, 0, offsets) / ROWS;
}

uint64_t pn_model_step_bytes(const pn_model *m, int max_rows, int max_logits) {
  return m->b->ops->workspace_bytes(m->b, &m->plan->p, max_rows, max_logits);
}

bool pn_model_reserve(pn_model *m, int max_rows, int max_logits, pn_error *e) {
  if (m->ws && max_rows <= m->max_rows && max_logits <= m->max_logits) return true;
  if (max_rows < m->max_rows) max_rows = m->max_rows;
  if (max_logits < m->max_logits) max_logits = m->max_logits;
  pn_workspace *ws = open_workspace(m, max_rows, max_logits, e);
  if (!ws) return false;
  m->b->ops->workspace_close(m->b, m->ws);
  m->ws = ws;
  m->max_rows = max_rows;
  m->max_logits = max_logits;
  return true;
}

bool pn_model_forward(pn_model *m, const pn_batch *batch, float *logits, const pn_forward_trace *trace,
                      pn_error *e) {
  if (!check_batch(m, batch, e) || !m->b->ops->begin(m->b, m->ws, batch, e)) return false;
  if (trace && trace->done) trace->done(trace->ctx, NULL);
  model_run r = {m, m->ws, trace, batch->n_rows, batch->n_logits, false};
  return run_to_end(&r, 0, logits, e);
}

struct pn_pass {
  model_run run;
  int layer; // the next one
};

pn_pass *pn_pass_open(pn_model *m, int max_rows, int max_logits, pn_error *e) {
  pn_pass *p = calloc(1, sizeof *p);
  if (!p) return pn_fail(e, PN_ERR_NOMEM, "out of memory for a pass"), NULL;
  p->run.m = m;
  p->run.ws = open_workspace(m, max_rows, max_logits, e);
  if (p->run.ws) return p;
  free(p);
  return NULL;
}

void pn_pass_close(pn_pass *p) {
  if (!p) return;
  pn_backend *b = p->run.m->b;
  b->ops->workspace_close(b, p->run.ws);
  free(p);
}

bool pn_pass_begin(pn_pass *p, const pn_batch *batch, pn_error *e) {
  pn_backend *b = p->run.m->b;
  if (!check_batch(p->run.m, batch, e) || !b->ops->begin(b, p->run.ws, batch, e)) return false;
  p->run.n_rows = batch->n_rows;
  p->run.n_logits = batch->n_logits;
  p->layer = 0;
  return true;
}

pn_logits pn_pass_logits(const pn_pass *p) { return logits_in(p->run.m, p->run.ws); }

bool pn_pass_submit(pn_pass *p, pn_error *e) {
  p->layer = p->run.m->spec.c.n_layers;
  return run_to_end(&p->run, 0, NULL, e);
}

bool pn_pass_layer(pn_pass *p, float *logits, bool *done, pn_error *e) {
  const plan *pl = p->run.m->plan;
  int i = p->layer++, from = i == 0 ? 0 : pl->layer_step[i]; // the embedding goes with the first layer
  *done = false;
  if (p->layer == p->run.m->spec.c.n_layers) return *done = run_to_end(&p->run, from, logits, e);
  return run_steps(&p->run, from, pl->layer_step[i + 1], e) && p->run.m->b->ops->sync(p->run.m->b, e);
}
