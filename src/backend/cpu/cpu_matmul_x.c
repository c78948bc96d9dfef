// The rows of x of a matrix product, quantised, in the form that its weights and the kernels want.
#include "backend/cpu/cpu_matmul_state.h"

// Bytes that a code of x takes.
static size_t code_bytes(const cpu_matmul *s) { return s->k->words ? 2 : (size_t)s->planes; }

// Strides of a form of x. An odd number of cache lines a row keeps the rows out of each other's cache sets.
static void set_strides(const cpu_matmul *s, matmul_x *x) {
  const size_t blocks = (size_t)x->n_blocks + (x->packing == MATMUL_LINE ? MATMUL_UNIT : 0);
  x->s_stride = blocks;
  x->high = x->plane = 0;
  if (x->packing == MATMUL_PANELS) {
    x->q_stride = code_bytes(s) * (size_t)x->cols;
    return;
  }
  if (s->k->together) {
    x->q_stride = (matmul_round_up(code_bytes(s) * blocks * (size_t)x->block, 64) / 64 | 1) * 64;
    return;
  }
  x->high = x->layout == MATMUL_PLAIN ? 0 : matmul_round_up(blocks * (size_t)x->block / 2, 64);
  x->plane = x->layout == MATMUL_PLAIN ? matmul_round_up(blocks * (size_t)x->block, 64) : 2 * x->high;
  x->q_stride = ((size_t)x->planes * x->plane / 64 | 1) * 64;
}

// Blocks of 16 have the most numbers, of 64 the longest lines.
size_t matmul_x_bytes(const cpu_matmul *s, int64_t cols, int rows) {
  const size_t each = code_bytes(s), row = each * ((size_t)cols + 256) + ((size_t)cols / 16 + 1) * 12;
  const size_t line = MATMUL_UNIT * (each * 64 + 12);
  return matmul_round_up(
      (size_t)rows * row + (size_t)(rows < MATMUL_LINE_ROWS ? rows : MATMUL_LINE_ROWS) * line + 768, 64);
}

bool matmul_same_form(const cpu_matmul *s, const pn_weight *a, const pn_weight *b) {
  return a->block == b->block && a->offset == b->offset && s->k->layout(a) == s->k->layout(b);
}

void matmul_x_form(const cpu_matmul *s, const pn_weight *lead, matmul_x *x, unsigned char *memory) {
  x->planes = s->planes;
  x->cols = (int)lead->m.cols;
  x->block = lead->block;
  x->n_blocks = lead->n_blocks;
  x->offset = lead->offset;
  x->layout = s->k->layout(lead);
  x->packing = s->k->packing(x->n_rows);
  set_strides(s, x);
  x->q = (int8_t *)memory;
  x->dx = (float *)(memory + x->q_stride * (size_t)x->n_rows);
  x->sum = x->dx + x->s_stride * (size_t)x->n_rows;
  x->shift = (int32_t *)(x->sum + x->s_stride * (size_t)x->n_rows);
}

// Of a line: its first blocks once more behind the last.
static void repeat_row(const cpu_matmul *s, const matmul_x *x, int r) {
  const bool together = s->k->together;
  const size_t n = (size_t)x->n_blocks, at = (size_t)r * x->s_stride;
  // A block's bytes in a stream: those of all its codes, or of half of them.
  const size_t bytes = (size_t)x->block * (together ? code_bytes(s) : 1) / (x->high ? 2 : 1);
  for (int plane = 0; plane < (together ? 1 : x->planes); plane++) {
    int8_t *q = x->q + (size_t)r * x->q_stride + (size_t)plane * x->plane;
    for (size_t b = n; b < n + MATMUL_UNIT; b++) {
      memcpy(q + b * bytes, q + (b - n) * bytes, bytes);
      if (x->high) memcpy(q + x->high + b * bytes, q + x->high + (b - n) * bytes, bytes);
    }
  }
  for (size_t b = n; b < n + MATMUL_UNIT; b++) {
    x->dx[at + b] = x->dx[at + b - n];
    x->sum[at + b] = x->sum[at + b - n];
    x->shift[at + b] = x->shift[at + b - n];
  }
}

void matmul_x_quantise(const cpu_matmul *s, const matmul_x *x, int r) {
  s->k->quantise(x, r);
  if (x->packing == MATMUL_LINE) repeat_row(s, x, r);
}
