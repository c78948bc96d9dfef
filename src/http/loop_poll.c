// poll(2), for systems without epoll. The daemon tells through fd_sets what it waits for; they are translated
// to poll and back, so the wait itself has no limit of its own, but a descriptor of FD_SETSIZE or more can't
// be served (the daemon refuses such connections). A close is seen as end-of-file behind a peek on
// connections that the daemon doesn't read at the moment; unread bytes in front of it (a pipelined request)
// hide it until they are read.
#include "base/clock.h"
#include "http/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

enum watch_kind { WATCH_CLOSE, WATCH_READ };

typedef struct watch {
  int fd;
  enum watch_kind kind;
  uint64_t key;
  bool eof_told, gone_told;
  bool hidden; // bytes lie before the end: asking for input would return at once
} watch;

struct loop {
  int wake_read, wake_write, listen_fd;
  struct MHD_Daemon *daemon;
  watch *watches;
  size_t n, cap;        // watches
  size_t n_max;         // connections; asked for one more the daemon would accept and drop it
  struct pollfd *polls; // cap + 2: wake-up, listening socket, then one a watch
  fd_set readable, writable, failed;
};

const unsigned loop_daemon_flags = 0;
const int loop_max_connections = FD_SETSIZE - 64;

static bool make_pipe(loop *l) {
  int fds[2];
  if (pipe(fds) != 0) return false;
  l->wake_read = fds[0];
  l->wake_write = fds[1];
  for (int i = 0; i < 2; i++)
    if (fcntl(fds[i], F_SETFL, O_NONBLOCK) < 0 || fcntl(fds[i], F_SETFD, FD_CLOEXEC) < 0) return false;
  return true;
}

static bool grow(loop *l) {
  size_t cap = l->cap ? l->cap * 2 : 64;
  watch *w = realloc(l->watches, cap * sizeof *w);
  if (!w) return false;
  l->watches = w;
  struct pollfd *p = realloc(l->polls, (cap + 2) * sizeof *p);
  if (!p) return false;
  l->polls = p;
  l->cap = cap;
  return true;
}

loop *loop_open(pn_error *e) {
  loop *l = calloc(1, sizeof *l);
  if (!l) return pn_fail(e, PN_ERR_NOMEM, "out of memory for the server's loop"), NULL;
  l->wake_read = l->wake_write = l->listen_fd = -1;
  if (!make_pipe(l) || !grow(l)) {
    pn_fail(e, PN_ERR_IO, "the server's loop can't be made: %s", strerror(errno));
    loop_close(l);
    return NULL;
  }
  return l;
}

void loop_close(loop *l) {
  if (!l) return;
  if (l->wake_read >= 0) close(l->wake_read);
  if (l->wake_write >= 0) close(l->wake_write);
  free(l->watches);
  free(l->polls);
  free(l);
}

bool loop_attach(loop *l, struct MHD_Daemon *d, int listen_fd, size_t n_max, pn_error *e) {
  (void)e;
  l->daemon = d;
  l->n_max = n_max;
  l->listen_fd = listen_fd;
  return true;
}

void loop_no_listen(loop *l) { l->listen_fd = -1; }

static bool add(loop *l, int fd, enum watch_kind kind, uint64_t key) {
  if (l->n == l->cap && !grow(l)) return false;
  l->watches[l->n++] = (watch){.fd = fd, .kind = kind, .key = key};
  return true;
}

bool loop_watch_close(loop *l, int fd, uint64_t key) { return add(l, fd, WATCH_CLOSE, key); }
bool loop_watch_read(loop *l, int fd, uint64_t key) { return add(l, fd, WATCH_READ, key); }

void loop_forget(loop *l, int fd) {
  if (fd >= 0 && fd < FD_SETSIZE) {
    FD_CLR(fd, &l->readable); // a new connection may get the same number before loop_run
    FD_CLR(fd, &l->writable);
    FD_CLR(fd, &l->failed);
  }
  for (size_t i = 0; i < l->n; i++)
    if (l->watches[i].fd == fd) {
      l->watches[i] = l->watches[--l->n];
      return;
    }
}

void loop_wake(loop *l) {
  int saved = errno; // a signal handler may be running
  ssize_t n = write(l->wake_write, "", 1);
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

// What the daemon wants of fd, as poll events.
static short wanted(loop *l, int fd) {
  if (fd < 0 || fd >= FD_SETSIZE) return 0;
  int events = (FD_ISSET(fd, &l->readable) ? POLLIN : 0) | (FD_ISSET(fd, &l->writable) ? POLLOUT : 0);
  return (short)events;
}

static void prepare(loop *l) {
  FD_ZERO(&l->readable);
  FD_ZERO(&l->writable);
  FD_ZERO(&l->failed);
  MHD_socket max = -1;
  MHD_get_fdset2(l->daemon, &l->readable, &l->writable, &l->failed, &max, FD_SETSIZE);
  size_t n_conns = 0;
  for (size_t i = 0; i < l->n; i++) n_conns += l->watches[i].kind == WATCH_CLOSE;
  if (n_conns >= l->n_max && l->listen_fd >= 0 && l->listen_fd < FD_SETSIZE)
    FD_CLR(l->listen_fd, &l->readable);
  l->polls[0] = (struct pollfd){.fd = l->wake_read, .events = POLLIN};
  l->polls[1] = (struct pollfd){.fd = l->listen_fd, .events = wanted(l, l->listen_fd)};
  for (size_t i = 0; i < l->n; i++) {
    watch *w = &l->watches[i];
    short events = wanted(l, w->fd);
    if (events & POLLIN)
      w->hidden = false; // the daemon is about to read what hides the end
    else if (w->kind == WATCH_READ || (!w->eof_told && !w->hidden))
      events |= POLLIN;
    bool silent = w->gone_told && !events;
    l->polls[i + 2] = (struct pollfd){.fd = silent ? -1 : w->fd, .events = events};
  }
}

// Whether the connection is dead in both directions. POLLHUP alone also means a half-close on some systems.
static bool is_gone(int fd, short revents) {
  if (revents & (POLLERR | POLLNVAL)) return true;
#ifdef __linux__
  (void)fd;
  return revents & POLLHUP;
#else
  int error = 0;
  socklen_t n = sizeof error;
  return (revents & POLLHUP) && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) == 0 && error != 0;
#endif
}

// Fill *ev when something is to be told about w.
static bool examine(loop *l, watch *w, short revents, loop_event *ev) {
  *ev = (loop_event){.key = w->key};
  if (w->kind == WATCH_READ) return ev->readable = revents != 0;
  if (!w->gone_told && is_gone(w->fd, revents)) return ev->gone = w->gone_told = true;
  if (w->eof_told || !(revents & (POLLIN | POLLHUP))) return false;
  if (w->fd < FD_SETSIZE && FD_ISSET(w->fd, &l->readable)) return false; // the daemon reads the end itself
  if (revents & POLLHUP) return ev->eof = w->eof_told = true; // told behind unread bytes too, where it comes
  char byte;
  ssize_t n = recv(w->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (n > 0) return w->hidden = true, false;
  if (n == 0) return ev->eof = w->eof_told = true;
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return false;
  return ev->gone = w->gone_told = true;
}

static void to_set(int fd, const struct pollfd *p, fd_set *set, short events) {
  if (fd >= 0 && fd < FD_SETSIZE && FD_ISSET(fd, set) && !(p->revents & events)) FD_CLR(fd, set);
}

int loop_wait(loop *l, uint64_t until_us, loop_event *out) {
  prepare(l);
  int n_out = 0;
  if (poll(l->polls, (nfds_t)(l->n + 2), timeout_ms(l, until_us)) < 0)
    for (size_t i = 0; i < l->n + 2; i++) l->polls[i].revents = 0;
  char sink[64];
  if (l->polls[0].revents)
    while (read(l->wake_read, sink, sizeof sink) == (ssize_t)sizeof sink) continue;
  for (size_t i = 0; i < l->n && n_out < LOOP_EVENTS; i++)
    if (l->polls[i + 2].revents && examine(l, &l->watches[i], l->polls[i + 2].revents, &out[n_out])) n_out++;
  for (size_t i = 0; i < l->n + 1; i++) {
    int fd = i ? l->watches[i - 1].fd : l->listen_fd;
    to_set(fd, &l->polls[i + 1], &l->readable, POLLIN | POLLHUP | POLLERR);
    to_set(fd, &l->polls[i + 1], &l->writable, POLLOUT | POLLHUP | POLLERR);
    to_set(fd, &l->polls[i + 1], &l->failed, POLLERR | POLLNVAL);
  }
  return n_out;
}

void loop_run(loop *l, bool always) {
  (void)always; // it was asked for its descriptors and wants to hear of them
  MHD_run_from_select(l->daemon, &l->readable, &l->writable, &l->failed);
}
