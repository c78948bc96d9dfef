#include "cli/cgroup.h"

#include "base/map.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT64_MAX
#define V1_NO_LIMIT ((uint64_t)1 << 62) // version 1 writes the largest multiple of a page

enum { PATH_MAX_BYTES = 4096 };

// Where a controller's files lie, and how they are called.
typedef struct layout {
  const char *controller; // as /proc/self/cgroup names it; "": version 2
  const char *mount;      // under /sys/fs/cgroup
} layout;

typedef struct memory_names {
  const char *limits[2], *usage, *file_keys[2];
} memory_names;
static const memory_names memory_v2 = {
    {"memory.max", "memory.high"}, "memory.current", {"active_file ", "inactive_file "}};
static const memory_names memory_v1 = {
    {"memory.limit_in_bytes", NULL}, "memory.usage_in_bytes", {"total_active_file ", "total_inactive_file "}};

static bool read_in(const char *dir, const char *file, pn_buf *out) {
  char path[PATH_MAX_BYTES + 64];
  snprintf(path, sizeof path, "%s/%s", dir, file);
  return pn_file_read(path, 1 << 20, out, NULL);
}

// The first number of a file; NONE when there is none: no such file, or the word "max".
static uint64_t number_in(const char *dir, const char *file) {
  pn_buf b = {0};
  uint64_t n = NONE;
  if (read_in(dir, file, &b) && b.n && isdigit((unsigned char)b.p[0]))
    n = strtoull(pn_buf_cstr(&b), NULL, 10);
  pn_buf_fini(&b);
  return n;
}

// The number behind `key` at the beginning of a line of text; 0 when it isn't there.
static uint64_t number_of(const char *text, const char *key) {
  size_t n = strlen(key);
  for (const char *line = text; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
    if (strncmp(line, key, n) == 0) return strtoull(line + n, NULL, 10);
  return 0;
}

// Whether a list such as "cpu,cpuacct" has the word.
static bool lists(const char *list, size_t n, const char *word) {
  size_t len = strlen(word);
  for (size_t at = 0; at <= n;) {
    size_t end = at;
    while (end < n && list[end] != ',') end++;
    if (end - at == len && strncmp(list + at, word, len) == 0) return true;
    at = end + 1;
  }
  return false;
}

// The path of this process's group from /proc/self/cgroup, lines "number:controllers:path". False: not there.
static bool own_group(const char *root, const char *controller, char out[PATH_MAX_BYTES]) {
  char proc[PATH_MAX_BYTES];
  pn_buf b = {0};
  bool found = false;
  snprintf(proc, sizeof proc, "%s/proc/self", root);
  if (read_in(proc, "cgroup", &b)) {
    for (const char *line = pn_buf_cstr(&b); line && *line && !found;) {
      const char *list = strchr(line, ':'), *path = list ? strchr(list + 1, ':') : NULL;
      size_t n = strcspn(line, "\n");
      if (path && path < line + n && lists(list + 1, (size_t)(path - list - 1), controller)) {
        snprintf(out, PATH_MAX_BYTES, "%.*s", (int)(line + n - path - 1), path + 1);
        found = true;
      }
      line = line[n] ? line + n + 1 : NULL;
    }
  }
  pn_buf_fini(&b);
  return found;
}

// Call `look` with the folder of the group and of each one above it. A container often sees its own group as
// the mount itself, while /proc names the path outside: folders that aren't there have no limits.
static void walk(const char *root, layout l, void (*look)(void *ctx, const char *dir), void *ctx) {
  char group[PATH_MAX_BYTES] = "", dir[2 * PATH_MAX_BYTES];
  if (!own_group(root, l.controller, group)) return;
  for (;;) {
    size_t n = strlen(group);
    while (n > 0 && group[n - 1] == '/') group[--n] = '\0';
    int len = snprintf(dir, sizeof dir, "%s/sys/fs/cgroup%s%s%s", root, *l.mount ? "/" : "", l.mount, group);
    if (len < PATH_MAX_BYTES) look(ctx, dir);
    char *slash = strrchr(group, '/');
    if (!slash) break;
    *slash = '\0';
  }
}

typedef struct memory_found {
  const memory_names *names;
  uint64_t limit, left;
} memory_found;

static void look_at_memory(void *ctx, const char *dir) {
  memory_found *f = ctx;
  uint64_t limit = NONE;
  for (int i = 0; i < 2 && f->names->limits[i]; i++) {
    uint64_t n = number_in(dir, f->names->limits[i]);
    if (n < limit) limit = n;
  }
  if (limit >= V1_NO_LIMIT) return;
  uint64_t used = number_in(dir, f->names->usage), files = 0;
  pn_buf stat = {0};
  if (read_in(dir, "memory.stat", &stat))
    for (int i = 0; i < 2; i++) files += number_of(pn_buf_cstr(&stat), f->names->file_keys[i]);
  pn_buf_fini(&stat);
  if (used == NONE) used = 0;
  used = used > files ? used - files : 0;
  uint64_t left = limit > used ? limit - used : 0;
  if (limit < f->limit) f->limit = limit;
  if (left < f->left) f->left = left;
}

static memory_found find_memory(const char *root) {
  memory_found f = {&memory_v2, NONE, NONE};
  walk(root, (layout){"", ""}, look_at_memory, &f);
  f.names = &memory_v1;
  walk(root, (layout){"memory", "memory"}, look_at_memory, &f);
  return f;
}

uint64_t cgroup_memory_limit_bytes(const char *root) { return find_memory(root).limit; }
uint64_t cgroup_memory_left_bytes(const char *root) { return find_memory(root).left; }

static void take_quota(int *cores, uint64_t quota_us, uint64_t period_us) {
  if (quota_us == NONE || period_us == NONE || period_us == 0) return;
  uint64_t n = quota_us / period_us + (quota_us % period_us != 0);
  if (n < 1) n = 1;
  if (n < (uint64_t)*cores) *cores = (int)n;
}

// "quota period" in microseconds, or "max period".
static void look_at_cpu_v2(void *ctx, const char *dir) {
  pn_buf b = {0};
  if (read_in(dir, "cpu.max", &b) && b.n && isdigit((unsigned char)b.p[0])) {
    char *end;
    uint64_t quota = strtoull(pn_buf_cstr(&b), &end, 10);
    take_quota(ctx, quota, strtoull(end, NULL, 10));
  }
  pn_buf_fini(&b);
}

static void look_at_cpu_v1(void *ctx, const char *dir) {
  take_quota(ctx, number_in(dir, "cpu.cfs_quota_us"), number_in(dir, "cpu.cfs_period_us")); // -1: no quota
}

int cgroup_cores(const char *root) {
  int cores = INT_MAX;
  walk(root, (layout){"", ""}, look_at_cpu_v2, &cores);
  walk(root, (layout){"cpu", "cpu"}, look_at_cpu_v1, &cores);
  walk(root, (layout){"cpu", "cpu,cpuacct"}, look_at_cpu_v1, &cores);
  return cores;
}
