// Linux: the daemon's epoll descriptor nested in ours. Closes are edge-triggered EPOLLRDHUP on the connection
// itself, because the daemon does not look at connections that it has suspended.
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
  bool daemon_ready; // its epoll set had something at the last wait
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
  // Edge-triggered, so that the count needs no reading: every write is an edge, and it never comes near its
  // limit.
  if (l->epoll_fd < 0 || l->wake_fd < 0 || !watch(l, l->wake_fd, EPOLLIN | EPOLLET, KEY_WAKE)) {
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

// Milliseconds until the daemon wants to run by itself; 0: now.
static uint64_t daemon_due_ms(loop *l) {
  MHD_UNSIGNED_LONG_LONG ms;
  return MHD_get_timeout(l->daemon, &ms) == MHD_YES ? ms : UINT64_MAX;
}

static int timeout_ms(loop *l, uint64_t until_us) {
  uint64_t ms = daemon_due_ms(l), own_ms = UINT64_MAX;
  if (until_us == 0) return 0;
  if (until_us != UINT64_MAX) {
    uint64_t now = pn_now_us();
    own_ms = until_us > now ? (until_us - now + 999) / 1000 : 0;
  }
  if (own_ms < ms) ms = own_ms;
  return ms == UINT64_MAX ? -1 : ms > 60000 ? 60000 : (int)ms;
}

int loop_wait(loop *l, uint64_t until_us, loop_event *out) {
  struct epoll_event evs[LOOP_EVENTS];
  int n = epoll_wait(l->epoll_fd, evs, LOOP_EVENTS, timeout_ms(l, until_us)), n_out = 0;
  for (int i = 0; i < n; i++) {
    uint32_t what = evs[i].events;
    if (evs[i].data.u64 == KEY_DAEMON) l->daemon_ready = true;
    if (evs[i].data.u64 == KEY_DAEMON || evs[i].data.u64 == KEY_WAKE) continue;
    out[n_out++] = (loop_event){.key = evs[i].data.u64,
                                .eof = what & EPOLLRDHUP,
                                .gone = what & (EPOLLHUP | EPOLLERR),
                                .readable = what & EPOLLIN};
  }
  return n_out;
}

void loop_run(loop *l, bool always) {
  if (!always && !l->daemon_ready && daemon_due_ms(l) > 0) return;
  l->daemon_ready = false;
  MHD_run(l->daemon);
}
