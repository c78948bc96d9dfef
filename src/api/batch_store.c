#include "api/batch_store.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VERSION 1
#define BUSY_MS 10000

const char *const batch_kind_names[BATCH_N_KINDS] = {"succeeded", "errored", "canceled", "expired"};

// Requests and results of batch b have the places b * 2^20 + 1, + 2, ..., so that those of a batch lie
// together and the key of a table is all the index there is. Numbers of batches are never used again.
static const char schema[] =
    "CREATE TABLE batches (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, key_name TEXT,"
    " stage INTEGER NOT NULL DEFAULT 0, created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL,"
    " cancel_ms INTEGER NOT NULL DEFAULT 0, ended_ms INTEGER NOT NULL DEFAULT 0, n_requests INTEGER NOT NULL,"
    " n_succeeded INTEGER NOT NULL DEFAULT 0, n_errored INTEGER NOT NULL DEFAULT 0,"
    " n_canceled INTEGER NOT NULL DEFAULT 0, n_expired INTEGER NOT NULL DEFAULT 0) STRICT;"
    "CREATE INDEX batches_open ON batches (number) WHERE stage <> 2;"
    "CREATE TABLE requests (place INTEGER PRIMARY KEY, custom_id TEXT NOT NULL, params TEXT NOT NULL) STRICT;"
    "CREATE TABLE results (place INTEGER PRIMARY KEY, custom_id TEXT NOT NULL, kind INTEGER NOT NULL,"
    " body TEXT) STRICT;";

#define COLUMNS                                                                                              \
  "number, id, stage, created_ms, expires_ms, cancel_ms, ended_ms, n_requests, n_succeeded, n_errored, "     \
  "n_canceled, n_expired"
#define NO_RESULT "NOT EXISTS (SELECT 1 FROM results WHERE results.place = r.place)"

enum {
  BEGIN,
  COMMIT,
  ROLLBACK,
  ADD_BATCH,
  ADD_REQUEST,
  GET,
  LIST_DOWN,
  LIST_UP,
  CANCEL,
  DELETE,
  RESULTS,
  OPEN_BATCH,
  PENDING,
  COUNT_PENDING,
  PUT,
  SETTLE,
  COUNT_RESULTS,
  END,
  SWEEP_REQUESTS,
  SWEEP_RESULTS,
  SWEPT,
  GONE,
  N_STATEMENTS
};

static const char *const texts[N_STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [ADD_BATCH] =
        "INSERT INTO batches (id, key_name, created_ms, expires_ms, n_requests) VALUES (?, ?, ?, ?, ?)",
    [ADD_REQUEST] = "INSERT INTO requests (place, custom_id, params) VALUES (?, ?, ?)",
    [GET] = "SELECT " COLUMNS " FROM batches WHERE id = ? AND key_name IS ? AND stage <> 3",
    [LIST_DOWN] = "SELECT " COLUMNS " FROM batches WHERE number > ? AND number < ? AND key_name IS ?"
                  " AND stage <> 3 ORDER BY number DESC LIMIT ?",
    [LIST_UP] = "SELECT " COLUMNS " FROM batches WHERE number > ? AND number < ? AND key_name IS ?"
                " AND stage <> 3 ORDER BY number LIMIT ?",
    [CANCEL] = "UPDATE batches SET cancel_ms = ?2 WHERE number = ?1 AND stage = 0 AND cancel_ms = 0",
    [DELETE] = "UPDATE batches SET stage = 3 WHERE number = ? AND stage IN (1, 2)",
    [RESULTS] =
        "SELECT place, custom_id, kind, body FROM results WHERE place > ? AND place < ? ORDER BY place",
    [OPEN_BATCH] = "SELECT " COLUMNS " FROM batches WHERE number > ? AND stage <> 2 ORDER BY number LIMIT 1",
    [PENDING] =
        "SELECT place, custom_id, params, (SELECT key_name FROM batches WHERE number = ?3)"
        " FROM requests AS r WHERE place > ?1 AND place < ?2 AND " NO_RESULT " ORDER BY place LIMIT 1",
    [COUNT_PENDING] = "SELECT sum((SELECT count(*) FROM requests AS r WHERE place > number << 20"
                      " AND place < (number + 1) << 20 AND " NO_RESULT ")) FROM batches WHERE stage = 0",
    [PUT] = "INSERT OR IGNORE INTO results (place, custom_id, kind, body) VALUES (?, ?, ?, ?)",
    [SETTLE] = "INSERT INTO results (place, custom_id, kind) SELECT place, custom_id, ?3 FROM requests AS r"
               " WHERE place >= ?1 AND place <= ?2 AND " NO_RESULT,
    [COUNT_RESULTS] = "SELECT kind, count(*) FROM results WHERE place > ? AND place < ? GROUP BY kind",
    [END] = "UPDATE batches SET stage = 1, ended_ms = ?, n_succeeded = ?, n_errored = ?, n_canceled = ?,"
            " n_expired = ? WHERE number = ? AND stage = 0",
    [SWEEP_REQUESTS] = "DELETE FROM requests WHERE place >= ? AND place <= ?",
    [SWEEP_RESULTS] = "DELETE FROM results WHERE place >= ? AND place <= ?",
    [SWEPT] = "UPDATE batches SET stage = 2 WHERE number = ? AND stage = 1",
    [GONE] = "DELETE FROM batches WHERE number = ? AND stage = 3",
};

struct batch_store {
  char *path;
  sqlite3 *db;
  sqlite3_stmt *statements[N_STATEMENTS];
};

static bool fail(const batch_store *s, const char *doing, pn_error *e) {
  int code = s->db ? sqlite3_errcode(s->db) : SQLITE_NOMEM;
  const char *why = s->db ? sqlite3_errmsg(s->db) : "out of memory";
  switch (code & 0xFF) {
  case SQLITE_NOMEM: return pn_fail(e, PN_ERR_NOMEM, "out of memory for the batches in %s", s->path);
  case SQLITE_FULL: return pn_fail(e, PN_ERR_LIMIT, "the disk is full: %s in %s failed", doing, s->path);
  case SQLITE_BUSY:
    return pn_fail(e, PN_ERR_BUSY, "%s in %s failed: another program writes there", doing, s->path);
  case SQLITE_CORRUPT:
  case SQLITE_NOTADB:
    return pn_fail(e, PN_ERR_CORRUPT,
                   "the batches in %s are damaged (%s); stop the server and move the file away together with "
                   "its -wal and -shm to begin anew, or repair it with `sqlite3 %s .recover`",
                   s->path, why, s->path);
  default: return pn_fail(e, PN_ERR_IO, "%s in %s failed: %s", doing, s->path, why);
  }
}

// Bind what the letters of `types` say: i: int64_t, t: pn_str as text, z: const char * or NULL.
static bool vbind(batch_store *s, sqlite3_stmt *st, const char *types, va_list ap, pn_error *e) {
  int rc = SQLITE_OK;
  for (int i = 1; *types && rc == SQLITE_OK; types++, i++) {
    if (*types == 'i') rc = sqlite3_bind_int64(st, i, va_arg(ap, int64_t));
    if (*types == 'z') rc = sqlite3_bind_text(st, i, va_arg(ap, const char *), -1, SQLITE_STATIC);
    if (*types == 't') {
      pn_str t = va_arg(ap, pn_str);
      rc = t.p ? sqlite3_bind_text64(st, i, t.p, t.n, SQLITE_STATIC, SQLITE_UTF8) : sqlite3_bind_null(st, i);
    }
  }
  return rc == SQLITE_OK || fail(s, "preparing", e);
}

// A statement ready to be stepped; NULL after a failure. `end` follows in every case.
static sqlite3_stmt *start(batch_store *s, int id, pn_error *e, const char *types, ...) {
  va_list ap;
  va_start(ap, types);
  bool ok = vbind(s, s->statements[id], types, ap, e);
  va_end(ap);
  return ok ? s->statements[id] : NULL;
}

static void end(batch_store *s, int id) {
  sqlite3_reset(s->statements[id]);
  sqlite3_clear_bindings(s->statements[id]); // they point to texts that may go
}

// 1: a row, 0: no more, -1: failed.
static int step(batch_store *s, sqlite3_stmt *st, pn_error *e) {
  int rc = sqlite3_step(st);
  if (rc == SQLITE_ROW) return 1;
  if (rc == SQLITE_DONE) return 0;
  fail(s, "reading", e);
  return -1;
}

// A statement that gives no rows.
static bool run(batch_store *s, int id, pn_error *e, const char *types, ...) {
  va_list ap;
  va_start(ap, types);
  bool ok = vbind(s, s->statements[id], types, ap, e);
  va_end(ap);
  if (ok && sqlite3_step(s->statements[id]) != SQLITE_DONE) ok = fail(s, "writing", e);
  end(s, id);
  return ok;
}

static pn_str text_at(sqlite3_stmt *st, int column) {
  const char *p = (const char *)sqlite3_column_text(st, column);
  return (pn_str){p, (size_t)sqlite3_column_bytes(st, column)};
}

static void read_row(sqlite3_stmt *st, batch_row *out) {
  *out = (batch_row){.number = sqlite3_column_int64(st, 0),
                     .stage = (batch_stage)sqlite3_column_int(st, 2),
                     .created_ms = sqlite3_column_int64(st, 3),
                     .expires_ms = sqlite3_column_int64(st, 4),
                     .cancel_ms = sqlite3_column_int64(st, 5),
                     .ended_ms = sqlite3_column_int64(st, 6),
                     .n_requests = sqlite3_column_int64(st, 7)};
  pn_str id = text_at(st, 1);
  snprintf(out->id, sizeof out->id, "%.*s", (int)id.n, id.p ? id.p : "");
  for (int i = 0; i < BATCH_N_KINDS; i++) out->n_results[i] = sqlite3_column_int64(st, 8 + i);
}

static bool execute(batch_store *s, const char *sql, pn_error *e) {
  return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK || fail(s, "opening", e);
}

static bool read_version(batch_store *s, int *version, pn_error *e) {
  sqlite3_stmt *st = NULL;
  bool ok = sqlite3_prepare_v2(s->db, "PRAGMA user_version", -1, &st, NULL) == SQLITE_OK &&
            sqlite3_step(st) == SQLITE_ROW;
  if (ok)
    *version = sqlite3_column_int(st, 0);
  else
    fail(s, "opening", e);
  sqlite3_finalize(st);
  return ok;
}

// Two may come at the same time: who gets the lock first makes the tables.
static bool make_tables(batch_store *s, int *version, pn_error *e) {
  if (!execute(s, "PRAGMA auto_vacuum = INCREMENTAL; BEGIN IMMEDIATE", e)) return false;
  bool ok = read_version(s, version, e);
  if (ok && *version == 0) {
    ok = execute(s, schema, e) && execute(s, "PRAGMA user_version = 1", e);
    *version = VERSION;
  }
  if (ok) return execute(s, "COMMIT", e);
  sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
  return false;
}

static bool check_version(batch_store *s, pn_error *e) {
  int version = 0;
  if (!read_version(s, &version, e) || (version == 0 && !make_tables(s, &version, e))) return false;
  return version == VERSION ||
         pn_fail(e, PN_ERR_UNSUPPORTED, "%s: batches of version %d; this program knows version %d", s->path,
                 version, VERSION);
}

// In WAL mode a commit without fsync survives the death of the process, but not the machine's: then the
// latest commits may be lost, never the file. Deleted text is overwritten.
static bool set_up(batch_store *s, pn_error *e) {
  sqlite3_busy_timeout(s->db, BUSY_MS);
  if (!check_version(s, e)) return false;
  if (!execute(s,
               "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON;"
               "PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = 4194304",
               e))
    return false;
  for (int i = 0; i < N_STATEMENTS; i++)
    if (sqlite3_prepare_v3(s->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &s->statements[i], NULL) !=
        SQLITE_OK)
      return fail(s, "opening", e);
  return true;
}

// SQLite would make the file readable for everybody. An existing file must not be opened here: closing it
// again would drop the locks that this process holds on it.
static bool make_file(const char *path, pn_error *e) {
  int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0 && errno != EEXIST)
    return pn_fail(e, PN_ERR_IO, "can't make the file %s: %s", path, strerror(errno));
  if (fd >= 0) close(fd);
  return true;
}

batch_store *batch_store_open(const char *path, pn_error *e) {
  batch_store *s = calloc(1, sizeof *s);
  if (!s || !(s->path = pn_str_dup(pn_str_of(path)))) {
    free(s);
    pn_fail(e, PN_ERR_NOMEM, "out of memory for the batches in %s", path);
    return NULL;
  }
  bool ok = make_file(path, e);
  if (ok && sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
    ok = fail(s, "opening", e);
  if (ok && set_up(s, e)) return s;
  batch_store_close(s);
  return NULL;
}

void batch_store_close(batch_store *s) {
  if (!s) return;
  for (int i = 0; i < N_STATEMENTS; i++) sqlite3_finalize(s->statements[i]);
  sqlite3_close(s->db);
  free(s->path);
  free(s);
}

static bool add_all(batch_store *s, const batch_row *b, const char *key, batch_next *next, void *ctx,
                    int64_t *number, pn_error *e) {
  if (!run(s, ADD_BATCH, e, "tziii", pn_str_of(b->id), key, b->created_ms, b->expires_ms, b->n_requests))
    return false;
  *number = sqlite3_last_insert_rowid(s->db);
  for (int64_t i = 0; i < b->n_requests; i++) {
    batch_item item = {0};
    if (!next(ctx, i, &item, e) ||
        !run(s, ADD_REQUEST, e, "itt", BATCH_PLACE(*number, i + 1), item.custom_id, item.params))
      return false;
  }
  return run(s, COMMIT, e, "");
}

bool batch_store_create(batch_store *s, const batch_row *b, const char *key, batch_next *next, void *ctx,
                        int64_t *number, pn_error *e) {
  if (!run(s, BEGIN, e, "")) return false;
  if (add_all(s, b, key, next, ctx, number, e)) return true;
  if (!sqlite3_get_autocommit(s->db)) run(s, ROLLBACK, NULL, "");
  return false;
}

bool batch_store_get(batch_store *s, const char *key, pn_str id, batch_row *out, pn_error *e) {
  *out = (batch_row){0};
  sqlite3_stmt *st = start(s, GET, e, "tz", id, key);
  int got = st ? step(s, st, e) : -1;
  if (got > 0) read_row(st, out);
  end(s, GET);
  return got >= 0;
}

bool batch_store_list(batch_store *s, const char *key, int64_t above, int64_t below, bool from_above,
                      batch_row *out, int max, int *n, pn_error *e) {
  int id = from_above ? LIST_UP : LIST_DOWN, got = -1;
  *n = 0;
  sqlite3_stmt *st = start(s, id, e, "iizi", above, below, key, (int64_t)max);
  while (st && *n < max && (got = step(s, st, e)) > 0) read_row(st, &out[(*n)++]);
  end(s, id);
  for (int i = 0, j = *n - 1; from_above && i < j; i++, j--) {
    batch_row swap = out[i];
    out[i] = out[j];
    out[j] = swap;
  }
  return got >= 0;
}

bool batch_store_cancel(batch_store *s, int64_t number, int64_t now_ms, pn_error *e) {
  return run(s, CANCEL, e, "ii", number, now_ms);
}

bool batch_store_delete(batch_store *s, int64_t number, pn_error *e) {
  return run(s, DELETE, e, "i", number);
}

bool batch_store_results(batch_store *s, int64_t number, int64_t *after, batch_each *each, void *ctx,
                         pn_error *e) {
  sqlite3_stmt *st = start(s, RESULTS, e, "ii", *after, BATCH_PLACE(number + 1, 0));
  int got = -1;
  while (st && (got = step(s, st, e)) > 0) {
    batch_item item = {
        .place = sqlite3_column_int64(st, 0), .custom_id = text_at(st, 1), .body = text_at(st, 3)};
    int kind = sqlite3_column_int(st, 2);
    item.kind = kind >= 0 && kind < BATCH_N_KINDS ? (batch_kind)kind : BATCH_ERRORED;
    *after = item.place;
    if (!each(ctx, &item)) break;
  }
  end(s, RESULTS);
  return got >= 0;
}

bool batch_store_open_batch(batch_store *s, int64_t after, batch_row *out, pn_error *e) {
  *out = (batch_row){0};
  sqlite3_stmt *st = start(s, OPEN_BATCH, e, "i", after);
  int got = st ? step(s, st, e) : -1;
  if (got > 0) read_row(st, out);
  end(s, OPEN_BATCH);
  return got >= 0;
}

bool batch_store_pending(batch_store *s, int64_t number, int64_t after, batch_each *each, void *ctx,
                         bool *found, pn_error *e) {
  sqlite3_stmt *st = start(s, PENDING, e, "iii", after, BATCH_PLACE(number + 1, 0), number);
  int got = st ? step(s, st, e) : -1;
  *found = got > 0;
  if (got > 0) {
    batch_item item = {.place = sqlite3_column_int64(st, 0),
                       .custom_id = text_at(st, 1),
                       .params = text_at(st, 2),
                       .key = (const char *)sqlite3_column_text(st, 3)};
    each(ctx, &item);
  }
  end(s, PENDING);
  return got >= 0;
}

bool batch_store_count_pending(batch_store *s, int64_t *n, pn_error *e) {
  sqlite3_stmt *st = start(s, COUNT_PENDING, e, "");
  int got = st ? step(s, st, e) : -1;
  *n = got > 0 ? sqlite3_column_int64(st, 0) : 0;
  end(s, COUNT_PENDING);
  return got >= 0;
}

bool batch_store_put(batch_store *s, const batch_item *r, int64_t *n, pn_error *e) {
  if (!run(s, PUT, e, "itit", r->place, r->custom_id, (int64_t)r->kind, r->body)) return false;
  *n = sqlite3_changes(s->db);
  return true;
}

bool batch_store_settle(batch_store *s, int64_t number, int64_t n, int64_t m, batch_kind kind, int64_t *n_put,
                        pn_error *e) {
  if (!run(s, SETTLE, e, "iii", BATCH_PLACE(number, n), BATCH_PLACE(number, m), (int64_t)kind)) return false;
  *n_put = sqlite3_changes(s->db);
  return true;
}

bool batch_store_end(batch_store *s, batch_row *b, int64_t now_ms, pn_error *e) {
  sqlite3_stmt *st =
      start(s, COUNT_RESULTS, e, "ii", BATCH_PLACE(b->number, 0), BATCH_PLACE(b->number + 1, 0));
  int got = -1;
  int64_t n[BATCH_N_KINDS] = {0};
  while (st && (got = step(s, st, e)) > 0) {
    int kind = sqlite3_column_int(st, 0);
    if (kind >= 0 && kind < BATCH_N_KINDS) n[kind] = sqlite3_column_int64(st, 1);
  }
  end(s, COUNT_RESULTS);
  if (got < 0 || !run(s, END, e, "iiiiii", now_ms, n[BATCH_SUCCEEDED], n[BATCH_ERRORED], n[BATCH_CANCELED],
                      n[BATCH_EXPIRED], b->number))
    return false;
  memcpy(b->n_results, n, sizeof n);
  b->stage = BATCH_ENDED;
  b->ended_ms = now_ms;
  return true;
}

bool batch_store_sweep(batch_store *s, int64_t number, int64_t n, int64_t m, bool results, pn_error *e) {
  int64_t from = BATCH_PLACE(number, n), to = BATCH_PLACE(number, m);
  return run(s, SWEEP_REQUESTS, e, "ii", from, to) && (!results || run(s, SWEEP_RESULTS, e, "ii", from, to));
}

bool batch_store_swept(batch_store *s, const batch_row *b, pn_error *e) {
  return run(s, b->stage == BATCH_DELETED ? GONE : SWEPT, e, "i", b->number);
}

bool batch_store_shrink(batch_store *s, int n, bool *more, pn_error *e) {
  char sql[64];
  sqlite3_stmt *st = NULL;
  snprintf(sql, sizeof sql, "PRAGMA incremental_vacuum(%d)", n);
  int rc = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL), pages = 0;
  while (rc == SQLITE_OK || rc == SQLITE_ROW) { // a row a page
    rc = sqlite3_step(st);
    pages += rc == SQLITE_ROW;
  }
  sqlite3_finalize(st);
  *more = pages >= n;
  return rc == SQLITE_DONE || fail(s, "shrinking", e);
}
