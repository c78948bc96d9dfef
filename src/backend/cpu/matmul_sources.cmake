# Sources of the cpu backend's matrix products, for the list of the room; the files of an instruction set have its flags.

# Fully unrolled kernels take minutes and a gigabyte to compile with a sanitizer's checks between them at -O3.
if(PENSIEVE_SANITIZE)
  set(KERNEL_O "-O1")
else()
  set(KERNEL_O "-O3")
endif()
set(MATMUL_SOURCES cpu/cpu_matmul.c cpu/cpu_matmul_groups.c cpu/cpu_matmul_x.c cpu/cpu_matmul_weight.c cpu/cpu_matmul_unit.c
  cpu/cpu_matmul_unpack.c cpu/cpu_matmul_scalar.c)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(MATMUL_AVX512 cpu/cpu_kinds_avx512.c cpu/cpu_matmul_avx512.c cpu/cpu_matmul_avx512_row.c cpu/cpu_matmul_avx512_pack.c
    cpu/cpu_matmul_avx512_tile.c cpu/cpu_matmul_avx512_float.c)
  set(MATMUL_AVX2 cpu/cpu_kinds_avx2.c cpu/cpu_matmul_avx2.c cpu/cpu_matmul_avx2_float.c cpu/cpu_matmul_avx2_row.c
    cpu/cpu_matmul_avx2_tile.c cpu/cpu_matmul_avx2_unpack.c)
  list(APPEND MATMUL_SOURCES ${MATMUL_AVX512} ${MATMUL_AVX2} cpu/cpu_matmul_avx2_vnni.c)
  set_source_files_properties(${MATMUL_AVX512} PROPERTIES COMPILE_OPTIONS
    "${KERNEL_O};-mavx2;-mfma;-mf16c;-mavx512f;-mavx512bw;-mavx512vl;-mavx512dq;-mavx512vnni")
  set_source_files_properties(${MATMUL_AVX2} PROPERTIES COMPILE_OPTIONS "${KERNEL_O};-mavx2;-mfma;-mf16c")
  set_source_files_properties(cpu/cpu_matmul_avx2_vnni.c PROPERTIES COMPILE_OPTIONS "${KERNEL_O};-mavx2;-mfma;-mf16c;-mavxvnni")
  set_source_files_properties(cpu/cpu_matmul.c PROPERTIES COMPILE_DEFINITIONS PN_MATMUL_X86)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64|ARM64")
  set(MATMUL_NEON cpu/cpu_kinds_neon.c cpu/cpu_matmul_neon.c cpu/cpu_matmul_neon_float.c cpu/cpu_matmul_neon_row.c
    cpu/cpu_matmul_neon_tile.c cpu/cpu_matmul_neon_unpack.c)
  list(APPEND MATMUL_SOURCES ${MATMUL_NEON} cpu/cpu_matmul_neon_i8mm.c)
  set_source_files_properties(${MATMUL_NEON} PROPERTIES COMPILE_OPTIONS "${KERNEL_O};-march=armv8.2-a+dotprod")
  set_source_files_properties(cpu/cpu_matmul_neon_i8mm.c PROPERTIES COMPILE_OPTIONS
    "${KERNEL_O};-march=armv8.2-a+dotprod+i8mm")
  set_source_files_properties(cpu/cpu_matmul.c PROPERTIES COMPILE_DEFINITIONS PN_MATMUL_ARM)
endif()
set_source_files_properties(cpu/cpu_matmul_unpack.c PROPERTIES COMPILE_OPTIONS "${KERNEL_O}")
