// The NEON tiles of the matrix products compiled once more, with the matrix products of bytes (smmla): 32
// products an instruction in place of sdot's 16. One row of x takes the same kernels as without.
#include "backend/cpu/cpu_matmul_neon.c"
#include "backend/cpu/cpu_matmul_neon_tile.c"
