// The tokenizer.ggml.* keys of GGUF files.
#include "../formats/build_files.h"
#include "tiny.h"

#include <math.h>

#define BAR "\xE2\x96\x81"

typedef struct entry {
  const char *s;
  int type;
  float score;
} entry;

// What a file says; NULL or 0: the key is left out.
typedef struct spec {
  const char *arch, *model, *pre;
  const entry *tokens;
  size_t n_tokens, n_types, n_scores; // how many of each list are written
  const char *const *merges;
  size_t n_merges;
  int eos; // -1: left out
  bool no_prefix;
} spec;

static void string_key(pn_buf *b, const char *key, const char *value) {
  build_key(b, key, PN_GGUF_STR);
  build_str(b, value);
}

static void write_spec(pn_buf *b, const spec *s) {
  uint64_t n = 0;
  n += s->arch != NULL;
  n += s->model != NULL;
  n += s->pre != NULL;
  n += s->n_tokens > 0;
  n += s->n_types > 0;
  n += s->n_scores > 0;
  n += s->n_merges > 0;
  n += s->eos >= 0;
  n += s->no_prefix;
  build_gguf_start(b, 3, 0, n);
  if (s->arch) string_key(b, "general.architecture", s->arch);
  if (s->model) string_key(b, "tokenizer.ggml.model", s->model);
  if (s->pre) string_key(b, "tokenizer.ggml.pre", s->pre);
  if (s->n_tokens) build_array(b, "tokenizer.ggml.tokens", PN_GGUF_STR, s->n_tokens);
  for (size_t i = 0; i < s->n_tokens; i++) build_str(b, s->tokens[i].s);
  if (s->n_types) build_array(b, "tokenizer.ggml.token_type", PN_GGUF_I32, s->n_types);
  for (size_t i = 0; i < s->n_types; i++) build_u32(b, (uint32_t)s->tokens[i].type);
  if (s->n_scores) build_array(b, "tokenizer.ggml.scores", PN_GGUF_F32, s->n_scores);
  for (size_t i = 0; i < s->n_scores; i++) {
    uint32_t bits;
    memcpy(&bits, &s->tokens[i].score, 4);
    build_u32(b, bits);
  }
  if (s->n_merges) build_array(b, "tokenizer.ggml.merges", PN_GGUF_STR, s->n_merges);
  for (size_t i = 0; i < s->n_merges; i++) build_str(b, s->merges[i]);
  if (s->eos >= 0) {
    build_key(b, "tokenizer.ggml.eos_token_id", PN_GGUF_U32);
    build_u32(b, (uint32_t)s->eos);
  }
  if (s->no_prefix) {
    build_key(b, "tokenizer.ggml.add_space_prefix", PN_GGUF_BOOL);
    pn_buf_char(b, 0);
  }
  build_align(b, 32);
}

static pn_tokenizer *open_spec(const spec *s, pn_error *e) {
  char path[] = "/tmp/pensieve-tokenizer-XXXXXX.gguf";
  int fd = mkstemps(path, 5);
  assert_true(fd >= 0);
  pn_buf b = {0};
  write_spec(&b, s);
  assert_int_equal(write(fd, b.p, b.n), b.n);
  close(fd);
  pn_buf_fini(&b);
  pn_files *files = pn_files_open(path, e);
  unlink(path);
  if (!files) fail_msg("%s", e->msg);
  pn_tokenizer *t = pn_tokenizer_open(files, e);
  pn_files_close(files);
  return t;
}

static pn_tokenizer *open_ok(const spec *s) {
  pn_error e = {0};
  pn_tokenizer *t = open_spec(s, &e);
  if (!t) fail_msg("%s", e.msg);
  return t;
}

static const entry bytes_tokens[] = {
    {"a", 1, 0},
    {"b", 1, 0},
    {"\xC4\xA0", 1, 0},
    {"ab", 1, 0},
    {"\xC4\xA0"
     "ab",
     1, 0},
    {"1", 1, 0},
    {"2", 1, 0},
    {"12", 1, 0},
    {"<|im_end|>", 3, 0},
    {"<", 1, 0},
    {"|", 1, 0},
    {"e", 1, 0},
    {"f", 1, 0},
    {"zz", 1, 0},
};
static const char *const bytes_merges[] = {"a b", "\xC4\xA0 ab", "1 2"};
static const spec bytes_spec = {.arch = "llama",
                                .model = "gpt2",
                                .pre = "smollm",
                                .tokens = bytes_tokens,
                                .n_tokens = 14,
                                .n_types = 14,
                                .merges = bytes_merges,
                                .n_merges = 3,
                                .eos = 8};

static void byte_level(void **state) {
  (void)state;
  pn_tokenizer *t = open_ok(&bytes_spec);
  assert_string_equal(tiny_spell(t, "ab ab12", NULL), "ab|\xC4\xA0"
                                                      "ab|1|2|"); // every digit alone
  assert_string_equal(tiny_spell(t, "a<|im_end|>", NULL), "a|<|im_end|>|");
  assert_string_equal(tiny_spell(t, "a<|im_end|>", &(pn_span){0, 11}), "a|<|||e|||");
  size_t n;
  assert_int_equal(pn_tokenizer_end_ids(t, &n)[0], 8);
  assert_int_equal(n, 1);
  assert_int_equal(pn_tokenizer_eos(t), 8);
  assert_false(pn_tokenizer_adds_bos(t));
  pn_tokenizer_close(t);
  spec s = bytes_spec;
  s.pre = "llama-bpe";
  t = open_ok(&s);
  assert_string_equal(tiny_spell(t, "12", NULL), "12|");
  pn_tokenizer_close(t);
  s.pre = NULL; // the oldest files: as GPT-2
  t = open_ok(&s);
  assert_string_equal(tiny_spell(t, "ab12", NULL), "ab|12|");
  pn_tokenizer_close(t);
}

static const entry llama_tokens[] = {
    {"<unk>", 2, 0}, {"<s>", 3, 0},     {"</s>", 3, 0},   {"<0x0A>", 6, 0}, {BAR, 1, -9},
    {"a", 1, -9},    {"b", 1, -9},      {BAR "a", 1, -2}, {"ab", 1, -1},    {BAR "ab", 1, -3},
    {"bb", 1, -1},   {"<|end|>", 3, 0}, {"word", 4, 0},
};
static const spec llama_spec = {.arch = "phi3",
                                .model = "llama",
                                .tokens = llama_tokens,
                                .n_tokens = 13,
                                .n_types = 13,
                                .n_scores = 13,
                                .eos = -1};

static void scores(void **state) {
  (void)state;
  pn_tokenizer *t = open_ok(&llama_spec);
  assert_string_equal(tiny_spell(t, "ab a", NULL), BAR "ab|" BAR "a|");
  assert_string_equal(tiny_spell(t, "abb", NULL),
                      BAR "ab|b|"); // ab and bb score alike: the left one comes first
  assert_string_equal(tiny_spell(t, "b<|end|>\n b", NULL),
                      BAR "|b|<|end|>|" BAR "|b|"); // Phi-3 swallows white space
  assert_string_equal(tiny_spell(t, "\nword", NULL), BAR "|<0x0A>|word|");
  assert_string_equal(tiny_round(t, "ab  a\nword", false), "ab  a\nword");
  size_t n;
  assert_int_equal(pn_tokenizer_end_ids(t, &n)[0], 11);
  pn_tokenizer_close(t);
  spec s = llama_spec;
  s.arch = "llama";
  s.no_prefix = true;
  t = open_ok(&s);
  assert_string_equal(tiny_spell(t, "ab<|end|> b", NULL), "ab|<|end|>|" BAR "|b|");
  pn_tokenizer_close(t);
}

static const entry gemma_tokens[] = {
    {"<unk>", 2, 0},  {"<bos>", 3, 0}, {"<0x0A>", 6, 0}, {"<0xC3>", 6, 0},  {"<0xA9>", 6, 0},
    {BAR, 1, 0},      {"a", 1, 0},     {"b", 1, 0},      {BAR "a", 1, 0},   {"ab", 1, 0},
    {"b\n", 1, 0},    {"\n", 1, 0},    {"\n\n", 4, 0},   {"<turn|>", 3, 0}, {"<|tool_response>", 3, 0},
    {"<|\"|>", 4, 0},
};
static const char *const gemma_merges[] = {BAR " a", "a b", "b \n"};
static const spec gemma_spec = {.arch = "gemma4",
                                .model = "gemma4",
                                .pre = "gemma4",
                                .tokens = gemma_tokens,
                                .n_tokens = 16,
                                .n_types = 16,
                                .merges = gemma_merges,
                                .n_merges = 3,
                                .eos = -1};

// Merges over characters; line breaks stand by themselves, whatever could join them.
static void gemma4(void **state) {
  (void)state;
  pn_tokenizer *t = open_ok(&gemma_spec);
  assert_string_equal(tiny_spell(t, "ab a", NULL), "ab|" BAR "a|");
  assert_string_equal(tiny_spell(t, "b\nb", NULL), "b|\n|b|");
  assert_string_equal(tiny_spell(t, "a\n\n\xC3\xA9", NULL), "a|\n\n|<0xC3>|<0xA9>|");
  assert_string_equal(tiny_round(t, " ab  a\n\xC3\xA9", false), " ab  a\n\xC3\xA9");
  assert_string_equal(tiny_spell(t, "a<turn|>b", NULL), "a|<turn|>|b|");
  assert_true(pn_tokenizer_is_control(t, pn_tokenizer_find(t, PN_STR("<|\"|>")))); // by its shape
  size_t n;
  pn_tokenizer_end_ids(t, &n);
  assert_int_equal(n, 2);
  pn_tokenizer_close(t);
}

// The first of two tokens with one spelling is made from text; both spell it.
static void twins(void **state) {
  (void)state;
  static const entry tokens[] = {{"a", 1, 0}, {"b", 1, 0}, {"a", 1, 0}, {"ab", 1, 0}, {"ab", 1, 0}};
  static const char *const merges[] = {"a b"};
  spec s = bytes_spec;
  s.tokens = tokens, s.n_tokens = s.n_types = 5, s.merges = merges, s.n_merges = 1, s.eos = -1;
  pn_tokenizer *t = open_ok(&s);
  pn_ids ids = {0};
  pn_buf text = {0};
  assert_true(pn_tokenizer_encode(t, PN_STR("aab"), NULL, 0, &ids, NULL));
  assert_int_equal(ids.n, 2);
  assert_int_equal(ids.p[0], 0);
  assert_int_equal(ids.p[1], 3);
  pn_tokenizer_decode(t, (const int32_t[]){2, 4}, 2, false, &text);
  assert_string_equal(pn_buf_cstr(&text), "aab");
  pn_ids_fini(&ids);
  pn_buf_fini(&text);
  pn_tokenizer_close(t);
}

static void refuses(spec s, pn_code code, const char *word) {
  pn_error e = {0};
  pn_tokenizer *t = open_spec(&s, &e);
  if (t) fail_msg("opened; expected %s", word);
  if (e.code != code || !strstr(e.msg, word)) fail_msg("%s, expected %s", e.msg, word);
}

static void refuses_bad_files(void **state) {
  (void)state;
  static const char *const unknown[] = {"a q"}, *const odd[] = {"ab"}, *const no_result[] = {"b a"};
  static const entry broken[] = {{"a", 1, 0}, {"\xFF", 1, 0}};
  static const entry infinite[] = {{"a", 1, 0}, {"b", 1, INFINITY}};
  spec s = bytes_spec;
  s.model = NULL;
  refuses(s, PN_ERR_CORRUPT, "tokenizer.ggml.model");
  s.model = "bert";
  refuses(s, PN_ERR_UNSUPPORTED, "bert");
  s = bytes_spec, s.pre = "tekken-9";
  refuses(s, PN_ERR_UNSUPPORTED, "tekken-9");
  s = bytes_spec, s.n_tokens = 0;
  refuses(s, PN_ERR_CORRUPT, "tokenizer.ggml.tokens");
  s = bytes_spec, s.n_types = 13;
  refuses(s, PN_ERR_CORRUPT, "token_type");
  s = bytes_spec, s.n_merges = 0;
  refuses(s, PN_ERR_CORRUPT, "tokenizer.ggml.merges");
  s = bytes_spec, s.n_merges = 1, s.merges = unknown;
  refuses(s, PN_ERR_CORRUPT, "merges[0]: \"q\"");
  s.merges = odd;
  refuses(s, PN_ERR_CORRUPT, "merges[0]");
  s.merges = no_result;
  refuses(s, PN_ERR_CORRUPT, "\"ba\"");
  s = bytes_spec, s.eos = 14;
  refuses(s, PN_ERR_CORRUPT, "eos_token_id");
  s = bytes_spec, s.tokens = broken, s.n_tokens = s.n_types = 2;
  refuses(s, PN_ERR_CORRUPT, "UTF-8");
  s = llama_spec, s.n_scores = 0;
  refuses(s, PN_ERR_CORRUPT, "scores");
  s.n_scores = 5;
  refuses(s, PN_ERR_CORRUPT, "scores");
  s = llama_spec, s.tokens = infinite, s.n_tokens = s.n_types = s.n_scores = 2;
  refuses(s, PN_ERR_CORRUPT, "scores[1]");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(byte_level),
      cmocka_unit_test(scores),
      cmocka_unit_test(gemma4),
      cmocka_unit_test(twins),
      cmocka_unit_test(refuses_bad_files),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
