#include "backend/cpu/cpu_isa.h"

#include <stddef.h>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

const char *cpu_isa_name(cpu_isa isa) {
  static const char *const names[CPU_N_ISAS] = {"scalar", "avx2", "avx2-vnni", "avx512", "neon", "neon-i8mm"};
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

static bool has_avx2_vnni(void) {
  unsigned a, b, c, d;
  return has_avx2() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1u);
}

static bool has_avx512(void) {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vnni");
}
#elif defined(__aarch64__)
// Extensions of AArch64: a word of bits by Linux and one of them, or a name of macOS.
#if defined(__APPLE__)
static bool has(const char *name) {
  int value = 0;
  size_t size = sizeof value;
  return sysctlbyname(name, &value, &size, NULL, 0) == 0 && value;
}
static bool has_dotprod(void) { return has("hw.optional.arm.FEAT_DotProd"); }
static bool has_i8mm(void) { return has("hw.optional.arm.FEAT_I8MM"); }
#elif defined(__linux__)
static bool has_dotprod(void) { return getauxval(AT_HWCAP) >> 20 & 1u; } // HWCAP_ASIMDDP
static bool has_i8mm(void) { return getauxval(AT_HWCAP2) >> 13 & 1u; }   // HWCAP2_I8MM
#else
static bool has_dotprod(void) { return false; }
static bool has_i8mm(void) { return false; }
#endif
#endif

bool cpu_isa_has(cpu_isa isa) {
  switch (isa) {
  case CPU_SCALAR: return true;
#if defined(__x86_64__)
  case CPU_AVX2: return has_avx2();
  case CPU_AVX2_VNNI: return has_avx2_vnni();
  case CPU_AVX512: return has_avx512();
#elif defined(__aarch64__)
  case CPU_NEON: return has_dotprod();
  case CPU_NEON_I8MM: return has_dotprod() && has_i8mm();
#endif
  default: return false;
  }
}

cpu_isa cpu_isa_best(void) {
  static const cpu_isa order[] = {CPU_AVX512, CPU_AVX2_VNNI, CPU_AVX2, CPU_NEON_I8MM, CPU_NEON};
  for (unsigned i = 0; i < sizeof order / sizeof order[0]; i++)
    if (cpu_isa_has(order[i])) return order[i];
  return CPU_SCALAR;
}

const char *const *cpu_isa_usable(void) {
  static const char *const x512_vnni[] = {"avx512", "avx2-vnni", "avx2", "scalar", NULL};
  static const char *const x512[] = {"avx512", "avx2", "scalar", NULL};
  static const char *const arm[] = {"neon-i8mm", "neon", "scalar", NULL};
  switch (cpu_isa_best()) {
  case CPU_AVX512: return cpu_isa_has(CPU_AVX2_VNNI) ? x512_vnni : x512;
  case CPU_AVX2_VNNI: return x512_vnni + 1;
  case CPU_AVX2: return x512 + 1;
  case CPU_NEON_I8MM: return arm;
  case CPU_NEON: return arm + 1;
  default: return arm + 2;
  }
}
