// Batches in their file: what is stored, what survives a death, and files that are damaged or not ours.
#include "../unit.h"
#include "api/batch_store.h"
#include "scratch_dir.h"

#include <sys/stat.h>
#include <sys/wait.h>

typedef struct at {
  scratch_dir dir;
  char path[128];
  batch_store *s;
} at;

static batch_store *open_at(const at *t) {
  pn_error e = {0};
  batch_store *s = batch_store_open(t->path, &e);
  if (!s) fail_msg("%s", e.msg);
  return s;
}

static int begin(void **state) {
  at *t = calloc(1, sizeof *t);
  scratch_make(&t->dir);
  scratch_path(&t->dir, "b.sqlite3", t->path);
  t->s = open_at(t);
  *state = t;
  return 0;
}

static int finish(void **state) {
  at *t = *state;
  batch_store_close(t->s);
  scratch_remove(&t->dir);
  free(t);
  return 0;
}

static bool numbered(void *ctx, int64_t n, batch_item *out, pn_error *e) {
  static char id[32], params[32];
  const int64_t *fail_at = ctx;
  if (fail_at && *fail_at == n) return pn_fail(e, PN_ERR_NOMEM, "the test says no");
  snprintf(id, sizeof id, "r%d", (int)n);
  snprintf(params, sizeof params, "{\"n\":%d}", (int)n);
  out->custom_id = pn_str_of(id);
  out->params = pn_str_of(params);
  return true;
}

static int64_t create(batch_store *s, const char *id, const char *key, int64_t n) {
  batch_row row = {.created_ms = 1000, .expires_ms = 2000, .n_requests = n};
  int64_t number = 0;
  pn_error e = {0};
  strcpy(row.id, id);
  if (!batch_store_create(s, &row, key, numbered, NULL, &number, &e)) fail_msg("%s", e.msg);
  return number;
}

static batch_row get(batch_store *s, const char *key, const char *id) {
  batch_row row;
  pn_error e = {0};
  assert_true(batch_store_get(s, key, pn_str_of(id), &row, &e));
  return row;
}

static void put(batch_store *s, int64_t place, const char *id, batch_kind kind, const char *body,
                int64_t want) {
  int64_t n = -1;
  pn_error e = {0};
  batch_item item = {.place = place, .custom_id = pn_str_of(id), .kind = kind, .body = pn_str_of(body)};
  assert_true(batch_store_put(s, &item, &n, &e));
  assert_int_equal(n, want);
}

static bool add_text(void *ctx, const batch_item *item) {
  pn_buf *b = ctx;
  pn_buf_printf(b, "%.*s=%s:%.*s%.*s ", (int)item->custom_id.n, item->custom_id.p,
                item->params.p ? "" : batch_kind_names[item->kind], (int)item->params.n,
                item->params.p ? item->params.p : "", (int)item->body.n, item->body.p ? item->body.p : "");
  if (item->key) pn_buf_printf(b, "(%s) ", item->key);
  return true;
}

static void expect_results(batch_store *s, int64_t number, const char *want) {
  pn_buf b = {0};
  int64_t after = 0;
  after = BATCH_PLACE(number, 0);
  assert_true(batch_store_results(s, number, &after, add_text, &b, NULL));
  assert_string_equal(pn_buf_cstr(&b), want);
  pn_buf_fini(&b);
}

static void expect_pending(batch_store *s, int64_t number, int64_t after_n, const char *want) {
  pn_buf b = {0};
  bool found;
  assert_true(batch_store_pending(s, number, BATCH_PLACE(number, after_n), add_text, &b, &found, NULL));
  assert_string_equal(pn_buf_cstr(&b), want);
  assert_int_equal(found, *want != '\0');
  pn_buf_fini(&b);
}

static int64_t count_pending(batch_store *s) {
  int64_t n = -1;
  assert_true(batch_store_count_pending(s, &n, NULL));
  return n;
}

static void keeps_a_batch(void **state) {
  at *t = *state;
  assert_int_equal(count_pending(t->s), 0);
  int64_t number = create(t->s, "a", NULL, 3);
  assert_int_equal(number, 1);
  batch_row row = get(t->s, NULL, "a");
  assert_int_equal(row.number, 1);
  assert_string_equal(row.id, "a");
  assert_int_equal(row.stage, BATCH_RUNNING);
  assert_int_equal(row.created_ms, 1000);
  assert_int_equal(row.expires_ms, 2000);
  assert_int_equal(row.n_requests, 3);
  assert_int_equal(row.cancel_ms + row.ended_ms, 0);
  assert_int_equal(get(t->s, NULL, "b").number, 0);
  assert_int_equal(get(t->s, "alice", "a").number, 0);
  expect_pending(t->s, number, 0, "r0=:{\"n\":0} ");
  expect_pending(t->s, number, 2, "r2=:{\"n\":2} ");
  expect_pending(t->s, number, 3, "");
  struct stat st;
  assert_int_equal(stat(t->path, &st), 0);
  assert_int_equal(st.st_mode & 0777, 0600);
}

static void a_request_has_one_result(void **state) {
  at *t = *state;
  int64_t a = create(t->s, "a", "alice", 3), b = create(t->s, "b", NULL, 1), n = 0;
  put(t->s, BATCH_PLACE(a, 2), "r1", BATCH_SUCCEEDED, "{\"x\":1}", 1);
  put(t->s, BATCH_PLACE(a, 2), "r1", BATCH_ERRORED, "{}", 0);
  expect_pending(t->s, a, 0, "r0=:{\"n\":0} (alice) ");
  expect_pending(t->s, a, 1, "r2=:{\"n\":2} (alice) ");
  assert_int_equal(count_pending(t->s), 3);
  assert_true(batch_store_settle(t->s, a, 1, 2000, BATCH_CANCELED, &n, NULL));
  assert_int_equal(n, 2);
  assert_true(batch_store_settle(t->s, a, 1, 2000, BATCH_EXPIRED, &n, NULL));
  assert_int_equal(n, 0);
  expect_results(t->s, a, "r0=canceled: r1=succeeded:{\"x\":1} r2=canceled: ");
  expect_results(t->s, b, "");
  batch_row row = get(t->s, "alice", "a");
  assert_true(batch_store_end(t->s, &row, 1500, NULL));
  row = get(t->s, "alice", "a");
  assert_int_equal(row.stage, BATCH_ENDED);
  assert_int_equal(row.ended_ms, 1500);
  assert_int_equal(row.n_results[BATCH_SUCCEEDED], 1);
  assert_int_equal(row.n_results[BATCH_CANCELED], 2);
  assert_int_equal(count_pending(t->s), 1);
}

static void cancels_and_deletes_at_their_time(void **state) {
  at *t = *state;
  int64_t a = create(t->s, "a", NULL, 1), n;
  assert_true(batch_store_delete(t->s, a, NULL)); // it runs: nothing happens
  assert_int_equal(get(t->s, NULL, "a").number, a);
  assert_true(batch_store_cancel(t->s, a, 1100, NULL));
  assert_true(batch_store_cancel(t->s, a, 1200, NULL));
  batch_row row = get(t->s, NULL, "a");
  assert_int_equal(row.cancel_ms, 1100);
  assert_true(batch_store_settle(t->s, a, 1, 1, BATCH_CANCELED, &n, NULL));
  assert_true(batch_store_end(t->s, &row, 1300, NULL));
  batch_row next;
  assert_true(batch_store_open_batch(t->s, 0, &next, NULL));
  assert_int_equal(next.stage, BATCH_ENDED);
  assert_true(batch_store_sweep(t->s, a, 1, 1, false, NULL));
  assert_true(batch_store_swept(t->s, &next, NULL));
  assert_int_equal(get(t->s, NULL, "a").stage, BATCH_SWEPT);
  expect_pending(t->s, a, 0, "");
  expect_results(t->s, a, "r0=canceled: ");
  assert_true(batch_store_open_batch(t->s, 0, &next, NULL));
  assert_int_equal(next.number, 0);
  assert_true(batch_store_delete(t->s, a, NULL));
  assert_int_equal(get(t->s, NULL, "a").number, 0);
  assert_true(batch_store_open_batch(t->s, 0, &next, NULL));
  assert_int_equal(next.stage, BATCH_DELETED);
  assert_true(batch_store_sweep(t->s, a, 1, 1, true, NULL));
  assert_true(batch_store_swept(t->s, &next, NULL));
  expect_results(t->s, a, "");
  assert_int_equal(create(t->s, "b", NULL, 1), a + 1); // numbers and so places are never used again
}

static void a_failed_creation_leaves_nothing(void **state) {
  at *t = *state;
  batch_row row = {.id = "a", .n_requests = 5};
  int64_t number, fail_at = 3;
  pn_error e = {0};
  assert_false(batch_store_create(t->s, &row, NULL, numbered, &fail_at, &number, &e));
  assert_string_equal(e.msg, "the test says no");
  assert_int_equal(get(t->s, NULL, "a").number, 0);
  int64_t a = create(t->s, "a", NULL, 2);
  expect_pending(t->s, a, 0, "r0=:{\"n\":0} ");
  expect_pending(t->s, a, 2, "");
}

static bool dies(void *ctx, int64_t n, batch_item *out, pn_error *e) {
  if (n == 2) _exit(0);
  return numbered(ctx, n, out, e);
}

static void survives_the_death_of_the_process(void **state) {
  at *t = *state;
  batch_store_close(t->s);
  t->s = NULL;
  pid_t child = fork();
  if (child == 0) { // ends with everything open and a batch half stored
    batch_store *s = batch_store_open(t->path, NULL);
    int64_t a = create(s, "a", NULL, 3);
    put(s, BATCH_PLACE(a, 1), "r0", BATCH_SUCCEEDED, "{}", 1);
    batch_row b = {.id = "b", .n_requests = 3};
    batch_store_create(s, &b, NULL, dies, NULL, &a, NULL);
    _exit(1);
  }
  int status = -1;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  t->s = open_at(t);
  assert_int_equal(get(t->s, NULL, "a").n_requests, 3);
  expect_results(t->s, 1, "r0=succeeded:{} ");
  expect_pending(t->s, 1, 0, "r1=:{\"n\":1} ");
  assert_int_equal(count_pending(t->s), 2);
  assert_int_equal(get(t->s, NULL, "b").number, 0);
}

static void two_connections_see_the_same(void **state) {
  at *t = *state;
  batch_store *other = open_at(t);
  int64_t a = create(t->s, "a", NULL, 2);
  put(other, BATCH_PLACE(a, 1), "r0", BATCH_SUCCEEDED, "1", 1);
  expect_results(t->s, a, "r0=succeeded:1 ");
  batch_store_close(other);
}

static void lists_around_a_batch(void **state) {
  at *t = *state;
  batch_row rows[10];
  int n;
  for (int i = 0; i < 6; i++) {
    char id[4] = {(char)('a' + i), 0};
    create(t->s, id, i == 2 ? "bob" : NULL, 1);
  }
  assert_true(batch_store_list(t->s, NULL, 0, INT64_MAX, false, rows, 2, &n, NULL));
  assert_int_equal(n, 2);
  assert_string_equal(rows[0].id, "f");
  assert_string_equal(rows[1].id, "e");
  assert_true(batch_store_list(t->s, NULL, 0, 5, false, rows, 10, &n, NULL));
  assert_int_equal(n, 3); // not bob's
  assert_string_equal(rows[0].id, "d");
  assert_string_equal(rows[2].id, "a");
  assert_true(batch_store_list(t->s, NULL, 1, INT64_MAX, true, rows, 2, &n, NULL));
  assert_int_equal(n, 2);
  assert_string_equal(rows[0].id, "d");
  assert_string_equal(rows[1].id, "b");
  assert_true(batch_store_list(t->s, "bob", 0, INT64_MAX, false, rows, 10, &n, NULL));
  assert_int_equal(n, 1);
}

static void overwrite(const char *path, long from, size_t n, char byte) {
  FILE *f = fopen(path, "r+");
  assert_non_null(f);
  fseek(f, from, SEEK_SET);
  for (size_t i = 0; i < n; i++) fputc(byte, f);
  fclose(f);
}

static void expect_no_open(const at *t, pn_code code, const char *says) {
  pn_error e = {0};
  assert_null(batch_store_open(t->path, &e));
  assert_int_equal(e.code, code);
  assert_non_null(strstr(e.msg, t->path));
  if (!strstr(e.msg, says)) fail_msg("%s", e.msg);
}

static void a_file_that_is_none_of_ours(void **state) {
  at *t = *state;
  batch_store_close(t->s);
  t->s = NULL;
  overwrite(t->path, 0, 100, 'x');
  expect_no_open(t, PN_ERR_CORRUPT, "move the file away");
}

static void a_file_of_a_later_version(void **state) {
  at *t = *state;
  batch_store_close(t->s);
  t->s = NULL;
  overwrite(t->path, 63, 1, 9); // user_version is at byte 60, big-endian
  expect_no_open(t, PN_ERR_UNSUPPORTED, "version 9; this program knows version 1");
}

static void damage_is_told_not_believed(void **state) {
  at *t = *state;
  create(t->s, "a", NULL, 3000);
  batch_store_close(t->s);
  t->s = NULL;
  struct stat st;
  assert_int_equal(stat(t->path, &st), 0);
  overwrite(t->path, 4096, (size_t)st.st_size - 4096, 'x'); // all but the first page
  pn_error e = {0};
  batch_row row;
  t->s = batch_store_open(t->path, &e);
  if (t->s) assert_false(batch_store_get(t->s, NULL, PN_STR("a"), &row, &e));
  assert_int_equal(e.code, PN_ERR_CORRUPT);
  assert_non_null(strstr(e.msg, t->path));
  assert_non_null(strstr(e.msg, ".recover"));
}

static void gives_space_back(void **state) {
  at *t = *state;
  struct stat before, after;
  int64_t a = create(t->s, "a", NULL, 20000), n;
  batch_row row = get(t->s, NULL, "a");
  assert_true(batch_store_settle(t->s, a, 1, 20000, BATCH_EXPIRED, &n, NULL));
  assert_true(batch_store_end(t->s, &row, 1, NULL));
  assert_true(batch_store_delete(t->s, a, NULL));
  batch_store_close(t->s); // the log goes into the file
  assert_int_equal(stat(t->path, &before), 0);
  t->s = open_at(t);
  assert_true(batch_store_open_batch(t->s, 0, &row, NULL));
  assert_true(batch_store_sweep(t->s, a, 1, 20000, true, NULL));
  assert_true(batch_store_swept(t->s, &row, NULL));
  for (bool more = true; more;) assert_true(batch_store_shrink(t->s, 50, &more, NULL));
  batch_store_close(t->s);
  assert_int_equal(stat(t->path, &after), 0);
  t->s = NULL;
  assert_true(before.st_size > 500000);
  assert_true(after.st_size < 100000);
}

#define IN_A_DIR(f) cmocka_unit_test_setup_teardown(f, begin, finish)

int main(void) {
  const struct CMUnitTest tests[] = {
      IN_A_DIR(keeps_a_batch),
      IN_A_DIR(a_request_has_one_result),
      IN_A_DIR(cancels_and_deletes_at_their_time),
      IN_A_DIR(a_failed_creation_leaves_nothing),
      IN_A_DIR(survives_the_death_of_the_process),
      IN_A_DIR(two_connections_see_the_same),
      IN_A_DIR(lists_around_a_batch),
      IN_A_DIR(a_file_that_is_none_of_ours),
      IN_A_DIR(a_file_of_a_later_version),
      IN_A_DIR(damage_is_told_not_believed),
      IN_A_DIR(gives_space_back),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
