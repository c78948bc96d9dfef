// The limits of control groups, read from folders that look like those of Linux.
#include "../unit.h"
#include "cli/cgroup.h"

#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MB ((uint64_t)1 << 20)

static int setup(void **state) {
  static char root[64];
  strcpy(root, "/tmp/pn_cgroup_XXXXXX");
  *state = root;
  return mkdtemp(root) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at) {
  (void)st, (void)kind, (void)at;
  return remove(path);
}

static int teardown(void **state) { return nftw(*state, remove_one, 8, FTW_DEPTH | FTW_PHYS); }

// A file below the root, with the folders that lead to it.
static void put(const char *root, const char *path, const char *text) {
  char full[512];
  int n = snprintf(full, sizeof full, "%s%s", root, path);
  assert_true(n > 0 && (size_t)n < sizeof full);
  for (char *at = full + strlen(root) + 1; (at = strchr(at, '/')); at++) {
    *at = '\0';
    mkdir(full, 0700);
    *at = '/';
  }
  FILE *f = fopen(full, "w");
  assert_non_null(f);
  fputs(text, f);
  fclose(f);
}

static void nothing_is_unlimited(void **state) {
  assert_true(cgroup_memory_limit_bytes(*state) == UINT64_MAX);
  assert_true(cgroup_memory_left_bytes(*state) == UINT64_MAX);
  assert_int_equal(cgroup_cores(*state), INT_MAX);
}

static void the_word_max_is_no_limit(void **state) {
  put(*state, "/proc/self/cgroup", "0::/\n");
  put(*state, "/sys/fs/cgroup/memory.max", "max\n");
  put(*state, "/sys/fs/cgroup/memory.high", "max\n");
  put(*state, "/sys/fs/cgroup/memory.current", "1000\n");
  put(*state, "/sys/fs/cgroup/cpu.max", "max 100000\n");
  assert_true(cgroup_memory_limit_bytes(*state) == UINT64_MAX);
  assert_true(cgroup_memory_left_bytes(*state) == UINT64_MAX);
  assert_int_equal(cgroup_cores(*state), INT_MAX);
}

static void version_2_leaves_what_is_not_in_use(void **state) {
  put(*state, "/proc/self/cgroup", "0::/work.slice/a.scope\n");
  put(*state, "/sys/fs/cgroup/work.slice/a.scope/memory.max", "1073741824\n");
  put(*state, "/sys/fs/cgroup/work.slice/a.scope/memory.current", "536870912\n");
  put(*state, "/sys/fs/cgroup/work.slice/a.scope/memory.stat",
      "anon 1\nfile 419430400\nxactive_file 9\ninactive_file 104857600\nactive_file 209715200\n");
  assert_int_equal(cgroup_memory_limit_bytes(*state), 1024 * MB);
  assert_int_equal(cgroup_memory_left_bytes(*state), (1024 - 512 + 300) * MB);
  // The page cache alone fills the group: all of the limit can be had.
  put(*state, "/sys/fs/cgroup/work.slice/a.scope/memory.current", "104857600\n");
  assert_int_equal(cgroup_memory_left_bytes(*state), 1024 * MB);
  // More in use than is allowed since the limit was lowered.
  put(*state, "/sys/fs/cgroup/work.slice/a.scope/memory.current", "4294967296\n");
  assert_int_equal(cgroup_memory_left_bytes(*state), 0);
  // Above this the system slows the group down.
  put(*state, "/sys/fs/cgroup/work.slice/a.scope/memory.high", "536870912\n");
  assert_int_equal(cgroup_memory_limit_bytes(*state), 512 * MB);
}

static void groups_above_count_too(void **state) {
  put(*state, "/proc/self/cgroup", "0::/a/b/c\n");
  put(*state, "/sys/fs/cgroup/a/b/c/memory.max", "900\n");
  put(*state, "/sys/fs/cgroup/a/b/memory.max", "max\n");
  put(*state, "/sys/fs/cgroup/a/memory.max", "1000\n");
  put(*state, "/sys/fs/cgroup/a/memory.current", "800\n"); // others are in it
  put(*state, "/sys/fs/cgroup/a/b/c/cpu.max", "max 100000\n");
  put(*state, "/sys/fs/cgroup/a/cpu.max", "150000 100000\n");
  assert_int_equal(cgroup_memory_limit_bytes(*state), 900);
  assert_int_equal(cgroup_memory_left_bytes(*state), 200);
  assert_int_equal(cgroup_cores(*state), 2);
}

static void a_container_sees_its_group_as_the_mount(void **state) {
  put(*state, "/proc/self/cgroup", "0::/docker/0123abcd\n");
  put(*state, "/sys/fs/cgroup/memory.max", "2000\n");
  put(*state, "/sys/fs/cgroup/cpu.max", "50000 100000\n");
  assert_int_equal(cgroup_memory_limit_bytes(*state), 2000);
  assert_int_equal(cgroup_cores(*state), 1);
}

static void version_1(void **state) {
  put(*state, "/proc/self/cgroup", "11:memory:/box\n4:cpu,cpuacct:/box\n1:name=systemd:/init\n");
  put(*state, "/sys/fs/cgroup/memory/box/memory.limit_in_bytes", "1000\n");
  put(*state, "/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  put(*state, "/sys/fs/cgroup/memory/box/memory.usage_in_bytes", "700\n");
  put(*state, "/sys/fs/cgroup/memory/box/memory.stat",
      "active_file 1\ntotal_inactive_file 100\ntotal_active_file 50\n");
  put(*state, "/sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us", "250001\n");
  put(*state, "/sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us", "50000\n");
  put(*state, "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  put(*state, "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  assert_int_equal(cgroup_memory_limit_bytes(*state), 1000);
  assert_int_equal(cgroup_memory_left_bytes(*state), 450);
  assert_int_equal(cgroup_cores(*state), 6);
}

static void odd_files_are_no_limits(void **state) {
  static const char *const texts[] = {
      "", "\n", "no\n0::", "0::", "0:", ":::::\n", "0::relative\n", "7:memory\n"};
  put(*state, "/sys/fs/cgroup/cpu.max", "100000 0\n");
  put(*state, "/sys/fs/cgroup/memory.max", "");
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    put(*state, "/proc/self/cgroup", texts[i]);
    assert_true(cgroup_memory_left_bytes(*state) == UINT64_MAX);
    assert_int_equal(cgroup_cores(*state), INT_MAX);
  }
  put(*state, "/sys/fs/cgroup/cpu.max", "100000\n");
  assert_int_equal(cgroup_cores(*state), INT_MAX);
  char *longest = malloc(10000);
  assert_non_null(longest);
  memset(longest, 'a', 9999);
  memcpy(longest, "0::/", 4);
  longest[9999] = '\0';
  put(*state, "/proc/self/cgroup", longest);
  free(longest);
  assert_int_equal(cgroup_cores(*state), INT_MAX);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(nothing_is_unlimited, setup, teardown),
      cmocka_unit_test_setup_teardown(the_word_max_is_no_limit, setup, teardown),
      cmocka_unit_test_setup_teardown(version_2_leaves_what_is_not_in_use, setup, teardown),
      cmocka_unit_test_setup_teardown(groups_above_count_too, setup, teardown),
      cmocka_unit_test_setup_teardown(a_container_sees_its_group_as_the_mount, setup, teardown),
      cmocka_unit_test_setup_teardown(version_1, setup, teardown),
      cmocka_unit_test_setup_teardown(odd_files_are_no_limits, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
