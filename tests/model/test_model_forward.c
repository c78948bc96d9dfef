// The forward pass: one answer for a row whatever shares the step, however a prompt is cut, wherever its
// pages lie.
#include "../backend_options.h"
#include "base/rng.h"
#include "group_kv.h"
#include "late_backend.h"
#include "model/model.h"
#include "tiny_model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { VOCAB = 50, N = 90, PAGE = 32, N_PAGES = 12, MAX_ROWS = 2 * N };

typedef struct rig {
  pn_files *files;
  pn_backend *b;
  pn_model *m;
  group_kv kv;
} rig;

static char folder[64];
static int32_t text_a[N], text_b[N];
static const int32_t pages_a[] = {7, 2, 9, 4}, pages_b[] = {0, 11, 3, 5};

// By its name; or the oracle with whole plans: "mirror" from a module, "late" computing only what is waited
// for.
static pn_backend *open_backend(const char *name, int threads, pn_error *e) {
  if (strcmp(name, "mirror") == 0)
    return pn_backend_open(&(pn_backend_options){.name = "mirror", .folders = MODULES "/good"}, e);
  bool late = strcmp(name, "late") == 0;
  pn_backend *b = open_test_backend(late ? "ref" : name, threads, NULL, NULL, e);
  if (b && late) late_wrap(b, true);
  return b;
}

static rig open_rig(const char *backend, int threads) {
  pn_error e = {0};
  rig r;
  r.files = pn_files_open(folder, &e);
  r.b = open_backend(backend, threads, &e);
  r.m = r.files && r.b ? pn_model_open(r.files, r.b, &e) : NULL;
  if (!r.m) fail_msg("%s", e.msg);
  assert_true(pn_model_reserve(r.m, MAX_ROWS, 2, &e));
  assert_true(group_kv_open(&r.kv, r.m, r.b, PN_KV_F32, PAGE, N_PAGES, &e));
  return r;
}

static void close_rig(rig *r) {
  group_kv_close(&r->kv);
  pn_model_close(r->m);
  pn_backend_close(r->b);
  pn_files_close(r->files);
}

typedef struct rows {
  int32_t token[MAX_ROWS], seq[MAX_ROWS], pos[MAX_ROWS], slot[MAX_ROWS];
  int n;
} rows;

static void add(rows *r, const int32_t *text, const int32_t *pages, int seq, int from, int n) {
  for (int i = from; i < from + n; i++, r->n++) {
    r->token[r->n] = text[i];
    r->seq[r->n] = seq;
    r->pos[r->n] = i;
    r->slot[r->n] = pages[i / PAGE] * PAGE + i % PAGE;
  }
}

static void run(rig *g, const rows *r, const int32_t *const *pages, int n_seqs, const int32_t *want,
                int n_want, float *out, const pn_forward_trace *trace) {
  pn_error e = {0};
  const pn_batch bare = {r->n, n_seqs, r->token, r->seq, r->pos, 0, NULL, n_want, want},
                 batch = group_kv_batch(&g->kv, bare, r->slot, pages);
  if (!pn_model_forward(g->m, &batch, out, trace, &e)) fail_msg("%s", e.msg);
}

// Logits after the last token of text_a, its prompt cut into steps of `chunk`.
static void chunked(const char *backend, int threads, int chunk, float out[VOCAB]) {
  rig g = open_rig(backend, threads);
  const int32_t *pages[] = {pages_a};
  for (int at = 0; at < N; at += chunk) {
    static rows r;
    r.n = 0;
    add(&r, text_a, pages_a, 0, at, chunk < N - at ? chunk : N - at);
    int32_t last = r.n - 1;
    run(&g, &r, pages, 1, &last, at + r.n == N, out, NULL);
  }
  close_rig(&g);
}

static void chunking_and_threads_do_not_matter(void **state) {
  (void)state;
  static const char *const backends[] = {"ref", "cpu"};
  for (int k = 0; k < 2; k++) {
    float whole[VOCAB], other[VOCAB];
    chunked(backends[k], 1, N, whole);
    static const int chunks[] = {1, 2, 7, 13, 32, 33, 64};
    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++)
      for (int threads = 1; threads <= 3; threads += 2) {
        chunked(backends[k], threads, chunks[i], other);
        assert_memory_equal(whole, other, sizeof whole);
      }
  }
}

static void company_does_not_matter(void **state) {
  (void)state;
  static const char *const backends[] = {"ref", "cpu"};
  for (int k = 0; k < 2; k++) {
    float alone[VOCAB], both[2 * VOCAB];
    chunked(backends[k], 2, N, alone);
    rig g = open_rig(backends[k], 2);
    const int32_t *pages[] = {pages_b, pages_a};
    static rows r;
    r.n = 0;
    add(&r, text_b, pages_b, 0, 0, 40);
    add(&r, text_a, pages_a, 1, 0, 55);
    run(&g, &r, pages, 2, NULL, 0, both, NULL);
    r.n = 0;
    add(&r, text_a, pages_a, 1, 55, N - 55);
    add(&r, text_b, pages_b, 0, 40, 9);
    const int32_t want[] = {r.n - 1, N - 55 - 1};
    run(&g, &r, pages, 2, want, 2, both, NULL);
    assert_memory_equal(alone, both + VOCAB, sizeof alone);
    close_rig(&g);
  }
}

static void whole_plans_give_the_same(void **state) {
  (void)state;
  float ref[VOCAB], whole[VOCAB];
  chunked("ref", 1, N, ref);
  static const int chunks[] = {1, 13, 64, N};
  for (int i = 0; i < 4; i++) {
    chunked("mirror", 1, chunks[i], whole);
    assert_memory_equal(ref, whole, sizeof ref);
  }
}

// A pass over rows [from, to) of text_a, in one piece or layer by layer; logits after the last row to `out`
// unless NULL.
static void one_pass(rig *g, pn_pass *p, int from, int to, bool by_layer, float *out) {
  pn_error e = {0};
  const int32_t *pages[] = {pages_a}, end = to - from - 1;
  static rows r;
  r.n = 0;
  add(&r, text_a, pages_a, 0, from, to - from);
  const pn_batch bare = {r.n, 1, r.token, r.seq, r.pos, 0, NULL, out != NULL, &end},
                 batch = group_kv_batch(&g->kv, bare, r.slot, pages);
  assert_true(pn_pass_begin(p, &batch, &e));
  bool done = false;
  if (!by_layer) done = pn_pass_submit(p, &e);
  while (!done) assert_true(pn_pass_layer(p, NULL, &done, &e));
  const pn_logits l = pn_pass_logits(p);
  assert_true(g->b->ops->collect(g->b, l.ws, NULL, 0, &e));
  if (out) assert_true(g->b->ops->read(g->b, l.ws, l.view, 0, 1, out, &e));
}

static void passes_are_submitted(void **state) {
  (void)state;
  float ref[VOCAB], late[VOCAB];
  chunked("ref", 1, N, ref);
  for (int by_layer = 0; by_layer < 2; by_layer++) {
    rig g = open_rig("late", 1);
    pn_error e = {0};
    pn_pass *p = pn_pass_open(g.m, N, 1, &e);
    assert_non_null(p);
    assert_int_equal(late_counted().n_compiled, 2); // that of whole steps too
    one_pass(&g, p, 0, 40, by_layer, NULL);
    one_pass(&g, p, 40, N, by_layer, late);
    assert_memory_equal(ref, late, sizeof ref);
    assert_int_equal(late_counted().n_submits, by_layer ? 4 : 2);
    assert_int_equal(late_counted().n_early, 0);
    pn_pass_close(p);
    close_rig(&g);
  }
}

static void what_can_not_be_compiled_is_named(void **state) {
  (void)state;
  pn_error e = {0};
  rig g = open_rig("late", 1);
  late_refuse(PN_OP_SILU_MUL);
  assert_null(pn_pass_open(g.m, 8, 1, &e));
  assert_int_equal(e.code, PN_ERR_UNSUPPORTED);
  assert_string_equal(e.msg, "layer 0: the late backend has no silu_mul");
  assert_false(pn_model_reserve(g.m, 10 * N, 2, &e));
  late_refuse(PN_N_OPS);
  assert_int_equal(late_counted().n_compiled, 1);
  close_rig(&g);
}

static void cpu_agrees_with_ref(void **state) {
  (void)state;
  float ref[VOCAB], cpu[VOCAB];
  chunked("ref", 1, N, ref);
  chunked("cpu", 2, 30, cpu);
  for (int i = 0; i < VOCAB; i++) {
    assert_true(isfinite(ref[i]));
    assert_true(fabsf(ref[i] - cpu[i]) < 2e-4f);
  }
}

static bool count(void *ctx, const pn_step *step, const float *values, int n_rows) {
  assert_true(n_rows > 0 && step->name[0]);
  for (int i = 0; i < n_rows * step->out.width; i++) assert_true(isfinite(values[i]));
  int *left = ctx;
  return --*left > 0;
}

typedef struct clock_calls {
  const pn_plan *plan;
  int n; // -1: the batch has not begun
} clock_calls;

static void hear(void *ctx, const pn_step *s) {
  clock_calls *c = ctx;
  assert_true(c->n < 0 ? !s : s == &c->plan->steps[c->n]);
  c->n++;
}

static void a_clock_hears_every_step_once(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    rig g = open_rig(i ? "cpu" : "ref", 1);
    const int32_t *pages[] = {pages_a};
    static rows r;
    r.n = 0;
    add(&r, text_a, pages_a, 0, 0, 5);
    const int32_t last = 4;
    float plain[VOCAB], followed[VOCAB];
    run(&g, &r, pages, 1, &last, 1, plain, NULL);
    clock_calls c = {pn_model_plan(g.m), -1};
    run(&g, &r, pages, 1, &last, 1, followed, &(pn_forward_trace){.done = hear, .ctx = &c});
    assert_int_equal(c.n, c.plan->n_steps);
    assert_memory_equal(plain, followed, sizeof plain);
    close_rig(&g);
  }
}

static void a_trace_sees_every_op_and_can_stop(void **state) {
  (void)state;
  rig g = open_rig("ref", 1);
  const int32_t *pages[] = {pages_a};
  static rows r;
  r.n = 0;
  add(&r, text_a, pages_a, 0, 0, 5);
  const int32_t last = 4;
  float out[VOCAB];
  int left = 1000;
  run(&g, &r, pages, 1, &last, 1, out, &(pn_forward_trace){.after = count, .ctx = &left});
  int n_ops = 1000 - left;
  assert_int_equal(n_ops, 1 + 2 * 10 + 4); // embed; a layer's ten results; residual, last row, norm, logits
  for (int stop = 1; stop <= n_ops; stop++) {
    left = stop;
    memset(out, 0, sizeof out);
    run(&g, &r, pages, 1, &last, 1, out, &(pn_forward_trace){.after = count, .ctx = &left});
    assert_int_equal(left, 0);
    assert_true(out[0] == 0);
  }
  close_rig(&g);
}

static void claims_are_checked(void **state) {
  (void)state;
  rig g = open_rig("ref", 1);
  const int32_t *pages[] = {pages_a};
  static rows r;
  r.n = 0;
  add(&r, text_a, pages_a, 0, 0, 5);
  pn_error e = {0};
  float out[VOCAB];
  int32_t last = 5;
  const pn_batch bare = {5, 1, r.token, r.seq, r.pos, 0, NULL, 1, &last};
  pn_batch batch = group_kv_batch(&g.kv, bare, r.slot, pages);
  assert_false(pn_model_forward(g.m, &batch, out, NULL, &e));
  last = 4;
  r.token[2] = VOCAB;
  assert_false(pn_model_forward(g.m, &batch, out, NULL, &e));
  assert_int_equal(e.code, PN_ERR_USAGE);
  r.token[2] = -1;
  assert_false(pn_model_forward(g.m, &batch, out, NULL, &e));
  r.token[2] = 0;
  batch.n_kv = 0;
  assert_false(pn_model_forward(g.m, &batch, out, NULL, &e));
  batch.n_kv = g.kv.n;
  batch.n_rows = MAX_ROWS + 1;
  assert_false(pn_model_forward(g.m, &batch, out, NULL, &e));
  close_rig(&g);
}

static int set_up_with(const char *config, const tiny_fault *extra) {
  pn_rng rng;
  pn_rng_seed(&rng, 8);
  for (int i = 0; i < N; i++) {
    text_a[i] = (int32_t)pn_rng_below(&rng, VOCAB);
    text_b[i] = (int32_t)pn_rng_below(&rng, VOCAB);
  }
  return tiny_write(folder, config, extra) ? 0 : -1;
}

static int set_up(void **state) { return (void)state, set_up_with(TINY_LLAMA_CONFIG, NULL); }
static int set_up_window(void **state) { return (void)state, set_up_with(TINY_WINDOW(256), NULL); }
static int set_up_full_window(void **state) {
  return (void)state, set_up_with(TINY_FULL_WINDOW(256), &(tiny_fault){.biases = true});
}
static int set_up_state(void **state) {
  return (void)state, set_up_with(TINY_STATE_WINDOW(256), &(tiny_fault){.mixers = true});
}

static int set_up_experts(void **state) {
  return (void)state, set_up_with(TINY_EXPERTS(256), &(tiny_fault){.qk_norms = true, .experts = true});
}

static int set_up_delta(void **state) {
  return (void)state, set_up_with(TINY_DELTA_FULL(256), &(tiny_fault){.qk_norms = true, .deltas = true});
}

static int set_up_sandwich(void **state) {
  return (void)state, set_up_with(TINY_SANDWICH(256), &(tiny_fault){.qk_norms = true, .sandwich = true});
}

static int set_up_per_layer(void **state) {
  return (void)state, set_up_with(TINY_PER_LAYER(256),
                                  &(tiny_fault){.qk_norms = true, .sandwich = true, .per_layer = true});
}

static int tear_down(void **state) {
  (void)state;
  tiny_remove(folder);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(chunking_and_threads_do_not_matter),
                                     cmocka_unit_test(company_does_not_matter),
                                     cmocka_unit_test(cpu_agrees_with_ref),
                                     cmocka_unit_test(a_trace_sees_every_op_and_can_stop),
                                     cmocka_unit_test(a_clock_hears_every_step_once),
                                     cmocka_unit_test(whole_plans_give_the_same),
                                     cmocka_unit_test(passes_are_submitted),
                                     cmocka_unit_test(what_can_not_be_compiled_is_named),
                                     cmocka_unit_test(claims_are_checked)};
  const struct CMUnitTest other_layers[] = {
      cmocka_unit_test(chunking_and_threads_do_not_matter), cmocka_unit_test(company_does_not_matter),
      cmocka_unit_test(cpu_agrees_with_ref), cmocka_unit_test(whole_plans_give_the_same),
      cmocka_unit_test(passes_are_submitted)};
  return cmocka_run_group_tests(tests, set_up, tear_down) +
         cmocka_run_group_tests(other_layers, set_up_window, tear_down) +
         cmocka_run_group_tests(other_layers, set_up_full_window, tear_down) +
         cmocka_run_group_tests(other_layers, set_up_state, tear_down) +
         cmocka_run_group_tests(other_layers, set_up_experts, tear_down) +
         cmocka_run_group_tests(other_layers, set_up_delta, tear_down) +
         cmocka_run_group_tests(other_layers, set_up_sandwich, tear_down) +
         cmocka_run_group_tests(other_layers, set_up_per_layer, tear_down);
}
