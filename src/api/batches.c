// /v1/messages/batches: the handlers, all on the HTTP thread.
#include "api/batches.h"

#include "api/query.h"
#include "base/json.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static pn_reply *refuse(const pn_api_request *r, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static pn_reply *refuse(const pn_api_request *r, int status, const char *fmt, ...) {
  char message[300];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(message, sizeof message, fmt, ap);
  va_end(ap);
  return api_reply_error(status, message, NULL, r->request_id);
}

// An error of the file or its folder, for which no client is at fault.
static pn_reply *fail(const pn_api_request *r, const pn_error *e) {
  pn_log(PN_LOG_ERROR, r->request_id, "batches failed", PN_FIELDS(PN_S("error", e->msg)));
  return api_reply_error(e->code == PN_ERR_NOMEM ? 529 : 500, e->msg, NULL, r->request_id);
}

// NULL when there are batches; else the reply that says why not.
static pn_reply *closed(pn_api *a, const pn_api_request *r) {
  pn_error e = {0};
  if (!a->batches) return refuse(r, 404, "This server keeps no message batches: it has no data folder");
  return batches_open(a->batches, &e) ? NULL : fail(r, &e);
}

// Find the batch that the path names; NULL when *row is it, else the reply.
static pn_reply *find(pn_api *a, const pn_api_request *r, pn_str id, batch_row *row) {
  pn_error e = {0};
  pn_reply *no = closed(a, r);
  if (no) return no;
  if (!batch_store_get(a->batches->store, r->key_name, id, row, &e)) return fail(r, &e);
  if (row->number) return NULL;
  int n = id.n < 80 ? (int)id.n : 80;
  return refuse(r, 404, "message batch: %.*s", n, id.p);
}

static void write_time(pn_buf *b, const char *key, int64_t ms) {
  struct tm t;
  char text[32];
  time_t s = (time_t)(ms / 1000);
  if (!ms || !gmtime_r(&s, &t) || !strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &t))
    pn_buf_printf(b, ",\"%s\":null", key);
  else
    pn_buf_printf(b, ",\"%s\":\"%s.%03dZ\"", key, text, (int)(ms % 1000));
}

// The URL of the results is a path: a server can't know by which name and through which proxies it was
// reached, and clients resolve it against their base URL.
static void write_batch(pn_buf *b, const batch_row *row) {
  bool ended = row->stage != BATCH_RUNNING;
  const char *status = ended ? "ended" : row->cancel_ms ? "canceling" : "in_progress";
  pn_buf_printf(b, "{\"id\":\"%s\",\"type\":\"message_batch\",\"processing_status\":\"%s\"", row->id, status);
  pn_buf_printf(b, ",\"request_counts\":{\"processing\":%lld", ended ? 0LL : (long long)row->n_requests);
  for (int i = 0; i < BATCH_N_KINDS; i++)
    pn_buf_printf(b, ",\"%s\":%lld", batch_kind_names[i], (long long)row->n_results[i]);
  pn_buf_char(b, '}');
  write_time(b, "ended_at", row->ended_ms);
  write_time(b, "created_at", row->created_ms);
  write_time(b, "expires_at", row->expires_ms);
  write_time(b, "archived_at", 0);
  write_time(b, "cancel_initiated_at", row->cancel_ms);
  if (ended)
    pn_buf_printf(b, ",\"results_url\":\"/v1/messages/batches/%s/results\"}", row->id);
  else
    pn_buf_z(b, ",\"results_url\":null}");
}

static pn_reply *show(const batch_row *row) {
  pn_reply *reply = api_reply_new(200, "application/json");
  if (reply) write_batch(&reply->body, row);
  return reply;
}

typedef struct writer {
  const pn_json *requests;
  pn_buf params; // of the request that is being stored
} writer;

static bool next_request(void *ctx, int64_t n, batch_item *out, pn_error *e) {
  writer *w = ctx;
  const pn_json *one = pn_json_at(w->requests, (size_t)n);
  pn_buf_clear(&w->params);
  pn_json_write(&w->params, pn_json_get(one, "params"));
  if (w->params.oom) return pn_fail(e, PN_ERR_NOMEM, "out of memory for the requests of a batch");
  out->custom_id = pn_json_str(pn_json_get(one, "custom_id"));
  out->params = pn_buf_view(&w->params);
  return true;
}

static pn_reply *create(pn_api *a, const pn_api_request *r, const pn_json *requests) {
  batches *b = a->batches;
  batch_row row = {.created_ms = (int64_t)a->wall_ms(), .n_requests = (int64_t)pn_json_len(requests)};
  row.expires_ms = row.created_ms + BATCH_LIFE_MS;
  batches_make_id(row.id, "msgbatch_", 24);
  writer w = {.requests = requests};
  pn_error e = {0};
  // Counted first: the runner may have a result before this function ends.
  batches_count_pending(b, row.n_requests);
  bool ok = batch_store_create(b->store, &row, r->key_name, next_request, &w, &row.number, &e);
  pn_buf_fini(&w.params);
  if (!ok) {
    batches_count_pending(b, -row.n_requests);
    return fail(r, &e);
  }
  batch_runner_tell(b->runner);
  pn_log(PN_LOG_INFO, r->request_id, "batch created",
         PN_FIELDS(PN_S("batch", row.id), PN_I("requests", row.n_requests)));
  return show(&row);
}

pn_reply *batches_create(pn_api *a, const pn_api_request *r, pn_str tail) {
  (void)tail;
  if (atomic_load(&a->draining))
    return refuse(r, 503, "the server is shutting down and takes no new requests");
  pn_reply *reply = closed(a, r);
  if (reply) return reply;
  pn_error e = {0};
  pn_json *body = pn_json_parse(r->body, &e);
  if (!body) pn_fail_in(&e, "request body");
  if (body && shape_check(&batches_create_shape, body, NULL, &e) && batches_check(body, &e))
    reply = create(a, r, pn_json_get(body, "requests"));
  else
    reply = api_reply_fail(&e, NULL, r->request_id);
  pn_json_free(body);
  return reply;
}

pn_reply *batches_get(pn_api *a, const pn_api_request *r, pn_str id) {
  batch_row row;
  pn_reply *no = find(a, r, id, &row);
  return no ? no : show(&row);
}

pn_reply *batches_cancel(pn_api *a, const pn_api_request *r, pn_str id) {
  batch_row row;
  pn_error e = {0};
  pn_reply *no = find(a, r, id, &row);
  if (no) return no;
  if (row.stage != BATCH_RUNNING)
    return refuse(r, 400, "%s has ended; only a batch that is in progress can be canceled", row.id);
  if (!batch_store_cancel(a->batches->store, row.number, (int64_t)a->wall_ms(), &e)) return fail(r, &e);
  batch_runner_tell(a->batches->runner);
  return batches_get(a, r, id);
}

pn_reply *batches_delete(pn_api *a, const pn_api_request *r, pn_str id) {
  batch_row row;
  pn_error e = {0};
  pn_reply *no = find(a, r, id, &row);
  if (no) return no;
  if (row.stage == BATCH_RUNNING)
    return refuse(r, 400, "%s is %s; only a batch that has ended can be deleted: cancel it first", row.id,
                  row.cancel_ms ? "being canceled" : "in progress");
  if (!batch_store_delete(a->batches->store, row.number, &e)) return fail(r, &e);
  batch_runner_tell(a->batches->runner);
  pn_reply *reply = api_reply_new(200, "application/json");
  if (reply) pn_buf_printf(&reply->body, "{\"id\":\"%s\",\"type\":\"message_batch_deleted\"}", row.id);
  return reply;
}

pn_reply *batches_results(pn_api *a, const pn_api_request *r, pn_str id) {
  batch_row row;
  pn_reply *no = find(a, r, id, &row);
  if (no) return no;
  if (row.stage == BATCH_RUNNING)
    return refuse(r, 404, "%s has no results yet: they are there when its processing_status is \"ended\"",
                  row.id);
  return batches_results_reply(a->batches, &row, r);
}

// What a list is asked for.
typedef struct wish {
  int limit;
  int64_t above, below; // numbers
  bool from_above;
} wish;

// The number of the batch that `name` names in the query. *failed: the file did.
static bool read_cursor(pn_api *a, const pn_api_request *r, const char *name, int64_t *number, bool *failed,
                        pn_error *e) {
  pn_buf id = {0};
  batch_row row = {0};
  bool given = query_get(r->query, name, &id);
  *failed = given && !batch_store_get(a->batches->store, r->key_name, pn_buf_view(&id), &row, e);
  bool ok = !given || row.number != 0 || *failed;
  if (!ok) pn_fail(e, PN_ERR_USAGE, "%s: there is no message batch %.80s", name, pn_buf_cstr(&id));
  if (row.number) *number = row.number;
  pn_buf_fini(&id);
  return ok && !*failed;
}

static bool read_wish(pn_api *a, const pn_api_request *r, wish *w, bool *failed, pn_error *e) {
  *w = (wish){.above = 0, .below = INT64_MAX};
  *failed = false;
  if (!query_limit(r->query, &w->limit, e) || !read_cursor(a, r, "after_id", &w->below, failed, e) ||
      !read_cursor(a, r, "before_id", &w->above, failed, e))
    return false;
  w->from_above = w->above != 0;
  return !w->from_above || w->below == INT64_MAX ||
         pn_fail(e, PN_ERR_USAGE, "before_id: only one of after_id and before_id can be given");
}

static void write_id(pn_buf *b, const char *key, const batch_row *row) {
  if (row)
    pn_buf_printf(b, ",\"%s\":\"%s\"", key, row->id);
  else
    pn_buf_printf(b, ",\"%s\":null", key);
}

// One more than asked for was read, to know whether there is one.
static pn_reply *write_list(const batch_row *rows, int n, const wish *w) {
  pn_reply *reply = api_reply_new(200, "application/json");
  if (!reply) return NULL;
  bool more = n > w->limit;
  if (more) n--, rows += w->from_above;
  pn_buf_z(&reply->body, "{\"data\":[");
  for (int i = 0; i < n; i++) {
    if (i) pn_buf_char(&reply->body, ',');
    write_batch(&reply->body, &rows[i]);
  }
  pn_buf_printf(&reply->body, "],\"has_more\":%s", more ? "true" : "false");
  write_id(&reply->body, "first_id", n ? &rows[0] : NULL);
  write_id(&reply->body, "last_id", n ? &rows[n - 1] : NULL);
  pn_buf_char(&reply->body, '}');
  return reply;
}

pn_reply *batches_list(pn_api *a, const pn_api_request *r, pn_str tail) {
  (void)tail;
  pn_error e = {0};
  wish w;
  bool failed;
  int n = 0;
  pn_reply *no = closed(a, r);
  if (no) return no;
  if (!read_wish(a, r, &w, &failed, &e))
    return failed ? fail(r, &e) : api_reply_fail(&e, NULL, r->request_id);
  batch_row *rows = calloc((size_t)w.limit + 1, sizeof *rows);
  if (!rows) return NULL;
  pn_reply *reply = batch_store_list(a->batches->store, r->key_name, w.above, w.below, w.from_above, rows,
                                     w.limit + 1, &n, &e)
                        ? write_list(rows, n, &w)
                        : fail(r, &e);
  free(rows);
  return reply;
}
