// Matrix products of the cpu backend: weights as they lie in a mapped file, int16 or int8 activations, one
// result for any number of rows, threads and any instruction set.
//
// Order of a product (every instruction set gives the same bits):
//  - quantised weights: x is cut in blocks of min(group, 64) columns, where a group is the
//      columns that share a scale: 16 or 32 by the table of kinds (base/kind.h), 32, 64 or 128 affine. amax =
//      max |x_i|; q_i = round to nearest even of x_i * (top / amax), dx = amax / top, xsum = dx *
//      (float)sum(q_i), where top is 127 for int8 and 127 * 256 for int16.
//      A block with amax < 2^-100 counts as zero; one that holds a NaN or an infinity has dx = NaN, so the
//      row's result is NaN. Then for blocks g ascending: p = fma(bias, xsum, scale * (dx * (float)dot)), acc
//      = acc + p, in f32, where dot = sum(w_i * q_i) is exact: int16 codes are kept as two planes of int8, q
//      = 256 * hi + lo with lo in -128 .. 127 and hi in -127 .. 127, and dot = 256 * sum(w_i * hi_i) +
//      sum(w_i * lo_i), below 2^30 for 64 codes of 8 bits. A group of 128 is two blocks that share scale and
//      bias. In kinds without a bias w_i is the code less the kind's offset, and p = scale * (dx *
//      (float)dot). A matrix's factor multiplies the finished sum.
//  - float weights (of kinds without codes, the values that their definition gives): lane l of 16 holds the
//      sum of fma(w_i, x_i, lane) over i = l, l + 16, ...; then lane l += lane l + 8, then + 4, + 2, + 1.
#ifndef PN_BACKEND_CPU_MATMUL_H
#define PN_BACKEND_CPU_MATMUL_H

#include "backend/backend.h"
#include "backend/cpu/cpu_pool.h"

// A matrix or a vector in use. A matrix's bytes belong to the one who opened it. Immutable.
struct pn_weight {
  pn_matrix m;
  float *vector; // of a vector, [m.cols], in the same block of memory as this; NULL: a matrix
  int bits;      // of a stored code; 0 for float weights
  int block;     // columns of an activation block: 16, 32 or 64; 0 for float weights
  int n_blocks;  // cols / block
  int per_group; // blocks that share a scale: 2 for groups of 128, else 1
  int offset;    // what codes are above the numbers that scales multiply
  bool biased;
  bool decoded; // float weights that are no f32, f16 or bf16: kernels get their rows as f32
};

// Errors: PN_ERR_UNSUPPORTED (names kind, bits and group), PN_ERR_CORRUPT (shapes that contradict),
// PN_ERR_NOMEM.
pn_weight *cpu_matmul_weight_open(const pn_matrix *m, pn_error *e);
void cpu_matmul_weight_close(pn_weight *w);

// out[0 .. cols) = row `row` of w as f32 (q * scale + bias in f32), times `scale`. Any thread.
void cpu_matmul_embed_row(const pn_weight *w, int64_t row, float scale, float *out);

// One product of a call: out[r][0 .. w->m.rows) = W x[r]. Parts of a call share their input.
typedef struct cpu_matmul_part {
  const pn_weight *w;
  float *out;
  int64_t out_stride;
} cpu_matmul_part;

// Scratch and kernels of one backend instance. One caller at a time.
typedef struct cpu_matmul cpu_matmul;

// isa NULL: the best of the machine; else a name of cpu_isa.h: PN_ERR_DEVICE when the
// machine or the build lacks it. planes: 2 for int16 activations, 1 for int8. The pool (NULL: everything on
// the caller's thread) is borrowed and outlives the state.
cpu_matmul *cpu_matmul_new(const char *isa, int planes, cpu_pool *pool, pn_error *e);
void cpu_matmul_free(cpu_matmul *s);
const char *cpu_matmul_isa(const cpu_matmul *s);
// Whether this machine and build have the kernels of that name.
bool cpu_matmul_has(const char *isa);

// Make room for calls of up to max_rows rows of weights with up to max_cols columns. Never shrinks. A call
// with more rows works, in slices. Scratch is about 450 * max_cols bytes for many rows (700 with two planes),
// and 80 * max_cols a thread.
bool cpu_matmul_reserve(cpu_matmul *s, int max_rows, int64_t max_cols, pn_error *e);

// Every weight has at most the reserved cols; all parts have the same cols. Allocates nothing.
void cpu_matmul_run(cpu_matmul *s, const float *x, int64_t x_stride, int n_rows, const cpu_matmul_part *parts,
                    int n_parts);

// Grouped products: n_rows rows, from `first` on, that meet the same of the experts that a weight holds, one
// after the other, rows / n_experts of it each.
typedef struct cpu_matmul_group {
  int32_t expert, first, n_rows;
} cpu_matmul_group;

#define CPU_MATMUL_GROUP_ROWS 256 // the most of a call, all groups together

// Make room for calls of weights with up to max_cols columns; and how many bytes that takes. Never shrinks.
bool cpu_matmul_reserve_groups(cpu_matmul *s, int64_t max_cols, pn_error *e);
uint64_t cpu_matmul_group_bytes(const cpu_matmul *s, int64_t max_cols);

// out[r][0 .. rows of an expert) = W_e x[row[r]] for the rows r of every group of expert e (row NULL: x[r]),
// by cpu_matmul_run's orders. Other experts are not read. Parts have the same, reserved, cols. Allocates
// nothing.
void cpu_matmul_run_groups(cpu_matmul *s, const float *x, int64_t x_stride, const int32_t *row,
                           const cpu_matmul_group *groups, int n_groups, int n_experts,
                           const cpu_matmul_part *parts, int n_parts);

#endif
