// Element types: the 16-bit floats against formulas of their own, and sizes.
#include "../unit.h"
#include "base/dtype.h"

#include <math.h>

static uint32_t bits(float f) {
  uint32_t u;
  memcpy(&u, &f, 4);
  return u;
}

static float float_from(uint32_t u) {
  float f;
  memcpy(&f, &u, 4);
  return f;
}

// The value of a binary16 as its definition says it: sign, exponent, fraction, with ldexp.
static double half_value(uint16_t h) {
  int exp = h >> 10 & 31, man = h & 1023;
  double v = exp == 31 ? (man ? NAN : INFINITY) : exp ? ldexp(1024 + man, exp - 25) : ldexp(man, -24);
  return h & 0x8000 ? -v : v;
}

static void every_f16_reads_as_defined(void **state) {
  (void)state;
  for (uint32_t h = 0; h < 65536; h++) {
    double want = half_value((uint16_t)h);
    float got = pn_f16_to_f32((uint16_t)h);
    if (isnan(want))
      assert_true(isnan(got));
    else
      assert_int_equal(bits(got), bits((float)want));
  }
}

static void every_f16_survives_the_round_trip(void **state) {
  (void)state;
  for (uint32_t h = 0; h < 65536; h++) {
    uint16_t back = pn_f32_to_f16(pn_f16_to_f32((uint16_t)h));
    if ((h & 0x7FFF) > 0x7C00)
      assert_true((back & 0x7FFF) > 0x7C00 && (back & 0x8000) == (h & 0x8000));
    else
      assert_int_equal(back, h);
  }
}

// Around every border between two neighbouring halves: below it rounds down, above it up, on it to the even
// one.
static void f16_rounds_to_nearest_even(void **state) {
  (void)state;
  for (uint32_t h = 0; h < 0x7C00; h++) {
    double low = half_value((uint16_t)h), high = h + 1 == 0x7C00 ? 65536.0 : half_value((uint16_t)(h + 1));
    float middle = (float)((low + high) / 2); // exact: one bit more than a half has
    assert_true((double)middle == (low + high) / 2);
    uint16_t even = (uint16_t)(h & 1 ? h + 1 : h);
    assert_int_equal(pn_f32_to_f16(middle), even);
    assert_int_equal(pn_f32_to_f16(nextafterf(middle, 0)), h);
    assert_int_equal(pn_f32_to_f16(nextafterf(middle, INFINITY)), h + 1);
    assert_int_equal(pn_f32_to_f16(-middle), even | 0x8000);
  }
  assert_int_equal(pn_f32_to_f16(1e30f), 0x7C00);
  assert_int_equal(pn_f32_to_f16(-INFINITY), 0xFC00);
  assert_int_equal(pn_f32_to_f16(1e-30f), 0);
  assert_int_equal(pn_f32_to_f16(-1e-30f), 0x8000);
  assert_true((pn_f32_to_f16(NAN) & 0x7FFF) > 0x7C00);
}

// Every bf16 and the three places between it and the next one.
static void bf16_rounds_to_nearest_even(void **state) {
  (void)state;
  for (uint32_t h = 0; h < 65536; h++) {
    uint32_t u = h << 16;
    assert_int_equal(bits(pn_bf16_to_f32((uint16_t)h)), u);
    if ((h & 0x7FFF) > 0x7F80) {
      uint16_t back = pn_f32_to_bf16(float_from(u));
      assert_true((back & 0x7FFF) > 0x7F80 && (back & 0x8000) == (h & 0x8000));
      continue;
    }
    assert_int_equal(pn_f32_to_bf16(float_from(u)), h);
    if ((h & 0x7FFF) == 0x7F80) continue; // behind infinity there are only NaNs
    assert_int_equal(pn_f32_to_bf16(float_from(u | 0x7FFF)), h);
    assert_int_equal(pn_f32_to_bf16(float_from(u | 0x8000)), h & 1 ? h + 1 : h);
    assert_int_equal(pn_f32_to_bf16(float_from(u | 0x8001)), h + 1);
  }
  // A NaN whose payload lies in the lower half must not become an infinity.
  assert_true(isnan(pn_bf16_to_f32(pn_f32_to_bf16(float_from(0x7F800001)))));
  assert_true(isnan(pn_bf16_to_f32(pn_f32_to_bf16(float_from(0xFFFFFFFF)))));
}

static void floats_are_widened(void **state) {
  (void)state;
  const uint16_t halves[] = {0x3C00, 0xC000, 0x0001}, brains[] = {0x3F80, 0xC000, 0x7F80};
  const float plain[] = {1, -2, 3};
  float out[3];
  pn_floats_to_f32(PN_F16, halves, out, 3);
  assert_true(out[0] == 1 && out[1] == -2 && out[2] == 0x1p-24f);
  pn_floats_to_f32(PN_BF16, brains, out, 3);
  assert_true(out[0] == 1 && out[1] == -2 && isinf(out[2]));
  pn_floats_to_f32(PN_F32, plain, out, 3);
  assert_memory_equal(out, plain, sizeof plain);
  unsigned char odd[7] = {0, 0x00, 0x3C, 0x00, 0xC0, 0x01, 0x00}; // data in files is not aligned
  pn_floats_to_f32(PN_F16, odd + 1, out, 3);
  assert_true(out[0] == 1 && out[1] == -2 && out[2] == 0x1p-24f);
}

static void sizes_are_counted_in_blocks(void **state) {
  (void)state;
  uint64_t n;
  assert_true(pn_dtype_bytes(PN_F32, 3, &n) && n == 12);
  assert_true(pn_dtype_bytes(PN_Q4_1, 64, &n) && n == 40);
  assert_true(pn_dtype_bytes(PN_Q6_K, 512, &n) && n == 420);
  assert_true(pn_dtype_bytes(PN_BF16, 0, &n) && n == 0);
  assert_false(pn_dtype_bytes(PN_Q4_1, 33, &n));
  assert_false(pn_dtype_bytes(PN_F32, UINT64_MAX / 2, &n));
  assert_false(pn_dtype_bytes(PN_OTHER, 1, &n));
  for (int t = PN_F32; t <= PN_OTHER; t++) assert_true(strlen(pn_dtype_name((pn_dtype)t)) >= 2);
  assert_int_equal(pn_dtype_block(PN_Q8_0), 32);
  assert_int_equal(pn_dtype_block_bytes(PN_Q8_0), 34);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_f16_reads_as_defined), cmocka_unit_test(every_f16_survives_the_round_trip),
      cmocka_unit_test(f16_rounds_to_nearest_even), cmocka_unit_test(bf16_rounds_to_nearest_even),
      cmocka_unit_test(floats_are_widened),         cmocka_unit_test(sizes_are_counted_in_blocks),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
