// Which dialect real templates write calls in.
#include "../unit.h"
#include "base/map.h"
#include "dialect/dialect.h"
#include "template/template.h"

#include <stdio.h>
#include <string.h>

static const char *folder;

static const char conversation[] =
    "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":\"\",\"tool_"
    "calls\":["
    "{\"id\":\"abcdefghi\",\"type\":\"function\",\"function\":{\"name\":\"probe_call\",\"arguments\":{\"x\":"
    "1}}}]},"
    "{\"role\":\"tool\",\"tool_call_id\":\"abcdefghi\",\"name\":\"probe_call\",\"content\":\"r\"}],"
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"probe_call\",\"description\":\"d\","
    "\"parameters\":{\"type\":\"object\",\"properties\":{\"x\":{\"type\":\"integer\"}}}}}]}";

static bool render(const char *name, pn_buf *out) {
  char path[1024];
  pn_buf source = {0};
  pn_text_spans user = {0};
  snprintf(path, sizeof path, "%s/%s.jinja", folder, name);
  assert_true(pn_file_read(path, 1u << 20, &source, NULL));
  pn_template *t = pn_template_open(pn_buf_view(&source), NULL);
  pn_json *vars = pn_json_parse(pn_str_of(conversation), NULL);
  const pn_template_consts consts = {.bos_token = PN_STR("<s>"), .eos_token = PN_STR("</s>")};
  bool ok = t && pn_template_render(t, vars, &consts, &(pn_template_limits){0}, out, &user, NULL);
  pn_text_spans_fini(&user);
  pn_json_free(vars);
  pn_template_close(t);
  pn_buf_fini(&source);
  return ok;
}

static void templates_are_told_apart(void **state) {
  (void)state;
  static const char *const cases[][2] = {{"qwen25", "hermes"},  {"qwen3", "hermes"},
                                         {"llama31", "llama3"}, {"mistral", "mistral_spaced"},
                                         {"phi4mini", NULL},    {"chatml", NULL}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    pn_buf text = {0};
    const pn_dialect *d =
        render(cases[i][0], &text) ? pn_dialect_detect(pn_buf_view(&text), PN_STR("probe_call")) : NULL;
    if (cases[i][1]) {
      assert_non_null(d);
      assert_string_equal(d->name, cases[i][1]);
    } else {
      assert_null(d);
    }
    pn_buf_fini(&text);
  }
}

// What each dialect writes is found to be this dialect's.
static void dialects_are_told_apart(void **state) {
  (void)state;
  for (const pn_dialect *d = pn_dialects; d->name; d++) {
    pn_buf text = {0};
    pn_buf_z(&text, "<|im_start|>assistant\n");
    pn_dialect_write_call(&text, d, PN_STR("probe_call"), NULL, false);
    pn_buf_z(&text, "<|im_end|>\n");
    const pn_dialect *found = pn_dialect_detect(pn_buf_view(&text), PN_STR("probe_call"));
    assert_non_null(found);
    assert_string_equal(found->name, d->name);
    assert_null(pn_dialect_detect(pn_buf_view(&text), PN_STR("other")));
    pn_buf_fini(&text);
  }
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(templates_are_told_apart),
      cmocka_unit_test(dialects_are_told_apart),
  };
  if (argc != 2) return 2;
  folder = argv[1];
  return cmocka_run_group_tests(tests, NULL, NULL);
}
