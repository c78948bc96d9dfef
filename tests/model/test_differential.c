// Every step of a model's plan on `ref` and on another backend, each from the same inputs: the first step
// that differs is named. So a wrong op shows as itself and not as wrong logits at the end.
#include "../backend_options.h"
#include "../unit.h"
#include "base/rng.h"
#include "group_kv.h"
#include "model/model.h"
#include "tiny_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VOCAB = 50, ROWS = 37, PAGE = 32, N_PAGES = 4, WIDEST = 256 };

typedef struct side {
  pn_backend *b;
  pn_model *m;
  group_kv kv;
  pn_workspace *ws;
} side;

static int32_t token[ROWS], zeros[ROWS], pos[ROWS], slot[ROWS];
static const int32_t page_table[] = {3, 1}, *pages[] = {page_table}, logit_rows[] = {0, ROWS - 1};
static const pn_batch batch = {ROWS, 1, token, zeros, pos, 0, NULL, 2, logit_rows}; // without the KV

static void open_side(side *s, pn_files *files, const char *backend, const char *isa) {
  pn_error e = {0};
  *s = (side){.b = open_test_backend(backend, 2, isa, NULL, &e)};
  s->m = s->b ? pn_model_open(files, s->b, &e) : NULL;
  if (!s->m) fail_msg("%s", e.msg);
  s->ws = s->b->ops->workspace_open(s->b, pn_model_plan(s->m), ROWS, 2, &e);
  assert_true(s->ws && group_kv_open(&s->kv, s->m, s->b, PN_KV_F32, PAGE, N_PAGES, &e));
  const pn_batch full = group_kv_batch(&s->kv, batch, slot, pages);
  assert_true(s->b->ops->begin(s->b, s->ws, &full, &e));
}

static void close_side(side *s) {
  s->b->ops->workspace_close(s->b, s->ws);
  group_kv_close(&s->kv);
  pn_model_close(s->m);
  pn_backend_close(s->b);
}

static int rows_of(const side *s, pn_view v) {
  return pn_model_plan(s->m)->buffers[v.buffer].by_logits ? batch.n_logits : batch.n_rows;
}

static void read_view(const side *s, pn_view v, float *out) {
  pn_error e;
  assert_true(v.width <= WIDEST && s->b->ops->read(s->b, s->ws, v, 0, rows_of(s, v), out, &e));
}

static void copy_view(const side *from, const side *to, pn_view v) {
  static float rows[ROWS * WIDEST];
  if (v.width <= 0) return;
  read_view(from, v, rows);
  to->b->ops->write(to->b, to->ws, v, 0, rows_of(from, v), rows);
}

// The largest difference of what step `i` gives, against the size of the value; `broken` is run instead on
// the other.
static double difference(const side *ref, const side *other, int i, const pn_step *broken) {
  static float want[ROWS * WIDEST], got[ROWS * WIDEST];
  const pn_step *s = &pn_model_plan(ref->m)->steps[i];
  copy_view(ref, other, s->in[0]);
  copy_view(ref, other, s->in[1]);
  copy_view(ref, other, s->out); // of what is changed in place, and of what the step must leave alone
  ref->b->ops->run(ref->b, ref->ws, s);
  other->b->ops->run(other->b, other->ws, broken ? broken : &pn_model_plan(other->m)->steps[i]);
  if (s->out.width <= 0) return 0;
  read_view(ref, s->out, want);
  read_view(other, s->out, got);
  double most = 0, size = 1e-30;
  for (int k = 0; k < rows_of(ref, s->out) * s->out.width; k++) {
    assert_true(isfinite(want[k]));
    size = fmax(size, fabs((double)want[k]));
    most = fmax(most, fabs((double)want[k] - (double)got[k]));
  }
  return most / size;
}

// The first step that differs by more than `tolerance`; -1: none. From step `at` on, the other runs `broken`.
static int first_difference(const side *ref, const side *other, double tolerance, int at,
                            const pn_step *broken) {
  int n = pn_model_plan(ref->m)->n_steps;
  assert_int_equal(n, pn_model_plan(other->m)->n_steps);
  for (int i = 0; i < n; i++)
    if (!(difference(ref, other, i, i == at ? broken : NULL) <= tolerance)) return i;
  return -1;
}

static const struct {
  const char *config;
  tiny_fault extra;
} families[] = {
    {TINY_LLAMA_CONFIG, {0}},
    {TINY_CONFIG_OF("qwen2"), {.biases = true}},
    {TINY_CONFIG_OF("qwen3"), {.qk_norms = true}},
    {TINY_FULL_WINDOW(256), {.biases = true}},
    {TINY_STATE_FULL(256), {.mixers = true}},
    {TINY_EXPERTS(256), {.qk_norms = true, .experts = true}},
    {TINY_DELTA_FULL(256), {.qk_norms = true, .deltas = true}},
    {TINY_SANDWICH(256), {.qk_norms = true, .sandwich = true}},
    {TINY_PER_LAYER(256), {.qk_norms = true, .sandwich = true, .per_layer = true}},
};
enum { N_FAMILIES = sizeof families / sizeof *families, WITH_QK_NORMS = 2, WITH_EXPERTS = 5 };

static void every_step_agrees(void **state) {
  (void)state;
  for (int f = 0; f < N_FAMILIES; f++) {
    char folder[64];
    pn_error e = {0};
    assert_true(tiny_write(folder, families[f].config, &families[f].extra));
    pn_files *files = pn_files_open(folder, &e);
    side ref;
    open_side(&ref, files, "ref", NULL);
    for (const char *const *isa = test_isas(); *isa; isa++) {
      side other;
      open_side(&other, files, "cpu", *isa);
      int at = first_difference(&ref, &other, 1e-5, -1, NULL);
      if (at >= 0) {
        const pn_step *s = &pn_model_plan(ref.m)->steps[at];
        fail_msg("%s, family %d: step %d differs: %s of layer %d (%s)", *isa, f, at, s->name, s->layer,
                 pn_op_name(s->op));
      }
      close_side(&other);
    }
    close_side(&ref);
    pn_files_close(files);
    tiny_remove(folder);
  }
}

// A step that is wrong is found, and found itself: not one behind it.
static void check_wrong_steps(int family) {
  char folder[64];
  pn_error e = {0};
  assert_true(tiny_write(folder, families[family].config, &families[family].extra));
  pn_files *files = pn_files_open(folder, &e);
  side ref, other;
  open_side(&ref, files, "ref", NULL);
  open_side(&other, files, "cpu", NULL);
  const pn_plan *plan = pn_model_plan(other.m);
  for (int i = 0; i < plan->n_steps; i++) {
    pn_step wrong = plan->steps[i];
    switch (wrong.op) { // a little wrong
    case PN_OP_EMBED: wrong.embed.scale = 1.001f; break;
    case PN_OP_RMSNORM:
    case PN_OP_ADD_RMSNORM: wrong.norm.eps = 0.01f; break;
    case PN_OP_ROPE: wrong.rope.n_heads--; break;
    case PN_OP_ATTENTION: wrong.attention.window = 30; break;
    case PN_OP_ROUTE: wrong.route.scale = 1.001f; break;
    case PN_OP_EXPERTS: wrong.w[0] = wrong.w[1]; break;
    case PN_OP_MATMUL: wrong.in[0].offset = 0, wrong.in[0].buffer = 0; break;
    default: continue;
    }
    if (wrong.op == PN_OP_MATMUL && wrong.in[0].width != plan->buffers[0].width) continue;
    if (wrong.op == PN_OP_MATMUL && plan->buffers[plan->steps[i].in[0].buffer].by_logits) continue;
    assert_int_equal(first_difference(&ref, &other, 1e-5, i, &wrong), i);
  }
  close_side(&ref);
  close_side(&other);
  pn_files_close(files);
  tiny_remove(folder);
}

static void a_wrong_step_is_named(void **state) {
  (void)state;
  check_wrong_steps(WITH_QK_NORMS);
  check_wrong_steps(WITH_EXPERTS);
}

int main(void) {
  pn_rng rng;
  pn_rng_seed(&rng, 11);
  for (int i = 0; i < ROWS; i++) {
    token[i] = (int32_t)pn_rng_below(&rng, VOCAB);
    pos[i] = i;
    slot[i] = page_table[i / PAGE] * PAGE + i % PAGE;
  }
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_step_agrees),
                                     cmocka_unit_test(a_wrong_step_is_named)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
