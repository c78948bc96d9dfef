#include "base/process.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#ifdef __APPLE__
#include <mach/mach.h>
#include <sys/sysctl.h>

#define DESCRIPTORS "/dev/fd"

static uint64_t resident_bytes(void) {
  struct mach_task_basic_info info;
  mach_msg_type_number_t n = MACH_TASK_BASIC_INFO_COUNT;
  return task_info(mach_task_self(), MACH_TASK_BASIC_INFO, (task_info_t)&info, &n) == KERN_SUCCESS
             ? info.resident_size
             : 0;
}

static double start_s(void) {
  struct kinfo_proc info;
  size_t size = sizeof info;
  int name[] = {CTL_KERN, KERN_PROC, KERN_PROC_PID, getpid()};
  if (sysctl(name, 4, &info, &size, NULL, 0) != 0 || size < sizeof info) return 0;
  return (double)info.kp_proc.p_starttime.tv_sec + (double)info.kp_proc.p_starttime.tv_usec * 1e-6;
}

#else

#define DESCRIPTORS "/proc/self/fd"

// The beginning of a file of /proc as text; false when it isn't there.
static bool read_text(const char *path, char *to, size_t size) {
  FILE *f = fopen(path, "re");
  if (!f) return false;
  size_t n = fread(to, 1, size - 1, f);
  to[n] = '\0';
  fclose(f);
  return n > 0;
}

// statm: total and resident pages.
static uint64_t resident_bytes(void) {
  char text[128];
  unsigned long long total, resident;
  if (!read_text("/proc/self/statm", text, sizeof text)) return 0;
  return sscanf(text, "%llu %llu", &total, &resident) == 2 ? resident * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static double seconds_of(clockid_t clock) {
  struct timespec t;
  return clock_gettime(clock, &t) == 0 ? (double)t.tv_sec + (double)t.tv_nsec * 1e-9 : 0;
}

// stat: field 22 is the start in ticks since the machine booted. The second field is the program's name in
// parentheses and may hold anything, so the fields are counted from its end.
static double start_s(void) {
  char text[1024];
  if (!read_text("/proc/self/stat", text, sizeof text)) return 0;
  const char *at = strrchr(text, ')');
  for (int field = 2; at && field < 22; field++) at = strchr(at + 1, ' ');
  if (!at) return 0;
  double up_s = strtod(at, NULL) / (double)sysconf(_SC_CLK_TCK);
  return seconds_of(CLOCK_REALTIME) - (seconds_of(CLOCK_BOOTTIME) - up_s);
}
#endif

static int n_open_fds(void) {
  DIR *d = opendir(DESCRIPTORS);
  if (!d) return 0;
  int n = -1; // the directory's own
  for (const struct dirent *one; (one = readdir(d));)
    if (one->d_name[0] != '.') n++;
  closedir(d);
  return n;
}

static double cpu_s(void) {
  struct rusage u;
  if (getrusage(RUSAGE_SELF, &u) != 0) return 0;
  return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
         (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

void pn_process_look(pn_process *out) {
  *out = (pn_process){resident_bytes(), n_open_fds(), start_s(), cpu_s()};
}
