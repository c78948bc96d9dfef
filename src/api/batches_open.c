#include "api/batches.h"
#include "base/log.h"
#include "base/rng.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static void add_metrics(batches *b, pn_metrics *m) {
  b->pending = pn_metrics_add(m, &(pn_metric_spec){.kind = PN_GAUGE,
                                                   .name = "pensieve_batch_requests_pending",
                                                   .help = "Requests of message batches without a result."});
  for (int i = 0; i < BATCH_N_KINDS; i++) {
    char labels[40];
    snprintf(labels, sizeof labels, "result=\"%s\"", batch_kind_names[i]);
    b->results[i] = pn_metrics_add(m, &(pn_metric_spec){.kind = PN_COUNTER,
                                                        .name = "pensieve_batch_requests_total",
                                                        .help = "Requests of message batches, by result.",
                                                        .labels = labels});
  }
}

static char *join(const char *dir, const char *name) {
  pn_buf path = {0};
  pn_buf_printf(&path, "%s/%s", dir, name);
  if (!*pn_buf_cstr(&path)) pn_buf_fini(&path);
  return path.p;
}

bool batches_new(pn_api *a, batches **out, pn_error *e) {
  *out = NULL;
  if (!a->o.data_dir) return true;
  batches *b = calloc(1, sizeof *b);
  if (!b) return pn_fail(e, PN_ERR_NOMEM, "out of memory for the batches");
  pthread_mutex_init(&b->lock, NULL);
  b->api = a;
  b->lock_fd = -1;
  b->dir = pn_str_dup(pn_str_of(a->o.data_dir));
  b->path = join(a->o.data_dir, "batches.sqlite3");
  b->lock_path = join(a->o.data_dir, "batches.lock");
  bool ok = b->dir && b->path && b->lock_path;
  if (!ok) pn_fail(e, PN_ERR_NOMEM, "out of memory for the batches");
  if (ok) {
    add_metrics(b, a->o.metrics);
    b->runner = batch_runner_new(b, e);
    ok = b->runner && (access(b->path, F_OK) != 0 || batch_runner_start(b->runner, e));
  }
  if (ok)
    *out = b;
  else
    batches_free(b);
  return ok;
}

void batches_free(batches *b) {
  if (!b) return;
  batch_runner_free(b->runner);
  batch_store_close(b->store);
  if (b->lock_fd >= 0) close(b->lock_fd);
  pthread_mutex_destroy(&b->lock);
  free(b->dir);
  free(b->path);
  free(b->lock_path);
  free(b);
}

void batches_drain(batches *b) {
  if (b) batch_runner_stop(b->runner);
}

// The folder and those above it.
static bool make_dir(const char *dir, pn_error *e) {
  char *path = pn_str_dup(pn_str_of(dir));
  if (!path) return pn_fail(e, PN_ERR_NOMEM, "out of memory for the batches");
  bool ok = true;
  for (char *at = path + 1; ok && *path; at++) {
    if (*at != '/' && *at != '\0') continue;
    bool last = *at == '\0';
    *at = '\0';
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
      ok = pn_fail(e, PN_ERR_IO, "can't make the data folder %s: %s", path, strerror(errno));
    if (last) break;
    *at = '/';
  }
  free(path);
  return ok;
}

static bool take_lock(batches *b, pn_error *e) {
  int fd = open(b->lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0)
    return pn_fail(e, PN_ERR_IO, "can't keep batches in the data folder %s: %s: %s", b->dir, b->lock_path,
                   strerror(errno));
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
    b->lock_fd = fd;
    return true;
  }
  int why = errno;
  close(fd);
  if (why == EWOULDBLOCK)
    return pn_fail(e, PN_ERR_BUSY,
                   "the batches in %s are run by another server; ask that one, or give this one a folder of "
                   "its own with --data-dir",
                   b->dir);
  return pn_fail(e, PN_ERR_IO, "can't lock %s: %s", b->lock_path, strerror(why));
}

static bool open_store(batches *b, pn_error *e) {
  if (!make_dir(b->dir, e) || !take_lock(b, e)) return false;
  int64_t n = 0;
  b->store = batch_store_open(b->path, e);
  if (b->store && batch_store_count_pending(b->store, &n, e)) {
    b->n_pending = n;
    pn_metric_set(b->pending, (double)n);
    return true;
  }
  batch_store_close(b->store);
  b->store = NULL;
  close(b->lock_fd);
  b->lock_fd = -1;
  return false;
}

bool batches_open(batches *b, pn_error *e) {
  pthread_mutex_lock(&b->lock);
  bool ok = b->store || open_store(b, e);
  pthread_mutex_unlock(&b->lock);
  return ok && (b->by_hand || batch_runner_start(b->runner, e));
}

void batches_count_pending(batches *b, int64_t n) {
  pthread_mutex_lock(&b->lock);
  b->n_pending += n;
  pn_metric_set(b->pending, (double)b->n_pending);
  pthread_mutex_unlock(&b->lock);
}

void batches_count_results(batches *b, batch_kind kind, int64_t n) {
  pn_metric_add(b->results[kind], (double)n);
  batches_count_pending(b, -n);
}

void batches_make_id(char *to, const char *prefix, int n) {
  static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  size_t at = strlen(prefix);
  memcpy(to, prefix, at);
  uint64_t v = 0;
  for (int i = 0; i < n; i++) {
    if (i % 10 == 0) v = pn_rng_entropy();
    to[at++] = digits[v % 62];
    v /= 62;
  }
  to[at] = '\0';
}
