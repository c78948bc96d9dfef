#include "build_files.h"
#include "check_formats.h"

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
// clang-format on

static const char GOOD[] = "{\"__metadata__\":{\"format\":\"mlx\"},"
                           "\"b\":{\"dtype\":\"U32\",\"shape\":[2,3],\"data_offsets\":[4,28]},"
                           "\"a\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,4]},"
                           "\"scalar\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[28,32]},"
                           "\"none\":{\"dtype\":\"BF16\",\"shape\":[0,7],\"data_offsets\":[32,32]},"
                           "\"f8\":{\"dtype\":\"F8_E4M3\",\"shape\":[3],\"data_offsets\":[32,35]},"
                           "\"new\":{\"dtype\":\"X9\",\"shape\":[100],\"data_offsets\":[35,36]}}  ";
#define GOOD_DATA 36

static void test_good(void **state) {
  (void)state;
  pn_buf b = {0};
  build_safetensors(&b, GOOD, GOOD_DATA);
  pn_arena a = {0};
  pn_tensors t;
  pn_error e = {0};
  if (!pn_safetensors_parse(&a, pn_buf_view(&b), "good", &t, &e)) fail_msg("%s", e.msg);
  assert_null(check_tensors(pn_buf_view(&b), &t));
  assert_int_equal(t.n, 6);
  assert_true(pn_str_is(t.items[0].name, "b")); // the order of the file
  const pn_tensor *x = pn_tensors_find(&t, PN_STR("b"));
  assert_non_null(x);
  assert_int_equal(x->dtype, PN_U32);
  assert_string_equal(x->type_name, "U32");
  assert_int_equal(x->n_dims, 2);
  assert_int_equal(x->shape[0], 2);
  assert_int_equal(x->shape[1], 3);
  assert_int_equal(x->n_bytes, 24);
  assert_int_equal(x->data[0], 4); // the data counts up from 0
  x = pn_tensors_find(&t, PN_STR("scalar"));
  assert_int_equal(x->n_dims, 0);
  assert_int_equal(x->n_bytes, 4);
  assert_int_equal(pn_tensors_find(&t, PN_STR("none"))->n_bytes, 0);
  x = pn_tensors_find(&t, PN_STR("f8"));
  assert_int_equal(x->dtype, PN_OTHER);
  assert_string_equal(x->type_name, "F8_E4M3");
  x = pn_tensors_find(&t, PN_STR("new"));
  assert_int_equal(x->dtype, PN_OTHER);
  assert_string_equal(x->type_name, "X9");
  assert_int_equal(x->n_bytes, 1);
  assert_null(pn_tensors_find(&t, PN_STR("__metadata__")));
  assert_null(pn_tensors_find(&t, PN_STR("")));
  pn_arena_fini(&a);
  pn_buf_fini(&b);
}

static void test_empty(void **state) {
  (void)state;
  static const char *const headers[] = {"{}", "{\"__metadata__\":null}"};
  for (int i = 0; i < 2; i++) {
    pn_buf b = {0};
    build_safetensors(&b, headers[i], 0);
    pn_arena a = {0};
    pn_tensors t;
    assert_true(pn_safetensors_parse(&a, pn_buf_view(&b), "empty", &t, NULL));
    assert_int_equal(t.n, 0);
    assert_null(pn_tensors_find(&t, PN_STR("x")));
    pn_arena_fini(&a);
    pn_buf_fini(&b);
  }
}

// The bytes must be refused with this code and a message that names the file and holds these words.
static void refuse_bytes(pn_str file, pn_code code, const char *words) {
  char *copy = build_exact(file.p, file.n);
  pn_arena a = {0};
  pn_tensors t;
  pn_error e = {0};
  if (pn_safetensors_parse(&a, (pn_str){copy, file.n}, "FILE", &t, &e))
    fail_msg("accepted; expected: %s", words);
  if (!strstr(e.msg, words) || !strstr(e.msg, "FILE") || e.code != code)
    fail_msg("%s (%s); expected: %s", e.msg, pn_code_name(e.code), words);
  assert_int_equal(t.n, 0);
  pn_arena_fini(&a);
  free(copy);
}

static void refuse(const char *header, size_t n_data, pn_code code, const char *words) {
  pn_buf b = {0};
  build_safetensors(&b, header, n_data);
  refuse_bytes(pn_buf_view(&b), code, words);
  pn_buf_fini(&b);
}

#define T(type, shape, from, to)                                                                             \
  "{\"dtype\":" type ",\"shape\":" shape ",\"data_offsets\":[" #from "," #to "]}"

static void test_bad_headers(void **state) {
  (void)state;
  const pn_code bad = PN_ERR_CORRUPT;
  refuse("[]", 0, bad, "no JSON object at offset 8");
  refuse(" {}", 0, bad, "no JSON object at offset 8");
  refuse("{", 0, bad, "no JSON object at offset 8");
  refuse("{\"a\":", 0, bad, "not valid JSON");
  refuse("{} x", 0, bad, "not valid JSON");
  refuse("{\"a\":3}", 0, bad, "tensor \"a\" must be an object, found an integer");
  refuse("{\"__metadata__\":[]}", 0, bad, "__metadata__ must be an object");
  refuse("{\"a\":{}}", 0, bad, "dtype must be a string, found nothing");
  refuse("{\"a\":" T("3", "[1]", 0, 4) "}", 4, bad, "dtype must be a string");
  refuse("{\"a\":" T("\"F32\"", "1", 0, 4) "}", 4, bad, "shape must be an array");
  refuse("{\"a\":" T("\"F32\"", "[-1]", 0, 4) "}", 4, bad, "dimension 0 must be a whole number");
  refuse("{\"a\":" T("\"F32\"", "[1,1.0]", 0, 4) "}", 4, bad, "dimension 1 must be a whole number");
  refuse("{\"a\":" T("\"F32\"", "[1,1,1,1,1,1,1]", 0, 4) "}", 4, PN_ERR_UNSUPPORTED,
         "has 7 dimensions; at most 6");
  refuse("{\"a\":" T("\"F32\"", "[4611686018427387904,4]", 0, 4) "}", 4, bad, "overflows 64 bits");
  refuse("{\"a\":" T("\"F32\"", "[0,4611686018427387904,4]", 0, 0) "}", 0, bad, "overflows 64 bits");
  refuse("{\"a\":" T("\"F32\"", "[4611686018427387904]", 0, 0) "}", 0, bad, "don't fit its 0 bytes");
  refuse("{\"a\":" T("\"X9\"", "[4611686018427387904,4]", 0, 4) "}", 4, bad, "overflows 64 bits");
  refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, bad, "two whole numbers");
  refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}", 8, bad, "two whole numbers");
  refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, bad, "two whole numbers");
  refuse("{\"a\":" T("\"F32\"", "[1]", -4, 0) "}", 4, bad, "two whole numbers");
  refuse("{\"a\":" T("\"F32\"", "[1]", 0, 99999999999999999999) "}", 4, bad,
         "data_offsets must be two whole numbers");
}

static void test_bad_offsets(void **state) {
  (void)state;
  const pn_code bad = PN_ERR_CORRUPT;
  refuse("{\"a\":" T("\"F32\"", "[1]", 4, 0) "}", 4, bad, "end (0) before they begin (4)");
  refuse("{\"a\":" T("\"F32\"", "[1]", 0, 4) "}", 3, bad, "ends at data offset 4, but only 3 bytes of data");
  refuse("{\"a\":" T("\"X9\"", "[1]", 0, 9223372036854775807) "}", 3, bad, "only 3 bytes of data");
  refuse("{\"a\":" T("\"F32\"", "[2]", 0, 4) "}", 4, bad, "2 elements of F32 don't fit its 4 bytes");
  refuse("{\"a\":" T("\"F8_E5M2\"", "[2]", 0, 4) "}", 4, bad, "2 elements of F8_E5M2 don't fit its 4 bytes");
  refuse("{\"a\":" T("\"F4\"", "[3]", 0, 1) "}", 1, bad, "3 elements of F4");
  refuse("{\"a\":" T("\"F32\"", "[1]", 0, 4) ",\"b\":" T("\"F32\"", "[1]", 2, 6) "}", 6, bad,
         "begins at data offset 2, inside tensor \"a\", which ends at 4");
  refuse("{\"a\":" T("\"F32\"", "[1]", 0, 4) ",\"b\":" T("\"F32\"", "[1]", 0, 4) "}", 4, bad,
         "inside tensor");
  refuse("{\"a\":" T("\"F32\"", "[1]", 0, 4) ",\"b\":" T("\"F32\"", "[1]", 8, 12) "}", 12, bad,
         "no tensor owns data offsets 4 to 8");
  refuse("{\"a\":" T("\"F32\"", "[1]", 4, 8) "}", 8, bad, "no tensor owns data offsets 0 to 4");
  refuse("{\"a\":" T("\"F32\"", "[1]", 0, 4) "}", 5, bad, "the last tensor ends at offset");
  refuse("{\"a\":" T("\"F32\"", "[1]", 0, 4) ",\"a\":" T("\"F32\"", "[1]", 4, 8) "}", 8, bad, "duplicate");
}

static void test_bad_lengths(void **state) {
  (void)state;
  refuse_bytes((pn_str){0}, PN_ERR_CORRUPT, "only 0 bytes");
  refuse_bytes(PN_STR("\2\0\0\0\0\0\0"), PN_ERR_CORRUPT, "only 7 bytes");
  refuse_bytes(PN_STR("\3\0\0\0\0\0\0\0{}"), PN_ERR_CORRUPT,
               "the header length at offset 0 is 3, but only 2 bytes");
  refuse_bytes(PN_STR("\377\377\377\377\377\377\377\377{}"), PN_ERR_CORRUPT, "18446744073709551615");
  refuse_bytes(PN_STR("\0\0\0\0\0\0\0\0{}"), PN_ERR_CORRUPT, "no JSON object");
  refuse_bytes(PN_STR("version https://git-lfs.github.com/spec/v1\noid sha256:00\n"), PN_ERR_CORRUPT,
               "git lfs pull");
  refuse_bytes(PN_STR("<!DOCTYPE html><html></html>"), PN_ERR_CORRUPT, "web page");
  pn_buf b = {0};
  build_u64(&b, 100000001);
  pn_buf_reserve(&b, 100000001);
  memset(b.p + 8, ' ', 100000001);
  b.n += 100000001;
  refuse_bytes(pn_buf_view(&b), PN_ERR_LIMIT, "100000001; at most 100000000");
  pn_buf_fini(&b);
}

static void parse_exact(const char *p, size_t n, const char *what, size_t at) {
  char *copy = build_exact(p, n);
  pn_arena a = {0};
  pn_tensors t;
  pn_error e = {0};
  bool ok = pn_safetensors_parse(&a, (pn_str){copy, n}, "f", &t, &e);
  const char *wrong = ok                             ? check_tensors((pn_str){copy, n}, &t)
                      : e.code == PN_OK || !e.msg[0] ? "no message"
                                                     : NULL;
  if (wrong) fail_msg("%s %zu: %s", what, at, wrong);
  pn_arena_fini(&a);
  free(copy);
}

static void test_damage(void **state) {
  (void)state;
  pn_buf b = {0};
  build_safetensors(&b, GOOD, GOOD_DATA);
  for (size_t n = 0; n <= b.n; n++) parse_exact(b.p, n, "cut at", n);
  for (size_t i = 0; i < b.n - GOOD_DATA; i++) {
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
  build_safetensors(&b, GOOD, GOOD_DATA);
  bool ok = false;
  for (size_t limit = 16; !ok; limit += 16) {
    pn_arena a = {.limit_bytes = limit};
    pn_tensors t;
    pn_error e = {0};
    ok = pn_safetensors_parse(&a, pn_buf_view(&b), "f", &t, &e);
    assert_int_equal(e.code, ok ? PN_OK : PN_ERR_NOMEM);
    pn_arena_fini(&a);
  }
  pn_buf_fini(&b);
}

static void test_many(void **state) {
  (void)state;
  pn_buf header = {0}, b = {0};
  pn_buf_char(&header, '{');
  for (int i = 0; i < 5000; i++)
    pn_buf_printf(&header, "%s\"model.layers.%d.w\":" T("\"U8\"", "[1]", % d, % d) "", i ? "," : "", i, i,
                  i + 1);
  pn_buf_char(&header, '}');
  build_safetensors(&b, pn_buf_cstr(&header), 5000);
  pn_arena a = {0};
  pn_tensors t;
  pn_error e = {0};
  if (!pn_safetensors_parse(&a, pn_buf_view(&b), "many", &t, &e)) fail_msg("%s", e.msg);
  assert_int_equal(t.n, 5000);
  assert_null(check_tensors(pn_buf_view(&b), &t));
  assert_null(pn_tensors_find(&t, PN_STR("model.layers.5000.w")));
  pn_arena_fini(&a);
  pn_buf_fini(&header);
  pn_buf_fini(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_good),        cmocka_unit_test(test_empty),
      cmocka_unit_test(test_bad_headers), cmocka_unit_test(test_bad_offsets),
      cmocka_unit_test(test_bad_lengths), cmocka_unit_test(test_damage),
      cmocka_unit_test(test_no_memory),   cmocka_unit_test(test_many),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
