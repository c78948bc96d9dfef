// What fits where: contexts, pools, and the refusals.
#include "../unit.h"
#include "cli/memory_plan.h"

#include <limits.h>
#include <string.h>

#define MB ((uint64_t)1 << 20)
#define OTHER MEMORY_PLAN_OTHER_BYTES

// 1024 bytes a token as f16: 2 layers of 1 head of 128.
static const pn_model_config small = {.n_layers = 2,
                                      .d_model = 128,
                                      .d_ffn = 256,
                                      .n_heads = 1,
                                      .n_kv_heads = 1,
                                      .head_dim = 128,
                                      .n_vocab = 1000,
                                      .max_positions = 4096};

static const uint64_t token_bytes[PN_KV_N_TYPES] = {2048, 1024, 1024, 528, 344};
static uint64_t fixed_bytes; // what a pool takes beside its pages

static uint64_t pool_bytes(const void *each, pn_kv_type type, int64_t tokens) {
  return fixed_bytes + ((const uint64_t *)each)[type] * (uint64_t)tokens;
}

static memory_wish wish(uint64_t limit_bytes) {
  return (memory_wish){.model = "m.gguf",
                       .weights_bytes = 100 * MB,
                       .config = &small,
                       .kv_bytes = pool_bytes,
                       .kv_ctx = token_bytes,
                       .kv_type = PN_KV_F16,
                       .asked_how = "--ctx",
                       .max_running = 8,
                       .max_queue = 64,
                       .limit = {limit_bytes, true, "allowed by --memory-limit"}};
}

static memory_plan made(const memory_wish *w) {
  memory_plan p;
  pn_error e = {0};
  if (!memory_plan_make(w, &p, &e)) fail_msg("%s", e.msg);
  assert_int_equal(p.kv_bytes, w->kv_bytes(w->kv_ctx, w->kv_type, p.kv_tokens));
  if (!fixed_bytes) assert_int_equal(p.kv_bytes, (uint64_t)p.kv_tokens * p.token_bytes);
  assert_int_equal(p.kv_tokens % 32, 0);
  assert_true(p.kv_tokens >= p.n_ctx);
  return p;
}

static void refused(const memory_wish *w, pn_code code, const char *said) {
  memory_plan p;
  pn_error e = {0};
  assert_false(memory_plan_make(w, &p, &e));
  assert_int_equal(e.code, code);
  if (!strstr(e.msg, said)) fail_msg("wanted \"%s\" in: %s", said, e.msg);
}

static void room_for_every_request(void **state) {
  (void)state;
  memory_wish w = wish(1024 * MB);
  memory_plan p = made(&w);
  assert_int_equal(p.n_ctx, 4096);
  assert_int_equal(p.kv_tokens, 8 * 4096);
  assert_int_equal(p.token_bytes, 1024);
  assert_int_equal(p.scratch_bytes, OTHER);
  w.asked_ctx = 100; // whole pages for each
  p = made(&w);
  assert_int_equal(p.n_ctx, 100);
  assert_int_equal(p.kv_tokens, 8 * 128);
}

static void the_pool_shrinks_to_one_context(void **state) {
  (void)state;
  memory_wish w = wish(100 * MB + OTHER + 10000 * 1024);
  assert_int_equal(made(&w).kv_tokens, 9984);
  w = wish(100 * MB + OTHER + 4096 * 1024);
  memory_plan p = made(&w);
  assert_int_equal(p.n_ctx, 4096);
  assert_int_equal(p.kv_tokens, 4096);
}

static void the_context_shrinks_when_nobody_asked(void **state) {
  (void)state;
  memory_wish w = wish(100 * MB + OTHER + 4095 * 1024);
  memory_plan p = made(&w);
  assert_int_equal(p.n_ctx, 4064);
  assert_int_equal(p.kv_tokens, 4064);
  assert_int_equal(p.wanted_ctx, 4096);
  w = wish(100 * MB + OTHER + 31 * 1024);
  refused(&w, PN_ERR_LIMIT, "smaller model");
}

static void a_fifth_is_left_to_others(void **state) {
  (void)state;
  memory_wish w = wish(100 * MB + OTHER + 5000 * 1024);
  w.limit.set = false;
  memory_plan p = made(&w);
  assert_int_equal(p.n_ctx, 4000);
  w.asked_ctx = 4090; // what was asked for may take all
  p = made(&w);
  assert_int_equal(p.n_ctx, 4090);
  assert_int_equal(p.kv_tokens, 4096); // but no more than that
}

static void a_context_that_does_not_fit(void **state) {
  (void)state;
  memory_wish w = wish(100 * MB + OTHER + 3000 * 1024);
  w.asked_ctx = 4096;
  refused(&w, PN_ERR_LIMIT, "--ctx: a context of 4096 tokens needs 4.2 MB for the KV cache (f16)");
  refused(&w, PN_ERR_LIMIT, "105 MB for the weights and 67.1 MB of scratch");
  refused(&w, PN_ERR_LIMIT, "175 MB are allowed by --memory-limit; 2976 tokens would fit: --ctx 2976");
  w.kv_type = PN_KV_F32;
  refused(&w, PN_ERR_LIMIT, "1472 tokens would fit: --ctx 1472");
  w = wish(100 * MB + OTHER + 4096 * 1024);
  w.asked_ctx = 4096;
  w.kv_type = PN_KV_F32;
  refused(&w, PN_ERR_LIMIT, "--ctx 2048, or all with --kv f16");
  w = wish(100 * MB);
  w.asked_ctx = 64;
  refused(&w, PN_ERR_LIMIT, "no context would fit: use a smaller model");
}

static void a_context_beyond_the_model(void **state) {
  (void)state;
  memory_wish w = wish(1024 * MB);
  w.asked_ctx = 8 * 4096 + 1;
  refused(&w, PN_ERR_USAGE, "more than 8 times the 4096");
  w.asked_ctx = 5000;
  assert_int_equal(made(&w).n_ctx, 5000); // who asks for it gets it
  w.asked_ctx = 0;
  w.wanted_ctx = 5000;
  assert_int_equal(made(&w).n_ctx, 4096);
}

static void a_pool_that_must_be(void **state) {
  (void)state;
  memory_wish w = wish(100 * MB + OTHER + 1024 * 1024);
  w.wanted_ctx = 200;
  w.kv_tokens = 1000;
  memory_plan p = made(&w);
  assert_int_equal(p.n_ctx, 200);
  assert_int_equal(p.kv_tokens, 1024);
  w.kv_tokens = 1025;
  refused(&w, PN_ERR_LIMIT, "a pool of 1056 tokens needs");
  refused(&w, PN_ERR_LIMIT, "; 1024 tokens would fit");
  w.kv_tokens = 10;
  assert_int_equal(made(&w).kv_tokens, 224);
}

static void slots_stay_below_2_to_31(void **state) {
  (void)state;
  pn_model_config c = small;
  c.n_layers = c.head_dim = 1;
  c.max_positions = INT_MAX;
  memory_wish w = wish((uint64_t)1 << 50);
  w.config = &c;
  static const uint64_t little[PN_KV_N_TYPES] = {64, 32, 32, 16, 12};
  w.kv_ctx = little;
  w.asked_ctx = 1 << 30;
  w.max_running = 10000;
  memory_plan p = made(&w);
  assert_true(p.kv_tokens <= INT_MAX && p.kv_tokens > INT_MAX - 64);
}

static void windows_and_states_come_first(void **state) {
  (void)state;
  memory_wish w = wish(100 * MB + OTHER + 30 * MB);
  int64_t all = made(&w).kv_tokens;
  fixed_bytes = 10 * MB;
  assert_int_equal(all - made(&w).kv_tokens, 10 * MB / 1024);
  fixed_bytes = 31 * MB;
  refused(&w, PN_ERR_LIMIT, "no context would fit");
  fixed_bytes = 0;
}

static void scratch_is_what_the_rooms_say_but_not_too_little(void **state) {
  (void)state;
  memory_wish w = wish(1024 * MB);
  w.scratch_bytes = OTHER + 5 * MB;
  assert_int_equal(made(&w).scratch_bytes, OTHER + 5 * MB);
  w.scratch_bytes = 5;
  assert_int_equal(made(&w).scratch_bytes, OTHER);
  w.asked_ctx = 0;
  assert_int_equal(memory_plan_wanted_ctx(&w), 4096);
  w.wanted_ctx = 77;
  assert_int_equal(memory_plan_wanted_ctx(&w), 77);
  w.asked_ctx = 99;
  assert_int_equal(memory_plan_wanted_ctx(&w), 99);
}

static void weights_alone(void **state) {
  (void)state;
  pn_error e = {0};
  memory_limit l = {100 * MB + OTHER, true, "allowed by X"};
  assert_true(memory_plan_weights("m.gguf", 100 * MB, &l, &e));
  assert_false(memory_plan_weights("m.gguf", 100 * MB + 1, &l, &e));
  assert_int_equal(e.code, PN_ERR_LIMIT);
  assert_non_null(strstr(e.msg, "the weights of m.gguf need 105 MB"));
  assert_non_null(strstr(e.msg, "172 MB are allowed by X"));
}

// A device of 8 GB of which 5 are free.
static void eight_of_which_five(pn_backend *b, uint64_t *total, uint64_t *available) {
  (void)b;
  *total = 8000 * MB;
  *available = 5000 * MB;
}

static void a_device_has_memory_of_its_own(void **state) {
  (void)state;
  static const pn_backend_ops ops = {.device_memory = eight_of_which_five}, none = {0};
  char *words[] = {"pensieve", "--memory-limit", "25%"};
  for (int set = 0; set < 2; set++) {
    options o;
    pn_error e = {0};
    assert_true(options_read(&o, "bench", VERB_BENCH, set ? 2 : 0, words + 1, &e));
    memory_limit l = memory_limit_of(&o, &(pn_backend){&ops});
    assert_int_equal(l.set, set);
    assert_true(l.bytes == (set ? 2000 * MB : 5000 * MB));
    assert_non_null(strstr(l.name, set ? "allowed by --memory-limit" : "available on the device"));
    if (!set) assert_non_null(strstr(memory_limit_of(&o, &(pn_backend){&none}).name, "on this machine"));
    options_fini(&o);
  }
}

static void the_plan_in_words(void **state) {
  (void)state;
  memory_wish w = wish(1024 * MB);
  memory_plan p = made(&w);
  pn_buf b = {0};
  memory_plan_write(&p, &b);
  assert_string_equal(
      pn_buf_cstr(&b),
      "memory: 105 MB of weights, mapped from the file\n"
      "memory: 33.6 MB for a KV pool of 32768 tokens, 1024 bytes each (f16), for 8 requests of up to 4096\n"
      "memory: 67.1 MB of scratch for steps, logits and outboxes\n"
      "memory: 206 MB in all; 1.1 GB are allowed by --memory-limit\n");
  pn_buf_clear(&b);
  w.limit.bytes = 100 * MB + OTHER + 8192 * 1024;
  p = made(&w);
  memory_plan_write(&p, &b);
  assert_non_null(strstr(pn_buf_cstr(&b),
                         "pool of 8192 tokens, 1024 bytes each (f16), shared by 8 requests of up to 4096"));
  pn_buf_fini(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(room_for_every_request),
      cmocka_unit_test(the_pool_shrinks_to_one_context),
      cmocka_unit_test(the_context_shrinks_when_nobody_asked),
      cmocka_unit_test(a_fifth_is_left_to_others),
      cmocka_unit_test(a_context_that_does_not_fit),
      cmocka_unit_test(a_context_beyond_the_model),
      cmocka_unit_test(a_pool_that_must_be),
      cmocka_unit_test(slots_stay_below_2_to_31),
      cmocka_unit_test(windows_and_states_come_first),
      cmocka_unit_test(scratch_is_what_the_rooms_say_but_not_too_little),
      cmocka_unit_test(weights_alone),
      cmocka_unit_test(a_device_has_memory_of_its_own),
      cmocka_unit_test(the_plan_in_words),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
