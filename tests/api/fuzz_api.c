// Request bodies of any bytes: the API answers each with a reply that is well formed. Built for libFuzzer it
// is the entry alone; else main plays the files of a folder, each as it is and with seeded mutations.
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/rng.h"
#include "play.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "fuzz_api: %s\n", what);
  abort();
}

static void play_reply(play *p, const char *path, pn_str body) {
  pn_reply *r =
      pn_api_call(p->api, &(pn_api_request){.method = "POST", .path = path, .body = body, .request_id = "r"});
  check(r != NULL, "no reply");
  if (p->engine.gen) {
    check(p->engine.n_tokens > 0, "an empty prompt was submitted");
    fake_emit_text(&p->engine, "ok");
    fake_emit_done(&p->engine, PN_STOP_STRING, 0, 2);
  }
  pn_buf out = {0};
  bool done = false;
  check(pn_reply_pull(r, &out, &done) && done, "the reply does not end");
  int status = pn_reply_status(r);
  check(status == 200 || status == 400, "a status that the client did not cause");
  if (!pn_reply_streaming(r)) {
    pn_json *v = pn_json_parse(pn_buf_view(&out), NULL);
    check(pn_json_is(v, PN_JSON_OBJECT), "the reply is not JSON");
    pn_json_free(v);
  }
  pn_buf_fini(&out);
  pn_reply_free(r, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  pn_log_setup(PN_LOG_ERROR, false, 2);
  pn_str body = {(const char *)data, n};
  for (int kind = FAKE_PLAIN; kind <= FAKE_EMPTY; kind++) {
    play p = {.engine = {.n_ctx = 100000}, .tmpl = {(fake_kind)kind}};
    p.tokenizer.seen = &p.seen;
    p.api = pn_api_new(
        &(pn_api_options){.engine = &p.engine, .tokenizer = &p.tokenizer, .chat_template = &p.tmpl}, NULL);
    play_reply(&p, "/v1/messages", body);
    play_reply(&p, "/v1/messages/count_tokens", body);
    play_fini(&p);
  }
  return 0;
}

#ifndef PN_LIBFUZZER
enum { N_MUTATIONS = 300 };

// Change, insert, remove or repeat a few bytes; half of the new bytes are ones that JSON is made of.
static void mutate(pn_buf *b, pn_rng *rng) {
  static const char json[] = "{}[]:,\"\\0123456789.-etrufalsn ";
  for (uint64_t k = 1 + pn_rng_below(rng, 4); k && b->n; k--) {
    size_t at = (size_t)pn_rng_below(rng, b->n);
    char c = pn_rng_below(rng, 2) ? json[pn_rng_below(rng, sizeof json - 1)] : (char)pn_rng_below(rng, 256);
    size_t n = 1 + (size_t)pn_rng_below(rng, 16);
    if (n > b->n - at) n = b->n - at;
    switch (pn_rng_below(rng, 4)) {
    case 0: b->p[at] = c; break;
    case 1:
      memmove(b->p + at, b->p + at + n, b->n - at - n);
      b->n -= n;
      break;
    case 2:
      pn_buf_char(b, c);
      memmove(b->p + at + 1, b->p + at, b->n - 1 - at);
      b->p[at] = c;
      break;
    default: pn_buf_reserve(b, n); pn_buf_add(b, b->p + at, n);
    }
  }
}

static void play_input(pn_str seed, pn_rng *rng) {
  LLVMFuzzerTestOneInput((const uint8_t *)seed.p, seed.n);
  for (int i = 0; i < N_MUTATIONS; i++) {
    pn_buf b = {0};
    pn_buf_str(&b, seed);
    mutate(&b, rng);
    LLVMFuzzerTestOneInput((const uint8_t *)b.p, b.n);
    pn_buf_fini(&b);
  }
}

int main(int argc, char **argv) {
  DIR *d = argc == 2 ? opendir(argv[1]) : NULL;
  check(d != NULL, "no corpus folder");
  pn_rng rng;
  pn_rng_seed(&rng, 1);
  int n = 0;
  for (struct dirent *entry; (entry = readdir(d)); n++) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
    pn_buf seed = {0};
    if (pn_file_read(path, 1u << 20, &seed, NULL)) play_input(pn_buf_view(&seed), &rng);
    pn_buf_fini(&seed);
  }
  closedir(d);
  check(n > 2, "an empty corpus");
  return 0;
}
#endif
