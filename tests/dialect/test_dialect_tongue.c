// Layouts as raw text.
#include "../unit.h"
#include "play_dialect.h"

#include <string.h>

static void check(const pn_str text, const char *want) {
  assert_int_equal(text.n, strlen(want));
  assert_memory_equal(text.p, want, text.n);
}

static void control_tokens_are_marked(void **state) {
  (void)state;
  pn_tongue t;
  assert_true(pn_tongue_init(&t, pn_dialect_find("hermes"), &pn_thinking[0], &all_controls));
  check(t.open, "\xFF<tool_call>\xFE");
  check(t.end, "\n\xFF</tool_call>\xFE");
  check(t.think_close, "\xFF</think>\xFE");
  assert_null(t.between.p);
  assert_null(t.quote.p);
  pn_tongue_fini(&t);
  assert_true(pn_tongue_init(&t, pn_dialect_find("phi4"), &pn_thinking[2], &all_controls));
  check(t.end, "]\xFF<|/tool_call|>\xFE");
  check(t.think_open, "\xFF<|channel>\xFEthought\n");
  pn_tongue_fini(&t);
  assert_true(pn_tongue_init(&t, pn_dialect_find("gemma4"), NULL, &all_controls));
  check(t.quote, "\xFF<|\"|>\xFE");
  assert_non_null(t.begin.p); // empty, but there
  assert_int_equal(t.begin.n, 0);
  assert_null(t.think_open.p);
  pn_tongue_fini(&t);
}

static void other_tokenizers_spell_them(void **state) {
  (void)state;
  static const pn_dialect odd = {.name = "odd",
                                 .open = "<word><<|im_end|>[",
                                 .begin = "<",
                                 .head = "[]",
                                 .middle = "",
                                 .tail = "",
                                 .end = "",
                                 .values = &pn_style_json};
  const pn_tokenizer *const tokenizers[] = {&no_controls, NULL};
  pn_tongue t;
  for (size_t i = 0; i < 2; i++) {
    assert_true(pn_tongue_init(&t, pn_dialect_find("mistral_args"), &pn_thinking[1], tokenizers[i]));
    check(t.open, "[TOOL_CALLS]");
    check(t.middle, "[ARGS]");
    check(t.think_open, "[THINK]");
    pn_tongue_fini(&t);
  }
  assert_true(pn_tongue_init(&t, &odd, NULL, &all_controls));
  check(t.open, "<word><\xFF<|im_end|>\xFE["); // <word> is an ordinary token
  check(t.begin, "<");
  check(t.head, "[]");
  pn_tongue_fini(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(control_tokens_are_marked),
      cmocka_unit_test(other_tokenizers_spell_them),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
