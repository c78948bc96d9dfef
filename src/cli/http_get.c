#include "cli/http_get.h"

#include "base/clock.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_ANSWER 65536

// Milliseconds until then, at least 0.
static int left_ms(uint64_t until_us) {
  uint64_t now = pn_now_us();
  return now >= until_us ? 0 : (int)((until_us - now + 999) / 1000);
}

static bool wait_for(int fd, short events, uint64_t until_us) {
  struct pollfd p = {.fd = fd, .events = events};
  int n;
  do n = poll(&p, 1, left_ms(until_us));
  while (n < 0 && errno == EINTR);
  return n > 0;
}

// A free port that this machine gave to our own end of the connection: then we have reached ourselves.
static bool is_self(int fd) {
  struct sockaddr_storage a = {0}, b = {0};
  socklen_t na = sizeof a, nb = sizeof b;
  return getsockname(fd, (struct sockaddr *)&a, &na) == 0 &&
         getpeername(fd, (struct sockaddr *)&b, &nb) == 0 && na == nb && memcmp(&a, &b, na) == 0;
}

// A connected socket, or -1.
static int connect_to(const struct addrinfo *a, uint64_t until_us) {
  int fd = socket(a->ai_family, SOCK_STREAM, 0), error = 0;
  socklen_t n = sizeof error;
  if (fd < 0) return -1;
  if (fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0 &&
      (connect(fd, a->ai_addr, a->ai_addrlen) == 0 ||
       (errno == EINPROGRESS && wait_for(fd, POLLOUT, until_us) &&
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) == 0 && error == 0)) &&
      !is_self(fd))
    return fd;
  close(fd);
  return -1;
}

static bool send_all(int fd, pn_str text, uint64_t until_us) {
  while (text.n) {
    if (!wait_for(fd, POLLOUT, until_us)) return false;
    ssize_t n = send(fd, text.p, text.n, 0);
    if (n < 0 && errno != EINTR && errno != EAGAIN) return false;
    if (n > 0) text = (pn_str){text.p + n, text.n - (size_t)n};
  }
  return true;
}

// Until the other side closes.
static bool receive_all(int fd, pn_buf *out, uint64_t until_us) {
  char chunk[4096];
  while (out->n < MAX_ANSWER) {
    if (!wait_for(fd, POLLIN, until_us)) return false;
    ssize_t n = recv(fd, chunk, sizeof chunk, 0);
    if (n == 0) return true;
    if (n < 0 && errno != EINTR && errno != EAGAIN) return false;
    if (n > 0) pn_buf_add(out, chunk, (size_t)n);
  }
  return true;
}

int http_get_parse(pn_str answer, pn_str *body) {
  *body = (pn_str){0};
  size_t end = pn_str_find(answer, PN_STR("\r\n\r\n"), 0);
  const char *p = answer.p;
  if (end == SIZE_MAX || end < 12 || memcmp(p, "HTTP/1.", 7) != 0 || p[8] != ' ') return 0;
  int status = 0;
  for (int i = 9; i < 12; i++) {
    if (p[i] < '0' || p[i] > '9') return 0;
    status = status * 10 + (p[i] - '0');
  }
  *body = (pn_str){p + end + 4, answer.n - end - 4};
  return status;
}

// "[::1]" to "::1".
static bool bare_host(const char *host, char out[256]) {
  size_t n = strlen(host);
  bool brackets = n > 2 && host[0] == '[' && host[n - 1] == ']';
  if (brackets) host++, n -= 2;
  if (n == 0 || n > 255) return false;
  memcpy(out, host, n);
  out[n] = '\0';
  return true;
}

void server_url(const char *host, int port, char out[300]) {
  char name[256];
  if (!bare_host(host, name)) name[0] = '\0';
  const char *reached = strcmp(name, "0.0.0.0") == 0 ? "127.0.0.1" : strcmp(name, "::") == 0 ? "::1" : name;
  bool v6 = strchr(reached, ':') != NULL;
  snprintf(out, 300, "http://%s%s%s:%d", v6 ? "[" : "", reached, v6 ? "]" : "", port);
}

static int connect_host(const char *host, int port, uint64_t until_us, pn_error *e) {
  char name[256], service[16];
  snprintf(service, sizeof service, "%d", port);
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *list = NULL;
  int rc = bare_host(host, name) ? getaddrinfo(name, service, &hints, &list) : EAI_NONAME;
  if (rc != 0) return pn_fail(e, PN_ERR_USAGE, "--host %s: %s", host, gai_strerror(rc)), -2;
  int fd = -1;
  const int families[] = {AF_INET, AF_INET6}; // in the order in which `serve` tries them
  for (size_t f = 0; f < 2 && fd < 0; f++)
    for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next)
      if (a->ai_family == families[f]) fd = connect_to(a, until_us);
  freeaddrinfo(list);
  return fd;
}

bool http_get(const char *host, int port, const char *path, const char *key, int timeout_ms, int *status,
              pn_buf *body, pn_error *e) {
  char url[300];
  uint64_t until_us = pn_now_us() + (uint64_t)timeout_ms * 1000;
  *status = 0;
  int fd = connect_host(host, port, until_us, e);
  if (fd < 0) return false;
  pn_buf ask = {0}, answer = {0};
  server_url(host, port, url);
  pn_buf_printf(&ask, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", path, url + strlen("http://"));
  if (key) pn_buf_printf(&ask, "x-api-key: %s\r\n", key);
  pn_buf_z(&ask, "\r\n");
  if (!ask.oom && send_all(fd, pn_buf_view(&ask), until_us) && receive_all(fd, &answer, until_us)) {
    pn_str found;
    *status = http_get_parse(pn_buf_view(&answer), &found);
    pn_buf_str(body, found);
  }
  close(fd);
  pn_buf_fini(&ask);
  pn_buf_fini(&answer);
  return true;
}

bool server_state_read(pn_str body, server_state *out) {
  pn_json *v = pn_json_parse(body, NULL);
  const pn_json *status = pn_json_get(v, "status"), *model = pn_json_get(v, "model"),
                *context = pn_json_get(v, "context");
  bool ours = pn_json_is(status, PN_JSON_STRING) && pn_json_is(model, PN_JSON_STRING) &&
              pn_json_is(pn_json_get(v, "backend"), PN_JSON_STRING) && pn_json_is(context, PN_JSON_INT) &&
              pn_json_int(context) >= 0 && pn_json_int(context) <= INT32_MAX;
  if (ours) {
    *out = (server_state){.n_ctx = (int)pn_json_int(context)};
    snprintf(out->status, sizeof out->status, "%s", pn_json_cstr(status));
    snprintf(out->model, sizeof out->model, "%s", *pn_json_cstr(model) ? pn_json_cstr(model) : "local");
  }
  pn_json_free(v);
  return ours;
}

bool server_look(const char *host, int port, int timeout_ms, found_server *found, server_state *out,
                 pn_error *e) {
  pn_error why = {0};
  pn_buf body = {0};
  int status;
  *found = SERVER_NONE;
  if (http_get(host, port, "/health", NULL, timeout_ms, &status, &body, &why))
    *found = server_state_read(pn_buf_view(&body), out) ? SERVER_OURS : SERVER_OTHER;
  pn_buf_fini(&body);
  if (!why.msg[0]) return true;
  if (e) *e = why;
  return false;
}
