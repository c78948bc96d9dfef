// Both parsers over any bytes, and the bytes as the name of a file: a refusal with a message, or a result
// whose every part lies inside the bytes.
// Built for libFuzzer with `clang -fsanitize=fuzzer,address,undefined` without fuzz_main.c.
#include "check_formats.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const unsigned char *p, size_t n);

static void require(const char *wrong, const char *parser) {
  if (!wrong) return;
  fprintf(stderr, "%s: %s\n", parser, wrong);
  abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *p, size_t n) {
  pn_str file = {(const char *)p, n};
  pn_arena a = {.limit_bytes = (size_t)256 << 20};
  pn_tensors t;
  pn_gguf g;
  pn_error e = {0};
  if (pn_safetensors_parse(&a, file, "fuzz", &t, &e))
    require(check_tensors(file, &t), "safetensors");
  else
    require(e.code == PN_OK || !e.msg[0] ? "refused without a message" : NULL, "safetensors");
  e = (pn_error){0};
  if (pn_gguf_parse(&a, file, "fuzz", &g, &e))
    require(check_gguf(file, &g), "gguf");
  else
    require(e.code == PN_OK || !e.msg[0] ? "refused without a message" : NULL, "gguf");
  pn_arena_fini(&a);
  pn_str name;
  uint32_t part, n_parts;
  if (pn_gguf_part_of(file, &name, &part, &n_parts))
    require(!check_inside(file, name.p, name.n) || part < 1 || part > n_parts ? "not a part" : NULL, "part");
  return 0;
}
