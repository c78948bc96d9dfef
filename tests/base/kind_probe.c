// The table of kinds for tests in Python. `kind_probe list` prints a line for each kind that a matrix may
// have: name, number in GGUF files (-1: none), elements and bytes of a block, bytes of its scales where they
// lie apart. `kind_probe NAME` decodes the blocks that it reads from standard input (of kinds with scales
// apart: all blocks, then all scales) and writes the values as native f32.
#include "base/kind.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>

static int decode(const pn_kind *k) {
  pn_buf in = {0};
  for (int c; (c = getchar()) != EOF;) pn_buf_char(&in, (char)c);
  const size_t size = (size_t)k->bytes + k->scale_bytes, n = in.n / size, elements = n * k->block;
  float *out = malloc((elements ? elements : 1) * sizeof *out);
  const unsigned char *p = (const unsigned char *)in.p;
  if (!out || in.oom || in.n % size) return 1;
  if (k->decode)
    k->decode(p, (int64_t)n, out);
  else
    k->decode_apart(p, p + n * k->bytes, (int64_t)n, out);
  const bool ok = fwrite(out, sizeof *out, elements, stdout) == elements;
  free(out);
  pn_buf_fini(&in);
  return ok ? 0 : 1;
}

int main(int argc, char **argv) {
  for (int t = 0; argc == 2 && t < PN_OTHER; t++) {
    const pn_kind *k = pn_kind_of((pn_dtype)t);
    if (!k->decode && !k->decode_apart) continue;
    if (strcmp(argv[1], "list") == 0)
      printf("%s %d %d %d %d\n", k->name, k->gguf, k->block, k->bytes, k->scale_bytes);
    else if (strcmp(argv[1], k->name) == 0)
      return decode(k);
  }
  return argc == 2 && strcmp(argv[1], "list") == 0 ? 0 : 2;
}
