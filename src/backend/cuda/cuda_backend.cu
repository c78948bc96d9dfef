// The backend in a module: its door, its settings, its table.
#include "backend/cuda/cuda_int.h"

extern "C" {
#include "backend/cuda/cuda_unpack.h"
}

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool cuda_check(cudaError_t r, pn_error *e, const char *what) {
  if (r == cudaSuccess) return true;
  return pn_fail(e, r == cudaErrorMemoryAllocation ? PN_ERR_NOMEM : PN_ERR_DEVICE, "cuda: %s: %s", what,
                 cudaGetErrorString(r));
}

bool cuda_ok(cuda_backend *s, cudaError_t r, const char *what) {
  if (r != cudaSuccess && s->failed.code == PN_OK) cuda_check(r, &s->failed, what);
  return s->failed.code == PN_OK;
}

static void close_backend(pn_backend *b) {
  cuda_backend *s = (cuda_backend *)b;
  if (s->stream) cudaStreamDestroy(s->stream);
  pn_backend_close(s->host);
  cuda_unpacker_free(s->unpacker);
  free(s);
}

static const char *describe(pn_backend *b) { return ((cuda_backend *)b)->description; }

static void device_memory(pn_backend *b, uint64_t *total, uint64_t *available) {
  size_t free_bytes = 0, all = 0;
  (void)b;
  if (cudaMemGetInfo(&free_bytes, &all) != cudaSuccess) free_bytes = all = 0;
  *total = all;
  *available = free_bytes;
}

// What launches this step; NULL: nothing does.
static cuda_op *op_of(const pn_step *step) {
  switch (step->op) {
  case PN_OP_EMBED: return cuda_embed;
  case PN_OP_RMSNORM: return step->norm.stride ? NULL : cuda_norm;
  case PN_OP_ADD_RMSNORM: return cuda_norm;
  case PN_OP_MATMUL: return cuda_matmul;
  case PN_OP_ROPE: return cuda_rope;
  case PN_OP_KV_WRITE: return cuda_kv_write;
  case PN_OP_ATTENTION: return cuda_attention;
  case PN_OP_SHORT_CONV: return step->conv.silu ? NULL : cuda_short_conv;
  case PN_OP_ADD_BIAS:
  case PN_OP_SILU_MUL:
  case PN_OP_ADD:
  case PN_OP_GATHER: return cuda_elementwise;
  default: return NULL;
  }
}

void cuda_run_step(cuda_backend *s, pn_workspace *ws, const pn_step *step) {
  if (step->out.width > 0 && step->out.buffer == ws->quantised.buffer) ws->quantised_block = 0;
  cuda_op *launch = op_of(step);
  if (launch)
    launch(s, ws, step);
  else
    pn_fail(&s->failed, PN_ERR_UNSUPPORTED, "cuda: there is no op %s", pn_op_name(step->op));
  cuda_ok(s, cudaGetLastError(), pn_op_name(step->op));
}

static void run(pn_backend *b, pn_workspace *ws, const pn_step *step) {
  ws->wanted_block = ws->quantised_block = 0;
  cuda_run_step((cuda_backend *)b, ws, step);
}

// Every op must be known before anything is computed.
static bool compile(pn_backend *b, pn_workspace *ws, pn_error *e) {
  (void)b;
  for (int i = 0; i < ws->plan->n_steps; i++)
    if (!op_of(&ws->plan->steps[i]))
      return pn_fail(e, PN_ERR_UNSUPPORTED, "cuda: layer %d needs the op %s (%s), which it has not",
                     ws->plan->steps[i].layer, pn_op_name(ws->plan->steps[i].op), ws->plan->steps[i].name);
  return true;
}

static bool told(cuda_backend *s, pn_error *e) {
  if (s->failed.code == PN_OK) return true;
  if (e) *e = s->failed;
  return false;
}

// The graph of these steps for a batch of this size, recorded when it is wanted for the first time. The
// kernels take all that changes from step to step from the batch's arrays, which stay where they are.
static cuda_graph *graph_of(cuda_backend *s, pn_workspace *ws, int from, int to) {
  for (int i = 0; i < ws->n_graphs; i++) {
    cuda_graph *g = &ws->graphs[i];
    if (g->from == from && g->to == to && g->n_rows == ws->batch.n_rows && g->n_logits == ws->batch.n_logits)
      return g;
  }
  if (ws->n_graphs == CUDA_MAX_GRAPHS) return NULL;
  cudaGraph_t recorded;
  cuda_graph g = {from, to, ws->batch.n_rows, ws->batch.n_logits, NULL};
  if (!cuda_ok(s, cudaStreamBeginCapture(s->stream, cudaStreamCaptureModeThreadLocal), "recording"))
    return NULL;
  cuda_run_steps(s, ws, from, to);
  if (!cuda_ok(s, cudaStreamEndCapture(s->stream, &recorded), "recording")) return NULL;
  cudaError_t r = cudaGraphInstantiate(&g.exec, recorded, 0);
  cudaGraphDestroy(recorded);
  if (!cuda_ok(s, r, "a graph")) return NULL;
  ws->graphs[ws->n_graphs] = g;
  return &ws->graphs[ws->n_graphs++];
}

static bool submit(pn_backend *b, pn_workspace *ws, int from, int to, pn_error *e) {
  cuda_backend *s = (cuda_backend *)b;
  if (ws->batch.n_rows <= CUDA_SPLIT_ROWS && to - from > 1) {
    cuda_graph *g = graph_of(s, ws, from, to);
    if (g)
      cuda_ok(s, cudaGraphLaunch(g->exec, s->stream), "a graph");
    else if (s->failed.code == PN_OK)
      cuda_run_steps(s, ws, from, to);
  } else {
    cuda_run_steps(s, ws, from, to);
  }
  cuda_ok(s, cudaEventRecord(ws->done, s->stream), "an event");
  return told(s, e);
}

static bool sync_all(pn_backend *b, pn_error *e) {
  cuda_backend *s = (cuda_backend *)b;
  cuda_ok(s, cudaStreamSynchronize(s->stream), "waiting");
  return told(s, e);
}

static const pn_backend_ops *table(void) {
  static pn_backend_ops t;
  t.version = PN_BACKEND_VERSION;
  t.size = sizeof t;
  t.name = "cuda";
  t.asynchronous = true;
  t.close = close_backend;
  t.describe = describe;
  t.weight_open = cuda_weight_open;
  t.vector_open = cuda_vector_open;
  t.weight_close = cuda_weight_close;
  t.device_memory = device_memory;
  t.kv_bytes = cuda_kv_bytes;
  t.kv_open = cuda_kv_open;
  t.kv_close = cuda_kv_close;
  t.kv_copy = cuda_kv_copy;
  t.kv_export = cuda_kv_export;
  t.kv_import = cuda_kv_import;
  t.workspace_bytes = cuda_workspace_bytes;
  t.workspace_open = cuda_workspace_open;
  t.workspace_close = cuda_workspace_close;
  t.begin = cuda_begin;
  t.run = run;
  t.compile = compile;
  t.submit = submit;
  t.sample_reserve = cuda_sample_reserve;
  t.sample = cuda_sample;
  t.sample_submit = cuda_sample_submit;
  t.collect = cuda_collect;
  t.write = cuda_write;
  t.read = cuda_read;
  t.sync = sync_all;
  return &t;
}

// Device 0, or the first that CUDA_VISIBLE_DEVICES leaves.
static bool find_device(cudaDeviceProp *p, pn_error *e) {
  int n = 0;
  cudaError_t r = cudaGetDeviceCount(&n);
  if (r != cudaSuccess) return pn_fail(e, PN_ERR_DEVICE, "cuda: no device: %s", cudaGetErrorString(r));
  if (n == 0) return pn_fail(e, PN_ERR_DEVICE, "cuda: no device was found");
  if (!cuda_check(cudaGetDeviceProperties(p, 0), e, "device 0")) return false;
  if (p->major >= 8) return true;
  return pn_fail(e, PN_ERR_DEVICE, "cuda: %s: expected compute capability 8.0 or more, found %d.%d", p->name,
                 p->major, p->minor);
}

static pn_backend *open_backend(const pn_setting *settings, int n, pn_error *e) {
  (void)settings, (void)n;
  cudaDeviceProp p;
  if (!find_device(&p, e)) return NULL;
  cuda_backend *s = (cuda_backend *)calloc(1, sizeof *s);
  if (!s) return pn_fail(e, PN_ERR_NOMEM, "no memory for the backend 'cuda'"), (pn_backend *)NULL;
  s->head.ops = table();
  s->n_sm = p.multiProcessorCount;
  s->overlaps = p.major >= 9;
  const pn_backend_kind *cpu = pn_backend_builtin("cpu");
  s->host = cpu->open(NULL, 0, e);
  s->unpacker = s->host ? cuda_unpacker_new(e) : NULL;
  if (!s->unpacker || !cuda_check(cudaSetDevice(0), e, "device 0") ||
      !cuda_check(cudaStreamCreateWithFlags(&s->stream, cudaStreamNonBlocking), e, "a stream")) {
    close_backend(&s->head);
    return NULL;
  }
  snprintf(s->description, sizeof s->description, "cuda %d.%d, %s, int16 activations", p.major, p.minor,
           p.name);
  return &s->head;
}

static const char *about(void) {
  static char text[512];
  cudaDeviceProp p;
  pn_error e = {};
  if (find_device(&p, &e))
    snprintf(text, sizeof text, "%s, compute capability %d.%d", p.name, p.major, p.minor);
  else
    snprintf(text, sizeof text, "%s", e.msg);
  return text;
}

static const pn_setting_kind no_settings[] = {{NULL, NULL, NULL}};

extern "C" __attribute__((visibility("default"))) const pn_backend_kind *
pn_backend_module(uint32_t version, const pn_backend_host *host) {
  static const pn_backend_kind kind = {
      PN_BACKEND_VERSION, sizeof(pn_backend_kind), "cuda", about, no_settings, open_backend};
  if (version != PN_BACKEND_VERSION || host->size < sizeof(pn_backend_host)) return NULL;
  return &kind;
}
