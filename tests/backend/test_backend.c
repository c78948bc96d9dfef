#include "../backend_options.h"
#include "backend/backend.h"
#include "one_op.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on

static void refused(const char *name, const char *isa, int threads, pn_code code, const char *word) {
  pn_error e = {0};
  assert_null(open_test_backend(name, threads, isa, NULL, &e));
  assert_int_equal(e.code, code);
  assert_non_null(strstr(e.msg, word));
}

static void opens_by_name(void **state) {
  (void)state;
  static const char *const names[][2] = {{NULL, "cpu"}, {"auto", "cpu"}, {"cpu", "cpu"}, {"ref", "ref"}};
  for (size_t i = 0; i < 4; i++) {
    pn_backend *b = pn_backend_open(&(pn_backend_options){.name = names[i][0]}, NULL);
    assert_non_null(b);
    assert_string_equal(b->ops->name, names[i][1]);
    assert_int_equal(b->ops->version, PN_BACKEND_VERSION);
    assert_int_equal(strncmp(b->ops->describe(b), names[i][1], 3), 0);
    pn_backend_close(b);
  }
  pn_backend_close(NULL);
  refused("cuda", NULL, 0, PN_ERR_DEVICE, "cuda");
  refused("mlx", NULL, 0, PN_ERR_DEVICE, "mlx");
  refused("gpu", NULL, 0, PN_ERR_USAGE, "gpu");
  refused("cpu", "mmx", 0, PN_ERR_USAGE, "scalar");
  refused("cpu", NULL, -1, PN_ERR_USAGE, "-1");
  refused("cpu", NULL, 100000, PN_ERR_USAGE, "100000");
  refused("ref", NULL, -2, PN_ERR_USAGE, "-2");
}

static void precisions_of_activations(void **state) {
  (void)state;
  static const char *const names[][2] = {
      {NULL, "int16 activations"}, {"int16", "int16 activations"}, {"int8", "int8 activations"}};
  for (size_t i = 0; i < 3; i++) {
    pn_backend *b = open_test_backend("cpu", 2, NULL, names[i][0], NULL);
    assert_non_null(b);
    assert_non_null(strstr(b->ops->describe(b), "2 threads, "));
    assert_non_null(strstr(b->ops->describe(b), names[i][1]));
    pn_backend_close(b);
  }
  static const char *const unknown[] = {"int4", "", "INT8", "int16 "};
  for (size_t i = 0; i < 4; i++) {
    pn_error e = {0};
    assert_null(open_test_backend("cpu", 1, NULL, unknown[i], &e));
    assert_int_equal(e.code, PN_ERR_USAGE);
    assert_non_null(strstr(e.msg, "activations: expected one of int16, int8"));
  }
}

// A setting that a backend doesn't declare is an error, or left out when it is only meant for those that do.
static void settings_by_name(void **state) {
  (void)state;
  pn_error e = {0};
  assert_null(open_test_backend("ref", 1, "scalar", NULL, &e));
  assert_int_equal(e.code, PN_ERR_USAGE);
  assert_non_null(strstr(e.msg, "the backend 'ref' has no setting 'isa'; it has threads"));
  pn_backend *b = pn_backend_open(
      &(pn_backend_options){"ref", {{"isa", "scalar", true}, {"threads", "3", true}}, NULL}, &e);
  assert_non_null(b);
  assert_non_null(strstr(b->ops->describe(b), "3 threads"));
  pn_backend_close(b);
  assert_null(pn_backend_open(&(pn_backend_options){"cpu", {{"threads", "two", false}}, NULL}, &e));
  assert_non_null(strstr(e.msg, "threads: expected 0 to 256, found \"two\""));
}

static void isas_are_usable(void **state) {
  (void)state;
  const char *const *isas = test_isas();
  int n = 0;
  for (; isas[n]; n++) {
    pn_error e;
    pn_backend *b = open_test_backend("cpu", 1, isas[n], NULL, &e);
    assert_non_null(b);
    assert_non_null(strstr(b->ops->describe(b), isas[n]));
    assert_non_null(strstr(b->ops->describe(b), "1 thread"));
    pn_backend_close(b);
  }
  assert_true(n >= 1);
  assert_string_equal(isas[n - 1], "scalar");
  assert_true(strlen(pn_backend_builtin("cpu")->about()) > 0);
}

static void kv_sizes(void **state) {
  (void)state;
  static const char *const names[] = {"ref", "cpu"};
  for (int k = 0; k < 2; k++) {
    pn_backend *b =
        pn_backend_open(&(pn_backend_options){.name = names[k], .settings = {{"threads", "1", false}}}, NULL);
    pn_kv_shape phi3 = {32, 32, 96, 32, 100, PN_KV_F16, 0};
    assert_true(b->ops->kv_bytes(b, &phi3) == 393216ull * 3200);
    pn_kv_shape huge = {INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX, PN_KV_F32, 0};
    assert_true(b->ops->kv_bytes(b, &huge) == UINT64_MAX);
    assert_true(b->ops->kv_bytes(b, &(pn_kv_shape){1, 1, -1, 32, 1, PN_KV_F16, 0}) == 0);
    pn_backend_close(b);
  }
}

static void kv_refused(void **state) {
  (void)state;
  static const pn_kv_shape bad[] = {
      {0, 1, 64, 32, 1, PN_KV_F16, 0},  {1, 0, 64, 32, 1, PN_KV_F16, 0},  {1, 1, 0, 32, 1, PN_KV_F16, 0},
      {1, 1, 64, 0, 1, PN_KV_F16, 0},   {1, 1, 64, 32, 0, PN_KV_F16, 0},  {1, 1, 64, 32, 1, PN_KV_N_TYPES, 0},
      {-1, 1, 64, 32, 1, PN_KV_F16, 0}, {1, 1, 64, 32, -5, PN_KV_F16, 0},
  };
  static const pn_kv_shape huge = {INT32_MAX, INT32_MAX, 65536, 256, INT32_MAX, PN_KV_F32, 0};
  static const char *const names[] = {"ref", "cpu"};
  for (int k = 0; k < 2; k++) {
    pn_backend *b =
        pn_backend_open(&(pn_backend_options){.name = names[k], .settings = {{"threads", "1", false}}}, NULL);
    pn_error e = {0};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
      assert_null(b->ops->kv_open(b, &bad[i], &e));
      assert_int_equal(e.code, PN_ERR_UNSUPPORTED);
    }
    assert_null(b->ops->kv_open(b, &huge, &e));
    assert_int_equal(e.code, PN_ERR_NOMEM);
    pn_backend_close(b);
  }
}

// Memory of a workspace is zeroed, and a large one costs nothing until it is touched.
static void workspaces(void **state) {
  (void)state;
  static const char *const names[] = {"ref", "cpu"};
  const pn_buffer buffer = {1 << 20, true}, endless = {INT32_MAX, true};
  const pn_plan plan = {.buffers = &buffer, .n_buffers = 1},
                too_large = {.buffers = &endless, .n_buffers = 1};
  for (int k = 0; k < 2; k++) {
    pn_backend *b =
        pn_backend_open(&(pn_backend_options){.name = names[k], .settings = {{"threads", "1", false}}}, NULL);
    pn_error e = {0};
    enum { ROWS = 4096 };
    assert_true(b->ops->workspace_bytes(b, &plan, 0, ROWS) >= (uint64_t)ROWS << 22);
    pn_workspace *ws = b->ops->workspace_open(b, &plan, 0, ROWS, &e);
    assert_non_null(ws);
    static float row[1 << 20];
    row[7] = 3;
    assert_true(b->ops->read(b, ws, (pn_view){0, 0, 1 << 20}, ROWS - 1, 1, row, &e));
    assert_true(row[7] == 0 && row[(1 << 20) - 1] == 0);
    row[7] = 3;
    b->ops->write(b, ws, (pn_view){0, 16, 8}, 5, 1, row);
    assert_true(b->ops->read(b, ws, (pn_view){0, 20, 4}, 5, 1, row, &e));
    assert_true(row[3] == 3 && row[0] == 0);
    assert_false(b->ops->begin(b, ws, &(pn_batch){.n_rows = 1}, &e));
    assert_int_equal(e.code, PN_ERR_INTERNAL);
    assert_true(b->ops->sync(b, &e));
    b->ops->workspace_close(b, ws);
    b->ops->workspace_close(b, NULL);
    assert_null(b->ops->workspace_open(b, &too_large, 0, INT32_MAX, &e));
    assert_int_equal(e.code, PN_ERR_NOMEM);
    pn_backend_close(b);
  }
}

// A buffer shares memory with another exactly when their values are never needed at the same time.
static void layouts(void **state) {
  (void)state;
  enum { X, A, B, OUT };
  const pn_buffer buffers[] = {{64, false}, {256, false}, {128, false}, {32, true}};
  const pn_view x = {X, 0, 64}, a = {A, 0, 256}, b = {B, 0, 128}, half = {B, 0, 64}, out = {OUT, 0, 32};
  const pn_step steps[] = {{.op = PN_OP_EMBED, .out = x},
                           {.op = PN_OP_MATMUL, .in = {x}, .out = a},
                           {.op = PN_OP_ADD, .in = {{A, 0, 64}}, .out = x},
                           {.op = PN_OP_MATMUL, .in = {x}, .out = b},
                           {.op = PN_OP_ADD, .in = {half}, .out = x},
                           {.op = PN_OP_GATHER, .in = {x}, .out = out}};
  pn_plan plan = {steps, 6, buffers, 4, NULL, 0};
  uint64_t at[4];
  enum { ROWS = 3, LOGITS = 2 };
  const uint64_t xs = ROWS * 64 * 4, as = ROWS * 256 * 4;
  assert_true(pn_plan_layout(&plan, ROWS, LOGITS, at) == as + xs);
  assert_true(at[A] == 0 && at[B] == 0 && at[X] == as && at[OUT] == 0);
  plan.n_steps = 4; // then b is what is asked for, and x is not needed behind it
  assert_true(pn_plan_layout(&plan, ROWS, LOGITS, at) == as + xs && at[B] == 0 && at[X] == as);
  pn_step partly[6];
  memcpy(partly, steps, sizeof partly);
  partly[3].out = half; // the rest of b stays as it was, so it must have been kept
  plan.steps = partly;
  plan.n_steps = 6;
  partly[4].in[0] = b;
  assert_true(pn_plan_layout(&plan, ROWS, LOGITS, at) == as + xs + ROWS * 128 * 4);
  assert_true(at[B] >= as);
  for (int i = 0; i < 4; i++) assert_int_equal(at[i] % 64, 0);
  assert_string_equal(pn_op_name(PN_OP_ADD_RMSNORM), "add_rmsnorm");
  assert_string_equal(pn_op_name(PN_N_OPS), "unknown");
}

// row[i] of the matrix as ref reads it: the embedding of token 0.
static void embed_row(const pn_matrix *m, float *out) {
  pn_backend *b =
      pn_backend_open(&(pn_backend_options){.name = "ref", .settings = {{"threads", "1", false}}}, NULL);
  pn_error e = {0};
  pn_weight *w = b->ops->weight_open(b, m, &e);
  assert_non_null(w);
  int32_t zero = 0;
  const int cols = (int)m->cols;
  const pn_step s = {.op = PN_OP_EMBED, .w = {w}, .n_weights = 1, .embed = {1}};
  run_one_op(b, s, NULL, &(pn_batch){.n_rows = 1, .token = &zero}, (op_rows){0}, (op_rows){0},
             (op_rows){out, 1, cols, cols});
  b->ops->weight_close(b, w);
  pn_backend_close(b);
}

// Codes 0, 1, 2, ... written bit by bit; values must be code * scale + bias of their group.
static void ref_reads_affine(void **state) {
  (void)state;
  static const int bits[] = {2, 3, 4, 5, 6, 8};
  for (int k = 0; k < 6; k++) {
    enum { COLS = 128, GROUP = 32 };
    unsigned char data[COLS] = {0};
    float scales[COLS / GROUP] = {2, -0.5f, 1, 0.25f}, biases[COLS / GROUP] = {1, 100, -3, 0}, out[COLS];
    for (int i = 0; i < COLS; i++)
      for (int bit = 0; bit < bits[k]; bit++) {
        int at = i * bits[k] + bit;
        if ((i * 5 + 3) >> bit & 1) data[at / 8] = (unsigned char)(data[at / 8] | 1 << at % 8);
      }
    embed_row(&(pn_matrix){.kind = PN_AFFINE,
                           .rows = 1,
                           .cols = COLS,
                           .data = data,
                           .row_bytes = (size_t)(COLS * bits[k] / 8),
                           .scales = scales,
                           .biases = biases,
                           .scale_dtype = PN_F32,
                           .bits = bits[k],
                           .group = GROUP},
              out);
    for (int i = 0; i < COLS; i++) {
      int code = (i * 5 + 3) & ((1 << bits[k]) - 1);
      assert_true(out[i] == (float)code * scales[i / GROUP] + biases[i / GROUP]);
    }
  }
}

static void ref_reads_blocks(void **state) {
  (void)state;
  // d = 0.5 (f16 0x3800), m = -2 (0xC000); byte i of nibbles is i | (15 - i) << 4
  unsigned char q41[20] = {0x00, 0x38, 0x00, 0xC0}, q40[18] = {0x00, 0x38}, q80[34] = {0x00, 0x38};
  float out[32];
  for (int i = 0; i < 16; i++) q41[4 + i] = q40[2 + i] = (unsigned char)(i | (15 - i) << 4);
  for (int i = 0; i < 32; i++) q80[2 + i] = (unsigned char)(i * 8 - 128);
  embed_row(&(pn_matrix){.kind = PN_Q4_1, .rows = 1, .cols = 32, .data = q41, .row_bytes = 20}, out);
  for (int i = 0; i < 32; i++) assert_true(out[i] == (float)(i < 16 ? i : 31 - i) * 0.5f - 2);
  embed_row(&(pn_matrix){.kind = PN_Q4_0, .rows = 1, .cols = 32, .data = q40, .row_bytes = 18}, out);
  for (int i = 0; i < 32; i++) assert_true(out[i] == (float)((i < 16 ? i : 31 - i) - 8) * 0.5f);
  embed_row(&(pn_matrix){.kind = PN_Q8_0, .rows = 1, .cols = 32, .data = q80, .row_bytes = 34}, out);
  for (int i = 0; i < 32; i++) assert_true(out[i] == (float)(i * 8 - 128) * 0.5f);
  const float factor = 0.3f;
  embed_row(&(pn_matrix){.kind = PN_Q8_0,
                         .rows = 1,
                         .cols = 32,
                         .data = q80,
                         .row_bytes = 34,
                         .factors = &factor,
                         .factor_rows = 1},
            out);
  for (int i = 0; i < 32; i++) assert_true(out[i] == (float)(i * 8 - 128) * 0.5f * 0.3f);
}

static void weights_refused(void **state) {
  (void)state;
  static const float scales[8] = {0};
  static const unsigned char data[1024] = {0};
  const pn_matrix good = {.kind = PN_AFFINE,
                          .rows = 1,
                          .cols = 128,
                          .data = data,
                          .row_bytes = 64,
                          .scales = scales,
                          .biases = scales,
                          .scale_dtype = PN_F32,
                          .bits = 4,
                          .group = 32};
  static const char *const names[] = {"ref", "cpu"};
  for (int k = 0; k < 2; k++) {
    pn_backend *b =
        pn_backend_open(&(pn_backend_options){.name = names[k], .settings = {{"threads", "1", false}}}, NULL);
    pn_error e = {0};
    pn_weight *w = b->ops->weight_open(b, &good, &e);
    assert_non_null(w);
    b->ops->weight_close(b, w);
    pn_matrix bad[10];
    for (int i = 0; i < 10; i++) bad[i] = good;
    bad[0].bits = 7;
    bad[1].group = 48;
    bad[2].scale_dtype = PN_I8;
    bad[3].cols = 100;
    bad[4].row_bytes = 63;
    bad[5].rows = 0;
    bad[6].kind = (pn_dtype)99;
    bad[7].kind = PN_Q4_0, bad[7].cols = 33;
    bad[8].cols = -32;
    bad[9].factors = scales, bad[9].factor_rows = 1;
    for (int i = 0; i < 10; i++) {
      e.code = PN_OK;
      assert_null(b->ops->weight_open(b, &bad[i], &e));
      assert_true(e.code == PN_ERR_UNSUPPORTED || e.code == PN_ERR_CORRUPT);
    }
    pn_backend_close(b);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(opens_by_name),    cmocka_unit_test(precisions_of_activations),
      cmocka_unit_test(settings_by_name), cmocka_unit_test(isas_are_usable),
      cmocka_unit_test(kv_sizes),         cmocka_unit_test(kv_refused),
      cmocka_unit_test(workspaces),       cmocka_unit_test(layouts),
      cmocka_unit_test(ref_reads_affine), cmocka_unit_test(ref_reads_blocks),
      cmocka_unit_test(weights_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
