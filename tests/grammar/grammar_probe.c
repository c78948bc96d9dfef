// A grammar for other programs to ask: lines of JSON on stdin, a line of JSON on stdout for each.
//   grammar_probe MODEL
// {"schema":S,"texts":[...],"strict":B}   -> {"accepts":[...],"gaps":[...],"compile_us":N} or {"error":"..."}
// {"schema":S,"seed":N,"max_tokens":N}    ->
// {"text":"...","ended":B,"n_tokens":N,"mask_us":mean,"worst_us":N}: an answer of a model that finds
//                                            all tokens equally likely, but likes to end things
// {"schema":S,"dialect":"...","seed":N,"max_tokens":N}: the same of a call of the tool f, whose parameters
// have the schema; "arguments":"..." is what is read of it, or null
// Times are those of the processor: other work on the machine does not count.
#include "base/rng.h"
#include "grammar/grammar.h"
#include "grammar/guide_rules.h"
#include "grammar/pushdown.h"
#include "hear_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const pn_tokenizer *tokenizer;
static const pn_vocab *vocab;

static bool accepts(pushdown *m, pn_str text) {
  int32_t set = pushdown_start(m, 0);
  for (size_t i = 0; set >= 0 && i < text.n; i++) set = pushdown_step(m, set, (uint8_t)text.p[i]);
  return set >= 0 && m->known[set].may_end;
}

static void write_gaps(pn_buf *out, const pn_guide_gap *p, size_t n) {
  pn_buf_z(out, ",\"gaps\":[");
  for (size_t i = 0; i < n; i++) {
    if (i) pn_buf_char(out, ',');
    pn_json_write_str(out, pn_str_of(p[i].what));
  }
  pn_buf_char(out, ']');
}

static uint64_t cpu_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void check(const pn_json *q, const pn_guide_ask *ask, pn_buf *out) {
  rules r = {0};
  guide_gaps gaps = {0};
  pushdown m = {0};
  int32_t closing;
  pn_error e = {0};
  const pn_json *texts = pn_json_get(q, "texts");
  uint64_t start = cpu_us();
  bool ok = guide_rules(&r, ask, &closing, &gaps, &e);
  uint64_t us = cpu_us() - start;
  ok = ok && pushdown_init(&m, vocab, &r, &e);
  if (ok) {
    pn_buf_z(out, "{\"accepts\":[");
    for (size_t i = 0; i < pn_json_len(texts); i++)
      pn_buf_printf(out, "%s%s", i ? "," : "",
                    accepts(&m, pn_json_str(pn_json_at(texts, i))) ? "true" : "false");
    pn_buf_printf(out, "],\"compile_us\":%llu,\"states\":%d", (unsigned long long)us, r.n_states);
    write_gaps(out, gaps.p, gaps.n);
    pn_buf_char(out, '}');
    pushdown_fini(&m);
  } else {
    pn_buf_z(out, "{\"error\":");
    pn_json_write_str(out, pn_str_of(e.msg));
    pn_buf_char(out, '}');
  }
  rules_fini(&r);
  guide_gaps_fini(&gaps);
}

static bool allowed(const pn_mask *mask, int32_t id) {
  for (int32_t i = 0; mask->ids && i < mask->n_ids; i++)
    if (mask->ids[i] == id) return true;
  return mask->bits && (mask->bits[id / 64] >> id % 64 & 1);
}

// Any allowed token; often one that ends something, so that answers end.
static int32_t pick(const pn_mask *mask, pn_rng *rng, size_t n_vocab) {
  static const char *const closers[] = {"\"", "}", "]", "\"}", "\"]", "\","};
  if (pn_rng_below(rng, 3) == 0) {
    const char *c = closers[pn_rng_below(rng, sizeof closers / sizeof *closers)];
    int32_t id = pn_tokenizer_find(tokenizer, pn_str_of(c));
    if (id >= 0 && allowed(mask, id)) return id;
  }
  if (mask->ids) return mask->n_ids ? mask->ids[pn_rng_below(rng, (uint64_t)mask->n_ids)] : -1;
  for (;;) {
    size_t id = pn_rng_below(rng, n_vocab);
    if (mask->bits[id / 64] >> id % 64 & 1) return (int32_t)id;
  }
}

static void write_heard(pn_buf *out, const pn_tongue *t, const pn_json *schema, pn_str raw) {
  pn_buf arguments = {0};
  pn_buf_z(out, ",\"arguments\":");
  if (hear_call(t, schema, raw, &arguments))
    pn_json_write_str(out, pn_buf_view(&arguments));
  else
    pn_buf_z(out, "null");
  pn_buf_fini(&arguments);
}

static void sample(const pn_json *q, const pn_guide_ask *ask, pn_buf *out) {
  pn_error e = {0};
  pn_guide *g = pn_guide_new(ask, &e);
  if (!g) {
    pn_buf_z(out, "{\"error\":");
    pn_json_write_str(out, pn_str_of(e.msg));
    pn_buf_char(out, '}');
    return;
  }
  pn_matcher *m = pn_matcher_new(g, &e);
  pn_buf text = {0}, raw = {0};
  pn_rng rng;
  pn_rng_seed(&rng, (uint64_t)pn_json_int(pn_json_get(q, "seed")));
  int64_t max = pn_json_int(pn_json_get(q, "max_tokens")), n = 0, forced = 0;
  uint64_t us = 0, worst = 0, n_masks = 0;
  const char *fault = NULL;
  pn_detokenizer d = {.t = tokenizer};
  while (!pn_matcher_over(m) && n < max && !fault) {
    int32_t ids[32], n_ids = pn_matcher_forced(m, ids, 32);
    forced += n_ids;
    if (n_ids == 0) {
      pn_mask mask;
      uint64_t start = cpu_us();
      if (!pn_matcher_mask(m, &mask)) fault = "no mask";
      uint64_t took = cpu_us() - start;
      us += took;
      n_masks++;
      if (took > worst) worst = took;
      ids[0] = fault ? -1 : pick(&mask, &rng, (size_t)pn_tokenizer_n_vocab(tokenizer));
      if (ids[0] < 0) fault = "nothing is allowed";
      n_ids = 1;
    }
    for (int i = 0; i < n_ids && !fault; i++, n++) {
      if (!pn_matcher_take(m, ids[i])) fault = "an allowed token was refused";
      bool control = pn_tokenizer_is_control(tokenizer, ids[i]);
      if (!control) pn_detokenizer_add(&d, ids[i], &text);
      if (control) pn_buf_char(&raw, PN_RAW_BEGIN);
      pn_tokenizer_decode(tokenizer, &ids[i], 1, true, &raw);
      if (control) pn_buf_char(&raw, PN_RAW_END);
    }
  }
  pn_detokenizer_flush(&d, &text);
  pn_buf_z(out, "{\"text\":");
  pn_json_write_str(out, pn_buf_view(&text));
  pn_buf_printf(out, ",\"ended\":%s,\"n_tokens\":%lld,\"n_forced\":%lld,\"mask_us\":%.1f,\"worst_us\":%llu",
                pn_matcher_over(m) ? "true" : "false", (long long)n, (long long)forced,
                n_masks ? (double)us / (double)n_masks : 0.0, (unsigned long long)worst);
  if (fault) pn_buf_printf(out, ",\"fault\":\"%s\"", fault);
  if (ask->tongue) write_heard(out, ask->tongue, pn_json_get(q, "schema"), pn_buf_view(&raw));
  pn_buf_char(out, '}');
  pn_buf_fini(&text);
  pn_buf_fini(&raw);
  pn_matcher_free(m);
  pn_guide_unref(g);
}

// The tool f with these parameters.
static pn_json *tools_of(const pn_json *schema, bool strict) {
  pn_json *tools = pn_json_new_array(), *tool = pn_json_new_object(), *f = pn_json_new_object();
  pn_json_set(f, "name", pn_json_new_str(PN_STR("f")));
  pn_json_set(f, "parameters", pn_json_share(schema));
  pn_json_set(f, "strict", pn_json_new_bool(strict));
  pn_json_set(tool, "function", f);
  pn_json_push(tools, tool);
  return tools;
}

static void serve(char *line) {
  pn_buf out = {0};
  pn_json *q = pn_json_parse(pn_str_of(line), NULL), *tools = NULL;
  const pn_json *schema = pn_json_get(q, "schema"), *name = pn_json_get(q, "dialect");
  pn_guide_ask ask = {.vocab = vocab, .schema = schema, .strict = pn_json_true(pn_json_get(q, "strict"))};
  const pn_dialect *d = name ? pn_dialect_find(pn_json_cstr(name)) : NULL;
  pn_tongue tongue = {0};
  if (d && pn_tongue_init(&tongue, d, NULL, tokenizer)) {
    tools = tools_of(schema, ask.strict);
    ask = (pn_guide_ask){
        .vocab = vocab, .tongue = &tongue, .tools = tools, .calls = PN_CALLS_MUST, .one_call = true};
  }
  if (pn_json_get(q, "texts"))
    check(q, &ask, &out);
  else
    sample(q, &ask, &out);
  puts(pn_buf_cstr(&out));
  fflush(stdout);
  pn_buf_fini(&out);
  pn_tongue_fini(&tongue);
  pn_json_free(tools);
  pn_json_free(q);
}

int main(int argc, char **argv) {
  pn_error e;
  pn_files *files = argc > 1 ? pn_files_open(argv[1], &e) : NULL;
  pn_tokenizer *t = files ? pn_tokenizer_open(files, &e) : NULL;
  pn_vocab *v = t ? pn_vocab_new(t, &e) : NULL;
  char *line = NULL;
  size_t cap = 0;
  tokenizer = t;
  vocab = v;
  if (!v) {
    fprintf(stderr, "grammar_probe: %s\n", argc > 1 ? e.msg : "which model?");
    return 2;
  }
  while (getline(&line, &cap, stdin) > 0) serve(line);
  free(line);
  pn_vocab_free(v);
  pn_tokenizer_close(t);
  pn_files_close(files);
  return 0;
}
