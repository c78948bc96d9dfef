#include "cli/cores.h"

#include "base/map.h"
#include "cli/cgroup.h"

#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __APPLE__
#include <sys/sysctl.h>
#endif

enum { FULL_CAPACITY = 1024 };

static void add(cpu_set_bits *s, int cpu) { s->bits[cpu / 64] |= UINT64_C(1) << (cpu % 64); }

static int count(const cpu_set_bits *s) {
  int n = 0;
  for (int i = 0; i < CORES_MAX_CPUS / 64; i++) n += __builtin_popcountll(s->bits[i]);
  return n;
}

void cpu_set_parse(const char *list, cpu_set_bits *out) {
  *out = (cpu_set_bits){0};
  while (*list >= '0' && *list <= '9') {
    char *end;
    const unsigned long from = strtoul(list, &end, 10);
    const unsigned long to = *end == '-' ? strtoul(end + 1, &end, 10) : from;
    for (unsigned long i = from; i <= to && i < CORES_MAX_CPUS; i++) add(out, (int)i);
    list = *end == ',' ? end + 1 : "";
  }
}

// --- reading -----------------------------------------------------------------------------------------------

// A small file below `root`, as a string. False: there is none.
static bool read_text(const char *root, const char *path, char *out, size_t cap) {
  char full[512];
  pn_buf b = {0};
  const int n = snprintf(full, sizeof full, "%s%s", root, path);
  const bool ok = n > 0 && (size_t)n < sizeof full && pn_file_read(full, cap - 1, &b, NULL);
  if (ok) snprintf(out, cap, "%s", pn_buf_cstr(&b));
  pn_buf_fini(&b);
  return ok;
}

static bool read_set(const char *root, const char *path, cpu_set_bits *out) {
  char text[4096];
  if (!read_text(root, path, text, sizeof text)) return false;
  cpu_set_parse(text, out);
  return true;
}

static int first_of(const cpu_set_bits *s) {
  for (int i = 0; i < CORES_MAX_CPUS; i++)
    if (cpu_set_has(s, i)) return i;
  return -1;
}

// The cache of the last level that the processor has, unless it is one of those seen.
static void read_cache(const char *root, cores_machine *m, int cpu, cpu_set_bits *seen) {
  for (int index = 3; index >= 2; index--) {
    char path[128], text[64];
    cpu_set_bits sharing;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cache/index%d/size", cpu, index);
    if (!read_text(root, path, text, sizeof text)) continue;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cache/index%d/shared_cpu_list", cpu, index);
    const int first = read_set(root, path, &sharing) ? first_of(&sharing) : cpu;
    if (first >= 0 && !cpu_set_has(seen, first))
      m->cache_bytes += strtoull(text, NULL, 10) * 1024; // "32768K"
    if (first >= 0) add(seen, first);
    return;
  }
}

static void read_cpu(const char *root, cores_machine *m, int cpu) {
  char path[128], text[64];
  cpu_set_bits siblings;
  snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
  const int first = read_set(root, path, &siblings) ? first_of(&siblings) : -1;
  m->cpu[cpu].core = (int16_t)(first < 0 ? cpu : first);
  snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cpu_capacity", cpu);
  const int capacity = read_text(root, path, text, sizeof text) ? atoi(text) : 0;
  m->cpu[cpu].capacity = (int16_t)(capacity > 0 && capacity <= FULL_CAPACITY ? capacity : FULL_CAPACITY);
}

void cores_read(const char *root, const cpu_set_bits *bound, cores_machine *out) {
  cpu_set_bits online = {0}, efficient = {0}, caches = {0};
  *out = (cores_machine){.quota = cgroup_cores(root)};
  if (!read_set(root, "/sys/devices/system/cpu/online", &online)) {
    const long n = bound ? 0 : sysconf(_SC_NPROCESSORS_ONLN);
    for (int i = 0; i < n && i < CORES_MAX_CPUS; i++) add(&online, i);
    if (bound) online = *bound;
  }
  out->n_online = count(&online);
  read_set(root, "/sys/devices/cpu_atom/cpus", &efficient);
  for (int i = 0; i < CORES_MAX_CPUS; i++) {
    if (!cpu_set_has(&online, i) || (bound && !cpu_set_has(bound, i))) continue;
    add(&out->usable, i);
    out->cpu[i].efficient = cpu_set_has(&efficient, i);
    read_cpu(root, out, i);
    read_cache(root, out, i, &caches);
  }
}

void cores_here(cores_machine *out) {
  const cpu_set_bits *bound = NULL;
#ifdef __linux__
  cpu_set_t set;
  cpu_set_bits own = {0};
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    for (int i = 0; i < CORES_MAX_CPUS && i < CPU_SETSIZE; i++)
      if (CPU_ISSET((size_t)i, &set)) add(&own, i);
    bound = &own;
  }
#endif
  cores_read("", bound, out);
#ifdef __APPLE__
  int n = 0;
  size_t size = sizeof n;
  if (sysctlbyname("hw.perflevel0.physicalcpu", &n, &size, NULL, 0) == 0) out->n_performance = n;
#endif
}

// --- choosing ----------------------------------------------------------------------------------------------

// The usable processors of cores that are fast enough; *slow: cores that are not.
static void keep_fast(const cores_machine *m, cpu_set_bits *fast, cpu_set_bits *cores, cpu_set_bits *slow) {
  int most = 0;
  bool all_efficient = true;
  for (int i = 0; i < CORES_MAX_CPUS; i++) {
    if (!cpu_set_has(&m->usable, i)) continue;
    if (m->cpu[i].capacity > most) most = m->cpu[i].capacity;
    all_efficient = all_efficient && m->cpu[i].efficient;
  }
  *fast = *cores = *slow = (cpu_set_bits){0};
  for (int i = 0; i < CORES_MAX_CPUS; i++) {
    if (!cpu_set_has(&m->usable, i)) continue;
    if (2 * m->cpu[i].capacity >= most && (all_efficient || !m->cpu[i].efficient)) {
      add(fast, i);
      add(cores, m->cpu[i].core);
    } else {
      add(slow, m->cpu[i].core);
    }
  }
}

__attribute__((format(printf, 2, 3))) static void say(cores_choice *c, const char *fmt, ...) {
  const size_t n = strlen(c->why);
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(c->why + n, sizeof c->why - n, fmt, ap);
  va_end(ap);
}

// At most n threads, since there is `what` of so many.
static void limit(cores_choice *c, int n, const char *what) {
  if (n >= c->threads) return;
  c->threads = n;
  say(c, "; %s is %d", what, n);
}

void cores_choose(const cores_machine *m, int most, cores_choice *out) {
  cpu_set_bits fast, cores, slow;
  keep_fast(m, &fast, &cores, &slow);
  const int n_usable = count(&m->usable), n_fast = count(&fast);
  const int n_physical = count(&cores);
  int n_cores = n_physical, n_slow = count(&slow);
  if (m->n_performance && m->n_performance < n_physical) {
    n_cores = m->n_performance;
    n_slow += n_physical - n_cores;
  }
  *out = (cores_choice){.threads = n_cores > 1 ? n_cores : 1};
  say(out, "one for each of %d %score%s", out->threads, n_slow ? "fast " : "", out->threads == 1 ? "" : "s");
  if (n_fast > n_physical) say(out, " (%d hardware threads)", n_fast);
  if (n_slow) say(out, "; %d slower core%s left out", n_slow, n_slow == 1 ? " is" : "s are");
  if (n_usable < m->n_online) say(out, "; bound to %d of %d processors", n_usable, m->n_online);
  limit(out, m->quota, "the control group's quota");
  limit(out, most, "the most");
}
