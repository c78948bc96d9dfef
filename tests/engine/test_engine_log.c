// What the engine tells the log.
#include "base/log.h"
#include "fake_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static FILE *lines;

// The text of the last line with this message, or NULL.
static const char *last_line(const char *message) {
  static char line[1024], found[1024];
  found[0] = '\0';
  rewind(lines);
  while (fgets(line, sizeof line, lines))
    if (strstr(line, message)) strcpy(found, line);
  fseek(lines, 0, SEEK_END);
  return found[0] ? found : NULL;
}

static void expect(const char *message, const char *part) {
  const char *line = last_line(message);
  assert_non_null(line);
  if (!strstr(line, part)) fail_msg("'%s' is not in: %s", part, line);
}

static void a_miss_names_both_texts(void **state) {
  (void)state;
  fake_reset();
  pn_engine *g = fake_open(&(pn_engine_options){.max_queue = 1});
  int32_t tokens[150];
  static fake_answer a;
  for (int i = 0; i < 150; i++) tokens[i] = i % 20;
  pn_request r = fake_request(tokens, 150, 3, NULL);
  fake_ask(g, &r, &a);
  expect("prefix cache", "prompt_tokens=150 cached_tokens=0 recomputed_tokens=0\n");
  fake_ask(g, &r, &a);
  expect("prefix cache", "prompt_tokens=150 cached_tokens=149 recomputed_tokens=0\n");
  tokens[70] = 26; // the cached one has k there
  fake_ask(g, &r, &a);
  expect("prefix cache",
         "cached_tokens=70 recomputed_tokens=0 at=70 cached_text=k prompt_text=\"\\\\x0a\"\n");
  tokens[130] = 25; // within the last page: no miss worth a word
  fake_ask(g, &r, &a);
  expect("prefix cache", "cached_tokens=130 recomputed_tokens=0\n");
  pn_engine_close(g);
}

static void pauses_and_leaving_are_told(void **state) {
  (void)state;
  fake_reset();
  pn_engine *g =
      fake_open(&(pn_engine_options){.max_queue = 2, .max_running = 2, .kv_tokens = FAKE_CTX + 200});
  const int32_t tokens[2][3] = {{1, 2, 3}, {3, 2, 1}};
  static fake_answer a;
  fake_bell bells[2] = {FAKE_BELL, FAKE_BELL};
  pn_gen *gens[2];
  pn_error e;
  for (int i = 0; i < 2; i++) {
    pn_request r = fake_request(tokens[i], 3, 1000, &bells[i]);
    assert_non_null(gens[i] = pn_engine_submit(g, &r, &e));
  }
  for (int i = 0; i < 2; i++) {
    fake_collect(gens[i], &bells[i], &a);
    assert_int_equal(a.last.stop, PN_STOP_CONTEXT);
    pn_gen_release(gens[i]);
  }
  expect("generation preempted", "output_tokens=");
  pn_request r = fake_request(tokens[0], 3, 1000, &bells[0]);
  gens[0] = pn_engine_submit(g, &r, &e);
  pn_gen_cancel(gens[0]);
  fake_collect(gens[0], &bells[0], &a);
  expect("generation cancelled", "prompt_tokens=3");
  pn_gen_release(gens[0]);
  pn_engine_close(g);
}

int main(void) {
  lines = tmpfile();
  if (!lines) return 1;
  pn_log_setup(PN_LOG_DEBUG, false, fileno(lines));
  const struct CMUnitTest tests[] = {cmocka_unit_test(a_miss_names_both_texts),
                                     cmocka_unit_test(pauses_and_leaving_are_told)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
