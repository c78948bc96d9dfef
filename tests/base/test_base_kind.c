// The table of kinds: what its rows say of each other, and codes and scales against the definition of each
// kind.
#include "base/kind.h"
#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
// cmocka.h wants the headers above it
#include <cmocka.h>

static void rows_agree(void **state) {
  (void)state;
  for (int t = 0; t < PN_OTHER; t++) {
    const pn_kind *k = pn_kind_of((pn_dtype)t);
    assert_non_null(k->name);
    assert_true(t == PN_AFFINE || (k->block > 0 && k->bytes > 0));
    assert_int_equal(k->codes != NULL, k->scales != NULL);
    assert_int_equal(k->codes != NULL, k->bits > 0 && k->group > 0);
    if (k->codes) assert_true((k->decode || k->decode_apart) && k->block % 32 == 0 && k->block <= 256);
    assert_int_equal(k->decode_apart != NULL, k->scale_bytes > 0);
    assert_false(k->decode && k->decode_apart);
    if (k->codes) assert_true((k->group == 16 || k->group == 32) && k->bits <= 8);
    if (k->codes) assert_false(k->biased && k->offset);
    if (k->gguf >= 0) assert_int_equal(pn_kind_of_gguf((uint32_t)k->gguf), t);
    for (int u = 0; u < t; u++) assert_string_not_equal(pn_kind_of((pn_dtype)u)->name, k->name);
  }
  assert_int_equal(pn_kind_of_gguf(4000000000u), PN_OTHER);
  assert_ptr_equal(pn_kind_of((pn_dtype)99), pn_kind_of(PN_OTHER));
  char names[160];
  assert_ptr_equal(strstr(pn_kind_names(names), "F32, F16, BF16, Q4_0, Q4_1"), names);
  assert_null(strstr(names, "I32"));
}

// n bytes of chance at an odd address; they end where their memory ends, so that a sanitizer sees a read
// behind them. free(p - 1).
static unsigned char *random_bytes(pn_rng *r, int n) {
  unsigned char *p = malloc((size_t)n + 1);
  assert_non_null(p);
  for (int i = 1; i <= n; i++) p[i] = (unsigned char)pn_rng_u64(r);
  return p + 1;
}

// Values made of codes and scales are those of the definition, bit for bit but for the sign of 0 (codes have
// none), whatever the bytes are.
static void codes_are_the_definition(void **state) {
  (void)state;
  enum { N = 7 };
  pn_rng r;
  pn_rng_seed(&r, 5);
  for (int t = 0; t < PN_OTHER; t++) {
    const pn_kind *k = pn_kind_of((pn_dtype)t);
    if (!k->codes) continue;
    const int cols = N * k->block;
    uint8_t *codes = malloc((size_t)cols);
    float *scale = malloc((size_t)(cols / k->group) * 4), *bias = malloc((size_t)(cols / k->group) * 4),
          *want = malloc((size_t)cols * 4);
    assert_true(codes && scale && bias && want);
    for (int round = 0; round < 200; round++) {
      unsigned char *p = random_bytes(&r, N * k->bytes), *s = random_bytes(&r, N * k->scale_bytes);
      for (int i = 0; i < cols / k->group; i++) bias[i] = 77;
      if (k->decode)
        k->decode(p, N, want);
      else
        k->decode_apart(p, s, N, want);
      k->codes(p, N, codes);
      k->scales(k->scale_bytes ? s : p, N, scale, bias);
      for (int i = 0; i < cols; i++) {
        float v = (float)(codes[i] - k->offset) * scale[i / k->group];
        if (k->biased) v += bias[i / k->group];
        assert_true(k->biased || bias[i / k->group] == 77);
        assert_true(codes[i] >> k->bits == 0);
        if (memcmp(&v, want + i, 4) != 0 && !(v == 0 && want[i] == 0) && !(v != v && want[i] != want[i]))
          fail_msg("%s, element %d: %.9g, expected %.9g", k->name, i, (double)v, (double)want[i]);
      }
      free(p - 1);
      free(s - 1);
    }
    free(codes);
    free(scale);
    free(bias);
    free(want);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(rows_agree),
      cmocka_unit_test(codes_are_the_definition),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
