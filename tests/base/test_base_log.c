// Log lines, read back through a pipe.
#include "../unit.h"
#include "base/json.h"
#include "base/log.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int ends[2];

static int open_pipe(void **state) {
  (void)state;
  return pipe(ends);
}

static int close_pipe(void **state) {
  (void)state;
  close(ends[0]);
  close(ends[1]);
  return 0;
}

// What the log wrote since the last call; at most a pipe's worth.
static const char *written(void) {
  static char text[65536];
  assert_int_equal(write(ends[1], "\1", 1), 1); // so that reading never waits
  size_t n = 0;
  while (n == 0 || text[n - 1] != '\1') {
    ssize_t got = read(ends[0], text + n, sizeof text - n);
    assert_true(got > 0);
    n += (size_t)got;
  }
  text[n - 1] = '\0';
  return text;
}

static void text_lines(void **state) {
  (void)state;
  pn_log_setup(PN_LOG_INFO, false, ends[1]);
  pn_log(PN_LOG_WARN, "req_1", "slow step",
         PN_FIELDS(PN_S("path", "/v1/messages"), PN_S("why", "a b=\"c\"\n"), PN_I("n", -3), PN_D("s", 0.25),
                   PN_D("nan", NAN), PN_S("none", NULL), PN_S("empty", "")));
  const char *line = written();
  int year, month, day, hour, minute, second, ms, at = 0;
  assert_int_equal(
      sscanf(line, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ%n", &year, &month, &day, &hour, &minute, &second, &ms, &at),
      7);
  assert_int_equal(at, 24);
  assert_string_equal(line + at,
                      " warn  slow step request_id=req_1 path=/v1/messages why=\"a b=\\\"c\\\"\\n\" n=-3 "
                      "s=0.25 nan=null none=\"\" empty=\"\"\n");
}

static void json_lines(void **state) {
  (void)state;
  pn_log_setup(PN_LOG_TRACE, true, ends[1]);
  pn_log(PN_LOG_TRACE, NULL, "quote \" and \xFF",
         PN_FIELDS(PN_S("k", "\n\x01"), PN_I("i", INT64_MAX), PN_D("inf", INFINITY)));
  const char *line = written();
  assert_int_equal(strchr(line, '\n') - line + 1, strlen(line));
  pn_error e = {0};
  pn_json *v = pn_json_parse(pn_str_of(line), &e);
  if (!v) fail_msg("%s", e.msg);
  assert_int_equal(pn_json_len(v), 6);
  assert_string_equal(pn_json_cstr(pn_json_get(v, "level")), "trace");
  assert_string_equal(pn_json_cstr(pn_json_get(v, "message")), "quote \" and \uFFFD");
  assert_string_equal(pn_json_cstr(pn_json_get(v, "k")), "\n\x01");
  assert_true(pn_json_int(pn_json_get(v, "i")) == INT64_MAX);
  assert_true(pn_json_is(pn_json_get(v, "inf"), PN_JSON_NULL));
  pn_json_free(v);
}

static void levels_are_kept(void **state) {
  (void)state;
  pn_log_setup(PN_LOG_WARN, false, ends[1]);
  pn_log(PN_LOG_INFO, NULL, "not seen", NULL);
  pn_log(PN_LOG_WARN, NULL, "seen", NULL);
  const char *text = written();
  assert_null(strstr(text, "not seen"));
  assert_non_null(strstr(text, " warn  seen\n"));
  assert_true(pn_log_on(PN_LOG_ERROR) && pn_log_on(PN_LOG_WARN));
  assert_false(pn_log_on(PN_LOG_INFO));
  pn_log_level level = PN_LOG_ERROR;
  assert_true(pn_log_parse_level("debug", &level) && level == PN_LOG_DEBUG);
  assert_false(pn_log_parse_level("Debug", &level));
  assert_false(pn_log_parse_level("", &level));
  assert_true(level == PN_LOG_DEBUG);
}

static void *many_lines(void *name) {
  for (int i = 0; i < 100; i++)
    pn_log(PN_LOG_INFO, name, "the quick brown fox jumps over the lazy dog", NULL);
  return NULL;
}

static void lines_of_threads_do_not_mix(void **state) {
  (void)state;
  pn_log_setup(PN_LOG_INFO, false, ends[1]);
  pthread_t a, b;
  pthread_create(&a, NULL, many_lines, "aaaa");
  pthread_create(&b, NULL, many_lines, "bbbb");
  pthread_join(a, NULL);
  pthread_join(b, NULL);
  int n = 0;
  for (const char *line = written(), *end; *line; line = end + 1, n++) {
    end = strchr(line, '\n');
    assert_non_null(end);
    assert_int_equal(end - line,
                     24 + (int)strlen(" info  the quick brown fox jumps over the lazy dog request_id=aaaa"));
  }
  assert_int_equal(n, 200);
}

static void a_closed_descriptor_does_no_harm(void **state) {
  (void)state;
  pn_log_setup(PN_LOG_INFO, false, -1);
  pn_log(PN_LOG_INFO, NULL, "nowhere", NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(text_lines),
      cmocka_unit_test(json_lines),
      cmocka_unit_test(levels_are_kept),
      cmocka_unit_test(lines_of_threads_do_not_mix),
      cmocka_unit_test(a_closed_descriptor_does_no_harm),
  };
  return cmocka_run_group_tests(tests, open_pipe, close_pipe);
}
