// Choosing tokens: the largest logit on the device where nothing else is asked; else logits come to the host,
// and the cpu backend chooses as the contract says.
#include "backend/cuda/cuda_int.h"

#include <string.h>

enum { THREADS = 1024 };

// A logit that is a number, and its place; the largest, of equal ones the lowest place.
static __device__ __forceinline__ void better(float &v, int &at, float v2, int at2) {
  if (at2 >= 0 && (at < 0 || v2 > v || (v2 == v && at2 < at))) {
    v = v2;
    at = at2;
  }
}

// Grid: rows. -1 where no logit is finite or one is +infinite.
__global__ void find_best(const float *logits, int64_t stride, int n, int32_t *best) {
  cuda_wait();
  __shared__ float values[32];
  __shared__ int places[32];
  const float *p = logits + blockIdx.x * stride;
  float v = 0;
  int at = -1;
  for (int i = threadIdx.x; i < n; i += THREADS)
    if (!isnan(p[i])) better(v, at, p[i], i);
  for (int step = 16; step; step /= 2)
    better(v, at, __shfl_xor_sync(~0u, v, step), __shfl_xor_sync(~0u, at, step));
  if (threadIdx.x % 32 == 0) {
    values[threadIdx.x / 32] = v;
    places[threadIdx.x / 32] = at;
  }
  __syncthreads();
  if (threadIdx.x) return;
  for (int i = 1; i < THREADS / 32; i++) better(v, at, values[i], places[i]);
  best[blockIdx.x] = at >= 0 && isfinite(v) ? at : -1;
}

bool cuda_sample_reserve(pn_backend *b, int n_vocab, int max_rows, pn_error *e) {
  cuda_backend *s = (cuda_backend *)b;
  return s->host->ops->sample_reserve(s->host, n_vocab, max_rows, e);
}

static bool plain(const pn_sample *how) {
  return !(how->temperature > 0) && !how->ids && !how->bits && !how->logprobs;
}

bool cuda_sample_submit(pn_backend *b, pn_workspace *ws, pn_view logits, const pn_sample *how, int n,
                        pn_error *e) {
  cuda_backend *s = (cuda_backend *)b;
  const cuda_rows rows = cuda_rows_of(ws, logits);
  const size_t width = (size_t)logits.width * sizeof(float);
  if (n < 1 || n > rows.n)
    return pn_fail(e, PN_ERR_INTERNAL, "choices: expected 1 to %d, found %d", rows.n, n);
  ws->how = how;
  ws->logits = logits;
  ws->n_choices = n;
  ws->greedy = true;
  for (int i = 0; i < n; i++) ws->greedy = ws->greedy && plain(&how[i]);
  cudaError_t r;
  if (ws->greedy) {
    cuda_launch(s, find_best, dim3((unsigned)n), THREADS, 0, rows.p, rows.stride, logits.width, ws->best);
    r = cudaMemcpyAsync(ws->host_best, ws->best, (size_t)n * sizeof(int32_t), cudaMemcpyDeviceToHost,
                        s->stream);
  } else {
    if (!ws->host_logits &&
        !cuda_check(cudaMallocHost((void **)&ws->host_logits, (size_t)ws->max_logits * width), e,
                    "pinned memory"))
      return false;
    r = cudaMemcpy2DAsync(ws->host_logits, width, rows.p, (size_t)rows.stride * sizeof(float), width,
                          (size_t)n, cudaMemcpyDeviceToHost, s->stream);
  }
  return cuda_check(r, e, "choices") && cuda_check(cudaEventRecord(ws->done, s->stream), e, "an event");
}

// By the cpu backend, from logits on the host.
static bool choose_here(cuda_backend *s, const pn_workspace *ws, pn_choice *out, pn_error *e) {
  pn_backend *h = s->host;
  const pn_buffer buffer = {ws->logits.width, true};
  const pn_plan plan = {NULL, 0, &buffer, 1, NULL, 0};
  const pn_view all = {0, 0, ws->logits.width};
  pn_batch batch = {};
  batch.n_logits = ws->n_choices;
  pn_workspace *mine = h->ops->workspace_open(h, &plan, 0, ws->n_choices, e);
  bool ok = mine && h->ops->begin(h, mine, &batch, e);
  if (ok) {
    h->ops->write(h, mine, all, 0, ws->n_choices, ws->host_logits);
    ok = h->ops->sample(h, mine, all, ws->how, ws->n_choices, out, e);
  }
  h->ops->workspace_close(h, mine);
  return ok;
}

bool cuda_collect(pn_backend *b, pn_workspace *ws, pn_choice *out, int n, pn_error *e) {
  cuda_backend *s = (cuda_backend *)b;
  if (!cuda_ok(s, cudaEventSynchronize(ws->done), "waiting")) {
    if (e) *e = s->failed;
    return false;
  }
  if (n == 0) return true;
  if (!ws->greedy) return choose_here(s, ws, out, e);
  memset(out, 0, (size_t)n * sizeof *out);
  for (int i = 0; i < n; i++) out[i].id = ws->host_best[i];
  return true;
}

bool cuda_sample(pn_backend *b, pn_workspace *ws, pn_view logits, const pn_sample *how, int n, pn_choice *out,
                 pn_error *e) {
  return cuda_sample_submit(b, ws, logits, how, n, e) && cuda_collect(b, ws, out, n, e);
}
