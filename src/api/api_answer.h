// A generation as an answer: what all APIs share. How it is written down (Anthropic's or OpenAI's JSON and
// events) is the writer's.
#ifndef PN_API_ANSWER_H
#define PN_API_ANSWER_H

#include "api/api_core.h"
#include "api/live.h"
#include "api/messages_cache.h"

// Silence after which a stream gets a ping. Clients give up after 15 to 20 seconds without one.
#define ANSWER_PING_US 8000000u
// A stream begins with the engine's first word, which says how much of the prompt is cached, but not later
// than this.
#define ANSWER_START_US 300000u

typedef struct answer answer;

// All append to b. A stream is begin, then text and ping in any order, then end or fail; else it is whole or
// fail.
typedef struct answer_writer {
  void (*begin)(answer *w, pn_buf *b);
  void (*news)(answer *w, pn_buf *b); // what the generation has said from w->at on; moves it
  void (*ping)(answer *w, pn_buf *b);
  void (*end)(answer *w, pn_buf *b);
  void (*whole)(answer *w, pn_buf *b);
  void (*fail)(answer *w, pn_buf *b, int status, const char *message);
} answer_writer;

struct answer {
  const answer_writer *writer;
  live *live; // NULL until it is handed over
  live_reader reader;
  uint64_t (*now_us)(void);
  const pn_tokenizer *tokenizer;
  char *request_id;
  pn_str model, *stops; // heap copies
  size_t n_stops;
  bool stream, begun, ended;
  cache_marks marks;
  uint64_t sent_us;             // when the stream last got bytes; before that, when the request was submitted
  size_t at, text_at, token_at; // block, bytes of its text, and tokens, up to which the generation is written
  bool block_open;              // block `at` has begun
  void *extra;                  // the writer's own, from malloc; freed with the answer
};

// What an answer takes from its request. Everything is copied, but `extra`, which it owns from then on.
typedef struct answer_ask {
  const answer_writer *writer;
  pn_str model, *stops;
  size_t n_stops;
  bool stream;
  cache_marks marks;
  void *extra;
} answer_ask;

// The answer to a generation for `ask`, as a reply. Its memory is taken before the engine works, so that
// nothing can fail between. NULL as live_open fails.
pn_reply *answer_open(pn_api *a, const pn_api_request *r, const answer_ask *ask, live_ask *generation,
                      pn_error *e);

// What block `at` has said and is not written yet.
pn_str answer_news(const answer *w);
const char *answer_stop_reason(const live *l); // Anthropic's name, also for the log

#endif
