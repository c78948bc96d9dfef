// tokenizer.json: small handmade files of both families, and files that lie.
#include "base/json.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "tiny.h"
#include "tokenizer/long_lists.h"

// ---- byte-level

#define GPT2_SPLIT "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true}"
#define BYTE_VOCAB                                                                                           \
  "\"a\":0,\"b\":1,\"c\":2,\"\xC4\xA0\":3,\"ab\":4,\"\xC4\xA0"                                               \
  "ab\":5,\"abc\":6,\"\xC3\x83\":7,\"\xC2\xA9\":8,"                                                          \
  "\"\xC3\x83\xC2\xA9\":9,\"<\":10,\"|\":11,\">\":12,\"x\":13,\"\xC4\x8A\":14,\"cc\":16"
#define BYTE_MERGES "\"a b\",[\"\xC4\xA0\",\"ab\"],\"ab c\",\"\xC3\x83 \xC2\xA9\""
#define BYTE_ADDED                                                                                           \
  "{\"id\":15,\"content\":\"<|x|>\",\"special\":true},{\"id\":17,\"content\":\"<x>\",\"special\":false,"     \
  "\"normalized\":true},{\"id\":18,\"content\":\"\\n\\n\",\"special\":false,\"normalized\":false}"

static char *byte_json(const char *pre, const char *more) {
  static char out[4096];
  snprintf(out, sizeof out,
           "{\"added_tokens\":[" BYTE_ADDED "],\"normalizer\":null,\"pre_tokenizer\":%s,"
           "\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",%s\"vocab\":{" BYTE_VOCAB
           "},\"merges\":[" BYTE_MERGES "]}}",
           pre, more);
  return out;
}

static pn_tokenizer *open_ok(const char *json, const char *config, const char *generation) {
  pn_error e = {0};
  pn_tokenizer *t = tiny_open(json, config, generation, &e);
  if (!t) fail_msg("%s", e.msg);
  return t;
}

static void merges_by_rank(void **state) {
  (void)state;
  pn_tokenizer *t = open_ok(byte_json(GPT2_SPLIT, ""), NULL, NULL);
  assert_string_equal(tiny_spell(t, "abc ab abab", NULL), "abc|\xC4\xA0"
                                                          "ab|\xC4\xA0"
                                                          "ab|ab|");
  assert_string_equal(tiny_spell(t, "\xC3\xA9", NULL), "\xC3\x83\xC2\xA9|");
  assert_string_equal(tiny_spell(t, "cc", NULL), "c|c|"); // a token that no merge makes
  assert_string_equal(tiny_spell(t, "azb", NULL), "ab|"); // a byte without a token is dropped
  assert_string_equal(tiny_spell(t, "", NULL), "");
  assert_string_equal(tiny_round(t,
                                 "abc ab \xC3\xA9"
                                 "cc",
                                 false),
                      "abc ab \xC3\xA9"
                      "cc");
  assert_int_equal(pn_tokenizer_n_vocab(t), 19);
  assert_int_equal(pn_tokenizer_find(t, PN_STR("abc")), 6);
  assert_int_equal(pn_tokenizer_find(t, PN_STR("nope")), -1);
  assert_int_equal(pn_tokenizer_spelling(t, 99).n, 0);
  assert_int_equal(pn_tokenizer_spelling(t, -1).n, 0);
  pn_tokenizer_close(t);
}

static void whole_words_when_merges_are_ignored(void **state) {
  (void)state;
  pn_tokenizer *t = open_ok(byte_json(GPT2_SPLIT, "\"ignore_merges\":true,\"dropout\":0.5,"), NULL, NULL);
  assert_string_equal(tiny_spell(t, "cc", NULL), "cc|");
  assert_string_equal(tiny_spell(t, "ccc", NULL), "c|c|c|");
  pn_tokenizer_close(t);
}

static void control_marks_and_plain_text(void **state) {
  (void)state;
  pn_tokenizer *t = open_ok(byte_json(GPT2_SPLIT, ""), NULL, NULL);
  const char *text = "a<|x|>b<x>\n\n";
  assert_string_equal(tiny_spell(t, text, NULL), "a|<|x|>|b|<x>|\n\n|");
  assert_string_equal(tiny_spell(t, text, &(pn_span){0, 12}), "a|<|||x|||>|b|<|x|>|\n\n|");
  // One byte of a mark is enough to make it text; the marks beside it stay.
  assert_string_equal(tiny_spell(t, text, &(pn_span){5, 6}), "a|<|||x|||>|b|<x>|\n\n|");
  assert_string_equal(tiny_spell(t, text, &(pn_span){6, 7}), "a|<|x|>|b|<x>|\n\n|");
  assert_string_equal(tiny_spell(t, text, &(pn_span){3, 3}), "a|<|x|>|b|<x>|\n\n|"); // empty
  // Merges run across the borders of a range.
  assert_string_equal(tiny_spell(t, "abc", &(pn_span){1, 2}), "abc|");
  assert_true(pn_tokenizer_is_control(t, 15));
  assert_true(pn_tokenizer_is_control(t, 17)); // by its shape
  assert_false(pn_tokenizer_is_control(t, 18));
  assert_false(pn_tokenizer_is_control(t, -1));
  assert_string_equal(tiny_round(t, text, true), text);
  assert_string_equal(tiny_round(t, text, false), "ab\n\n");
  pn_tokenizer_close(t);
}

static void refuses_what_is_not_text(void **state) {
  (void)state;
  pn_tokenizer *t = open_ok(byte_json(GPT2_SPLIT, ""), NULL, NULL);
  pn_ids ids = {0};
  pn_error e = {0};
  pn_ids_add(&ids, 3);
  assert_false(pn_tokenizer_encode(t, PN_STR("ab\xFF"), NULL, 0, &ids, &e));
  assert_int_equal(e.code, PN_ERR_USAGE);
  assert_non_null(strstr(e.msg, "byte 2"));
  pn_span spans[][2] = {{{0, 9}, {9, 9}}, {{2, 1}, {2, 2}}, {{0, 2}, {1, 2}}};
  for (int i = 0; i < 3; i++) {
    assert_false(pn_tokenizer_encode(t, PN_STR("abc"), spans[i], 2, &ids, &e));
    assert_int_equal(e.code, PN_ERR_USAGE);
  }
  assert_int_equal(ids.n, 1);
  pn_ids_fini(&ids);
  pn_tokenizer_close(t);
}

static void ids_that_begin_and_end(void **state) {
  (void)state;
  pn_tokenizer *t =
      open_ok(byte_json(GPT2_SPLIT, ""),
              "{\"bos_token\":{\"content\":\"<x>\"},\"eos_token\":\"<|x|>\",\"add_bos_token\":true}",
              "{\"eos_token_id\":[15,17,4000]}");
  size_t n;
  const int32_t *ends = pn_tokenizer_end_ids(t, &n);
  assert_int_equal(n, 2);
  assert_int_equal(ends[0], 15);
  assert_int_equal(ends[1], 17);
  assert_int_equal(pn_tokenizer_bos(t), 17);
  assert_int_equal(pn_tokenizer_eos(t), 15);
  assert_true(pn_tokenizer_adds_bos(t));
  pn_tokenizer_close(t);
  t = open_ok(byte_json(GPT2_SPLIT, ""), NULL, NULL);
  pn_tokenizer_end_ids(t, &n);
  assert_int_equal(n, 0);
  assert_int_equal(pn_tokenizer_bos(t), -1);
  assert_false(pn_tokenizer_adds_bos(t));
  pn_tokenizer_close(t);
}

// ---- SentencePiece-style

static const char llama_json[] =
    "{\"added_tokens\":[{\"id\":0,\"content\":\"<unk>\",\"special\":true},"
    "{\"id\":10,\"content\":\"<|u|>\",\"special\":true,\"rstrip\":true},"
    "{\"id\":11,\"content\":\"@\",\"lstrip\":true,\"normalized\":false},"
    "{\"id\":12,\"content\":\"hi\",\"single_word\":true,\"normalized\":false}],"
    "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":"
    "\"\xE2\x96\x81\"},"
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\xE2\x96\x81\"}]},"
    "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":"
    "\"\xE2\x96\x81\"},"
    "\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},"
    "{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]},"
    "\"model\":{\"type\":\"BPE\",\"unk_token\":\"<unk>\",\"fuse_unk\":true,\"byte_fallback\":true,"
    "\"vocab\":{\"<unk>\":0,\"<0x0A>\":1,\"<0xC3>\":2,\"<0xA9>\":3,\"\xE2\x96\x81\":4,\"a\":5,\"b\":6,"
    "\"\xE2\x96\x81"
    "a\":7,"
    "\"ab\":8,\"\xE2\x96\x81\xE2\x96\x81\":9},"
    "\"merges\":[\"\xE2\x96\x81 \xE2\x96\x81\",\"\xE2\x96\x81 a\",\"a b\"]}}";

#define BAR "\xE2\x96\x81"

static void blanks_and_bytes(void **state) {
  (void)state;
  pn_tokenizer *t = open_ok(llama_json, NULL, NULL);
  assert_string_equal(tiny_spell(t, "ab a", NULL), BAR "a|b|" BAR "a|");
  assert_string_equal(tiny_spell(t, "  b", NULL), BAR BAR "|" BAR "|b|");
  assert_string_equal(tiny_spell(t, "\n\xC3\xA9", NULL), BAR "|<0x0A>|<0xC3>|<0xA9>|");
  assert_string_equal(tiny_spell(t, "azzb", NULL), BAR "a|<unk>|b|"); // fused
  // The mark swallows what follows; what stands behind begins anew.
  assert_string_equal(tiny_spell(t, "b<|u|> \n\ta", NULL), BAR "|b|<|u|>|" BAR "a|");
  assert_string_equal(tiny_spell(t, "b  @ b", NULL), BAR "|b|@|" BAR BAR "|b|");
  assert_string_equal(tiny_spell(t, "hi", NULL), "hi|");
  assert_string_equal(tiny_spell(t, "a hi,", NULL), BAR "a|" BAR "|hi|" BAR "|<unk>|");
  assert_string_equal(tiny_spell(t, "hia", NULL), BAR "|<unk>|a|");
  assert_string_equal(tiny_round(t, " ab \n\xC3\xA9", false), " ab \n\xC3\xA9");
  assert_string_equal(tiny_round(t, "<|u|>a b", true), "<|u|> a b"); // only the very first blank is dropped
  assert_string_equal(tiny_round(t, "<|u|>a b", false), "a b");
  pn_tokenizer_close(t);
}

static void streams_whole_characters(void **state) {
  (void)state;
  pn_tokenizer *t = open_ok(llama_json, NULL, NULL);
  pn_detokenizer d = {.t = t};
  pn_buf out = {0};
  pn_detokenizer_add(&d, 10, &out); // control: no bytes, and the next blank is still the first
  pn_detokenizer_add(&d, 7, &out);
  assert_string_equal(pn_buf_cstr(&out), "a");
  pn_detokenizer_add(&d, 2, &out);
  assert_string_equal(pn_buf_cstr(&out), "a");
  pn_detokenizer_add(&d, 3, &out);
  assert_string_equal(pn_buf_cstr(&out), "a\xC3\xA9");
  pn_detokenizer_add(&d, 2, &out);
  pn_detokenizer_add(&d, 7, &out); // the half character never became whole
  assert_string_equal(pn_buf_cstr(&out), "a\xC3\xA9\xEF\xBF\xBD a");
  pn_detokenizer_add(&d, 3, &out);
  assert_string_equal(pn_buf_cstr(&out), "a\xC3\xA9\xEF\xBF\xBD a\xEF\xBF\xBD");
  pn_detokenizer_add(&d, 2, &out);
  pn_detokenizer_add(&d, 99, &out);
  pn_detokenizer_add(&d, -7, &out);
  pn_detokenizer_flush(&d, &out);
  pn_detokenizer_flush(&d, &out);
  assert_string_equal(pn_buf_cstr(&out), "a\xC3\xA9\xEF\xBF\xBD a\xEF\xBF\xBD\xEF\xBF\xBD");
  pn_buf_clear(&out);
  pn_tokenizer_decode(t, (int32_t[]){2, 7, 3}, 3, false, &out);
  assert_string_equal(pn_buf_cstr(&out), "\xC3 a\xA9"); // exact
  pn_buf_fini(&out);
  pn_tokenizer_close(t);
}

// ---- files that lie

static void refuses_bad_files(void **state) {
  (void)state;
#define BPE(more) "{\"model\":{\"type\":\"BPE\"," more "}}"
#define WITH(part) "{" part ",\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}}"
  static const struct {
    const char *json;
    pn_code code;
    const char *word;
  } cases[] = {
      {"[]", PN_ERR_CORRUPT, "an object"},
      {"{}", PN_ERR_CORRUPT, "model"},
      {"{\"model\":3}", PN_ERR_CORRUPT, "model"},
      {"{\"model\":{\"type\":\"Unigram\"}}", PN_ERR_UNSUPPORTED, "Unigram"},
      {BPE("\"vocab\":[],\"merges\":[]"), PN_ERR_CORRUPT, "model.vocab"},
      {BPE("\"vocab\":{},\"merges\":[]"), PN_ERR_CORRUPT, "empty"},
      {BPE("\"vocab\":{\"a\":0}"), PN_ERR_CORRUPT, "model.merges"},
      {BPE("\"vocab\":{\"a\":\"0\"},\"merges\":[]"), PN_ERR_CORRUPT, "a string"},
      {BPE("\"vocab\":{\"a\":-1},\"merges\":[]"), PN_ERR_CORRUPT, "outside"},
      {BPE("\"vocab\":{\"a\":1e3},\"merges\":[]"), PN_ERR_CORRUPT, "not an integer"},
      {BPE("\"vocab\":{\"a\":9999999999},\"merges\":[]"), PN_ERR_CORRUPT, "outside"},
      {BPE("\"vocab\":{\"a\":4000000},\"merges\":[]"), PN_ERR_CORRUPT, "highest id"},
      {BPE("\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]"), PN_ERR_CORRUPT, "both"},
      {BPE("\"vocab\":{\"a\":0},\"merges\":[\"a b\"]"), PN_ERR_CORRUPT, "merges[0]: \"b\""},
      {BPE("\"vocab\":{\"a\":0,\"b\":1},\"merges\":[\"a b\"]"), PN_ERR_CORRUPT, "\"ab\""},
      {BPE("\"vocab\":{\"a\":0},\"merges\":[\"a\"]"), PN_ERR_CORRUPT, "one blank"},
      {BPE("\"vocab\":{\"a\":0},\"merges\":[\"a b c\"]"), PN_ERR_CORRUPT, "one blank"},
      {BPE("\"vocab\":{\"a\":0},\"merges\":[[\"a\"]]"), PN_ERR_CORRUPT, "two strings"},
      {BPE("\"vocab\":{\"a\":0},\"merges\":[[\"a\",1]]"), PN_ERR_CORRUPT, "two strings"},
      {BPE("\"vocab\":{\"a\":0},\"merges\":[7]"), PN_ERR_CORRUPT, "an integer"},
      {BPE("\"vocab\":{\"a\":0},\"merges\":[],\"unk_token\":\"u\""), PN_ERR_CORRUPT, "unk_token"},
      {BPE("\"vocab\":{\"a\":0},\"merges\":[],\"byte_fallback\":1"), PN_ERR_CORRUPT, "byte_fallback"},
      {BPE("\"vocab\":{\"a\":0},\"merges\":[],\"end_of_word_suffix\":\"</w>\""), PN_ERR_UNSUPPORTED,
       "suffix"},
      {WITH("\"added_tokens\":{}"), PN_ERR_CORRUPT, "added_tokens"},
      {WITH("\"added_tokens\":[1]"), PN_ERR_CORRUPT, "added_tokens"},
      {WITH("\"added_tokens\":[{\"id\":1}]"), PN_ERR_CORRUPT, "content"},
      {WITH("\"added_tokens\":[{\"id\":1,\"content\":\"\"}]"), PN_ERR_CORRUPT, "without content"},
      {WITH("\"added_tokens\":[{\"id\":0,\"content\":\"b\"}]"), PN_ERR_CORRUPT, "both"},
      {WITH("\"added_tokens\":[{\"id\":1,\"content\":\"a\"}]"), PN_ERR_CORRUPT, "two ids"},
      {WITH("\"added_tokens\":[{\"id\":1,\"content\":\"b\",\"special\":\"yes\"}]"), PN_ERR_CORRUPT,
       "special"},
      {WITH("\"normalizer\":{\"type\":\"Lowercase\"}"), PN_ERR_UNSUPPORTED, "Lowercase"},
      {WITH("\"normalizer\":7"), PN_ERR_CORRUPT, "normalizer"},
      {WITH("\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"\"},\"content\":\"\"}"),
       PN_ERR_CORRUPT, "empty"},
      {WITH("\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"}"), PN_ERR_UNSUPPORTED, "BertPreTokenizer"},
      {WITH("\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(\"},\"behavior\":\"Isolated\"}"),
       PN_ERR_UNSUPPORTED, "pattern"},
      {WITH("\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a\"},\"behavior\":\"Odd\"}"),
       PN_ERR_UNSUPPORTED, "behavior"},
      {WITH("\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"Isolated\"}"), PN_ERR_CORRUPT, "pattern"},
      {WITH("\"decoder\":{\"type\":\"CTC\"}"), PN_ERR_UNSUPPORTED, "CTC"},
      {WITH("\"decoder\":{\"type\":\"Strip\",\"content\":\" \",\"start\":3,\"stop\":0}"), PN_ERR_UNSUPPORTED,
       "Strip"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    pn_error e = {0};
    pn_tokenizer *t = tiny_open(cases[i].json, NULL, NULL, &e);
    if (t) fail_msg("opened: %s", cases[i].json);
    if (e.code != cases[i].code || !strstr(e.msg, cases[i].word)) fail_msg("%s: %s", cases[i].json, e.msg);
  }
  pn_error e = {0};
  assert_null(tiny_open(NULL, NULL, NULL, &e));
  assert_int_equal(e.code, PN_ERR_NOT_FOUND);
  assert_null(tiny_open(llama_json, NULL, "{\"eos_token_id\":\"x\"}", &e));
  assert_int_equal(e.code, PN_ERR_CORRUPT);
}

// ---- the long lists

static void same_lists(const long_lists *l, const pn_json *model) {
  const pn_json *vocab = pn_json_get(model, "vocab"), *merges = pn_json_get(model, "merges");
  assert_int_equal(l->n_tokens, pn_json_len(vocab));
  const pn_json_member *it = pn_json_first(vocab);
  for (size_t i = 0; i < l->n_tokens; i++, it = pn_json_next(vocab, it)) {
    assert_true(pn_str_eq(long_lists_text(l, l->tokens[i].spelling), pn_json_key(it)));
    assert_int_equal(l->tokens[i].id, pn_json_int(pn_json_value(it)));
  }
  assert_int_equal(l->n_merges, pn_json_len(merges));
  for (size_t i = 0; i < l->n_merges; i++) {
    const pn_json *m = pn_json_at(merges, i);
    bool joined = l->merges[i].right.n == LONG_JOINED;
    assert_int_equal(joined, pn_json_is(m, PN_JSON_STRING));
    pn_str left = joined ? pn_json_str(m) : pn_json_str(pn_json_at(m, 0));
    assert_true(pn_str_eq(long_lists_text(l, l->merges[i].left), left));
    if (!joined)
      assert_true(pn_str_eq(long_lists_text(l, l->merges[i].right), pn_json_str(pn_json_at(m, 1))));
  }
}

// 1: read, and as JSON has it; 0: left to JSON.
static int reads_like_json(pn_str text) {
  long_lists l = {0};
  pn_buf rest = {0};
  bool read = long_lists_read(&l, text);
  if (read) long_lists_rest(&l, &rest);
  pn_json *small = read ? pn_json_parse(pn_buf_view(&rest), NULL) : NULL, *whole = NULL;
  pn_error e = {0};
  if (small) {
    whole = pn_json_parse(text, &e);
    // What is said twice the vocabulary finds, and a merge that is no text is not in it.
    bool left_out = strstr(e.msg, "duplicate") || pn_utf8_check(text) != text.n;
    if (!whole && !left_out) fail_msg("%s: %.*s", e.msg, (int)text.n, text.p);
    if (whole) same_lists(&l, pn_json_get(whole, "model"));
  }
  pn_json_free(small);
  pn_json_free(whole);
  pn_buf_fini(&rest);
  long_lists_fini(&l);
  return whole != NULL;
}

static void long_lists_are_as_json(void **state) {
  (void)state;
  static const char *const files[] = {
      "{\"version\" : \"1\\\"{[\", \"model\": {\"type\":\"BPE\",\"vocab\" :{ \"a\\\"\":0,\n\"\\u00e9\": 12 ,"
      "\"\\ud83d\\ude00\":7,\"\xC3\xA9\xF0\x9F\x98\x80\":3}, \"x\":[1,{\"y\":null}] ,"
      "\"merges\":[\"a b\", [\"c\" , \"\\n\\/\\\\\"]]},\"added_tokens\":[]}",
      "\n{\"model\":{\"merges\":[[\"a\",\"b\"],[\"\",\"\\t\"]],\"vocab\":{\"\":0}},\"z\":-1.5e3}\n",
  };
  static const char marks[] = "\"\\{}[]:, 0u\n\x01\xC3";
  pn_rng r;
  pn_rng_seed(&r, 6);
  int n_read = 0;
  for (int i = 0; i < 40000; i++) {
    char text[400];
    size_t n = strlen(files[i % 2]);
    memcpy(text, files[i % 2], n);
    for (uint64_t k = pn_rng_below(&r, 3); k > 0; k--) {
      size_t at = pn_rng_below(&r, n), kind = pn_rng_below(&r, 3);
      if (kind == 0) text[at] = marks[pn_rng_below(&r, sizeof marks - 1)];
      if (kind == 1) n = n - 1, memmove(text + at, text + at + 1, n - at);
      if (kind == 2) memmove(text + at + 1, text + at, n - at), n++;
    }
    char *copy = malloc(n); // so that a byte too far is seen
    memcpy(copy, text, n);
    n_read += reads_like_json((pn_str){copy, n});
    free(copy);
  }
  assert_true(reads_like_json(pn_str_of(files[0])) && reads_like_json(pn_str_of(files[1])));
  assert_true(n_read > 15000);
}

static void a_wild_pattern_is_an_error(void **state) {
  (void)state;
  pn_tokenizer *t = open_ok(
      byte_json("{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(a|aa)+$\"},\"behavior\":\"Isolated\"}", ""),
      NULL, NULL);
  pn_ids ids = {0};
  pn_error e = {0};
  assert_false(pn_tokenizer_encode(t, PN_STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"),
                                   NULL, 0, &ids, &e));
  assert_int_equal(e.code, PN_ERR_LIMIT);
  pn_ids_fini(&ids);
  pn_tokenizer_close(t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(merges_by_rank),
      cmocka_unit_test(whole_words_when_merges_are_ignored),
      cmocka_unit_test(control_marks_and_plain_text),
      cmocka_unit_test(refuses_what_is_not_text),
      cmocka_unit_test(ids_that_begin_and_end),
      cmocka_unit_test(blanks_and_bytes),
      cmocka_unit_test(streams_whole_characters),
      cmocka_unit_test(refuses_bad_files),
      cmocka_unit_test(long_lists_are_as_json),
      cmocka_unit_test(a_wild_pattern_is_an_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
