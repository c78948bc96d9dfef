#!/bin/sh
# Build the backend and a test program for AArch64 and run it under an emulator.
# neon.sh SOURCE_DIR BUILD_DIR TEST.c [ARGUMENT]. With an argument the program runs once more with it, on a
# processor without matrix products of bytes. Exit 77, with a word why, when a tool is missing.
set -eu
source=$1 build=$2 test=$3 argument=${4-}
cc=$(command -v aarch64-linux-gnu-gcc) || { echo "skipped: no aarch64-linux-gnu-gcc"; exit 77; }
qemu=$(command -v qemu-aarch64 || command -v qemu-aarch64-static) || { echo "skipped: no qemu-aarch64"; exit 77; }
sysroot=$(dirname "$(dirname "$cc")")/aarch64-linux-gnu
[ -e "$sysroot/lib/libc.so.6" ] || { echo "skipped: no C library in $sysroot"; exit 77; }

mkdir -p "$build"
flags="-std=c17 -O2 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -D_GNU_SOURCE"
flags="$flags -fno-math-errno -ffp-contract=off -DPN_MATMUL_ARM -I$source/src -I$source/tests/backend"
objects=
for file in "$source"/src/base/clock.c "$source"/src/base/dtype.c "$source"/src/base/error.c \
  "$source"/src/base/kind.c "$source"/src/base/rng.c "$source"/src/backend/backend.c \
  "$source"/src/backend/plan_layout.c "$source"/src/backend/cpu/*.c "$source"/src/backend/ref/*.c \
  "$source"/tests/backend/no_modules.c "$test"; do
  isa=
  case $file in
  *_avx2*.c | *_avx512*.c) continue ;;
  *_neon_i8mm.c) isa=-march=armv8.2-a+dotprod+i8mm ;;
  *_neon*.c) isa=-march=armv8.2-a+dotprod ;;
  esac
  object=$build/$(basename "$file" .c).o
  # shellcheck disable=SC2086
  "$cc" $flags $isa -c "$file" -o "$object"
  objects="$objects $object"
done
# shellcheck disable=SC2086
"$cc" $objects -lm -lpthread -o "$build/program"
"$qemu" -cpu max -L "$sysroot" "$build/program" quick
[ -z "$argument" ] || "$qemu" -cpu neoverse-n1 -L "$sysroot" "$build/program" "$argument"
