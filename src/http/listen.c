// Listening sockets: TCP by address or name, and unix sockets.
#include "http/http_int.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024

static bool set_flags(int fd) {
  return fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0;
}

static bool is_loopback(const struct sockaddr *a) {
  if (a->sa_family == AF_INET)
    return ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr) >> 24 == 127;
  return a->sa_family == AF_INET6 &&
         IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr);
}

static bool fail_bind(const char *host, int port, int error, pn_error *e) {
  const char *open = strchr(host, ':') ? "[" : "", *close = *open ? "]" : "";
  if (error == EADDRINUSE)
    return pn_fail(e, PN_ERR_DEVICE,
                   "%s%s%s:%d is in use by another program; stop that one or choose another port", open, host,
                   close, port);
  if (error == EACCES)
    return pn_fail(e, PN_ERR_DEVICE, "%s%s%s:%d may not be used by this user; choose a port above 1023", open,
                   host, close, port);
  if (error == EADDRNOTAVAIL)
    return pn_fail(e, PN_ERR_DEVICE, "%s is no address of this machine; use 127.0.0.1, ::1 or 0.0.0.0", host);
  return pn_fail(e, PN_ERR_DEVICE, "%s%s%s:%d can't be listened on: %s", open, host, close, port,
                 strerror(error));
}

// A listening socket on one address, or -1 with *error.
static int open_address(const struct addrinfo *a, int *error) {
  int fd = socket(a->ai_family, SOCK_STREAM, 0), one = 1;
  if (fd < 0) return *error = errno, -1;
  // Takes over a port whose old connections linger, never one that somebody listens on.
  if (set_flags(fd) && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
      bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
    return fd;
  *error = errno;
  close(fd);
  return -1;
}

static bool read_port(pn_http *h, int fd, pn_error *e) {
  struct sockaddr_storage a;
  socklen_t n = sizeof a;
  if (getsockname(fd, (struct sockaddr *)&a, &n) != 0)
    return pn_fail(e, PN_ERR_IO, "the listening socket's address can't be read: %s", strerror(errno));
  h->port = ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&a)->sin6_port
                                          : ((struct sockaddr_in *)&a)->sin_port);
  h->check_host = is_loopback((struct sockaddr *)&a);
  return true;
}

static int open_tcp(pn_http *h, int port, pn_error *e) {
  char service[16], name[256];
  pn_str host = pn_str_of(h->host);
  if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']') host = (pn_str){host.p + 1, host.n - 2};
  if (host.n == 0 || host.n >= sizeof name || port < 0 || port > 65535)
    return pn_fail(e, PN_ERR_USAGE,
                   "can't listen on \"%s\" port %d: expected an address and a port from 0 to 65535", h->host,
                   port),
           -1;
  memcpy(name, host.p, host.n);
  name[host.n] = 0;
  pn_buf text = {0};
  pn_buf_printf(&text, "%d", port);
  const char *digits = pn_buf_cstr(&text);
  memcpy(service, digits, strlen(digits) + 1);
  pn_buf_fini(&text);

  struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | AI_PASSIVE}, *list = NULL;
  int rc = getaddrinfo(name, service, &hints, &list);
  if (rc != 0) return pn_fail(e, PN_ERR_USAGE, "can't listen on \"%s\": %s", name, gai_strerror(rc)), -1;
  int fd = -1, error = 0;
  const int families[] = {AF_INET, AF_INET6}; // a name with both: what clients try first on most machines
  for (size_t f = 0; f < 2 && fd < 0 && error != EADDRINUSE; f++)
    for (const struct addrinfo *a = list; a && fd < 0 && error != EADDRINUSE; a = a->ai_next)
      if (a->ai_family == families[f]) fd = open_address(a, &error);
  freeaddrinfo(list);
  if (fd < 0) return fail_bind(name, port, error ? error : EAFNOSUPPORT, e), -1;
  if (!read_port(h, fd, e)) return close(fd), -1;
  return fd;
}

// Remove a socket file that nobody listens on. Anything else at the path stays.
static bool clear_stale(const struct sockaddr_un *a, pn_error *e) {
  struct stat st;
  if (lstat(a->sun_path, &st) != 0)
    return errno == ENOENT ||
           pn_fail(e, PN_ERR_DEVICE, "%s can't be used as a socket: %s", a->sun_path, strerror(errno));
  if (!S_ISSOCK(st.st_mode))
    return pn_fail(e, PN_ERR_DEVICE, "%s is not a socket; remove it or choose another path", a->sun_path);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (fd < 0) return pn_fail(e, PN_ERR_DEVICE, "no socket could be made: %s", strerror(errno));
  set_flags(fd);
  int rc = connect(fd, (const struct sockaddr *)a, sizeof *a), error = errno;
  close(fd);
  if (rc == 0 || error != ECONNREFUSED)
    return pn_fail(e, PN_ERR_DEVICE, "%s is in use by another program; stop that one or choose another path",
                   a->sun_path);
  if (unlink(a->sun_path) != 0)
    return pn_fail(e, PN_ERR_DEVICE, "the stale socket %s can't be removed: %s", a->sun_path,
                   strerror(errno));
  return true;
}

static int open_unix(pn_http *h, pn_error *e) {
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  size_t n = strlen(h->unix_path);
  if (n == 0 || n >= sizeof a.sun_path)
    return pn_fail(e, PN_ERR_USAGE, "the socket path has %zu bytes: expected 1 to %zu", n,
                   sizeof a.sun_path - 1),
           -1;
  memcpy(a.sun_path, h->unix_path, n + 1);
  if (!clear_stale(&a, e)) return -1;
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  struct stat st;
  // Only this user may connect; nobody can before listen.
  if (fd < 0 || !set_flags(fd) || bind(fd, (struct sockaddr *)&a, sizeof a) != 0 ||
      chmod(a.sun_path, 0600) != 0 || listen(fd, BACKLOG) != 0 || lstat(a.sun_path, &st) != 0) {
    pn_fail(e, PN_ERR_DEVICE, "%s can't be listened on: %s", a.sun_path, strerror(errno));
    if (fd >= 0) close(fd);
    return -1;
  }
  h->unix_dev = st.st_dev;
  h->unix_ino = st.st_ino;
  return fd;
}

int listen_open(pn_http *h, int port, pn_error *e) {
  return h->unix_path ? open_unix(h, e) : open_tcp(h, port, e);
}

void listen_unlink(pn_http *h) {
  struct stat st;
  if (h->unix_path && h->unix_ino && lstat(h->unix_path, &st) == 0 && st.st_dev == h->unix_dev &&
      st.st_ino == h->unix_ino)
    unlink(h->unix_path);
  h->unix_ino = 0;
}
