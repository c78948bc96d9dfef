#include "cli/server_child.h"

#include "base/clock.h"
#include "base/map.h"
#include "cli/console.h"
#include "cli/machine.h"
#include "cli/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

#define LOG_MAX_BYTES (8 << 20) // a longer log becomes serve.log.1 when the next server starts
#define LAST_WORDS 2000         // bytes of the log that are shown
#define LOCK_FD 3               // which the server holds open

static void sleep_ms(int ms) {
  nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

// The words that start the server: our flags as they were given. The environment and the configuration file
// it reads itself.
static char **words_of(const options *o, pn_arena *a) {
  char **argv = pn_arena_array(a, (size_t)o->n_values + 3, sizeof *argv);
  int n = 0;
  if (!argv) return NULL;
  argv[n++] = pn_arena_dup(a, PN_STR("pensieve"));
  argv[n++] = pn_arena_dup(a, PN_STR("serve"));
  for (int i = 0; i < o->n_values; i++) {
    const option_value *v = &o->values[i];
    if (v->source != FROM_FLAG || strcmp(v->spec->name, "claude") == 0) continue;
    size_t len = strlen(v->spec->name) + strlen(v->text) + 4;
    char *word = pn_arena_alloc(a, len);
    if (word) snprintf(word, len, "--%s=%s", v->spec->name, v->text);
    argv[n++] = word;
  }
  for (int i = 0; i < n; i++)
    if (!argv[i]) return NULL;
  return argv;
}

// The log, for appending, and how long it is.
static int open_log(const server_share *s, off_t *begin, pn_error *e) {
  struct stat st;
  char older[4200];
  if (stat(s->log_path, &st) == 0 && st.st_size > LOG_MAX_BYTES) {
    snprintf(older, sizeof older, "%s.1", s->log_path);
    rename(s->log_path, older);
  }
  int fd = open(s->log_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || fstat(fd, &st) != 0) {
    pn_fail(e, PN_ERR_IO, "%s can't be written: %s", s->log_path, strerror(errno));
    if (fd >= 0) close(fd);
    return -1;
  }
  *begin = st.st_size;
  return fd;
}

static int spawn(pid_t *pid, const char *path, char *const *argv, int log_fd, int lock_fd) {
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attr;
  sigset_t to_default;
  sigemptyset(&to_default);
  const int numbers[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGPIPE};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) sigaddset(&to_default, numbers[i]);
  int rc = posix_spawn_file_actions_init(&files);
  if (rc != 0) return rc;
  rc = posix_spawnattr_init(&attr);
  if (rc == 0) {
    posix_spawnattr_setsigdefault(&attr, &to_default);
#ifdef POSIX_SPAWN_SETSID
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID); // Ctrl-C is not for it
#else
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
#endif
    if ((rc = posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0)) == 0 &&
        (rc = posix_spawn_file_actions_adddup2(&files, log_fd, STDOUT_FILENO)) == 0 &&
        (rc = posix_spawn_file_actions_adddup2(&files, log_fd, STDERR_FILENO)) == 0 &&
        (rc = posix_spawn_file_actions_adddup2(&files, lock_fd, LOCK_FD)) == 0)
      rc = posix_spawn(pid, path, &files, &attr, argv, environ);
    posix_spawnattr_destroy(&attr);
  }
  posix_spawn_file_actions_destroy(&files);
  return rc;
}

static bool start(server_share *s, const options *o, int log_fd, pid_t *pid, pn_error *e) {
  char path[4096];
  char **argv = words_of(o, &s->arena);
  if (!argv) return pn_fail(e, PN_ERR_NOMEM, "out of memory to start a server");
  if (!machine_own_path(path, sizeof path))
    return pn_fail(e, PN_ERR_IO, "the path of this program is not known");
  int lock_fd = share_take_server(s, e);
  if (lock_fd < 0) return false;
  int rc = spawn(pid, path, argv, log_fd, lock_fd);
  bool ok = rc == 0 ? share_name_server(s, lock_fd, *pid, e)
                    : pn_fail(e, PN_ERR_IO, "%s can't be started: %s", path, strerror(rc));
  if (rc == 0 && !ok) kill(*pid, SIGTERM);
  close(lock_fd); // from now on only the server holds it
  return ok;
}

static void show_last_words(const server_share *s, off_t begin) {
  char text[LAST_WORDS + 1];
  int fd = open(s->log_path, O_RDONLY | O_CLOEXEC);
  struct stat st;
  if (fd < 0) return;
  if (fstat(fd, &st) == 0 && st.st_size - begin > LAST_WORDS) begin = st.st_size - LAST_WORDS;
  ssize_t n = pread(fd, text, LAST_WORDS, begin);
  close(fd);
  while (n > 0 && text[n - 1] == '\n') n--;
  if (n > 0) console_note("%.*s", (int)n, text);
}

static bool ended_early(const server_share *s, off_t begin, int how, int *status, pn_error *e) {
  show_last_words(s, begin);
  if (WIFSIGNALED(how)) {
    *status = 1;
    return pn_fail(e, PN_ERR_IO, "the server was ended by signal %d while it started; its log is %s",
                   WTERMSIG(how), s->log_path);
  }
  *status = WEXITSTATUS(how) ? WEXITSTATUS(how) : 1;
  return pn_fail(e, PN_ERR_IO, "the server ended with exit code %d; its log is %s", WEXITSTATUS(how),
                 s->log_path);
}

static bool wait_ready(server_share *s, const options *o, pid_t pid, off_t begin, server_state *out,
                       int *status, pn_error *e) {
  const char *host = options_text(o, "host");
  int port = (int)options_int(o, "port");
  uint64_t note_us = pn_now_us() + 1000000;
  for (;; sleep_ms(50)) {
    int how;
    found_server found;
    if (waitpid(pid, &how, WNOHANG) == pid) return ended_early(s, begin, how, status, e);
    if (relay_count()) {
      server_end(s);
      return pn_fail(e, PN_ERR_CANCELLED, "stopped while the server was starting");
    }
    if (!server_look(host, port, 5000, &found, out, e)) return server_end(s), false;
    if (found == SERVER_OURS && strcmp(out->status, "ok") == 0) return true;
    if (note_us && pn_now_us() > note_us) {
      console_note("starting a server; its log is %s", s->log_path);
      note_us = 0;
    }
  }
}

bool server_start(server_share *s, const options *o, server_state *out, int *status, pn_error *e) {
  off_t begin;
  pid_t pid;
  int log_fd = open_log(s, &begin, e);
  if (log_fd < 0) return false;
  bool ok = start(s, o, log_fd, &pid, e);
  close(log_fd);
  return ok && wait_ready(s, o, pid, begin, out, status, e);
}

void server_end(server_share *s) {
  pid_t pid = share_server(s);
  if (!pid || kill(pid, SIGTERM) != 0) return;
  int seen = relay_count();
  uint64_t note_us = pn_now_us() + 1000000;
  for (; share_server(s) == pid; sleep_ms(20)) {
    if (relay_count() != seen) {
      seen = relay_count();
      kill(pid, SIGTERM);
    }
    if (note_us && pn_now_us() > note_us) {
      console_note("waiting for the server to end what it does; Ctrl-C ends it at once");
      note_us = 0;
    }
  }
  waitpid(pid, NULL, WNOHANG); // when it is our own child
}
