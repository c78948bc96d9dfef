// Where the template of a model folder or GGUF file is found.
#include "template/template.h"

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
// clang-format on

static char folder[] = "/tmp/pn_template_XXXXXX";

static void put(const char *name, const void *p, size_t n) {
  char path[200];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(p, 1, n, f), n);
  assert_int_equal(fclose(f), 0);
}

static void put_text(const char *name, const char *text) { put(name, text, strlen(text)); }

static void drop(const char *name) {
  char path[200];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  unlink(path);
}

static int make_folder(void **state) {
  (void)state;
  static const char header[] = "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}";
  char file[8 + sizeof header - 1 + 4] = {(char)(sizeof header - 1)};
  if (!mkdtemp(folder)) return -1;
  memcpy(file + 8, header, sizeof header - 1);
  put("model.safetensors", file, sizeof file);
  put_text("config.json", "{\"model_type\": \"llama\"}");
  return 0;
}

static int drop_folder(void **state) {
  (void)state;
  static const char *const names[] = {"model.safetensors", "config.json", "tokenizer_config.json",
                                      "chat_template.jinja", "m.gguf"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) drop(names[i]);
  return rmdir(folder);
}

// want NULL: none; "!": an error.
static void expect(const char *path, const char *want) {
  pn_error e = {0};
  pn_str s = {0};
  pn_files *f = pn_files_open(path, &e);
  if (!f) fail_msg("%s", e.msg);
  bool ok = pn_template_source(f, &s, &e);
  if (want && want[0] == '!') {
    assert_false(ok);
    assert_int_equal(e.code, PN_ERR_CORRUPT);
  } else {
    assert_true(ok);
    if (!want) assert_null(s.p);
    if (want) assert_true(pn_str_is(s, want));
  }
  pn_files_close(f);
}

static void test_folder(void **state) {
  (void)state;
  expect(folder, NULL);
  put_text("tokenizer_config.json", "{\"chat_template\": null}");
  expect(folder, NULL);
  put_text("tokenizer_config.json", "{\"chat_template\": 5}");
  expect(folder, "!");
  put_text("tokenizer_config.json", "{\"chat_template\": \"plain\"}");
  expect(folder, "plain");
  put_text("tokenizer_config.json",
           "{\"chat_template\": [{\"name\": \"tool_use\", \"template\": \"t\"}, {\"name\": "
           "\"default\", \"template\": \"d\"}]}");
  expect(folder, "d");
  put_text("chat_template.jinja", "file");
  expect(folder, "file");
}

static void put_gguf(const char *key, uint32_t type, const char *value) {
  pn_buf b = {0};
  const uint32_t version = 3;
  const uint64_t n_tensors = 0, n_values = 1, n_key = strlen(key), n = strlen(value);
  pn_buf_z(&b, "GGUF");
  pn_buf_add(&b, &version, 4);
  pn_buf_add(&b, &n_tensors, 8);
  pn_buf_add(&b, &n_values, 8);
  pn_buf_add(&b, &n_key, 8);
  pn_buf_z(&b, key);
  pn_buf_add(&b, &type, 4);
  if (type == PN_GGUF_STR) pn_buf_add(&b, &n, 8);
  pn_buf_add(&b, value, n);
  put("m.gguf", b.p, b.n);
  pn_buf_fini(&b);
}

static void test_gguf(void **state) {
  (void)state;
  char path[200];
  snprintf(path, sizeof path, "%s/m.gguf", folder);
  put_gguf("tokenizer.chat_template", PN_GGUF_STR, "from gguf");
  expect(path, "from gguf");
  put_gguf("tokenizer.chat_template", PN_GGUF_U32, "1234");
  expect(path, "!");
  put_gguf("something.else", PN_GGUF_STR, "x");
  expect(path, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_folder), cmocka_unit_test(test_gguf)};
  return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
