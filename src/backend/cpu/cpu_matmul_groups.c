// Grouped products: rows of x meet one of the experts that a weight holds, those of a group the same one.
#include "backend/cpu/cpu_matmul_state.h"
#include "backend/ref/ref_matrix.h"

#include <assert.h>

// The call under way.
typedef struct grouped {
  cpu_matmul *s;
  const float *x;
  int64_t x_stride;
  const int32_t *row;
  const cpu_matmul_group *groups;
  int n_groups, n_experts;
  const cpu_matmul_part *parts;
  int n_parts;
  const pn_weight *lead; // parts that need x in the form of this weight take part
  int64_t n_units;       // of a group
  matmul_x *forms;       // [n_groups], of quantised rows
} grouped;

bool cpu_matmul_reserve_groups(cpu_matmul *s, int64_t max_cols, pn_error *e) {
  enum { ROWS = CPU_MATMUL_GROUP_ROWS };
  if (max_cols <= s->group_cols) return true;
  // As many groups as rows take the most.
  if (!cpu_scratch_reserve(&s->group_x, ROWS * sizeof(matmul_x)) ||
      !cpu_scratch_reserve(&s->group_memory, ROWS * matmul_x_bytes(s, max_cols, 1)))
    return pn_fail(e, PN_ERR_NOMEM, "no memory for grouped products of %lld columns", (long long)max_cols);
  s->group_cols = max_cols;
  return true;
}

uint64_t cpu_matmul_group_bytes(const cpu_matmul *s, int64_t max_cols) {
  return CPU_MATMUL_GROUP_ROWS * (uint64_t)(sizeof(matmul_x) + matmul_x_bytes(s, max_cols, 1));
}

static const float *source(const grouped *g, int64_t r) {
  return g->x + (g->row ? g->row[r] : r) * g->x_stride;
}

static bool takes_part(const grouped *g, const pn_weight *w) { return matmul_same_form(g->s, w, g->lead); }

// Whether a group is one row, and that of the group before it: then it needs no form of its own.
static bool repeats(const grouped *g, int i) {
  const cpu_matmul_group *a = &g->groups[i];
  return i > 0 && a->n_rows == 1 && a[-1].n_rows == 1 && source(g, a->first) == source(g, a[-1].first);
}

static void lay_forms(grouped *g) {
  unsigned char *memory = g->s->group_memory.p;
  for (int i = 0; i < g->n_groups; i++) {
    if (repeats(g, i)) {
      g->forms[i] = g->forms[i - 1];
      continue;
    }
    g->forms[i].n_rows = g->groups[i].n_rows;
    matmul_x_form(g->s, g->lead, &g->forms[i], memory);
    memory += matmul_x_bytes(g->s, g->lead->m.cols, g->forms[i].n_rows);
  }
}

// Groups [begin, end): each row from where it lies to its place in the group's form.
static void quantise_groups(void *ctx, int thread, int64_t begin, int64_t end) {
  const grouped *g = ctx;
  (void)thread;
  for (int64_t i = begin; i < end; i++) {
    if (repeats(g, (int)i)) continue;
    matmul_x row = g->forms[i];
    row.f_stride = 0;
    for (int r = 0; r < row.n_rows; r++) {
      row.f = source(g, g->groups[i].first + r);
      matmul_x_quantise(g->s, &row, r);
    }
  }
}

// One expert of a weight that holds several, as a weight.
static pn_weight expert_of(const pn_weight *w, int expert, int n_experts) {
  const int64_t rows = w->m.rows / n_experts;
  pn_weight one = *w;
  one.m = ref_matrix_rows(&w->m, rows * expert, rows);
  return one;
}

// A unit of an expert's rows against its group. Float weights meet rows of x as they lie, one by one.
static void unit(const grouped *g, int group, const pn_weight *w, int64_t r0, const cpu_matmul_part *part,
                 void *scratch) {
  const cpu_matmul_group *at = &g->groups[group];
  const int64_t left = w->m.rows - r0;
  const int n = left < MATMUL_UNIT ? (int)left : MATMUL_UNIT;
  float *out = part->out + at->first * part->out_stride;
  if (w->block) {
    matmul_unit(g->s->k, w, r0, n, &g->forms[group], out, part->out_stride, scratch);
    return;
  }
  matmul_x row = {.n_rows = 1, .cols = (int)w->m.cols};
  for (int r = 0; r < at->n_rows; r++, out += part->out_stride) {
    row.f = source(g, at->first + r);
    matmul_unit(g->s->k, w, r0, n, &row, out, part->out_stride, scratch);
  }
}

// Units [u0, u1) of a group's, counted over all parts that take part.
static void multiply_group(const grouped *g, int group, int64_t u0, int64_t u1, void *scratch) {
  for (int i = 0; i < g->n_parts && u1 > 0; i++) {
    if (!takes_part(g, g->parts[i].w)) continue;
    const pn_weight w = expert_of(g->parts[i].w, g->groups[group].expert, g->n_experts);
    const int64_t n = matmul_units(w.m.rows);
    for (int64_t u = u0 > 0 ? u0 : 0; u < n && u < u1; u++)
      unit(g, group, &w, u * MATMUL_UNIT, &g->parts[i], scratch);
    u0 -= n;
    u1 -= n;
  }
}

// Units [u0, u1), counted over all groups.
static void multiply_groups(void *ctx, int thread, int64_t u0, int64_t u1) {
  const grouped *g = ctx;
  void *scratch = g->s->thread_memory + g->s->thread_bytes * (size_t)thread;
  for (int64_t group = u0 / g->n_units, u = u0; u < u1; group++) {
    const int64_t first = group * g->n_units, end = first + g->n_units < u1 ? first + g->n_units : u1;
    multiply_group(g, (int)group, u - first, end - first, scratch);
    u = end;
  }
}

// Bytes of weights that the groups read, each counted as often as it is gone through.
static int64_t bytes_read(const grouped *g) {
  int64_t times = 0;
  for (int i = 0; i < g->n_groups; i++) times += (g->groups[i].n_rows + 7) / 8;
  return times * g->n_units * MATMUL_UNIT * (int64_t)g->lead->m.row_bytes;
}

// Products of all parts that share the form of `lead`.
static void run_form(grouped *g, const pn_weight *lead) {
  cpu_matmul *s = g->s;
  g->lead = lead;
  g->n_units = 0;
  for (int i = 0; i < g->n_parts; i++)
    if (takes_part(g, g->parts[i].w)) g->n_units += matmul_units(g->parts[i].w->m.rows / g->n_experts);
  if (lead->block) {
    lay_forms(g);
    if (s->pool)
      cpu_pool_run(s->pool, quantise_groups, g, g->n_groups, cpu_pool_chunk(s->pool, g->n_groups, 4));
    else
      quantise_groups(g, 0, 0, g->n_groups);
  }
  const int64_t all = g->n_groups * g->n_units;
  if (s->pool)
    cpu_pool_run(s->pool, multiply_groups, g, all, matmul_chunk(s, all, bytes_read(g)));
  else
    multiply_groups(g, 0, 0, all);
}

void cpu_matmul_run_groups(cpu_matmul *s, const float *x, int64_t x_stride, const int32_t *row,
                           const cpu_matmul_group *groups, int n_groups, int n_experts,
                           const cpu_matmul_part *parts, int n_parts) {
  grouped g = {.s = s,
               .x = x,
               .x_stride = x_stride,
               .row = row,
               .groups = groups,
               .n_groups = n_groups,
               .n_experts = n_experts,
               .parts = parts,
               .n_parts = n_parts,
               .forms = s->group_x.p};
  assert(parts[0].w->m.cols <= s->group_cols && n_groups <= CPU_MATMUL_GROUP_ROWS);
  for (int i = 0; i < n_parts; i++) {
    bool seen = false;
    for (int j = 0; j < i && !seen; j++) seen = matmul_same_form(s, parts[j].w, parts[i].w);
    if (!seen) run_form(&g, parts[i].w);
  }
}
