// The environment of Claude Code, and finding the program.
#include "../unit.h"
#include "cli/claude_env.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const claude_facts facts = {.url = "http://127.0.0.1:8000", .model = "small", .n_ctx = 8192};

static void expect(char *const *env, const char *name, const char *value) {
  const char *is = claude_env_get(env, name);
  if (!is || !value || strcmp(is, value) != 0)
    if (is || value)
      fail_msg("%s: expected %s, found %s", name, value ? value : "nothing", is ? is : "nothing");
}

static void everything_is_set(void **state) {
  (void)state;
  pn_arena a = {0};
  char *from[] = {"HOME=/h", "ANTHROPIC_API_KEY=sk-cloud", "ANTHROPIC_BASE_URL=https://elsewhere", NULL};
  char **env = claude_env(from, &facts, &a);
  expect(env, "HOME", "/h");
  expect(env, "ANTHROPIC_BASE_URL", "http://127.0.0.1:8000");
  expect(env, "ANTHROPIC_API_KEY", "local-development");
  expect(env, "ANTHROPIC_MODEL", "small");
  expect(env, "ANTHROPIC_DEFAULT_HAIKU_MODEL", "small");
  expect(env, "ANTHROPIC_DEFAULT_SONNET_MODEL", "small");
  expect(env, "ANTHROPIC_DEFAULT_OPUS_MODEL", "small");
  expect(env, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1");
  expect(env, "CLAUDE_CODE_ATTRIBUTION_HEADER", "0");
  expect(env, "CLAUDE_CODE_MAX_CONTEXT_TOKENS", "8192");
  expect(env, "CLAUDE_CODE_MAX_OUTPUT_TOKENS", "1024");
  expect(env, "CLAUDE_STREAM_IDLE_TIMEOUT_MS", "1800000");
  expect(env, "API_TIMEOUT_MS", "3600000");
  expect(env, "NO_PROXY", NULL);
  size_t n = 0;
  while (env[n]) n++;
  assert_int_equal(n, 13); // each once
  pn_arena_fini(&a);
}

static void what_the_user_set(void **state) {
  (void)state;
  pn_arena a = {0};
  char *from[] = {"CLAUDE_CODE_MAX_OUTPUT_TOKENS=5",
                  "CLAUDE_CODE_MAX_CONTEXT_TOKENS=",
                  "API_TIMEOUT_MS=6",
                  "ANTHROPIC_AUTH_TOKEN=t",
                  "ANTHROPIC_MODEL=cloud",
                  "ANTHROPIC_SMALL_FAST_MODEL=cloud",
                  "CLAUDE_CODE_USE_BEDROCK=1",
                  "CLAUDE_CODE_USE_VERTEX=1",
                  "CLAUDE_CODE_USE_FOUNDRY=1",
                  "ANTHROPIC_AUTH_TOKENS=other",
                  NULL};
  claude_facts keyed = facts;
  keyed.key = "s3cret";
  char **env = claude_env(from, &keyed, &a);
  expect(env, "CLAUDE_CODE_MAX_OUTPUT_TOKENS", "5");
  expect(env, "CLAUDE_CODE_MAX_CONTEXT_TOKENS", "8192"); // an empty one is not set
  expect(env, "API_TIMEOUT_MS", "6");
  expect(env, "ANTHROPIC_API_KEY", "s3cret");
  expect(env, "ANTHROPIC_MODEL", "small");
  expect(env, "ANTHROPIC_AUTH_TOKEN", NULL);
  expect(env, "ANTHROPIC_AUTH_TOKENS", "other");
  expect(env, "ANTHROPIC_SMALL_FAST_MODEL", NULL);
  expect(env, "CLAUDE_CODE_USE_BEDROCK", NULL);
  expect(env, "CLAUDE_CODE_USE_VERTEX", NULL);
  expect(env, "CLAUDE_CODE_USE_FOUNDRY", NULL);
  pn_arena_fini(&a);
}

static void behind_a_proxy(void **state) {
  (void)state;
  static const struct {
    const char *proxy, *own, *url, *want;
  } cases[] = {
      {"HTTPS_PROXY=http://p:1", "X=", "http://127.0.0.1:8000", "127.0.0.1"},
      {"http_proxy=http://p:1", "NO_PROXY=a.b,c", "http://[::1]:80", "a.b,c,::1"},
      {"ALL_PROXY=http://p:1", "no_proxy=d", "http://box:8000", "d,box"},
      {"HTTP_PROXY=", "X=", "http://box:8000", NULL},
      {"HTTP_PROXY=", "NO_PROXY=a", "http://box:8000", "a"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    pn_arena a = {0};
    char proxy[64], own[64];
    snprintf(proxy, sizeof proxy, "%s", cases[i].proxy);
    snprintf(own, sizeof own, "%s", cases[i].own);
    claude_facts there = facts;
    there.url = cases[i].url;
    char **env = claude_env((char *[]){proxy, own, NULL}, &there, &a);
    expect(env, "NO_PROXY", cases[i].want);
    if (proxy[strlen(proxy) - 1] != '=') expect(env, "no_proxy", cases[i].want);
    pn_arena_fini(&a);
  }
}

static void part_for_an_answer(void **state) {
  (void)state;
  assert_int_equal(claude_max_output(2), 1);
  assert_int_equal(claude_max_output(8192), 1024);
  assert_int_equal(claude_max_output(131072), 16384);
  assert_int_equal(claude_max_output(1 << 20), 32000);
}

static void the_program(void **state) {
  (void)state;
  pn_arena a = {0};
  char root[] = "/tmp/pn_claude_XXXXXX", file[64], folder[64], plain[64], path[256];
  assert_non_null(mkdtemp(root));
  snprintf(folder, sizeof folder, "%s/claude", root);
  assert_int_equal(mkdir(folder, 0700), 0); // not a program
  snprintf(plain, sizeof plain, "%s/plain", root);
  fclose(fopen(plain, "w")); // may not be run
  snprintf(file, sizeof file, "%s/claude/tool", root);
  fclose(fopen(file, "w"));
  assert_int_equal(chmod(file, 0700), 0);

  snprintf(path, sizeof path, "/nowhere::%s:%s", root, folder);
  assert_string_equal(claude_find("tool", path, &a), file);
  assert_string_equal(claude_find(file, NULL, &a), file);
  assert_null(claude_find("claude", path, &a));
  assert_null(claude_find("plain", path, &a));
  assert_null(claude_find(plain, path, &a));
  assert_null(claude_find("tool", "", &a));
  assert_null(claude_find("tool", NULL, &a));
  assert_null(claude_find("", path, &a));
  remove(file), remove(plain), remove(folder), remove(root);
  pn_arena_fini(&a);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(everything_is_set), cmocka_unit_test(what_the_user_set),
                                     cmocka_unit_test(behind_a_proxy), cmocka_unit_test(part_for_an_answer),
                                     cmocka_unit_test(the_program)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
