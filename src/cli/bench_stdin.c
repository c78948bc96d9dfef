#include "cli/bench_stdin.h"

#include "cli/console.h"
#include "kv/kv.h"

#include <stdio.h>
#include <string.h>

enum { MAX_LINE = 256 };

double bench_token_bytes(const open_model *m, int depth, int n_decode) {
  int middle = (depth ? depth : 1) + n_decode / 2;
  return (double)pn_model_weight_bytes(m->model) +
         (double)pn_kv_read_bytes(pn_model_config_of(m->model), m->backend, m->kv_type, middle);
}

static bool fits(const char *what, int n, int least, int most, pn_error *e) {
  return (n >= least && n <= most) ||
         pn_fail(e, PN_ERR_USAGE, "stdin: %s: expected %d to %d, found %d", what, least, most, n);
}

static bool answer(double tok_s, double token_bytes, pn_error *e) {
  pn_json *v = pn_json_new_object();
  pn_json_set(v, "tok_s", pn_json_new_num(tok_s));
  if (token_bytes > 0) pn_json_set(v, "token_bytes", pn_json_new_num(token_bytes));
  return console_json(v, e);
}

static bool decode(bench_run *r, const bench_room *room, int n, int depth, double temperature, pn_error *e) {
  double tok_s;
  if (!fits("tokens of an answer", n, 1, room->decode, e) || !fits("depth", depth, 0, room->depth, e))
    return false;
  if (!(temperature >= 0 && temperature <= 100))
    return pn_fail(e, PN_ERR_USAGE, "stdin: temperature: expected 0 to 100, found %g", temperature);
  const pn_sampling greedy = r->sampling;
  r->sampling = (pn_sampling){.temperature = (float)temperature, .top_p = 1, .seed = 1};
  bool ok = bench_run_behind(r, depth ? depth : 1, n + 1, &tok_s, e);
  r->sampling = greedy;
  return ok && answer(tok_s, bench_token_bytes(r->m, depth, n), e);
}

static bool measure(bench_run *r, const bench_room *room, const char *line, pn_error *e) {
  int a, b, end = 0;
  double number, tok_s;
  if (sscanf(line, "prefill %d %n", &a, &end) == 1 && end && !line[end])
    return fits("tokens of a prompt", a, 1, room->prompt, e) && bench_run_one(r, a, 1, &tok_s, NULL, e) &&
           answer(tok_s, 0, e);
  if (sscanf(line, "decode %d %d %lf %n", &a, &b, &number, &end) == 3 && end && !line[end])
    return decode(r, room, a, b, number, e);
  if (sscanf(line, "streams %d %d %n", &a, &b, &end) == 2 && end && !line[end])
    return fits("streams", a, 1, room->streams, e) && fits("tokens of an answer", b, 1, room->decode, e) &&
           bench_run_streams(r, a, BENCH_STREAM_PROMPT, b + 1, &tok_s, e) && answer(tok_s, 0, e);
  return pn_fail(
      e, PN_ERR_USAGE,
      "stdin: expected \"prefill N\", \"decode N DEPTH TEMPERATURE\" or \"streams K N\", found \"%s\"", line);
}

bool bench_stdin(bench_run *r, const bench_room *room, pn_error *e) {
  char line[MAX_LINE];
  pn_json *ready = pn_json_new_object();
  pn_json_set(ready, "ready", pn_json_new_str(pn_str_of(r->m->backend->ops->describe(r->m->backend))));
  if (!console_json(ready, e)) return false;
  while (fgets(line, sizeof line, stdin)) {
    line[strcspn(line, "\n")] = '\0';
    if (!measure(r, room, line, e)) return false;
  }
  return true;
}
