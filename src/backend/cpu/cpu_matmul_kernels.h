// What one instruction set offers to cpu_matmul.c, and what the kernels share.
#ifndef PN_BACKEND_CPU_MATMUL_KERNELS_H
#define PN_BACKEND_CPU_MATMUL_KERNELS_H

#include "backend/cpu/cpu_matmul.h"
#include "base/kind.h"

// For kernels whose loops must become straight code with everything in registers.
#if defined(__clang__)
#define MATMUL_UNROLL _Pragma("clang loop unroll(full)")
#else
#define MATMUL_UNROLL _Pragma("GCC unroll 16")
#endif
#define MATMUL_INLINE static inline __attribute__((always_inline))

enum {
  MATMUL_UNIT = 16,     // rows of a weight that one kernel call makes; threads share out these units
  MATMUL_LINE_ROWS = 8, // rows of x that may lie as lines
  MATMUL_SLICE = 256,   // rows of x that are quantised and multiplied at a time
};

// Where the int8 of a block (of a plane) lie. Two streams of half a block each let the low and the high
// nibbles of packed weights meet their x without a shuffle.
typedef enum matmul_layout {
  MATMUL_PLAIN,    // one stream, ascending
  MATMUL_EVEN_ODD, // low stream: even columns, high stream: odd columns
  MATMUL_HALVES,   // low stream: first half of every block, high stream: second half
  MATMUL_PAIRS,    // low stream: blocks 0, 2, ..., high stream: blocks 1, 3, ...; in panels as MATMUL_PLAIN
  MATMUL_WIDE,     // as PLAIN, of codes of 8 bits, for kernels that take those in another way
} matmul_layout;

// How the rows of x lie.
typedef enum matmul_packing {
  // row r has its codes at q + r * q_stride (the high stream `high` bytes further, the second plane
  MATMUL_ROWS,
  // `plane` bytes further) and its blocks' numbers at [r * s_stride]
  // as rows, but a row goes on after its last block with its first ones, MATMUL_UNIT of them, so that a walk
  MATMUL_LINE,
  // over a unit's rows as one line of blocks can read 16 blocks from anywhere
  // rows k .. k + t lie together from q + k * q_stride on: 4 codes of each, then the next 4 (of the low
  // stream
  MATMUL_PANELS,
  // and the high stream in turn), a block's first plane before its second; their blocks' numbers from [k *
  // n_blocks] on: t of a block, then the next
} matmul_packing;

// The activations of a call, quantised for the weights that it serves. With kernels that want the codes of a
// block together, q has no streams and planes but blocks, each in an order of the kernels' own; rows and
// panels lie as above.
typedef struct matmul_x {
  const float *f; // the f32 input
  int64_t f_stride;
  int n_rows, cols, block, n_blocks, offset;
  int planes; // 1: the codes are int8; 2: they are 256 times the first plane plus the second
  matmul_layout layout;
  matmul_packing packing;
  int8_t *q;
  size_t q_stride, high, plane, s_stride;
  float *dx, *sum; // dx; dx * (float)sum(q)
  int32_t *shift;  // -offset * sum(q): add to a dot of stored codes
} matmul_x;

// The largest code.
static inline float matmul_top(const matmul_x *x) { return x->planes == 2 ? 32512.0f : 127.0f; }

typedef struct matmul_kernels {
  const char *name;
  bool words;    // the codes of x are int16, whatever their precision
  bool together; // the codes of a block of x lie together, in an order of the kernels' own
  // Units that a call makes at once where x lies in panels; 0: one.
  int panel_units;
  bool (*usable)(void);
  matmul_layout (*layout)(const pn_weight *w);
  matmul_packing (*packing)(int n_rows);
  // Quantise row r to where the packing wants it; the caller makes a line's repetition.
  void (*quantise)(const matmul_x *x, int r);
  // Bytes of scratch that a unit of `cols` columns may use, at least 8 * cols + 128; of float weights it uses
  // the first 4 * cols.
  size_t (*scratch_bytes)(int64_t cols);
  // out[k][r0 .. r0 + n) for all rows k of x, n <= MATMUL_UNIT (times panel_units). Scratch is one thread's,
  // aligned to 64 bytes.
  void (*unit)(const pn_weight *w, int64_t r0, int n, const matmul_x *x, float *out, int64_t out_stride,
               void *scratch);
} matmul_kernels;

// A unit of any weight that cpu_matmul_weight_open takes: out[k][r0 .. r0 + n) as k->unit says, with all that
// the weight's kind and factors ask for. Everybody multiplies by this.
void matmul_unit(const matmul_kernels *k, const pn_weight *w, int64_t r0, int n, const matmul_x *x,
                 float *out, int64_t out_stride, void *scratch);

// Bytes of scratch that suffice for a unit of `cols` columns where its rows are unpacked.
size_t matmul_scratch_unpacked(int64_t cols);

// Codes of a row as unsigned bytes in ascending order (with the weight's offset), and its blocks' scale and
// bias in f32. bias is untouched when the kind has none.
void matmul_unpack_codes(const pn_weight *w, int64_t row, uint8_t *codes);
void matmul_unpack_scales(const pn_weight *w, int64_t row, float *scale, float *bias);

// What k->scales reads for the kind's block number `block` of the weight, counted over all rows.
static inline const uint8_t *matmul_scales_at(const pn_weight *w, const pn_kind *k, int64_t block) {
  return k->scale_bytes ? (const uint8_t *)w->m.scales + block * k->scale_bytes
                        : (const uint8_t *)w->m.data + block * k->bytes;
}

extern const matmul_kernels matmul_scalar, matmul_avx2, matmul_avx2_vnni, matmul_avx512, matmul_neon,
    matmul_neon_i8mm;

#endif
