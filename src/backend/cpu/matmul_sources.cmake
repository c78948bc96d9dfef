# Sources of the cpu backend's matrix products, for the list of the room; one file per instruction set, with its flags.
set(MATMUL_SOURCES cpu/cpu_matmul.c cpu/cpu_matmul_weight.c cpu/cpu_matmul_unpack.c cpu/cpu_matmul_scalar.c)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(MATMUL_AVX512 cpu/cpu_matmul_avx512.c cpu/cpu_matmul_avx512_row.c cpu/cpu_matmul_avx512_tile.c
    cpu/cpu_matmul_avx512_float.c)
  set_source_files_properties(${MATMUL_AVX512} PROPERTIES COMPILE_OPTIONS
    "-O3;-mavx2;-mfma;-mf16c;-mavx512f;-mavx512bw;-mavx512vl;-mavx512dq;-mavx512vnni")
  list(APPEND MATMUL_SOURCES ${MATMUL_AVX512})
  set_source_files_properties(cpu/cpu_matmul.c PROPERTIES COMPILE_DEFINITIONS PN_MATMUL_X86)
endif()
