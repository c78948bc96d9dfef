// Mapping and reading files: what is there, what is not, what may not be.
#include "../unit.h"
#include "base/clock.h"
#include "base/map.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

static char dir[64];

static const char *path_of(const char *name) {
  static char path[128];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  return path;
}

static void write_file(const char *name, const char *bytes, size_t n) {
  FILE *f = fopen(path_of(name), "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(bytes, 1, n, f), n);
  assert_int_equal(fclose(f), 0);
}

static int make_dir(void **state) {
  (void)state;
  strcpy(dir, "/tmp/pn_test_map_XXXXXX");
  return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state) {
  (void)state;
  const char *const names[] = {"some", "empty", "pipe"};
  for (size_t i = 0; i < 3; i++) unlink(path_of(names[i]));
  return rmdir(dir);
}

static void maps_bytes(void **state) {
  (void)state;
  write_file("some", "a\0bc", 4);
  pn_map m = {0};
  pn_error e = {0};
  assert_true(pn_map_open(&m, path_of("some"), &e));
  assert_int_equal(m.n, 4);
  assert_memory_equal(m.p, "a\0bc", 4);
  pn_map_close(&m);
  assert_null(m.p);
  pn_map_close(&m); // closing twice does nothing
}

typedef struct reader {
  const pn_map *m;
  atomic_bool over;
  atomic_int n_rounds, n_wrong;
} reader;

static unsigned char byte_at(size_t i) { return (unsigned char)(i * 2654435761u >> 13); }

static void *read_on(void *ctx) {
  reader *r = ctx;
  do {
    for (size_t i = 0; i < r->m->n; i += 4093)
      if (r->m->p[i] != byte_at(i)) atomic_fetch_add(&r->n_wrong, 1);
    atomic_fetch_add(&r->n_rounds, 1);
  } while (!atomic_load(&r->over));
  return NULL;
}

// How much of the map still lies in the file, by the system's own account.
static size_t in_file(const pn_map *m) {
  FILE *maps = fopen("/proc/self/maps", "r");
  char line[512];
  size_t n = 0;
  if (!maps) return 0;
  while (fgets(line, sizeof line, maps)) {
    unsigned long from, to, inode;
    if (sscanf(line, "%lx-%lx %*s %*s %*s %lu", &from, &to, &inode) != 3 || inode == 0) continue;
    if (from >= (uintptr_t)m->p && from < (uintptr_t)m->p + m->n) n += to - from;
  }
  fclose(maps);
  return n;
}

static bool twice(void *ctx) { return (*(int *)ctx)++ < 2; }

// Bytes move to memory of the program's own while others read them.
static void a_map_moves_under_its_readers(void **state) {
  (void)state;
  enum { N = (70 << 20) + 12345 };
  unsigned char *bytes = malloc(N);
  for (size_t i = 0; i < N; i++) bytes[i] = byte_at(i);
  write_file("some", (char *)bytes, N);
  pn_map m = {0};
  pn_error e = {0};
  assert_true(pn_map_open(&m, path_of("some"), &e));
  assert_int_equal((uintptr_t)m.p % (2 << 20), 0);
  pn_map_prefault(&m);
  reader r = {.m = &m};
  pthread_t threads[2];
  for (int k = 0; k < 2; k++) assert_int_equal(pthread_create(&threads[k], NULL, read_on, &r), 0);
  int n_pieces = 0;
  pn_map_moved moved = pn_map_own(&m, false, twice, &n_pieces);
#ifdef __linux__
  assert_int_equal(moved, PN_MAP_MOVED);
  assert_in_range(in_file(&m), 50 << 20, 60 << 20); // all but two pieces
  assert_int_equal(pn_map_own(&m, false, NULL, NULL), PN_MAP_MOVED);
  assert_int_equal(in_file(&m), 0);
#else
  assert_int_equal(moved, PN_MAP_NO_MEMORY);
#endif
  while (atomic_load(&r.n_rounds) < 4) {}
  atomic_store(&r.over, true);
  for (int k = 0; k < 2; k++) pthread_join(threads[k], NULL);
  assert_int_equal(atomic_load(&r.n_wrong), 0);
  assert_memory_equal(m.p, bytes, N);
  pn_map_close(&m);
  free(bytes);
}

#ifdef __linux__
// Where the system gives small pages only, nothing is moved unless that will do; and finding out is quick.
static void small_pages_are_not_worth_moving_to(void **state) {
  (void)state;
  enum { N = (18 << 20) + 12345 };
  unsigned char *bytes = malloc(N);
  for (size_t i = 0; i < N; i++) bytes[i] = byte_at(i);
  write_file("some", (char *)bytes, N);
  pn_map m = {0};
  pn_error e = {0};
  assert_true(pn_map_open(&m, path_of("some"), &e));
  if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) != 0) skip();
  const size_t all = in_file(&m);
  uint64_t least_us = UINT64_MAX;
  for (int i = 0; i < 5; i++) {
    const uint64_t start = pn_now_us();
    assert_int_equal(pn_map_own(&m, true, NULL, NULL), PN_MAP_SMALL_PAGES);
    if (pn_now_us() - start < least_us) least_us = pn_now_us() - start;
  }
  print_message("found out in %llu us\n", (unsigned long long)least_us);
  assert_true(least_us < 50000);
  assert_int_equal(in_file(&m), all);
  assert_int_equal(pn_map_own(&m, false, NULL, NULL), PN_MAP_MOVED);
  assert_int_equal(in_file(&m), 0);
  assert_memory_equal(m.p, bytes, N);
  prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
  pn_map_close(&m);
  free(bytes);
}
#endif

static void a_map_is_locked_or_says_why_not(void **state) {
  (void)state;
  write_file("some", "abc", 3);
  pn_map m = {0};
  pn_error e = {0};
  assert_true(pn_map_open(&m, path_of("some"), &e));
  assert_true(pn_map_lock(&m, &e));
  struct rlimit before;
  getrlimit(RLIMIT_MEMLOCK, &before);
  if (geteuid() != 0 && setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){0, before.rlim_max}) == 0) {
    assert_false(pn_map_lock(&m, &e));
    assert_int_equal(e.code, PN_ERR_LIMIT);
    assert_non_null(strstr(e.msg, "0 bytes"));
    setrlimit(RLIMIT_MEMLOCK, &before);
  }
  pn_map_close(&m);
}

static void an_empty_file_is_empty(void **state) {
  (void)state;
  write_file("empty", "", 0);
  pn_map m = {0};
  pn_error e = {0};
  assert_true(pn_map_open(&m, path_of("empty"), &e));
  assert_int_equal(m.n, 0);
  assert_null(m.p);
  pn_map_close(&m);
  pn_buf b = {0};
  assert_true(pn_file_read(path_of("empty"), 0, &b, &e));
  assert_int_equal(b.n, 0);
  pn_buf_fini(&b);
}

static void errors_name_the_path(void **state) {
  (void)state;
  pn_map m = {0};
  pn_error e = {0};
  assert_false(pn_map_open(&m, path_of("gone"), &e));
  assert_int_equal(e.code, PN_ERR_NOT_FOUND);
  assert_non_null(strstr(e.msg, path_of("gone")));
  write_file("some", "x", 1);
  assert_false(pn_map_open(&m, path_of("some/below"), &e));
  assert_int_equal(e.code, PN_ERR_NOT_FOUND);
  assert_false(pn_map_open(&m, dir, &e));
  assert_int_equal(e.code, PN_ERR_IO);
  assert_non_null(strstr(e.msg, dir));
  assert_int_equal(mkfifo(path_of("pipe"), 0600), 0); // must not wait for a writer
  assert_false(pn_map_open(&m, path_of("pipe"), &e));
  assert_int_equal(e.code, PN_ERR_IO);
  if (geteuid() != 0) {
    chmod(path_of("some"), 0);
    assert_false(pn_map_open(&m, path_of("some"), &e));
    assert_int_equal(e.code, PN_ERR_IO);
    chmod(path_of("some"), 0600);
  }
}

static void reading_is_bounded_and_appends(void **state) {
  (void)state;
  static char text[40000];
  memset(text, 'y', sizeof text);
  write_file("some", text, sizeof text);
  pn_buf b = {0};
  pn_error e = {0};
  pn_buf_z(&b, "before");
  assert_true(pn_file_read(path_of("some"), sizeof text, &b, &e));
  assert_int_equal(b.n, 6 + sizeof text);
  assert_memory_equal(b.p, "beforeyyy", 9);
  pn_buf_clear(&b);
  assert_false(pn_file_read(path_of("some"), sizeof text - 1, &b, &e));
  assert_int_equal(e.code, PN_ERR_LIMIT);
  assert_false(pn_file_read(path_of("gone"), 1, &b, &e));
  assert_int_equal(e.code, PN_ERR_NOT_FOUND);
  pn_buf_fini(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(maps_bytes),
      cmocka_unit_test(a_map_moves_under_its_readers),
#ifdef __linux__
      cmocka_unit_test(small_pages_are_not_worth_moving_to),
#endif
      cmocka_unit_test(a_map_is_locked_or_says_why_not),
      cmocka_unit_test(an_empty_file_is_empty),
      cmocka_unit_test(errors_name_the_path),
      cmocka_unit_test(reading_is_bounded_and_appends),
  };
  return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
