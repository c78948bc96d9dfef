#include "cli/server_share.h"

#include "base/clock.h"
#include "cli/console.h"
#include "cli/relay.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char *path_of(pn_arena *a, const char *dir, const char *name) {
  size_t n = strlen(dir) + strlen(name) + 2;
  char *path = pn_arena_alloc(a, n);
  if (path) snprintf(path, n, "%s/%s", dir, name);
  return path;
}

static char *state_dir(pn_arena *a) {
  const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
  return state && *state == '/' ? path_of(a, state, "pensieve")
                                : path_of(a, home && *home ? home : "", ".local/state/pensieve");
}

// Make the folder and those above it.
static bool make_dirs(char *path, pn_error *e) {
  for (char *at = path + 1;; at++) {
    if (*at != '/' && *at != '\0') continue;
    char end = *at;
    *at = '\0';
    bool ok = mkdir(path, 0700) == 0 || errno == EEXIST;
    if (!ok) return pn_fail(e, PN_ERR_IO, "the folder %s can't be made: %s", path, strerror(errno));
    *at = end;
    if (!end) return true;
  }
}

bool share_open(server_share *s, const char *host, int port, pn_error *e) {
  *s = (server_share){.start_fd = -1, .sessions_fd = -1};
  static const char *const what[] = {"start", "sessions", "server"};
  char **const paths[] = {&s->start_path, &s->sessions_path, &s->server_path};
  char *dir = state_dir(&s->arena);
  if (!dir) return pn_fail(e, PN_ERR_NOMEM, "out of memory");
  if (!make_dirs(dir, e)) return false;
  s->log_path = path_of(&s->arena, dir, "serve.log");
  for (int i = 0; i < 3; i++) {
    char name[320];
    int n = snprintf(name, sizeof name, "claude-%.255s-%d.%s", host, port, what[i]);
    for (int k = 0; k < n; k++)
      if (name[k] == '/' || isspace((unsigned char)name[k])) name[k] = '_';
    *paths[i] = path_of(&s->arena, dir, name);
    if (!*paths[i] || !s->log_path) return pn_fail(e, PN_ERR_NOMEM, "out of memory");
  }
  return true;
}

static void let_go(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

void share_close(server_share *s) {
  let_go(&s->sessions_fd);
  let_go(&s->start_fd);
  pn_arena_fini(&s->arena);
}

// A descriptor above those that a program is started with, or -1.
static int open_file(const char *path, pn_error *e) {
  int low = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  int fd = low < 0 ? -1 : fcntl(low, F_DUPFD_CLOEXEC, 10);
  int error = errno;
  if (low >= 0) close(low);
  if (fd < 0) pn_fail(e, PN_ERR_IO, "%s can't be opened: %s", path, strerror(error));
  return fd;
}

static bool lock_at_once(int fd, int how) {
  int rc;
  do rc = flock(fd, how | LOCK_NB);
  while (rc != 0 && errno == EINTR);
  return rc == 0;
}

static void sleep_a_little(void) { nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL); }

bool share_enter(server_share *s, pn_error *e) {
  int before = relay_count();
  uint64_t note_us = pn_now_us() + 1000000;
  s->start_fd = open_file(s->start_path, e);
  if (s->start_fd < 0) return false;
  // Asking again and again: a signal just before flock waits would be lost.
  for (; !lock_at_once(s->start_fd, LOCK_EX); sleep_a_little()) {
    bool held = errno == EWOULDBLOCK;
    int error = errno;
    if (note_us && pn_now_us() > note_us) {
      console_note("waiting for another `pensieve claude`, which starts or ends the server");
      note_us = 0;
    }
    if (held && relay_count() == before) continue;
    let_go(&s->start_fd);
    return held ? pn_fail(e, PN_ERR_CANCELLED, "stopped while another one started or ended the server")
                : pn_fail(e, PN_ERR_IO, "%s can't be locked: %s", s->start_path, strerror(error));
  }
  return true;
}

void share_leave(server_share *s) { let_go(&s->start_fd); }

bool share_join(server_share *s, pn_error *e) {
  s->sessions_fd = open_file(s->sessions_path, e);
  if (s->sessions_fd < 0) return false;
  // Nobody holds it alone but between enter and leave.
  return lock_at_once(s->sessions_fd, LOCK_SH) ||
         pn_fail(e, PN_ERR_IO, "%s can't be locked: %s", s->sessions_path, strerror(errno));
}

bool share_part(server_share *s) {
  let_go(&s->sessions_fd);
  int fd = open_file(s->sessions_path, NULL);
  bool last = fd >= 0 && lock_at_once(fd, LOCK_EX);
  let_go(&fd);
  return last;
}

int share_take_server(server_share *s, pn_error *e) {
  int fd = open_file(s->server_path, e);
  if (fd >= 0 && (!lock_at_once(fd, LOCK_EX) || ftruncate(fd, 0) != 0)) {
    pn_fail(e, PN_ERR_BUSY,
            "a server that was started for Claude Code (process %ld) does not answer; stop it",
            (long)share_server(s));
    let_go(&fd);
  }
  return fd;
}

bool share_name_server(server_share *s, int fd, pid_t pid, pn_error *e) {
  char text[32];
  int n = snprintf(text, sizeof text, "%ld\n", (long)pid);
  return pwrite(fd, text, (size_t)n, 0) == n ||
         pn_fail(e, PN_ERR_IO, "%s can't be written: %s", s->server_path, strerror(errno));
}

pid_t share_server(server_share *s) {
  char text[32] = {0};
  long pid = 0;
  int fd = open_file(s->server_path, NULL);
  if (fd >= 0 && !lock_at_once(fd, LOCK_SH) && pread(fd, text, sizeof text - 1, 0) > 0)
    pid = strtol(text, NULL, 10);
  let_go(&fd);
  return pid > 1 ? (pid_t)pid : 0;
}
