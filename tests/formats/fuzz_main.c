// Runs the fuzz entry without a fuzzer: every file of the corpus folder as it is, then seeded damages of it.
// Usage: test_fuzz_formats CORPUS [DAMAGES_PER_FILE]
#include "base/map.h"
#include "base/rng.h"
#include "build_files.h"

#include <dirent.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const unsigned char *p, size_t n);

static void run(const char *p, size_t n) {
  char *exact = build_exact(p, n);
  LLVMFuzzerTestOneInput((const unsigned char *)exact, n);
  free(exact);
}

// One to four edits: a byte, an interesting 8-byte number, a piece copied elsewhere, a cut.
static void damage(pn_buf *b, pn_rng *r) {
  static const uint64_t numbers[] = {0,         1,         2, 0x7FFFFFFF, 0xFFFFFFFF, (uint64_t)1 << 32,
                                     INT64_MAX, UINT64_MAX};
  for (uint64_t k = 1 + pn_rng_below(r, 4); k > 0 && b->n > 16; k--) {
    size_t at = (size_t)pn_rng_below(r, b->n - 8), from = (size_t)pn_rng_below(r, b->n - 8);
    switch (pn_rng_below(r, 8)) {
    case 0: b->n -= (size_t)pn_rng_below(r, b->n / 4); break;
    case 1: memmove(b->p + at, b->p + from, 1 + (size_t)pn_rng_below(r, 8)); break;
    case 2: memcpy(b->p + at, &numbers[pn_rng_below(r, 8)], 1 + (size_t)pn_rng_below(r, 8)); break;
    case 3: b->p[at] = (char)('0' + pn_rng_below(r, 10)); break;
    default: b->p[at] = (char)(b->p[at] ^ (1 << pn_rng_below(r, 8)));
    }
  }
}

static bool run_file(const char *folder, const char *name, uint64_t n_damages) {
  char path[1024];
  pn_buf file = {0}, b = {0};
  pn_error e;
  snprintf(path, sizeof path, "%s/%s", folder, name);
  if (!pn_file_read(path, 1 << 20, &file, &e)) {
    fprintf(stderr, "%s\n", e.msg);
    pn_buf_fini(&file);
    return false;
  }
  run(file.p, file.n);
  pn_rng r;
  pn_rng_seed(&r, file.n);
  for (uint64_t i = 0; i < n_damages; i++) {
    pn_buf_clear(&b);
    pn_buf_str(&b, pn_buf_view(&file));
    damage(&b, &r);
    run(b.p, b.n);
  }
  pn_buf_fini(&file);
  pn_buf_fini(&b);
  return true;
}

int main(int n_args, char **args) {
  if (n_args < 2) {
    fprintf(stderr, "usage: %s CORPUS [DAMAGES_PER_FILE]\n", args[0]);
    return 2;
  }
  uint64_t n_damages = n_args > 2 ? strtoull(args[2], NULL, 10) : 0;
  DIR *d = opendir(args[1]);
  if (!d) {
    perror(args[1]);
    return 1;
  }
  int n_files = 0;
  bool ok = true;
  for (struct dirent *entry; ok && (entry = readdir(d));) {
    if (entry->d_name[0] == '.') continue;
    ok = run_file(args[1], entry->d_name, n_damages);
    n_files++;
  }
  closedir(d);
  printf("%d files, %llu damages each\n", n_files, (unsigned long long)n_damages);
  return ok && n_files > 0 ? 0 : 1;
}
