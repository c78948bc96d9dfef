// The table of kinds for everybody: how the rows of base/kind_rows.h are found.
#include "base/kind.h"

#include "base/kind_rows.h"

#include <stdio.h>

const pn_kind *pn_kind_of(pn_dtype t) { return &rows[(unsigned)t < PN_OTHER ? t : PN_OTHER]; }

pn_dtype pn_kind_of_gguf(uint32_t number) {
  int t = 0;
  while (t < PN_OTHER && (rows[t].gguf < 0 || (uint32_t)rows[t].gguf != number)) t++;
  return (pn_dtype)t;
}

const char *pn_kind_names(char out[160]) {
  size_t n = 0;
  out[0] = '\0';
  for (int t = 0; t < PN_OTHER && n < 160; t++)
    if (rows[t].decode) n += (size_t)snprintf(out + n, 160 - n, "%s%s", n ? ", " : "", rows[t].name);
  return out;
}
