// A small real model through the real backends: the same requests give the same bytes alone and in company,
// however prompts are cut, with any number of threads, from a warm cache and a cold one, after pauses and
// laid aside for a while, and whether steps are computed within the call or behind it.
#include "../backend_options.h"
#include "base/rng.h"
#include "engine/engine.h"
#include "late_backend.h"
#include "tiny_model.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N = 16, CTX = 640, VOCAB = 50, TEXT = 4 * CTX };

// What the layers keep. Those that keep all positions have routed experts.
typedef enum keeping {
  FULL,
  WINDOW,
  FULL_WINDOW,
  STATE_FULL,
  STATE_WINDOW,
  DELTA_FULL,
  SANDWICH,
  PER_LAYER,
  N_KEEPINGS
} keeping;
static const struct {
  const char *config;
  tiny_fault extra;
} models[N_KEEPINGS] = {
    [FULL] = {TINY_EXPERTS(1024), {.qk_norms = true, .experts = true}},
    [WINDOW] = {TINY_WINDOW(1024), {0}},
    [FULL_WINDOW] = {TINY_FULL_WINDOW(1024), {.biases = true}},
    [STATE_FULL] = {TINY_STATE_FULL(1024), {.mixers = true}},
    [STATE_WINDOW] = {TINY_STATE_WINDOW(1024), {.mixers = true}},
    [DELTA_FULL] = {TINY_DELTA_FULL(1024), {.qk_norms = true, .deltas = true}},
    [SANDWICH] = {TINY_SANDWICH(1024), {.qk_norms = true, .sandwich = true}},
    [PER_LAYER] = {TINY_PER_LAYER(1024), {.qk_norms = true, .sandwich = true, .per_layer = true}}};

static char folders[N_KEEPINGS][64];
static pn_files *all_files[N_KEEPINGS], *files; // files: of the model in use

typedef struct ask {
  int32_t tokens[CTX];
  int n, max_tokens;
  int32_t mark; // where others leave it
  pn_sampling sampling;
  pn_str stop; // empty: none
  bool logprobs;
  char want[TEXT];
  struct outcome {
    pn_stop_reason stop;
    int stop_index, n_output, n_told;
    uint64_t told; // a hash of the log probabilities
  } outcome;
} ask;
static ask asks[N];

// Fakes of the tokenizer's door, so that the ids can be read from the text: two letters each, and nothing
// ends a turn.
const int32_t *pn_tokenizer_end_ids(const pn_tokenizer *t, size_t *n) { return (void)t, *n = 0, NULL; }
void pn_detokenizer_add(pn_detokenizer *d, int32_t id, pn_buf *out) {
  (void)d;
  pn_buf_char(out, (char)('a' + id / 26));
  pn_buf_char(out, (char)('a' + id % 26));
}
void pn_detokenizer_flush(pn_detokenizer *d, pn_buf *out) { (void)d, (void)out; }
pn_str pn_tokenizer_spelling(const pn_tokenizer *t, int32_t id) { return (void)t, (void)id, PN_STR("?"); }

typedef struct rig {
  pn_backend *b;
  pn_model *m;
  pn_engine *g;
  pn_metrics *metrics;
} rig;

static pn_kv_type kv_type;
static bool aside;       // some are held for a while, some of the background
static bool speculate;   // tokens are guessed
static double n_guessed; // of them right, over all

// By its name; "late" is the oracle behind the call.
static pn_backend *open_backend(const char *name, int threads, pn_error *e) {
  bool late = strcmp(name, "late") == 0;
  pn_backend *b = open_test_backend(late ? "ref" : name, threads, NULL, NULL, e);
  if (b && late) late_wrap(b, true);
  return b;
}

static rig open_rig(const char *backend, int threads, int chunk, int running, int pages) {
  pn_error e = {0};
  rig r = {.b = open_backend(backend, threads, &e)};
  r.m = r.b ? pn_model_open(files, r.b, &e) : NULL;
  r.metrics = pn_metrics_new();
  r.g = r.m ? pn_engine_open(r.m, NULL, r.b,
                             &(pn_engine_options){.n_ctx = CTX,
                                                  .kv_tokens = pages * 32,
                                                  .max_running = running,
                                                  .max_queue = N,
                                                  .chunk_tokens = chunk,
                                                  .kv_type = kv_type,
                                                  .speculate = speculate,
                                                  .metrics = r.metrics},
                             &e)
            : NULL;
  if (!r.g) fail_msg("%s", e.msg);
  return r;
}

static double metric(const rig *r, const char *name) {
  pn_buf text = {0};
  pn_metrics_write(r->metrics, &text);
  const char *at = strstr(pn_buf_cstr(&text), name);
  assert_non_null(at);
  double value = strtod(at + strlen(name), NULL);
  pn_buf_fini(&text);
  return value;
}

static void close_rig(rig *r) {
  pn_engine_close(r->g);
  pn_model_close(r->m);
  pn_backend_close(r->b);
  pn_metrics_free(r->metrics);
}

typedef struct bell {
  pthread_mutex_t lock;
  pthread_cond_t rung;
  int n;
} bell;
static bell door = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};

static void ring(void *ctx) {
  bell *b = ctx;
  pthread_mutex_lock(&b->lock);
  b->n++;
  pthread_cond_signal(&b->rung);
  pthread_mutex_unlock(&b->lock);
}

static pn_gen *submit(const rig *r, const ask *q) {
  pn_error e = {0};
  pn_gen *gen = pn_engine_submit(r->g,
                                 &(pn_request){.tokens = q->tokens,
                                               .n_tokens = (size_t)q->n,
                                               .marks = &q->mark,
                                               .n_marks = 1,
                                               .max_tokens = q->max_tokens,
                                               .sampling = q->sampling,
                                               .stops = &q->stop,
                                               .n_stops = q->stop.n > 0,
                                               .logprobs = q->logprobs,
                                               .n_top_logprobs = q->logprobs ? 3 : 0,
                                               .client = (uint64_t)q->n % 3,
                                               .background = aside && q->n % 5 == 0,
                                               .notify = ring,
                                               .notify_ctx = &door},
                                 &e);
  if (!gen) fail_msg("%s", e.msg);
  return gen;
}

static struct outcome outcome; // of the answer that was collected last
static int cached;             // tokens of its prompt that were known

static void note(const pn_event *ev) {
  if (ev->kind == PN_EVENT_DONE) {
    cached = ev->n_cached;
    outcome.stop = ev->stop;
    outcome.stop_index = ev->stop_index;
    outcome.n_output = ev->n_output;
  } else if (ev->kind == PN_EVENT_TOKEN) {
    const unsigned char *bytes = (const unsigned char *)&ev->token;
    for (size_t i = 0; i < sizeof ev->token; i++)
      outcome.told = (outcome.told ^ bytes[i]) * 0x100000001b3u + (uint64_t)ev->n_output;
    outcome.n_told++;
  }
}

static void collect(pn_gen *gen, char *text) {
  pn_event ev = {0};
  size_t n = 0;
  outcome = (struct outcome){0};
  while (ev.kind != PN_EVENT_DONE) {
    pthread_mutex_lock(&door.lock);
    door.n = 0;
    pthread_mutex_unlock(&door.lock);
    while (ev.kind != PN_EVENT_DONE && pn_gen_next(gen, &ev)) {
      if (ev.kind == PN_EVENT_FAILED) fail_msg("%s", ev.error.msg);
      note(&ev);
      if (ev.kind != PN_EVENT_TEXT) continue;
      memcpy(text + n, ev.text, ev.n_text);
      n += ev.n_text;
    }
    pthread_mutex_lock(&door.lock);
    while (ev.kind != PN_EVENT_DONE && door.n == 0) pthread_cond_wait(&door.rung, &door.lock);
    pthread_mutex_unlock(&door.lock);
  }
  text[n] = '\0';
  pn_gen_release(gen);
}

// Prompts with two beginnings in common, left at different places; greedy and drawn answers.
static void make_asks(void) {
  pn_rng rng;
  pn_rng_seed(&rng, 11);
  for (int i = 0; i < N; i++) {
    ask *q = &asks[i];
    int stem = i % 2, leave = (int)pn_rng_below(&rng, 120);
    q->n = 2 + (int)pn_rng_below(&rng, i % 4 ? 50 : 150);
    for (int k = 0; k < q->n; k++)
      q->tokens[k] = k < leave ? (stem * 17 + k * k) % VOCAB : (int32_t)pn_rng_below(&rng, VOCAB);
    q->mark = leave < 1 ? 1 : leave < q->n - 1 ? leave : q->n - 1;
    q->max_tokens = 4 + (int)pn_rng_below(&rng, 28);
    q->stop = (pn_str){0};
    q->logprobs = false;
    q->sampling = (pn_sampling){.temperature = i % 3 ? 1.0f : 0.0f,
                                .top_p = i % 2 ? 0.9f : 1,
                                .top_k = i % 5 == 4 ? 20 : 0,
                                .min_p = i % 7 == 1 ? 0.05f : 0,
                                .seed = (uint64_t)i};
  }
}

static void ask_alone(const char *backend) {
  aside = speculate = false;
  for (int i = 0; i < N; i++) {
    rig r = open_rig(backend, 1, 512, 1, CTX / 32);
    collect(submit(&r, &asks[i]), asks[i].want);
    asks[i].outcome = outcome;
    if (asks[i].stop.n == 0) assert_int_equal(strlen(asks[i].want), 2 * asks[i].max_tokens);
    close_rig(&r);
  }
}

// All at once, `rounds` times with one cache. The number of pauses.
static int ask_together(const char *backend, int threads, int chunk, int running, int pages, int rounds) {
  rig r = open_rig(backend, threads, chunk, running, pages);
  for (int round = 0; round < rounds; round++) {
    pn_gen *gens[N];
    char text[TEXT];
    for (int i = 0; i < N; i++) gens[i] = submit(&r, &asks[i]);
    for (int i = 1; aside && i < N; i += 4) pn_gen_hold(gens[i]); // wherever they are
    for (int i = 0; i < N; i++) {
      pn_gen_resume(gens[i]);
      collect(gens[i], text);
      if (strcmp(text, asks[i].want) != 0)
        fail_msg("%s, %d threads, chunk %d, %d streams, %d pages, round %d, request %d:\n%s\n%s", backend,
                 threads, chunk, running, pages, round, i, text, asks[i].want);
      assert_memory_equal(&outcome, &asks[i].outcome, sizeof outcome);
    }
  }
  if (strcmp(backend, "late") == 0) {
    assert_int_equal(late_counted().n_early, 0);
    assert_true(late_counted().n_samples > 0 && late_counted().n_submits > 0);
  }
  if (rounds > 1) assert_true(metric(&r, "\npensieve_cached_tokens_total ") > 100);
  n_guessed += metric(&r, "\npensieve_guessed_tokens_total{result=\"right\"} ");
  int pauses = (int)metric(&r, "\npensieve_preemptions_total ");
  close_rig(&r);
  return pauses;
}

typedef struct setting {
  const char *backend;
  pn_kv_type kv_type;
  keeping keeping;
} setting;

static const char *begin(const setting *with) {
  kv_type = with->kv_type;
  files = all_files[with->keeping];
  make_asks();
  return with->backend;
}

static void company_does_not_matter(void **state) {
  const char *backend = begin(*state);
  ask_alone(strcmp(backend, "late") == 0 ? "ref" : backend);
  const int chunks[] = {1, 7, 64, 512}, streams[] = {1, 2, 4, 16};
  const bool few = ((const setting *)*state)->keeping != FULL;
  for (int c = 0; c < 4; c++)
    for (int s = 0; s < 4; s++) {
      if (few && !(c % 2 && s % 2)) continue;
      int threads = 1 + (c + s) % 2;
      aside = (c + s) % 2;
      speculate = few || s < 2;
      ask_together(backend, threads, chunks[c], streams[s], (c + s) % 3 ? 128 : CTX / 32, 2);
    }
}

// Long answers in few pages: streams pause and compute again what they had.
static void pauses_do_not_matter(void **state) {
  const char *backend = begin(*state);
  for (int i = 0; i < N; i++) {
    asks[i].max_tokens = 8;
    if (i % 4 == 0) asks[i].n = 10 + i, asks[i].max_tokens = 370; // more than what is reserved for an answer
    if (asks[i].mark > asks[i].n) asks[i].mark = asks[i].n;
  }
  ask_alone(strcmp(backend, "late") == 0 ? "ref" : backend);
  aside = false;
  int pauses = 0; // on a loaded machine the long ones may miss each other once
  for (int c = 0; c < 2; speculate = ++c) pauses += ask_together(backend, 1 + c, c ? 512 : 7, 8, CTX / 32, 1);
  assert_true(pauses > 0);
}

// Stop strings that begin and end inside tokens, log probabilities: said before the next step, or during it.
static void endings_and_log_probabilities_are_the_same(void **state) {
  (void)state;
  static char stops[N][8];
  begin(&(setting){"ref", PN_KV_F16, FULL});
  ask_alone("ref");
  for (int i = 0; i < N; i++) {
    asks[i].logprobs = i % 3 == 0;
    if (i % 2) continue;
    int n = 2 * asks[i].max_tokens,
        at = (i * 7) % (n - 4); // for some with the first token, for some with the last
    memcpy(stops[i], asks[i].want + at, 3);
    asks[i].stop = (pn_str){stops[i], 3};
  }
  ask_alone("ref");
  int n_stopped = 0;
  for (int i = 0; i < N; i++) n_stopped += asks[i].outcome.stop == PN_STOP_STRING;
  assert_true(n_stopped >= N / 2);
  static const char *const backends[] = {"ref", "late"};
  for (int b = 0; b < 2; b++)
    for (int running = 1; running <= 16; running *= 4)
      for (int i = 0; i < 2; i++) {
        aside = speculate = i == 1;
        ask_together(backends[b], 1, i ? 7 : 64, running, CTX / 32, 2);
      }
}

// A conversation over layers that keep states: the next turn begins where the last one ended, and one that
// parts from it before that where the prompt was marked.
static void turns_begin_where_a_state_was_kept(void **state) {
  const char *backend = begin(*state);
  static ask first, next, other;
  aside = speculate = false;
  first = (ask){.n = 100, .max_tokens = 20, .mark = 60, .sampling = {.temperature = 1, .top_p = 1}};
  for (int i = 0; i < first.n; i++) first.tokens[i] = (i * i + 3) % VOCAB;
  rig r = open_rig(backend, 2, 64, 2, CTX / 32);
  collect(submit(&r, &first), first.want);
  assert_int_equal(cached, 0);
  next = first;
  for (int i = 0; i < first.max_tokens; i++)
    next.tokens[next.n++] = (first.want[2 * i] - 'a') * 26 + first.want[2 * i + 1] - 'a';
  for (int i = 0; i < 7; i++) next.tokens[next.n++] = i;
  collect(submit(&r, &next), next.want);
  assert_int_equal(cached, first.n + first.max_tokens - 1); // the last token was never computed
  other = first;
  other.tokens[80]++;
  collect(submit(&r, &other), other.want);
  assert_int_equal(cached, first.mark);
  close_rig(&r);
  for (int i = 0; i < 2; i++) { // the same from nothing
    char text[TEXT];
    r = open_rig(backend, 1, 512, 1, CTX / 32);
    collect(submit(&r, i ? &other : &next), text);
    assert_int_equal(cached, 0);
    assert_string_equal(text, i ? other.want : next.want);
    close_rig(&r);
  }
}

// Of everything before: guesses were right and wrong often enough to say that they don't matter.
static void tokens_were_guessed(void **state) {
  (void)state;
  print_message("%.0f guessed tokens were right\n", n_guessed);
  assert_true(n_guessed > 1000);
}

static int set_up(void **state) {
  (void)state;
  pn_error e = {0};
  for (int i = 0; i < N_KEEPINGS; i++) {
    if (tiny_write(folders[i], models[i].config, &models[i].extra))
      all_files[i] = pn_files_open(folders[i], &e);
    if (!all_files[i]) return fprintf(stderr, "%s\n", e.msg), -1;
  }
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  for (int i = 0; i < N_KEEPINGS; i++) {
    pn_files_close(all_files[i]);
    tiny_remove(folders[i]);
  }
  return 0;
}

int main(void) {
  static setting ref = {"ref", PN_KV_F16, FULL}, cpu = {"cpu", PN_KV_F16, FULL},
                 ref8 = {"ref", PN_KV_INT8, FULL}, cpu8 = {"cpu", PN_KV_INT8, FULL},
                 cpu4 = {"cpu", PN_KV_INT4, FULL}, late = {"late", PN_KV_F16, FULL},
                 window = {"cpu", PN_KV_F16, WINDOW}, ref_window = {"ref", PN_KV_F16, FULL_WINDOW},
                 late_window = {"late", PN_KV_F16, FULL_WINDOW}, state_full = {"cpu", PN_KV_F16, STATE_FULL},
                 late_state = {"late", PN_KV_F16, STATE_FULL},
                 state_window = {"cpu", PN_KV_INT8, STATE_WINDOW},
                 ref_state = {"ref", PN_KV_F16, STATE_WINDOW}, delta = {"cpu", PN_KV_F16, DELTA_FULL},
                 ref_delta = {"ref", PN_KV_F16, DELTA_FULL}, sandwich = {"cpu", PN_KV_F16, SANDWICH},
                 per_layer = {"cpu", PN_KV_INT8, PER_LAYER};
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_prestate(company_does_not_matter, &ref),
      cmocka_unit_test_prestate(pauses_do_not_matter, &ref8),
      cmocka_unit_test_prestate(company_does_not_matter, &late),
      cmocka_unit_test_prestate(pauses_do_not_matter, &late),
      cmocka_unit_test(endings_and_log_probabilities_are_the_same),
      cmocka_unit_test_prestate(company_does_not_matter, &cpu),
      cmocka_unit_test_prestate(pauses_do_not_matter, &cpu),
      cmocka_unit_test_prestate(company_does_not_matter, &cpu8),
      cmocka_unit_test_prestate(company_does_not_matter, &cpu4),
      cmocka_unit_test_prestate(company_does_not_matter, &window),
      cmocka_unit_test_prestate(pauses_do_not_matter, &window),
      cmocka_unit_test_prestate(company_does_not_matter, &ref_window),
      cmocka_unit_test_prestate(pauses_do_not_matter, &late_window),
      cmocka_unit_test_prestate(company_does_not_matter, &state_full),
      cmocka_unit_test_prestate(pauses_do_not_matter, &state_full),
      cmocka_unit_test_prestate(company_does_not_matter, &late_state),
      cmocka_unit_test_prestate(company_does_not_matter, &state_window),
      cmocka_unit_test_prestate(pauses_do_not_matter, &ref_state),
      cmocka_unit_test_prestate(company_does_not_matter, &delta),
      cmocka_unit_test_prestate(pauses_do_not_matter, &delta),
      cmocka_unit_test_prestate(company_does_not_matter, &ref_delta),
      cmocka_unit_test_prestate(company_does_not_matter, &sandwich),
      cmocka_unit_test_prestate(company_does_not_matter, &per_layer),
      cmocka_unit_test_prestate(turns_begin_where_a_state_was_kept, &delta),
      cmocka_unit_test(tokens_were_guessed),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
