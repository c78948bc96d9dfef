// pensieve bench: load, prefill, decode, streams and memory, through the engine as a server would.
#include "base/clock.h"
#include "cli/bench_ops.h"
#include "cli/bench_run.h"
#include "cli/bench_stats.h"
#include "cli/bench_stdin.h"
#include "cli/console.h"
#include "cli/interrupt.h"
#include "cli/machine.h"
#include "cli/reading_rate.h"
#include "cli/verbs.h"
#include "kv/kv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_STREAM_COUNTS 16

typedef struct memory_use {
  uint64_t weights, kv, other, peak;
} memory_use;

typedef struct bench {
  open_model m;
  pn_engine *engine;
  bench_run run;
  int n_prompt, n_decode, depth, repeat;
  int streams[MAX_STREAM_COUNTS], n_streams;
  double load_s;
  pn_sampling sampled; // how `decode_sampled` chooses
  bench_stats prefill, decode, decode_sampled, by_streams[MAX_STREAM_COUNTS];
  memory_use memory;
  reading_rate reading;
} bench;

static bool read_streams(bench *b, const char *text, pn_error *e) {
  for (const char *at = text; *at;) {
    char *end;
    long n = strtol(at, &end, 10);
    if (end == at || n < 1 || n > BENCH_MAX_STREAMS || (*end && *end != ',') ||
        b->n_streams == MAX_STREAM_COUNTS)
      return pn_fail(e, PN_ERR_USAGE,
                     "--streams: expected up to %d numbers from 1 to %d such as 1,8, found \"%s\"",
                     MAX_STREAM_COUNTS, BENCH_MAX_STREAMS, text);
    b->streams[b->n_streams++] = (int)n;
    at = *end ? end + 1 : end;
  }
  return true;
}

static bool measure_prefill(bench *b, pn_error *e) {
  for (int i = 0; i < b->repeat; i++) {
    console_progress("prefill %d of %d", i + 1, b->repeat);
    double tok_s;
    if (!bench_run_one(&b->run, b->n_prompt, 1, &tok_s, NULL, e) || !bench_stats_add(&b->prefill, tok_s, e))
      return false;
  }
  return true;
}

// Greedy and sampled in turn, so that a machine whose speed changes is no advantage to either.
static bool measure_decode(bench *b, pn_error *e) {
  const pn_sampling greedy = b->run.sampling;
  int n_prompt = b->depth ? b->depth : 1;
  for (int i = 0; i < b->repeat; i++) {
    console_progress("decode %d of %d", i + 1, b->repeat);
    double tok_s, sampled_tok_s;
    if (!bench_run_behind(&b->run, n_prompt, b->n_decode + 1, &tok_s, e)) return false;
    b->run.sampling = b->sampled;
    bool ok = bench_run_behind(&b->run, n_prompt, b->n_decode + 1, &sampled_tok_s, e);
    b->run.sampling = greedy;
    if (!ok || !bench_stats_add(&b->decode, tok_s, e) ||
        !bench_stats_add(&b->decode_sampled, sampled_tok_s, e))
      return false;
  }
  return true;
}

static bool measure_streams(bench *b, pn_error *e) {
  for (int k = 0; k < b->n_streams; k++) {
    for (int i = 0; i < b->repeat; i++) {
      console_progress("%d streams, %d of %d", b->streams[k], i + 1, b->repeat);
      double tok_s;
      if (!bench_run_streams(&b->run, b->streams[k], BENCH_STREAM_PROMPT, b->n_decode + 1, &tok_s, e) ||
          !bench_stats_add(&b->by_streams[k], tok_s, e))
        return false;
    }
  }
  return true;
}

// Operations that one prompt token costs in the layers' matrices: a multiplication and an addition a weight.
static double token_operations(const pn_model *m) {
  return 2.0 * (double)pn_model_size_of(m).active_in_layers;
}

static memory_use measure_memory(const bench *b) {
  memory_use u = {
      .weights = pn_files_bytes(b->m.files), .kv = b->run.kv_peak_bytes, .peak = machine_peak_rss_bytes()};
  uint64_t mapped = machine_mapped_bytes(b->m.path), known = (mapped ? mapped : u.weights) + u.kv;
  u.other = u.peak > known ? u.peak - known : 0;
  return u;
}

// Streams first, so that the machine's rate of reading stands beside the decoding that it bounds; and the
// memory in use before its memory is.
static bool measure_all(bench *b, const options *o, pn_error *e) {
  if (!measure_prefill(b, e) || !measure_streams(b, e) || !measure_decode(b, e)) return false;
  b->memory = measure_memory(b);
  console_progress("reading memory");
  if (!b->m.backend->ops->device_memory) b->reading = reading_rate_measure(open_model_threads(o));
  return true;
}

// Bytes a second of weights and KV cache that such decoding reads, in GB/s.
static double decode_gb_s(const bench *b, const bench_stats *s) {
  return bench_stats_median(s) * bench_token_bytes(&b->m, b->depth, b->n_decode) / 1e9;
}

static double decode_share(const bench *b, const bench_stats *s) {
  return b->reading.gb_s > 0 ? decode_gb_s(b, s) / b->reading.gb_s : 0;
}

static pn_json *decode_json(const bench *b, const bench_stats *s) {
  pn_json *v = pn_json_new_object();
  pn_json_set(v, "n_tokens", pn_json_new_int(b->n_decode));
  pn_json_set(v, "depth", pn_json_new_int(b->depth));
  pn_json_set(v, "tok_s", bench_stats_json(s));
  pn_json_set(v, "gb_s", pn_json_new_num(decode_gb_s(b, s)));
  pn_json_set(v, "share_of_reading",
              b->reading.gb_s > 0 ? pn_json_new_num(decode_share(b, s)) : pn_json_new_null());
  return v;
}

static pn_json *result_json(const bench *b, const options *o) {
  pn_json *v = pn_json_new_object(), *prefill = pn_json_new_object();
  pn_json *streams = pn_json_new_array(), *memory = pn_json_new_object();
  pn_json_set(v, "model", pn_json_new_str(pn_str_of(b->m.name)));
  pn_json_set(v, "backend", pn_json_new_str(pn_str_of(b->m.backend->ops->name)));
  pn_json_set(v, "threads", pn_json_new_int(open_model_threads(o)));
  pn_json_set(v, "load_s", pn_json_new_num(b->load_s));
  pn_json_set(prefill, "n_tokens", pn_json_new_int(b->n_prompt));
  pn_json_set(prefill, "tok_s", bench_stats_json(&b->prefill));
  pn_json_set(v, "prefill", prefill);
  pn_json_set(v, "decode", decode_json(b, &b->decode));
  pn_json_set(v, "decode_sampled", decode_json(b, &b->decode_sampled));
  for (int k = 0; k < b->n_streams; k++) {
    pn_json *row = pn_json_new_object();
    pn_json_set(row, "n", pn_json_new_int(b->streams[k]));
    pn_json_set(row, "tok_s", bench_stats_json(&b->by_streams[k]));
    pn_json_push(streams, row);
  }
  pn_json_set(v, "streams", streams);
  pn_json_set(v, "reading_gb_s", reading_rate_json(&b->reading));
  const memory_use u = b->memory;
  pn_json_set(memory, "weights_bytes", pn_json_new_int((int64_t)u.weights));
  pn_json_set(memory, "kv_bytes", pn_json_new_int((int64_t)u.kv));
  pn_json_set(memory, "other_bytes", pn_json_new_int((int64_t)u.other));
  pn_json_set(memory, "peak_rss_bytes", pn_json_new_int((int64_t)u.peak));
  pn_json_set(v, "memory", memory);
  return v;
}

static void print_reading(const bench *b) {
  char line[96];
  printf("reading     %s", reading_rate_line(&b->reading, line));
  if (b->reading.gb_s > 0)
    printf("; decode reached %.0f %% of it, sampled %.0f %%", 100 * decode_share(b, &b->decode),
           100 * decode_share(b, &b->decode_sampled));
  putchar('\n');
}

static void print_result(const bench *b) {
  char weights[32], kv[32], other[32], line[80];
  const memory_use u = b->memory;
  printf("%s on %s, median of %d (min .. max)\n", b->m.name, b->m.backend->ops->describe(b->m.backend),
         b->repeat);
  printf("load        %.2f s\n", b->load_s);
  printf("prefill     %s tok/s, %d tokens, %.0f GOP/s\n", bench_stats_line(&b->prefill, line), b->n_prompt,
         bench_stats_median(&b->prefill) * token_operations(b->m.model) / 1e9);
  printf("decode      %s tok/s, %d tokens after %d, %.1f GB/s\n", bench_stats_line(&b->decode, line),
         b->n_decode, b->depth, decode_gb_s(b, &b->decode));
  printf("  sampled   %s tok/s, temperature %g, top_p %g, top_k %d\n",
         bench_stats_line(&b->decode_sampled, line), (double)b->sampled.temperature, (double)b->sampled.top_p,
         b->sampled.top_k);
  for (int k = 0; k < b->n_streams; k++)
    printf("%3d streams %s tok/s\n", b->streams[k], bench_stats_line(&b->by_streams[k], line));
  print_reading(b);
  printf("memory      %s weights, %s KV cache, %s other\n", console_bytes(u.weights, weights),
         console_bytes(u.kv, kv), console_bytes(u.other, other));
}

// What is asked for on stdin comes in turn with other programs' work, and the prompts in between must not
// drive those of the depths out of the cache.
enum { STDIN_SEQUENCES = 4 };

// Room for the longest sequence of all measurements (unless --ctx says more) and for all streams at once.
static bool open_engine(bench *b, const options *o, pn_error *e) {
  int64_t depth = b->depth > 1 ? b->depth : 1, answer = (int64_t)b->n_decode + 2, most = depth + answer;
  int64_t stream = BENCH_STREAM_PROMPT + answer;
  if (stream > most) most = stream;
  if (b->n_prompt + 2 > most) most = (int64_t)b->n_prompt + 2;
  int max = pn_model_config_of(b->m.model)->max_positions, ctx = (int)options_int(o, "ctx"), n = 1;
  if (most > (ctx ? ctx : max))
    return pn_fail(e, PN_ERR_USAGE, "the measurements need a context of %lld tokens, but it has %d",
                   (long long)most, ctx ? ctx : max);
  for (int k = 0; k < b->n_streams; k++)
    if (b->streams[k] > n) n = b->streams[k];
  stream = (int64_t)pn_kv_pages_of(stream) * PN_KV_PAGE_TOKENS;
  int64_t pool = n * stream, kept = options_on(o, "stdin") ? STDIN_SEQUENCES * most : 0;
  const engine_wish w = {.n_ctx = (int)most,
                         .kv_tokens = pool > kept ? pool : kept,
                         .max_running = n,
                         .max_queue = BENCH_MAX_STREAMS};
  b->engine = open_model_engine(&b->m, o, &w, e);
  if (!b->engine) return false;
  b->load_s = (double)(pn_now_us() - b->m.start_us) / 1e6;
  weight_home_wait(&b->m.home);
  return bench_run_init(&b->run, &b->m, b->engine, (int)most, e);
}

static bool open_bench(bench *b, const options *o, pn_error *e) {
  b->n_prompt = (int)options_int(o, "prompt");
  b->n_decode = (int)options_int(o, "decode");
  b->depth = (int)options_int(o, "depth");
  b->repeat = (int)options_int(o, "repeat");
  b->sampled = (pn_sampling){.temperature = (float)options_number(o, "temperature"),
                             .top_p = (float)options_number(o, "top-p"),
                             .top_k = (int)options_int(o, "top-k"),
                             .seed = 1};
  if (!read_streams(b, options_text(o, "streams"), e) ||
      !open_model_read(&b->m, o, NULL, OPEN_WEIGHTS | OPEN_TOKENIZER, e))
    return false;
  return open_engine(b, o, e);
}

static bool answer_stdin(bench *b, pn_error *e) {
  bench_room room = {.prompt = b->n_prompt, .decode = b->n_decode, .depth = b->depth, .streams = 1};
  for (int k = 0; k < b->n_streams; k++)
    if (b->streams[k] > room.streams) room.streams = b->streams[k];
  return bench_stdin(&b->run, &room, e);
}

static bool only_ops(const options *o, pn_error *e) {
  open_model m = {0};
  bool ok = open_model_read(&m, o, NULL, OPEN_WEIGHTS, e) && bench_ops(&m, o, e);
  open_model_close(&m);
  return ok;
}

bool cli_bench(const options *o, pn_error *e) {
  if (options_on(o, "ops")) return only_ops(o, e);
  bench *b = calloc(1, sizeof *b);
  if (!b) return pn_fail(e, PN_ERR_NOMEM, "out of memory");
  bool ok = open_bench(b, o, e);
  interrupt_catch(NULL);
  const bool asked = options_on(o, "stdin");
  if (asked)
    ok = ok && answer_stdin(b, e);
  else
    ok = ok && measure_all(b, o, e);
  interrupt_release();
  console_progress("%s", "");
  if (ok && !asked && options_on(o, "json"))
    ok = console_json(result_json(b, o), e);
  else if (ok && !asked)
    print_result(b);
  pn_engine_close(b->engine);
  open_model_close(&b->m);
  bench_stats_fini(&b->prefill);
  bench_stats_fini(&b->decode);
  bench_stats_fini(&b->decode_sampled);
  for (int k = 0; k < MAX_STREAM_COUNTS; k++) bench_stats_fini(&b->by_streams[k]);
  bench_run_fini(&b->run);
  free(b);
  return ok;
}
