// The types that the two files of sampling share: logits as entries in blocks, and the choice from them.
//
// A view is what one row is asked for: its logits, or those that a mask leaves. It is walked in blocks of
// SAMPLE_BLOCK entries that threads share out: the largest of each block first, then, where the temperature
// is not 0, the sum of weights of each block. One thread then chooses from them (cpu_sample_row.c).
#ifndef PN_BACKEND_CPU_SAMPLE_H
#define PN_BACKEND_CPU_SAMPLE_H

#include "backend/cpu/cpu_ops.h"

enum { SAMPLE_BLOCK = 1024 };

typedef struct sample_view {
  const float *from;     // the row's logits
  const pn_sample *mask; // applied to them; NULL: none
  float *masked;         // where to, [n_blocks * SAMPLE_BLOCK]
  const float *v;        // the entries: `from` or `masked`
  const int32_t *ids;    // what they are logits of; NULL: entry i of id i
  int n, n_blocks;
  bool weighs; // `sums` are wanted
  float inverse, least;
  float *lanes; // [n_blocks][CPU_LANES]: largest of entries of a block that stand in a lane; -infinity: none
  float *tops;  // [n_blocks]
  uint64_t *sums; // [n_blocks]
} sample_view;

// Entries picked out of a view, ascending. Arrays have room for every entry of a view and at least
// SAMPLE_BLOCK.
typedef struct sample_list {
  int n;
  float *logit;
  int32_t *entry;
  uint64_t *weight;
} sample_list;

float sample_view_top(const sample_view *v);
static inline cpu_weighing sample_weighing(const sample_view *v) {
  return (cpu_weighing){sample_view_top(v), v->inverse, v->least};
}

// The id that `how` chooses from a view, or -1; uses the list.
int32_t sample_row_choose(const cpu_ops *ops, const sample_view *v, const pn_sample *how, sample_list *l);
// Log probabilities by a view of the whole vocabulary with sums at temperature 1: of out->id, and of the
// n_top likeliest.
void sample_row_logprobs(const cpu_ops *ops, const sample_view *v, int n_top, sample_list *l, pn_choice *out);
// top_k of `how` takes something away from n entries.
bool sample_row_cuts(const pn_sample *how, int n);

#endif
