// What the files of the oracle share: the instance, its weights and its KV, and the ops.
#ifndef PN_BACKEND_REF_INT_H
#define PN_BACKEND_REF_INT_H

#include "backend/cpu/cpu_memory.h"
#include "backend/cpu/cpu_pool.h"
#include "backend/cpu/cpu_workspace.h"
#include "backend/ref/ref_sample.h"

enum {
  DIMS = 256,  // of a head, that are looked at in one go
  TOGETHER = 8 // rows whose sums go on side by side in products
};

struct pn_weight {
  pn_matrix m;
  float *vector; // of a vector, in the same block of memory; NULL: a matrix
};

// [layer][page][kv head][offset][K, V][head_dim]; of states [layer][slot][number]
struct pn_kv {
  pn_kv_shape shape;
  pn_dtype dtype;
  char *data;
};

typedef struct ref {
  pn_backend head;
  cpu_pool *pool;
  char description[64];
  const pn_workspace *ws; // of the step under way
  pn_batch batch;         // the workspace's
  int64_t max_cols;       // of all weights opened
  cpu_scratch row;        // a weight's row a thread: [n_threads][max_cols] floats
  cpu_scratch act;        // of an expert, a thread: [n_threads][max_cols] floats
  cpu_scratch columns;    // rows of a product's input side by side, doubles
  cpu_scratch scores;     // [n_threads][max_positions] doubles
  int64_t max_positions;  // over all rows of the batch
  ref_sampler sampler;
} ref;

// ref_kv.c: the entries of the table, and the ops that know how K and V lie.
uint64_t ref_kv_bytes(pn_backend *b, const pn_kv_shape *s);
pn_kv *ref_kv_open(pn_backend *b, const pn_kv_shape *s, pn_error *e);
void ref_kv_close(pn_backend *b, pn_kv *kv);
bool ref_kv_copy(pn_backend *b, pn_kv *kv, int32_t from, int32_t to, pn_error *e);
void ref_kv_discard(pn_backend *b, pn_kv *kv, int32_t first, int n);
bool ref_kv_export(pn_backend *b, pn_kv *kv, int32_t page, void *bytes, pn_error *e);
bool ref_kv_import(pn_backend *b, pn_kv *kv, int32_t page, const void *bytes, pn_error *e);
char *ref_kv_page(const pn_kv *kv, int layer, int32_t page); // or slot
void ref_kv_write(ref *s, const pn_step *step);
void ref_attention(ref *s, const pn_step *step);

// ref_conv.c and ref_delta.c
void ref_short_conv(ref *s, const pn_step *step);
void ref_gated_delta(ref *s, const pn_step *step);

// ref_experts.c
void ref_route(ref *s, const pn_step *step);
void ref_experts(ref *s, const pn_step *step);

// ref_ops.c: the others.
void ref_embed(ref *s, const pn_step *step);
void ref_rmsnorm(ref *s, const pn_step *step);
void ref_add_rmsnorm(ref *s, const pn_step *step);
void ref_matmul(ref *s, const pn_step *step);
void ref_rope(ref *s, const pn_step *step);
void ref_gated_rmsnorm(ref *s, const pn_step *step);
void ref_silu_mul(ref *s, const pn_step *step);
void ref_gelu_mul(ref *s, const pn_step *step);
void ref_sigmoid_gate(ref *s, const pn_step *step);
void ref_scale(ref *s, const pn_step *step);
void ref_soft_cap(ref *s, const pn_step *step);
void ref_add(ref *s, const pn_step *step);
void ref_add_bias(ref *s, const pn_step *step);
void ref_gather(ref *s, const pn_step *step);

#endif
