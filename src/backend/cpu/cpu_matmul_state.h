// What the files of the matrix products share that do not belong to an instruction set: the state of an
// instance, and the forms that its rows of x take.
#ifndef PN_BACKEND_CPU_MATMUL_STATE_H
#define PN_BACKEND_CPU_MATMUL_STATE_H

#include "backend/cpu/cpu_matmul_kernels.h"
#include "backend/cpu/cpu_memory.h"

// The row of x that a thread has for itself.
typedef struct thread_room {
  uint64_t call; // that its row is of
  matmul_x x;
} thread_room;

struct cpu_matmul {
  const matmul_kernels *k;
  int planes;
  int n_threads;
  cpu_pool *pool; // borrowed; NULL with one thread

  int max_rows; // of a slice
  int64_t max_cols;
  thread_room *rooms;                      // [n_threads]
  unsigned char *x_memory, *thread_memory; // owned
  size_t thread_bytes;                     // each thread's part of thread_memory

  // The call under way.
  matmul_x x;
  const cpu_matmul_part *parts;
  int n_parts, first_row;
  const pn_weight *lead; // parts that need x in the form of this weight take part
  int unit;              // rows of a weight that a call of the kernels makes
  int64_t n_units;
  uint64_t call;

  cpu_scratch group_x;      // [CPU_MATMUL_GROUP_ROWS] matmul_x, of grouped products
  cpu_scratch group_memory; // theirs
  int64_t group_cols;       // that it has room for
};

static inline size_t matmul_round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

static inline int64_t matmul_units(int64_t rows) { return (rows + MATMUL_UNIT - 1) / MATMUL_UNIT; }

// Whether two weights take x in the same form.
bool matmul_same_form(const cpu_matmul *s, const pn_weight *a, const pn_weight *b);
// x->n_rows rows of x in the form of that weight, its numbers from `memory` on (matmul_x_bytes of it).
void matmul_x_form(const cpu_matmul *s, const pn_weight *lead, matmul_x *x, unsigned char *memory);
// The most bytes that so many rows take in any form.
size_t matmul_x_bytes(const cpu_matmul *s, int64_t cols, int rows);
// Quantise row r of x to its place.
void matmul_x_quantise(const cpu_matmul *s, const matmul_x *x, int r);

// Units a piece of work, of n_units whose weights are so many bytes, each counted as often as it is gone
// through.
int64_t matmul_chunk(const cpu_matmul *s, int64_t n_units, int64_t bytes);

#endif
