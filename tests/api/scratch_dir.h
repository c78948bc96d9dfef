// A folder of the test's own, removed with everything in it.
#ifndef PN_TESTS_SCRATCH_DIR_H
#define PN_TESTS_SCRATCH_DIR_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct scratch_dir {
  char path[64];
} scratch_dir;

static inline void scratch_make(scratch_dir *d) {
  strcpy(d->path, "/tmp/pn-batches-XXXXXX");
  if (!mkdtemp(d->path)) abort();
}

static inline char *scratch_path(const scratch_dir *d, const char *name, char out[128]) {
  snprintf(out, 128, "%s/%s", d->path, name);
  return out;
}

static inline void scratch_remove(const scratch_dir *d) {
  char path[128];
  DIR *dir = opendir(d->path);
  for (struct dirent *it; dir && (it = readdir(dir));)
    if (it->d_name[0] != '.') {
      snprintf(path, sizeof path, "%.50s/%.70s", d->path, it->d_name);
      unlink(path);
    }
  if (dir) closedir(dir);
  rmdir(d->path);
}

#endif
