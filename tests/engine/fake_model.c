#include "fake_model.h"

#include "../backend_options.h"
#include "base/log.h"

#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { PAGE = 32, N_SLOTS = FAKE_PAGES * PAGE };

typedef struct slot {
  int32_t token, pos;
  uint64_t prefix; // of tokens [0, pos]
  int writer;      // the forward that wrote it last
} slot;

static slot memory[N_SLOTS];
fake_state fake;

// A workspace: that of the streams' steps, or of the passes.
typedef struct workspace {
  pn_batch batch;
  float logits[FAKE_STREAMS][FAKE_VOCAB];
  // When the backend is asynchronous: what was submitted, and has to be as it was when it is computed.
  bool in_flight, computed, ok; // computed and not collected
  int order;
  uint64_t rows_hash;
  bool reads[FAKE_PAGES], writes[FAKE_PAGES];
  const pn_sample *how;
  pn_sample how_was[FAKE_STREAMS];
  int n_how;
  pn_error error;
} workspace;
static workspace spaces[2], *const streams = &spaces[0], *const prompts = &spaces[1];

static const pn_model_config config = {.n_layers = FAKE_LAYERS,
                                       .d_model = 8,
                                       .d_ffn = 8,
                                       .n_heads = 1,
                                       .n_kv_heads = 1,
                                       .head_dim = 8,
                                       .n_vocab = FAKE_VOCAB,
                                       .max_positions = FAKE_CTX,
                                       .n_groups = 1,
                                       .groups = {{1, 1, 8, 0, 0}}};

void fake_reset(void) {
  memset(&fake, 0, sizeof fake);
  fake.fail_code = PN_ERR_INTERNAL;
  fake.text_bytes = 1;
  fake.end_after_pos = 1 << 20;
  fake.poison = -1;
  memset(memory, 0xff, sizeof memory);
  memset(spaces, 0, sizeof spaces);
}

void fake_quiet(void) { pn_log_setup(PN_LOG_INFO, false, open("/dev/null", O_WRONLY)); }

static uint64_t chain(uint64_t prefix, int32_t token) {
  uint64_t x = (prefix ^ (uint64_t)(token + 1)) * 0x9e3779b97f4a7c15u;
  return x ^ (x >> 29);
}

static int32_t next_token(uint64_t prefix, int pos) {
  return pos >= atomic_load(&fake.end_after_pos) ? FAKE_END : (int32_t)(prefix % 26);
}

void fake_expect(const int32_t *tokens, int n, int n_out, char *text) {
  uint64_t prefix = 0;
  for (int i = 0; i < n; i++) prefix = chain(prefix, tokens[i]);
  for (int i = 0; i < n_out; i++) {
    int32_t id = next_token(prefix, n - 1 + i);
    text[i] = (char)('a' + id);
    prefix = chain(prefix, id);
  }
  text[n_out] = '\0';
}

// The model's door.
const pn_model_config *pn_model_config_of(const pn_model *m) { return (void)m, &config; }
bool pn_model_reserve(pn_model *m, int max_rows, int max_logits, pn_error *e) {
  return (void)m, (void)max_rows, (void)max_logits, (void)e, true;
}

static int32_t slot_of(const pn_batch *b, int r) { return b->kv[0].slot[r]; }
static const int32_t *pages_of(const pn_batch *b, int r) { return b->kv[0].pages[b->seq[r]]; }

static slot *place(const pn_batch *b, int r, int pos) {
  return &memory[pages_of(b, r)[pos / PAGE] * PAGE + pos % PAGE];
}

// Write the row; false when a position before it does not hold this sequence's prefix.
static bool write_row(const pn_batch *b, int r, int forward) {
  uint64_t prefix = 0;
  int pos = b->pos[r];
  for (int p = 0; p < pos; p++) {
    const slot *s = place(b, r, p);
    uint64_t want = chain(prefix, s->token);
    if (s->pos != p || s->prefix != want) return false;
    prefix = want;
  }
  slot *s = place(b, r, pos);
  if (s != &memory[slot_of(b, r)]) return false;
  if (s->writer == forward) atomic_fetch_add(&fake.n_row_twice, 1);
  *s = (slot){b->token[r], pos, chain(prefix, b->token[r]), forward};
  return true;
}

static bool poisoned(const pn_batch *b, int r) {
  for (int p = 0; p <= b->pos[r]; p++)
    if (place(b, r, p)->token == atomic_load(&fake.poison)) return true;
  return false;
}

static bool fails_now(int n) {
  int at = atomic_load(&fake.fail_at), every = atomic_load(&fake.fail_every);
  if (at > 0) atomic_store(&fake.fail_at, at - 1);
  return at == 1 || (every && n % every == 0);
}

uint64_t pn_model_row_bytes(const pn_model *m) { return (void)m, 1000; }
uint64_t pn_model_step_bytes(const pn_model *m, int max_rows, int max_logits) {
  return (void)m, (uint64_t)max_rows * 1000 + (uint64_t)max_logits * FAKE_VOCAB * 4;
}
// All rows of a batch, at once.
static bool compute(workspace *w, pn_error *e) {
  const pn_batch *b = &w->batch;
  if (fake.before_forward) fake.before_forward(b);
  if (atomic_load(&fake.step_us)) usleep((useconds_t)atomic_load(&fake.step_us));
  int n = atomic_fetch_add(&fake.n_forwards, 1) + 1;
  if (fails_now(n)) { // what was half written is rubbish
    for (int r = 0; r < b->n_rows; r++) memory[slot_of(b, r)] = (slot){-1, -1, 0, n};
    return pn_fail(e, (pn_code)atomic_load(&fake.fail_code), "the device fell asleep");
  }
  if (b->n_rows > atomic_load(&fake.max_rows)) atomic_store(&fake.max_rows, b->n_rows);
  if (b->n_seqs > atomic_load(&fake.max_seqs)) atomic_store(&fake.max_seqs, b->n_seqs);
  for (int r = 0; r < b->n_rows; r++)
    if (!write_row(b, r, n)) atomic_fetch_add(&fake.bad_rows, 1);
  atomic_fetch_add(&fake.n_rows, b->n_rows);
  for (int k = 0; k < b->n_logits; k++) {
    int r = b->logit_rows[k];
    uint64_t prefix = memory[slot_of(b, r)].prefix;
    for (int i = 0; i < FAKE_VOCAB; i++)
      w->logits[k][i] = poisoned(b, r) ? NAN : (float)((prefix >> i) & 7) * 0.1f;
    w->logits[k][next_token(prefix, b->pos[r])] += 2;
  }
  return true;
}

// --- steps behind the call ---------------------------------------------------------------------------------

// The engine breaks the contract of an asynchronous backend.
static void must(bool holds, const char *what) {
  if (holds) return;
  fprintf(stderr, "asynchronous: %s\n", what);
  abort();
}

// The rows, and the pages that they go to and see.
static uint64_t hash_rows(const pn_batch *b) {
  uint64_t h = chain((uint64_t)b->n_rows, b->n_seqs);
  for (int r = 0; r < b->n_rows; r++) {
    h = chain(chain(chain(chain(h, b->token[r]), b->seq[r]), b->pos[r]), slot_of(b, r));
    for (int p = 0; p <= b->pos[r] / PAGE; p++) h = chain(h, pages_of(b, r)[p]);
  }
  for (int k = 0; k < b->n_logits; k++) h = chain(h, b->logit_rows[k]);
  return h;
}

static void note_pages(workspace *w) {
  const pn_batch *b = &w->batch;
  memset(w->reads, 0, sizeof w->reads);
  memset(w->writes, 0, sizeof w->writes);
  for (int r = 0; r < b->n_rows; r++) {
    w->writes[slot_of(b, r) / PAGE] = true;
    for (int p = 0; p <= b->pos[r] / PAGE; p++) w->reads[pages_of(b, r)[p]] = true;
  }
}

static void set_batch(workspace *w, const pn_batch *b) {
  must(!w->in_flight, "a step begins in a workspace that was not collected");
  w->batch = *b;
}

static void submit(workspace *w) {
  const workspace *other = w == streams ? prompts : streams;
  must(!w->in_flight, "a step is submitted to a workspace that was not collected");
  note_pages(w);
  for (int p = 0; other->in_flight && p < FAKE_PAGES; p++)
    must(!(w->writes[p] && other->reads[p]) && !(w->reads[p] && other->writes[p]),
         "a page of rows in flight was given to another step");
  w->rows_hash = hash_rows(&w->batch);
  w->in_flight = true;
  w->computed = false;
  w->n_how = 0;
  w->order = other->in_flight ? other->order + 1 : 0;
}

static void compute_late(workspace *w) {
  if (!w->in_flight || w->computed) return;
  must(hash_rows(&w->batch) == w->rows_hash, "rows or pages in flight were changed");
  w->ok = compute(w, &w->error);
  w->computed = true;
}

static void must_not_fly(int32_t page, bool changes) {
  for (int i = 0; i < 2; i++)
    must(!spaces[i].in_flight || !(spaces[i].writes[page] || (changes && spaces[i].reads[page])),
         "a page of rows in flight is copied or changed");
}

// --- the model's steps -------------------------------------------------------------------------------------

bool pn_model_forward(pn_model *m, const pn_batch *b, float *logits, const pn_forward_trace *trace,
                      pn_error *e) {
  (void)m, (void)trace, (void)logits;
  set_batch(streams, b);
  if (!FAKE_ASYNCHRONOUS) return compute(streams, e);
  submit(streams);
  return true;
}
pn_logits pn_model_logits(const pn_model *m) { return (void)m, (pn_logits){.ws = (pn_workspace *)streams}; }

pn_logits pn_pass_logits(const pn_pass *p) { return (void)p, (pn_logits){.ws = (pn_workspace *)prompts}; }

// A pass has three layers: the last one computes everything, so that it meets what steps between did to the
// pages.
struct pn_pass {
  int layer;
} the_pass;
pn_pass *pn_pass_open(pn_model *m, int max_rows, int max_logits, pn_error *e) {
  return (void)m, (void)max_rows, (void)max_logits, (void)e, &the_pass;
}
void pn_pass_close(pn_pass *p) { (void)p; }
bool pn_pass_begin(pn_pass *p, const pn_batch *batch, pn_error *e) {
  (void)e;
  set_batch(prompts, batch);
  p->layer = 0;
  return true;
}
bool pn_pass_layer(pn_pass *p, float *logits, bool *done, pn_error *e) {
  (void)logits;
  must(!FAKE_ASYNCHRONOUS, "a pass is computed layer by layer");
  *done = ++p->layer == FAKE_LAYERS;
  return !*done || compute(prompts, e);
}
bool pn_pass_submit(pn_pass *p, pn_error *e) {
  (void)p, (void)e;
  must(FAKE_ASYNCHRONOUS, "a pass is submitted to a backend that computes within the call");
  submit(prompts);
  return true;
}

// The tokenizer's door: id 0 is 'a'.
static const int32_t ends[] = {FAKE_END};
const int32_t *pn_tokenizer_end_ids(const pn_tokenizer *t, size_t *n) { return (void)t, *n = 1, ends; }
void pn_detokenizer_add(pn_detokenizer *d, int32_t id, pn_buf *out) {
  (void)d;
  for (int i = 0; i < atomic_load(&fake.text_bytes); i++) pn_buf_char(out, (char)('a' + id));
}
void pn_detokenizer_flush(pn_detokenizer *d, pn_buf *out) { (void)d, (void)out; }
pn_str pn_tokenizer_spelling(const pn_tokenizer *t, int32_t id) {
  static const char letters[] = "abcdefghijklmnopqrstuvwxyz\n\x01\xc3.";
  return (void)t, (pn_str){letters + id, 1};
}

static pn_kv *open_kv(pn_backend *b, const pn_kv_shape *s, pn_error *e) {
  (void)b;
  if (s->n_pages > FAKE_PAGES) return pn_fail(e, PN_ERR_NOMEM, "the fake has %d pages", FAKE_PAGES), NULL;
  return (pn_kv *)memory;
}
static uint64_t kv_bytes(pn_backend *b, const pn_kv_shape *s) {
  return (void)b, (uint64_t)s->n_pages * PAGE * 16;
}
static void close_kv(pn_backend *b, pn_kv *kv) { (void)b, (void)kv; }
static bool copy_kv(pn_backend *b, pn_kv *kv, int32_t from, int32_t to, pn_error *e) {
  (void)b, (void)kv;
  if (atomic_load(&fake.fail_copies)) return pn_fail(e, PN_ERR_DEVICE, "the copy was refused");
  must_not_fly(from, false);
  must_not_fly(to, true);
  atomic_fetch_add(&fake.n_copies, 1);
  memcpy(&memory[to * PAGE], &memory[from * PAGE], PAGE * sizeof(slot));
  return true;
}
static void discard_kv(pn_backend *b, pn_kv *kv, int32_t first, int n) {
  (void)b, (void)kv;
  for (int32_t page = first; page < first + n; page++) must_not_fly(page, true);
  atomic_fetch_add(&fake.n_discarded, n);
  memset(&memory[first * PAGE], 0xff, (size_t)n * PAGE * sizeof(slot));
}
// Tokens are chosen by the oracle, which is a backend of its own.
enum { MAX_CHOSEN = FAKE_STREAMS };
static const pn_buffer logits_buffer = {FAKE_VOCAB, true};
static const pn_plan logits_plan = {.buffers = &logits_buffer, .n_buffers = 1};
static const pn_view logits_view = {0, 0, FAKE_VOCAB};
static pn_backend *oracle;
static pn_workspace *oracle_logits;
static bool reserve_sample(pn_backend *b, int n_vocab, int max_rows, pn_error *e) {
  (void)b;
  if (!oracle) oracle = open_test_backend("ref", 1, NULL, NULL, e);
  if (oracle && !oracle_logits)
    oracle_logits = oracle->ops->workspace_open(oracle, &logits_plan, 0, MAX_CHOSEN, e);
  return oracle_logits && oracle->ops->sample_reserve(oracle, n_vocab, max_rows, e);
}
static bool choose(const workspace *w, const pn_sample *how, int n, pn_choice *out, pn_error *e) {
  oracle->ops->write(oracle, oracle_logits, logits_view, 0, n, w->logits[0]);
  return oracle->ops->sample(oracle, oracle_logits, logits_view, how, n, out, e);
}
static bool sample(pn_backend *b, pn_workspace *ws, pn_view logits, const pn_sample *how, int n,
                   pn_choice *out, pn_error *e) {
  (void)b, (void)logits;
  must(!FAKE_ASYNCHRONOUS, "choices are waited for");
  return choose((const workspace *)ws, how, n, out, e);
}
static bool sample_submit(pn_backend *b, pn_workspace *ws, pn_view logits, const pn_sample *how, int n,
                          pn_error *e) {
  (void)b, (void)logits, (void)e;
  workspace *w = (workspace *)ws;
  must(w->in_flight && !w->computed && w->n_how == 0, "choices of a step that is not in flight");
  must(n >= 1 && n == w->batch.n_logits, "choices of another number of rows");
  memcpy(w->how_was, how, (size_t)n * sizeof *how);
  w->how = how;
  w->n_how = n;
  return true;
}
static bool collect(pn_backend *b, pn_workspace *ws, pn_choice *out, int n, pn_error *e) {
  (void)b;
  workspace *w = (workspace *)ws, *other = w == streams ? prompts : streams;
  must(w->in_flight || w->computed, "nothing was submitted that could be collected");
  must(n == w->n_how, "another number of choices is collected");
  if (other->in_flight && other->order < w->order) compute_late(other);
  compute_late(w);
  w->in_flight = w->computed = false;
  for (int i = 0; i < n; i++)
    must(w->how[i].position == w->how_was[i].position, "a request for a choice was changed");
  if (!w->ok) return pn_fail(e, w->error.code, "%s", w->error.msg);
  return n == 0 || choose(w, w->how, n, out, e);
}
// What was computed may still be collected.
static bool sync_all(pn_backend *b, pn_error *e) {
  (void)b, (void)e;
  workspace *first = streams->order <= prompts->order ? streams : prompts;
  compute_late(first);
  compute_late(first == streams ? prompts : streams);
  streams->in_flight = prompts->in_flight = false;
  return true;
}
static const pn_backend_ops ops = {.version = PN_BACKEND_VERSION,
                                   .name = "fake",
                                   .asynchronous = FAKE_ASYNCHRONOUS,
                                   .kv_bytes = kv_bytes,
                                   .kv_open = open_kv,
                                   .kv_close = close_kv,
                                   .kv_copy = copy_kv,
                                   .sample_reserve = reserve_sample,
                                   .sample = sample,
                                   .sample_submit = sample_submit,
                                   .collect = collect,
                                   .sync = sync_all,
                                   .kv_discard = discard_kv};
pn_backend fake_backend = {&ops};

void fake_ring(void *bell) {
  fake_bell *b = bell;
  pthread_mutex_lock(&b->lock);
  b->n++;
  pthread_cond_signal(&b->rung);
  pthread_mutex_unlock(&b->lock);
}

void fake_await(fake_bell *b) {
  pthread_mutex_lock(&b->lock);
  while (b->n == 0) pthread_cond_wait(&b->rung, &b->lock);
  b->n = 0;
  pthread_mutex_unlock(&b->lock);
}

void fake_collect(pn_gen *gen, fake_bell *b, fake_answer *out) {
  *out = (fake_answer){0};
  size_t n = 0;
  int done = 0;
  pn_event *ev = &out->last;
  do {
    while (!pn_gen_next(gen, ev)) fake_await(b);
    if (ev->kind == PN_EVENT_TEXT) {
      assert_true(n + ev->n_text < sizeof out->text);
      memcpy(out->text + n, ev->text, ev->n_text);
      n += ev->n_text;
    } else if (ev->kind == PN_EVENT_QUEUED) {
      assert_int_equal(out->n_prefills + (int)n, 0);
      out->n_queued++;
      out->queued_cached = ev->n_cached;
    } else if (ev->kind == PN_EVENT_PREFILL) {
      out->n_prefills++;
      assert_true(ev->n_prompt_done > done);
      done = ev->n_prompt_done;
    }
  } while (ev->kind != PN_EVENT_DONE && ev->kind != PN_EVENT_FAILED);
  pn_event after;
  assert_false(pn_gen_next(gen, &after));
}

pn_request fake_request(const int32_t *tokens, size_t n, int max_tokens, fake_bell *b) {
  return (pn_request){.id = "req_test",
                      .tokens = tokens,
                      .n_tokens = n,
                      .max_tokens = max_tokens,
                      .sampling = {.temperature = 0, .top_p = 1},
                      .notify = b ? fake_ring : NULL,
                      .notify_ctx = b};
}

void fake_ask(pn_engine *g, const pn_request *r, fake_answer *out) {
  fake_bell b = FAKE_BELL;
  pn_request mine = *r;
  mine.notify = fake_ring;
  mine.notify_ctx = &b;
  pn_error e = {0};
  pn_gen *gen = pn_engine_submit(g, &mine, &e);
  if (!gen) fail_msg("%s", e.msg);
  fake_collect(gen, &b, out);
  pn_gen_release(gen);
}

pn_engine *fake_open(const pn_engine_options *o) {
  pn_engine_options mine = *o;
  if (mine.n_ctx == 0) mine.n_ctx = FAKE_CTX;
  pn_error e = {0};
  pn_engine *g = pn_engine_open(NULL, NULL, &fake_backend, &mine, &e);
  if (!g) fail_msg("%s", e.msg);
  return g;
}
