// The instruction sets that kernels are written for, and which of them this machine has.
#ifndef PN_BACKEND_CPU_ISA_H
#define PN_BACKEND_CPU_ISA_H

#include <stdbool.h>

typedef enum cpu_isa {
  CPU_SCALAR, // plain C
  CPU_AVX2,   // AVX2, FMA, F16C
  CPU_AVX512, // AVX-512 F, BW, VL, DQ, VNNI (and what CPU_AVX2 needs)
  CPU_NEON,   // Armv8.2-A with dot products
  CPU_N_ISAS
} cpu_isa;

const char *cpu_isa_name(cpu_isa isa); // for options.isa
cpu_isa cpu_isa_best(void);            // that was built and that the machine and its system can run

#endif
