// Shared by the NEON files of the matrix products; included only where dot products of bytes (Armv8.2) are
// enabled.
//
// sdot multiplies 16 signed bytes exactly, so x is one plane of int8 or two (q = 256 * hi + lo): two sdot for
// 16 products of an int16 x, where smlal would take four and have the codes widened first. Codes of weights
// are signed bytes too: up to six bits as they are, unsigned; of eight bits less 128 (Q8_0 is stored so).
//
// A block of x has the codes of its first plane, then those of its second; the columns ascend, except that
// affine nibbles want the even ones of a block first, then the odd ones (MATMUL_EVEN_ODD).
#ifndef PN_BACKEND_CPU_MATMUL_NEON_H
#define PN_BACKEND_CPU_MATMUL_NEON_H

#include "backend/cpu/cpu_matmul_kernels.h"
#include "base/kind.h"

#include <arm_neon.h>

enum {
  NEON_STEP = 4,      // blocks that are multiplied at a time
  NEON_CHUNK = 512,   // columns of a tile: 16 rows of them are 8 KB of a first-level cache
  NEON_ROW_MAX = 4,   // up to so many rows of x walk the stored rows; more are worth a tile
  NEON_PANEL_MAX = 4, // rows of x that meet a tile together
};

// The files with tiles are compiled once more with the matrix products of bytes (cpu_matmul_neon_i8mm.c);
// what they define has other names there. A tile has groups of as many columns as an instruction takes of a
// row.
#ifdef __ARM_FEATURE_MATMUL_INT8
#define NEON_OF_TIER(name) matmul_neon_i8mm_##name
enum { NEON_GROUP = 8 };
#else
#define NEON_OF_TIER(name) matmul_neon_##name
enum { NEON_GROUP = 4 };
#endif

// How many of `left` rows of x the next panel takes: as even as can be.
MATMUL_INLINE int matmul_neon_panel(int left) {
  if (left >= 7 || left == 4) return NEON_PANEL_MAX;
  return left >= 5 ? 3 : left;
}

// The row of the table of kinds, its functions compiled for AArch64.
const pn_kind *matmul_neon_kind_of(pn_dtype t);

MATMUL_INLINE size_t matmul_neon_block_bytes(const pn_weight *w) {
  return w->m.row_bytes / (size_t)w->n_blocks;
}

// Four affine scales or biases; shared: two of them, each for two blocks.
MATMUL_INLINE float32x4_t matmul_neon_floats(pn_dtype type, bool shared, const uint8_t *p) {
  if (type == PN_F32) {
    if (!shared) return vreinterpretq_f32_u8(vld1q_u8(p));
    const float32x2_t two = vreinterpret_f32_u8(vld1_u8(p));
    return vcombine_f32(vdup_lane_f32(two, 0), vdup_lane_f32(two, 1));
  }
  uint16x4_t h;
  if (shared) {
    uint32_t two;
    memcpy(&two, p, 4);
    h = vreinterpret_u16_u32(vdup_n_u32(two));
    h = vzip1_u16(h, h);
  } else {
    h = vreinterpret_u16_u8(vld1_u8(p));
  }
  if (type == PN_F16) return vcvt_f32_f16(vreinterpret_f16_u16(h));
  return vreinterpretq_f32_u32(vshll_n_u16(h, 16));
}

// Rows 0 .. 3 of four floats become columns.
MATMUL_INLINE void matmul_neon_transpose(float32x4_t v[4]) {
  const float64x2_t a = vreinterpretq_f64_f32(vtrn1q_f32(v[0], v[1])),
                    b = vreinterpretq_f64_f32(vtrn2q_f32(v[0], v[1])),
                    c = vreinterpretq_f64_f32(vtrn1q_f32(v[2], v[3])),
                    d = vreinterpretq_f64_f32(vtrn2q_f32(v[2], v[3]));
  v[0] = vreinterpretq_f32_f64(vtrn1q_f64(a, c));
  v[1] = vreinterpretq_f32_f64(vtrn1q_f64(b, d));
  v[2] = vreinterpretq_f32_f64(vtrn2q_f64(a, c));
  v[3] = vreinterpretq_f32_f64(vtrn2q_f64(b, d));
}

// n codes (a multiple of 32) of an affine matrix of 2, 3, 5 or 6 bits as unsigned bytes. Reads exactly what
// they take.
void matmul_neon_unpack(int bits, const uint8_t *p, int n, uint8_t *codes);
// The scales or the biases (`from`) of n blocks of an affine matrix's row, the first at block b.
void matmul_neon_affine_numbers(const pn_weight *w, const void *from, int64_t row, int b, int n, float *out);

// out[k][r0 .. r0 + n) for the rows k of x: up to NEON_ROW_MAX of them as lines, or any number as panels.
void matmul_neon_rows(const pn_weight *w, int64_t r0, int n, const matmul_x *x, float *out,
                      int64_t out_stride, void *scratch);
void NEON_OF_TIER(tile)(const pn_weight *w, int64_t r0, int n, const matmul_x *x, float *out,
                        int64_t out_stride, void *scratch);
// The scratch that they take, for any weight of up to `cols` columns.
size_t matmul_neon_rows_bytes(int64_t cols);
size_t NEON_OF_TIER(tile_bytes)(void);
// f32, f16 or bf16 weights.
void matmul_neon_float(const pn_weight *w, int64_t r0, int n, const matmul_x *x, float *out,
                       int64_t out_stride);

#endif
