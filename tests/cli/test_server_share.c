// Who is the last one: two users of a server, as two programs would be.
#include "../unit.h"
#include "cli/server_share.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int setup(void **state) {
  static char root[64];
  strcpy(root, "/tmp/pn_share_XXXXXX");
  *state = root;
  return mkdtemp(root) ? setenv("XDG_STATE_HOME", root, 1) : -1;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at) {
  (void)st, (void)kind, (void)at;
  return remove(path);
}

static int teardown(void **state) { return nftw(*state, remove_one, 8, FTW_DEPTH | FTW_PHYS); }

static void the_last_one(void **state) {
  (void)state;
  pn_error e = {0};
  server_share a, b;
  assert_true(share_open(&a, "::1", 8000, &e) && share_open(&b, "::1", 8000, &e));
  assert_true(share_enter(&a, &e) && share_join(&a, &e));
  share_leave(&a);
  assert_true(share_enter(&b, &e) && share_join(&b, &e));
  share_leave(&b);
  assert_true(share_enter(&a, &e));
  assert_false(share_part(&a));
  share_leave(&a);
  assert_true(share_enter(&b, &e));
  assert_true(share_part(&b));
  share_close(&a);
  share_close(&b);
}

static void the_server_is_known_while_it_lives(void **state) {
  (void)state;
  pn_error e = {0};
  server_share s;
  assert_true(share_open(&s, "127.0.0.1", 8000, &e));
  assert_int_equal(share_server(&s), 0);
  int fd = share_take_server(&s, &e);
  assert_true(fd > 3);
  assert_int_equal(share_server(&s), 0); // it has no name yet
  assert_true(share_name_server(&s, fd, 1234, &e));
  assert_int_equal(share_server(&s), 1234);
  assert_int_equal(share_take_server(&s, &e), -1);
  assert_non_null(strstr(e.msg, "1234"));
  close(fd);
  assert_int_equal(share_server(&s), 0);
  share_close(&s);
}

static void other_addresses_are_other_servers(void **state) {
  (void)state;
  pn_error e = {0};
  server_share a, b, c;
  assert_true(share_open(&a, "127.0.0.1", 1, &e) && share_open(&b, "127.0.0.1", 2, &e) &&
              share_open(&c, "../x y", 1, &e));
  assert_true(share_enter(&a, &e) && share_enter(&b, &e) && share_enter(&c, &e));
  assert_null(strchr(strstr(c.start_path, "claude-"), '/'));
  assert_string_equal(a.log_path, b.log_path);
  share_close(&a);
  share_close(&b);
  share_close(&c);
}

static void a_folder_that_can_not_be(void **state) {
  pn_error e = {0};
  char path[128];
  server_share s;
  snprintf(path, sizeof path, "%s/file", (char *)*state);
  fclose(fopen(path, "w"));
  setenv("XDG_STATE_HOME", path, 1);
  assert_false(share_open(&s, "127.0.0.1", 1, &e));
  assert_int_equal(e.code, PN_ERR_IO);
  assert_non_null(strstr(e.msg, path));
  share_close(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_last_one), cmocka_unit_test(the_server_is_known_while_it_lives),
      cmocka_unit_test(other_addresses_are_other_servers), cmocka_unit_test(a_folder_that_can_not_be)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
