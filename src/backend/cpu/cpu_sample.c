// Sampling of the cpu backend: the passes over the logits, shared out by blocks whatever the number of rows
// is, so that one row keeps all threads busy as well as many do. pn_backend_ops.sample says what is computed;
// sums are exact, so no result depends on how the blocks are shared out.
#include "backend/cpu/cpu_sample.h"

#include "backend/cpu/cpu_state.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// The cost of a pass for each entry, in units of about 0.05 ns on a core of 2023. The caller computes calls
// of up to ALONE_COST itself, since joining threads costs more where their cores are taken.
enum { TOP_COST = 1, MASK_COST = 2, SUM_COST = 10, ALONE_COST = 1 << 21 };

typedef struct cpu_sampler {
  int n_vocab, max_rows, n_blocks, n_lists;
  void *memory;
  sample_view *views; // [2 * max_rows]: of the choice; then, where it differs, of the log probabilities
  int *model_view;    // [max_rows]: the view for a row's log probabilities
  sample_list *lists; // [n_lists], one a thread
} cpu_sampler;

void cpu_sampler_free(cpu_sampler *s) {
  if (!s) return;
  free(s->views);
  free(s->model_view);
  free(s->lists);
  cpu_memory_free(s->memory);
  free(s);
}

// Hand out `bytes` at a multiple of 64; with memory NULL only count.
static void *cut(char *memory, size_t *at, size_t bytes) {
  void *p = memory ? memory + *at : NULL;
  *at += (bytes + 63) / 64 * 64;
  return p;
}

// Lay out the arrays of views and lists over `memory`; the number of bytes.
static size_t lay_out(cpu_sampler *s, char *memory) {
  size_t at = 0, blocks = (size_t)s->n_blocks, entries = blocks * SAMPLE_BLOCK;
  for (int i = 0; i < 2 * s->max_rows; i++) {
    sample_view *v = &s->views[i];
    v->lanes = cut(memory, &at, blocks * CPU_LANES * sizeof *v->lanes);
    v->tops = cut(memory, &at, blocks * sizeof *v->tops);
    v->sums = cut(memory, &at, blocks * sizeof *v->sums);
    if (i < s->max_rows) v->masked = cut(memory, &at, entries * sizeof *v->masked);
  }
  for (int i = 0; i < s->n_lists; i++) {
    sample_list *l = &s->lists[i];
    l->logit = cut(memory, &at, entries * sizeof *l->logit);
    l->entry = cut(memory, &at, entries * sizeof *l->entry);
    l->weight = cut(memory, &at, entries * sizeof *l->weight);
  }
  return at;
}

static cpu_sampler *sampler_new(int n_vocab, int max_rows, int n_threads) {
  cpu_sampler *s = calloc(1, sizeof *s);
  if (!s) return NULL;
  *s = (cpu_sampler){.n_vocab = n_vocab,
                     .max_rows = max_rows,
                     .n_blocks = (n_vocab + SAMPLE_BLOCK - 1) / SAMPLE_BLOCK,
                     .n_lists = n_threads};
  s->views = calloc(2 * (size_t)max_rows, sizeof *s->views);
  s->model_view = calloc((size_t)max_rows, sizeof *s->model_view);
  s->lists = calloc((size_t)s->n_lists, sizeof *s->lists);
  if (s->views && s->model_view && s->lists) s->memory = cpu_memory_new(lay_out(s, NULL));
  if (!s->memory) {
    cpu_sampler_free(s);
    return NULL;
  }
  lay_out(s, s->memory);
  return s;
}

bool cpu_sample_reserve(pn_backend *b, int n_vocab, int max_rows, pn_error *e) {
  cpu_backend *s = (cpu_backend *)b;
  const cpu_sampler *has = s->sampler;
  if (n_vocab < 1 || n_vocab > PN_SAMPLE_MAX_VOCAB || max_rows < 1)
    return pn_fail(e, PN_ERR_UNSUPPORTED, "sampling: expected 1 to %d entries and a row, found %d and %d",
                   PN_SAMPLE_MAX_VOCAB, n_vocab, max_rows);
  if (has && has->n_vocab >= n_vocab && has->max_rows >= max_rows) return true;
  if (has && has->n_vocab > n_vocab) n_vocab = has->n_vocab;
  if (has && has->max_rows > max_rows) max_rows = has->max_rows;
  cpu_sampler *fresh = sampler_new(n_vocab, max_rows, cpu_pool_threads(s->pool));
  if (!fresh) return pn_fail(e, PN_ERR_NOMEM, "no memory to sample %d rows of %d entries", max_rows, n_vocab);
  cpu_sampler_free(s->sampler);
  s->sampler = fresh;
  return true;
}

typedef struct sample_job {
  cpu_backend *b;
  cpu_sampler *s;
  const pn_sample *how;
  pn_choice *out;
  int n_rows, n_views, most_blocks;
  bool weighs; // some view does
  int64_t cost;
} sample_job;

// --- the two passes ----------------------------------------------------------------------------------------

static void top_block(const cpu_ops *ops, const sample_view *v, int block) {
  int at = block * SAMPLE_BLOCK, n = v->n - at < SAMPLE_BLOCK ? v->n - at : SAMPLE_BLOCK;
  if (v->ids)
    for (int i = at; i < at + n; i++) v->masked[i] = v->from[v->ids[i]];
  else if (v->mask)
    ops->sample_mask(v->from + at, n, v->mask->bits + at / 64, v->masked + at);
  v->tops[block] = ops->sample_top(v->v + at, n, v->lanes + (size_t)block * CPU_LANES);
}

static void sum_block(const cpu_ops *ops, const sample_view *v, const cpu_weighing *w, int block) {
  int at = block * SAMPLE_BLOCK, n = v->n - at < SAMPLE_BLOCK ? v->n - at : SAMPLE_BLOCK;
  v->sums[block] = ops->sample_sum(v->v + at, n, w);
}

// One of the passes over some of all blocks of all views.
static void pass(const sample_job *j, bool sums, int64_t at, int64_t end) {
  const cpu_ops *ops = j->b->ops;
  while (at < end) {
    const sample_view *v = &j->s->views[at / j->most_blocks];
    int block = (int)(at % j->most_blocks);
    int64_t left = end - at, whole = j->most_blocks - block;
    int last = block + (int)(left < whole ? left : whole);
    at += last - block;
    if (last > v->n_blocks) last = v->n_blocks;
    if (!sums) {
      for (; block < last; block++) top_block(ops, v, block);
    } else if (v->weighs && block < last) {
      const cpu_weighing w = sample_weighing(v);
      for (; block < last; block++) sum_block(ops, v, &w, block);
    }
  }
}

static void choose_row(const sample_job *j, int row, sample_list *l) {
  const pn_sample *how = &j->how[row];
  pn_choice *out = &j->out[row];
  *out = (pn_choice){.id = sample_row_choose(j->b->ops, &j->s->views[row], how, l)};
  if (out->id >= 0 && how->logprobs)
    sample_row_logprobs(j->b->ops, &j->s->views[j->s->model_view[row]], how->n_top, l, out);
}

static void find_tops(void *ctx, int thread, int64_t begin, int64_t end) {
  (void)thread;
  pass(ctx, false, begin, end);
}

static void find_sums(void *ctx, int thread, int64_t begin, int64_t end) {
  (void)thread;
  pass(ctx, true, begin, end);
}

static void choose_rows(void *ctx, int thread, int64_t begin, int64_t end) {
  const sample_job *j = ctx;
  for (int64_t r = begin; r < end; r++) choose_row(j, (int)r, &j->s->lists[thread]);
}

static void sample_rows(sample_job *j) {
  cpu_pool *pool = j->b->pool;
  const int64_t blocks = (int64_t)j->n_views * j->most_blocks;
  const bool alone = j->cost <= ALONE_COST;
  const int64_t chunk = alone ? blocks : cpu_pool_chunk(pool, blocks, 4);
  cpu_pool_run(pool, find_tops, j, blocks, chunk);
  if (j->weighs) cpu_pool_run(pool, find_sums, j, blocks, chunk);
  cpu_pool_run(pool, choose_rows, j, j->n_rows, alone ? j->n_rows : cpu_pool_chunk(pool, j->n_rows, 1));
}

// --- what the rows are asked for ---------------------------------------------------------------------------

static void set_view(sample_view *v, const float *logits, int n_vocab, const pn_sample *how) {
  bool draws = how && how->temperature > 0;
  v->from = logits;
  v->mask = how && (how->ids || how->bits) ? how : NULL;
  v->v = v->mask ? v->masked : logits;
  v->ids = v->mask ? how->ids : NULL;
  v->n = v->ids ? how->n_ids : n_vocab;
  v->n_blocks = (v->n + SAMPLE_BLOCK - 1) / SAMPLE_BLOCK;
  v->inverse = draws ? fminf(1.0f / how->temperature, FLT_MAX) : 1;
  v->least = PN_SAMPLE_LEAST;
  v->weighs = !how || (draws && !sample_row_cuts(how, v->n));
  // Without another filter in front of it, min_p is a nearer bound.
  if (draws && how->min_p > 0 && !(how->top_p < 1))
    v->least = fmaxf(v->least, fminf(0, (float)log((double)how->min_p)));
}

static int64_t cost_of(const sample_view *v) {
  return (int64_t)v->n * (TOP_COST + (v->mask ? MASK_COST : 0) + (v->weighs ? SUM_COST : 0));
}

// The views of rows [0, n_rows), and which one tells log probabilities.
static void set_views(sample_job *j, const float *logits, int64_t stride, int n_vocab) {
  cpu_sampler *s = j->s;
  j->n_views = j->n_rows;
  for (int r = 0; r < j->n_rows; r++) {
    sample_view *v = &s->views[r];
    set_view(v, logits + r * stride, n_vocab, &j->how[r]);
    if (!j->how[r].logprobs) continue;
    bool same = !v->mask && v->inverse == 1 && v->least == PN_SAMPLE_LEAST;
    s->model_view[r] = same ? r : j->n_views++;
    if (same)
      v->weighs = true;
    else
      set_view(&s->views[s->model_view[r]], logits + r * stride, n_vocab, NULL);
  }
  for (int i = 0; i < j->n_views; i++) {
    if (s->views[i].n_blocks > j->most_blocks) j->most_blocks = s->views[i].n_blocks;
    j->weighs = j->weighs || s->views[i].weighs;
    j->cost += cost_of(&s->views[i]);
  }
}

void cpu_sample(pn_backend *b, const float *logits, int64_t stride, int n_vocab, const pn_sample *how, int n,
                pn_choice *out) {
  cpu_backend *s = (cpu_backend *)b;
  int most = s->sampler->max_rows;
  for (int done = 0; done < n; done += most) {
    sample_job j = {.b = s, .s = s->sampler, .how = how + done, .out = out + done};
    j.n_rows = n - done < most ? n - done : most;
    set_views(&j, logits + done * stride, stride, n_vocab);
    sample_rows(&j);
  }
}
