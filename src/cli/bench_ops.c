// The time of each op of a model's plan: steps of the same name and op, of all layers, are a row of a table.
#include "cli/bench_ops.h"

#include "base/clock.h"
#include "base/rng.h"
#include "cli/bench_stats.h"
#include "cli/console.h"
#include "cli/interrupt.h"
#include "cli/reading_rate.h"
#include "cli/stepper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ROWS = 64, MAX_CHUNK = 512 };

typedef struct ops_row {
  const char *name;
  pn_op op;
  int n_calls;              // in one forward
  double bytes, operations; // that one forward reads and computes here; 0: not counted
  uint64_t ns;              // of the forward that runs
  bench_stats us;
} ops_row;

// What is measured of one kind of forward: n_tokens of them behind `depth` others.
typedef struct ops_table {
  const pn_plan *plan;
  int n_tokens, depth;
  int n_rows;
  ops_row rows[MAX_ROWS];
  int *row_of; // [n_steps]
  uint64_t last_ns;
} ops_table;

typedef struct ops_bench {
  open_model *m;
  stepper s;
  int threads;
  int32_t *ids; // as many as the longest sequence
  ops_table decode, prefill;
  reading_rate reading;
} ops_bench;

static int row_of(ops_table *t, const pn_step *s) {
  int i = 0;
  while (i < t->n_rows && (t->rows[i].op != s->op || strcmp(t->rows[i].name, s->name))) i++;
  if (i == MAX_ROWS) return -1;
  if (i == t->n_rows) t->rows[t->n_rows++] = (ops_row){.name = s->name, .op = s->op};
  return i;
}

// Positions that the table's tokens attend to, all together.
static double positions(const ops_table *t, int window) {
  double n = 0;
  for (int i = 0; i < t->n_tokens; i++) n += window && window <= t->depth + i ? window : t->depth + i + 1;
  return n;
}

static double operations_of(const ops_table *t, const pn_step *s) {
  const pn_attention *a = &s->attention;
  switch (s->op) {
  case PN_OP_MATMUL: {
    int n = t->plan->buffers[s->out.buffer].by_logits ? 1 : t->n_tokens;
    return 2.0 * n * s->in[0].width * s->out.width;
  }
  case PN_OP_EXPERTS: // gate, up and down of each that a token goes to
    return 6.0 * t->n_tokens * (s->in[1].width / 2) * s->experts.width * s->out.width;
  case PN_OP_ATTENTION: return 4.0 * a->n_heads * a->head_dim * positions(t, a->window);
  case PN_OP_GATED_DELTA: return 7.0 * t->n_tokens * s->out.width * s->delta.key_dim;
  default: return 0;
  }
}

// Bytes of weights and states that a step reads, and of states that it writes.
static double bytes_of(const open_model *m, const pn_step *s) {
  if (s->op == PN_OP_GATED_DELTA) return 2.0 * s->out.width * s->delta.key_dim * sizeof(float);
  return (double)pn_model_product_bytes(m->model, s);
}

// Bytes of K and V that all attention reads at a position.
static double attention_bytes(const open_model *m, int pos) {
  const pn_model_config *c = pn_model_config_of(m->model);
  return (double)(pn_kv_read_bytes(c, m->backend, m->kv_type, pos) - pn_kv_state_bytes(c, m->backend));
}

static bool table_open(ops_table *t, const open_model *m, int n_tokens, int depth, pn_error *e) {
  t->plan = pn_model_plan(m->model);
  t->n_tokens = n_tokens;
  t->depth = depth;
  t->row_of = calloc((size_t)t->plan->n_steps, sizeof *t->row_of);
  if (!t->row_of) return pn_fail(e, PN_ERR_NOMEM, "out of memory for %d steps", t->plan->n_steps);
  for (int i = 0; i < t->plan->n_steps; i++) {
    const pn_step *s = &t->plan->steps[i];
    int row = t->row_of[i] = row_of(t, s);
    if (row < 0) return pn_fail(e, PN_ERR_UNSUPPORTED, "a plan of more than %d different ops", MAX_ROWS);
    t->rows[row].n_calls++;
    t->rows[row].bytes += bytes_of(m, s);
    t->rows[row].operations += operations_of(t, s);
  }
  for (int i = 0; i < t->n_rows; i++) // one name has all attention of the models that there are
    if (t->rows[i].op == PN_OP_ATTENTION) t->rows[i].bytes = attention_bytes(m, depth + n_tokens - 1);
  return true;
}

static void table_close(ops_table *t) {
  for (int i = 0; i < t->n_rows; i++) bench_stats_fini(&t->rows[i].us);
  free(t->row_of);
}

static void note(void *ctx, const pn_step *s) {
  ops_table *t = ctx;
  uint64_t now = pn_now_ns();
  if (s) t->rows[t->row_of[s - t->plan->steps]].ns += now - t->last_ns;
  t->last_ns = pn_now_ns();
}

// One forward of the table's tokens at `pos`.
static bool measure(ops_bench *b, ops_table *t, int pos, pn_error *e) {
  if (interrupt_count()) return pn_fail(e, PN_ERR_CANCELLED, "stopped");
  for (int i = 0; i < t->n_rows; i++) t->rows[i].ns = 0;
  const pn_forward_trace trace = {.done = note, .ctx = t};
  if (!stepper_follow(&b->s, b->ids + pos, t->n_tokens, pos, &trace, e)) return false;
  for (int i = 0; i < t->n_rows; i++)
    if (!bench_stats_add(&t->rows[i].us, (double)t->rows[i].ns / 1e3, e)) return false;
  return true;
}

static bool run_depth(ops_bench *b, int depth, pn_error *e) {
  for (int at = 0; at < depth; at += b->s.chunk) {
    int n = depth - at < b->s.chunk ? depth - at : b->s.chunk;
    console_progress("depth: %d of %d tokens", at, depth);
    if (interrupt_count()) return pn_fail(e, PN_ERR_CANCELLED, "stopped");
    if (!stepper_follow(&b->s, b->ids + at, n, at, NULL, e)) return false;
  }
  return true;
}

// Chunks first: decode steps then follow on what the depth left, and overwrite what the chunks wrote. The
// first of both is not counted: it makes pages, and caches.
static bool run_all(ops_bench *b, int n_decode, int repeat, pn_error *e) {
  int depth = b->decode.depth;
  if (!run_depth(b, depth, e) || !stepper_follow(&b->s, b->ids + depth, b->prefill.n_tokens, depth, NULL, e))
    return false;
  for (int i = 0; i < repeat; i++) {
    console_progress("chunk %d of %d", i + 1, repeat);
    if (!measure(b, &b->prefill, depth, e)) return false;
  }
  if (!stepper_follow(&b->s, b->ids + depth, 1, depth, NULL, e)) return false;
  for (int i = 0; i < n_decode; i++) {
    console_progress("decode step %d of %d", i + 1, n_decode);
    if (!measure(b, &b->decode, depth + i, e)) return false;
  }
  console_progress("reading memory");
  if (!b->m->backend->ops->device_memory) b->reading = reading_rate_measure(b->threads);
  return true;
}

static double whole_us(const ops_table *t) {
  double us = 0;
  for (int i = 0; i < t->n_rows; i++) us += bench_stats_median(&t->rows[i].us);
  return us;
}

static pn_json *table_json(const ops_table *t) {
  pn_json *v = pn_json_new_object(), *ops = pn_json_new_array();
  double whole = whole_us(t);
  pn_json_set(v, "n_tokens", pn_json_new_int(t->n_tokens));
  pn_json_set(v, "depth", pn_json_new_int(t->depth));
  pn_json_set(v, "us", pn_json_new_num(whole));
  for (int i = 0; i < t->n_rows; i++) {
    const ops_row *r = &t->rows[i];
    double us = bench_stats_median(&r->us);
    pn_json *row = pn_json_new_object();
    pn_json_set(row, "name", pn_json_new_str(pn_str_of(r->name)));
    pn_json_set(row, "op", pn_json_new_str(pn_str_of(pn_op_name(r->op))));
    pn_json_set(row, "calls", pn_json_new_int(r->n_calls));
    pn_json_set(row, "us", pn_json_new_num(us));
    pn_json_set(row, "share", pn_json_new_num(us / whole));
    if (r->bytes > 0) pn_json_set(row, "gb_s", pn_json_new_num(r->bytes / us / 1e3));
    if (r->operations > 0) pn_json_set(row, "gop_s", pn_json_new_num(r->operations / us / 1e3));
    pn_json_push(ops, row);
  }
  pn_json_set(v, "ops", ops);
  return v;
}

static void table_print(const ops_table *t, const char *what) {
  double whole = whole_us(t);
  printf("\n%s after %d: %.0f us, %.1f tok/s without choosing tokens\n", what, t->depth, whole,
         t->n_tokens * 1e6 / whole);
  bool one = t->n_tokens == 1; // what bounds it: reading, else arithmetic
  printf("%-14s %-12s %5s %11s %7s %7s\n", "name", "op", "calls", "us", "share", one ? "GB/s" : "GOP/s");
  for (int i = 0; i < t->n_rows; i++) {
    const ops_row *r = &t->rows[i];
    double us = bench_stats_median(&r->us);
    printf("%-14s %-12s %5d %11.1f %6.1f%%", r->name, pn_op_name(r->op), r->n_calls, us, 100 * us / whole);
    double counted = one ? r->bytes : r->operations;
    if (counted > 0) printf(" %7.1f", counted / us / 1e3);
    printf("\n");
  }
}

static bool print_tables(const ops_bench *b, const options *o, pn_error *e) {
  open_model *m = b->m;
  if (options_on(o, "json")) {
    pn_json *v = pn_json_new_object();
    pn_json_set(v, "model", pn_json_new_str(pn_str_of(m->name)));
    pn_json_set(v, "backend", pn_json_new_str(pn_str_of(m->backend->ops->name)));
    pn_json_set(v, "threads", pn_json_new_int(b->threads));
    pn_json_set(v, "reading_gb_s", reading_rate_json(&b->reading));
    pn_json_set(v, "decode", table_json(&b->decode));
    pn_json_set(v, "prefill", table_json(&b->prefill));
    return console_json(v, e);
  }
  printf("%s on %s, medians of %d steps and %d chunks, op by op\n", m->name,
         m->backend->ops->describe(m->backend), (int)options_int(o, "decode"), (int)options_int(o, "repeat"));
  char chunk[32], line[96];
  printf("reading %s\n", reading_rate_line(&b->reading, line));
  snprintf(chunk, sizeof chunk, "a chunk of %d", b->prefill.n_tokens);
  table_print(&b->decode, "a decode step");
  table_print(&b->prefill, chunk);
  return true;
}

static bool open_bench(ops_bench *b, int depth, int chunk, int n_decode, pn_error *e) {
  int64_t longest = (int64_t)depth + (chunk > n_decode ? chunk : n_decode);
  int max = pn_model_config_of(b->m->model)->max_positions;
  if (longest > max)
    return pn_fail(e, PN_ERR_USAGE, "the measurements need a context of %lld tokens, but it has %d",
                   (long long)longest, max);
  b->ids = malloc((size_t)longest * sizeof *b->ids);
  if (!b->ids) return pn_fail(e, PN_ERR_NOMEM, "out of memory for %lld tokens", (long long)longest);
  pn_rng rng;
  pn_rng_seed(&rng, 1);
  uint64_t n_vocab = (uint64_t)pn_model_config_of(b->m->model)->n_vocab;
  for (int64_t i = 0; i < longest; i++) b->ids[i] = (int32_t)pn_rng_below(&rng, n_vocab);
  return stepper_open(&b->s, b->m, (int)longest, chunk, e) && table_open(&b->decode, b->m, 1, depth, e) &&
         table_open(&b->prefill, b->m, chunk, depth, e);
}

bool bench_ops(open_model *m, const options *o, pn_error *e) {
  int prompt = (int)options_int(o, "prompt"), n_decode = (int)options_int(o, "decode");
  ops_bench *b = calloc(1, sizeof *b);
  if (!b) return pn_fail(e, PN_ERR_NOMEM, "out of memory");
  b->m = m;
  b->threads = open_model_threads(o);
  bool ok =
      open_bench(b, (int)options_int(o, "depth"), prompt < MAX_CHUNK ? prompt : MAX_CHUNK, n_decode, e) &&
      open_model_settle(m, o, b->s.bytes, e);
  weight_home_wait(&m->home);
  interrupt_catch(NULL);
  ok = ok && run_all(b, n_decode, (int)options_int(o, "repeat"), e);
  interrupt_release();
  console_progress("%s", "");
  ok = ok && print_tables(b, o, e);
  table_close(&b->decode);
  table_close(&b->prefill);
  stepper_close(&b->s);
  free(b->ids);
  free(b);
  return ok;
}
