#include "cli/machine.h"

#include "base/map.h"

#include <ctype.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#ifdef __APPLE__
#include <mach/mach.h>
#include <sys/sysctl.h>

uint64_t machine_total_bytes(void) {
  uint64_t n = 0;
  size_t size = sizeof n;
  return sysctlbyname("hw.memsize", &n, &size, NULL, 0) == 0 ? n : 0;
}

uint64_t machine_available_bytes(void) {
  vm_statistics64_data_t vm;
  mach_msg_type_number_t count = HOST_VM_INFO64_COUNT;
  if (host_statistics64(mach_host_self(), HOST_VM_INFO64, (host_info64_t)&vm, &count) != KERN_SUCCESS)
    return machine_total_bytes();
  uint64_t pages = (uint64_t)vm.free_count + vm.inactive_count + vm.purgeable_count;
  return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t machine_mapped_bytes(const char *path) {
  (void)path;
  return 0;
}

uint64_t machine_peak_rss_bytes(void) {
  struct rusage u;
  return getrusage(RUSAGE_SELF, &u) == 0 ? (uint64_t)u.ru_maxrss : 0;
}

#else

// The number behind `key` in a file of lines "key: number kB"; 0 when it isn't there.
static uint64_t number_in(const char *path, const char *key) {
  pn_buf b = {0};
  uint64_t n = 0;
  if (pn_file_read(path, 1 << 20, &b, NULL)) {
    const char *at = strstr(pn_buf_cstr(&b), key);
    if (at) n = strtoull(at + strlen(key), NULL, 10);
  }
  pn_buf_fini(&b);
  return n;
}

// The smallest limit of the control group and those above it (version 2), or of version 1; UINT64_MAX: none.
static uint64_t group_limit(void) {
  uint64_t least = UINT64_MAX;
  pn_buf groups = {0};
  if (!pn_file_read("/proc/self/cgroup", 1 << 16, &groups, NULL)) return least;
  const char *own = strstr(pn_buf_cstr(&groups), "0::/");
  char dir[600] = "";
  if (own) snprintf(dir, sizeof dir, "%.*s", (int)strcspn(own + 3, "\n"), own + 3);
  for (;;) {
    char file[700];
    snprintf(file, sizeof file, "/sys/fs/cgroup%s/memory.max", dir);
    uint64_t n = number_in(file, "");
    if (n && n < least) least = n;
    char *slash = strrchr(dir, '/');
    if (!slash) break;
    *slash = '\0';
  }
  uint64_t v1 = number_in("/sys/fs/cgroup/memory/memory.limit_in_bytes", "");
  if (v1 && v1 < least) least = v1;
  pn_buf_fini(&groups);
  return least;
}

uint64_t machine_total_bytes(void) {
  uint64_t n = number_in("/proc/meminfo", "MemTotal:") * 1024, limit = group_limit();
  return n && n < limit ? n : limit;
}

uint64_t machine_available_bytes(void) {
  uint64_t n = number_in("/proc/meminfo", "MemAvailable:") * 1024, limit = group_limit();
  return n && n < limit ? n : limit;
}

uint64_t machine_peak_rss_bytes(void) { return number_in("/proc/self/status", "VmHWM:") * 1024; }

uint64_t machine_mapped_bytes(const char *path) {
  char real[4096];
  if (!realpath(path, real)) return 0;
  FILE *f = fopen("/proc/self/smaps", "r");
  if (!f) return 0;
  uint64_t total = 0;
  bool inside = false;
  char line[8192];
  while (fgets(line, sizeof line, f)) {
    const char *file = strchr(line, '/');
    bool header =
        isdigit((unsigned char)line[0]) || islower((unsigned char)line[0]); // an address, not a Key:
    if (header) inside = file && strncmp(file, real, strlen(real)) == 0;
    if (inside && strncmp(line, "Rss:", 4) == 0) total += strtoull(line + 4, NULL, 10) * 1024;
  }
  fclose(f);
  return total;
}
#endif

int machine_cores(void) {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
  long n = sysconf(_SC_NPROCESSORS_ONLN);
  return n > 0 ? (int)n : 1;
}
