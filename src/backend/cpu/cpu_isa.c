#include "backend/cpu/cpu_isa.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

const char *cpu_isa_name(cpu_isa isa) {
  static const char *const names[CPU_N_ISAS] = {"scalar", "avx2", "avx512", "neon"};
  return names[isa];
}

#if defined(__x86_64__)
static bool has_f16c(void) {
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c >> 29 & 1u);
}

static bool has_avx2(void) {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
}

static bool has_avx512(void) {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vnni");
}
#elif defined(__aarch64__)
static bool has_dotprod(void) {
#if defined(__APPLE__)
  return true; // every Apple core that runs arm64 has it
#elif defined(__linux__)
  return getauxval(AT_HWCAP) >> 20 & 1u; // HWCAP_ASIMDDP
#else
  return false;
#endif
}
#endif

// The kernels were built, and the machine and its operating system can run them.
static bool is_usable(cpu_isa isa) {
  switch (isa) {
  case CPU_SCALAR: return true;
#if defined(__x86_64__)
  case CPU_AVX2: return has_avx2();
  case CPU_AVX512: return has_avx512();
#elif defined(__aarch64__)
  case CPU_NEON: return has_dotprod();
#endif
  default: return false;
  }
}

cpu_isa cpu_isa_best(void) {
  static const cpu_isa order[] = {CPU_AVX512, CPU_AVX2, CPU_NEON};
  for (unsigned i = 0; i < sizeof order / sizeof order[0]; i++)
    if (is_usable(order[i])) return order[i];
  return CPU_SCALAR;
}
