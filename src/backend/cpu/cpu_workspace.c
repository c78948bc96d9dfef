#include "backend/cpu/cpu_workspace.h"

#include "backend/cpu/cpu_memory.h"

#include <stdlib.h>
#include <string.h>

bool cpu_workspace_bytes(const pn_plan *plan, int max_rows, int max_logits, uint64_t *bytes) {
  uint64_t *offsets = malloc((size_t)(plan->n_buffers + 1) * sizeof *offsets);
  *bytes = offsets ? pn_plan_layout(plan, max_rows, max_logits, offsets) : UINT64_MAX;
  free(offsets);
  return *bytes < SIZE_MAX;
}

pn_workspace *cpu_workspace_new(const pn_plan *plan, int max_rows, int max_logits, pn_error *e) {
  pn_workspace *ws = calloc(1, sizeof *ws);
  uint64_t *offsets = malloc((size_t)(plan->n_buffers + 1) * sizeof *offsets);
  uint64_t bytes = offsets ? pn_plan_layout(plan, max_rows, max_logits, offsets) : UINT64_MAX;
  char *memory = ws && bytes < SIZE_MAX ? cpu_memory_new(bytes ? (size_t)bytes : 1) : NULL;
  if (!memory) {
    pn_fail(e, PN_ERR_NOMEM, "out of memory: %llu bytes for steps of %d rows", (unsigned long long)bytes,
            max_rows);
    free(offsets);
    free(ws);
    return NULL;
  }
  *ws = (pn_workspace){
      .plan = plan, .max_rows = max_rows, .max_logits = max_logits, .memory = memory, .offsets = offsets};
  return ws;
}

void cpu_workspace_free(pn_workspace *ws) {
  if (!ws) return;
  cpu_memory_free(ws->memory);
  free(ws->offsets);
  free(ws);
}

bool cpu_workspace_begin(pn_workspace *ws, const pn_batch *batch, pn_error *e) {
  if (batch->n_rows > ws->max_rows || batch->n_logits > ws->max_logits)
    return pn_fail(e, PN_ERR_INTERNAL, "a step of %d rows and %d logits; reserved are %d and %d",
                   batch->n_rows, batch->n_logits, ws->max_rows, ws->max_logits);
  ws->batch = *batch;
  return true;
}

cpu_rows cpu_workspace_rows(const pn_workspace *ws, pn_view v) {
  const pn_buffer *b = &ws->plan->buffers[v.buffer];
  float *p = (float *)(void *)(ws->memory + ws->offsets[v.buffer]);
  return (cpu_rows){p + v.offset, b->width, b->by_logits ? ws->batch.n_logits : ws->batch.n_rows};
}

void cpu_workspace_write(pn_workspace *ws, pn_view v, int first, int n, const float *host) {
  const cpu_rows rows = cpu_workspace_rows(ws, v);
  for (int r = 0; r < n; r++)
    memcpy(rows.p + (first + r) * rows.stride, host + (int64_t)r * v.width, (size_t)v.width * sizeof *host);
}

void cpu_workspace_read(const pn_workspace *ws, pn_view v, int first, int n, float *host) {
  const cpu_rows rows = cpu_workspace_rows(ws, v);
  for (int r = 0; r < n; r++)
    memcpy(host + (int64_t)r * v.width, rows.p + (first + r) * rows.stride, (size_t)v.width * sizeof *host);
}
