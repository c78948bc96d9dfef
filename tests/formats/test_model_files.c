// Opening folders and GGUF files on disk. With PN_TEST_MODEL naming SmolLM2-135M-Instruct.Q4_1.gguf, facts of
// that file too.
#include "base/clock.h"
#include "build_files.h"
#include "check_formats.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
// clang-format on

static char folder[64]; // of the running test

static const char *path_of(const char *name) {
  static char path[512];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return path;
}

static int make_folder(void **state) {
  (void)state;
  snprintf(folder, sizeof folder, "/tmp/pn_files_XXXXXX");
  return mkdtemp(folder) ? 0 : -1;
}

static int drop_folder(void **state) {
  (void)state;
  DIR *d = opendir(folder);
  for (struct dirent *entry; d && (entry = readdir(d));)
    if (entry->d_name[0] != '.' || strlen(entry->d_name) > 2) unlink(path_of(entry->d_name));
  if (d) closedir(d);
  return rmdir(folder);
}

static void put(const char *name, pn_str bytes) {
  FILE *file = fopen(path_of(name), "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(bytes.p, 1, bytes.n, file), bytes.n);
  assert_int_equal(fclose(file), 0);
}

static uint64_t size_of(const char *name) {
  struct stat st;
  assert_int_equal(stat(path_of(name), &st), 0);
  return (uint64_t)st.st_size;
}

static void put_text(const char *name, const char *text) { put(name, pn_str_of(text)); }

// A safetensors file of F32 tensors of one element; `names` is NULL-terminated. Element i of a file is
// `first` + i.
static void put_shard(const char *name, unsigned char first, const char *const *names) {
  pn_buf header = {0}, b = {0};
  int n = 0;
  for (; names[n]; n++)
    pn_buf_printf(&header, "%c\"%s\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[%d,%d]}",
                  n ? ',' : '{', names[n], 4 * n, 4 * n + 4);
  pn_buf_z(&header, "}");
  build_safetensors(&b, pn_buf_cstr(&header), 0);
  for (int i = 0; i < n; i++) build_u32(&b, (uint32_t)first + (uint32_t)i);
  put(name, pn_buf_view(&b));
  pn_buf_fini(&header);
  pn_buf_fini(&b);
}
#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})

static void refuse_path(const char *path, pn_code code, const char *words) {
  pn_error e = {0};
  pn_files *f = pn_files_open(path, &e);
  if (f) fail_msg("opened; expected: %s", words);
  if (e.code != code || !strstr(e.msg, words))
    fail_msg("%s (%s); expected: %s", e.msg, pn_code_name(e.code), words);
}
static void refuse(pn_code code, const char *words) { refuse_path(folder, code, words); }

static pn_files *open_good(const char *path) {
  pn_error e = {0};
  pn_files *f = pn_files_open(path, &e);
  if (!f) fail_msg("%s", e.msg);
  for (size_t i = 0; i < pn_files_tensors(f)->n; i++) {
    const pn_tensor *t = &pn_files_tensors(f)->items[i];
    check_touch(t->data, t->n_bytes);
    assert_ptr_equal(pn_tensors_find(pn_files_tensors(f), t->name), t);
  }
  pn_files_prefetch(f);
  return f;
}

static void check_value(const pn_files *f, const char *name, unsigned value) {
  const pn_tensor *t = pn_tensors_find(pn_files_tensors(f), pn_str_of(name));
  assert_non_null(t);
  assert_int_equal(t->data[0], value);
}

static void test_nothing_there(void **state) {
  (void)state;
  refuse_path(path_of("nothing"), PN_ERR_NOT_FOUND, "no model at");
  refuse(PN_ERR_NOT_FOUND, "no config.json in this folder");
  put_text("y.gguf", "");
  refuse(PN_ERR_NOT_FOUND, "no config.json in this folder; for its GGUF model give ");
  assert_int_equal(unlink(path_of("y.gguf")), 0);
  put_text("adapter_config.json", "{}");
  refuse(PN_ERR_UNSUPPORTED, "this is an adapter (LoRA), no model");
  put_text("config.json", "{");
  refuse(PN_ERR_CORRUPT, "config.json: not valid JSON");
  put_text("config.json", "[]");
  refuse(PN_ERR_CORRUPT, "config.json must hold an object, found an array");
  put_text("config.json", "{}");
  refuse(PN_ERR_NOT_FOUND, "no .safetensors file in this folder");
  put_text("x.gguf", "");
  refuse(PN_ERR_NOT_FOUND, "x.gguf");
  refuse_path(path_of("x.gguf"), PN_ERR_CORRUPT, "not a GGUF file");
  put_text("model.safetensors", "");
  refuse(PN_ERR_CORRUPT, "only 0 bytes");
  refuse_path(path_of("model.safetensors"), PN_ERR_UNSUPPORTED, "give the folder");
}

static void test_single(void **state) {
  (void)state;
  put_text("config.json", "{\"model_type\":\"phi3\"}");
  put_text("chat_template.jinja", "{{ x }}");
  put_text("empty.txt", "");
  put_text("broken.json", "{\"a\":}");
  put_shard("model.safetensors", 10, NAMES("a", "b"));
  pn_files *f = open_good(folder);
  assert_string_equal(pn_files_path(f), folder);
  assert_null(pn_files_gguf(f));
  assert_int_equal(pn_files_tensors(f)->n, 2);
  check_value(f, "b", 11);
  assert_int_equal(pn_files_bytes(f), size_of("model.safetensors"));
  const pn_json *json, *again;
  assert_true(pn_files_json(f, "config.json", &json, NULL));
  assert_string_equal(pn_json_cstr(pn_json_get(json, "model_type")), "phi3");
  assert_int_equal(unlink(path_of("config.json")), 0); // it was kept
  assert_true(pn_files_json(f, "config.json", &again, NULL));
  assert_ptr_equal(json, again);
  assert_true(pn_files_json(f, "absent.json", &json, NULL));
  assert_null(json);
  pn_error e = {0};
  assert_false(pn_files_json(f, "broken.json", &json, &e));
  assert_non_null(strstr(e.msg, "broken.json"));
  assert_null(json);
  assert_false(pn_files_json(f, "../config.json", &json, &e));
  assert_false(pn_files_json(f, "", &json, &e));
  pn_str text;
  assert_true(pn_files_text(f, "chat_template.jinja", &text, NULL));
  assert_true(pn_str_is(text, "{{ x }}"));
  assert_true(pn_files_text(f, "empty.txt", &text, NULL));
  assert_true(text.p != NULL && text.n == 0);
  assert_true(pn_files_text(f, "absent.txt", &text, NULL));
  assert_null(text.p);
  pn_files_close(f);
  pn_files_close(NULL);
}

// A snapshot folder of a download cache holds symbolic links.
static void test_links(void **state) {
  (void)state;
  put_text("0001", "{}");
  put_shard("0002", 1, NAMES("a"));
  assert_int_equal(symlink("0001", path_of("config.json")), 0);
  assert_int_equal(symlink("0002", path_of("model.safetensors")), 0);
  pn_files_close(open_good(folder));
  assert_int_equal(unlink(path_of("0002")), 0);
  refuse(PN_ERR_NOT_FOUND, "model.safetensors: No such file");
}

static void test_lone_names(void **state) {
  (void)state;
  put_text("config.json", "{}");
  put_shard("weights.safetensors", 1, NAMES("a"));
  pn_files_close(open_good(folder));
  put_shard("adapter.safetensors", 1, NAMES("b"));
  refuse(PN_ERR_NOT_FOUND, "2 .safetensors files (adapter.safetensors, ...)");
  put_shard("model-00002-of-00002.safetensors", 2, NAMES("d"));
  refuse(PN_ERR_NOT_FOUND, "1 .safetensors files (model-00002-of-00002.safetensors");
  put_shard("model-00001-of-00002.safetensors", 1, NAMES("c"));
  pn_files *f = open_good(folder);
  assert_int_equal(pn_files_tensors(f)->n, 2);
  check_value(f, "c", 1);
  check_value(f, "d", 2);
  pn_files_close(f);
  put_shard("model-00003-of-00003.safetensors", 2, NAMES("e"));
  refuse(PN_ERR_NOT_FOUND, "3 .safetensors files");
}

#define INDEX "model.safetensors.index.json"
#define S1 "model-00001-of-00002.safetensors"
#define S2 "model-00002-of-00002.safetensors"

static void test_sharded(void **state) {
  (void)state;
  put_text("config.json", "{}");
  put_shard(S1, 1, NAMES("a", "b"));
  put_shard(S2, 7, NAMES("c", "extra"));
  put_text(INDEX, "{\"weight_map\":{\"c\":\"" S2 "\",\"a\":\"" S1 "\",\"b\":\"" S1 "\"}}");
  pn_files *f = open_good(folder);
  assert_int_equal(pn_files_tensors(f)->n, 4);
  assert_true(pn_str_is(pn_files_tensors(f)->items[2].name, "c"));
  check_value(f, "b", 2);
  check_value(f, "c", 7);
  check_value(f, "extra", 8);
  assert_int_equal(pn_files_bytes(f), size_of(S1) + size_of(S2));
  pn_files_close(f);
}

static void test_bad_index(void **state) {
  (void)state;
  put_text("config.json", "{}");
  put_shard(S1, 1, NAMES("a", "b"));
  put_shard(S2, 1, NAMES("c"));
  put_text(INDEX, "{\"weight_map\":{\"a\":\"" S1 "\",\"c\":\"" S1 "\",\"b\":\"" S2 "\"}}");
  refuse(PN_ERR_CORRUPT, "tensor \"c\" should be in " S1 ", but is in " S2);
  put_text(INDEX, "{\"weight_map\":{\"a\":\"" S1 "\",\"z\":\"" S2 "\"}}");
  refuse(PN_ERR_CORRUPT, "tensor \"z\" should be in " S2 ", but no file holds it");
  put_text(INDEX, "{\"weight_map\":{\"a\":\"" S1 "\",\"c\":\"model-x.safetensors\"}}");
  refuse(PN_ERR_NOT_FOUND, "model-x.safetensors");
  put_text(INDEX, "{\"weight_map\":{\"a\":\"../x.safetensors\"}}");
  refuse(PN_ERR_CORRUPT, "the file name \"../x.safetensors\" is refused");
  put_text(INDEX, "{\"weight_map\":{\"a\":\"/etc/x.safetensors\"}}");
  refuse(PN_ERR_CORRUPT, "is refused");
  put_text(INDEX, "{\"weight_map\":{\"a\":\"sub/x.safetensors\"}}");
  refuse(PN_ERR_CORRUPT, "is refused");
  put_text(INDEX, "{\"weight_map\":{\"a\":\"..\\\\x.safetensors\"}}");
  refuse(PN_ERR_CORRUPT, "is refused");
  put_text(INDEX, "{\"weight_map\":{\"a\":\"x\\u0000.safetensors\"}}");
  refuse(PN_ERR_CORRUPT, "must name a .safetensors file");
  put_text(INDEX, "{\"weight_map\":{\"a\":\"config.json\"}}");
  refuse(PN_ERR_CORRUPT, "must name a .safetensors file for \"a\", found \"config.json\"");
  put_text(INDEX, "{\"weight_map\":{\"a\":7}}");
  refuse(PN_ERR_CORRUPT, "must name a .safetensors file");
  put_text(INDEX, "{\"weight_map\":{}}");
  refuse(PN_ERR_CORRUPT, "weight_map must be an object");
  put_text(INDEX, "{}");
  refuse(PN_ERR_CORRUPT, "weight_map must be an object");
  put_text(INDEX, "{");
  refuse(PN_ERR_CORRUPT, INDEX ": not valid JSON");
}

static void test_bad_shards(void **state) {
  (void)state;
  put_text("config.json", "{}");
  put_shard(S1, 1, NAMES("a", "b"));
  put_shard(S2, 1, NAMES("c", "a"));
  put_text(INDEX, "{\"weight_map\":{\"a\":\"" S1 "\",\"c\":\"" S2 "\"}}");
  refuse(PN_ERR_CORRUPT, "tensor \"a\" is in two files, " S1 " and " S2);
  put_text(S2, "half a file, it seems");
  refuse(PN_ERR_CORRUPT, S2);
  assert_int_equal(unlink(path_of(S2)), 0);
  refuse(PN_ERR_NOT_FOUND, "weight file listed in " INDEX ": cannot open");
}

// The index of the model that a single file was converted from doesn't count.
static void test_stale_index(void **state) {
  (void)state;
  put_text("config.json", "{}");
  put_shard("model.safetensors", 5, NAMES("a"));
  put_text(INDEX, "{\"weight_map\":{\"a\":\"" S1 "\",\"old\":\"" S2 "\"}}");
  pn_files *f = open_good(folder);
  check_value(f, "a", 5);
  pn_files_close(f);
  put_text(INDEX, "{\"weight_map\":{\"a\":\"model.safetensors\"}}");
  pn_files_close(open_good(folder));
  put_text(INDEX, "{\"weight_map\":{\"b\":\"model.safetensors\"}}");
  refuse(PN_ERR_CORRUPT, "no file holds it");
}

// A GGUF file of one tensor of one element, which says that it is part `no` of `count`.
static void put_part(const char *name, int no, int count, int total, const char *tensor, unsigned value) {
  pn_buf b = {0};
  build_gguf_start(&b, 3, 1, 3);
  build_key(&b, "split.no", PN_GGUF_U16);
  pn_buf_char(&b, (char)no), pn_buf_char(&b, 0);
  build_key(&b, "split.count", PN_GGUF_U16);
  pn_buf_char(&b, (char)count), pn_buf_char(&b, 0);
  build_key(&b, "split.tensors.count", PN_GGUF_I32);
  build_u32(&b, (uint32_t)total);
  build_info(&b, tensor, 1, 0, 0, 0);
  build_align(&b, 32);
  build_u32(&b, value);
  put(name, pn_buf_view(&b));
  pn_buf_fini(&b);
}

static void test_gguf_file(void **state) {
  (void)state;
  put_part("m.gguf", 0, 1, 1, "t", 9);
  pn_files *f = open_good(path_of("m.gguf"));
  assert_non_null(pn_files_gguf(f));
  check_value(f, "t", 9);
  const pn_json *json;
  pn_str text;
  put_text("config.json", "{}");
  assert_true(
      pn_files_json(f, "config.json", &json, NULL)); // not a folder: its neighbours don't belong to it
  assert_null(json);
  assert_true(pn_files_text(f, "config.json", &text, NULL));
  assert_null(text.p);
  pn_files_close(f);
}

#define P1 "big-model-00001-of-00003.gguf"
#define P2 "big-model-00002-of-00003.gguf"
#define P3 "big-model-00003-of-00003.gguf"

static void put_parts(void) {
  put_part(P1, 0, 3, 3, "a", 1);
  put_part(P2, 1, 3, 3, "b", 2);
  put_part(P3, 2, 3, 3, "c", 3);
}

static void test_parts(void **state) {
  (void)state;
  put_parts();
  for (int i = 0; i < 3; i++) {
    pn_files *f = open_good(path_of((const char *const[]){P1, P2, P3}[i]));
    int64_t no = -1;
    check_value(f, "a", 1);
    check_value(f, "b", 2);
    check_value(f, "c", 3);
    assert_int_equal(pn_files_tensors(f)->n, 3);
    assert_int_equal(pn_files_gguf(f)->tensors.n, 3);
    assert_int_equal(pn_files_bytes(f), size_of(P1) + size_of(P2) + size_of(P3));
    assert_true(pn_gguf_int(pn_gguf_get(pn_files_gguf(f), "split.no"), 0, &no) && no == 0);
    pn_files_close(f);
  }
}

static void test_bad_parts(void **state) {
  (void)state;
  put_part("m.gguf", 0, 2, 2, "a", 1);
  refuse_path(path_of("m.gguf"), PN_ERR_CORRUPT,
              "m.gguf: split.count: it is one of 2 parts, expected a name");
  put_part("m-00001-of-00004.gguf", 0, 3, 3, "a", 1);
  refuse_path(path_of("m-00001-of-00004.gguf"), PN_ERR_CORRUPT, "expected a name like NAME-00001-of-00003");
  put_part("m-00003-of-00002.gguf", 2, 2, 3, "a", 1);
  refuse_path(path_of("m-00003-of-00002.gguf"), PN_ERR_CORRUPT, "expected a name");
  put_parts();
  assert_int_equal(unlink(path_of(P2)), 0);
  refuse_path(path_of(P3), PN_ERR_NOT_FOUND, P3 ": split.count: expected 3 files, found no ");
  refuse_path(path_of(P3), PN_ERR_NOT_FOUND, P2);
  put_text(P2, "half");
  refuse_path(path_of(P1), PN_ERR_CORRUPT, P2 ": not a GGUF file");
  put_part(P2, 2, 3, 3, "b", 2);
  refuse_path(path_of(P1), PN_ERR_CORRUPT, P2 ": split.no: expected 1, found 2");
  put_part(P2, 1, 4, 3, "b", 2);
  refuse_path(path_of(P1), PN_ERR_CORRUPT, P2 ": split.count: expected 3, found 4");
  put_part(P2, 1, 3, 3, "a", 2);
  refuse_path(path_of(P1), PN_ERR_CORRUPT, "tensor \"a\" is in two files");
  put_parts();
  put_part(P1, 0, 3, 4, "a", 1);
  refuse_path(path_of(P2), PN_ERR_CORRUPT, P1 ": split.tensors.count: expected 3, found 4");
}

static void test_real_model(void **state) {
  (void)state;
  const char *path = getenv("PN_TEST_MODEL");
  if (!path || !*path) skip();
  uint64_t start = pn_now_us();
  pn_error e = {0};
  pn_files *f = pn_files_open(path, &e);
  if (!f) fail_msg("%s", e.msg);
  print_message("opened in %llu us\n", (unsigned long long)(pn_now_us() - start));
  const pn_gguf *g = pn_files_gguf(f);
  assert_non_null(g);
  assert_int_equal(g->version, 3);
  assert_true(pn_str_is(pn_gguf_str(pn_gguf_get(g, "general.architecture"), 0), "llama"));
  int64_t n;
  assert_true(pn_gguf_int(pn_gguf_get(g, "llama.block_count"), 0, &n) && n == 30);
  assert_int_equal(pn_gguf_get(g, "tokenizer.ggml.tokens")->n, 49152);
  assert_int_equal(pn_files_tensors(f)->n, 272);
  const pn_tensor *t = pn_tensors_find(pn_files_tensors(f), PN_STR("token_embd.weight"));
  assert_non_null(t);
  assert_int_equal(t->shape[0], 49152);
  assert_int_equal(t->shape[1], 576);
  assert_int_equal(pn_files_bytes(f), 98362432);
  pn_files_close(f);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, drop_folder)

int main(void) {
  const struct CMUnitTest tests[] = {
      IN_FOLDER(test_nothing_there), IN_FOLDER(test_single),      IN_FOLDER(test_links),
      IN_FOLDER(test_lone_names),    IN_FOLDER(test_sharded),     IN_FOLDER(test_bad_index),
      IN_FOLDER(test_bad_shards),    IN_FOLDER(test_stale_index), IN_FOLDER(test_gguf_file),
      IN_FOLDER(test_parts),         IN_FOLDER(test_bad_parts),   cmocka_unit_test(test_real_model),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
