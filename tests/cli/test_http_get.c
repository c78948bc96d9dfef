// What a server answers, taken apart.
#include "../unit.h"
#include "cli/http_get.h"

#include <string.h>

static void answers(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int status;
    const char *body;
  } cases[] = {
      {"HTTP/1.1 200 OK\r\nA: b\r\n\r\n{}", 200, "{}"},
      {"HTTP/1.0 404 \r\n\r\n", 404, ""},
      {"HTTP/1.1 503 x\r\n\r\na\r\n\r\nb", 503, "a\r\n\r\nb"},
      {"HTTP/1.1 200 OK\r\nA: b\r\n", 0, ""}, // cut
      {"HTTP/1.1 2x0 OK\r\n\r\n", 0, ""},
      {"HTTP/2.0 200 OK\r\n\r\n", 0, ""},
      {"\r\n\r\n", 0, ""},
      {"SSH-2.0-OpenSSH\r\n\r\n", 0, ""},
      {"", 0, ""},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    pn_str body;
    int status = http_get_parse(pn_str_of(cases[i].text), &body);
    if (status != cases[i].status || !pn_str_is(body, cases[i].body)) fail_msg("case %zu: %d", i, status);
  }
}

static void health(void **state) {
  (void)state;
  server_state s;
  assert_true(
      server_state_read(PN_STR("{\"status\":\"ok\",\"model\":\"m\",\"backend\":\"cpu\",\"context\":64,"
                               "\"running\":0,\"waiting\":0}"),
                        &s));
  assert_string_equal(s.status, "ok");
  assert_string_equal(s.model, "m");
  assert_int_equal(s.n_ctx, 64);
  assert_true(server_state_read(
      PN_STR("{\"status\":\"draining\",\"model\":\"\",\"backend\":\"\",\"context\":0}"), &s));
  assert_string_equal(s.model, "local");
  static const char *const others[] = {
      "",
      "ok",
      "{}",
      "[]",
      "{\"status\":\"ok\"}",
      "{\"status\":\"ok\",\"model\":\"m\",\"context\":64}",
      "{\"status\":\"ok\",\"model\":\"m\",\"backend\":\"cpu\",\"context\":\"64\"}",
      "{\"status\":\"ok\",\"model\":\"m\",\"backend\":\"cpu\",\"context\":-1}",
      "{\"status\":1,\"model\":\"m\",\"backend\":\"cpu\",\"context\":64}"};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    if (server_state_read(pn_str_of(others[i]), &s)) fail_msg("%s", others[i]);
}

static void urls(void **state) {
  (void)state;
  static const char *const cases[][2] = {{"127.0.0.1", "http://127.0.0.1:80"},
                                         {"0.0.0.0", "http://127.0.0.1:80"},
                                         {"::1", "http://[::1]:80"},
                                         {"[::1]", "http://[::1]:80"},
                                         {"::", "http://[::1]:80"},
                                         {"localhost", "http://localhost:80"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char url[300];
    server_url(cases[i][0], 80, url);
    assert_string_equal(url, cases[i][1]);
  }
}

static void nobody_there(void **state) {
  (void)state;
  found_server found;
  server_state s;
  pn_error e = {0};
  assert_true(server_look("127.0.0.1", 1, 1000, &found, &s, &e));
  assert_int_equal(found, SERVER_NONE);
  assert_false(server_look("no such host", 1, 1000, &found, &s, &e));
  assert_int_equal(e.code, PN_ERR_USAGE);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(answers), cmocka_unit_test(health),
                                     cmocka_unit_test(urls), cmocka_unit_test(nobody_there)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
