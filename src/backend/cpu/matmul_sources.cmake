# Sources of the cpu backend's matrix products, for the list of the room; the files of an instruction set have its flags.
set(MATMUL_SOURCES cpu/cpu_matmul.c cpu/cpu_matmul_weight.c cpu/cpu_matmul_unpack.c cpu/cpu_matmul_scalar.c
  cpu/cpu_matmul_lines.c)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(MATMUL_AVX512 cpu/cpu_matmul_avx512.c cpu/cpu_matmul_avx512_row.c cpu/cpu_matmul_avx512_tile.c
    cpu/cpu_matmul_avx512_float.c)
  list(APPEND MATMUL_SOURCES ${MATMUL_AVX512} cpu/cpu_matmul_avx2.c)
  set_source_files_properties(${MATMUL_AVX512} PROPERTIES COMPILE_OPTIONS
    "-O3;-mavx2;-mfma;-mf16c;-mavx512f;-mavx512bw;-mavx512vl;-mavx512dq;-mavx512vnni")
  set_source_files_properties(cpu/cpu_matmul_avx2.c PROPERTIES COMPILE_OPTIONS "-O3;-mavx2;-mfma;-mf16c")
  set_source_files_properties(cpu/cpu_matmul.c PROPERTIES COMPILE_DEFINITIONS PN_MATMUL_X86)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64|ARM64")
  list(APPEND MATMUL_SOURCES cpu/cpu_matmul_neon.c)
  set_source_files_properties(cpu/cpu_matmul_neon.c PROPERTIES COMPILE_OPTIONS "-O3;-march=armv8.2-a+dotprod")
  set_source_files_properties(cpu/cpu_matmul.c PROPERTIES COMPILE_DEFINITIONS PN_MATMUL_ARM)
endif()
set_source_files_properties(cpu/cpu_matmul_lines.c cpu/cpu_matmul_unpack.c PROPERTIES COMPILE_OPTIONS "-O3")
