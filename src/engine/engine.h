// The engine: one thread that owns a model and its KV cache and generates for all requests. Other threads
// hand it requests and read their outboxes; nothing else is shared.
#ifndef PN_ENGINE_H
#define PN_ENGINE_H

#include "base/error.h"
#include "base/metrics.h"
#include "base/str.h"
#include "grammar/grammar.h"
#include "model/model.h"
#include "tokenizer/tokenizer.h"

#include <stdint.h>

typedef struct pn_engine pn_engine;
typedef struct pn_gen pn_gen; // one generation, shared by its submitter and the engine

typedef struct pn_engine_options {
  // tokens a sequence may have, prompt and answer; <= PN_MODEL_STRETCH times the model's max_positions
  int n_ctx;
  int64_t
      kv_tokens;    // tokens that the KV pool holds, of running sequences and cached prefixes; at least n_ctx
  int max_running;  // sequences computed at the same time; 0: 1
  int max_queue;    // requests that may wait behind them; one more is PN_ERR_BUSY
  int chunk_tokens; // prompt tokens a step at most; 0: default
  float prefill_share; // of a step's time that prompts may take while others decode, in (0, 1); 0: default
  pn_kv_type kv_type;
  // Guess the next tokens of streams from what was said before, and compute several in a step where that
  // pays. Answers are the same with and without.
  bool speculate;
  int cache_idle_s; // after so long without a request the prefix cache is given up, and its memory; 0: never
  pn_metrics *metrics; // where to count; NULL: nowhere. Must outlive the engine
} pn_engine_options;

// How to choose the next token. temperature 0 is greedy: the largest logit, the lowest id among equals.
typedef struct pn_sampling {
  float temperature; // >= 0
  float top_p;       // (0, 1]; 1: off
  float min_p;       // [0, 1); 0: off: tokens less likely than min_p times the most likely are dropped
  int top_k;         // 0: off
  uint64_t seed;     // the same seed, prompt and settings give the same answer
} pn_sampling;

typedef struct pn_request {
  const char *id;        // request id for logs; copied
  const int32_t *tokens; // the prompt, at least one token; copied
  size_t n_tokens;
  int max_tokens; // >= 1
  pn_sampling sampling;
  const pn_str *stops; // stop strings, not empty; copied
  size_t n_stops;
  // Numbers of the first tokens that other prompts may begin with too (borders of messages), ascending;
  // copied. Where the model keeps recurrent states they are kept there.
  const int32_t *marks;
  size_t n_marks;
  pn_guide *guide; // what the answer may be; a reference is taken. NULL: anything
  // Control tokens stand in the text, as dialect.h says; stop strings count only where the guide has text.
  bool raw;
  bool ignore_end;     // go on after end-of-turn tokens (bench)
  bool background;     // computed only while no other request runs or waits
  bool logprobs;       // tell the log probability of every token, and of the likeliest ones at its place
  int n_top_logprobs;  // so many, 0 to PN_TOP_LOGPROBS
  uint64_t client;     // who asks: waiting requests are taken from the clients in turn
  uint64_t timeout_us; // from submit to the last token; over: the request fails with PN_ERR_TIMEOUT; 0: none
  // Called on the engine's thread when the outbox has something new; must not block and must not call the
  // engine.
  void (*notify)(void *ctx);
  void *notify_ctx;
} pn_request;

typedef enum pn_stop_reason {
  PN_STOP_END_TURN,
  PN_STOP_MAX_TOKENS,
  PN_STOP_STRING,
  PN_STOP_CONTEXT
} pn_stop_reason;

typedef enum pn_event_kind {
  PN_EVENT_QUEUED,  // first: the engine knows of the request; n_cached is what it would reuse if it began now
  PN_EVENT_PREFILL, // n_prompt_done of the prompt's tokens have been computed
  // token: the next one was chosen, end-of-turn tokens included; only with `logprobs`, before its text
  PN_EVENT_TOKEN,
  // text[0..n_text): whole UTF-8 characters (or marks of raw text), decided (no stop string can still begin
  // in it)
  PN_EVENT_TEXT,
  PN_EVENT_DONE,   // the last event: stop, n_output, times
  PN_EVENT_FAILED, // the last event: error
} pn_event_kind;

typedef pn_choice pn_token_event; // backend.h says what log probabilities it holds

#define PN_EVENT_TEXT_MAX 512
typedef struct pn_event {
  pn_event_kind kind;
  int n_cached; // prompt tokens taken from the prefix cache when the request began
  int n_prompt_done;
  int n_output; // tokens generated so far, end-of-turn token included
  pn_stop_reason stop;
  int stop_index; // PN_STOP_STRING: which of the request's stops
  uint64_t queue_us, prefill_us, decode_us;
  pn_error error;
  size_t n_text;
  union {
    char text[PN_EVENT_TEXT_MAX];
    pn_token_event token;
  };
} pn_event;

// Bytes that an engine with these options takes beside the KV cache: the values of its steps, logits, and for
// each request its tokens, page table and outbox.
uint64_t pn_engine_scratch_bytes(const pn_model *m, const pn_backend *b, const pn_engine_options *o);

// Bytes of the KV cache for such options (n_ctx does not count), in all groups of the model's layers. Never
// less for more kv_tokens; UINT64_MAX: more than can be counted.
uint64_t pn_engine_kv_bytes(const pn_model *m, pn_backend *b, const pn_engine_options *o);

// Starts the thread. The model, tokenizer and backend must outlive the engine.
pn_engine *pn_engine_open(pn_model *m, const pn_tokenizer *t, pn_backend *b, const pn_engine_options *o,
                          pn_error *e);
// Cancels what still runs and joins the thread.
void pn_engine_close(pn_engine *g);

typedef struct pn_engine_info {
  int n_ctx;
  int n_running, n_waiting;
  uint64_t kv_bytes;        // reserved for the KV cache
  uint64_t kv_used_bytes;   // of pages that running sequences hold
  uint64_t kv_cached_bytes; // of pages that only the prefix cache holds
  int retry_after_s;        // when a refused request may find room
  bool failed;              // the device failed; see the log
} pn_engine_info;
void pn_engine_info_of(pn_engine *g, pn_engine_info *out); // any thread

// Any thread. NULL with PN_ERR_BUSY (queue full), PN_ERR_USAGE, or PN_ERR_LIMIT when the prompt does not fit
// the context. A prefix that the cache holds is not computed again. When the KV pool is full, the youngest
// running request gives way: its stream pauses and goes on later with the same bytes.
pn_gen *pn_engine_submit(pn_engine *g, const pn_request *r, pn_error *e);
// The next event; false when there is none yet. Only the submitter's thread. After DONE or FAILED none
// follows.
bool pn_gen_next(pn_gen *gen, pn_event *out);
// The client has gone: stop within one step. Any thread, any number of times. A FAILED event with
// PN_ERR_CANCELLED follows.
void pn_gen_cancel(pn_gen *gen);
// Nobody reads just now: within one step the request gives up its place, and what it computed stays known in
// the prefix cache; nothing of it is lost, and it takes no place in the queue. It goes on after
// pn_gen_resume, with the same bytes as if it had never stopped. Its deadline still counts. Any thread, any
// number of times.
void pn_gen_hold(pn_gen *gen);
void pn_gen_resume(pn_gen *gen);
// The tokens that were generated, end-of-turn token included when there was one. Only the submitter's thread,
// after DONE or FAILED was taken; valid until release.
const int32_t *pn_gen_output(const pn_gen *gen, int *n);
// The submitter is done with it (cancels when still running). After this `notify` is not called any more.
void pn_gen_release(pn_gen *gen);

#endif
