#include "cli/interrupt.h"

#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

// A signal handler has no argument to carry these.
static atomic_int count;
static _Atomic(pn_http *) the_server;

static void on_signal(int number) {
  int before = atomic_fetch_add(&count, 1);
  pn_http *server = atomic_load(&the_server);
  if (server) {
    pn_http_stop(server);
  } else if (before > 0) {
    signal(number, SIG_DFL);
    raise(number);
  }
}

static void install(void (*handler)(int)) {
  // No SA_RESTART: reading a line ends with EINTR.
  struct sigaction a = {.sa_handler = handler};
  sigemptyset(&a.sa_mask);
  sigaction(SIGINT, &a, NULL);
  sigaction(SIGTERM, &a, NULL);
}

void interrupt_catch(pn_http *server) {
  atomic_store(&the_server, server);
  atomic_store(&count, 0);
  install(on_signal);
}

void interrupt_release(void) {
  install(SIG_DFL);
  atomic_store(&the_server, NULL);
}

int interrupt_count(void) { return atomic_load(&count); }
