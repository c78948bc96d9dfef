// Up to four rows of x against weights as they lie. The rows of a unit are walked as one line of blocks, four
// at a time, so that a row whose blocks are no multiple of four wastes nothing; x goes on with its first
// blocks behind its last.
//
// A step loads four blocks, makes bytes of their codes, multiplies (sdot), adds the lanes of four blocks up
// together (3 additions of neighbours) and leaves p of each block in scratch; the blocks of a row are then
// added up in ascending order, four rows at once through a transposition. What has no kernels of its own is
// unpacked PIECE columns at a time.
//
// Instructions a byte with one row of x, counted in gcc's loops (int16 activations, then int8): Q8_0 0.67 and
// 0.54, affine of 8 bits 0.51 and 0.41, of 4 bits 0.97 and 0.74, Q4_0 1.3 and 1.1, Q4_1 1.3 and 1.0, Q5_0 1.6
// and 1.4, Q5_1 1.5 and 1.2, Q4_K 1.4 and 1.1, Q5_K 1.4 and 1.2, Q6_K 1.3 and 0.9. At 3 instructions a cycle
// and 3 GHz that is 6 to 18 GB/s a core, so a few cores should stand at memory. No speed was measured: there
// was no Arm machine.
#include "backend/cpu/cpu_matmul_neon_codes.h"

enum { ROWS = 8, PIECE = 1024 };

static neon_form affine_form(const pn_weight *w) {
  const bool wide = w->block == 64;
  if (w->m.bits == 4) return wide ? NEON_NIBBLES_64 : NEON_NIBBLES_32;
  if (w->m.bits == 8) return wide ? NEON_BYTES_64 : NEON_BYTES_32;
  return wide ? NEON_UNPACKED_64 : NEON_UNPACKED_32;
}

static neon_form form_of(const pn_weight *w) {
  switch (w->m.kind) {
  case PN_Q4_0: return NEON_Q4_0;
  case PN_Q4_1: return NEON_Q4_1;
  case PN_Q5_0: return NEON_Q5_0;
  case PN_Q5_1: return NEON_Q5_1;
  case PN_Q8_0: return NEON_Q8_0;
  case PN_Q4_K: return NEON_Q4_K;
  case PN_Q5_K: return NEON_Q5_K;
  case PN_Q6_K: return NEON_Q6_K;
  case PN_AFFINE: return affine_form(w);
  default: return w->block == 16 ? NEON_UNPACKED_16 : NEON_UNPACKED_32;
  }
}

// t rows of x as a step sees them.
typedef struct x_rows {
  const int8_t *q[NEON_ROW_MAX];
  const float *dx, *sum;
  const int32_t *shift;
  size_t stride; // of the numbers
} x_rows;

MATMUL_INLINE x_rows x_rows_of(const matmul_x *x, int first, int t) {
  const size_t at = (size_t)first * x->s_stride;
  x_rows r = {.dx = x->dx + at, .sum = x->sum + at, .shift = x->shift + at, .stride = x->s_stride};
  for (int k = 0; k < t; k++) r.q[k] = x->q + (size_t)(first + k) * x->q_stride;
  return r;
}

// Four partial dots of a block, of n vectors of codes.
MATMUL_INLINE int32x4_t dot_of(const int8x16_t c[], int n, int planes, const int8_t *q) {
  int32x4_t d = vdupq_n_s32(0);
  MATMUL_UNROLL
  for (int i = 0; i < n; i++) d = vdotq_s32(d, c[i], vld1q_s8(q + 16 * i));
  if (planes == 1) return d;
  d = vshlq_n_s32(d, 8);
  MATMUL_UNROLL
  for (int i = 0; i < n; i++) d = vdotq_s32(d, c[i], vld1q_s8(q + 16 * (n + i)));
  return d;
}

// The dots of four blocks with t rows of x from block `at` on. p: the first block, `step` bytes from one to
// the next; of a superblock: its beginning, and `first` is the block's place in it.
MATMUL_INLINE void dots_of_step(neon_form form, int planes, const uint8_t *p, size_t step, int first,
                                const x_rows *x, int at, int t, int32x4_t dot[]) {
  const int block = neon_block(form);
  const size_t begin = (size_t)at * (size_t)(block * planes);
  int32x4_t d[NEON_ROW_MAX][4];
  MATMUL_UNROLL
  for (int i = 0; i < NEON_STEP; i++) {
    int8x16_t c[4];
    if (form == NEON_Q6_K) {
      c[0] = neon_code_q6_k(p, first + i);
    } else if (form == NEON_Q4_K || form == NEON_Q5_K) {
      c[0] = neon_code_q45_k(form == NEON_Q5_K, p, first + i, 0);
      c[1] = neon_code_q45_k(form == NEON_Q5_K, p, first + i, 1);
    } else {
      neon_codes(form, p + (size_t)i * step, c);
    }
    MATMUL_UNROLL
    for (int k = 0; k < t; k++) d[k][i] = dot_of(c, block / 16, planes, x->q[k] + begin + i * block * planes);
  }
  MATMUL_UNROLL
  for (int k = 0; k < t; k++) dot[k] = vpaddq_s32(vpaddq_s32(d[k][0], d[k][1]), vpaddq_s32(d[k][2], d[k][3]));
}

// p of four blocks from their dots with t rows of x from block `at` on, a row's p_stride floats behind the
// row's before it. bias NULL: none.
MATMUL_INLINE void put_products(const int32x4_t dot[], float32x4_t scale, const float32x4_t *bias,
                                const x_rows *x, int at, int t, float *p, size_t p_stride) {
  MATMUL_UNROLL
  for (int k = 0; k < t; k++) {
    const size_t i = (size_t)k * x->stride + (size_t)at;
    const float32x4_t d = vcvtq_f32_s32(vaddq_s32(dot[k], vld1q_s32(x->shift + i)));
    float32x4_t v = vmulq_f32(scale, vmulq_f32(vld1q_f32(x->dx + i), d));
    if (bias) v = vfmaq_f32(v, *bias, vld1q_f32(x->sum + i));
    vst1q_f32(p + (size_t)k * p_stride, v);
  }
}

// A walk: n rows of w from r0 on, as one line.
typedef struct line_walk {
  const pn_weight *w;
  int64_t r0;
  int n;
  const matmul_x *x;
  int first; // of the rows of x
  float *p;
  size_t p_stride;
} line_walk;

// Blocks of a weight that follow each other, and (affine) the numbers of their groups.
typedef struct neon_blocks {
  const uint8_t *codes, *scale, *bias;
} neon_blocks;

// What lies behind the last block of a weight must not be read: the end of it is copied to here.
typedef struct neon_rest {
  uint8_t codes[NEON_STEP * 64], scale[NEON_STEP * 4], bias[NEON_STEP * 4];
} neon_rest;

static neon_blocks copy_blocks(const pn_weight *w, neon_blocks b, int64_t n, neon_rest *rest) {
  const size_t size = pn_dtype_block_bytes(w->m.scale_dtype);
  memset(rest, 0, sizeof *rest);
  memcpy(rest->codes, b.codes, (size_t)n * matmul_neon_block_bytes(w));
  if (w->m.kind == PN_AFFINE) {
    const size_t groups = ((size_t)n + (size_t)w->per_group - 1) / (size_t)w->per_group;
    memcpy(rest->scale, b.scale, groups * size);
    memcpy(rest->bias, b.bias, groups * size);
  }
  return (neon_blocks){rest->codes, rest->scale, rest->bias};
}

MATMUL_INLINE void scales_of(neon_form form, const pn_weight *w, const neon_blocks *b, float32x4_t *scale,
                             float32x4_t *bias) {
  switch (form) {
  case NEON_Q4_0: *scale = neon_heads(b->codes, PN_Q4_0_BYTES); return;
  case NEON_Q5_0: *scale = neon_heads(b->codes, PN_Q5_0_BYTES); return;
  case NEON_Q8_0: *scale = neon_heads(b->codes, PN_Q8_0_BYTES); return;
  case NEON_Q4_1: neon_head_pairs(b->codes, PN_Q4_1_BYTES, scale, bias); return;
  case NEON_Q5_1: neon_head_pairs(b->codes, PN_Q5_1_BYTES, scale, bias); return;
  default:
    *scale = matmul_neon_floats(w->m.scale_dtype, w->per_group == 2, b->scale);
    *bias = matmul_neon_floats(w->m.scale_dtype, w->per_group == 2, b->bias);
  }
}

MATMUL_INLINE void walk(neon_form form, const line_walk *l, int planes, int t) {
  const pn_weight *w = l->w;
  const x_rows x = x_rows_of(l->x, l->first, t);
  const int n_blocks = w->n_blocks;
  const int64_t first = l->r0 * n_blocks, last = first + (int64_t)l->n * n_blocks, all = w->m.rows * n_blocks;
  const size_t step = neon_block_bytes(form), size = pn_dtype_block_bytes(w->m.scale_dtype);
  const bool biased = neon_affine(form) || form == NEON_Q4_1 || form == NEON_Q5_1;
  const size_t group = (size_t)(first / w->per_group) * size,
               groups = NEON_STEP / (size_t)w->per_group * size;
  neon_blocks next = {.codes = (const uint8_t *)w->m.data + (size_t)first * step};
  neon_rest rest;
  float *p = l->p;
  int at = 0;
  if (neon_affine(form)) {
    next.scale = (const uint8_t *)w->m.scales + group;
    next.bias = (const uint8_t *)w->m.biases + group;
  }
  for (int64_t b = first; b < last; b += NEON_STEP, p += NEON_STEP) {
    const neon_blocks blocks = b + NEON_STEP <= all ? next : copy_blocks(w, next, last - b, &rest);
    int32x4_t dot[NEON_ROW_MAX];
    float32x4_t scale, bias;
    dots_of_step(form, planes, blocks.codes, step, 0, &x, at, t, dot);
    scales_of(form, w, &blocks, &scale, &bias);
    put_products(dot, scale, biased ? &bias : NULL, &x, at, t, p, l->p_stride);
    next.codes += NEON_STEP * step;
    if (neon_affine(form)) next.scale += groups, next.bias += groups;
    for (at += NEON_STEP; at >= n_blocks;) at -= n_blocks;
  }
}

// K-quants, a superblock at a time.
MATMUL_INLINE void walk_k(neon_form form, const line_walk *l, int planes, int t) {
  const pn_weight *w = l->w;
  const bool six = form == NEON_Q6_K;
  const int steps = six ? 4 : 2;
  const size_t bytes = six ? PN_Q6_K_BYTES : form == NEON_Q5_K ? PN_Q5_K_BYTES : PN_Q4_K_BYTES;
  const x_rows x = x_rows_of(l->x, l->first, t);
  const uint8_t *stored = (const uint8_t *)w->m.data + (size_t)l->r0 * w->m.row_bytes;
  float *p = l->p;
  int at = 0;
  for (int64_t left = (int64_t)l->n * (w->m.cols / 256); left > 0; left--, stored += bytes) {
    float32x4_t scale[4], bias[4];
    if (six)
      neon_q6_k_scales(stored, scale);
    else
      neon_k_scales(stored, scale, bias);
    MATMUL_UNROLL
    for (int s = 0; s < steps; s++) {
      int32x4_t dot[NEON_ROW_MAX];
      dots_of_step(form, planes, stored, 0, s * NEON_STEP, &x, at + s * NEON_STEP, t, dot);
      put_products(dot, scale[s], six ? NULL : &bias[s], &x, at + s * NEON_STEP, t, p + s * NEON_STEP,
                   l->p_stride);
    }
    p += steps * NEON_STEP;
    at += steps * NEON_STEP;
    if (at >= w->n_blocks) at = 0;
  }
}

// Codes and numbers of a piece of a row, unpacked. Zeros behind them: a step takes four blocks.
typedef struct neon_piece {
  uint8_t codes[PIECE + NEON_STEP * 64];
  float scale[PIECE / 16 + NEON_STEP], bias[PIECE / 16 + NEON_STEP];
} neon_piece;

// The columns [c, c + n) of a row.
static void unpack_piece(const pn_weight *w, int64_t row, int64_t c, int n, neon_piece *piece) {
  const uint8_t *stored = (const uint8_t *)w->m.data + (size_t)row * w->m.row_bytes;
  if (w->m.kind != PN_AFFINE) {
    const pn_kind *kind = matmul_neon_kind_of(w->m.kind);
    const uint8_t *scales = matmul_scales_at(w, kind, (row * w->m.cols + c) / kind->block);
    kind->codes(stored + (size_t)(c / kind->block) * kind->bytes, n / kind->block, piece->codes);
    kind->scales(scales, n / kind->block, piece->scale, piece->bias);
    for (int i = 0; w->bits == 8 && i < n; i += 16) // less 128
      vst1q_u8(piece->codes + i, veorq_u8(vld1q_u8(piece->codes + i), vdupq_n_u8(128)));
    return;
  }
  matmul_neon_unpack(w->m.bits, stored + (size_t)c * (size_t)w->m.bits / 8, n, piece->codes);
  matmul_neon_affine_numbers(w, w->m.scales, row, (int)(c / w->block), n / w->block, piece->scale);
  matmul_neon_affine_numbers(w, w->m.biases, row, (int)(c / w->block), n / w->block, piece->bias);
}

// Row by row, in pieces. The last step of a piece may make p of up to three blocks that are not there; the
// next piece writes its own over them.
MATMUL_INLINE void walk_unpacked(neon_form form, const line_walk *l, int planes, int t) {
  const pn_weight *w = l->w;
  const x_rows x = x_rows_of(l->x, l->first, t);
  const int block = neon_block(form);
  neon_piece piece;
  memset(&piece, 0, sizeof piece);
  float *p = l->p;
  for (int64_t row = l->r0; row < l->r0 + l->n; row++) {
    for (int64_t c = 0, n; c < w->m.cols; c += n) {
      n = w->m.cols - c < PIECE ? w->m.cols - c : PIECE;
      unpack_piece(w, row, c, (int)n, &piece);
      for (int g = 0; g < (int)n / block; g += NEON_STEP) {
        const int at = (int)(c / block) + g;
        int32x4_t dot[NEON_ROW_MAX];
        const float32x4_t bias = vld1q_f32(piece.bias + g);
        dots_of_step(form, planes, piece.codes + g * block, (size_t)block, 0, &x, at, t, dot);
        put_products(dot, vld1q_f32(piece.scale + g), w->biased ? &bias : NULL, &x, at, t, p + g,
                     l->p_stride);
      }
      p += n / block;
    }
  }
}

MATMUL_INLINE void walk_form(neon_form form, const line_walk *l, int planes, int t) {
  if (form >= NEON_UNPACKED_64)
    walk_unpacked(form, l, planes, t);
  else if (form >= NEON_Q4_K)
    walk_k(form, l, planes, t);
  else
    walk(form, l, planes, t);
}

// As many of `left` rows of x as it says.
MATMUL_INLINE int walk_planes(neon_form form, const line_walk *l, int planes, int left) {
  if (left >= 4) {
    walk_form(form, l, planes, 4);
    return 4;
  }
  if (left >= 2) {
    walk_form(form, l, planes, 2);
    return 2;
  }
  walk_form(form, l, planes, 1);
  return 1;
}

MATMUL_INLINE int walk_rows(neon_form form, const line_walk *l, int left) {
  return l->x->planes == 2 ? walk_planes(form, l, 2, left) : walk_planes(form, l, 1, left);
}

static int walk_nibbles_64(const line_walk *l, int left) { return walk_rows(NEON_NIBBLES_64, l, left); }
static int walk_nibbles_32(const line_walk *l, int left) { return walk_rows(NEON_NIBBLES_32, l, left); }
static int walk_bytes_64(const line_walk *l, int left) { return walk_rows(NEON_BYTES_64, l, left); }
static int walk_bytes_32(const line_walk *l, int left) { return walk_rows(NEON_BYTES_32, l, left); }
static int walk_q4_0(const line_walk *l, int left) { return walk_rows(NEON_Q4_0, l, left); }
static int walk_q4_1(const line_walk *l, int left) { return walk_rows(NEON_Q4_1, l, left); }
static int walk_q5_0(const line_walk *l, int left) { return walk_rows(NEON_Q5_0, l, left); }
static int walk_q5_1(const line_walk *l, int left) { return walk_rows(NEON_Q5_1, l, left); }
static int walk_q8_0(const line_walk *l, int left) { return walk_rows(NEON_Q8_0, l, left); }
static int walk_q4_k(const line_walk *l, int left) { return walk_rows(NEON_Q4_K, l, left); }
static int walk_q5_k(const line_walk *l, int left) { return walk_rows(NEON_Q5_K, l, left); }
static int walk_q6_k(const line_walk *l, int left) { return walk_rows(NEON_Q6_K, l, left); }
static int walk_unpacked_64(const line_walk *l, int left) { return walk_rows(NEON_UNPACKED_64, l, left); }
static int walk_unpacked_32(const line_walk *l, int left) { return walk_rows(NEON_UNPACKED_32, l, left); }
static int walk_unpacked_16(const line_walk *l, int left) { return walk_rows(NEON_UNPACKED_16, l, left); }

// out[i] = p[i][0] + p[i][1] + ... for eight rows of n; reads up to three floats behind the last.
static void add_up(const float *p, int n, float out[ROWS]) {
  float32x4_t acc[2] = {vdupq_n_f32(0), vdupq_n_f32(0)};
  for (int b = 0; b < n; b += 4) {
    const int m = n - b < 4 ? n - b : 4;
    for (int half = 0; half < 2; half++) {
      float32x4_t v[4];
      for (int i = 0; i < 4; i++) v[i] = vld1q_f32(p + (size_t)(half * 4 + i) * (size_t)n + (size_t)b);
      matmul_neon_transpose(v);
      for (int i = 0; i < m; i++) acc[half] = vaddq_f32(acc[half], v[i]);
    }
  }
  vst1q_f32(out, acc[0]);
  vst1q_f32(out + 4, acc[1]);
}

// Floats of p for a row of x: those of eight rows of blocks, and what is read or written behind the last.
static size_t products_of(size_t n_blocks) { return ROWS * n_blocks + NEON_STEP; }

size_t matmul_neon_rows_bytes(int64_t cols) {
  return NEON_ROW_MAX * products_of((size_t)cols / 16 + 1) * sizeof(float);
}

void matmul_neon_rows(const pn_weight *w, int64_t r0, int n, const matmul_x *x, float *out,
                      int64_t out_stride, void *scratch) {
  static int (*const walks[NEON_N_FORMS])(const line_walk *, int) = {
      [NEON_NIBBLES_64] = walk_nibbles_64,
      [NEON_NIBBLES_32] = walk_nibbles_32,
      [NEON_BYTES_64] = walk_bytes_64,
      [NEON_BYTES_32] = walk_bytes_32,
      [NEON_Q4_0] = walk_q4_0,
      [NEON_Q4_1] = walk_q4_1,
      [NEON_Q5_0] = walk_q5_0,
      [NEON_Q5_1] = walk_q5_1,
      [NEON_Q8_0] = walk_q8_0,
      [NEON_Q4_K] = walk_q4_k,
      [NEON_Q5_K] = walk_q5_k,
      [NEON_Q6_K] = walk_q6_k,
      [NEON_UNPACKED_64] = walk_unpacked_64,
      [NEON_UNPACKED_32] = walk_unpacked_32,
      [NEON_UNPACKED_16] = walk_unpacked_16,
  };
  const neon_form form = form_of(w);
  line_walk l = {.w = w, .x = x, .p = scratch, .p_stride = products_of((size_t)w->n_blocks)};
  for (int i = 0; i < n; i += ROWS) {
    l.r0 = r0 + i;
    l.n = n - i < ROWS ? n - i : ROWS;
    for (int first = 0, t; first < x->n_rows; first += t) {
      l.first = first;
      t = walks[form](&l, x->n_rows - first);
      for (int k = 0; k < t; k++) {
        float y[ROWS];
        add_up(l.p + (size_t)k * l.p_stride, w->n_blocks, y);
        memcpy(out + (first + k) * out_stride + l.r0, y, (size_t)l.n * sizeof *y);
      }
    }
  }
}
