// The engine over a scripted model: the next token of a sequence is a function of its last token and position, ids are
// letters, and the forward checks that every row's K and V slot was filled by the same sequence before.
#include "base/clock.h"
#include "engine/engine.h"
#include "kv/kv.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { VOCAB = 30, END = 29, CTX = 200, N_SLOTS = 256 };

static pn_model_config config = {.n_layers = 1,
                                 .d_model = 8,
                                 .d_ffn = 8,
                                 .n_heads = 1,
                                 .n_kv_heads = 1,
                                 .head_dim = 8,
                                 .n_vocab = VOCAB,
                                 .max_positions = CTX};
static int32_t memory[N_SLOTS]; // the token whose K and V a slot holds
static atomic_int n_forwards, step_us, max_rows_seen, bad_rows;
static atomic_int fail_after; // forwards until an error; 0: never
static int end_after_pos;     // the sequence ends at this position
static atomic_int text_bytes; // that each token gives

static int32_t next_token(int32_t token, int32_t pos) {
  return pos >= end_after_pos ? END : (token * 5 + pos) % 26;
}

// Fakes of the model's door.
const pn_model_config *pn_model_config_of(const pn_model *m) { return (void)m, &config; }
bool pn_model_reserve(pn_model *m, int max_rows, int max_logits, pn_error *e) {
  (void)m, (void)max_rows, (void)max_logits, (void)e;
  return true;
}
pn_kv_shape pn_model_kv_shape(const pn_model *m, pn_kv_type type, int page_tokens, int n_pages) {
  (void)m;
  return (pn_kv_shape){1, 1, 8, page_tokens, n_pages, type};
}
bool pn_model_forward(pn_model *m, pn_kv *kv, const pn_batch *b, const int32_t *logit_rows, int n_logits,
                      float *logits, const pn_forward_trace *trace, pn_error *e) {
  (void)m, (void)kv, (void)trace;
  if (atomic_load(&step_us)) usleep((useconds_t)atomic_load(&step_us));
  int n = atomic_fetch_add(&n_forwards, 1) + 1;
  if (atomic_load(&fail_after) && n >= atomic_load(&fail_after))
    return pn_fail(e, PN_ERR_DEVICE, "the device fell asleep");
  if (b->n_rows > atomic_load(&max_rows_seen)) atomic_store(&max_rows_seen, b->n_rows);
  for (int r = 0; r < b->n_rows; r++) {
    const int32_t *pages = b->pages[b->seq[r]];
    int32_t slot = pages[b->pos[r] / PN_KV_PAGE_TOKENS] * PN_KV_PAGE_TOKENS + b->pos[r] % PN_KV_PAGE_TOKENS;
    if (slot != b->slot[r] || slot >= N_SLOTS) atomic_fetch_add(&bad_rows, 1);
    memory[slot] = b->token[r];
  }
  for (int k = 0; k < n_logits; k++) {
    int r = logit_rows[k];
    for (int i = 0; i < VOCAB; i++) logits[k * VOCAB + i] = 0;
    logits[k * VOCAB + next_token(b->token[r], b->pos[r])] = 10;
  }
  return true;
}

// Fakes of the tokenizer's door: id 0 is 'a'.
static const int32_t ends[] = {END};
const int32_t *pn_tokenizer_end_ids(const pn_tokenizer *t, size_t *n) { return (void)t, *n = 1, ends; }
void pn_detokenizer_add(pn_detokenizer *d, int32_t id, pn_buf *out) {
  (void)d;
  for (int i = 0; i < atomic_load(&text_bytes); i++) pn_buf_char(out, (char)('a' + id));
}
void pn_detokenizer_flush(pn_detokenizer *d, pn_buf *out) { (void)d, (void)out; }

static pn_kv *fake_kv_open(pn_backend *b, const pn_kv_shape *s, pn_error *e) {
  return (void)b, (void)s, (void)e, (pn_kv *)memory;
}
static void fake_kv_close(pn_backend *b, pn_kv *kv) { (void)b, (void)kv; }
static const pn_backend_ops ops = {
    .version = PN_BACKEND_VERSION, .name = "fake", .kv_open = fake_kv_open, .kv_close = fake_kv_close};
static pn_backend backend = {&ops};

static pn_engine *open_engine(int max_queue, int chunk) {
  pn_error e = {0};
  atomic_store(&n_forwards, 0), atomic_store(&step_us, 0), atomic_store(&max_rows_seen, 0),
      atomic_store(&fail_after, 0);
  end_after_pos = 1000;
  atomic_store(&text_bytes, 1);
  pn_engine *g = pn_engine_open(
      NULL, NULL, &backend,
      &(pn_engine_options){.n_ctx = CTX, .max_queue = max_queue, .chunk_tokens = chunk, .kv_type = PN_KV_F16},
      &e);
  assert_non_null(g);
  return g;
}

typedef struct bell {
  pthread_mutex_t lock;
  pthread_cond_t rung;
  int n;
} bell;

static void ring(void *ctx) {
  bell *b = ctx;
  pthread_mutex_lock(&b->lock);
  b->n++;
  pthread_cond_signal(&b->rung);
  pthread_mutex_unlock(&b->lock);
}

static void await_ring(bell *b) {
  pthread_mutex_lock(&b->lock);
  while (b->n == 0) pthread_cond_wait(&b->rung, &b->lock);
  b->n = 0;
  pthread_mutex_unlock(&b->lock);
}

// Collect all text until the last event, waiting for rings only.
static pn_event collect(pn_gen *gen, bell *b, char *text) {
  pn_event ev;
  size_t n = 0;
  for (;;) {
    if (!pn_gen_next(gen, &ev)) {
      await_ring(b);
      continue;
    }
    if (ev.kind == PN_EVENT_TEXT) {
      memcpy(text + n, ev.text, ev.n_text);
      n += ev.n_text;
    }
    if (ev.kind == PN_EVENT_DONE || ev.kind == PN_EVENT_FAILED) break;
  }
  text[n] = '\0';
  pn_event after;
  assert_false(pn_gen_next(gen, &after));
  return ev;
}

static pn_event ask(pn_engine *g, const int32_t *tokens, size_t n, int max_tokens, const pn_str *stops,
                    size_t n_stops, char *text) {
  bell b = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
  pn_error e = {0};
  pn_gen *gen = pn_engine_submit(g,
                                 &(pn_request){.id = "req_test",
                                               .tokens = tokens,
                                               .n_tokens = n,
                                               .max_tokens = max_tokens,
                                               .sampling = {.temperature = 0, .top_p = 1},
                                               .stops = stops,
                                               .n_stops = n_stops,
                                               .notify = ring,
                                               .notify_ctx = &b},
                                 &e);
  assert_non_null(gen);
  pn_event ev = collect(gen, &b, text);
  pn_gen_release(gen);
  return ev;
}

static void expected_text(const int32_t *tokens, size_t n, int n_out, char *text) {
  int32_t last = tokens[n - 1];
  for (int i = 0; i < n_out; i++) {
    last = next_token(last, (int32_t)n - 1 + i);
    text[i] = (char)('a' + last);
  }
  text[n_out] = '\0';
}

static const int32_t prompt[CTX] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, [69] = 3};

static void generates_what_the_model_says(void **state) {
  (void)state;
  char text[512], want[512];
  for (int chunk = 1; chunk <= 100; chunk += 33) {
    pn_engine *g = open_engine(4, chunk);
    pn_event ev = ask(g, prompt, 70, 40, NULL, 0, text);
    expected_text(prompt, 70, 40, want);
    assert_string_equal(text, want);
    assert_int_equal(ev.kind, PN_EVENT_DONE);
    assert_int_equal(ev.stop, PN_STOP_MAX_TOKENS);
    assert_int_equal(ev.n_output, 40);
    assert_int_equal(ev.n_prompt_done, 70);
    assert_in_range(atomic_load(&max_rows_seen), 1, chunk);
    pn_engine_info info;
    pn_engine_info_of(g, &info);
    assert_int_equal(info.n_running + info.n_waiting, 0);
    assert_int_equal(info.kv_used_bytes, 0);
    assert_false(info.failed);
    pn_engine_close(g);
  }
  assert_int_equal(atomic_load(&bad_rows), 0);
}

static void stops_for_every_reason(void **state) {
  (void)state;
  char text[512], want[512];
  pn_engine *g = open_engine(4, 16);
  expected_text(prompt, 70, 40, want);
  pn_str stops[] = {PN_STR("@@"), {want + 10, 4}};
  pn_event ev = ask(g, prompt, 70, 40, stops, 2, text);
  assert_int_equal(ev.stop, PN_STOP_STRING);
  assert_int_equal(ev.stop_index, 1);
  assert_true(strlen(text) <= 10 && strncmp(text, want, strlen(text)) == 0);

  ev = ask(g, prompt, 70, 1000, NULL, 0, text);
  assert_int_equal(ev.stop, PN_STOP_CONTEXT);
  assert_int_equal(ev.n_output, CTX - 70);

  end_after_pos = 75;
  ev = ask(g, prompt, 70, 1000, NULL, 0, text);
  assert_int_equal(ev.stop, PN_STOP_END_TURN);
  assert_int_equal(strlen(text) + 1, ev.n_output);

  ev = ask(g, prompt, CTX - 1, 1000, NULL, 0, text); // room for exactly one token
  assert_int_equal(ev.n_output, 1);
  pn_engine_close(g);
}

static void refuses_what_can_not_be(void **state) {
  (void)state;
  pn_engine *g = open_engine(4, 16);
  pn_request ok = {.id = "r",
                   .tokens = prompt,
                   .n_tokens = 3,
                   .max_tokens = 1,
                   .sampling = {.temperature = 0, .top_p = 1}};
  pn_request r;
  pn_error e;
#define REFUSED(change, expected_code)                                                                       \
  (r = ok, change, e = (pn_error){0}, assert_null(pn_engine_submit(g, &r, &e)),                              \
   assert_int_equal(e.code, expected_code))
  REFUSED(r.n_tokens = 0, PN_ERR_USAGE);
  REFUSED(r.n_tokens = CTX, PN_ERR_LIMIT);
  REFUSED(r.max_tokens = 0, PN_ERR_USAGE);
  REFUSED(r.sampling.top_p = 0, PN_ERR_USAGE);
  REFUSED(r.sampling.temperature = -1, PN_ERR_USAGE);
  pn_str empty = {"", 0};
  REFUSED((r.stops = &empty, r.n_stops = 1), PN_ERR_USAGE);
  pn_engine_close(g);
  e = (pn_error){0};
  assert_null(pn_engine_open(NULL, NULL, &backend,
                             &(pn_engine_options){.n_ctx = CTX + 1, .max_queue = 1, .kv_type = PN_KV_F16},
                             &e));
  assert_int_equal(e.code, PN_ERR_USAGE);
}

static void a_full_queue_is_busy_and_cancel_takes_a_step(void **state) {
  (void)state;
  pn_engine *g = open_engine(2, 16);
  atomic_store(&step_us, 2000);
  bell b = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
  pn_request r = {.id = "r",
                  .tokens = prompt,
                  .n_tokens = 3,
                  .max_tokens = 150,
                  .sampling = {.temperature = 0, .top_p = 1},
                  .notify = ring,
                  .notify_ctx = &b};
  pn_error e = {0};
  pn_gen *gens[3];
  for (int i = 0; i < 3; i++) assert_non_null(gens[i] = pn_engine_submit(g, &r, &e));
  assert_null(pn_engine_submit(g, &r, &e));
  assert_int_equal(e.code, PN_ERR_BUSY);
  char text[512];
  pn_gen_cancel(gens[1]); // waiting
  pn_gen_cancel(gens[0]); // running
  uint64_t at = pn_now_us();
  pn_event ev = collect(gens[0], &b, text);
  assert_int_equal(ev.kind, PN_EVENT_FAILED);
  assert_int_equal(ev.error.code, PN_ERR_CANCELLED);
  assert_true(pn_now_us() - at < 1000000);
  assert_true(ev.n_output < 150);
  ev = collect(gens[1], &b, text);
  assert_int_equal(ev.error.code, PN_ERR_CANCELLED);
  ev = collect(gens[2], &b, text);
  assert_int_equal(ev.kind, PN_EVENT_DONE);
  for (int i = 0; i < 3; i++) pn_gen_release(gens[i]);
  pn_engine_close(g);
}

static void a_failing_device_fails_the_request_only(void **state) {
  (void)state;
  char text[512];
  pn_engine *g = open_engine(2, 16);
  atomic_store(&fail_after, 3);
  pn_event ev = ask(g, prompt, 5, 20, NULL, 0, text);
  assert_int_equal(ev.kind, PN_EVENT_FAILED);
  assert_int_equal(ev.error.code, PN_ERR_DEVICE);
  pn_engine_info info;
  pn_engine_info_of(g, &info);
  assert_true(info.failed);
  atomic_store(&fail_after, 0);
  ev = ask(g, prompt, 5, 20, NULL, 0, text);
  assert_int_equal(ev.kind, PN_EVENT_DONE);
  pn_engine_close(g);
}

static void release_and_close_in_the_middle(void **state) {
  (void)state;
  for (int round = 0; round < 20; round++) {
    pn_engine *g = open_engine(8, 16);
    atomic_store(&step_us, 200);
    bell b = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
    pn_request r = {.id = "r",
                    .tokens = prompt,
                    .n_tokens = 40,
                    .max_tokens = 100,
                    .sampling = {.temperature = 0, .top_p = 1},
                    .notify = ring,
                    .notify_ctx = &b};
    pn_error e = {0};
    pn_gen *kept[4];
    for (int i = 0; i < 4; i++) {
      pn_gen *gone = pn_engine_submit(g, &r, &e);
      kept[i] = pn_engine_submit(g, &r, &e);
      assert_non_null(gone);
      assert_non_null(kept[i]);
      if (i & 1) usleep(300);
      pn_gen_release(gone);
    }
    pn_engine_close(g);
    char text[512];
    for (int i = 0; i < 4; i++) {
      pn_event ev = collect(kept[i], &b, text);
      assert_true(ev.kind == PN_EVENT_DONE || ev.error.code == PN_ERR_CANCELLED);
      pn_gen_release(kept[i]);
    }
  }
}

// An outbox that nobody empties ends its own request, and the engine goes on.
static void nobody_reads(void **state) {
  (void)state;
  pn_engine *g = open_engine(2, 16);
  atomic_store(&text_bytes, 900);
  pn_error e = {0};
  pn_request r = {.id = "r",
                  .tokens = prompt,
                  .n_tokens = 3,
                  .max_tokens = 150,
                  .sampling = {.temperature = 0, .top_p = 1}};
  pn_gen *gen = pn_engine_submit(g, &r, &e);
  assert_non_null(gen);
  pn_engine_info info;
  do {
    usleep(1000);
    pn_engine_info_of(g, &info);
  } while (info.n_running + info.n_waiting > 0);
  pn_event ev;
  size_t got = 0;
  while (pn_gen_next(gen, &ev) && ev.kind != PN_EVENT_FAILED) got += ev.n_text;
  assert_int_equal(ev.kind, PN_EVENT_FAILED);
  assert_int_equal(ev.error.code, PN_ERR_LIMIT);
  assert_in_range(got, 60000, 65536);
  pn_gen_release(gen);
  atomic_store(&text_bytes, 1);
  char text[512];
  ev = ask(g, prompt, 5, 20, NULL, 0, text);
  assert_int_equal(ev.kind, PN_EVENT_DONE);
  pn_engine_close(g);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(generates_what_the_model_says),
      cmocka_unit_test(stops_for_every_reason),
      cmocka_unit_test(refuses_what_can_not_be),
      cmocka_unit_test(a_full_queue_is_busy_and_cancel_takes_a_step),
      cmocka_unit_test(a_failing_device_fails_the_request_only),
      cmocka_unit_test(release_and_close_in_the_middle),
      cmocka_unit_test(nobody_reads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
