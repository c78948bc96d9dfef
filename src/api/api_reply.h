// A reply: bytes that are there at once, or bytes that a source makes as its generation goes on.
#ifndef PN_API_REPLY_H
#define PN_API_REPLY_H

#include "api/api.h"
#include "api/api_counts.h"

// What feeds a reply over time. All functions run on the reply's thread.
typedef struct api_source {
  // Take in what is new and write to r->body; set r->finished with the last bytes and r->ready when the
  // status is known.
  void (*pump)(void *self, pn_reply *r);
  uint64_t (*deadline_us)(const void *self); // see pn_reply_deadline_us
  void (*end)(void *self, pn_reply *r);      // see pn_reply_end; only before r->finished
  void (*free)(void *self, bool client_gone);
} api_source;

struct pn_reply {
  int status, retry_after_s; // 0: clients are told no time
  bool streaming, ready, finished;
  bool
      // the source failed after the status went out: the client must not take what it has for the whole
      broken;
  const char *content_type, *allow; // constant text, or `allow_text`
  char allow_text[64];
  const pn_reply_header *headers; // see pn_reply_headers
  pn_buf body;                    // made and not pulled yet
  const api_source *source;       // NULL: everything is in body
  void *self;                     // owned through source->free
  const char *error_type;         // of the envelope in the body, of which there is one at most; NULL: none
  pn_reply_facts facts;           // a generation's are filled in as they come
  api_counts *counts;             // where to count it at its end, once; NULL: nowhere
  int counted_path;               // see api_counts_reply
};

// A reply that is complete once its body is written. NULL when memory ran out.
pn_reply *api_reply_new(int status, const char *content_type);
// When a client that met this status may come again, as far as the status alone tells; 0: it tells nothing.
int api_reply_retry_after_s(int status);
// The error envelope.
pn_reply *api_reply_error(int status, const char *message, const char *details, const char *request_id);
// The same for OpenAI's clients.
pn_reply *api_reply_openai_error(int status, const char *message);
// The same reply (which may be NULL) with another time to come again; 0: as it is.
pn_reply *api_reply_later(pn_reply *r, int retry_after_s);
// The envelope of *e as envelope_status sees it.
pn_reply *api_reply_fail(const pn_error *e, const char *details, const char *request_id);
// A reply fed by `source`. Owns self also when it returns NULL.
pn_reply *api_reply_from(const api_source *source, void *self, bool streaming);

#endif
