// The memory of a plan's buffers, and the batch's arrays on the device.
#include "backend/cuda/cuda_int.h"

#include <stdlib.h>
#include <string.h>

// Bytes of scratch beside the buffers.
typedef struct scratch {
  size_t planes, blocks, partials;
} scratch;

static int widest_input(const pn_plan *plan) {
  int width = 0;
  for (int i = 0; i < plan->n_steps; i++) {
    const pn_step *s = &plan->steps[i];
    if (s->op == PN_OP_MATMUL && s->in[0].width > width) width = s->in[0].width;
  }
  return width;
}

static scratch scratch_of(const pn_plan *plan, int max_rows, int max_logits) {
  const size_t width = (size_t)widest_input(plan),
               rows = (size_t)(max_rows > max_logits ? max_rows : max_logits);
  scratch s = {rows * width * 2, rows * ((width + 15) / 16), 0};
  for (int i = 0; i < plan->n_steps; i++) {
    const pn_step *t = &plan->steps[i];
    if (t->op != PN_OP_ATTENTION) continue;
    const size_t dim = (size_t)(t->attention.head_dim + 7) / 8 * 8 + 2;
    const size_t split = rows < CUDA_SPLIT_ROWS ? rows : (size_t)CUDA_SPLIT_ROWS;
    const size_t n = split * (size_t)t->attention.n_heads * CUDA_SPLITS * dim;
    if (n > s.partials) s.partials = n;
  }
  return s;
}

uint64_t cuda_workspace_bytes(pn_backend *b, const pn_plan *plan, int max_rows, int max_logits) {
  (void)b;
  uint64_t *offsets = (uint64_t *)malloc((size_t)(plan->n_buffers + 1) * sizeof *offsets);
  uint64_t bytes = offsets ? pn_plan_layout(plan, max_rows, max_logits, offsets) : UINT64_MAX;
  free(offsets);
  if (bytes == UINT64_MAX) return bytes;
  const scratch s = scratch_of(plan, max_rows, max_logits);
  return bytes + s.planes + s.blocks * 12 + s.partials * 4;
}

static bool allocate(pn_workspace *ws, uint64_t bytes, pn_error *e) {
  const scratch s = scratch_of(ws->plan, ws->max_rows, ws->max_logits);
  const struct {
    void **p;
    size_t n;
  } all[] = {{(void **)&ws->memory, (size_t)bytes},
             {(void **)&ws->planes, s.planes},
             {(void **)&ws->x_scale, s.blocks * sizeof(float)},
             {(void **)&ws->x_sum, s.blocks * sizeof(float)},
             {(void **)&ws->x_codes, s.blocks * sizeof(int32_t)},
             {(void **)&ws->partials, s.partials * sizeof(float)},
             {(void **)&ws->best, (size_t)(ws->max_logits + 1) * sizeof(int32_t)}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (!cuda_check(cudaMalloc(all[i].p, all[i].n + 256), e, "memory of a workspace")) return false;
  if (!cuda_check(cudaMallocHost((void **)&ws->host_best, (size_t)(ws->max_logits + 1) * sizeof(int32_t)), e,
                  "pinned memory"))
    return false;
  return cuda_check(cudaEventCreateWithFlags(&ws->done, cudaEventDisableTiming), e, "an event") &&
         cuda_check(cudaEventCreateWithFlags(&ws->copied, cudaEventDisableTiming), e, "an event");
}

static bool upload_ropes(pn_workspace *ws, pn_error *e) {
  ws->ropes = (float **)calloc((size_t)ws->plan->n_ropes + 1, sizeof *ws->ropes);
  if (!ws->ropes) return pn_fail(e, PN_ERR_NOMEM, "no memory for rotations");
  for (int i = 0; i < ws->plan->n_ropes; i++) {
    const size_t n = (size_t)(ws->plan->ropes[i].n_rot / 2) * sizeof(float);
    if (!cuda_check(cudaMalloc((void **)&ws->ropes[i], n + 4), e, "a rotation") ||
        !cuda_check(cudaMemcpy(ws->ropes[i], ws->plan->ropes[i].inv_freq, n, cudaMemcpyHostToDevice), e,
                    "a rotation"))
      return false;
  }
  return true;
}

pn_workspace *cuda_workspace_open(pn_backend *b, const pn_plan *plan, int max_rows, int max_logits,
                                  pn_error *e) {
  pn_workspace *ws = (pn_workspace *)calloc(1, sizeof *ws);
  if (!ws) return pn_fail(e, PN_ERR_NOMEM, "no memory for a workspace"), (pn_workspace *)NULL;
  ws->plan = plan;
  ws->max_rows = max_rows;
  ws->max_logits = max_logits;
  ws->offsets = (uint64_t *)malloc((size_t)(plan->n_buffers + 1) * sizeof *ws->offsets);
  uint64_t bytes = ws->offsets ? pn_plan_layout(plan, max_rows, max_logits, ws->offsets) : UINT64_MAX;
  if (bytes == UINT64_MAX)
    pn_fail(e, PN_ERR_NOMEM, "no memory for steps of %d rows", max_rows);
  else if (allocate(ws, bytes, e) && upload_ropes(ws, e))
    return ws;
  cuda_workspace_close(b, ws);
  return NULL;
}

void cuda_workspace_close(pn_backend *b, pn_workspace *ws) {
  if (!ws) return;
  cudaStreamSynchronize(((cuda_backend *)b)->stream);
  for (int i = 0; i < ws->n_graphs; i++) cudaGraphExecDestroy(ws->graphs[i].exec);
  for (int i = 0; ws->ropes && i < ws->plan->n_ropes; i++) cudaFree(ws->ropes[i]);
  void *const device[] = {ws->memory,  ws->planes,   ws->x_scale, ws->x_sum,
                          ws->x_codes, ws->partials, ws->best,    ws->arrays};
  for (size_t i = 0; i < sizeof device / sizeof *device; i++) cudaFree(device[i]);
  void *const pinned[] = {ws->staging, ws->host_best, ws->host_logits};
  for (size_t i = 0; i < sizeof pinned / sizeof *pinned; i++) cudaFreeHost(pinned[i]);
  if (ws->done) cudaEventDestroy(ws->done);
  if (ws->copied) cudaEventDestroy(ws->copied);
  free(ws->ropes);
  free(ws->offsets);
  free(ws);
}

cuda_rows cuda_rows_of(const pn_workspace *ws, pn_view v) {
  const pn_buffer *b = &ws->plan->buffers[v.buffer];
  float *p = (float *)(ws->memory + ws->offsets[v.buffer]);
  return cuda_rows{p + v.offset, b->width, b->by_logits ? ws->batch.n_logits : ws->batch.n_rows};
}

// The arrays of a batch lie in one block: those of rows at places that depend on the workspace only, so that
// recorded graphs find them, and behind them all page tables.
enum { ROW_ARRAYS = 4, GROUP_ARRAYS = 3 };

static size_t row_cap(const pn_workspace *ws) {
  return (size_t)((ws->max_rows > ws->max_logits ? ws->max_rows : ws->max_logits) + 4) / 4 * 4;
}

static size_t header_ints(const pn_workspace *ws) {
  return row_cap(ws) * (ROW_ARRAYS + GROUP_ARRAYS * (size_t)ws->n_groups);
}

// Pages of a sequence that its rows may read.
static int pages_of(const pn_batch *batch, int seq, int page_tokens) {
  int last = -1;
  for (int r = 0; r < batch->n_rows; r++)
    if (batch->seq[r] == seq && batch->pos[r] > last) last = batch->pos[r];
  return last < 0 ? 0 : last / page_tokens + 1;
}

static size_t count_pages(const pn_batch *batch) {
  size_t n = 0;
  for (int g = 0; g < batch->n_kv; g++)
    for (int q = 0; batch->kv[g].pages && q < batch->n_seqs; q++)
      n += (size_t)pages_of(batch, q, batch->kv[g].kv->shape.page_tokens);
  return n;
}

// A block for so many more numbers behind the header; graphs that know the old one are gone.
static bool grow(cuda_backend *s, pn_workspace *ws, size_t ints, pn_error *e) {
  if (ints * sizeof(int32_t) <= ws->arrays_cap) return true;
  const size_t cap = 2 * ints * sizeof(int32_t) + 4096;
  cuda_ok(s, cudaStreamSynchronize(s->stream), "waiting");
  for (int i = 0; i < ws->n_graphs; i++) cudaGraphExecDestroy(ws->graphs[i].exec);
  ws->n_graphs = 0;
  cudaFree(ws->arrays);
  cudaFreeHost(ws->staging);
  ws->arrays = ws->staging = NULL;
  ws->arrays_cap = 0;
  if (!cuda_check(cudaMalloc((void **)&ws->arrays, cap), e, "a batch's arrays") ||
      !cuda_check(cudaMallocHost((void **)&ws->staging, cap), e, "pinned memory"))
    return false;
  ws->arrays_cap = cap;
  return true;
}

// Array number i of those of rows: n numbers of it are set.
static const int32_t *put(pn_workspace *ws, int i, const int32_t *from, int n) {
  const size_t at = (size_t)i * row_cap(ws);
  if (from) memcpy((int32_t *)ws->staging + at, from, (size_t)n * sizeof *from);
  return (const int32_t *)ws->arrays + at;
}

// The page tables of group g, from number `at` of all pages on. Returns where the next group's begin.
static size_t put_pages(pn_workspace *ws, const pn_batch *batch, int g, size_t at) {
  const pn_kv_rows *rows = &batch->kv[g];
  const size_t base = header_ints(ws);
  int32_t *starts = (int32_t *)ws->staging + (size_t)(ROW_ARRAYS + GROUP_ARRAYS * g + 2) * row_cap(ws);
  ws->groups[g].page_start = put(ws, ROW_ARRAYS + GROUP_ARRAYS * g + 2, NULL, 0);
  ws->groups[g].pages = (const int32_t *)ws->arrays + base;
  for (int q = 0; rows->pages && q < batch->n_seqs; q++) {
    const int n = pages_of(batch, q, rows->kv->shape.page_tokens);
    starts[q] = (int32_t)at;
    memcpy((int32_t *)ws->staging + base + at, rows->pages[q], (size_t)n * sizeof(int32_t));
    at += (size_t)n;
  }
  return at;
}

bool cuda_begin(pn_backend *b, pn_workspace *ws, const pn_batch *batch, pn_error *e) {
  cuda_backend *s = (cuda_backend *)b;
  if (batch->n_rows > ws->max_rows || batch->n_logits > ws->max_logits || batch->n_kv > CUDA_MAX_GROUPS ||
      batch->n_seqs > (int)row_cap(ws))
    return pn_fail(e, PN_ERR_INTERNAL, "a step of %d rows, %d logits, %d sequences; reserved are %d and %d",
                   batch->n_rows, batch->n_logits, batch->n_seqs, ws->max_rows, ws->max_logits);
  if (ws->n_groups < batch->n_kv) ws->n_groups = batch->n_kv;
  const size_t n = header_ints(ws) + count_pages(batch);
  if (!cuda_check(cudaEventSynchronize(ws->copied), e, "waiting") || !grow(s, ws, n, e)) return false;
  ws->batch.n_rows = batch->n_rows;
  ws->batch.n_logits = batch->n_logits;
  ws->batch.token = put(ws, 0, batch->token, batch->n_rows);
  ws->batch.seq = put(ws, 1, batch->seq, batch->n_rows);
  ws->batch.pos = put(ws, 2, batch->pos, batch->n_rows);
  ws->batch.logit_rows = put(ws, 3, batch->logit_rows, batch->n_logits);
  size_t at = 0;
  for (int g = 0; g < batch->n_kv; g++) {
    ws->kv[g] = batch->kv[g].kv;
    ws->groups[g].slot = put(ws, ROW_ARRAYS + GROUP_ARRAYS * g, batch->kv[g].slot, batch->n_rows);
    ws->groups[g].state = put(ws, ROW_ARRAYS + GROUP_ARRAYS * g + 1, batch->kv[g].state, batch->n_seqs);
    at = put_pages(ws, batch, g, at);
  }
  return cuda_check(
             cudaMemcpyAsync(ws->arrays, ws->staging, n * sizeof(int32_t), cudaMemcpyHostToDevice, s->stream),
             e, "a batch") &&
         cuda_check(cudaEventRecord(ws->copied, s->stream), e, "an event");
}

void cuda_write(pn_backend *b, pn_workspace *ws, pn_view v, int first, int n, const float *host) {
  cuda_backend *s = (cuda_backend *)b;
  const cuda_rows rows = cuda_rows_of(ws, v);
  const size_t width = (size_t)v.width * sizeof(float), pitch = (size_t)rows.stride * sizeof(float);
  if (n <= 0 || v.width <= 0) return;
  cuda_ok(s,
          cudaMemcpy2DAsync(rows.p + first * rows.stride, pitch, host, width, width, (size_t)n,
                            cudaMemcpyHostToDevice, s->stream),
          "writing");
  cuda_ok(s, cudaStreamSynchronize(s->stream), "writing");
}

bool cuda_read(pn_backend *b, pn_workspace *ws, pn_view v, int first, int n, float *host, pn_error *e) {
  cuda_backend *s = (cuda_backend *)b;
  const cuda_rows rows = cuda_rows_of(ws, v);
  const size_t width = (size_t)v.width * sizeof(float), pitch = (size_t)rows.stride * sizeof(float);
  if (s->failed.code != PN_OK) {
    if (e) *e = s->failed;
    return false;
  }
  if (n <= 0 || v.width <= 0) return true;
  return cuda_check(cudaMemcpy2DAsync(host, width, rows.p + first * rows.stride, pitch, width, (size_t)n,
                                      cudaMemcpyDeviceToHost, s->stream),
                    e, "reading") &&
         cuda_check(cudaStreamSynchronize(s->stream), e, "reading");
}
