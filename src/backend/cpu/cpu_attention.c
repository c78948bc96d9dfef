// Attention of the cpu backend: which queries go through the kernels together, and on which thread.
#include "backend/cpu/cpu_hadamard.h"
#include "backend/cpu/cpu_state.h"

#include <math.h>
#include <string.h>

// An item is a block of rows of one sequence, one kv head and up to CPU_ATTEND_QUERIES of the query heads
// that read it, so that K and V are widened once for all of them. Items are either computed whole, span by
// span, or (by_span) cut into their spans, which threads share out and in which blocks that read the same
// pages are computed together.
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
  int span_tokens;
  int64_t n_items;
  int n_spans; // that a row sees at most, when by_span
  int state_floats;
} attend_job;

// The queries of one call of the kernels, and whose they are.
typedef struct query_set {
  cpu_attend at;
  cpu_kv_head head;
  int first_head, last_head;
  int begin, end; // all positions that they see
  int row[CPU_ATTEND_QUERIES], query_head[CPU_ATTEND_QUERIES];
} query_set;

// For each query a vector, and one more float behind it.
static size_t query_floats(const cpu_backend *s) {
  return (size_t)CPU_ATTEND_QUERIES * (size_t)(s->max_dim_pad + CPU_LANES);
}

static size_t room_floats(const cpu_backend *s) {
  return query_floats(s) + cpu_attend_room_floats(s->max_dim_pad);
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

// The first position that a row at `pos` sees.
static int sees_from(const attend_job *j, int pos) {
  return j->a->window && pos >= j->a->window ? pos - j->a->window + 1 : 0;
}

// An empty set of the chunk-th heads; chunks are numbered with the kv heads outermost.
static void begin_set(const attend_job *j, int chunk, int thread, query_set *set) {
  int kv_head = chunk / j->n_chunks;
  set->first_head = kv_head * j->group + chunk % j->n_chunks * j->item_heads;
  set->last_head = set->first_head + j->item_heads;
  if (set->last_head > (kv_head + 1) * j->group) set->last_head = (kv_head + 1) * j->group;
  set->head = j->kv->head;
  set->head.base =
      j->kv->data + (size_t)j->a->layer * j->kv->layer_bytes + (size_t)kv_head * j->kv->head_bytes;
  set->at.kv = &set->head;
  set->at.scale = j->a->scale;
  set->at.n_queries = 0;
  set->at.room = cpu_attention_room(j->s, thread) + query_floats(j->s);
  set->begin = INT32_MAX;
  set->end = 0;
}

// With the rows of a block that see positions of the span; -1: of any.
static void add_block(const attend_job *j, const cpu_block *block, int span, query_set *set) {
  const pn_batch *b = &j->s->batch;
  cpu_attend *at = &set->at;
  at->pages = j->places->pages[b->seq[block->row]];
  for (int r = block->row; r < block->row + block->n; r++) {
    int from = sees_from(j, b->pos[r]), to = b->pos[r] + 1;
    if (span >= 0 && (from >= (span + 1) * j->span_tokens || to <= span * j->span_tokens)) continue;
    if (from < set->begin) set->begin = from;
    if (to > set->end) set->end = to;
    for (int h = set->first_head; h < set->last_head; h++) {
      int i = at->n_queries++;
      at->q[i] = j->q + r * j->q_stride + (int64_t)h * j->a->head_dim;
      at->begin[i] = from;
      at->end[i] = to;
      set->row[i] = r;
      set->query_head[i] = h;
    }
  }
}

// int4 has K and V rotated, so that it wants the queries likewise; see cpu_attend for what lies behind them.
static void turn_queries(const attend_job *j, int thread, cpu_attend *at) {
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

// A state that saw no position of its span has nothing to say.
static void merge(const attend_job *j, float *into, const float *from) {
  const int pad = j->kv->head.dim_pad;
  if (from[pad] == -INFINITY) return;
  if (into[pad] == -INFINITY)
    memcpy(into, from, (size_t)j->state_floats * sizeof *into);
  else
    j->s->ops->attend_merge(into, from, pad);
}

static void finish(const attend_job *j, const float *state, int row, int head) {
  float *out = j->out + row * j->out_stride + (int64_t)head * j->a->head_dim;
  j->s->ops->attend_finish(state, j->kv->head.dim_pad, j->a->head_dim, out);
  if (j->kv->shape.type == PN_KV_INT4) cpu_hadamard(out, j->a->head_dim);
}

// All spans of an item on one thread. Of a chunk's items those with long contexts come first.
static void attend_item(const attend_job *j, int64_t item, int thread) {
  query_set set;
  const int n_blocks = j->s->n_blocks;
  const cpu_block *blocks = j->s->blocks.p;
  begin_set(j, (int)(item / n_blocks), thread, &set);
  add_block(j, &blocks[n_blocks - 1 - item % n_blocks], -1, &set);
  turn_queries(j, thread, &set.at);
  const size_t floats = (size_t)j->state_floats;
  float *running = (float *)j->s->states.p + (size_t)thread * 2 * CPU_ATTEND_QUERIES * floats;
  float *found = running;
  const int first = set.begin / j->span_tokens, last = (set.end - 1) / j->span_tokens;
  for (int span = first; span <= last; span++) {
    if (span > first) found = running + CPU_ATTEND_QUERIES * floats;
    for (int i = 0; i < set.at.n_queries; i++) set.at.state[i] = found + (size_t)i * floats;
    j->s->ops->attend(&set.at, span);
    for (int i = 0; span > first && i < set.at.n_queries; i++)
      merge(j, running + (size_t)i * floats, set.at.state[i]);
  }
  for (int i = 0; i < set.at.n_queries; i++)
    finish(j, running + (size_t)i * floats, set.row[i], set.query_head[i]);
}

// Of a query and a span that its row sees.
static float *span_state(const attend_job *j, int row, int head, int span) {
  int64_t query = (int64_t)row * j->a->n_heads + head;
  int64_t index = query * j->n_spans + span - sees_from(j, j->s->batch.pos[row]) / j->span_tokens;
  return (float *)j->s->spans.p + index * j->state_floats;
}

// The blocks that read `span` from the same pages stand side by side; as many as fit are computed together,
// from the first on. The number of blocks that are computed with block i, 0 when it is with one before it.
static int blocks_with(const attend_job *j, int i, int span) {
  const cpu_block *blocks = j->s->blocks.p;
  int at = i;
  while (at > 0 && blocks[at].shared > span) at--;
  for (;;) {
    int n = 1, rows = blocks[at].n;
    for (; at + n < j->s->n_blocks && blocks[at + n].shared > span; n++) {
      if ((rows + blocks[at + n].n) * j->item_heads > CPU_ATTEND_QUERIES) break;
      rows += blocks[at + n].n;
    }
    if (at == i) return n;
    if (at + n > i) return 0;
    at += n;
  }
}

// The k-th span that a block sees, and what is computed with it, for the chunk-th heads.
static void attend_one_span(const attend_job *j, int64_t index, int thread) {
  query_set set;
  const cpu_block *blocks = j->s->blocks.p;
  const int i = (int)(index % j->s->n_blocks);
  const int64_t span_of_chunk = index / j->s->n_blocks;
  const int span = sees_from(j, blocks[i].lowest) / j->span_tokens + (int)(span_of_chunk % j->n_spans);
  if (span > blocks[i].highest / j->span_tokens) return;
  const int n = blocks_with(j, i, span);
  if (n == 0) return;
  begin_set(j, (int)(span_of_chunk / j->n_spans), thread, &set);
  for (int k = i; k < i + n; k++) add_block(j, &blocks[k], span, &set);
  turn_queries(j, thread, &set.at);
  for (int q = 0; q < set.at.n_queries; q++)
    set.at.state[q] = span_state(j, set.row[q], set.query_head[q], span);
  j->s->ops->attend(&set.at, span);
}

static void merge_query(const attend_job *j, int row, int head) {
  const int pos = j->s->batch.pos[row], first = sees_from(j, pos) / j->span_tokens;
  float *into = span_state(j, row, head, first);
  for (int span = first + 1; span <= pos / j->span_tokens; span++)
    merge(j, into, span_state(j, row, head, span));
  finish(j, into, row, head);
}

static void attend_items(void *ctx, int thread, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; i++) attend_item(ctx, i, thread);
}

static void attend_spans(void *ctx, int thread, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; i++) attend_one_span(ctx, i, thread);
}

static void merge_queries(void *ctx, int thread, int64_t begin, int64_t end) {
  const attend_job *j = ctx;
  (void)thread;
  for (int64_t i = begin; i < end; i++) merge_query(j, (int)(i / j->a->n_heads), (int)(i % j->a->n_heads));
}

// Spans can be shared out where their states have room; what is worth it are few items, or shared pages.
static bool by_span(const attend_job *j, int longest) {
  const int n_threads = cpu_pool_threads(j->s->pool);
  const uint64_t n_states = (uint64_t)j->s->batch.n_rows * (uint64_t)j->a->n_heads * (uint64_t)j->n_spans;
  if (n_states * (uint64_t)j->state_floats * sizeof(float) > CPU_SPAN_BYTES) return false;
  return j->s->blocks_share || (n_threads > 1 && j->n_items < 8 * n_threads && longest > j->span_tokens);
}

static void attend_all(attend_job *j) {
  const pn_batch *b = &j->s->batch;
  const int n_heads = j->a->n_heads;
  int longest = 0; // context of a row
  for (int r = 0; r < b->n_rows; r++) {
    const int spans = b->pos[r] / j->span_tokens - sees_from(j, b->pos[r]) / j->span_tokens + 1;
    if (spans > j->n_spans) j->n_spans = spans;
    if (b->pos[r] >= longest) longest = b->pos[r] + 1;
  }
  const bool spans = by_span(j, longest);
  const int64_t work = (int64_t)b->n_rows * n_heads * j->a->head_dim * longest;
  const int64_t n_pieces = j->n_items * j->n_spans, n_queries = (int64_t)b->n_rows * n_heads;
  const bool alone = work < 32 * 1024; // too little to wake anyone for: one piece
  cpu_pool *pool = j->s->pool;
  if (!spans) {
    cpu_pool_run(pool, attend_items, j, j->n_items, alone ? j->n_items : 1);
    return;
  }
  cpu_pool_run(pool, attend_spans, j, n_pieces, alone ? n_pieces : cpu_pool_chunk(pool, n_pieces, 32));
  cpu_pool_run(pool, merge_queries, j, n_queries, alone ? n_queries : cpu_pool_chunk(pool, n_queries, 1));
}

void cpu_attention(cpu_backend *s, const pn_step *step) {
  const pn_attention *a = &step->attention;
  const pn_kv_rows *places = &s->batch.kv[a->group];
  const pn_kv *kv = places->kv;
  const cpu_rows q = cpu_rows_of(s, step->in[0]), out = cpu_rows_of(s, step->out);
  attend_job j = {.s = s, .places = places, .kv = kv, .a = a, .q = q.p, .q_stride = q.stride};
  j.out = out.p;
  j.out_stride = out.stride;
  j.group = a->n_heads / a->n_kv_heads;
  j.item_heads = j.group < CPU_ATTEND_QUERIES ? j.group : CPU_ATTEND_QUERIES;
  j.n_chunks = (j.group + j.item_heads - 1) / j.item_heads;
  j.span_tokens = cpu_span_pages(kv->head.page_tokens) * kv->head.page_tokens;
  j.state_floats = cpu_attend_state_floats(kv->head.dim_pad);
  cpu_attention_blocks(s, places, a->window, CPU_ATTEND_QUERIES / j.item_heads);
  j.n_items = (int64_t)s->n_blocks * a->n_kv_heads * j.n_chunks;
  attend_all(&j);
}
