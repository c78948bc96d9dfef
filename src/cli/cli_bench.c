// pensieve bench: load, prefill, decode, streams and memory, through the engine as a server would.
#include "base/clock.h"
#include "base/rng.h"
#include "cli/bench_stats.h"
#include "cli/console.h"
#include "cli/interrupt.h"
#include "cli/machine.h"
#include "cli/open_model.h"
#include "cli/verbs.h"
#include "cli/wait_answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_STREAMS 256
#define MAX_STREAM_COUNTS 16
#define STREAM_PROMPT 16 // prompt tokens of each of several streams

typedef struct bench {
  open_model m;
  pn_engine *engine;
  int n_prompt, n_decode, depth, repeat;
  int streams[MAX_STREAM_COUNTS], n_streams;
  int32_t *ids; // a prompt of the longest length that is needed
  double load_s;
  bench_stats prefill, decode, by_streams[MAX_STREAM_COUNTS];
} bench;

static bool read_streams(bench *b, const char *text, pn_error *e) {
  for (const char *at = text; *at;) {
    char *end;
    long n = strtol(at, &end, 10);
    if (end == at || n < 1 || n > MAX_STREAMS || (*end && *end != ',') || b->n_streams == MAX_STREAM_COUNTS)
      return pn_fail(e, PN_ERR_USAGE,
                     "--streams: expected up to %d numbers from 1 to %d such as 1,8, found \"%s\"",
                     MAX_STREAM_COUNTS, MAX_STREAMS, text);
    b->streams[b->n_streams++] = (int)n;
    at = *end ? end + 1 : end;
  }
  return true;
}

// Ordinary tokens from a seed: what they say does not matter, but that they differ does.
static bool make_ids(bench *b, int n, pn_error *e) {
  b->ids = malloc((size_t)n * sizeof *b->ids);
  if (!b->ids) return pn_fail(e, PN_ERR_NOMEM, "out of memory for a prompt of %d tokens", n);
  pn_rng r;
  pn_rng_seed(&r, 1);
  int n_vocab = pn_model_config_of(b->m.model)->n_vocab;
  for (int i = 0; i < n; i++) {
    do b->ids[i] = (int32_t)pn_rng_below(&r, (uint64_t)n_vocab);
    while (pn_tokenizer_is_control(b->m.tokenizer, b->ids[i]));
  }
  return true;
}

static pn_request request_of(const bench *b, int n_prompt, int n_out) {
  return (pn_request){.id = "bench",
                      .tokens = b->ids,
                      .n_tokens = (size_t)n_prompt,
                      .max_tokens = n_out,
                      .sampling = {.top_p = 1},
                      .ignore_end = true};
}

static bool measure_prefill(bench *b, pn_error *e) {
  for (int i = 0; i < b->repeat; i++) {
    console_progress("prefill %d of %d", i + 1, b->repeat);
    pn_request r = request_of(b, b->n_prompt, 1);
    pn_event done;
    if (!answer_wait(b->engine, &r, NULL, NULL, &done, e)) return false;
    if (!bench_stats_add(&b->prefill, b->n_prompt / ((double)(done.prefill_us + 1) / 1e6), e)) return false;
  }
  return true;
}

static bool measure_decode(bench *b, pn_error *e) {
  for (int i = 0; i < b->repeat; i++) {
    console_progress("decode %d of %d", i + 1, b->repeat);
    pn_request r = request_of(b, b->depth ? b->depth : 1, b->n_decode + 1);
    pn_event done;
    if (!answer_wait(b->engine, &r, NULL, NULL, &done, e)) return false;
    // The first token belongs to the prefill.
    if (!bench_stats_add(&b->decode, (done.n_output - 1) / ((double)(done.decode_us + 1) / 1e6), e))
      return false;
  }
  return true;
}

// n answers at the same time: all their tokens over the time until the last one is done.
static bool run_streams(bench *b, int n, double *tok_s, pn_error *e) {
  pn_gen *gens[MAX_STREAMS] = {0};
  bool over[MAX_STREAMS] = {false}, ok = true;
  bell rung;
  bell_init(&rung);
  int open = 0, tokens = 0;
  uint64_t start = pn_now_us();
  for (int i = 0; ok && i < n; i++) {
    pn_request r = request_of(b, STREAM_PROMPT, b->n_decode);
    r.notify = bell_ring;
    r.notify_ctx = &rung;
    gens[i] = pn_engine_submit(b->engine, &r, e);
    ok = gens[i] != NULL;
    open += ok;
  }
  while (ok && open > 0) {
    bell_wait(&rung, 100);
    if (interrupt_count()) ok = pn_fail(e, PN_ERR_CANCELLED, "stopped");
    for (int i = 0; ok && i < n; i++) {
      pn_event ev;
      while (!over[i] && pn_gen_next(gens[i], &ev)) {
        over[i] = ev.kind == PN_EVENT_DONE || ev.kind == PN_EVENT_FAILED;
        if (ev.kind == PN_EVENT_FAILED) ok = pn_fail(e, ev.error.code, "%s", ev.error.msg);
        if (over[i]) tokens += ev.n_output, open--;
      }
    }
  }
  *tok_s = tokens / ((double)(pn_now_us() - start + 1) / 1e6);
  for (int i = 0; i < n; i++)
    if (gens[i]) pn_gen_release(gens[i]);
  bell_fini(&rung);
  return ok;
}

static bool measure_streams(bench *b, pn_error *e) {
  for (int k = 0; k < b->n_streams; k++) {
    for (int i = 0; i < b->repeat; i++) {
      console_progress("%d streams, %d of %d", b->streams[k], i + 1, b->repeat);
      double tok_s;
      if (!run_streams(b, b->streams[k], &tok_s, e) || !bench_stats_add(&b->by_streams[k], tok_s, e))
        return false;
    }
  }
  return true;
}

// Bytes that computing one token of the decode measurement reads: the weights, and the KV cache at half of the way.
static double token_bytes(const bench *b) {
  const pn_kv_shape token = pn_model_kv_shape(b->m.model, b->m.kv_type, 32, 1);
  return (double)pn_model_weight_bytes(b->m.model) +
         (double)pn_kv_token_bytes(&token) * ((b->depth ? b->depth : 1) + b->n_decode / 2.0);
}

// Operations that one prompt token costs in the layers' matrices: a multiplication and an addition a weight.
static double token_operations(const pn_model_config *c) {
  double heads = (double)(2 * c->n_heads + 2 * c->n_kv_heads) * c->head_dim;
  return 2.0 * c->n_layers * c->d_model * (heads + 3.0 * c->d_ffn);
}

typedef struct memory_use {
  uint64_t weights, kv, other, peak;
} memory_use;

static memory_use measure_memory(const bench *b) {
  pn_engine_info info;
  pn_engine_info_of(b->engine, &info);
  memory_use u = {
      .weights = pn_files_bytes(b->m.files), .kv = info.kv_bytes, .peak = machine_peak_rss_bytes()};
  uint64_t mapped = machine_mapped_bytes(b->m.path), known = (mapped ? mapped : u.weights) + u.kv;
  u.other = u.peak > known ? u.peak - known : 0;
  return u;
}

static pn_json *result_json(const bench *b, const options *o) {
  pn_json *v = pn_json_new_object(), *prefill = pn_json_new_object(), *decode = pn_json_new_object();
  pn_json *streams = pn_json_new_array(), *memory = pn_json_new_object();
  pn_json_set(v, "model", pn_json_new_str(pn_str_of(b->m.name)));
  pn_json_set(v, "backend", pn_json_new_str(pn_str_of(b->m.backend->ops->name)));
  pn_json_set(v, "threads", pn_json_new_int(open_model_threads(o)));
  pn_json_set(v, "load_s", pn_json_new_num(b->load_s));
  pn_json_set(prefill, "n_tokens", pn_json_new_int(b->n_prompt));
  pn_json_set(prefill, "tok_s", bench_stats_json(&b->prefill));
  pn_json_set(v, "prefill", prefill);
  pn_json_set(decode, "n_tokens", pn_json_new_int(b->n_decode));
  pn_json_set(decode, "depth", pn_json_new_int(b->depth));
  pn_json_set(decode, "tok_s", bench_stats_json(&b->decode));
  pn_json_set(decode, "gb_s", pn_json_new_num(bench_stats_median(&b->decode) * token_bytes(b) / 1e9));
  pn_json_set(v, "decode", decode);
  for (int k = 0; k < b->n_streams; k++) {
    pn_json *row = pn_json_new_object();
    pn_json_set(row, "n", pn_json_new_int(b->streams[k]));
    pn_json_set(row, "tok_s", bench_stats_json(&b->by_streams[k]));
    pn_json_push(streams, row);
  }
  pn_json_set(v, "streams", streams);
  memory_use u = measure_memory(b);
  pn_json_set(memory, "weights_bytes", pn_json_new_int((int64_t)u.weights));
  pn_json_set(memory, "kv_bytes", pn_json_new_int((int64_t)u.kv));
  pn_json_set(memory, "other_bytes", pn_json_new_int((int64_t)u.other));
  pn_json_set(memory, "peak_rss_bytes", pn_json_new_int((int64_t)u.peak));
  pn_json_set(v, "memory", memory);
  return v;
}

static void print_result(const bench *b) {
  const pn_model_config *c = pn_model_config_of(b->m.model);
  char weights[32], kv[32], other[32], line[80];
  memory_use u = measure_memory(b);
  printf("%s on %s, median of %d (min .. max)\n", b->m.name, b->m.backend->ops->describe(b->m.backend),
         b->repeat);
  printf("load        %.2f s\n", b->load_s);
  printf("prefill     %s tok/s, %d tokens, %.0f GOP/s\n", bench_stats_line(&b->prefill, line), b->n_prompt,
         bench_stats_median(&b->prefill) * token_operations(c) / 1e9);
  printf("decode      %s tok/s, %d tokens after %d, %.1f GB/s\n", bench_stats_line(&b->decode, line),
         b->n_decode, b->depth, bench_stats_median(&b->decode) * token_bytes(b) / 1e9);
  for (int k = 0; k < b->n_streams; k++)
    printf("%3d streams %s tok/s\n", b->streams[k], bench_stats_line(&b->by_streams[k], line));
  printf("memory      %s weights, %s KV cache, %s other\n", console_bytes(u.weights, weights),
         console_bytes(u.kv, kv), console_bytes(u.other, other));
}

static bool open_bench(bench *b, const options *o, pn_error *e) {
  b->n_prompt = (int)options_int(o, "prompt");
  b->n_decode = (int)options_int(o, "decode");
  b->depth = (int)options_int(o, "depth");
  b->repeat = (int)options_int(o, "repeat");
  if (!read_streams(b, options_text(o, "streams"), e) ||
      !open_model_read(&b->m, o, NULL, OPEN_WEIGHTS | OPEN_TOKENIZER, e))
    return false;
  // The longest sequence of all measurements, unless --ctx says more.
  int64_t most = b->depth > STREAM_PROMPT ? b->depth : STREAM_PROMPT;
  most += b->n_decode + 2;
  if (b->n_prompt + 2 > most) most = (int64_t)b->n_prompt + 2;
  int max = pn_model_config_of(b->m.model)->max_positions, ctx = (int)options_int(o, "ctx");
  if (most > (ctx ? ctx : max))
    return pn_fail(e, PN_ERR_USAGE, "the measurements need a context of %lld tokens, but it has %d",
                   (long long)most, ctx ? ctx : max);
  b->engine = open_model_engine(
      &b->m, o, &(engine_wish){.n_ctx = (int)most, .max_running = 1, .max_queue = MAX_STREAMS}, e);
  if (!b->engine) return false;
  b->load_s = (double)(pn_now_us() - b->m.start_us) / 1e6;
  return make_ids(b, (int)most, e);
}

bool cli_bench(const options *o, pn_error *e) {
  bench *b = calloc(1, sizeof *b);
  if (!b) return pn_fail(e, PN_ERR_NOMEM, "out of memory");
  bool ok = open_bench(b, o, e);
  interrupt_catch(NULL);
  ok = ok && measure_prefill(b, e) && measure_decode(b, e) && measure_streams(b, e);
  interrupt_release();
  console_progress("%s", "");
  if (ok && options_on(o, "json"))
    ok = console_json(result_json(b, o), e);
  else if (ok)
    print_result(b);
  pn_engine_close(b->engine);
  open_model_close(&b->m);
  bench_stats_fini(&b->prefill);
  bench_stats_fini(&b->decode);
  for (int k = 0; k < MAX_STREAM_COUNTS; k++) bench_stats_fini(&b->by_streams[k]);
  free(b->ids);
  free(b);
  return ok;
}
