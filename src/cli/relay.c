#include "cli/relay.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>

static const int caught[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP};
#define N_CAUGHT (sizeof caught / sizeof *caught)

// A signal handler has no argument to carry these.
static atomic_int count;
static atomic_int to_pass_on; // the last SIGTERM or SIGHUP
static atomic_int the_program;

static void on_signal(int number) {
  int saved = errno;
  atomic_fetch_add(&count, 1);
  if (number == SIGTERM || number == SIGHUP) {
    pid_t program = atomic_load(&the_program);
    atomic_store(&to_pass_on, number);
    if (program > 0) kill(program, number);
  }
  errno = saved;
}

void relay_begin(void) {
  struct sigaction a = {.sa_handler = on_signal}, old; // no SA_RESTART: what waits is to see it
  sigemptyset(&a.sa_mask);
  atomic_store(&count, 0);
  atomic_store(&to_pass_on, 0);
  for (size_t i = 0; i < N_CAUGHT; i++)
    if (sigaction(caught[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN) sigaction(caught[i], &a, NULL);
}

void relay_end(void) {
  struct sigaction old;
  for (size_t i = 0; i < N_CAUGHT; i++)
    if (sigaction(caught[i], NULL, &old) == 0 && old.sa_handler == on_signal) signal(caught[i], SIG_DFL);
}

int relay_count(void) { return atomic_load(&count); }

static bool start(const char *path, char *const *argv, char *const *env, pid_t *pid, pn_error *e) {
  posix_spawnattr_t attr;
  sigset_t to_default;
  sigemptyset(&to_default);
  sigaddset(&to_default, SIGPIPE); // which we ignore; what we catch becomes the default by itself
  if (posix_spawnattr_init(&attr) != 0) return pn_fail(e, PN_ERR_NOMEM, "out of memory to start %s", path);
  posix_spawnattr_setsigdefault(&attr, &to_default);
  posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF);
  int rc = posix_spawn(pid, path, NULL, &attr, argv, env);
  posix_spawnattr_destroy(&attr);
  return rc == 0 || pn_fail(e, PN_ERR_IO, "%s can't be started: %s", path, strerror(rc));
}

bool relay_run(const char *path, char *const *argv, char *const *env, int *status, pn_error *e) {
  pid_t pid;
  int how;
  if (!start(path, argv, env, &pid, e)) return false;
  atomic_store(&the_program, pid);
  int early = atomic_load(&to_pass_on); // it came before there was anybody to pass it on to
  if (early) kill(pid, early);
  for (;;) {
    pid_t ended = waitpid(pid, &how, WUNTRACED);
    if (ended < 0 && errno == EINTR) continue;
    if (ended < 0 || !WIFSTOPPED(how)) break;
    raise(SIGSTOP); // so that the shell has its terminal again; it wakes the whole group
    kill(pid, SIGCONT);
  }
  atomic_store(&the_program, 0);
  *status = WIFEXITED(how) ? WEXITSTATUS(how) : WIFSIGNALED(how) ? 128 + WTERMSIG(how) : 1;
  return true;
}
