// Linux: the daemon's epoll descriptor nested in ours. Closes are edge-triggered EPOLLRDHUP on the connection itself,
// because the daemon does not look at connections that it has suspended.
#include "base/clock.h"
#include "http/loop.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

// Keys of our own two descriptors; connections and lingering sockets never use them.
#define KEY_WAKE UINT64_MAX
#define KEY_DAEMON (UINT64_MAX - 1)

struct loop {
  int epoll_fd, wake_fd;
  struct MHD_Daemon *daemon;
};

const unsigned loop_daemon_flags = MHD_USE_EPOLL;
const int loop_max_connections = 100000;

static bool watch(loop *l, int fd, uint32_t events, uint64_t key) {
  struct epoll_event ev = {.events = events, .data.u64 = key};
  return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) == 0;
}

loop *loop_open(pn_error *e) {
  loop *l = calloc(1, sizeof *l);
  if (!l) return pn_fail(e, PN_ERR_NOMEM, "out of memory for the server's loop"), NULL;
  l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (l->epoll_fd < 0 || l->wake_fd < 0 || !watch(l, l->wake_fd, EPOLLIN, KEY_WAKE)) {
    pn_fail(e, PN_ERR_IO, "the server's loop can't be made: %s", strerror(errno));
    loop_close(l);
    return NULL;
  }
  return l;
}

void loop_close(loop *l) {
  if (!l) return;
  if (l->epoll_fd >= 0) close(l->epoll_fd);
  if (l->wake_fd >= 0) close(l->wake_fd);
  free(l);
}

bool loop_attach(loop *l, struct MHD_Daemon *d, int listen_fd, size_t n_max, pn_error *e) {
  (void)listen_fd, (void)n_max; // the daemon's epoll set holds the socket and leaves it out at the limit
  const union MHD_DaemonInfo *info = MHD_get_daemon_info(d, MHD_DAEMON_INFO_EPOLL_FD);
  if (!info || info->epoll_fd < 0 || !watch(l, info->epoll_fd, EPOLLIN, KEY_DAEMON))
    return pn_fail(e, PN_ERR_IO, "the HTTP library's epoll set can't be watched: %s", strerror(errno));
  l->daemon = d;
  return true;
}

void loop_no_listen(loop *l) { (void)l; }

bool loop_watch_close(loop *l, int fd, uint64_t key) { return watch(l, fd, EPOLLRDHUP | EPOLLET, key); }
bool loop_watch_read(loop *l, int fd, uint64_t key) { return watch(l, fd, EPOLLIN, key); }
void loop_forget(loop *l, int fd) { epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, fd, NULL); }

void loop_wake(loop *l) {
  int saved = errno; // a signal handler may be running
  uint64_t one = 1;
  ssize_t n = write(l->wake_fd, &one, sizeof one);
  (void)n; // full means that a wake-up is already on its way
  errno = saved;
}

static int timeout_ms(loop *l, uint64_t until_us) {
  uint64_t ms = UINT64_MAX, now = pn_now_us();
  if (until_us != UINT64_MAX) ms = until_us > now ? (until_us - now + 999) / 1000 : 0;
  MHD_UNSIGNED_LONG_LONG daemon_ms;
  if (MHD_get_timeout(l->daemon, &daemon_ms) == MHD_YES && daemon_ms < ms) ms = daemon_ms;
  return ms == UINT64_MAX ? -1 : ms > 60000 ? 60000 : (int)ms;
}

int loop_wait(loop *l, uint64_t until_us, loop_event *out) {
  struct epoll_event evs[LOOP_EVENTS];
  int n = epoll_wait(l->epoll_fd, evs, LOOP_EVENTS, timeout_ms(l, until_us)), n_out = 0;
  for (int i = 0; i < n; i++) {
    uint32_t what = evs[i].events;
    if (evs[i].data.u64 == KEY_DAEMON) continue;
    if (evs[i].data.u64 == KEY_WAKE) {
      uint64_t count;
      ssize_t got = read(l->wake_fd, &count, sizeof count);
      (void)got;
      continue;
    }
    out[n_out++] = (loop_event){.key = evs[i].data.u64,
                                .eof = what & EPOLLRDHUP,
                                .gone = what & (EPOLLHUP | EPOLLERR),
                                .readable = what & EPOLLIN};
  }
  return n_out;
}

void loop_run(loop *l) { MHD_run(l->daemon); }
