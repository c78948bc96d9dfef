// The instruction sets that kernels are written for, and which of them this machine has.
#ifndef PN_BACKEND_CPU_ISA_H
#define PN_BACKEND_CPU_ISA_H

#include <stdbool.h>

typedef enum cpu_isa {
  CPU_SCALAR,    // plain C
  CPU_AVX2,      // AVX2, FMA, F16C
  CPU_AVX2_VNNI, // and AVX-VNNI, in products of matrices
  CPU_AVX512,    // AVX-512 F, BW, VL, DQ, VNNI (and what CPU_AVX2 needs)
  CPU_NEON,      // Armv8.2-A with dot products of bytes
  CPU_NEON_I8MM, // and matrix products of bytes, in products of matrices
  CPU_N_ISAS
} cpu_isa;

const char *cpu_isa_name(cpu_isa isa); // for options.isa
// It was built, and the machine and its operating system can run it.
bool cpu_isa_has(cpu_isa isa);
cpu_isa cpu_isa_best(void); // of those that it has
// Their names, the best first, NULL behind the last.
const char *const *cpu_isa_usable(void);

#endif
