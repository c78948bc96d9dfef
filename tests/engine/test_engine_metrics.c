#include "../metrics_text.h"
#include "engine/engine_metrics.h"

static const engine_metrics_setup setup = {
    .kv_type = "f16", .page_tokens = 32, .n_pages = 10, .token_bytes = 100, .kv_bytes = 32000};

// What a test counts in, and how its text looked when it was last asked for.
typedef struct counted {
  pn_metrics *registry;
  engine_metrics *m;
  char *before;
} counted;

static int begin(void **state) {
  counted *c = calloc(1, sizeof *c);
  assert_non_null(c);
  c->registry = pn_metrics_new();
  c->m = engine_metrics_new(c->registry, &setup);
  assert_non_null(c->m);
  c->before = text_of(c->registry);
  *state = c;
  return 0;
}

static int end(void **state) {
  counted *c = *state;
  engine_metrics_free(c->m);
  text_check(c->before); // after the engine, as a page may be asked for then
  free(c->before);
  pn_metrics_free(c->registry);
  free(c);
  return 0;
}

static void expect(counted *c, const char *changes) {
  char *now = text_of(c->registry), *got = text_changes(c->before, now);
  assert_string_equal(got, changes);
  free(got);
  free(c->before);
  c->before = now;
}

static double value(const counted *c, const char *series) { return text_value(c->before, series); }

static void starts_empty(void **state) {
  counted *c = *state;
  text_line line;
  text_check(c->before);
  for (const char *at = c->before; text_next(&at, &line);) {
    static const char *const constant[] = {"pensieve_kv_pages{state=\"free\"}",
                                           "pensieve_kv_bytes{state=\"free\"}",
                                           "pensieve_kv_bytes_per_token",
                                           "pensieve_kv_reserved_bytes",
                                           "pensieve_kv_info{type=\"f16\",page_tokens=\"32\",pages=\"10\"}",
                                           "vllm:cache_config_info{block_size=\"32\",num_gpu_blocks=\"10\"}"};
    static const double values[] = {10, 32000, 100, 32000, 1, 1};
    double want = 0;
    for (size_t i = 0; i < sizeof constant / sizeof *constant; i++)
      if (strcmp(line.series, constant[i]) == 0) want = values[i];
    assert_true(line.value == want);
  }
}

// Also under the names that other servers have given these things.
static void has_the_known_names(void **state) {
  counted *c = *state;
  static const char *const names[] = {"vllm:num_requests_running gauge",
                                      "vllm:num_requests_waiting gauge",
                                      "vllm:kv_cache_usage_perc gauge",
                                      "vllm:cache_config_info gauge",
                                      "vllm:prompt_tokens_total counter",
                                      "vllm:generation_tokens_total counter",
                                      "vllm:prefix_cache_queries_total counter",
                                      "vllm:prefix_cache_hits_total counter",
                                      "vllm:request_success_total counter",
                                      "vllm:time_to_first_token_seconds histogram",
                                      "vllm:inter_token_latency_seconds histogram",
                                      "vllm:e2e_request_latency_seconds histogram",
                                      "vllm:request_queue_time_seconds histogram"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char line[100];
    snprintf(line, sizeof line, "# TYPE %s\n", names[i]);
    assert_non_null(strstr(c->before, line));
  }
}

static void steps(void **state) {
  counted *c = *state;
  engine_metrics_step(c->m, false, 2500, 3, 3);
  expect(c,
         "pensieve_step_seconds_sum{kind=\"decode\"} 0.0025\npensieve_step_seconds_count{kind=\"decode\"} 1\n"
         "pensieve_step_rows_sum{kind=\"decode\"} 3\npensieve_step_rows_count{kind=\"decode\"} 1\n"
         "pensieve_step_sequences_sum 3\npensieve_step_sequences_count 1\n");
  engine_metrics_step(c->m, true, 500000, 256, 2);
  expect(c,
         "pensieve_step_seconds_sum{kind=\"prefill\"} 0.5\npensieve_step_seconds_count{kind=\"prefill\"} 1\n"
         "pensieve_step_rows_sum{kind=\"prefill\"} 256\npensieve_step_rows_count{kind=\"prefill\"} 1\n"
         "pensieve_step_sequences_sum 5\npensieve_step_sequences_count 2\n");
  assert_true(value(c, "pensieve_step_seconds_bucket{kind=\"decode\",le=\"0.002\"}") == 0);
  assert_true(value(c, "pensieve_step_seconds_bucket{kind=\"decode\",le=\"0.003\"}") == 1);
  assert_true(value(c, "pensieve_step_rows_bucket{kind=\"prefill\",le=\"128\"}") == 0);
  assert_true(value(c, "pensieve_step_rows_bucket{kind=\"prefill\",le=\"256\"}") == 1);
}

static void starts_of_requests(void **state) {
  counted *c = *state;
  engine_metrics_started(c->m, 40000, 100, 64, 8);
  expect(c,
         "pensieve_queue_seconds_sum 0.04\npensieve_queue_seconds_count 1\npensieve_prompt_tokens_total 100\n"
         "vllm:prefix_cache_queries_total 100\npensieve_cached_tokens_total 64\n"
         "pensieve_prefix_recomputed_tokens_total 8\n"
         "pensieve_prefix_hit_tokens_sum 64\npensieve_prefix_hit_tokens_count 1\n"
         "vllm:request_queue_time_seconds_sum 0.04\nvllm:request_queue_time_seconds_count 1\n"
         "vllm:prompt_tokens_total 100\nvllm:prefix_cache_hits_total 64\n");
  engine_metrics_started(c->m, 0, 20, 0, 0);
  assert_true(value(c, "pensieve_prefix_hit_tokens_bucket{le=\"0\"}") == 0);
  expect(c, "pensieve_queue_seconds_count 2\npensieve_prompt_tokens_total 120\n"
            "vllm:prefix_cache_queries_total 120\npensieve_prefix_hit_tokens_count 2\n"
            "vllm:request_queue_time_seconds_count 2\nvllm:prompt_tokens_total 120\n");
  assert_true(value(c, "pensieve_prefix_hit_tokens_bucket{le=\"0\"}") == 1);
  assert_true(value(c, "pensieve_prefix_hit_tokens_bucket{le=\"32\"}") == 1);
  assert_true(value(c, "pensieve_prefix_hit_tokens_bucket{le=\"128\"}") == 2);
}

static void tokens(void **state) {
  counted *c = *state;
  engine_metrics_first_token(c->m, 250000);
  expect(c, "pensieve_time_to_first_token_seconds_sum 0.25\npensieve_time_to_first_token_seconds_count 1\n"
            "pensieve_generated_tokens_total 1\nvllm:time_to_first_token_seconds_sum 0.25\n"
            "vllm:time_to_first_token_seconds_count 1\nvllm:generation_tokens_total 1\n");
  engine_metrics_next_token(c->m, 1000);
  expect(c, "pensieve_inter_token_seconds_sum 0.001\npensieve_inter_token_seconds_count 1\n"
            "pensieve_generated_tokens_total 2\nvllm:inter_token_latency_seconds_sum 0.001\n"
            "vllm:inter_token_latency_seconds_count 1\nvllm:generation_tokens_total 2\n");
  assert_true(value(c, "vllm:inter_token_latency_seconds_bucket{le=\"0.001\"}") == 1);
}

static void room(void **state) {
  counted *c = *state;
  engine_metrics_preempted(c->m, 77);
  expect(c, "pensieve_preemptions_total 1\npensieve_recomputed_tokens_total 77\n");
  engine_metrics_refused(c->m);
  expect(c, "pensieve_requests_refused_total 1\n");
}

static void good_ends(void **state) {
  counted *c = *state;
  static const struct {
    pn_stop_reason stop;
    const char *end, *reason;
  } cases[] = {{PN_STOP_END_TURN, "end_turn", "stop"},
               {PN_STOP_STRING, "stop_sequence", "stop"},
               {PN_STOP_MAX_TOKENS, "max_tokens", "length"},
               {PN_STOP_CONTEXT, "model_context_window_exceeded", "length"}};
  for (int i = 0; i < 4; i++) {
    char want[600];
    engine_metrics_ended(c->m, cases[i].stop, PN_OK, 2000000, 5);
    snprintf(want, sizeof want,
             "pensieve_requests_total{end=\"%s\"} 1\nvllm:request_success_total{finished_reason=\"%s\"} %d\n"
             "pensieve_request_seconds_sum %d\npensieve_request_seconds_count %d\n"
             "pensieve_output_tokens_sum %d\npensieve_output_tokens_count %d\n"
             "vllm:e2e_request_latency_seconds_sum %d\nvllm:e2e_request_latency_seconds_count %d\n",
             cases[i].end, cases[i].reason, i % 2 + 1, 2 * (i + 1), i + 1, 5 * (i + 1), i + 1, 2 * (i + 1),
             i + 1);
    expect(c, want);
  }
}

static void bad_ends(void **state) {
  counted *c = *state;
  for (int code = PN_OK + 1; code <= PN_ERR_INTERNAL; code++) {
    char want[100];
    snprintf(want, sizeof want, "pensieve_requests_total{end=\"%s\"} 1\n", pn_code_name((pn_code)code));
    engine_metrics_ended(c->m, PN_STOP_END_TURN, (pn_code)code, 2000000, 5);
    expect(c, want);
  }
  engine_metrics_ended(c->m, PN_STOP_END_TURN, (pn_code)99, 1, 1);
  expect(c, "pensieve_requests_total{end=\"internal\"} 2\n");
}

static void state_of_the_moment(void **state) {
  counted *c = *state;
  engine_metrics_now(c->m, &(engine_metrics_state){2, 3, 1, 5, 4, 16000, 12800, 6});
  expect(c, "pensieve_requests_running 2\npensieve_requests_waiting 3\n"
            "pensieve_kv_pages{state=\"used\"} 5\npensieve_kv_pages{state=\"cached\"} 4\n"
            "pensieve_kv_pages{state=\"free\"} 1\npensieve_kv_bytes{state=\"used\"} 16000\n"
            "pensieve_kv_bytes{state=\"cached\"} 12800\npensieve_kv_bytes{state=\"free\"} 3200\n"
            "pensieve_kv_usage_ratio 0.5\npensieve_kv_evicted_pages_total 6\nvllm:num_requests_running 2\n"
            "vllm:num_requests_waiting 3\nvllm:kv_cache_usage_perc 0.5\n");
  engine_metrics_now(c->m, &(engine_metrics_state){2, 3, 1, 5, 4, 16000, 12800, 6});
  expect(c, "");
  engine_metrics_now(c->m, &(engine_metrics_state){2, 3, 1, 5, 4, 16000, 12800, 9});
  expect(c, "pensieve_kv_evicted_pages_total 9\n");
  engine_metrics_now(c->m, &(engine_metrics_state){2, 3, 1, 5, 4, 16000, 12800, 8}); // a counter never falls
  expect(c, "");
}

static void nobody_counts(void **state) {
  (void)state;
  assert_null(engine_metrics_new(NULL, &setup));
  engine_metrics_step(NULL, true, 1, 1, 1);
  engine_metrics_started(NULL, 1, 1, 1, 1);
  engine_metrics_first_token(NULL, 1);
  engine_metrics_next_token(NULL, 1);
  engine_metrics_preempted(NULL, 1);
  engine_metrics_refused(NULL);
  engine_metrics_ended(NULL, PN_STOP_END_TURN, PN_OK, 1, 1);
  engine_metrics_now(NULL, &(engine_metrics_state){0});
  engine_metrics_free(NULL);
}

static void a_cache_without_pages(void **state) {
  (void)state;
  pn_metrics *r = pn_metrics_new();
  engine_metrics *m = engine_metrics_new(r, &(engine_metrics_setup){0});
  assert_non_null(m);
  char *text = text_of(r);
  text_check(text);
  assert_true(text_value(text, "vllm:kv_cache_usage_perc") == 0);
  free(text);
  engine_metrics_free(m);
  pn_metrics_free(r);
}

#define WITH_A_REGISTRY(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void) {
  const struct CMUnitTest tests[] = {
      WITH_A_REGISTRY(starts_empty),
      WITH_A_REGISTRY(has_the_known_names),
      WITH_A_REGISTRY(steps),
      WITH_A_REGISTRY(starts_of_requests),
      WITH_A_REGISTRY(tokens),
      WITH_A_REGISTRY(room),
      WITH_A_REGISTRY(good_ends),
      WITH_A_REGISTRY(bad_ends),
      WITH_A_REGISTRY(state_of_the_moment),
      cmocka_unit_test(nobody_counts),
      cmocka_unit_test(a_cache_without_pages),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
