#include "engine/generation.h"

#include "base/clock.h"
#include "base/utf8.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A record of the outbox: this, then the text.
typedef struct record {
  pn_event_kind kind;
  int n_cached, n_prompt_done, n_output;
} record;

// Bytes that the text of a token takes as a rule: an answer of such tokens allocates nothing on its way.
#define TOKEN_TEXT 1024

static bool copy_stops(pn_gen *gen, const pn_request *r) {
  size_t bytes = 0;
  for (size_t i = 0; i < r->n_stops; i++) bytes += r->stops[i].n;
  gen->stops = calloc(r->n_stops + 1, sizeof *gen->stops);
  gen->stop_text = malloc(bytes + 1);
  if (!gen->stops || !gen->stop_text) return false;
  char *at = gen->stop_text;
  for (size_t i = 0; i < r->n_stops; i++) {
    memcpy(at, r->stops[i].p, r->stops[i].n);
    gen->stops[i] = (pn_str){at, r->stops[i].n};
    at += r->stops[i].n;
  }
  gen->n_stops = r->n_stops;
  return true;
}

// The marks stand behind the tokens.
static bool copy_prompt(sequence *seq, const pn_request *r, const generation_room *room) {
  int64_t cap = (int64_t)r->n_tokens + r->max_tokens;
  seq->cap_tokens = cap < room->n_ctx ? (int)cap : room->n_ctx;
  seq->tokens = malloc(((size_t)seq->cap_tokens + r->n_marks) * sizeof *seq->tokens);
  if (!seq->tokens || !pn_kv_table_init(&seq->table, room->n_windows, seq->cap_tokens, NULL)) return false;
  memcpy(seq->tokens, r->tokens, r->n_tokens * sizeof *seq->tokens);
  int32_t *marks = seq->tokens + seq->cap_tokens;
  if (r->n_marks) memcpy(marks, r->marks, r->n_marks * sizeof *marks);
  seq->marks = marks;
  seq->n_marks = (int)r->n_marks;
  seq->n_prompt = seq->n_tokens = (int)r->n_tokens;
  seq->max_tokens = r->max_tokens;
  seq->client = r->client;
  seq->background = r->background;
  return true;
}

static bool reserve_text(pn_gen *gen) {
  size_t longest = 0;
  for (size_t i = 0; i < gen->n_stops; i++)
    if (gen->stops[i].n > longest) longest = gen->stops[i].n;
  return pn_buf_reserve(&gen->piece, TOKEN_TEXT) &&
         (gen->n_stops == 0 || pn_buf_reserve(&gen->stop.held, longest + TOKEN_TEXT)) &&
         pn_buf_reserve(&gen->text, longest + TOKEN_TEXT);
}

pn_gen *generation_new(const pn_request *r, const pn_tokenizer *t, const generation_room *room,
                       generation_bell bell, pn_error *e) {
  pn_gen *gen = calloc(1, sizeof *gen);
  if (!gen) return pn_fail(e, PN_ERR_NOMEM, "out of memory for a request"), NULL;
  atomic_init(&gen->refs, 2);
  pthread_mutex_init(&gen->notify_lock, NULL);
  snprintf(gen->id, sizeof gen->id, "%s", r->id ? r->id : "");
  gen->outbox = pn_spsc_new(GENERATION_OUTBOX_BYTES);
  if (r->guide) gen->matcher = pn_matcher_new(r->guide, NULL);
  if (r->guide) gen->scout = pn_matcher_new(r->guide, NULL);
  if (!gen->outbox || !copy_prompt(&gen->seq, r, room) || !copy_stops(gen, r) || !reserve_text(gen) ||
      (r->guide && !(gen->matcher && gen->scout))) {
    pn_fail(e, PN_ERR_NOMEM, "out of memory for a request of %zu tokens", r->n_tokens);
    atomic_store(&gen->refs, 1);
    generation_unref(gen);
    return NULL;
  }
  gen->sampling = r->sampling;
  gen->ignore_end = r->ignore_end;
  gen->raw = r->raw;
  gen->notify = r->notify;
  gen->notify_ctx = r->notify_ctx;
  gen->logprobs = r->logprobs;
  gen->n_top_logprobs = r->n_top_logprobs;
  gen->n_cancels = bell.n_cancels;
  gen->inbox = bell.inbox;
  gen->detok.t = t;
  gen->stop.stops = gen->stops;
  gen->stop.n_stops = gen->n_stops;
  gen->submit_us = pn_now_us();
  gen->timeout_us = r->timeout_us;
  bool limited = r->timeout_us > 0 && r->timeout_us < UINT64_MAX - gen->submit_us;
  gen->deadline_us = limited ? gen->submit_us + r->timeout_us : UINT64_MAX;
  return gen;
}

pn_gen *generation_of(sequence *seq) { return (pn_gen *)((char *)seq - offsetof(pn_gen, seq)); }

void generation_unref(pn_gen *gen) {
  if (atomic_fetch_sub(&gen->refs, 1) != 1) return;
  pthread_mutex_destroy(&gen->notify_lock);
  pn_spsc_free(gen->outbox);
  stop_fini(&gen->stop);
  pn_matcher_free(gen->matcher); // of one that the engine never saw
  pn_matcher_free(gen->scout);
  pn_buf_fini(&gen->piece);
  pn_buf_fini(&gen->text);
  free(gen->stop_text);
  free(gen->stops);
  free(gen->seq.tokens);
  pn_kv_table_fini(&gen->seq.table);
  free(gen);
}

static void tell(pn_gen *gen) {
  gen->untold = false;
  pthread_mutex_lock(&gen->notify_lock);
  if (gen->notify) gen->notify(gen->notify_ctx);
  pthread_mutex_unlock(&gen->notify_lock);
}

void generation_tell(pn_gen *gen) {
  if (gen->untold) tell(gen);
}

static bool post(pn_gen *gen, pn_event_kind kind, int n_cached, pn_str text) {
  char bytes[sizeof(record) + PN_EVENT_TEXT_MAX];
  record head = {kind, n_cached, gen->n_told, gen->n_said};
  memcpy(bytes, &head, sizeof head);
  if (text.n) memcpy(bytes + sizeof head, text.p, text.n);
  if (!pn_spsc_push(gen->outbox, bytes, sizeof head + text.n)) return false;
  return gen->untold = true;
}

void generation_queued(pn_gen *gen, int n_cached) { post(gen, PN_EVENT_QUEUED, n_cached, (pn_str){0}); }

void generation_prefilled(pn_gen *gen) {
  int done = gen->seq.n_computed < gen->seq.n_prompt ? gen->seq.n_computed : gen->seq.n_prompt;
  if (done <= gen->n_told) return; // it computes again what it had before a pause
  gen->n_told = done;
  post(gen, PN_EVENT_PREFILL, gen->seq.n_cached, (pn_str){0});
}

// Post gen->text in pieces of whole characters and clear it.
static void post_text(pn_gen *gen) {
  pn_str rest = pn_buf_view(&gen->text);
  while (rest.n) {
    pn_str part = {rest.p, rest.n < PN_EVENT_TEXT_MAX ? rest.n : PN_EVENT_TEXT_MAX};
    if (part.n < rest.n) part.n = pn_utf8_complete(part);
    if (!post(gen, PN_EVENT_TEXT, gen->seq.n_cached, part)) gen->slow_reader = true;
    rest = (pn_str){rest.p + part.n, rest.n - part.n};
  }
  pn_buf_clear(&gen->text);
}

int generation_allowed(pn_gen *gen) {
  int n = 0;
  if (!gen->matcher) return gen->seq.n_draft;
  if (!pn_matcher_follow(gen->scout, gen->matcher)) return 0;
  while (n < gen->seq.n_draft && pn_matcher_take(gen->scout, gen->seq.draft[n])) n++;
  return n;
}

bool generation_mask(pn_gen *gen, int ahead, pn_mask *mask) {
  *mask = (pn_mask){0};
  if (!gen->matcher) return true;
  if (ahead == 0) return pn_matcher_mask(gen->matcher, mask);
  return (ahead > 1 || pn_matcher_follow(gen->scout, gen->matcher)) &&
         pn_matcher_take(gen->scout, gen->seq.draft[ahead - 1]) && pn_matcher_mask(gen->scout, mask);
}

int generation_forced(pn_gen *gen, int32_t *ids, int max) {
  // Log probabilities are wanted of every token, so the model has to say each.
  return gen->matcher && !gen->logprobs ? pn_matcher_forced(gen->matcher, ids, max) : 0;
}

bool generation_over(const pn_gen *gen) { return gen->matcher && pn_matcher_over(gen->matcher); }

// The text of a token, or its mark.
static void spell(pn_gen *gen, int32_t id) {
  const pn_tokenizer *t = gen->detok.t;
  pn_buf_clear(&gen->piece);
  if (!gen->raw || !pn_tokenizer_is_control(t, id)) {
    pn_detokenizer_add(&gen->detok, id, &gen->piece);
    return;
  }
  pn_detokenizer_flush(&gen->detok, &gen->piece);
  pn_buf_char(&gen->piece, PN_RAW_BEGIN);
  pn_buf_str(&gen->piece, pn_tokenizer_spelling(t, id));
  pn_buf_char(&gen->piece, PN_RAW_END);
}

// Its text to gen->text, as far as it is decided. Stop strings are looked for in what people read.
static int put_text(pn_gen *gen, bool in_text) {
  if (in_text) return stop_feed(&gen->stop, pn_buf_view(&gen->piece), &gen->text);
  stop_flush(&gen->stop, &gen->text);
  pn_buf_str(&gen->text, pn_buf_view(&gen->piece));
  return -1;
}

void generation_append(pn_gen *gen, int32_t id, bool is_end, const pn_token_event *told, uint64_t now_us) {
  unsaid_token *t = &gen->unsaid[generation_n_output(gen) - gen->n_said];
  t->is_end = is_end;
  t->in_text = !gen->matcher || pn_matcher_in_text(gen->matcher);
  if (gen->matcher && !pn_matcher_take(gen->matcher, id)) gen->off_guide = true;
  t->off_guide = gen->off_guide;
  gen->seq.tokens[gen->seq.n_tokens++] = id;
  gen->has_told = gen->has_told || told;
  if (told) gen->told = *told;
  if (gen->first_us == 0) gen->first_us = now_us;
  gen->last_us = now_us;
}

// One token, the next that is not said. *stop: the stop string that is complete, or -1.
static void say_one(pn_gen *gen, const unsaid_token *t, int *stop) {
  int32_t id = gen->seq.tokens[gen->seq.n_prompt + gen->n_said++];
  const pn_str told = {(const char *)&gen->told, sizeof gen->told};
  if (gen->has_told && !post(gen, PN_EVENT_TOKEN, gen->seq.n_cached, told)) gen->slow_reader = true;
  gen->has_told = false;
  if (t->is_end) return;
  spell(gen, id);
  *stop = put_text(gen, t->in_text);
  post_text(gen);
}

bool generation_say(pn_gen *gen, int *stop) {
  int n = generation_n_output(gen) - gen->n_said;
  *stop = -1;
  for (int i = 0; i < n; i++) {
    say_one(gen, &gen->unsaid[i], stop);
    if (*stop < 0 && !gen->slow_reader) continue;
    gen->off_guide = gen->unsaid[i].off_guide;
    gen->seq.n_tokens = gen->seq.n_prompt + gen->n_said;
    return true;
  }
  return false;
}

static void flush_text(pn_gen *gen, pn_stop_reason *why, int *stop_index) {
  pn_buf_clear(&gen->piece);
  pn_detokenizer_flush(&gen->detok, &gen->piece);
  int stop = stop_feed(&gen->stop, pn_buf_view(&gen->piece), &gen->text);
  if (stop >= 0)
    *why = PN_STOP_STRING, *stop_index = stop;
  else
    stop_flush(&gen->stop, &gen->text);
  post_text(gen);
}

void generation_end(pn_gen *gen, pn_stop_reason why, int stop_index, const pn_error *error, uint64_t now_us) {
  static const pn_error slow = {PN_ERR_LIMIT,
                                "the client reads too slowly: the text that waits for it is over 64 KiB"};
  static const pn_error no_memory = {PN_ERR_NOMEM, "out of memory for the text of an answer"};
  static const pn_error lost = {PN_ERR_INTERNAL, "the answer left its grammar"};
  if (!error && why != PN_STOP_STRING) flush_text(gen, &why, &stop_index);
  if (!error && gen->slow_reader) error = &slow;
  if (!error && gen->off_guide) error = &lost;
  pn_matcher_free(gen->matcher);
  pn_matcher_free(gen->scout);
  gen->matcher = gen->scout = NULL;
  if (!error && (gen->piece.oom || gen->text.oom || gen->stop.held.oom)) error = &no_memory;
  uint64_t start = gen->start_us ? gen->start_us : now_us, first = gen->first_us ? gen->first_us : now_us;
  gen->final = (pn_event){.kind = error ? PN_EVENT_FAILED : PN_EVENT_DONE,
                          .n_cached = gen->seq.n_cached,
                          .n_prompt_done = gen->n_told,
                          .n_output = generation_n_output(gen),
                          .stop = why,
                          .stop_index = stop_index,
                          .queue_us = start - gen->submit_us,
                          .prefill_us = first - start,
                          .decode_us = now_us - first};
  if (error) gen->final.error = *error;
}

void generation_tell_end(pn_gen *gen) {
  pthread_mutex_lock(&gen->notify_lock);
  gen->n_cancels = NULL; // the engine may be gone before the last cancel
  pthread_mutex_unlock(&gen->notify_lock);
  atomic_store_explicit(&gen->ended, true, memory_order_release);
  tell(gen);
}

bool pn_gen_next(pn_gen *gen, pn_event *out) {
  bool ended =
      atomic_load_explicit(&gen->ended, memory_order_acquire); // before the outbox: nothing is posted after
  char bytes[sizeof(record) + PN_EVENT_TEXT_MAX];
  size_t n = pn_spsc_pop(gen->outbox, bytes, sizeof bytes);
  if (n != SIZE_MAX) {
    record head;
    memcpy(&head, bytes, sizeof head);
    *out = (pn_event){.kind = head.kind,
                      .n_cached = head.n_cached,
                      .n_prompt_done = head.n_prompt_done,
                      .n_output = head.n_output};
    memcpy(out->text, bytes + sizeof head, n - sizeof head); // or the token
    if (head.kind == PN_EVENT_TEXT) out->n_text = n - sizeof head;
    return true;
  }
  if (!ended || gen->final_taken) return false;
  gen->final_taken = true;
  *out = gen->final;
  return true;
}

// The engine looks within a step, or now when it sleeps.
static void ring(pn_gen *gen) {
  pthread_mutex_lock(&gen->notify_lock);
  if (gen->n_cancels) {
    atomic_fetch_add(gen->n_cancels, 1);
    pn_mpsc_wake(gen->inbox);
  }
  pthread_mutex_unlock(&gen->notify_lock);
}

void pn_gen_cancel(pn_gen *gen) {
  if (!atomic_exchange(&gen->cancelled, true)) ring(gen);
}

void pn_gen_hold(pn_gen *gen) {
  if (!atomic_exchange(&gen->held, true)) ring(gen);
}

void pn_gen_resume(pn_gen *gen) {
  if (atomic_exchange(&gen->held, false)) ring(gen);
}

const int32_t *pn_gen_output(const pn_gen *gen, int *n) {
  *n = generation_n_output(gen);
  return gen->seq.tokens + gen->seq.n_prompt;
}

void pn_gen_release(pn_gen *gen) {
  pn_gen_cancel(gen);
  pthread_mutex_lock(&gen->notify_lock);
  gen->notify = NULL;
  pthread_mutex_unlock(&gen->notify_lock);
  generation_unref(gen);
}
