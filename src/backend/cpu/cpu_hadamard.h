// The rotation that int4 keeps K and V in: it spreads an outlier over its block, so that few levels serve
// all.
#ifndef PN_BACKEND_CPU_HADAMARD_H
#define PN_BACKEND_CPU_HADAMARD_H

enum { CPU_HADAMARD_MAX = 4096 }; // head_dim that int4 goes up to

// In place, each block of x[0 .. n) by the orthonormal Walsh-Hadamard matrix of its size b in Sylvester's
// order: H[i][j] = (-1)^popcount(i & j) / sqrt(b), its own inverse. b is the largest power of two that
// divides n (1: nothing happens). Order: butterflies over distances 1, 2, 4, ..., then times 1 / sqrt(b);
// sums, differences and one product, so the same bits on every machine.
void cpu_hadamard(float *x, int n);
int cpu_hadamard_block(int n);

#endif
