// Taking a matrix into use: every claim is checked here, so that kernels can trust the numbers.
#include "backend/cpu/cpu_matmul_kernels.h"
#include "backend/ref/ref_matrix.h"
#include "base/kind.h"

#include <stdlib.h>

pn_weight *cpu_matmul_weight_open(const pn_matrix *m, pn_error *e) {
  if (!ref_matrix_check(m, e)) return NULL;
  pn_weight *w = malloc(sizeof *w);
  if (!w) return pn_fail(e, PN_ERR_NOMEM, "no memory to describe a matrix"), NULL;
  const pn_kind *k = pn_kind_of(m->kind);
  const bool affine = m->kind == PN_AFFINE;
  const int group = affine ? m->group : k->group;
  *w = (pn_weight){.m = *m,
                   .bits = affine ? m->bits : k->bits,
                   .block = group < 64 ? group : 64,
                   .per_group = group == 128 ? 2 : 1,
                   .offset = k->offset,
                   .biased = k->biased,
                   .decoded = !affine && !k->codes && k->decode_apart};
  w->n_blocks = w->block ? (int)(m->cols / w->block) : 0;
  return w;
}

void cpu_matmul_weight_close(pn_weight *w) { free(w); }

void cpu_matmul_embed_row(const pn_weight *w, int64_t row, float scale, float *out) {
  ref_matrix_row(&w->m, row, out);
  if (scale != 1.0f) {
    for (int64_t i = 0; i < w->m.cols; i++) out[i] *= scale;
  }
}
