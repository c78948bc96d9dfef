#include "backend/cpu/cpu_hadamard.h"
#include "backend/cpu/cpu_state.h"

#include <math.h>
#include <string.h>

// A work item is a block of rows of one sequence, one kv head and up to CPU_ATTEND_QUERIES of the query heads
// that read it, so that every page is fetched once for all of them.
typedef struct attend_job {
  cpu_backend *s;
  const pn_kv_rows *places;
  const pn_kv *kv;
  const pn_attention *a;
  const float *q;
  int64_t q_stride;
  float *out;
  int64_t out_stride;
  int group;      // query heads a kv head
  int item_heads; // query heads an item
  int n_chunks;   // items that share out a group
  int64_t n_items;
  int n_spans;  // most spans of an item
  bool by_span; // threads share out spans, not items
  int state_floats;
} attend_job;

// For each query a vector, and one more float behind it.
static size_t room_floats(const cpu_backend *s) {
  return (size_t)CPU_ATTEND_QUERIES * (size_t)(s->max_dim_pad + CPU_LANES);
}

float *cpu_attention_room(const cpu_backend *s, int thread) {
  return (float *)s->rooms.p + (size_t)thread * room_floats(s);
}

bool cpu_attention_reserve(cpu_backend *s, int dim_pad, pn_error *e) {
  if (dim_pad > s->max_dim_pad) s->max_dim_pad = dim_pad;
  size_t state = (size_t)cpu_attend_state_floats(s->max_dim_pad) * sizeof(float);
  size_t states = (size_t)cpu_pool_threads(s->pool) * 2 * CPU_ATTEND_QUERIES * state;
  size_t rooms = (size_t)cpu_pool_threads(s->pool) * room_floats(s) * sizeof(float);
  if (cpu_scratch_reserve(&s->states, states) && cpu_scratch_reserve(&s->rooms, rooms) &&
      cpu_scratch_reserve(&s->spans, CPU_SPAN_BYTES))
    return true;
  return pn_fail(e, PN_ERR_NOMEM, "no memory for the attention of heads of %d", dim_pad);
}

// Cut the batch into runs of at most n rows of one sequence.
static void make_blocks(cpu_backend *s, int n) {
  if (s->block_rows == n) return;
  cpu_block *blocks = s->blocks.p;
  const pn_batch *b = &s->batch;
  s->n_blocks = 0;
  s->block_rows = n;
  for (int r = 0; r < b->n_rows; r++) {
    cpu_block *last = s->n_blocks ? &blocks[s->n_blocks - 1] : NULL;
    if (last && last->n < n && b->seq[r] == b->seq[last->row])
      last->n++;
    else
      blocks[s->n_blocks++] = (cpu_block){r, 1};
  }
}

// The item's queries, without states; [*begin, *end) holds all positions that they see. `into` gets what
// attend_out needs. Items are numbered with the kv heads outermost and, in each, long contexts first.
static void describe_item(const attend_job *j, int64_t item, cpu_attend *at, cpu_kv_head *head, int *begin,
                          int *end, float **out) {
  const pn_batch *b = &j->s->batch;
  int n_blocks = j->s->n_blocks, chunk = (int)(item / n_blocks);
  int kv_head = chunk / j->n_chunks, first_head = kv_head * j->group + chunk % j->n_chunks * j->item_heads;
  int last_head = (kv_head + 1) * j->group;
  if (first_head + j->item_heads < last_head) last_head = first_head + j->item_heads;
  cpu_block block = ((const cpu_block *)j->s->blocks.p)[n_blocks - 1 - item % n_blocks];
  *head = j->kv->head;
  head->base = j->kv->data + (size_t)j->a->layer * j->kv->layer_bytes + (size_t)kv_head * j->kv->head_bytes;
  at->kv = head;
  at->pages = j->places->pages[b->seq[block.row]];
  at->scale = j->a->scale;
  at->n_queries = 0;
  *begin = INT32_MAX;
  *end = 0;
  for (int r = block.row; r < block.row + block.n; r++) {
    int to = b->pos[r] + 1, from = j->a->window && to > j->a->window ? to - j->a->window : 0;
    if (from < *begin) *begin = from;
    if (to > *end) *end = to;
    for (int h = first_head; h < last_head; h++) {
      int i = at->n_queries++;
      at->q[i] = j->q + r * j->q_stride + (int64_t)h * j->a->head_dim;
      at->begin[i] = from;
      at->end[i] = to;
      out[i] = j->out + r * j->out_stride + (int64_t)h * j->a->head_dim;
    }
  }
}

static void fresh_states(const attend_job *j, cpu_attend *at, float *states) {
  for (int i = 0; i < at->n_queries; i++) {
    at->state[i] = states + (int64_t)i * j->state_floats;
    memset(at->state[i], 0, (size_t)j->state_floats * sizeof(float));
    at->state[i][j->kv->head.dim_pad] = -INFINITY;
  }
}

// int4 has K and V rotated, so that it wants the queries likewise; see cpu_attend for what lies behind them.
static void turn_queries(const attend_job *j, cpu_attend *at, int thread) {
  if (j->kv->shape.type != PN_KV_INT4) return;
  float *to = cpu_attention_room(j->s, thread);
  const int dim = j->a->head_dim, pad = j->kv->head.dim_pad;
  for (int i = 0; i < at->n_queries; i++, to += pad + CPU_LANES) {
    memcpy(to, at->q[i], (size_t)dim * sizeof *to);
    memset(to + dim, 0, (size_t)(pad + CPU_LANES - dim) * sizeof *to);
    cpu_hadamard(to, dim);
    for (int d = 0; d < dim; d++) to[pad] += to[d];
    at->q[i] = to;
  }
}

static int span_tokens(const attend_job *j) { return CPU_SPAN_PAGES * j->kv->head.page_tokens; }

static void attend_span(const attend_job *j, const cpu_attend *at, int span, int end) {
  int first = span * CPU_SPAN_PAGES, last = first + CPU_SPAN_PAGES;
  int needed = (end + j->kv->head.page_tokens - 1) / j->kv->head.page_tokens;
  j->s->ops->attend(at, first, last < needed ? last : needed);
}

// A state that saw no position of its span has nothing to say.
static void merge(const attend_job *j, float *into, const float *from) {
  if (from[j->kv->head.dim_pad] != -INFINITY) j->s->ops->attend_merge(into, from, j->kv->head.dim_pad);
}

static void finish(const attend_job *j, const float *state, float *out) {
  j->s->ops->attend_finish(state, j->kv->head.dim_pad, j->a->head_dim, out);
  if (j->kv->shape.type == PN_KV_INT4) cpu_hadamard(out, j->a->head_dim);
}

// All spans of an item on one thread.
static void attend_item(const attend_job *j, int64_t item, int thread) {
  cpu_attend at;
  cpu_kv_head head;
  int begin, end;
  float *out[CPU_ATTEND_QUERIES], *running[CPU_ATTEND_QUERIES];
  describe_item(j, item, &at, &head, &begin, &end, out);
  turn_queries(j, &at, thread);
  size_t set = (size_t)CPU_ATTEND_QUERIES * (size_t)j->state_floats;
  float *states = (float *)j->s->states.p + (size_t)thread * 2 * set;
  int first = begin / span_tokens(j), last = (end - 1) / span_tokens(j);
  fresh_states(j, &at, states);
  memcpy(running, at.state, sizeof running);
  attend_span(j, &at, first, end);
  for (int span = first + 1; span <= last; span++) {
    fresh_states(j, &at, states + set);
    attend_span(j, &at, span, end);
    for (int i = 0; i < at.n_queries; i++) merge(j, running[i], at.state[i]);
  }
  for (int i = 0; i < at.n_queries; i++) finish(j, running[i], out[i]);
}

static float *span_states(const attend_job *j, int64_t item, int span) {
  return (float *)j->s->spans.p + (item * j->n_spans + span) * CPU_ATTEND_QUERIES * j->state_floats;
}

// The span-th span that the item sees, into the item's shared states.
static void attend_one_span(const attend_job *j, int64_t item, int span, int thread) {
  cpu_attend at;
  cpu_kv_head head;
  int begin, end;
  float *out[CPU_ATTEND_QUERIES];
  describe_item(j, item, &at, &head, &begin, &end, out);
  int first = begin / span_tokens(j), last = (end - 1) / span_tokens(j);
  if (first + span > last) return;
  turn_queries(j, &at, thread);
  fresh_states(j, &at, span_states(j, item, span));
  attend_span(j, &at, first + span, end);
}

static void merge_item(const attend_job *j, int64_t item) {
  cpu_attend at;
  cpu_kv_head head;
  int begin, end;
  float *out[CPU_ATTEND_QUERIES];
  describe_item(j, item, &at, &head, &begin, &end, out);
  int n = (end - 1) / span_tokens(j) - begin / span_tokens(j) + 1;
  for (int i = 0; i < at.n_queries; i++) {
    float *into = span_states(j, item, 0) + (int64_t)i * j->state_floats;
    for (int span = 1; span < n; span++)
      merge(j, into, span_states(j, item, span) + (int64_t)i * j->state_floats);
    finish(j, into, out[i]);
  }
}

static void attend_items(void *ctx, int thread, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; i++) attend_item(ctx, i, thread);
}

static void attend_spans(void *ctx, int thread, int64_t begin, int64_t end) {
  const attend_job *j = ctx;
  for (int64_t i = begin; i < end; i++) attend_one_span(j, i / j->n_spans, (int)(i % j->n_spans), thread);
}

static void merge_items(void *ctx, int thread, int64_t begin, int64_t end) {
  (void)thread;
  for (int64_t i = begin; i < end; i++) merge_item(ctx, i);
}

// A row whose merged first span is fresh can't be: every row sees at least its own position, and a row of a
// block that begins later than the others merges into a fresh first state, which is a copy.
void cpu_attention(cpu_backend *s, const pn_step *step) {
  const pn_attention *a = &step->attention;
  const pn_kv_rows *places = &s->batch.kv[a->group];
  const pn_kv *kv = places->kv;
  const cpu_rows q = cpu_rows_of(s, step->in[0]), out = cpu_rows_of(s, step->out);
  attend_job j = {.s = s,
                  .places = places,
                  .kv = kv,
                  .a = a,
                  .q = q.p,
                  .q_stride = q.stride,
                  .out = out.p,
                  .out_stride = out.stride};
  j.group = a->n_heads / a->n_kv_heads;
  j.item_heads = j.group < CPU_ATTEND_QUERIES ? j.group : CPU_ATTEND_QUERIES;
  j.n_chunks = (j.group + j.item_heads - 1) / j.item_heads;
  j.state_floats = cpu_attend_state_floats(kv->head.dim_pad);
  make_blocks(s, CPU_ATTEND_QUERIES / j.item_heads);
  j.n_items = (int64_t)s->n_blocks * a->n_kv_heads * j.n_chunks;
  int longest = 0;
  for (int r = 0; r < s->batch.n_rows; r++)
    if (s->batch.pos[r] >= longest) longest = s->batch.pos[r] + 1;
  j.n_spans = longest / span_tokens(&j) + 1;
  uint64_t span_bytes = (uint64_t)j.n_items * (uint64_t)j.n_spans * CPU_ATTEND_QUERIES *
                        (uint64_t)j.state_floats * sizeof(float);
  int n_threads = cpu_pool_threads(s->pool);
  j.by_span =
      n_threads > 1 && j.n_items < 4 * n_threads && longest > span_tokens(&j) && span_bytes <= CPU_SPAN_BYTES;
  int64_t work = (int64_t)s->batch.n_rows * a->n_heads * a->head_dim * longest;
  if (n_threads > 1 && work < 32 * 1024) // too little to wake anyone for
    attend_items(&j, 0, 0, j.n_items);
  else if (!j.by_span)
    cpu_pool_run(s->pool, attend_items, &j, j.n_items, 1);
  else {
    cpu_pool_run(s->pool, attend_spans, &j, j.n_items * j.n_spans, 1);
    cpu_pool_run(s->pool, merge_items, &j, j.n_items, cpu_pool_chunk(s->pool, j.n_items, 1));
  }
}
