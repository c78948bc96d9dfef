// What the files of the cpu backend share: the instance, its KV, and the attention schedule.
#ifndef PN_BACKEND_CPU_STATE_H
#define PN_BACKEND_CPU_STATE_H

#include "backend/backend.h"
#include "backend/cpu/cpu_matmul.h"
#include "backend/cpu/cpu_memory.h"
#include "backend/cpu/cpu_ops.h"
#include "backend/cpu/cpu_pool.h"
#include "backend/cpu/cpu_workspace.h"

enum {
  CPU_ROPE_TABLES = 4,      // kinds of rotation that one step may use without computing a table twice
  CPU_ROPE_MAX_ROT = 512,   // rotated dimensions up to which there is a table
  CPU_SPAN_BYTES = 32 << 20 // address space for the states of spans that threads share out
};

// [layer][page][kv head][K, V], K and V of a page as cpu_ops.h states it. Of states: [layer][slot], a slot
// being a page of head.page_bytes.
struct pn_kv {
  pn_kv_shape shape;
  cpu_kv_head head; // of layer 0, kv head 0
  size_t head_bytes, layer_bytes;
  char *data;
};

// Rows row .. row + n - 1 of the batch, all of one sequence.
typedef struct cpu_block {
  int row, n;
  int lowest, highest; // of their positions
  int shared;          // spans, from the first on, that lie in the same pages as those of the block before it
} cpu_block;

typedef struct cpu_rope_table {
  const float *inv_freq; // with order, n_rot and scale: whose table it is
  pn_rope_order order;
  int n_rot;
  float scale;
} cpu_rope_table;

typedef struct cpu_backend {
  pn_backend head;
  const cpu_ops *ops;
  cpu_pool *pool;
  cpu_matmul *matmul;
  char description[96];
  const pn_workspace *current; // whose batch the fields below are of; NULL: of none
  pn_batch batch;
  int64_t max_cols; // of all weights opened
  int max_rows;     // of all workspaces

  cpu_rope_table rope[CPU_ROPE_TABLES]; // of this batch
  int n_ropes;
  cpu_scratch rope_floats; // [CPU_ROPE_TABLES][max_rows][2 * CPU_ROPE_MAX_ROT]

  cpu_scratch blocks; // [max_rows] cpu_block, of cpu_attention_blocks
  int n_blocks;
  bool blocks_share;              // there is one with shared > 0
  int block_rows;                 // what `blocks` was made for; 0 rows: not made in this batch
  const pn_kv_rows *block_places; // likewise
  int block_window;

  int max_dim_pad;    // of all KVs opened
  cpu_scratch states; // [n_threads][2][CPU_ATTEND_QUERIES] states
  cpu_scratch rooms;  // [n_threads] of cpu_attention_room
  cpu_scratch spans;  // CPU_SPAN_BYTES

  cpu_scratch experts; // of cpu_experts.c

  struct cpu_sampler *sampler; // of cpu_sample.c; NULL: nothing is reserved
} cpu_backend;

// cpu_sample.c.
bool cpu_sample_reserve(pn_backend *b, int n_vocab, int max_rows, pn_error *e);
void cpu_sample(pn_backend *b, const float *logits, int64_t stride, int n_vocab, const pn_sample *how, int n,
                pn_choice *out);
void cpu_sampler_free(struct cpu_sampler *s);

// Room for the states of a KV's heads.
bool cpu_attention_reserve(cpu_backend *s, int dim_pad, pn_error *e);
// Room of one thread for the heads that it works on, CPU_ATTEND_QUERIES * (dim_pad + 16) floats and more.
float *cpu_attention_room(const cpu_backend *s, int thread);
// Cut the batch into blocks of at most most_rows rows, for layers that find K and V at `places` and have this
// window; kept for the batch. Of several sequences, those that read the same pages are put side by side.
void cpu_attention_blocks(cpu_backend *s, const pn_kv_rows *places, int window, int most_rows);
// Each span (cpu_ops.h) has its own softmax state; a query's states are merged in ascending order, whoever
// computed them and with what other queries.
void cpu_attention(cpu_backend *s, const pn_step *step);

pn_kv *cpu_kv_open(pn_backend *b, const pn_kv_shape *shape, pn_error *e);
void cpu_kv_discard(pn_backend *b, pn_kv *kv, int32_t first, int n);
void cpu_kv_close(pn_backend *b, pn_kv *kv);
bool cpu_kv_copy(pn_backend *b, pn_kv *kv, int32_t from, int32_t to, pn_error *e);
bool cpu_kv_export(pn_backend *b, pn_kv *kv, int32_t page, void *bytes, pn_error *e);
bool cpu_kv_import(pn_backend *b, pn_kv *kv, int32_t page, const void *bytes, pn_error *e);
char *cpu_kv_page(const pn_kv *kv, int layer, int32_t page); // or slot
void cpu_kv_write(cpu_backend *s, const pn_step *step);

// Room for the tables of batches of so many rows; those that there are get lost.
bool cpu_rope_reserve(cpu_backend *s, int max_rows);
void cpu_rope(cpu_backend *s, const pn_step *step);

// The rows of a view in the current workspace.
cpu_rows cpu_rows_of(const cpu_backend *s, pn_view v);

// cpu_short_conv.c and cpu_delta.c
void cpu_short_conv(cpu_backend *s, const pn_step *step);
void cpu_gated_delta(cpu_backend *s, const pn_step *step);

// cpu_route.c
void cpu_route(cpu_backend *s, const pn_step *step);

// cpu_experts.c. Room for the steps of a plan with batches of so many rows, and its bytes.
bool cpu_experts_reserve(cpu_backend *s, const pn_plan *plan, int rows, pn_error *e);
uint64_t cpu_experts_bytes(const cpu_backend *s, const pn_plan *plan, int rows);
void cpu_experts(cpu_backend *s, const pn_step *step);

// cpu_row_ops.c
void cpu_embed(cpu_backend *s, const pn_step *step);
void cpu_rmsnorm(cpu_backend *s, const pn_step *step);
void cpu_add_rmsnorm(cpu_backend *s, const pn_step *step);
void cpu_gated_rmsnorm(cpu_backend *s, const pn_step *step);
void cpu_silu_mul(cpu_backend *s, const pn_step *step);
void cpu_gelu_mul(cpu_backend *s, const pn_step *step);
void cpu_sigmoid_gate(cpu_backend *s, const pn_step *step);
void cpu_scale(cpu_backend *s, const pn_step *step);
void cpu_soft_cap(cpu_backend *s, const pn_step *step);
void cpu_add(cpu_backend *s, const pn_step *step);
void cpu_add_bias(cpu_backend *s, const pn_step *step);
void cpu_gather(cpu_backend *s, const pn_step *step);

#endif
