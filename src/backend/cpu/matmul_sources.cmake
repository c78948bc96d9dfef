# Sources of the cpu backend's matrix products, for the list of the room; one file per instruction set, with its flags.
set(MATMUL_SOURCES cpu/cpu_matmul.c cpu/cpu_matmul_weight.c cpu/cpu_matmul_unpack.c cpu/cpu_matmul_scalar.c)
