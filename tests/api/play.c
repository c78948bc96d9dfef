#include "play.h"

#include <string.h>

_Atomic uint64_t play_clock_us = 1000000;
static uint64_t clock_now(void) { return play_clock_us; }

void play_init(play *p) { play_init_with(p, &p->tmpl); }

void play_init_with(play *p, const pn_template *t) {
  play_init_options(p, &(pn_api_options){.engine = &p->engine,
                                         .tokenizer = &p->tokenizer,
                                         .chat_template = t,
                                         .model_name = "org/tiny",
                                         .backend_name = "fake"});
}

void play_init_options(play *p, const pn_api_options *o) {
  *p = (play){.engine = {.n_ctx = 1000}};
  p->tokenizer = (pn_tokenizer){&p->seen, &p->n_encoded};
  pn_error e = {0};
  p->api = pn_api_new(o, &e);
  assert_non_null(p->api);
  p->api->now_us = clock_now;
}

void play_fini(play *p) {
  pn_api_free(p->api);
  pn_buf_fini(&p->seen);
  fake_engine_fini(&p->engine);
}

static void woken(void *ctx) { atomic_fetch_add((atomic_int *)ctx, 1); }

pn_reply *play_call(play *p, const char *method, const char *path, const char *body) {
  pn_buf_clear(&p->seen);
  pn_reply *r = pn_api_call(p->api, &(pn_api_request){.method = method,
                                                      .path = path,
                                                      .body = pn_str_of(body),
                                                      .request_id = "req_1",
                                                      .wake = woken,
                                                      .wake_ctx = &p->n_wakes});
  assert_non_null(r);
  return r;
}

bool play_pull(pn_reply *r, pn_buf *out) {
  bool done = false;
  assert_true(pn_reply_pull(r, out, &done));
  return done;
}

char *play_body(pn_reply *r) {
  pn_buf b = {0};
  assert_true(pn_reply_ready(r));
  assert_true(play_pull(r, &b));
  pn_buf_cstr(&b);
  return b.p;
}
