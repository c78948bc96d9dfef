#include "cli/machine.h"

#include "base/map.h"
#include "cli/cgroup.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#ifdef __APPLE__
#include <mach-o/dyld.h>
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

uint64_t machine_total_bytes(void) {
  uint64_t n = number_in("/proc/meminfo", "MemTotal:") * 1024, limit = cgroup_memory_limit_bytes("");
  return n && n < limit ? n : limit;
}

uint64_t machine_available_bytes(void) {
  uint64_t n = number_in("/proc/meminfo", "MemAvailable:") * 1024, left = cgroup_memory_left_bytes("");
  return n && n < left ? n : left;
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

bool machine_own_path(char *out, size_t cap) {
#ifdef __APPLE__
  uint32_t n = (uint32_t)cap;
  return _NSGetExecutablePath(out, &n) == 0;
#else
  ssize_t n = readlink("/proc/self/exe", out, cap - 1);
  if (n <= 0) return false;
  out[n] = '\0';
  if (access(out, X_OK) != 0)
    snprintf(out, cap, "/proc/self/exe"); // the file was replaced: this one still runs
  return true;
#endif
}
