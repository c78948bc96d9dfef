// Stand-ins for the engine, the tokenizer and the template, chosen at link time. The test plays the engine's
// part.
#ifndef PN_TESTS_FAKE_ROOMS_H
#define PN_TESTS_FAKE_ROOMS_H

#include "engine/engine.h"
#include "template/template.h"
#include "tokenizer/tokenizer.h"

#include <pthread.h>

// What the last submission asked for, and what became of it. One generation at a time.
struct pn_engine {
  int n_ctx, n_running, n_waiting, retry_after_s;
  bool failed;
  pn_error refuse; // code not PN_OK: the next submissions fail so
  pn_gen *gen;     // under way, NULL when released
  int n_submitted, n_cancelled, n_released, n_held, n_resumed;
  const int32_t *output; // what the generation's tokens are said to have been
  int n_output;
  int n_tokens, max_tokens;
  bool logprobs;
  int n_top_logprobs;
  uint64_t client, timeout_us;
  bool background;
  pn_sampling sampling;
  pn_buf stops;  // each followed by '|'
  pn_buf tokens; // int32_t each
  int n_cached;  // of the last news
};

// Put an event into the outbox and wake the submitter. Any thread.
void fake_emit(pn_engine *g, const pn_event *ev);
// An event without text: PN_EVENT_QUEUED or PN_EVENT_PREFILL.
void fake_emit_news(pn_engine *g, pn_event_kind kind, int n_cached);
void fake_emit_text(pn_engine *g, const char *text);
// DONE tells the n_cached of the last news.
void fake_emit_done(pn_engine *g, pn_stop_reason stop, int stop_index, int n_output);
void fake_emit_failed(pn_engine *g, pn_code code, const char *msg);
void fake_engine_fini(pn_engine *g);

typedef enum fake_kind {
  FAKE_PLAIN,
  FAKE_SYSTEM_FIRST, // raises when a system message is not the first
  FAKE_NO_SYSTEM,    // raises when there is one
  FAKE_SHOUT,        // writes content in capitals, as text of its own
  FAKE_EMPTY,        // writes nothing
} fake_kind;

// Renders "[role]content[/]" and a newline for each message, "[assistant]" to begin an answer.
struct pn_template {
  fake_kind kind;
};

// One token a byte, its value. 512 + a byte is another token of it; 256 to 511 are control tokens, which
// spell nothing. Keeps the first text, with the user's ranges in {braces}, until it is cleared.
struct pn_tokenizer {
  pn_buf *seen;
  int *n_calls; // NULL: nobody counts
};

#endif
