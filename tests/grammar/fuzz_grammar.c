// Schemas of any text: compiling them ends, soon, and whatever is said under one is valid by it, also as the
// parameters of a tool. Built for
// libFuzzer it is the entry alone; else main plays the files of a folder, each as it is and with seeded
// mutations.
#include "base/clock.h"
#include "base/map.h"
#include "base/rng.h"
#include "grammar/grammar.h"
#include "grammar/regex.h"
#include "hear_call.h"
#include "toy_tokenizer.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char *const words[] = {"\": ", ", \"", "\", \"", "true", "false", "null",  "{}",    "[]",
                                    "ab",   "abc",  "\\n",    "x1",   "12",    "2024-", "a.b@c", NULL};
static const char *const controls[] = {"<|end|>", NULL};
static const pn_tokenizer toy = {words, controls};
static pn_vocab *vocab;

static void check(bool ok, const char *what, pn_str input, pn_str said) {
  if (ok) return;
  fprintf(stderr, "fuzz_grammar: %s\nschema: %.*s\nsaid: %.*s\n", what, (int)input.n, input.n ? input.p : "",
          (int)said.n, said.n ? said.p : "");
  abort();
}

static int32_t pick(const pn_mask *m, pn_rng *rng) {
  if (m->ids) return m->n_ids ? m->ids[pn_rng_below(rng, (uint64_t)m->n_ids)] : -1;
  return -1; // a toy has no more
}

// What a model says that knows nothing but the mask; false: it went on too long.
static bool say(pn_guide *g, pn_rng *rng, pn_str input, pn_buf *said) {
  pn_matcher *m = pn_matcher_new(g, NULL);
  bool over = false;
  for (int n = 0; n < 150 && !(over = pn_matcher_over(m)); n++) {
    int32_t ids[8];
    int n_ids = pn_matcher_forced(m, ids, 8);
    pn_mask mask;
    if (n_ids == 0) {
      check(pn_matcher_mask(m, &mask), "no mask", input, pn_buf_view(said));
      ids[0] = pick(&mask, rng);
      // Often the end of something.
      for (int32_t i = 0; i < mask.n_ids && pn_rng_below(rng, 3) == 0; i++)
        if (mask.ids[i] < 256 && strchr("\"}]", mask.ids[i])) ids[0] = mask.ids[i];
      check(ids[0] >= 0, "nothing may follow", input, pn_buf_view(said));
      n_ids = 1;
    }
    for (int i = 0; i < n_ids; i++) {
      check(pn_matcher_take(m, ids[i]), "what is allowed is not taken", input, pn_buf_view(said));
      pn_tokenizer_decode(&toy, &ids[i], 1, false, said);
    }
  }
  pn_matcher_free(m);
  return over;
}

static void play_schema(const pn_json *schema, pn_str input, bool strict) {
  const pn_guide_ask ask = {.vocab = vocab, .schema = schema, .strict = strict};
  pn_error e = {0};
  uint64_t start = pn_now_us();
  pn_guide *g = pn_guide_new(&ask, &e);
  check(pn_now_us() - start < 5000000, "it takes seconds to compile", input, (pn_str){0});
  if (!g) {
    check(e.code == PN_ERR_UNSUPPORTED || e.code == PN_ERR_LIMIT, e.msg, input, (pn_str){0});
    return;
  }
  size_t n_gaps;
  pn_guide_gaps(g, &n_gaps);
  pn_rng rng;
  pn_rng_seed(&rng, input.n);
  for (int i = 0; i < 3; i++) {
    pn_buf said = {0};
    if (say(g, &rng, input, &said)) {
      pn_json *v = pn_json_parse(pn_buf_view(&said), &e);
      check(v != NULL, e.msg, input, pn_buf_view(&said));
      if (n_gaps == 0 && !pn_schema_valid(schema, v, &e) && e.code == PN_ERR_USAGE)
        check(false, e.msg, input, pn_buf_view(&said));
      pn_json_free(v);
    }
    pn_buf_fini(&said);
  }
  pn_guide_unref(g);
}

static pn_guide *guide_of_call(const pn_tongue *t, const pn_json *schema, pn_error *e) {
  pn_json *tools =
      pn_json_parse(PN_STR("[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"strict\":true}}]"), NULL);
  pn_json *f = (pn_json *)(uintptr_t)pn_json_get(pn_json_at(tools, 0), "function");
  check(pn_json_set(f, "parameters", pn_json_share(schema)), "no memory", (pn_str){0}, (pn_str){0});
  pn_guide *g = pn_guide_new(
      &(pn_guide_ask){.vocab = vocab, .tongue = t, .tools = tools, .calls = PN_CALLS_MUST, .one_call = true},
      e);
  pn_json_free(tools);
  return g;
}

// What is said as a call of a tool is read as arguments that are valid.
static void play_parameters(const pn_json *schema, pn_str input) {
  pn_tongue t;
  pn_error e = {0};
  if (!pn_json_is(schema, PN_JSON_OBJECT)) return;
  check(pn_tongue_init(&t, pn_dialect_find(input.n % 2 ? "qwen_xml" : "glm"), NULL, NULL), "no memory", input,
        (pn_str){0});
  pn_guide *g = guide_of_call(&t, schema, &e);
  pn_rng rng;
  pn_rng_seed(&rng, input.n);
  for (int i = 0; g && i < 3; i++) {
    pn_buf said = {0}, heard = {0};
    if (say(g, &rng, input, &said)) {
      check(hear_call(&t, schema, pn_buf_view(&said), &heard), "not heard as one call", input,
            pn_buf_view(&said));
      pn_json *v = pn_json_parse(pn_buf_view(&heard), &e);
      check(v != NULL, e.msg, input, pn_buf_view(&said));
      if (!pn_schema_valid(schema, v, &e) && e.code == PN_ERR_USAGE)
        check(false, e.msg, input, pn_buf_view(&said));
      pn_json_free(v);
    }
    pn_buf_fini(&said);
    pn_buf_fini(&heard);
  }
  pn_guide_unref(g);
  pn_tongue_fini(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  pn_str input = {(const char *)data, n};
  if (!vocab) vocab = pn_vocab_new(&toy, NULL);
  pn_json *schema = pn_json_parse(input, NULL);
  if (schema) {
    play_schema(schema, input, true);
    play_schema(schema, input, false);
    play_parameters(schema, input);
    pn_json_free(schema);
  } else {
    dfa_free(regex_compile(input, NULL));
  }
  return 0;
}

#ifndef PN_LIBFUZZER
enum { N_MUTATIONS = 60 };

// Another word of the vocabulary of schemas, in place of one that is there, or a few bytes changed.
static void mutate(pn_buf *b, pn_rng *rng) {
  static const char *const keys[] = {"\"type\"",
                                     "\"enum\"",
                                     "\"const\"",
                                     "\"not\"",
                                     "\"anyOf\"",
                                     "\"oneOf\"",
                                     "\"allOf\"",
                                     "\"items\"",
                                     "\"pattern\"",
                                     "\"minLength\"",
                                     "\"maxLength\"",
                                     "\"required\"",
                                     "\"minItems\"",
                                     "\"maxItems\"",
                                     "\"minimum\"",
                                     "\"multipleOf\"",
                                     "\"properties\"",
                                     "\"propertyNames\"",
                                     "\"additionalProperties\"",
                                     "\"uniqueItems\"",
                                     "\"$ref\"",
                                     "\"#\"",
                                     "\"string\"",
                                     "\"integer\"",
                                     "\"number\"",
                                     "\"object\"",
                                     "\"array\"",
                                     "\"null\"",
                                     "0",
                                     "1",
                                     "3",
                                     "1000000",
                                     "-1",
                                     "0.5",
                                     "true",
                                     "false",
                                     "{}",
                                     "[]"};
  for (uint64_t k = 1 + pn_rng_below(rng, 3); k && b->n; k--) {
    size_t at = (size_t)pn_rng_below(rng, b->n), end = at;
    if (pn_rng_below(rng, 4) == 0) {
      b->p[at] = (char)(32 + pn_rng_below(rng, 95));
      continue;
    }
    while (at > 0 && !strchr("{}[],: ", b->p[at - 1])) at--;
    while (end < b->n && !strchr("{}[],: ", b->p[end])) end++;
    const char *word = keys[pn_rng_below(rng, sizeof keys / sizeof *keys)];
    pn_buf out = {0};
    pn_buf_add(&out, b->p, at);
    pn_buf_z(&out, word);
    pn_buf_add(&out, b->p + end, b->n - end);
    pn_buf_fini(b);
    *b = out;
  }
}

static void play_input(pn_str seed, pn_rng *rng) {
  LLVMFuzzerTestOneInput((const uint8_t *)seed.p, seed.n);
  for (int i = 0; i < N_MUTATIONS; i++) {
    pn_buf b = {0};
    pn_buf_str(&b, seed);
    mutate(&b, rng);
    LLVMFuzzerTestOneInput((const uint8_t *)b.p, b.n);
    pn_buf_fini(&b);
  }
}

int main(int argc, char **argv) {
  DIR *d = argc >= 2 ? opendir(argv[1]) : NULL;
  check(d != NULL, "no corpus folder", (pn_str){0}, (pn_str){0});
  pn_rng rng;
  pn_rng_seed(&rng, argc > 2 ? strtoull(argv[2], NULL, 10) : 1);
  int n = 0;
  for (struct dirent *entry; (entry = readdir(d)); n++) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
    pn_buf seed = {0};
    if (pn_file_read(path, 1u << 20, &seed, NULL)) play_input(pn_buf_view(&seed), &rng);
    pn_buf_fini(&seed);
  }
  closedir(d);
  pn_vocab_free(vocab);
  check(n > 2, "an empty corpus", (pn_str){0}, (pn_str){0});
  return 0;
}
#endif
