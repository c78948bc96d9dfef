#include "engine/engine_metrics.h"

#include <stdio.h>
#include <stdlib.h>

enum { N_STOPS = PN_STOP_CONTEXT + 1, N_CODES = PN_ERR_INTERNAL + 1 };
enum { STEP_DECODE, STEP_PREFILL, N_STEPS };
enum { PAGES_USED, PAGES_CACHED, PAGES_FREE, N_PAGES };

struct engine_metrics {
  double kv_bytes;
  int n_pages;
  uint64_t n_evicted; // what is counted of the pool's number

  pn_metric *step_s[N_STEPS], *step_rows[N_STEPS], *step_seqs;
  pn_metric *queue_s, *first_token_s, *next_token_s, *request_s, *hit_tokens, *output_tokens;
  pn_metric *prompt, *cached, *recomputed, *generated, *looked_up;
  pn_metric *ended[N_STOPS], *failed[N_CODES], *success_stop, *success_length;
  pn_metric *guessed_right, *guessed_wrong;
  pn_metric *refused, *preempted, *lost, *evicted;
  pn_metric *running, *waiting, *usage, *pages[N_PAGES], *bytes[N_PAGES];
};

// Upper bounds of the buckets.
typedef struct buckets {
  const double *bounds;
  int n;
} buckets;
#define BUCKETS(...)                                                                                         \
  { (const double[]){__VA_ARGS__}, (int)(sizeof((const double[]){__VA_ARGS__}) / sizeof(double)) }

static const buckets step_seconds =
    BUCKETS(0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5);
static const buckets token_seconds =
    BUCKETS(0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 5);
static const buckets request_seconds =
    BUCKETS(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600);
static const buckets rows = BUCKETS(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048);
static const buckets hits = BUCKETS(0, 32, 128, 512, 2048, 8192, 32768, 131072);
static const buckets outputs = BUCKETS(1, 8, 32, 128, 512, 2048, 8192, 32768);

static pn_metric *counter(pn_metrics *r, const char *name, const char *alias, const char *labels,
                          const char *help) {
  return pn_metrics_add(
      r, &(pn_metric_spec){.kind = PN_COUNTER, .name = name, .help = help, .alias = alias, .labels = labels});
}

static pn_metric *gauge(pn_metrics *r, const char *name, const char *alias, const char *labels,
                        const char *help) {
  return pn_metrics_add(
      r, &(pn_metric_spec){.kind = PN_GAUGE, .name = name, .help = help, .alias = alias, .labels = labels});
}

static pn_metric *histogram(pn_metrics *r, const char *name, const char *alias, const char *labels,
                            const buckets *b, const char *help) {
  return pn_metrics_add(r, &(pn_metric_spec){.kind = PN_HISTOGRAM,
                                             .name = name,
                                             .help = help,
                                             .alias = alias,
                                             .labels = labels,
                                             .bounds = b->bounds,
                                             .n_bounds = b->n});
}

static void add_requests(engine_metrics *m, pn_metrics *r) {
  static const char *const stops[N_STOPS] = {"end_turn", "max_tokens", "stop_sequence",
                                             "model_context_window_exceeded"};
  char end[64];
  for (int i = 0; i < N_STOPS + N_CODES; i++) {
    if (i == N_STOPS + PN_OK) continue;
    snprintf(end, sizeof end, "end=\"%s\"", i < N_STOPS ? stops[i] : pn_code_name((pn_code)(i - N_STOPS)));
    *(i < N_STOPS ? &m->ended[i] : &m->failed[i - N_STOPS]) =
        counter(r, "pensieve_requests_total", NULL, end,
                "Requests that ended, by stop reason or by what they failed with.");
  }
  static const char name[] = "vllm:request_success_total", help[] = "Requests that were answered.";
  m->success_stop = counter(r, name, NULL, "finished_reason=\"stop\"", help);
  m->success_length = counter(r, name, NULL, "finished_reason=\"length\"", help);
  m->refused = counter(r, "pensieve_requests_refused_total", NULL, NULL,
                       "Requests that were refused because the queue was full.");
  m->running = gauge(r, "pensieve_requests_running", "vllm:num_requests_running", NULL,
                     "Requests that are being computed.");
  m->waiting = gauge(r, "pensieve_requests_waiting", "vllm:num_requests_waiting", NULL,
                     "Requests that wait to be computed, paused ones too.");
  m->queue_s = histogram(r, "pensieve_queue_seconds", "vllm:request_queue_time_seconds", NULL,
                         &request_seconds, "From a request's arrival to its first step.");
  m->first_token_s = histogram(r, "pensieve_time_to_first_token_seconds", "vllm:time_to_first_token_seconds",
                               NULL, &request_seconds, "From a request's arrival to its first token.");
  m->next_token_s = histogram(r, "pensieve_inter_token_seconds", "vllm:inter_token_latency_seconds", NULL,
                              &token_seconds, "Between two tokens of one request.");
  m->request_s = histogram(r, "pensieve_request_seconds", "vllm:e2e_request_latency_seconds", NULL,
                           &request_seconds, "From arrival to end, of requests that were answered.");
}

static void add_tokens(engine_metrics *m, pn_metrics *r) {
  m->prompt = counter(r, "pensieve_prompt_tokens_total", "vllm:prompt_tokens_total", NULL,
                      "Tokens of the prompts of requests that were begun, cached ones too.");
  m->looked_up = counter(r, "vllm:prefix_cache_queries_total", NULL, NULL,
                         "Tokens that were looked up in the prefix cache.");
  m->cached = counter(r, "pensieve_cached_tokens_total", "vllm:prefix_cache_hits_total", NULL,
                      "Tokens of prompts that the prefix cache held.");
  m->recomputed = counter(r, "pensieve_prefix_recomputed_tokens_total", NULL, NULL,
                          "Tokens of prompts that were known, but computed again for want of a state there.");
  m->generated = counter(r, "pensieve_generated_tokens_total", "vllm:generation_tokens_total", NULL,
                         "Tokens that were generated, end-of-turn tokens too.");
  m->hit_tokens = histogram(r, "pensieve_prefix_hit_tokens", NULL, NULL, &hits,
                            "How many tokens of a prompt the prefix cache held.");
  m->output_tokens = histogram(r, "pensieve_output_tokens", NULL, NULL, &outputs,
                               "Tokens that were generated for a request that was answered.");
}

static void add_steps(engine_metrics *m, pn_metrics *r) {
  static const char *const kinds[N_STEPS] = {"kind=\"decode\"", "kind=\"prefill\""};
  for (int i = 0; i < N_STEPS; i++) {
    m->step_s[i] = histogram(r, "pensieve_step_seconds", NULL, kinds[i], &step_seconds,
                             "How long one step of the model took.");
    m->step_rows[i] =
        histogram(r, "pensieve_step_rows", NULL, kinds[i], &rows, "Tokens that one step computed.");
  }
  m->guessed_right =
      counter(r, "pensieve_guessed_tokens_total", NULL, "result=\"right\"",
              "Tokens of answers that were guessed and computed in one step with those before.");
  m->guessed_wrong =
      counter(r, "pensieve_guessed_tokens_total", NULL, "result=\"wrong\"",
              "Tokens of answers that were guessed and computed in one step with those before.");
  m->step_seqs =
      histogram(r, "pensieve_step_sequences", NULL, NULL, &rows, "Requests that one step computed.");
}

static void add_cache(engine_metrics *m, pn_metrics *r, const engine_metrics_setup *s) {
  static const char *const states[N_PAGES] = {"state=\"used\"", "state=\"cached\"", "state=\"free\""};
  for (int i = 0; i < N_PAGES; i++) {
    m->pages[i] = gauge(r, "pensieve_kv_pages", NULL, states[i],
                        "Pages of the KV cache: held by requests, held for later ones only, free.");
    m->bytes[i] = gauge(r, "pensieve_kv_bytes", NULL, states[i],
                        "Bytes of the pages of the KV cache, by the same states.");
  }
  m->usage = gauge(r, "pensieve_kv_usage_ratio", "vllm:kv_cache_usage_perc", NULL,
                   "Share of the KV cache's pages that requests hold, 0 to 1.");
  m->evicted = counter(r, "pensieve_kv_evicted_pages_total", NULL, NULL,
                       "Pages that the prefix cache gave up for others.");
  m->preempted = counter(r, "pensieve_preemptions_total", NULL, NULL,
                         "Times that a running request gave way because the KV cache was full.");
  m->lost = counter(r, "pensieve_recomputed_tokens_total", NULL, NULL,
                    "Tokens that preempted requests had computed and must get again.");

  char labels[128];
  pn_metric_set(gauge(r, "pensieve_kv_bytes_per_token", NULL, NULL, "Bytes of one token in the KV cache."),
                (double)s->token_bytes);
  pn_metric_set(gauge(r, "pensieve_kv_reserved_bytes", NULL, NULL, "Bytes that the KV cache may take."),
                (double)s->kv_bytes);
  snprintf(labels, sizeof labels, "type=\"%s\",page_tokens=\"%d\",pages=\"%d\"", s->kv_type ? s->kv_type : "",
           s->page_tokens, s->n_pages);
  pn_metric_set(gauge(r, "pensieve_kv_info", NULL, labels, "What the KV cache is."), 1);
  snprintf(labels, sizeof labels, "block_size=\"%d\",num_gpu_blocks=\"%d\"", s->page_tokens, s->n_pages);
  pn_metric_set(gauge(r, "vllm:cache_config_info", NULL, labels, "What the KV cache is."), 1);
}

engine_metrics *engine_metrics_new(pn_metrics *registry, const engine_metrics_setup *s) {
  engine_metrics *m = registry ? calloc(1, sizeof *m) : NULL;
  if (!m) return NULL;
  m->n_pages = s->n_pages;
  m->kv_bytes = (double)s->kv_bytes;
  add_requests(m, registry);
  add_tokens(m, registry);
  add_steps(m, registry);
  add_cache(m, registry, s);
  engine_metrics_now(m, &(engine_metrics_state){.n_free_pages = s->n_pages});
  return m;
}

void engine_metrics_free(engine_metrics *m) { free(m); }

static double seconds(uint64_t us) { return (double)us * 1e-6; }

void engine_metrics_step(engine_metrics *m, bool prompts, uint64_t us, int n_rows, int n_seqs) {
  if (!m) return;
  int kind = prompts ? STEP_PREFILL : STEP_DECODE;
  pn_metric_observe(m->step_s[kind], seconds(us));
  pn_metric_observe(m->step_rows[kind], n_rows);
  pn_metric_observe(m->step_seqs, n_seqs);
}

void engine_metrics_started(engine_metrics *m, uint64_t queue_us, int n_prompt, int n_cached,
                            int n_recomputed) {
  if (!m) return;
  pn_metric_observe(m->queue_s, seconds(queue_us));
  pn_metric_add(m->prompt, n_prompt);
  pn_metric_add(m->looked_up, n_prompt);
  pn_metric_add(m->cached, n_cached);
  pn_metric_add(m->recomputed, n_recomputed);
  pn_metric_observe(m->hit_tokens, n_cached);
}

void engine_metrics_first_token(engine_metrics *m, uint64_t since_submit_us) {
  if (!m) return;
  pn_metric_add(m->generated, 1);
  pn_metric_observe(m->first_token_s, seconds(since_submit_us));
}

void engine_metrics_next_token(engine_metrics *m, uint64_t since_last_us) {
  if (!m) return;
  pn_metric_add(m->generated, 1);
  pn_metric_observe(m->next_token_s, seconds(since_last_us));
}

void engine_metrics_guessed(engine_metrics *m, int n_guessed, int n_right) {
  if (!m || n_guessed == 0) return;
  pn_metric_add(m->guessed_right, n_right);
  pn_metric_add(m->guessed_wrong, n_guessed - n_right);
}

void engine_metrics_preempted(engine_metrics *m, int n_tokens_lost) {
  if (!m) return;
  pn_metric_add(m->preempted, 1);
  pn_metric_add(m->lost, n_tokens_lost);
}

void engine_metrics_refused(engine_metrics *m) {
  if (m) pn_metric_add(m->refused, 1);
}

void engine_metrics_ended(engine_metrics *m, pn_stop_reason stop, pn_code error, uint64_t since_submit_us,
                          int n_output) {
  if (!m) return;
  if (error != PN_OK) {
    pn_metric_add(m->failed[(unsigned)error < N_CODES ? error : PN_ERR_INTERNAL], 1);
    return;
  }
  bool length = stop == PN_STOP_MAX_TOKENS || stop == PN_STOP_CONTEXT;
  pn_metric_add((unsigned)stop < N_STOPS ? m->ended[stop] : m->failed[PN_ERR_INTERNAL], 1);
  pn_metric_add(length ? m->success_length : m->success_stop, 1);
  pn_metric_observe(m->request_s, seconds(since_submit_us));
  pn_metric_observe(m->output_tokens, n_output);
}

void engine_metrics_now(engine_metrics *m, const engine_metrics_state *s) {
  if (!m) return;
  const int n[N_PAGES] = {s->n_used_pages, s->n_cached_pages, s->n_free_pages};
  const double used = (double)s->used_bytes, cached = (double)s->cached_bytes,
               bytes[N_PAGES] = {used, cached, m->kv_bytes - used - cached};
  for (int i = 0; i < N_PAGES; i++) {
    pn_metric_set(m->pages[i], n[i]);
    pn_metric_set(m->bytes[i], bytes[i]);
  }
  pn_metric_set(m->running, s->n_running);
  pn_metric_set(m->waiting, s->n_waiting);
  pn_metric_set(m->usage, m->n_pages > 0 ? (double)s->n_used_pages / m->n_pages : 0);
  if (s->n_evicted_pages > m->n_evicted) {
    pn_metric_add(m->evicted, (double)(s->n_evicted_pages - m->n_evicted));
    m->n_evicted = s->n_evicted_pages;
  }
}
