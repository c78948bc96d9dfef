#include "build_files.h"
#include "check_formats.h"

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
// clang-format on

#define N_VALUES 16

static void build_scalars(pn_buf *b) {
  build_key(b, "u8", PN_GGUF_U8), pn_buf_char(b, (char)200);
  build_key(b, "i8", PN_GGUF_I8), pn_buf_char(b, (char)200);
  build_key(b, "u16", PN_GGUF_U16), pn_buf_add(b, "\xFE\xFF", 2);
  build_key(b, "i16", PN_GGUF_I16), pn_buf_add(b, "\xFE\xFF", 2);
  build_key(b, "u32", PN_GGUF_U32), build_u32(b, 0xFFFFFFFE);
  build_key(b, "i32", PN_GGUF_I32), build_u32(b, 0xFFFFFFFE);
  build_key(b, "f32", PN_GGUF_F32), build_u32(b, 0x40200000); // 2.5
  build_key(b, "bool", PN_GGUF_BOOL), pn_buf_char(b, 1);
  build_key(b, "str", PN_GGUF_STR), build_str(b, "h\xC3\xA9llo");
  build_key(b, "u64", PN_GGUF_U64), build_u64(b, 0xFFFFFFFFFFFFFFFE);
  build_key(b, "i64", PN_GGUF_I64), build_u64(b, 0xFFFFFFFFFFFFFFFE);
  build_key(b, "f64", PN_GGUF_F64), build_u64(b, 0xC008000000000000); // -3
}

// All value types, three arrays, an alignment of 64, and tensors of plain, block and foreign types.
static size_t build_good(pn_buf *b, uint32_t version) {
  build_gguf_start(b, version, 5, N_VALUES);
  build_scalars(b);
  build_array(b, "strs", PN_GGUF_STR, 3);
  build_str(b, "a"), build_str(b, ""), build_str(b, "\xFF!"); // a token may be any bytes
  build_array(b, "ints", PN_GGUF_I32, 2), build_u32(b, 7), build_u32(b, 0xFFFFFFFF);
  build_array(b, "none", PN_GGUF_STR, 0);
  build_key(b, "general.alignment", PN_GGUF_U32), build_u32(b, 64);
  build_info(b, "q", 64, 3, 3, 64);         // Q4_1: 3 rows of 2 blocks of 20 bytes
  build_info(b, "f", 5, 0, 0, 0);           // F32: 20 bytes
  build_info(b, "mx", 32, 0, 39, 192);      // MXFP4: 17 bytes
  build_info(b, "old", 8, 0, 4, 512);       // Q4_2: withdrawn, size not known
  build_str(b, "experts"), build_u32(b, 3); // IQ4_NL: 2 experts of 3 rows of one block of 18 bytes
  build_u64(b, 32), build_u64(b, 3), build_u64(b, 2), build_u32(b, 20), build_u64(b, 256);
  build_align(b, 64);
  size_t begin = b->n;
  for (int i = 0; i < 522; i++) pn_buf_char(b, (char)i);
  return begin;
}

static void check_numbers(const pn_gguf *g) {
  static const struct {
    const char *key;
    int64_t n;
  } ints[] = {{"u8", 200},
              {"i8", -56},
              {"u16", 65534},
              {"i16", -2},
              {"u32", 4294967294},
              {"i32", -2},
              {"general.alignment", 64},
              {"bool", 1},
              {"i64", -2},
              {"f64", -3}};
  int64_t n;
  double d;
  for (size_t i = 0; i < sizeof ints / sizeof *ints; i++) {
    const pn_gguf_value *v = pn_gguf_get(g, ints[i].key);
    assert_true(pn_gguf_int(v, 0, &n));
    assert_int_equal(n, ints[i].n);
    assert_true(pn_gguf_num(v, 0, &d));
    assert_true(d == (double)ints[i].n);
    assert_false(pn_gguf_int(v, 1, &n));
    assert_int_equal(pn_gguf_str(v, 0).n, 0);
  }
  assert_false(pn_gguf_int(pn_gguf_get(g, "f32"), 0, &n)); // 2.5
  assert_true(pn_gguf_num(pn_gguf_get(g, "f32"), 0, &d) && d == 2.5);
  assert_false(pn_gguf_int(pn_gguf_get(g, "u64"), 0, &n)); // beyond int64_t
  assert_true(pn_gguf_num(pn_gguf_get(g, "u64"), 0, &d) && d == 0x1p64);
  assert_false(pn_gguf_int(pn_gguf_get(g, "str"), 0, &n));
  assert_false(pn_gguf_num(NULL, 0, &d));
  assert_false(pn_gguf_int(NULL, 0, &n));
  assert_int_equal(pn_gguf_str(NULL, 0).n, 0);
}

static void check_good(const pn_gguf *g, const char *data) {
  assert_int_equal(g->alignment, 64);
  assert_int_equal(g->n_values, N_VALUES);
  check_numbers(g);
  assert_null(pn_gguf_get(g, "u"));
  assert_true(pn_str_is(pn_gguf_str(pn_gguf_get(g, "str"), 0), "h\xC3\xA9llo"));
  const pn_gguf_value *v = pn_gguf_get(g, "strs");
  assert_true(v->is_array && v->n == 3 && v->type == PN_GGUF_STR);
  assert_true(pn_str_is(pn_gguf_str(v, 2), "\xFF!"));
  assert_int_equal(pn_gguf_str(v, 3).n, 0);
  int64_t n;
  assert_true(pn_gguf_int(pn_gguf_get(g, "ints"), 1, &n) && n == -1);
  assert_int_equal(pn_gguf_get(g, "none")->n, 0);
  assert_int_equal(g->tensors.n, 5);
  const pn_tensor *t = pn_tensors_find(&g->tensors, PN_STR("q"));
  assert_int_equal(t->dtype, PN_Q4_1);
  assert_int_equal(t->n_dims, 2);
  assert_int_equal(t->shape[0], 3);
  assert_int_equal(t->shape[1], 64);
  assert_int_equal(t->n_bytes, 120);
  assert_ptr_equal(t->data, data + 64);
  t = pn_tensors_find(&g->tensors, PN_STR("mx"));
  assert_int_equal(t->dtype, PN_MXFP4);
  assert_string_equal(t->type_name, "MXFP4");
  assert_int_equal(t->n_bytes, 17);
  t = pn_tensors_find(&g->tensors, PN_STR("experts"));
  assert_true(t->n_dims == 3 && t->shape[0] == 2 && t->shape[1] == 3 && t->shape[2] == 32);
  assert_int_equal(t->n_bytes, 2 * 3 * 18);
  t = pn_tensors_find(&g->tensors, PN_STR("old"));
  assert_string_equal(t->type_name, "Q4_2");
  assert_int_equal(t->n_bytes, 10); // up to the end of the data
}

static void test_good(void **state) {
  (void)state;
  for (uint32_t version = 2; version <= 3; version++) {
    pn_buf b = {0};
    size_t begin = build_good(&b, version);
    pn_arena a = {0};
    pn_gguf g;
    pn_error e = {0};
    if (!pn_gguf_parse(&a, pn_buf_view(&b), "good", &g, &e)) fail_msg("%s", e.msg);
    assert_int_equal(g.version, version);
    assert_null(check_gguf(pn_buf_view(&b), &g));
    check_good(&g, b.p + begin);
    pn_arena_fini(&a);
    pn_buf_fini(&b);
  }
}

// The bytes must be refused with this code and these words; frees b.
static void refuse(pn_buf *b, pn_code code, const char *words) {
  char *copy = build_exact(b->p, b->n);
  pn_arena a = {0};
  pn_gguf g;
  pn_error e = {0};
  if (pn_gguf_parse(&a, (pn_str){copy, b->n}, "FILE", &g, &e)) fail_msg("accepted; expected: %s", words);
  if (!strstr(e.msg, words) || !strstr(e.msg, "FILE") || e.code != code)
    fail_msg("%s (%s); expected: %s", e.msg, pn_code_name(e.code), words);
  assert_int_equal(g.tensors.n, 0);
  pn_arena_fini(&a);
  free(copy);
  pn_buf_fini(b);
  *b = (pn_buf){0};
}

static void test_bad_start(void **state) {
  (void)state;
  pn_buf b = {0};
  refuse(&b, PN_ERR_CORRUPT, "no \"GGUF\" at offset 0");
  pn_buf_z(&b, "GGML\3\0\0\0");
  refuse(&b, PN_ERR_CORRUPT, "no \"GGUF\" at offset 0");
  pn_buf_z(&b, "version https://git-lfs.github.com/spec/v1");
  refuse(&b, PN_ERR_CORRUPT, "git lfs pull");
  build_gguf_start(&b, 1, 0, 0);
  refuse(&b, PN_ERR_UNSUPPORTED, "GGUF version 1 is not supported");
  build_gguf_start(&b, 0x03000000, 0, 0);
  refuse(&b, PN_ERR_UNSUPPORTED, "big-endian");
  build_gguf_start(&b, 4, 0, 0);
  refuse(&b, PN_ERR_UNSUPPORTED, "GGUF version 4 at offset 4");
  build_gguf_start(&b, 0, 0, 0);
  refuse(&b, PN_ERR_UNSUPPORTED, "GGUF version 0");
  build_gguf_start(&b, 3, 0, UINT64_MAX);
  refuse(&b, PN_ERR_CORRUPT, "18446744073709551615 metadata entries (offset 16) don't fit");
  build_gguf_start(&b, 3, UINT64_MAX / 25 + 2, 0);
  refuse(&b, PN_ERR_CORRUPT, "tensors (offset 8) don't fit");
  build_gguf_start(&b, 3, 0, 65537);
  build_zeros(&b, 65537 * 14);
  refuse(&b, PN_ERR_LIMIT, "65537 metadata entries; at most 65536");
}

static void test_bad_values(void **state) {
  (void)state;
  pn_buf b = {0};
  build_gguf_start(&b, 3, 0, 1), build_key(&b, "k", 13), build_u32(&b, 0);
  refuse(&b, PN_ERR_CORRUPT, "metadata \"k\": type 13 at offset 33 is not one of 0 to 12");
  build_gguf_start(&b, 3, 0, 1), build_key(&b, "", PN_GGUF_U32), build_u32(&b, 0);
  refuse(&b, PN_ERR_CORRUPT, "a metadata key at offset 24 (0 bytes) must be 1 to 65535 bytes of UTF-8");
  build_gguf_start(&b, 3, 0, 1), build_key(&b, "\xFF", PN_GGUF_U32), build_u32(&b, 0);
  refuse(&b, PN_ERR_CORRUPT, "UTF-8");
  build_gguf_start(&b, 3, 0, 1), build_key(&b, "k", PN_GGUF_BOOL), pn_buf_char(&b, 2);
  refuse(&b, PN_ERR_CORRUPT, "a boolean at offset 37 is 2");
  build_gguf_start(&b, 3, 0, 1), build_key(&b, "k", PN_GGUF_STR), build_u64(&b, UINT64_MAX);
  refuse(&b, PN_ERR_CORRUPT, "needs 18446744073709551615 bytes, but only 0 are left");
  build_gguf_start(&b, 3, 0, 1), build_array(&b, "k", PN_GGUF_ARRAY, 1), build_zeros(&b, 20);
  refuse(&b, PN_ERR_UNSUPPORTED, "array of arrays");
  build_gguf_start(&b, 3, 0, 1), build_array(&b, "k", PN_GGUF_U64, (uint64_t)1 << 61), build_zeros(&b, 20);
  refuse(&b, PN_ERR_CORRUPT,
         "claims 2305843009213693952 elements of 8 bytes or more, but only 20 bytes are left");
  build_gguf_start(&b, 3, 0, 1), build_array(&b, "k", PN_GGUF_STR, 3), build_zeros(&b, 20);
  refuse(&b, PN_ERR_CORRUPT, "claims 3 elements");
  build_gguf_start(&b, 3, 0, 1), build_array(&b, "k", PN_GGUF_STR, 2), build_u64(&b, 9), build_u64(&b, 0);
  refuse(&b, PN_ERR_CORRUPT, "a metadata string");
  build_gguf_start(&b, 3, 0, 2);
  build_key(&b, "twin", PN_GGUF_U8), pn_buf_char(&b, 0), build_key(&b, "twin", PN_GGUF_U8),
      pn_buf_char(&b, 0);
  refuse(&b, PN_ERR_CORRUPT, "the metadata name \"twin\" occurs twice");
}

static void refuse_alignment(uint32_t type, uint64_t value) {
  pn_buf b = {0};
  build_gguf_start(&b, 3, 0, 1);
  build_key(&b, "general.alignment", type);
  if (type == PN_GGUF_STR)
    build_str(&b, "32");
  else
    build_u64(&b, value);
  refuse(&b, PN_ERR_CORRUPT, "general.alignment must be a power of two");
}

// One tensor alone behind the start, with n_data bytes of aligned data.
static void refuse_tensor(uint64_t row, uint64_t rows, uint32_t type, uint64_t at, size_t n_data,
                          pn_code code, const char *words) {
  pn_buf b = {0};
  build_gguf_start(&b, 3, 1, 0);
  build_info(&b, "t", row, rows, type, at);
  build_align(&b, 32);
  build_zeros(&b, n_data);
  refuse(&b, code, words);
}

static void test_bad_tensors(void **state) {
  (void)state;
  const pn_code bad = PN_ERR_CORRUPT;
  refuse_alignment(PN_GGUF_U64, 0);
  refuse_alignment(PN_GGUF_U64, 48);
  refuse_alignment(PN_GGUF_U64, (uint64_t)1 << 32);
  refuse_alignment(PN_GGUF_STR, 0);
  refuse_tensor(4, 0, 0, 0, 15, bad, "needs the bytes from offset 64 to 80, but the file ends at 79");
  refuse_tensor(4, 0, 0, 16, 64, bad, "data offset 16 (at offset 49) is not a multiple of 32");
  refuse_tensor(4, 0, 0, 32, 32, bad, "needs the bytes");
  refuse_tensor(4, 0, 0, UINT64_MAX - 31, 32, bad, "needs the bytes");
  refuse_tensor(16, 0, 0, UINT64_MAX - 31, 32, bad, "its size overflows");
  refuse_tensor(33, 32, 3, 0, 4096, bad, "a row of 33 is not a whole number of blocks of 32");
  refuse_tensor((uint64_t)1 << 32, (uint64_t)1 << 32, 0, 0, 64, bad, "the number of elements overflows");
  refuse_tensor((uint64_t)1 << 62, 0, 0, 0, 64, bad, "its size overflows");
  refuse_tensor(4, 0, 42, 0, 64, PN_ERR_UNSUPPORTED, "type 42 at offset 45 is not known");
  refuse_tensor(4, 0, UINT32_MAX, 0, 64, PN_ERR_UNSUPPORTED, "is not known");
  refuse_tensor(4, 0, 4, 64, 32, bad, "tensor \"t\" (Q4_2) needs the bytes");
  pn_buf b = {0};
  build_gguf_start(&b, 3, 1, 0), build_str(&b, "t"), build_u32(&b, 5), build_zeros(&b, 80);
  refuse(&b, bad, "has 5 dimensions, at most 4 exist");
  build_gguf_start(&b, 3, 1, 0), build_str(&b, "t"), build_u32(&b, 3); // 0 elements, but only from one side
  build_u64(&b, 0), build_u64(&b, (uint64_t)1 << 40), build_u64(&b, (uint64_t)1 << 40), build_u32(&b, 0);
  build_zeros(&b, 80);
  refuse(&b, bad, "the number of elements overflows");
  build_gguf_start(&b, 3, 1, 0), build_info(&b, "", 4, 0, 0, 0), build_zeros(&b, 80);
  refuse(&b, bad, "a tensor name at offset 24");
  build_gguf_start(&b, 3, 2, 0), build_info(&b, "t", 4, 0, 0, 0), build_info(&b, "t", 4, 0, 0, 32);
  build_align(&b, 32), build_zeros(&b, 64);
  refuse(&b, bad, "the tensor name \"t\" occurs twice");
  build_gguf_start(&b, 3, 2, 0), build_info(&b, "t", 16, 0, 0, 0), build_info(&b, "u", 4, 0, 0, 32);
  build_align(&b, 32), build_zeros(&b, 64);
  refuse(&b, bad, "tensor \"u\" begins at data offset 32, but the one before ends at 64");
}

// Every number of a type gives either a tensor with a name or a refusal.
static void test_all_types(void **state) {
  (void)state;
  for (uint32_t type = 0; type < 64; type++) {
    pn_buf b = {0};
    build_gguf_start(&b, 3, 1, 0);
    build_info(&b, "t", 256, 0, type, 0);
    build_align(&b, 32);
    build_zeros(&b, 2048);
    pn_arena a = {0};
    pn_gguf g;
    bool ok = pn_gguf_parse(&a, pn_buf_view(&b), "types", &g, NULL);
    assert_int_equal(ok, type < 42);
    if (ok) {
      assert_null(check_gguf(pn_buf_view(&b), &g));
      const pn_tensor *t = &g.tensors.items[0];
      if (t->dtype != PN_OTHER) assert_string_equal(t->type_name, pn_dtype_name(t->dtype));
    }
    pn_arena_fini(&a);
    pn_buf_fini(&b);
  }
}

// No tensors: no padding and no data is needed. Empty tensors: nothing of the data is needed.
static void test_short_files(void **state) {
  (void)state;
  pn_buf b = {0};
  pn_arena a = {0};
  pn_gguf g;
  build_gguf_start(&b, 3, 0, 0);
  assert_true(pn_gguf_parse(&a, pn_buf_view(&b), "f", &g, NULL));
  assert_int_equal(g.alignment, 32);
  pn_buf_clear(&b);
  build_gguf_start(&b, 3, 1, 0), build_info(&b, "t", 0, 0, 0, 0);
  assert_true(pn_gguf_parse(&a, pn_buf_view(&b), "f", &g, NULL));
  assert_null(check_gguf(pn_buf_view(&b), &g));
  pn_arena_fini(&a);
  pn_buf_fini(&b);
}

static void parse_exact(const char *p, size_t n, const char *what, size_t at) {
  char *copy = build_exact(p, n);
  pn_arena a = {0};
  pn_gguf g;
  pn_error e = {0};
  bool ok = pn_gguf_parse(&a, (pn_str){copy, n}, "f", &g, &e);
  const char *wrong = ok                             ? check_gguf((pn_str){copy, n}, &g)
                      : e.code == PN_OK || !e.msg[0] ? "no message"
                                                     : NULL;
  if (wrong) fail_msg("%s %zu: %s", what, at, wrong);
  pn_arena_fini(&a);
  free(copy);
}

static void test_damage(void **state) {
  (void)state;
  pn_buf b = {0};
  size_t begin = build_good(&b, 3);
  for (size_t n = 0; n <= b.n; n++) parse_exact(b.p, n, "cut at", n);
  for (size_t i = 0; i < begin; i++) {
    char was = b.p[i];
    for (int x = 1; x < 256; x++) {
      b.p[i] = (char)(was ^ x);
      parse_exact(b.p, b.n, "changed byte", i);
    }
    b.p[i] = was;
  }
  pn_buf_fini(&b);
}

static void test_no_memory(void **state) {
  (void)state;
  pn_buf b = {0};
  build_good(&b, 3);
  bool ok = false;
  for (size_t limit = 16; !ok; limit += 16) {
    pn_arena a = {.limit_bytes = limit};
    pn_gguf g;
    pn_error e = {0};
    ok = pn_gguf_parse(&a, pn_buf_view(&b), "f", &g, &e);
    assert_int_equal(e.code, ok ? PN_OK : PN_ERR_NOMEM);
    pn_arena_fini(&a);
  }
  pn_buf_fini(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_good),       cmocka_unit_test(test_bad_start),
      cmocka_unit_test(test_bad_values), cmocka_unit_test(test_bad_tensors),
      cmocka_unit_test(test_all_types),  cmocka_unit_test(test_short_files),
      cmocka_unit_test(test_damage),     cmocka_unit_test(test_no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
