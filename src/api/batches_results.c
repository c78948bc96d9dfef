// The results of a batch as lines of JSON, read from the file in portions as the client takes them.
#include "api/batches.h"
#include "base/json.h"
#include "base/log.h"

#include <stdlib.h>

#define PORTION_BYTES 65536 // one result more may be in memory

typedef struct reader {
  batches *b;
  int64_t number, after, n_left;
  pn_buf *out;
} reader;

static bool write_line(void *ctx, const batch_item *item) {
  reader *w = ctx;
  pn_buf *b = w->out;
  pn_buf_z(b, "{\"custom_id\":");
  pn_json_write_str(b, item->custom_id);
  pn_buf_printf(b, ",\"result\":{\"type\":\"%s\"", batch_kind_names[item->kind]);
  if (item->kind == BATCH_SUCCEEDED || item->kind == BATCH_ERRORED) {
    pn_buf_z(b, item->kind == BATCH_SUCCEEDED ? ",\"message\":" : ",\"error\":");
    pn_buf_str(b, item->body);
  }
  pn_buf_z(b, "}}\n");
  w->n_left--;
  return b->n < PORTION_BYTES;
}

// A batch that is deleted meanwhile loses its results: then the answer is cut, so that it doesn't look whole.
static void pump(void *self, pn_reply *r) {
  reader *w = self;
  pn_error e = {0};
  int64_t before = w->n_left;
  w->out = &r->body;
  if (!batch_store_results(w->b->store, w->number, &w->after, write_line, w, &e)) {
    pn_log(PN_LOG_ERROR, NULL, "reading a batch's results failed", PN_FIELDS(PN_S("error", e.msg)));
    r->broken = true;
  }
  if (w->n_left > 0 && w->n_left == before) r->broken = true;
  r->finished = w->n_left <= 0 || r->broken;
}

static uint64_t deadline_us(const void *self) {
  (void)self;
  return UINT64_MAX;
}

static void stop(void *self, pn_reply *r) {
  (void)self;
  r->broken = r->finished = true;
}

static void release(void *self, bool client_gone) {
  (void)client_gone;
  free(self);
}

pn_reply *batches_results_reply(batches *b, const batch_row *row, const pn_api_request *r) {
  static const api_source source = {pump, deadline_us, stop, release};
  static const char type[] = "application/x-jsonl";
  if (pn_str_is(pn_str_of(r->method), "HEAD")) return api_reply_new(200, type);
  reader *w = calloc(1, sizeof *w);
  if (!w) return NULL;
  *w = (reader){
      .b = b, .number = row->number, .after = BATCH_PLACE(row->number, 0), .n_left = row->n_requests};
  pn_reply *reply = api_reply_from(&source, w, false);
  if (!reply) return NULL;
  reply->content_type = type;
  reply->ready = true;
  return reply;
}
