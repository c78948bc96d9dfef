// The AVX2 kernels of the matrix products compiled once more, with AVX-VNNI: one instruction in place of a
// product of pairs and an addition.
#include "backend/cpu/cpu_matmul_avx2.c"
#include "backend/cpu/cpu_matmul_avx2_row.c"
#include "backend/cpu/cpu_matmul_avx2_tile.c"
