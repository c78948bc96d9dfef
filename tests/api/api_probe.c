// For test_api_prompt.py: a model's own template and tokenizer behind the API, with a stand-in engine. Each
// line of standard input is the body of a /v1/messages request; each line of output is the prompt's ids, or
// the refusal.
#include "api/api.h"
#include "fake_rooms.h"
#include "formats/formats.h"

#include <stdio.h>
#include <stdlib.h>

static void answer(pn_api *api, pn_engine *g, pn_str body) {
  int before = g->n_submitted;
  pn_reply *r = pn_api_call(
      api, &(pn_api_request){.method = "POST", .path = "/v1/messages", .body = body, .request_id = "r"});
  pn_buf out = {0};
  bool done = false;
  if (!r) exit(1);
  if (g->n_submitted != before) {
    const int32_t *ids = (const int32_t *)(const void *)g->tokens.p;
    pn_buf_char(&out, '[');
    for (int i = 0; i < g->n_tokens; i++) pn_buf_printf(&out, "%s%d", i ? "," : "", ids[i]);
    pn_buf_char(&out, ']');
  } else if (!pn_reply_pull(r, &out, &done)) {
    exit(1);
  }
  printf("%s\n", pn_buf_cstr(&out));
  fflush(stdout);
  pn_buf_fini(&out);
  pn_reply_free(r, true);
}

int main(int argc, char **argv) {
  pn_error e = {0};
  pn_files *files = argc == 2 ? pn_files_open(argv[1], &e) : NULL;
  pn_tokenizer *tokenizer = files ? pn_tokenizer_open(files, &e) : NULL;
  pn_str source = {0};
  bool ok = tokenizer && pn_template_source(files, &source, &e);
  pn_template *t = ok ? pn_template_open(source, &e) : NULL;
  pn_engine engine = {.n_ctx = 100000};
  pn_api *api =
      t ? pn_api_new(&(pn_api_options){.engine = &engine, .tokenizer = tokenizer, .chat_template = t}, &e)
        : NULL;
  if (!api) {
    fprintf(stderr, "api_probe: %s\n", argc == 2 ? e.msg : "one argument: a model");
    return 1;
  }
  char *line = NULL;
  size_t cap = 0;
  for (ssize_t n; (n = getline(&line, &cap, stdin)) > 0;) answer(api, &engine, (pn_str){line, (size_t)n});
  free(line);
  pn_api_free(api);
  pn_template_close(t);
  pn_tokenizer_close(tokenizer);
  pn_files_close(files);
  fake_engine_fini(&engine);
  return 0;
}
