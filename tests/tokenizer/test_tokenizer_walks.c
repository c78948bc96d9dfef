// The fast ways of the tokenizer against the plain ones, long inputs, and many threads.
#include "base/clock.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "tiny.h"
#include "tokenizer/merge.h"
#include "tokenizer/normalize.h"
#include "tokenizer/scan.h"
#include "tokenizer/splitter.h"

#include <pthread.h>

// ---- the patterns by hand

// Mostly characters at which the patterns turn.
static size_t random_text(pn_rng *r, char *out, size_t n) {
  static const char *const parts[] = {" ",
                                      "  ",
                                      "\n",
                                      "\r",
                                      "\t",
                                      "a",
                                      "Re",
                                      "LL",
                                      "'",
                                      "'s",
                                      "'T",
                                      "'ve",
                                      "1",
                                      "23",
                                      "4567",
                                      ".",
                                      "()",
                                      "_",
                                      "\x1C",
                                      "\xC3\xA9",
                                      "\xE4\xB8\xAD",
                                      "\xC2\xA0",
                                      "\xC2\xB2",
                                      "\xE2\x80\xA6",
                                      "\0",
                                      "~",
                                      "Z",
                                      "\x7F",
                                      "\x0B",
                                      "\xC5\xBF",
                                      "\xE1\xA0\x8E",
                                      "\xF0\x9F\x98\x80",
                                      "/",
                                      "aBC",
                                      "\xCC\x81"};
  size_t at = 0;
  for (size_t i = 0; i < n; i++) {
    const char *p = parts[pn_rng_below(r, sizeof parts / sizeof *parts)];
    size_t len = *p ? strlen(p) : 1;
    memcpy(out + at, p, len);
    at += len;
  }
  return at;
}

static void scans_like_the_patterns(void **state) {
  (void)state;
  const struct {
    scan_kind kind;
    const char *pattern;
  } cases[] = {{SCAN_GPT2, scan_gpt2_pattern},
               {SCAN_LLAMA3, scan_llama3_pattern},
               {SCAN_QWEN2, scan_qwen2_pattern},
               {SCAN_QWEN2, scan_qwen35_pattern},
               {SCAN_O200K, scan_o200k_pattern}};
  pn_error e = {0};
  pn_rng r;
  pn_rng_seed(&r, 7);
  splitter_match *m = splitter_match_new(&e);
  size_t by_hand = 0, all = 0;
  for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
    scan_kind kind = cases[k].kind;
    assert_int_equal(scan_kind_of(pn_str_of(cases[k].pattern)), kind);
    splitter *s = splitter_new(pn_str_of(cases[k].pattern), false, "test", &e);
    assert_non_null(s);
    for (int round = 0; round < 20000; round++) {
      char buffer[200];
      pn_str text = {buffer, random_text(&r, buffer, 1 + pn_rng_below(&r, 12))};
      for (size_t at = 0; at < text.n;) {
        pn_span hit;
        assert_int_equal(splitter_next(s, m, text, at, &hit, &e), SPLITTER_HIT);
        assert_int_equal(hit.begin, at);
        size_t n = scan_match(kind, text, at);
        if (n && n != hit.end - at) fail_msg("%zu: %.*s at %zu: %zu", k, (int)text.n, text.p, at, n);
        by_hand += n != 0;
        all++;
        at = hit.end;
      }
    }
    splitter_free(s);
  }
  assert_true(by_hand > all / 2); // or it is no fast way
  splitter_match_free(m);
}

static void white_space_is_unicodes(void **state) {
  (void)state;
  pn_error e = {0};
  splitter_match *m = splitter_match_new(&e);
  static const char *const patterns[] = {"\\s", "[\\s]", "[^\\S]", "[^\\S0]"};
  for (size_t k = 0; k < 4; k++) {
    splitter *s = splitter_new(pn_str_of(patterns[k]), false, "test", &e);
    size_t n = 0;
    for (uint32_t cp = 0; cp < 0x11000; cp++) {
      char c[4];
      if (cp >= 0xD800 && cp < 0xE000) continue;
      pn_span hit;
      n += splitter_next(s, m, (pn_str){c, pn_utf8_encode(cp, c)}, 0, &hit, &e) == SPLITTER_HIT;
    }
    assert_int_equal(n, 25);
    splitter_free(s);
  }
  splitter_match_free(m);
}

// ---- merging

typedef struct toy {
  pn_arena arena;
  vocab v;
  bpe b;
} toy;

// Letters a.. and random merges among all tokens, with ties among the ranks.
static void toy_init(toy *t, uint64_t seed, uint32_t n_letters, uint32_t n_merges) {
  pn_rng r;
  pn_error e = {0};
  pn_rng_seed(&r, seed);
  *t = (toy){0};
  assert_true(vocab_init(&t->v, &t->arena, n_letters + n_merges, &e));
  assert_true(bpe_init(&t->b, &t->arena, &t->v, n_merges, &e));
  for (uint32_t i = 0; i < n_merges; i++) {
    uint32_t l = (uint32_t)pn_rng_below(&r, n_letters + i), k = (uint32_t)pn_rng_below(&r, n_letters + i);
    bpe_add(&t->b, l, k, i / 2, n_letters + i);
  }
}

// The definition: look through all pairs, merge the best, again.
static size_t merge_plainly(const bpe *b, uint32_t *sym, size_t n) {
  for (;;) {
    size_t best = n;
    uint32_t rank = BPE_NO_RANK;
    for (size_t i = 0; i + 1 < n; i++) {
      const bpe_merge *m = merge_find(b, sym[i], sym[i + 1]);
      if (m->rank < rank) rank = m->rank, best = i;
    }
    if (best == n) return n;
    sym[best] = merge_find(b, sym[best], sym[best + 1])->id;
    memmove(sym + best + 1, sym + best + 2, (n - best - 2) * sizeof *sym);
    n--;
  }
}

static void merges_like_the_definition(void **state) {
  (void)state;
  pn_rng r;
  pn_rng_seed(&r, 3);
  for (uint64_t seed = 0; seed < 300; seed++) {
    toy t;
    toy_init(&t, seed, 1 + (uint32_t)(seed % 4), 40);
    merge_sweep *sweep = merge_sweep_new(&t.b);
    for (int round = 0; round < 30; round++) {
      uint32_t want[400], got[400];
      size_t n = pn_rng_below(&r, round % 2 ? 400 : MERGE_SMALL + 1);
      uint32_t *mem = malloc(merge_large_bytes(n));
      for (size_t i = 0; i < n; i++) {
        bool again = i && round % 3 == 0 && pn_rng_below(&r, 20); // runs
        want[i] = got[i] = mem[i] = again ? want[i - 1] : (uint32_t)pn_rng_below(&r, 1 + seed % 4);
      }
      uint32_t *swept = malloc(merge_large_bytes(n));
      memcpy(swept, mem, n * sizeof *mem);
      size_t n_want = merge_plainly(&t.b, want, n);
      assert_int_equal(merge_large(&t.b, mem, n, n), n_want);
      assert_memory_equal(mem, want, n_want * sizeof *want);
      size_t n_swept = n;
      assert_true(merge_sweep_run(sweep, swept, n, &n_swept));
      assert_int_equal(n_swept, n_want);
      assert_memory_equal(swept, want, n_want * sizeof *want);
      free(swept);
      if (n <= MERGE_SMALL) {
        assert_int_equal(merge_small(&t.b, got, n), n_want);
        assert_memory_equal(got, want, n_want * sizeof *want);
      }
      free(mem);
    }
    merge_sweep_free(sweep);
    pn_arena_fini(&t.arena);
  }
}

// ---- long inputs

// All of a-z, blanks and digits, and merges that double runs and join letters, for either family.
static char *family(bool byte_level) {
  static char out[16384];
  char *p = out, *end = out + sizeof out;
  const char *blank = byte_level ? "\xC4\xA0" : "\xE2\x96\x81";
  p += snprintf(
      p, (size_t)(end - p), "{%s\"model\":{\"type\":\"BPE\",\"byte_fallback\":%s,\"vocab\":{\"%s\":0",
      byte_level ? "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},"
                   "\"decoder\":{\"type\":\"ByteLevel\"},"
                 : "\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":"
                   "\"\xE2\x96\x81\"},\"decoder\":{\"type\":\"Replace\",\"pattern\":{\"String\":"
                   "\"\xE2\x96\x81\"},\"content\":\" \"},",
      byte_level ? "false" : "true", blank);
  int id = 1;
  for (int c = 'a'; c <= 'z'; c++) p += snprintf(p, (size_t)(end - p), ",\"%c\":%d", c, id++);
  for (int k = 2; k <= 16; k *= 2) {
    p += snprintf(p, (size_t)(end - p), ",\"%.*s\":%d", k, "aaaaaaaaaaaaaaaa", id++);
    p += snprintf(p, (size_t)(end - p), ",\"");
    for (int i = 0; i < k; i++) p += snprintf(p, (size_t)(end - p), "%s", blank);
    p += snprintf(p, (size_t)(end - p), "\":%d", id++);
  }
  for (int c = 'b'; c < 'z'; c++) p += snprintf(p, (size_t)(end - p), ",\"%c%c\":%d", c, c + 1, id++);
  p += snprintf(p, (size_t)(end - p), "},\"merges\":[\"a a\"");
  for (int k = 2; k <= 8; k *= 2)
    p += snprintf(p, (size_t)(end - p), ",\"%.*s %.*s\"", k, "aaaaaaaa", k, "aaaaaaaa");
  for (int k = 1; k <= 8; k *= 2) {
    p += snprintf(p, (size_t)(end - p), ",\"");
    for (int i = 0; i < 2 * k; i++) p += snprintf(p, (size_t)(end - p), i == k ? " %s" : "%s", blank);
    p += snprintf(p, (size_t)(end - p), "\"");
  }
  for (int c = 'b'; c < 'z'; c++) p += snprintf(p, (size_t)(end - p), ",\"%c %c\"", c, c + 1);
  snprintf(p, (size_t)(end - p), "]}}");
  return out;
}

static void long_words_take_no_time(void **state) {
  (void)state;
  const size_t n = 1000000;
  char *text = malloc(n);
  pn_rng r;
  pn_rng_seed(&r, 1);
  for (int kind = 0; kind < 8; kind++) {
    pn_error e = {0};
    pn_tokenizer *t = tiny_open(family(kind & 1), NULL, NULL, &e);
    if (!t) fail_msg("%s", e.msg);
    for (size_t i = 0; i < n; i++)
      text[i] = kind < 2 ? 'a' : kind < 4 ? ' ' : kind < 6 ? (char)('a' + pn_rng_below(&r, 26)) : "a "[i & 1];
    text[n - 1] = 'x';
    pn_ids ids = {0};
    pn_buf out = {0};
    uint64_t begin = pn_now_us();
    assert_true(pn_tokenizer_encode(t, (pn_str){text, n}, NULL, 0, &ids, &e));
    uint64_t took = pn_now_us() - begin;
    if (took > 5000000) fail_msg("kind %d took %llu us", kind, (unsigned long long)took);
    pn_tokenizer_decode(t, ids.p, ids.n, false, &out);
    assert_int_equal(out.n, n);
    assert_memory_equal(out.p, text, n);
    pn_ids_fini(&ids);
    pn_buf_fini(&out);
    pn_tokenizer_close(t);
  }
  free(text);
}

// ---- normal form C

static void nfc_is(const char *text, const char *want) {
  normalizer n = {.steps = {{.kind = NORMALIZE_NFC}}, .n = 1};
  pn_arena a = {0};
  pn_error e = {0};
  pn_str out;
  assert_true(normalize_run(&n, NULL, &a, pn_str_of(text), &out, &e));
  if (!pn_str_is(out, want)) fail_msg("%s became %.*s", text, (int)out.n, out.p);
  pn_arena_fini(&a);
}

static void composes(void **state) {
  (void)state;
  nfc_is("plain", "plain");
  nfc_is("xe\xCC\x81y", "x\xC3\xA9y");                                // e + acute
  nfc_is("a\xCC\x82\xCC\xA3", "\xE1\xBA\xAD");                        // marks out of order
  nfc_is("\xE2\x84\xAB", "\xC3\x85");                                 // angstrom sign
  nfc_is("\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8", "\xEA\xB0\x81");     // Hangul
  nfc_is("\xE0\xA5\x98", "\xE0\xA4\x95\xE0\xA4\xBC");                 // excluded from composition
  nfc_is("\xCC\x81", "\xCC\x81");                                     // a mark with nothing before
  nfc_is("\xC3\xA9\xCC\xA3\xC3\xA9", "\xE1\xBA\xB9\xCC\x81\xC3\xA9"); // composed, then a lower mark
}

static void orders_long_runs_of_marks(void **state) {
  (void)state;
  const size_t n = 400000;
  char *text = malloc(1 + 2 * n);
  text[0] = 'q';
  for (size_t i = 0; i < n; i++) memcpy(text + 1 + 2 * i, i & 1 ? "\xCC\xA3" : "\xCC\x81", 2);
  normalizer norm = {.steps = {{.kind = NORMALIZE_NFC}}, .n = 1};
  pn_arena a = {0};
  pn_error e = {0};
  pn_str out;
  uint64_t begin = pn_now_us();
  assert_true(normalize_run(&norm, NULL, &a, (pn_str){text, 1 + 2 * n}, &out, &e));
  assert_true(pn_now_us() - begin < 10000000);
  assert_int_equal(out.n, 1 + 2 * n);
  for (size_t i = 0; i < n; i++)
    if (memcmp(out.p + 1 + 2 * i, i < n / 2 ? "\xCC\xA3" : "\xCC\x81", 2) != 0) fail_msg("mark %zu", i);
  pn_arena_fini(&a);
  free(text);
}

// ---- one tokenizer, many threads

typedef struct job {
  const pn_tokenizer *t;
  pn_ids ids;
  bool ok;
} job;

static void *encode_all(void *user) {
  job *j = user;
  pn_error e = {0};
  j->ok = true;
  for (int i = 0; i < 200 && j->ok; i++) {
    char text[64];
    int n = snprintf(text, sizeof text, "aa bc %cd aaaaaaa %c%c xyz  x", 'a' + i % 26, 'b' + i % 20,
                     'c' + i % 20);
    j->ok = pn_tokenizer_encode(j->t, (pn_str){text, (size_t)n}, NULL, 0, &j->ids, &e);
  }
  return NULL;
}

static void threads_share(void **state) {
  (void)state;
  for (int byte_level = 0; byte_level < 2; byte_level++) {
    pn_error e = {0};
    pn_tokenizer *t = tiny_open(family(byte_level), NULL, NULL, &e);
    pthread_t threads[4];
    job jobs[4] = {{.t = t}, {.t = t}, {.t = t}, {.t = t}};
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, encode_all, &jobs[i]), 0);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < 4; i++) {
      assert_true(jobs[i].ok);
      assert_int_equal(jobs[i].ids.n, jobs[0].ids.n);
      assert_memory_equal(jobs[i].ids.p, jobs[0].ids.p, jobs[0].ids.n * sizeof(int32_t));
    }
    for (int i = 0; i < 4; i++) pn_ids_fini(&jobs[i].ids);
    pn_tokenizer_close(t);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(scans_like_the_patterns),
      cmocka_unit_test(white_space_is_unicodes),
      cmocka_unit_test(merges_like_the_definition),
      cmocka_unit_test(long_words_take_no_time),
      cmocka_unit_test(composes),
      cmocka_unit_test(orders_long_runs_of_marks),
      cmocka_unit_test(threads_share),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
