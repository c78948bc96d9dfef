// Measures llama.cpp in the process, through its library, as `pensieve bench --stdin` measures pensieve: the
// same requests on stdin, the same answers. Built by peer_llamacpp.py against the library beside it.
//   drive_llamacpp MODEL THREADS DECODE STREAMS
#include "llama.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_DEPTHS = 8, STREAM_PROMPT = 16, BATCH = 2048 };

// A context for one depth, with the prompt of that depth in it and the token that follows.
typedef struct place {
  int depth;
  struct llama_context *ctx;
  llama_token next;
} place;

static struct llama_model *model;
static int n_threads, max_decode, max_streams, n_places;
static place places[MAX_DEPTHS];
static unsigned rng = 1;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void die(const char *what) {
  fprintf(stderr, "drive_llamacpp: %s\n", what);
  exit(1);
}

static void silent(enum ggml_log_level level, const char *text, void *ctx) {
  (void)ctx;
  if (level == GGML_LOG_LEVEL_ERROR) fputs(text, stderr);
}

static llama_token any_token(void) {
  rng = rng * 1664525u + 1013904223u;
  return (llama_token)(100 +
                       (rng >> 8) % (unsigned)(llama_vocab_n_tokens(llama_model_get_vocab(model)) - 200));
}

// Room for n_seqs sequences of n_ctx tokens each, every one with cells of its own.
static struct llama_context *open_context(int n_ctx, int n_seqs) {
  struct llama_context_params p = llama_context_default_params();
  const int each = (n_ctx + 255) / 256 * 256;
  p.n_ctx = (uint32_t)(each * n_seqs);
  p.n_batch = BATCH;
  p.n_seq_max = (uint32_t)n_seqs;
  p.n_threads = p.n_threads_batch = n_threads;
  p.kv_unified = false;
  p.no_perf = true;
  struct llama_context *ctx = llama_init_from_model(model, p);
  if (!ctx) die("cannot make a context");
  return ctx;
}

static struct llama_sampler *open_sampler(double temperature) {
  struct llama_sampler *s = llama_sampler_chain_init(llama_sampler_chain_default_params());
  if (temperature > 0) {
    llama_sampler_chain_add(s, llama_sampler_init_temp((float)temperature));
    llama_sampler_chain_add(s, llama_sampler_init_dist(1));
  } else {
    llama_sampler_chain_add(s, llama_sampler_init_greedy());
  }
  return s;
}

static void add(struct llama_batch *b, llama_token id, int pos, int seq, bool logits) {
  const int i = b->n_tokens++;
  b->token[i] = id;
  b->pos[i] = pos;
  b->n_seq_id[i] = 1;
  b->seq_id[i][0] = seq;
  b->logits[i] = logits;
}

static void compute(struct llama_context *ctx, struct llama_batch *b) {
  if (llama_decode(ctx, *b) != 0) die("llama_decode failed");
  llama_synchronize(ctx);
  b->n_tokens = 0;
}

// A prompt of n tokens in sequence 0, and the token after it.
static llama_token prompt(struct llama_context *ctx, int n) {
  struct llama_batch b = llama_batch_init(BATCH, 0, 1);
  struct llama_sampler *s = open_sampler(0);
  for (int i = 0; i < n; i++) {
    add(&b, any_token(), i, 0, i == n - 1);
    if (b.n_tokens == BATCH || i == n - 1) compute(ctx, &b);
  }
  const llama_token next = llama_sampler_sample(s, ctx, -1);
  llama_sampler_free(s);
  llama_batch_free(b);
  return next;
}

static double prefill(int n) {
  struct llama_context *ctx = open_context(n + 1, 1);
  const double begin = now();
  prompt(ctx, n);
  const double seconds = now() - begin;
  llama_free(ctx);
  return n / seconds;
}

static place *place_of(int depth) {
  for (int i = 0; i < n_places; i++)
    if (places[i].depth == depth) return &places[i];
  if (n_places == MAX_DEPTHS) die("too many depths");
  place *p = &places[n_places++];
  p->depth = depth;
  p->ctx = open_context(depth + max_decode + 1, 1);
  p->next = prompt(p->ctx, depth);
  return p;
}

static double decode(int n, int depth, double temperature) {
  if (n > max_decode) die("an answer longer than there is room");
  place *p = place_of(depth ? depth : 1);
  struct llama_sampler *s = open_sampler(temperature);
  struct llama_batch b = llama_batch_init(1, 0, 1);
  llama_token id = p->next;
  const double begin = now();
  for (int i = 0; i < n; i++) {
    add(&b, id, p->depth + i, 0, true);
    compute(p->ctx, &b);
    id = llama_sampler_sample(s, p->ctx, -1);
  }
  const double seconds = now() - begin;
  llama_memory_seq_rm(llama_get_memory(p->ctx), 0, p->depth, -1);
  llama_batch_free(b);
  llama_sampler_free(s);
  return n / seconds;
}

static double streams(int k, int n) {
  if (k > max_streams) die("more streams than there is room");
  struct llama_context *ctx = open_context(STREAM_PROMPT + n + 1, k);
  struct llama_sampler *s = open_sampler(0);
  struct llama_batch b = llama_batch_init(k * STREAM_PROMPT, 0, 1);
  llama_token *ids = calloc((size_t)k, sizeof *ids);
  if (!ids) die("out of memory");
  for (int q = 0; q < k; q++)
    for (int i = 0; i < STREAM_PROMPT; i++) add(&b, any_token(), i, q, i == STREAM_PROMPT - 1);
  compute(ctx, &b);
  for (int q = 0; q < k; q++) ids[q] = llama_sampler_sample(s, ctx, q * STREAM_PROMPT + STREAM_PROMPT - 1);
  const double begin = now();
  for (int i = 0; i < n; i++) {
    for (int q = 0; q < k; q++) add(&b, ids[q], STREAM_PROMPT + i, q, true);
    compute(ctx, &b);
    for (int q = 0; q < k; q++) ids[q] = llama_sampler_sample(s, ctx, q);
  }
  const double seconds = now() - begin;
  free(ids);
  llama_batch_free(b);
  llama_sampler_free(s);
  llama_free(ctx);
  return (double)k * n / seconds;
}

int main(int argc, char **argv) {
  char line[256];
  if (argc != 5) die("wrong words");
  n_threads = atoi(argv[2]);
  max_decode = atoi(argv[3]);
  max_streams = atoi(argv[4]);
  llama_log_set(silent, NULL);
  llama_backend_init();
  struct llama_model_params p = llama_model_default_params();
  p.n_gpu_layers = 0;
  model = llama_model_load_from_file(argv[1], p);
  if (!model) die("cannot load the model");
  printf("{\"ready\": \"%s\"}\n", llama_print_system_info());
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    int a, b;
    double t, tok_s;
    if (sscanf(line, "prefill %d", &a) == 1)
      tok_s = prefill(a);
    else if (sscanf(line, "decode %d %d %lf", &a, &b, &t) == 3)
      tok_s = decode(a, b, t);
    else if (sscanf(line, "streams %d %d", &a, &b) == 2)
      tok_s = streams(a, b);
    else
      die("a request that it does not know");
    printf("{\"tok_s\": %.4f}\n", tok_s);
    fflush(stdout);
  }
  return 0;
}
