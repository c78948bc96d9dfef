// A plan's buffers in plain memory, for the ref and cpu backends.
#ifndef PN_BACKEND_CPU_WORKSPACE_H
#define PN_BACKEND_CPU_WORKSPACE_H

#include "backend/backend.h"

struct pn_workspace {
  const pn_plan *plan;
  int max_rows, max_logits;
  char *memory;
  uint64_t *offsets; // of each buffer in memory, in bytes
  pn_batch batch;    // of the last begin
};

// The rows of a view: row r has its numbers at p + r * stride.
typedef struct cpu_rows {
  float *p;
  int64_t stride;
  int n;
} cpu_rows;

// False: more than can be counted.
bool cpu_workspace_bytes(const pn_plan *plan, int max_rows, int max_logits, uint64_t *bytes);
pn_workspace *cpu_workspace_new(const pn_plan *plan, int max_rows, int max_logits, pn_error *e);
void cpu_workspace_free(pn_workspace *ws);
// PN_ERR_INTERNAL for a batch that is too large.
bool cpu_workspace_begin(pn_workspace *ws, const pn_batch *batch, pn_error *e);
// As many rows as the batch has, of its rows or of its logits.
cpu_rows cpu_workspace_rows(const pn_workspace *ws, pn_view v);
void cpu_workspace_write(pn_workspace *ws, pn_view v, int first, int n, const float *host);
void cpu_workspace_read(const pn_workspace *ws, pn_view v, int first, int n, float *host);

#endif
