#include "formats/range.h"

#include <stdlib.h>

static int compare(const void *pa, const void *pb) {
  const range *a = pa, *b = pb;
  if (a->begin != b->begin) return a->begin < b->begin ? -1 : 1;
  if (a->end != b->end) return a->end < b->end ? -1 : 1;
  return a->item < b->item ? -1 : a->item > b->item;
}

void range_sort(range *r, size_t n) {
  size_t i = 1;
  while (i < n && compare(&r[i - 1], &r[i]) <= 0) i++;
  if (i < n) qsort(r, n, sizeof *r, compare);
}

bool range_elements(const uint64_t *shape, int n_dims, uint64_t *n_elements) {
  uint64_t n = 1;
  bool empty = false;
  for (int i = 0; i < n_dims; i++) {
    if (shape[i] == 0)
      empty = true;
    else if (__builtin_mul_overflow(n, shape[i], &n))
      return false;
  }
  *n_elements = empty ? 0 : n;
  return true;
}

const char *range_hint(pn_str file) {
  if (pn_str_starts(file, PN_STR("version https://git-lfs")))
    return "; it is a Git LFS pointer, not the file itself: run `git lfs pull`";
  if (pn_str_starts(file, PN_STR("<"))) return "; it looks like a web page: the download failed";
  if (pn_str_starts(file, PN_STR("PK\x03\x04"))) return "; it is a zip file, such as a PyTorch checkpoint";
  return "";
}
