// The feed-forward of routed experts. Pairs of a row and an expert that it goes to are sorted by expert and
// computed in slices, so that the rows of an expert share what is unpacked of it and memory stays small; a
// row's answers are added as they come, which is by ascending number of the expert.
#include "backend/cpu/cpu_state.h"

#include <string.h>

enum { SLICE = CPU_MATMUL_GROUP_ROWS };

// What a step needs beside its buffers, in pieces of a block of memory.
typedef struct experts_room {
  size_t row, weight, first, gate_up, act, y, bytes; // offsets, and the whole
} experts_room;

typedef struct experts_job {
  cpu_backend *s;
  const pn_step *step;
  cpu_rows x, route, out;
  int32_t *row;             // of each pair
  float *weight;            // of each pair
  int32_t *first;           // [n_experts + 1]: the pairs of expert e are [first[e], first[e + 1])
  float *gate_up, *act, *y; // of a slice's pairs: [2 * experts.width], [experts.width], [out.width]
  int begin, n;             // the slice
  cpu_matmul_group groups[SLICE];
  int n_groups;
} experts_job;

static experts_room room_of(const pn_step *step, int rows) {
  const size_t pairs = (size_t)rows * (size_t)step->in[1].width / 2, width = (size_t)step->experts.width,
               slice = pairs < SLICE ? pairs : SLICE;
  const size_t sizes[] = {pairs,
                          pairs,
                          (size_t)step->experts.n_experts + 1,
                          slice * 2 * width,
                          slice * width,
                          slice * (size_t)step->out.width};
  experts_room r;
  size_t *const at[] = {&r.row, &r.weight, &r.first, &r.gate_up, &r.act, &r.y};
  r.bytes = 0;
  for (int i = 0; i < 6; i++) {
    *at[i] = r.bytes;
    r.bytes += (sizes[i] * 4 + 63) / 64 * 64;
  }
  return r;
}

static int64_t widest_input(const pn_step *step) {
  return step->in[0].width > step->experts.width ? step->in[0].width : step->experts.width;
}

uint64_t cpu_experts_bytes(const cpu_backend *s, const pn_plan *plan, int rows) {
  uint64_t most = 0;
  for (int i = 0; i < plan->n_steps; i++) {
    const pn_step *step = &plan->steps[i];
    if (step->op != PN_OP_EXPERTS) continue;
    const uint64_t bytes = room_of(step, rows).bytes + cpu_matmul_group_bytes(s->matmul, widest_input(step));
    if (bytes > most) most = bytes;
  }
  return most;
}

bool cpu_experts_reserve(cpu_backend *s, const pn_plan *plan, int rows, pn_error *e) {
  for (int i = 0; i < plan->n_steps; i++) {
    const pn_step *step = &plan->steps[i];
    if (step->op != PN_OP_EXPERTS) continue;
    if (!cpu_scratch_reserve(&s->experts, room_of(step, rows).bytes))
      return pn_fail(e, PN_ERR_NOMEM, "no memory for experts of %d rows", rows);
    if (!cpu_matmul_reserve_groups(s->matmul, widest_input(step), e)) return false;
  }
  return true;
}

// Count what each expert gets, then deal the pairs out, rows ascending.
static void sort_pairs(experts_job *j) {
  const int k = j->step->in[1].width / 2, n = j->step->experts.n_experts;
  memset(j->first, 0, (size_t)(n + 1) * sizeof *j->first);
  for (int r = 0; r < j->out.n; r++)
    for (int i = 0; i < k; i++) j->first[(int)j->route.p[r * j->route.stride + i] + 1]++;
  for (int e = 0; e < n; e++) j->first[e + 1] += j->first[e];
  for (int r = 0; r < j->out.n; r++) {
    const float *route = j->route.p + r * j->route.stride;
    for (int i = 0; i < k; i++) {
      const int at = j->first[(int)route[i]]++;
      j->row[at] = r;
      j->weight[at] = route[k + i];
    }
  }
  memmove(j->first + 1, j->first, (size_t)n * sizeof *j->first); // each has moved to its successor's
  j->first[0] = 0;
}

// The next slice, from pair `begin` of expert *expert on: whole experts, unless one alone is too much.
static void next_slice(experts_job *j, int *expert) {
  j->n = j->n_groups = 0;
  for (; *expert < j->step->experts.n_experts; ++*expert) {
    int left = j->first[*expert + 1] - (j->begin + j->n);
    if (left == 0) continue;
    const int space = SLICE - j->n;
    if (left > space && j->n > 0) return;
    const int taken = left < space ? left : space;
    j->groups[j->n_groups++] = (cpu_matmul_group){*expert, j->n, taken};
    j->n += taken;
    if (taken < left) return;
  }
}

static void activate(void *ctx, int thread, int64_t begin, int64_t end) {
  const experts_job *j = ctx;
  const int width = j->step->experts.width;
  (void)thread;
  for (int64_t i = begin; i < end; i++) {
    const float *gate = j->gate_up + i * 2 * width;
    j->s->ops->silu_mul(gate, gate + width, width, j->act + i * width);
  }
}

// Columns of lanes [begin, end) of all pairs to the rows that they belong to.
static void add_answers(void *ctx, int thread, int64_t begin, int64_t end) {
  const experts_job *j = ctx;
  const int width = j->step->out.width, from = (int)begin * CPU_LANES,
            to = (int)(end * CPU_LANES < width ? end * CPU_LANES : width);
  (void)thread;
  for (int r = 0; r < j->out.n && j->begin == 0; r++)
    memset(j->out.p + r * j->out.stride + from, 0, (size_t)(to - from) * sizeof(float));
  for (int i = 0; i < j->n; i++)
    j->s->ops->add_scaled(j->out.p + j->row[j->begin + i] * j->out.stride + from,
                          j->y + (int64_t)i * width + from, j->weight[j->begin + i], to - from);
}

static void run_pieces(const cpu_backend *s, cpu_pool_fn *fn, experts_job *j, int64_t n, int64_t work) {
  if (work < 16384) // too little to wake anyone for
    fn(j, 0, 0, n);
  else
    cpu_pool_run(s->pool, fn, j, n, cpu_pool_chunk(s->pool, n, 2));
}

static void run_slice(experts_job *j) {
  const pn_step *step = j->step;
  cpu_backend *s = j->s;
  const int width = step->experts.width, d = step->out.width, n_experts = step->experts.n_experts;
  const bool both = step->n_weights == 2;
  const cpu_matmul_part in[] = {{step->w[0], j->gate_up, 2 * width},
                                {step->w[1], j->gate_up + width, 2 * width}},
                        down = {step->w[step->n_weights - 1], j->y, d};
  cpu_matmul_run_groups(s->matmul, j->x.p, j->x.stride, j->row + j->begin, j->groups, j->n_groups, n_experts,
                        in, both ? 1 : 2);
  run_pieces(s, activate, j, j->n, (int64_t)j->n * width);
  cpu_matmul_run_groups(s->matmul, j->act, width, NULL, j->groups, j->n_groups, n_experts, &down, 1);
  run_pieces(s, add_answers, j, (d + CPU_LANES - 1) / CPU_LANES, (int64_t)j->n * d);
}

void cpu_experts(cpu_backend *s, const pn_step *step) {
  const cpu_rows out = cpu_rows_of(s, step->out);
  const experts_room at = room_of(step, out.n);
  char *room = s->experts.p;
  experts_job j = {.s = s,
                   .step = step,
                   .x = cpu_rows_of(s, step->in[0]),
                   .route = cpu_rows_of(s, step->in[1]),
                   .out = out,
                   .row = (int32_t *)(void *)(room + at.row),
                   .weight = (float *)(void *)(room + at.weight),
                   .first = (int32_t *)(void *)(room + at.first),
                   .gate_up = (float *)(void *)(room + at.gate_up),
                   .act = (float *)(void *)(room + at.act),
                   .y = (float *)(void *)(room + at.y)};
  const int pairs = out.n * (step->in[1].width / 2);
  sort_pairs(&j);
  for (int expert = 0; j.begin < pairs; j.begin += j.n) {
    next_slice(&j, &expert);
    run_slice(&j);
  }
}
