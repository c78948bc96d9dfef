// How many threads, on machines described by folders that look like /sys of Linux.
#include "../unit.h"
#include "cli/cores.h"

#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int setup(void **state) {
  static char root[64];
  strcpy(root, "/tmp/pn_cores_XXXXXX");
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

// A file of /sys/devices/system/cpu/cpuN.
static void put_cpu(const char *root, int cpu, const char *file, const char *text) {
  char path[128];
  snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/%s", cpu, file);
  put(root, path, text);
}

static void siblings(const char *root, int cpu, int first, int second) {
  char text[32];
  snprintf(text, sizeof text, second < 0 ? "%d\n" : "%d,%d\n", first, second);
  put_cpu(root, cpu, "topology/thread_siblings_list", text);
}

static cores_choice choose(const char *root, const char *bound) {
  cpu_set_bits set;
  cores_machine m;
  cores_choice c;
  if (bound) cpu_set_parse(bound, &set);
  cores_read(root, bound ? &set : NULL, &m);
  cores_choose(&m, 256, &c);
  return c;
}

static void lists_of_processors(void **state) {
  (void)state;
  cpu_set_bits s;
  cpu_set_parse("0-2,5,64-65,1023\n", &s);
  assert_true(s.bits[0] == 0x27 && s.bits[1] == 3 && s.bits[15] == UINT64_C(1) << 63);
  cpu_set_parse("1020-5000", &s); // no further than there is room
  assert_true(s.bits[15] == UINT64_C(15) << 60);
  cpu_set_parse("3,x,5", &s);
  assert_true(s.bits[0] == 8);
  cpu_set_parse("-1", &s);
  assert_true(s.bits[0] == 0);
  cpu_set_parse("7-3,18446744073709551615-18446744073709551615", &s);
  assert_true(s.bits[0] == 0 && s.bits[15] == 0);
}

// Ryzen 7 as Linux numbers it: processors 8 to 15 are the second threads of cores 0 to 7.
static void put_ryzen(const char *root) {
  put(root, "/sys/devices/system/cpu/online", "0-15\n");
  for (int i = 0; i < 16; i++) siblings(root, i, i % 8, i % 8 + 8);
}

static void one_thread_a_core(void **state) {
  put_ryzen(*state);
  cores_choice c = choose(*state, "0-15");
  assert_int_equal(c.threads, 8);
  assert_string_equal(c.why, "one for each of 8 cores (16 hardware threads)");
}

static void a_mask_leaves_cores_out(void **state) {
  put_ryzen(*state);
  cores_choice c = choose(*state, "0-3,8-9"); // four cores, two of them with both threads
  assert_int_equal(c.threads, 4);
  assert_string_equal(c.why, "one for each of 4 cores (6 hardware threads); bound to 6 of 16 processors");
  c = choose(*state, "8-9"); // only second threads: whole cores all the same
  assert_int_equal(c.threads, 2);
  assert_string_equal(c.why, "one for each of 2 cores; bound to 2 of 16 processors");
}

static void a_container_has_a_mask_and_a_quota(void **state) {
  put_ryzen(*state);
  put(*state, "/proc/self/cgroup", "0::/\n");
  put(*state, "/sys/fs/cgroup/cpu.max", "250000 100000\n");
  cores_choice c = choose(*state, "0-7");
  assert_int_equal(c.threads, 3);
  assert_string_equal(c.why,
                      "one for each of 8 cores; bound to 8 of 16 processors; the control group's quota is 3");
  put(*state, "/sys/fs/cgroup/cpu.max", "1000000 100000\n"); // more than there are cores
  assert_int_equal(choose(*state, "0-7").threads, 8);
}

// Core i7-12700K: eight performance cores of two threads (0-15), four efficient ones (16-19).
static void put_alder_lake(const char *root) {
  put(root, "/sys/devices/system/cpu/online", "0-19\n");
  put(root, "/sys/devices/cpu_core/cpus", "0-15\n");
  put(root, "/sys/devices/cpu_atom/cpus", "16-19\n");
  for (int i = 0; i < 16; i++) siblings(root, i, i / 2 * 2, i / 2 * 2 + 1);
  for (int i = 16; i < 20; i++) siblings(root, i, i, -1);
}

static void efficient_cores_are_left_out(void **state) {
  put_alder_lake(*state);
  cores_choice c = choose(*state, "0-19");
  assert_int_equal(c.threads, 8);
  assert_string_equal(c.why,
                      "one for each of 8 fast cores (16 hardware threads); 4 slower cores are left out");
}

static void efficient_cores_alone_are_used(void **state) {
  put_alder_lake(*state);
  cores_choice c = choose(*state, "16-19");
  assert_int_equal(c.threads, 4);
  assert_string_equal(c.why, "one for each of 4 cores; bound to 4 of 20 processors");
}

// Snapdragon-like: four small cores, three middle ones, a large one.
static void put_big_little(const char *root) {
  static const char *const capacity[] = {"325\n", "325\n", "325\n", "325\n",
                                         "828\n", "828\n", "828\n", "1024\n"};
  put(root, "/sys/devices/system/cpu/online", "0-7\n");
  for (int i = 0; i < 8; i++) {
    siblings(root, i, i, -1);
    put_cpu(root, i, "cpu_capacity", capacity[i]);
  }
}

static void little_cores_are_left_out(void **state) {
  put_big_little(*state);
  cores_choice c = choose(*state, "0-7");
  assert_int_equal(c.threads, 4);
  assert_string_equal(c.why, "one for each of 4 fast cores; 4 slower cores are left out");
  assert_int_equal(choose(*state, "0-3").threads, 4); // beside nothing faster they are as good as any
  assert_int_equal(choose(*state, "0-4").threads, 1);
}

static void performance_cores_of_macos(void **state) {
  (void)state;
  cores_machine m = {.n_online = 8, .n_performance = 4, .quota = INT_MAX};
  cpu_set_parse("0-7", &m.usable);
  for (int i = 0; i < 8; i++) m.cpu[i].core = (int16_t)i, m.cpu[i].capacity = 1024;
  cores_choice c;
  cores_choose(&m, 256, &c);
  assert_int_equal(c.threads, 4);
  assert_string_equal(c.why, "one for each of 4 fast cores; 4 slower cores are left out");
}

static void a_machine_that_says_nothing(void **state) {
  cores_choice c = choose(*state, "0-2");
  assert_int_equal(c.threads, 3);
  assert_string_equal(c.why, "one for each of 3 cores");
  c = choose(*state, "");
  assert_int_equal(c.threads, 1);
  put_cpu(*state, 0, "cpu_capacity", "nonsense\n");
  put_cpu(*state, 1, "topology/thread_siblings_list", "\n");
  assert_int_equal(choose(*state, "0-2").threads, 3);
}

static void no_more_than_the_most(void **state) {
  put(*state, "/sys/devices/system/cpu/online", "0-511\n");
  cores_machine m;
  cores_choice c;
  cores_read(*state, NULL, &m);
  cores_choose(&m, 256, &c);
  assert_int_equal(c.threads, 256);
  assert_string_equal(c.why, "one for each of 512 cores; the most is 256");
}

static void caches_are_counted_once(void **state) {
  put(*state, "/sys/devices/system/cpu/online", "0-7\n");
  for (int i = 0; i < 8; i++) {
    put_cpu(*state, i, "cache/index2/size", "1024K\n");
    put_cpu(*state, i, "cache/index3/size", "32768K\n");
    put_cpu(*state, i, "cache/index3/shared_cpu_list", i < 4 ? "0-3\n" : "4-7\n");
  }
  cores_machine m;
  cpu_set_bits bound;
  cores_read(*state, NULL, &m);
  assert_true(m.cache_bytes == (uint64_t)64 << 20);
  cpu_set_parse("1-2", &bound);
  cores_read(*state, &bound, &m);
  assert_true(m.cache_bytes == (uint64_t)32 << 20);
}

static void this_machine(void **state) {
  (void)state;
  cores_machine m;
  cores_choice c;
  cores_here(&m);
  cores_choose(&m, 256, &c);
  assert_true(c.threads >= 1 && strncmp(c.why, "one for each of ", 16) == 0);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
  const struct CMUnitTest tests[] = {
      T(lists_of_processors),          T(one_thread_a_core),
      T(a_mask_leaves_cores_out),      T(a_container_has_a_mask_and_a_quota),
      T(efficient_cores_are_left_out), T(efficient_cores_alone_are_used),
      T(little_cores_are_left_out),    T(performance_cores_of_macos),
      T(a_machine_that_says_nothing),  T(no_more_than_the_most),
      T(caches_are_counted_once),      T(this_machine),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
