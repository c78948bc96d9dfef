// The HTTP APIs as data: a request's bytes in, a reply out; no sockets here. The only place that maps errors
// to HTTP. Thread: everything of one reply happens on the thread that called, which is the HTTP thread except
// for the requests of message batches; the wake-up comes from the engine's.
#ifndef PN_API_H
#define PN_API_H

#include "base/error.h"
#include "base/str.h"
#include "engine/engine.h"
#include "template/template.h"
#include "tokenizer/tokenizer.h"

typedef struct pn_api pn_api;

// What the API serves. Everything must outlive the api.
typedef struct pn_api_options {
  pn_engine *engine;      // NULL: /health says "starting" and generations are refused
  pn_metrics *metrics;    // what GET /metrics shows and the API counts in; NULL: no such path
  const char *version;    // of the program, for the metrics
  uint64_t weights_bytes; // the same
  const pn_tokenizer *tokenizer;
  const char *dialect;                // in which tools are called; NULL: as the template shows
  pn_str template_text;               // what the chat template was made of; {NULL, 0}: unknown
  const pn_template *chat_template;   // NULL: the model has none, and requests are refused with that
  pn_template_consts template_consts; // now_ms 0: the time of each request
  const char *model_name;             // reported by /health; a request's own model name is echoed in answers
  const char *const *aliases;         // further names of the model, NULL at the end; NULL: none
  bool strict_model;                  // refuse requests that name another model with 404
  const char *backend_name;           // of pn_backend describe
  const char *data_dir;               // where message batches are kept; NULL: there are none
  int requests_per_minute;            // of one API key, for messages and completions; more: 429; 0: no limit
  int resend_wait_s;     // a client that has gone may come back for its answer so long; 0: not at all
  int request_timeout_s; // from a request's arrival to its last token; over: 504; 0: none
} pn_api_options;

pn_api *pn_api_new(const pn_api_options *o, pn_error *e);
void pn_api_free(pn_api *a);
// Any thread. From now on /health says so and new generations are refused with 503 overloaded_error, which
// clients repeat for longer than a 529; what runs goes on.
void pn_api_set_draining(pn_api *a);

// What a chat template does with tools.
typedef enum pn_api_tool_form {
  PN_API_TOOLS_READ,    // it writes them, in a dialect that is known
  PN_API_TOOLS_UNKNOWN, // it knows none: they are told as text
  PN_API_TOOLS_FOREIGN, // it writes calls in a form that can't be read: they are told as text
} pn_api_tool_form;
const char *pn_api_tool_form_name(pn_api_tool_form form); // "read", "none", "foreign"

// What a model is known to do with tools and thinking: its compatibility card. Constant texts.
typedef struct pn_api_card {
  const char *dialect, *dialect_about; // in which it calls tools
  pn_api_tool_form tool_form;
  const char *think_open, *think_close; // NULL: it does not think in marks
  bool template_thinking;               // its template switches thinking on and off
} pn_api_card;
// From o's tokenizer, templates and dialect. PN_ERR_USAGE for a dialect that isn't there.
bool pn_api_card_of(const pn_api_options *o, pn_api_card *out, pn_error *e);

typedef struct pn_api_request {
  const char *method, *path; // path without query, percent-escapes as sent
  pn_str query;              // what follows '?', as sent
  pn_str body;
  const char *request_id;      // "req_..."
  const char *key_name;        // of the API key that was shown; NULL: none was asked for
  const char *session, *agent; // X-Claude-Code-Session-Id and x-claude-code-agent-id; NULL: not given
  int n_retries;               // X-Stainless-Retry-Count: how often the client has sent this request before
  bool background;             // to be generated only while nobody else wants the model
  uint64_t client;             // who asks: waiting requests are taken from the clients in turn
  void (*wake)(void *ctx);     // any thread: the reply has more to pull
  void *wake_ctx;
} pn_api_request;

// A reply under way. status, content_type and streaming are known at once.
typedef struct pn_reply pn_reply;

// Something is due although no request came: a generation that nobody reads is given up. Returns when this
// wants to be called next, monotonic us; UINT64_MAX: not until a request came or ended.
uint64_t pn_api_tick(pn_api *a);

// Never NULL except when memory ran out: errors are replies with the error envelope.
pn_reply *pn_api_call(pn_api *a, const pn_api_request *r);
// An error reply made by the HTTP layer itself (401, 404, 405, 413, ...), in the same envelope. It is counted
// under its path when `a` is given.
pn_reply *pn_api_error_reply(pn_api *a, const char *path, int status, const char *message,
                             const char *request_id);

// A reply without a body, of the HTTP layer itself. It is not counted.
pn_reply *pn_api_empty_reply(int status);

// Whether this path is answered without an API key, when keys are asked for.
bool pn_api_is_open(const char *path);

// Whether status and headers are decided. A generation that doesn't stream decides at its end; everything
// else at once. Takes in what the engine has put out, as pn_reply_pull does: ask after each wake until it is
// true.
bool pn_reply_ready(pn_reply *r);
int pn_reply_status(const pn_reply *r);
const char *pn_reply_content_type(const pn_reply *r);
const char *pn_reply_allow(const pn_reply *r); // value of the Allow header of a 405, else NULL
// Headers of this reply beside those; {NULL} ends them. NULL: none.
typedef struct pn_reply_header {
  const char *name, *value;
} pn_reply_header;
const pn_reply_header *pn_reply_headers(const pn_reply *r);
bool pn_reply_streaming(const pn_reply *r);    // SSE: send what there is as it comes
int pn_reply_retry_after_s(const pn_reply *r); // value of the Retry-After header; 0: none
// What the access log says of a reply beside its status. The texts are the reply's.
typedef struct pn_reply_facts {
  const char *model; // as the request named it; NULL: it named none
  const char
      *stop; // how a generation ended: a stop_reason or an error's name; NULL: it has not, or there was none
  size_t n_input;               // tokens of the prompt; 0: nothing was generated
  int n_cached, n_output;       // tokens
  double ttft_ms, tokens_per_s; // 0: unknown
} pn_reply_facts;
const pn_reply_facts *pn_reply_facts_of(const pn_reply *r);
// Append the bytes that are there now; *done when none will follow. Call at a wake and when the deadline has
// passed. False: it failed, and the connection is to be cut.
bool pn_reply_pull(pn_reply *r, pn_buf *out, bool *done);
// Monotonic us at which pull wants to be called although nothing woke it (for pings), UINT64_MAX: never.
uint64_t pn_reply_deadline_us(const pn_reply *r);
// The server ends before the generation did: it is stopped, and what is left of the reply is an error that
// says so (a stream's last event, or a 503), to be pulled now. A reply that is complete stays as it is.
void pn_reply_end(pn_reply *r);
// The client has gone, or everything was sent. Stops the generation within one step.
void pn_reply_free(pn_reply *r, bool client_gone);

#endif
