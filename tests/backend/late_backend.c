#include "late_backend.h"

#include <string.h>

enum { WORKSPACES = 8, JOBS = 64, ROWS = 64 };

// A workspace: its plan, and the choices that nobody has collected.
typedef struct late_space {
  pn_workspace *ws;
  const pn_plan *plan;
  pn_choice choice[ROWS];
} late_space;

// What was submitted and is not computed: steps [from, to), or choices.
typedef struct late_job {
  late_space *space;
  int from, to;
  const pn_sample *how; // NULL: steps
  pn_view logits;
} late_job;

static const pn_backend_ops *inner;
static pn_backend_ops table;
static late_space spaces[WORKSPACES];
static late_job jobs[JOBS];
static int n_jobs;
static pn_op refused = PN_N_OPS;
static late_counts counts;

static late_space *space_of(const pn_workspace *ws) {
  for (int i = 0; i < WORKSPACES; i++)
    if (spaces[i].ws == ws) return &spaces[i];
  return NULL;
}

static pn_workspace *open_space(pn_backend *b, const pn_plan *plan, int max_rows, int max_logits,
                                pn_error *e) {
  late_space *s = space_of(NULL);
  if (!s) return pn_fail(e, PN_ERR_NOMEM, "the late backend has %d workspaces", WORKSPACES), NULL;
  s->ws = inner->workspace_open(b, plan, max_rows, max_logits, e);
  s->plan = plan;
  return s->ws;
}

static void close_space(pn_backend *b, pn_workspace *ws) {
  if (ws) space_of(ws)->ws = NULL;
  inner->workspace_close(b, ws);
}

static bool compile(pn_backend *b, pn_workspace *ws, pn_error *e) {
  (void)b;
  const pn_plan *p = space_of(ws)->plan;
  for (int i = 0; i < p->n_steps; i++)
    if (p->steps[i].op == refused)
      return pn_fail(e, PN_ERR_UNSUPPORTED, "layer %d: the late backend has no %s", p->steps[i].layer,
                     pn_op_name(refused));
  counts.n_compiled++;
  return true;
}

static bool compute(pn_backend *b, const late_job *j, pn_error *e) {
  late_space *s = j->space;
  if (j->how) return inner->sample(b, s->ws, j->logits, j->how, j->to, s->choice, e);
  for (int i = j->from; i < j->to; i++) inner->run(b, s->ws, &s->plan->steps[i]);
  return true;
}

// The first n jobs.
static bool compute_jobs(pn_backend *b, int n, pn_error *e) {
  bool ok = true;
  for (int i = 0; i < n; i++) ok = compute(b, &jobs[i], e) && ok;
  n_jobs -= n;
  memmove(jobs, jobs + n, (size_t)n_jobs * sizeof *jobs);
  return ok;
}

static int jobs_up_to(const late_space *s) {
  int n = n_jobs;
  while (n > 0 && jobs[n - 1].space != s) n--;
  return n;
}

static bool add_job(pn_backend *b, late_job j, pn_error *e) {
  if (n_jobs == JOBS) return pn_fail(e, PN_ERR_INTERNAL, "more than %d jobs in flight", JOBS);
  jobs[n_jobs++] = j;
  return table.asynchronous || compute_jobs(b, 1, e);
}

static bool begin(pn_backend *b, pn_workspace *ws, const pn_batch *batch, pn_error *e) {
  counts.n_early += jobs_up_to(space_of(ws)) > 0;
  return inner->begin(b, ws, batch, e);
}

static bool submit(pn_backend *b, pn_workspace *ws, int from, int to, pn_error *e) {
  counts.n_submits++;
  return add_job(b, (late_job){.space = space_of(ws), .from = from, .to = to}, e);
}

static bool sample_submit(pn_backend *b, pn_workspace *ws, pn_view logits, const pn_sample *how, int n,
                          pn_error *e) {
  counts.n_samples++;
  if (n < 1 || n > ROWS) return pn_fail(e, PN_ERR_INTERNAL, "choices: expected 1 to %d, found %d", ROWS, n);
  return add_job(b, (late_job){.space = space_of(ws), .to = n, .how = how, .logits = logits}, e);
}

static bool collect(pn_backend *b, pn_workspace *ws, pn_choice *out, int n, pn_error *e) {
  late_space *s = space_of(ws);
  counts.n_collects++;
  if (!compute_jobs(b, jobs_up_to(s), e)) return false;
  if (n > 0) memcpy(out, s->choice, (size_t)n * sizeof *out);
  return true;
}

static bool sample(pn_backend *b, pn_workspace *ws, pn_view logits, const pn_sample *how, int n,
                   pn_choice *out, pn_error *e) {
  counts.n_early += table.asynchronous;
  return inner->sample(b, ws, logits, how, n, out, e);
}

static bool read_rows(pn_backend *b, pn_workspace *ws, pn_view v, int first, int n, float *host,
                      pn_error *e) {
  return compute_jobs(b, jobs_up_to(space_of(ws)), e) && inner->read(b, ws, v, first, n, host, e);
}

static bool copy_page(pn_backend *b, pn_kv *kv, int32_t from, int32_t to, pn_error *e) {
  counts.n_early += n_jobs > 0;
  return inner->kv_copy(b, kv, from, to, e);
}

static bool sync_all(pn_backend *b, pn_error *e) { return compute_jobs(b, n_jobs, e) && inner->sync(b, e); }

void late_wrap(pn_backend *b, bool asynchronous) {
  inner = b->ops;
  table = *inner;
  table.asynchronous = asynchronous;
  table.workspace_open = open_space;
  table.workspace_close = close_space;
  table.begin = begin;
  table.compile = compile;
  table.submit = submit;
  table.sample_submit = asynchronous ? sample_submit : NULL;
  table.collect = asynchronous ? collect : NULL;
  table.sample = sample;
  table.read = read_rows;
  table.kv_copy = copy_page;
  table.sync = sync_all;
  counts = (late_counts){0};
  b->ops = &table;
}

late_counts late_counted(void) { return counts; }

void late_refuse(pn_op op) { refused = op; }
