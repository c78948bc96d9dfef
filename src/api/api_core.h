// What the handlers of the API share.
#ifndef PN_API_CORE_H
#define PN_API_CORE_H

#include "api/api.h"
#include "api/api_counts.h"
#include "api/api_reply.h"
#include "api/live.h"
#include "api/metrics_page.h"
#include "api/speech.h"

#include <stdatomic.h>

struct pn_api {
  pn_api_options o;
  atomic_bool draining;
  api_counts *counts;            // NULL: nothing is counted
  metrics_page *metrics_page;    // the same
  struct api_sessions *sessions; // the same
  struct kept *kept;             // tokens of answers
  struct kept_calls *kept_calls; // arguments of calls
  live_table *live;              // generations that a resend may join; the HTTP thread's
  struct api_rate *rate;         // NULL: no limit
  speech speech;                 // what the model speaks
  struct guides *guides;         // of answers
  struct batches *batches;       // NULL: there is no data folder
  pn_buf openapi;                // the document, once it was asked for; the HTTP thread's
  uint64_t (*now_us)(void);      // pn_now_us; tests put a clock of theirs here
  uint64_t (*wall_ms)(void);     // pn_wall_ms; the same
};

#define API_NO_SUCH_PATH "Not found: this server has no such path"

// `tail` is what stands in the request's path for the "*" of its route, percent-escapes as sent.
typedef pn_reply *(*api_handler)(pn_api *a, const pn_api_request *r, pn_str tail);

// Whether a request may name this model: any name, or with strict_model the model's own and its aliases.
bool model_served(const pn_api *a, pn_str name);

pn_reply *messages_create(pn_api *a, const pn_api_request *r, pn_str tail);
pn_reply *messages_count(pn_api *a, const pn_api_request *r, pn_str tail);
pn_reply *batches_create(pn_api *a, const pn_api_request *r, pn_str tail);
pn_reply *batches_list(pn_api *a, const pn_api_request *r, pn_str tail);
pn_reply *batches_get(pn_api *a, const pn_api_request *r, pn_str tail);
pn_reply *batches_delete(pn_api *a, const pn_api_request *r, pn_str tail);
pn_reply *batches_cancel(pn_api *a, const pn_api_request *r, pn_str tail);
pn_reply *batches_results(pn_api *a, const pn_api_request *r, pn_str tail);
pn_reply *openai_chat(pn_api *a, const pn_api_request *r, pn_str tail);
pn_reply *openai_completion(pn_api *a, const pn_api_request *r, pn_str tail);
pn_reply *openai_embedding(pn_api *a, const pn_api_request *r, pn_str tail);
pn_reply *openai_tokenize(pn_api *a, const pn_api_request *r, pn_str tail);
pn_reply *openai_detokenize(pn_api *a, const pn_api_request *r, pn_str tail);
pn_reply *about_health(pn_api *a, const pn_api_request *r, pn_str tail);
pn_reply *about_hello(pn_api *a, const pn_api_request *r, pn_str tail);
pn_reply *models_list(pn_api *a, const pn_api_request *r, pn_str tail);
pn_reply *about_metrics(pn_api *a, const pn_api_request *r, pn_str tail);
pn_reply *models_get(pn_api *a, const pn_api_request *r, pn_str tail);

#endif
