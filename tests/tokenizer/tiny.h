// Tiny model folders for the tests of the tokenizer.
#ifndef PN_TEST_TINY_H
#define PN_TEST_TINY_H

#include "tokenizer/tokenizer.h"

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static inline void tiny_write(const char *folder, const char *name, const void *p, size_t n) {
  char path[300];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(p, 1, n, f), n);
  assert_int_equal(fclose(f), 0);
}

static const char *const tiny_names[] = {
    "tokenizer.json",         "tokenizer_config.json", "special_tokens_map.json",
    "generation_config.json", "config.json",           "model.safetensors"};

static inline void tiny_remove(const char *folder) {
  char path[300];
  for (size_t i = 0; i < sizeof tiny_names / sizeof *tiny_names; i++) {
    snprintf(path, sizeof path, "%s/%s", folder, tiny_names[i]);
    unlink(path);
  }
  rmdir(folder);
}

// A tokenizer from the texts of the files above, NULL for those that are absent. On failure NULL and *e.
static inline pn_tokenizer *tiny_open(const char *tokenizer, const char *config, const char *generation,
                                      pn_error *e) {
  char folder[] = "/tmp/pensieve-tokenizer-XXXXXX";
  assert_non_null(mkdtemp(folder));
  static const char header[] = "{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}";
  unsigned char weights[8 + sizeof header - 1 + 4] = {sizeof header - 1};
  memcpy(weights + 8, header, sizeof header - 1);
  tiny_write(folder, "model.safetensors", weights, sizeof weights);
  tiny_write(folder, "config.json", "{}", 2);
  if (tokenizer) tiny_write(folder, "tokenizer.json", tokenizer, strlen(tokenizer));
  if (config) tiny_write(folder, "tokenizer_config.json", config, strlen(config));
  if (generation) tiny_write(folder, "generation_config.json", generation, strlen(generation));
  pn_files *files = pn_files_open(folder, e);
  if (!files) fail_msg("%s", e->msg);
  pn_tokenizer *t = pn_tokenizer_open(files, e);
  pn_files_close(files); // the tokenizer keeps nothing of them
  tiny_remove(folder);
  return t;
}

// Spellings of the ids of a text, with '|' behind each. `plain` may be NULL.
static inline char *tiny_spell(const pn_tokenizer *t, const char *text, const pn_span *plain) {
  static char out[4096];
  pn_ids ids = {0};
  pn_error e = {0};
  if (!pn_tokenizer_encode(t, pn_str_of(text), plain, plain != NULL, &ids, &e)) fail_msg("%s", e.msg);
  size_t n = 0;
  for (size_t i = 0; i < ids.n; i++) {
    pn_str s = pn_tokenizer_spelling(t, ids.p[i]);
    n += (size_t)snprintf(out + n, sizeof out - n, "%.*s|", (int)s.n, s.p);
  }
  out[n] = 0;
  pn_ids_fini(&ids);
  return out;
}

// Decoded bytes of the ids of a text, as a C string.
static inline char *tiny_round(const pn_tokenizer *t, const char *text, bool keep_control) {
  static char out[4096];
  pn_ids ids = {0};
  pn_buf b = {0};
  pn_error e = {0};
  if (!pn_tokenizer_encode(t, pn_str_of(text), NULL, 0, &ids, &e)) fail_msg("%s", e.msg);
  pn_tokenizer_decode(t, ids.p, ids.n, keep_control, &b);
  snprintf(out, sizeof out, "%.*s", (int)b.n, b.n ? b.p : "");
  pn_ids_fini(&ids);
  pn_buf_fini(&b);
  return out;
}

#endif
