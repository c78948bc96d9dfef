// Where the buffers of a plan lie: buffers whose values are never needed at the same time share memory.
#include "backend/backend.h"

enum { MAX_BUFFERS = 64 };

static const char *const names[PN_N_OPS] = {
    [PN_OP_EMBED] = "embed",
    [PN_OP_RMSNORM] = "rmsnorm",
    [PN_OP_ADD_RMSNORM] = "add_rmsnorm",
    [PN_OP_MATMUL] = "matmul",
    [PN_OP_ADD_BIAS] = "add_bias",
    [PN_OP_ROPE] = "rope",
    [PN_OP_KV_WRITE] = "kv_write",
    [PN_OP_ATTENTION] = "attention",
    [PN_OP_SILU_MUL] = "silu_mul",
    [PN_OP_ADD] = "add",
    [PN_OP_GATHER] = "gather",
    [PN_OP_SHORT_CONV] = "short_conv",
    [PN_OP_ROUTE] = "route",
    [PN_OP_EXPERTS] = "experts",
    [PN_OP_SCALE] = "scale",
    [PN_OP_SOFT_CAP] = "soft_cap",
    [PN_OP_GELU_MUL] = "gelu_mul",
    [PN_OP_SIGMOID_GATE] = "sigmoid_gate",
    [PN_OP_GATED_DELTA] = "gated_delta",
    [PN_OP_GATED_RMSNORM] = "gated_rmsnorm",
};

const char *pn_op_name(pn_op op) { return (unsigned)op < PN_N_OPS ? names[op] : "unknown"; }

typedef uint64_t buffer_set; // a bit a buffer

static buffer_set set_of(pn_view v) { return v.width > 0 ? UINT64_C(1) << v.buffer : 0; }

static bool changes_in_place(pn_op op) {
  return op == PN_OP_ADD_BIAS || op == PN_OP_ROPE || op == PN_OP_ADD || op == PN_OP_SIGMOID_GATE ||
         op == PN_OP_SCALE || op == PN_OP_SOFT_CAP;
}

static buffer_set read_by(const pn_step *s) {
  return set_of(s->in[0]) | set_of(s->in[1]) | (changes_in_place(s->op) ? set_of(s->out) : 0);
}

// What the step gives a new value as a whole, so that nobody needs what was there before.
static buffer_set renewed_by(const pn_plan *p, const pn_step *s) {
  bool whole = s->out.width > 0 && s->out.width == p->buffers[s->out.buffer].width;
  return whole ? set_of(s->out) & ~read_by(s) : 0;
}

// clash[i]: the buffers that hold a needed value at a time when buffer i does.
static void find_clashes(const pn_plan *p, buffer_set clash[MAX_BUFFERS]) {
  for (int i = 0; i < p->n_buffers; i++) clash[i] = 0;
  buffer_set live = p->n_steps ? set_of(p->steps[p->n_steps - 1].out) : 0; // who asked for the plan reads it
  for (int k = p->n_steps; k-- > 0;) {
    const pn_step *s = &p->steps[k];
    buffer_set together = live | set_of(s->out) | read_by(s);
    live = (live & ~renewed_by(p, s)) | read_by(s);
    together |= live;
    for (int i = 0; i < p->n_buffers; i++)
      if (together >> i & 1) clash[i] |= together;
  }
}

static uint64_t bytes_of(const pn_buffer *b, int max_rows, int max_logits) {
  uint64_t rows = (uint64_t)(b->by_logits ? max_logits : max_rows), bytes;
  if (__builtin_mul_overflow(rows, (uint64_t)b->width * sizeof(float), &bytes) || bytes > UINT64_MAX / 2)
    return UINT64_MAX;
  return (bytes + 63) / 64 * 64;
}

// The lowest place for `bytes` beside the placed buffers that it clashes with.
static uint64_t lowest_gap(buffer_set beside, const uint64_t *at, const uint64_t *bytes, int n,
                           uint64_t want) {
  uint64_t from = 0;
  for (bool moved = true; moved;) {
    moved = false;
    for (int i = 0; i < n; i++) {
      if (!(beside >> i & 1) || at[i] >= from + want || at[i] + bytes[i] <= from) continue;
      from = at[i] + bytes[i];
      moved = true;
    }
  }
  return from;
}

uint64_t pn_plan_layout(const pn_plan *p, int max_rows, int max_logits, uint64_t *offsets) {
  buffer_set clash[MAX_BUFFERS], placed = 0;
  uint64_t bytes[MAX_BUFFERS], all = 0;
  if (p->n_buffers > MAX_BUFFERS) return UINT64_MAX;
  for (int i = 0; i < p->n_buffers; i++) {
    bytes[i] = bytes_of(&p->buffers[i], max_rows, max_logits);
    if (bytes[i] == UINT64_MAX || __builtin_add_overflow(all, bytes[i], &all)) return UINT64_MAX;
  }
  find_clashes(p, clash);
  uint64_t end = 0;
  for (int k = 0; k < p->n_buffers; k++) { // the largest of those left
    int next = -1;
    for (int i = 0; i < p->n_buffers; i++)
      if (!(placed >> i & 1) && (next < 0 || bytes[i] > bytes[next])) next = i;
    offsets[next] = lowest_gap(placed & clash[next], offsets, bytes, p->n_buffers, bytes[next]);
    placed |= UINT64_C(1) << next;
    if (offsets[next] + bytes[next] > end) end = offsets[next] + bytes[next];
  }
  return end;
}
