// What the files of this folder share. Everything belongs to the server's thread unless it says otherwise.
#ifndef PN_HTTP_INT_H
#define PN_HTTP_INT_H

#include "base/rng.h"
#include "http/http.h"
#include "http/loop.h"

#include <microhttpd.h>
#include <stdatomic.h>
#include <sys/types.h>

#define HTTP_HEADER_BYTES 16384       // names and values of one request's headers, and its target
#define HTTP_PENDING_BYTES (1u << 20) // of one stream: pulled and not taken by the socket
#define HTTP_NEVER UINT64_MAX
#define HTTP_PROBES 2

typedef enum conn_phase {
  CONN_HEADERS, // from accept, or from a later request's first line, until the headers are complete
  CONN_BODY,
  CONN_WAITING, // the reply has not decided its status; suspended
  CONN_ANSWER,
  CONN_IDLE, // between two requests
} conn_phase;

// Who asks, as the headers say. Text that came from the client is cut to its place and printable.
typedef struct caller {
  const char *key_name; // the server's; NULL: no key was asked for
  char session[65], agent[65];
  char trace_id[33], parent_id[17]; // of a valid traceparent; "" otherwise
  int n_retries;
} caller;

// One connection and the request that it carries. Lives in the server's table and is used again, never freed
// before the server: a wake-up that comes late finds it still there.
typedef struct conn {
  pn_http *h;
  uint32_t index, generation; // together the key in the loop; generation counts the connections of this place
  struct MHD_Connection *mhd; // NULL: the place is free
  int fd;
  conn_phase phase;
  uint64_t deadline_us;  // of the phase; of the reply while suspended
  uint64_t eof_check_us; // when to see whether the library has noticed eof; HTTP_NEVER: no need
  bool eof;              // the client sends no more
  bool gone;             // given up: the library is to close it
  bool suspended;

  // The request; cleared by conn_request_end.
  bool begun, in_request; // headers seen; first line seen
  const char *refusal;    // the body is thrown away and the request then refused with this and refuse_status
  int refuse_status;
  bool unread_body;    // answered before the body was read
  const char *end_why; // for the log, when it doesn't end well
  uint64_t body_us;    // when the headers were complete
  char id[32];
  uint64_t client; // who asks, for taking turns
  char *method, *path;
  char *query; // what follows '?' in the first line; NULL: nothing
  caller caller;
  const char *cors_origin; // what the answer's Access-Control-Allow-Origin says; NULL: it has none
  char *preflight;         // of an allowed preflight: the header names that it asked for; NULL: it is none
  bool private_network;    // the preflight asks for that
  pn_reply_facts facts;    // of a reply that is freed already
  char model[65];          // of the facts
  pn_buf body;
  uint64_t n_body; // bytes that came, kept or not
  pn_reply *reply;
  bool pulled_all;
  int status;
  pn_buf out; // pulled, [out_at, out.n) not yet taken by the library
  size_t out_at;
  char tail[2]; // last two bytes taken: "\n\n" between two frames
  int n_probes; // still to be sent to a client that half-closed
  uint64_t started_us, n_sent;

  atomic_bool woken; // in the list of wake-ups; any thread
  struct conn *next_woken;
} conn;

// A socket that the library closed while the client may still be sending: its input is thrown away for a
// moment, so that the answer is not lost to a reset.
typedef struct late_input {
  int fd; // -1: free
  uint64_t deadline_us;
} late_input;
#define HTTP_LINGERS 64
#define HTTP_LINGER_US 2000000u

struct pn_http {
  pn_api *api;
  loop *loop;
  struct MHD_Daemon *daemon;
  char *host, *unix_path;
  pn_http_key *keys; // texts behind it in one block
  int n_keys;
  char **cors_origins; // NULL at the end; NULL: none
  int port, listen_fd; // listen_fd -1: the daemon owns it or it is closed
  dev_t unix_dev;      // which file we made at unix_path
  ino_t unix_ino;
  bool check_host; // bound to a loopback address
  bool tls;
  size_t max_body_bytes;
  uint64_t body_budget_bytes, body_bytes; // of all unfinished bodies together
  uint64_t drain_us, header_us, body_us, idle_us, stall_us;
  pn_rng rng;

  conn **conns; // n_conns places made, room for max_conns
  uint32_t n_conns, max_conns;
  int n_requests; // between first line and end
  late_input lingers[HTTP_LINGERS];
  uint64_t next_deadline_us; // not later than the earliest of all deadlines
  bool draining;
  bool resumed;     // since the daemon last ran: it doesn't notice by itself
  bool closed_some; // since the last wait: the daemon looks at its limit only when it runs again
  uint64_t drain_until_us;
  pn_error daemon_error; // the library's last message while it starts

  _Atomic(conn *) woken; // any thread pushes, ours takes all
  atomic_bool asleep;    // we may be waiting and look at `woken` only when the loop is woken
  atomic_int stops;      // any thread, signal handlers
};

// listen.c: a bound, listening, non-blocking socket, or -1. Sets h->port, check_host, unix_dev and unix_ino.
int listen_open(pn_http *h, int port, pn_error *e);
void listen_unlink(pn_http *h); // remove the unix socket if it is still ours

// framing.c: what the headers of a request say, and whether they may be believed.
typedef struct framing {
  bool has_body, chunked;
  uint64_t content_length;
  bool key_ok;
  caller caller;
  uint64_t session;             // hash of the session's name; 0: none was given
  pn_str origin, asked_headers; // of a web page; of a preflight. {NULL, 0}: not given. As long as the request
  bool preflight;               // OPTIONS with Access-Control-Request-Method
  bool same_origin, asks_private_network;
} framing;
// 0, or the status to refuse with and *why.
int framing_check(const pn_http *h, struct MHD_Connection *mc, const char *method, const char *target,
                  const char *version, framing *f, const char **why);
bool framing_is_local_host(pn_str host);                    // a Host value: loopback name or IP literal
bool framing_key_equal(const char *expected, pn_str given); // time depends on the lengths only
pn_str framing_path(pn_str target);                         // absolute-form: without scheme and authority

bool framing_is_token(pn_str s); // RFC 9110, 5.6.2

// origin.c: web pages of other origins. What the answer allows to the page: a configured origin, "*", or
// NULL.
const char *origin_allowed(const pn_http *h, const framing *f);
// Whether this is a web page that may not use the server: one that is neither allowed nor the server's own.
bool origin_is_foreign(const pn_http *h, const framing *f);
bool origin_add_headers(const conn *c, struct MHD_Response *r);

// conn.c
conn *conn_open(pn_http *h, struct MHD_Connection *mc); // NULL: no place or no memory
void conn_close(conn *c);                               // the library is about to close the descriptor
conn *conn_by_key(pn_http *h, uint64_t key);
uint64_t conn_client(const conn *c); // who asks, when the connection is all that is known
void conn_set_deadline(conn *c, uint64_t at_us);
void conn_request_begin(conn *c);
void conn_request_end(conn *c, bool completed);
void conn_suspend(conn *c, uint64_t until_us);
void conn_resume(conn *c);
// Give up: frees the reply and makes the library close the connection. why is static, for the log.
void conn_abandon(conn *c, const char *why);
void conn_on_event(conn *c, const loop_event *ev);
uint64_t conn_due_us(const conn *c); // when conn_on_due has something to do
void conn_on_due(conn *c, uint64_t now);
void conn_wake(void *conn_ptr); // any thread
void conn_take_wakes(pn_http *h);
void conn_end(
    conn *c); // the server ends: the reply becomes an error and goes out, an incomplete request is dropped

// answer.c
// Pull what there is. False when the reply failed or too much is pending: the connection is abandoned then.
void answer_advance(conn *c); // woken, or the reply's deadline passed, while suspended
enum MHD_Result answer_queue(conn *c);
enum MHD_Result answer_or_wait(conn *c); // queue when ready, else suspend

// request.c: the library's callbacks.
enum MHD_Result request_on_call(void *h, struct MHD_Connection *mc, const char *url, const char *method,
                                const char *version, const char *upload, size_t *n_upload, void **ctx);
void *request_on_line(void *h, const char *uri, struct MHD_Connection *mc);
void request_on_completed(void *h, struct MHD_Connection *mc, void **ctx,
                          enum MHD_RequestTerminationCode why);
void request_on_connection(void *h, struct MHD_Connection *mc, void **socket_ctx,
                           enum MHD_ConnectionNotificationCode what);
size_t request_on_unescape(void *h, struct MHD_Connection *mc, char *s);

#endif
