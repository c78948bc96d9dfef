#include "api/batch_runner.h"

#include "api/batches.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/queue.h"

#include <stdlib.h>
#include <string.h>

#define PORTION 2000        // requests that one transaction settles or sweeps: some milliseconds
#define SHRINK_PAGES 1000   // the same for pages that go back to the system
#define LOOK_US 60000000u   // the clock may be set, so the batches are looked at again this often
#define TAKEN_US 1000000u   // between two looks whether another process still has the batches
#define FAILED_US 10000000u // after an error of the file
#define UNWELL_US 1000000u  // while the engine takes nothing

// A request that runs, or one that the server had no room for and that is tried again.
typedef struct slot {
  int64_t number, place; // place 0: free
  char custom_id[BATCH_CUSTOM_ID_CHARS + 1];
  char request_id[32];
  pn_reply *reply; // NULL: to be begun again at retry_us
  uint64_t retry_us;
} slot;

// A batch that runs.
typedef struct job {
  batch_row row;
  int64_t taken; // place of the latest request that was begun
  bool all_taken;
} job;

// The thread owns everything but what is marked.
struct batch_runner {
  batches *b;
  pthread_t thread;
  pthread_mutex_t lock; // guards `started`
  bool started;
  pn_mpsc *bell;        // any thread: something has come to look at
  atomic_bool stopping; // any thread
  atomic_bool changed;  // any thread: the batches are to be looked at
  uint64_t look_us;     // the same, by time
  batch_store *store;   // NULL: not open yet
  job *jobs;
  size_t n_jobs, cap_jobs, turn; // turn: whose request is begun next
  slot slots[BATCH_SLOTS];
  int n_slots;
};

batch_runner *batch_runner_new(batches *b, pn_error *e) {
  batch_runner *r = calloc(1, sizeof *r);
  pn_mpsc *bell = r ? pn_mpsc_new(1) : NULL;
  if (!bell) {
    free(r);
    pn_fail(e, PN_ERR_NOMEM, "out of memory for running batches");
    return NULL;
  }
  r->b = b;
  r->bell = bell;
  r->n_slots = BATCH_SLOTS;
  pthread_mutex_init(&r->lock, NULL);
  atomic_init(&r->stopping, false);
  atomic_init(&r->changed, true);
  return r;
}

void batch_runner_set_slots(batch_runner *r, int n) { r->n_slots = n; }

void batch_runner_tell(batch_runner *r) {
  atomic_store(&r->changed, true);
  pn_mpsc_wake(r->bell);
}

static void ring(void *ctx) { pn_mpsc_wake(((batch_runner *)ctx)->bell); }

static uint64_t now_us(const batch_runner *r) { return r->b->api->now_us(); }

static int64_t now_ms(const batch_runner *r) { return (int64_t)r->b->api->wall_ms(); }

static void drop(slot *s) {
  if (s->reply) pn_reply_free(s->reply, true);
  *s = (slot){0};
}

static void drop_all(batch_runner *r) {
  for (int i = 0; i < BATCH_SLOTS; i++) drop(&r->slots[i]);
}

static bool is_unwell(const batch_runner *r) {
  pn_engine_info info = {0};
  if (!r->b->api->o.engine) return true;
  pn_engine_info_of(r->b->api->o.engine, &info);
  return info.failed;
}

// A refusal that says something of the server's state and nothing of the request: it is run again.
static bool is_passing(const batch_runner *r, int status) {
  return status == 503 || status == 529 || status == 499 || (status >= 500 && is_unwell(r));
}

// Begin the request, or say when to try again.
static void begin(batch_runner *r, slot *s, const batch_item *item) {
  batches_make_id(s->request_id, "req_", 24);
  const pn_api_request q = {.method = "POST",
                            .path = "/v1/messages",
                            .body = item->params,
                            .request_id = s->request_id,
                            .key_name = item->key,
                            .background = true,
                            .client = pn_hash(&s->number, sizeof s->number, 0x6261746368),
                            .wake = ring,
                            .wake_ctx = r};
  s->reply = messages_create(r->b->api, &q, (pn_str){0});
  s->retry_us = UINT64_MAX;
  if (!s->reply) s->retry_us = now_us(r) + UNWELL_US;
}

static bool retry_later(const batch_runner *r, slot *s) {
  int wait_s = pn_reply_retry_after_s(s->reply);
  s->retry_us = now_us(r) + (uint64_t)(wait_s > 1 ? wait_s : 1) * 1000000;
  pn_reply_free(s->reply, false);
  s->reply = NULL;
  return true;
}

// Take in what a request has come to.
static bool take(batch_runner *r, slot *s, pn_error *e) {
  if (!s->reply || !pn_reply_ready(s->reply)) return true;
  int status = pn_reply_status(s->reply);
  if (is_passing(r, status)) return retry_later(r, s);
  pn_buf body = {0};
  bool done = false;
  bool ok = pn_reply_pull(s->reply, &body, &done);
  if (ok && !done) return pn_buf_fini(&body), pn_fail(e, PN_ERR_INTERNAL, "batch: a reply without an end");
  if (!ok) return pn_buf_fini(&body), retry_later(r, s);
  batch_item result = {.place = s->place,
                       .custom_id = pn_str_of(s->custom_id),
                       .kind = status == 200 ? BATCH_SUCCEEDED : BATCH_ERRORED,
                       .body = pn_buf_view(&body)};
  int64_t n = 0;
  ok = batch_store_put(r->store, &result, &n, e);
  pn_buf_fini(&body);
  if (!ok) return false;
  batches_count_results(r->b, result.kind, n);
  const pn_reply_facts *f = pn_reply_facts_of(s->reply);
  pn_log(PN_LOG_DEBUG, s->request_id, "batch request",
         PN_FIELDS(PN_I("batch", s->number), PN_S("custom_id", s->custom_id), PN_I("status", status),
                   PN_I("input_tokens", f->n_input), PN_I("cached_tokens", f->n_cached),
                   PN_I("output_tokens", f->n_output)));
  pn_reply_free(s->reply, false);
  *s = (slot){0};
  return true;
}

static job *job_of(batch_runner *r, int64_t number) {
  for (size_t i = 0; i < r->n_jobs; i++)
    if (r->jobs[i].row.number == number) return &r->jobs[i];
  return NULL;
}

static bool keep_job(batch_runner *r, const batch_row *row, pn_error *e) {
  if (job_of(r, row->number)) return true;
  if (r->n_jobs == r->cap_jobs) {
    size_t cap = r->cap_jobs ? r->cap_jobs * 2 : 8;
    job *jobs = realloc(r->jobs, cap * sizeof *jobs);
    if (!jobs) return pn_fail(e, PN_ERR_NOMEM, "out of memory for running batches");
    r->jobs = jobs;
    r->cap_jobs = cap;
  }
  r->jobs[r->n_jobs++] = (job){.row = *row, .taken = BATCH_PLACE(row->number, 0)};
  return true;
}

static void forget_job(batch_runner *r, int64_t number) {
  job *j = job_of(r, number);
  if (j) memmove(j, j + 1, (size_t)(&r->jobs[--r->n_jobs] - j) * sizeof *j);
}

static bool finish(batch_runner *r, const batch_row *row, pn_error *e) {
  batch_row b = *row;
  if (!batch_store_end(r->store, &b, now_ms(r), e)) return false;
  forget_job(r, b.number);
  atomic_store(&r->changed, true); // its requests are to be swept
  pn_log(PN_LOG_INFO, NULL, "batch ended",
         PN_FIELDS(PN_S("batch", b.id), PN_I("succeeded", b.n_results[BATCH_SUCCEEDED]),
                   PN_I("errored", b.n_results[BATCH_ERRORED]), PN_I("canceled", b.n_results[BATCH_CANCELED]),
                   PN_I("expired", b.n_results[BATCH_EXPIRED])));
  return true;
}

// End a batch early: what has no result gets this one. In portions, so that others may write between them.
static bool settle(batch_runner *r, const batch_row *row, batch_kind kind, pn_error *e) {
  for (int i = 0; i < BATCH_SLOTS; i++)
    if (r->slots[i].number == row->number) drop(&r->slots[i]);
  for (int64_t from = 1; from <= row->n_requests; from += PORTION) {
    int64_t n = 0;
    if (atomic_load(&r->stopping)) return true;
    if (!batch_store_settle(r->store, row->number, from, from + PORTION - 1, kind, &n, e)) return false;
    batches_count_results(r->b, kind, n);
  }
  return finish(r, row, e);
}

static bool sweep(batch_runner *r, const batch_row *row, pn_error *e) {
  bool all = row->stage == BATCH_DELETED, more = all;
  for (int64_t from = 1; from <= row->n_requests; from += PORTION) {
    if (atomic_load(&r->stopping)) return true;
    if (!batch_store_sweep(r->store, row->number, from, from + PORTION - 1, all, e)) return false;
  }
  if (!batch_store_swept(r->store, row, e)) return false;
  while (more && !atomic_load(&r->stopping))
    if (!batch_store_shrink(r->store, SHRINK_PAGES, &more, e)) return false;
  return true;
}

// Do what the batches want beside running; what is left to run becomes a job.
static bool look(batch_runner *r, pn_error *e) {
  batch_row row = {0};
  int64_t now = now_ms(r), next_ms = LOOK_US / 1000;
  for (bool ok = true;;) {
    if (!batch_store_open_batch(r->store, row.number, &row, e)) return false;
    if (row.number == 0 || atomic_load(&r->stopping)) break;
    if (row.stage != BATCH_RUNNING)
      ok = sweep(r, &row, e);
    else if (row.cancel_ms)
      ok = settle(r, &row, BATCH_CANCELED, e);
    else if (now >= row.expires_ms)
      ok = settle(r, &row, BATCH_EXPIRED, e);
    else
      ok = keep_job(r, &row, e);
    if (!ok) return false;
    if (row.stage == BATCH_RUNNING && row.expires_ms > now && row.expires_ms - now < next_ms)
      next_ms = row.expires_ms - now;
  }
  r->look_us = now_us(r) + (uint64_t)next_ms * 1000;
  return true;
}

typedef struct taking {
  batch_runner *r;
  slot *s;
} taking;

static bool take_item(void *ctx, const batch_item *item) {
  taking *t = ctx;
  t->s->place = item->place;
  size_t n = item->custom_id.n < BATCH_CUSTOM_ID_CHARS ? item->custom_id.n : BATCH_CUSTOM_ID_CHARS;
  memcpy(t->s->custom_id, item->custom_id.p, n);
  t->s->custom_id[n] = '\0';
  begin(t->r, t->s, item);
  return false;
}

// The batches take turns, so that a small one need not wait for a large one's end. *any: there was a request.
static bool begin_next(batch_runner *r, slot *s, bool *any, pn_error *e) {
  *any = false;
  for (size_t k = 0; k < r->n_jobs && !*any; k++) {
    job *j = &r->jobs[r->turn++ % r->n_jobs];
    if (j->all_taken) continue;
    taking t = {r, s};
    s->number = j->row.number;
    if (!batch_store_pending(r->store, j->row.number, j->taken, take_item, &t, any, e)) return false;
    if (*any) j->taken = s->place;
    j->all_taken = !*any || j->taken == BATCH_PLACE(j->row.number, j->row.n_requests);
  }
  if (!*any) *s = (slot){0};
  return true;
}

static bool begin_again(batch_runner *r, slot *s, pn_error *e) {
  bool found = false;
  taking t = {r, s};
  if (!batch_store_pending(r->store, s->number, s->place - 1, take_item, &t, &found, e)) return false;
  if (!found) *s = (slot){0};
  return true;
}

static bool fill(batch_runner *r, pn_error *e) {
  uint64_t now = now_us(r);
  bool any = true;
  for (int i = 0; i < r->n_slots; i++) {
    slot *s = &r->slots[i];
    if (s->place && !s->reply && s->retry_us <= now && !begin_again(r, s, e)) return false;
    if (!s->place && any && !begin_next(r, s, &any, e)) return false;
  }
  return true;
}

static bool is_complete(const batch_runner *r, const job *j) {
  if (!j->all_taken) return false;
  for (int i = 0; i < BATCH_SLOTS; i++)
    if (r->slots[i].number == j->row.number) return false;
  return true;
}

static bool finish_complete(batch_runner *r, pn_error *e) {
  for (size_t i = r->n_jobs; i-- > 0;) {
    batch_row row = r->jobs[i].row;
    if (is_complete(r, &r->jobs[i]) && !finish(r, &row, e)) return false;
  }
  return true;
}

static uint64_t wait_us(const batch_runner *r, bool unwell) {
  uint64_t now = now_us(r), at = r->look_us;
  for (int i = 0; i < r->n_slots; i++)
    if (r->slots[i].place && !r->slots[i].reply && r->slots[i].retry_us < at) at = r->slots[i].retry_us;
  if (unwell && at > now + UNWELL_US) at = now + UNWELL_US;
  return atomic_load(&r->changed) || at <= now ? 0 : at - now;
}

bool batch_runner_round(batch_runner *r, uint64_t *wait, pn_error *e) {
  if (!r->store && !(r->store = batch_store_open(r->b->path, e))) return false;
  for (int i = 0; i < BATCH_SLOTS; i++)
    if (r->slots[i].place && !take(r, &r->slots[i], e)) return false;
  bool changed = atomic_exchange(&r->changed, false);
  if ((changed || now_us(r) >= r->look_us) && !look(r, e)) return false;
  bool unwell = is_unwell(r);
  if (!unwell && !fill(r, e)) return false;
  if (!finish_complete(r, e)) return false;
  // What was answered at once, such as a malformed request, is taken in the next round.
  for (int i = 0; i < r->n_slots; i++)
    if (r->slots[i].reply && pn_reply_ready(r->slots[i].reply)) return *wait = 0, true;
  *wait = wait_us(r, unwell);
  return true;
}

// Everything that was under way is run again from the start.
static void start_over(batch_runner *r) {
  drop_all(r);
  r->n_jobs = 0;
  batch_store_close(r->store);
  r->store = NULL;
  atomic_store(&r->changed, true);
}

static void *run(void *ctx) {
  batch_runner *r = ctx;
  bool told = false;
  while (!atomic_load(&r->stopping)) {
    pn_error e = {0};
    uint64_t wait = 0;
    if (!batches_open(r->b, &e)) {
      wait = e.code == PN_ERR_BUSY ? TAKEN_US : FAILED_US;
      if (!told) pn_log(PN_LOG_WARN, NULL, "batches wait", PN_FIELDS(PN_S("error", e.msg)));
      told = true;
    } else if (!batch_runner_round(r, &wait, &e)) {
      pn_log(PN_LOG_ERROR, NULL, "batches rest after an error", PN_FIELDS(PN_S("error", e.msg)));
      start_over(r);
      wait = FAILED_US;
    }
    if (wait) pn_mpsc_pop(r->bell, wait);
  }
  start_over(r);
  return NULL;
}

bool batch_runner_start(batch_runner *r, pn_error *e) {
  pthread_mutex_lock(&r->lock);
  if (!r->started && !atomic_load(&r->stopping)) r->started = pthread_create(&r->thread, NULL, run, r) == 0;
  bool ok = r->started || atomic_load(&r->stopping);
  pthread_mutex_unlock(&r->lock);
  return ok || pn_fail(e, PN_ERR_NOMEM, "the system gave no thread for running batches");
}

void batch_runner_stop(batch_runner *r) {
  atomic_store(&r->stopping, true);
  pn_mpsc_wake(r->bell);
}

void batch_runner_free(batch_runner *r) {
  if (!r) return;
  batch_runner_stop(r);
  if (r->started) pthread_join(r->thread, NULL);
  start_over(r);
  free(r->jobs);
  pthread_mutex_destroy(&r->lock);
  pn_mpsc_free(r->bell);
  free(r);
}
