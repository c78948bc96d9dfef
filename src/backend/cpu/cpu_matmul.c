// Calls, scratch and the sharing out of work; the products themselves are in the files of the instruction
// sets.
#include "backend/cpu/cpu_matmul.h"

#include "backend/cpu/cpu_matmul_state.h"

#include <assert.h>
#include <stdlib.h>

static const matmul_kernels *const all_kernels[] = {
#if defined(PN_MATMUL_X86)
    &matmul_avx512,
    &matmul_avx2_vnni,
    &matmul_avx2,
#elif defined(PN_MATMUL_ARM)
    &matmul_neon_i8mm,
    &matmul_neon,
#endif
    &matmul_scalar,
};
enum { N_KERNELS = sizeof all_kernels / sizeof *all_kernels };

static const matmul_kernels *find_kernels(const char *isa) {
  for (int i = 0; i < N_KERNELS; i++) {
    if ((!isa || !strcmp(isa, all_kernels[i]->name)) && all_kernels[i]->usable()) return all_kernels[i];
  }
  return NULL;
}

bool cpu_matmul_has(const char *isa) { return find_kernels(isa) != NULL; }

cpu_matmul *cpu_matmul_new(const char *isa, int planes, cpu_pool *pool, pn_error *e) {
  const matmul_kernels *k = find_kernels(isa);
  if (!k) {
    pn_fail(e, PN_ERR_DEVICE, "instruction set '%s' is not available on this machine or in this build", isa);
    return NULL;
  }
  cpu_matmul *s = calloc(1, sizeof *s);
  if (!s) {
    pn_fail(e, PN_ERR_NOMEM, "no memory for the state of matrix products");
    return NULL;
  }
  s->k = k;
  s->planes = planes;
  s->n_threads = pool ? cpu_pool_threads(pool) : 1;
  s->pool = s->n_threads > 1 ? pool : NULL;
  s->rooms = calloc((size_t)s->n_threads, sizeof *s->rooms);
  if (s->rooms) return s;
  free(s);
  return pn_fail(e, PN_ERR_NOMEM, "no memory for the state of matrix products"), NULL;
}

void cpu_matmul_free(cpu_matmul *s) {
  if (!s) return;
  free(s->rooms);
  free(s->x_memory);
  free(s->thread_memory);
  cpu_scratch_fini(&s->group_x);
  cpu_scratch_fini(&s->group_memory);
  free(s);
}

const char *cpu_matmul_isa(const cpu_matmul *s) { return s->k->name; }

size_t matmul_scratch_unpacked(int64_t cols) {
  // 16 rows as stored (at most 34 bytes for 32 columns), as many of bytes, and five lines of one float a
  // block of 16 columns.
  const size_t wide = (size_t)cols, line = MATMUL_UNIT * (wide / 16 + 2);
  return matmul_round_up(MATMUL_UNIT * (wide + wide / 16 + 64) + MATMUL_UNIT * wide + 5 * 4 * line + 16384,
                         64);
}

bool cpu_matmul_reserve(cpu_matmul *s, int max_rows, int64_t max_cols, pn_error *e) {
  if (max_rows > MATMUL_SLICE) max_rows = MATMUL_SLICE;
  if (max_rows < s->max_rows) max_rows = s->max_rows;
  if (max_cols < s->max_cols) max_cols = s->max_cols;
  if (max_rows == s->max_rows && max_cols == s->max_cols) return true;
  const size_t per_thread = matmul_round_up(
      matmul_round_up(s->k->scratch_bytes(max_cols), 64) + matmul_x_bytes(s, max_cols, 1), 4096);
  unsigned char *x = aligned_alloc(64, matmul_x_bytes(s, max_cols, max_rows));
  unsigned char *t = aligned_alloc(64, per_thread * (size_t)s->n_threads);
  if (!x || !t) {
    free(x);
    free(t);
    return pn_fail(e, PN_ERR_NOMEM, "no memory for matrix products of %d rows and %lld columns", max_rows,
                   (long long)max_cols);
  }
  free(s->x_memory);
  free(s->thread_memory);
  s->x_memory = x;
  s->thread_memory = t;
  s->thread_bytes = per_thread;
  s->max_rows = max_rows;
  s->max_cols = max_cols;
  return true;
}

static void quantise_rows(void *ctx, int thread, int64_t begin, int64_t end) {
  const cpu_matmul *s = ctx;
  (void)thread;
  for (int64_t r = begin; r < end; r++) matmul_x_quantise(s, &s->x, (int)r);
}

static int64_t units_of(const cpu_matmul *s, const pn_weight *w) {
  return (w->m.rows + s->unit - 1) / s->unit;
}

// A single row each thread quantises for itself: cheaper than to wait for another one.
static const matmul_x *x_of(cpu_matmul *s, int thread, unsigned char *scratch) {
  if (s->x.n_rows > 1 || !s->x.block) return &s->x;
  thread_room *room = &s->rooms[thread];
  if (room->call == s->call) return &room->x;
  room->call = s->call;
  room->x = s->x;
  matmul_x_form(s, s->lead, &room->x, scratch + matmul_round_up(s->k->scratch_bytes(s->max_cols), 64));
  matmul_x_quantise(s, &room->x, 0);
  return &room->x;
}

// Units [u0, u1), counted over all parts that take part.
static void multiply(void *ctx, int thread, int64_t u0, int64_t u1) {
  cpu_matmul *s = ctx;
  unsigned char *scratch = s->thread_memory + s->thread_bytes * (size_t)thread;
  const matmul_x *x = x_of(s, thread, scratch);
  for (int i = 0; i < s->n_parts && u1 > 0; i++) {
    const pn_weight *w = s->parts[i].w;
    if (!matmul_same_form(s, w, s->lead)) continue;
    const int64_t n = units_of(s, w), stride = s->parts[i].out_stride;
    float *out = s->parts[i].out + s->first_row * stride;
    for (int64_t u = u0 > 0 ? u0 : 0; u < n && u < u1; u++) {
      const int64_t row = u * s->unit, left = w->m.rows - row;
      matmul_unit(s->k, w, row, left < s->unit ? (int)left : s->unit, x, out, stride, scratch);
    }
    u0 -= n;
    u1 -= n;
  }
}

// At most a few hundred KB of weights, or as much work where many rows of x meet them; as many pieces for
// every thread, since a piece that nobody else has is waited for. Small products get one piece a thread: each
// beginning costs them the memory's lead.
int64_t matmul_chunk(const cpu_matmul *s, int64_t n_units, int64_t bytes) {
  enum { BYTES = 192 << 10 };
  const int64_t each = 1 + bytes / ((int64_t)BYTES * s->n_threads);
  return cpu_pool_chunk(s->pool, n_units, (int)(each < n_units ? each : n_units));
}

// Products of the slice's rows with all parts that share the form of `lead`.
static void run_form(cpu_matmul *s, const pn_weight *lead) {
  matmul_x *x = &s->x;
  const matmul_packing packing = s->k->packing(x->n_rows);
  s->lead = lead;
  s->unit = packing == MATMUL_PANELS && s->k->panel_units ? s->k->panel_units * MATMUL_UNIT : MATMUL_UNIT;
  s->n_units = 0;
  for (int i = 0; i < s->n_parts; i++) {
    if (matmul_same_form(s, s->parts[i].w, lead)) s->n_units += units_of(s, s->parts[i].w);
  }
  matmul_x_form(s, lead, x, s->x_memory);
  s->call++;
  if (!s->pool) {
    if (x->block && x->n_rows > 1) quantise_rows(s, 0, 0, x->n_rows);
    multiply(s, 0, 0, s->n_units);
    return;
  }
  if (x->block && x->n_rows > 1)
    cpu_pool_run(s->pool, quantise_rows, s, x->n_rows, cpu_pool_chunk(s->pool, x->n_rows, 2));
  const int64_t bytes = s->n_units * (int64_t)lead->m.row_bytes * s->unit * ((x->n_rows + 7) / 8);
  cpu_pool_run(s->pool, multiply, s, s->n_units, matmul_chunk(s, s->n_units, bytes));
}

void cpu_matmul_run(cpu_matmul *s, const float *x, int64_t x_stride, int n_rows, const cpu_matmul_part *parts,
                    int n_parts) {
  s->parts = parts;
  s->n_parts = n_parts;
  assert(n_parts == 0 || (parts[0].w->m.cols <= s->max_cols && s->max_rows > 0));
  for (int first = 0; first < n_rows; first += s->max_rows) {
    s->first_row = first;
    s->x.f = x + first * x_stride;
    s->x.f_stride = x_stride;
    s->x.n_rows = n_rows - first < s->max_rows ? n_rows - first : s->max_rows;
    for (int i = 0; i < n_parts; i++) {
      bool seen = false;
      for (int j = 0; j < i && !seen; j++) seen = matmul_same_form(s, parts[j].w, parts[i].w);
      if (!seen) run_form(s, parts[i].w);
    }
  }
}
