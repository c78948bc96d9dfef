// pensieve claude: Claude Code on the server of this machine, which is started when none runs.
#include "base/clock.h"
#include "cli/api_keys.h"
#include "cli/claude_env.h"
#include "cli/console.h"
#include "cli/relay.h"
#include "cli/server_child.h"
#include "cli/verbs.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

#define LOOK_MS 5000 // a server answers /health at once, whatever it does
#define ENDING_LOOKS 5
#define ENDING_WAIT_US 200000
#define DRAIN_US 120000000  // how long a server that ends is waited for
#define SMALL_CONTEXT 16384 // Claude Code's own prompt has 12,000 to 24,000 tokens, with --bare 1,000

typedef struct session {
  const options *o;
  const char *host, *key;
  int port;
  char url[300];
  char *program;
  server_share share;
  server_state server;
  bool started; // by us
  api_keys keys;
  pn_arena arena;
} session;

static bool check_flags(const options *o, pn_error *e) {
  static const char *const refused[] = {"unix", "tls-cert", "tls-key"};
  char origin[128];
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    if (!options_set(o, refused[i])) continue;
    options_origin(o, refused[i], origin);
    return pn_fail(e, PN_ERR_USAGE, "%s: `claude` gives Claude Code a plain http address; leave it out",
                   origin);
  }
  return true;
}

static bool find_program(session *s, pn_error *e) {
  const char *name = options_text(s->o, "claude");
  s->program = claude_find(name, getenv("PATH"), &s->arena);
  if (s->program) return true;
  // PN_ERR_NOT_FOUND is for models.
  return pn_fail(e, PN_ERR_IO,
                 "there is no program %s%s; npm install -g @anthropic-ai/claude-code installs Claude Code, "
                 "and --claude PATH "
                 "says where it is",
                 name, strchr(name, '/') ? "" : " in PATH");
}

// What runs at the address, once nothing is ending there.
static bool look(session *s, found_server *found, pn_error *e) {
  uint64_t until_us = pn_now_us() + DRAIN_US;
  for (bool noted = false;;) {
    if (!server_look(s->host, s->port, LOOK_MS, found, &s->server, e)) return false;
    if (*found != SERVER_OURS || strcmp(s->server.status, "draining") != 0) return true;
    if (relay_count()) return pn_fail(e, PN_ERR_CANCELLED, "stopped while a server was ending");
    if (pn_now_us() > until_us)
      return pn_fail(e, PN_ERR_BUSY, "the server on %s is ending, and still does after two minutes", s->url);
    if (!noted) console_note("the server on %s is ending; waiting for that", s->url);
    noted = true;
    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
  }
}

// Flags that a server which runs already has no use for.
static void note_flags_unused(const session *s) {
  static const char *const used[] = {"host",   "port",      "claude",    "api-key-file",
                                     "config", "log-level", "log-format"};
  for (int i = 0; i < s->o->n_values; i++) {
    const option_value *v = &s->o->values[i];
    bool ours = v->source != FROM_FLAG;
    for (size_t k = 0; k < sizeof used / sizeof *used; k++) ours |= strcmp(v->spec->name, used[k]) == 0;
    if (ours) continue;
    console_note("a server runs on %s with the model %s: --%s has no effect", s->url, s->server.model,
                 v->spec->name);
  }
}

static bool check_running(const session *s, pn_error *e) {
  if (strcmp(s->server.status, "ok") != 0)
    return pn_fail(e, PN_ERR_BUSY, "the server on %s says that it is %s; start it again", s->url,
                   s->server.status);
  note_flags_unused(s);
  int status;
  pn_buf body = {0};
  bool there = http_get(s->host, s->port, "/v1/models", s->key, LOOK_MS, &status, &body, e);
  pn_buf_fini(&body);
  if (there && status == 401)
    return pn_fail(e, PN_ERR_USAGE,
                   "the server on %s asks for an API key%s: give PENSIEVE_API_KEY or --api-key-file", s->url,
                   s->key ? ", and it is another one" : "");
  return true;
}

// Find the server or start it, and be one of its users.
static bool enter(session *s, pn_error *e) {
  found_server found;
  if (!share_enter(&s->share, e)) return false;
  bool ok = look(s, &found, e);
  // One that is just ending takes a connection and says nothing any more.
  for (int i = 0; i < ENDING_LOOKS && ok && found == SERVER_OTHER; i++) {
    usleep(ENDING_WAIT_US);
    ok = look(s, &found, e);
  }
  if (ok && found == SERVER_OTHER)
    ok = pn_fail(
        e, PN_ERR_DEVICE,
        "what listens on %s is not a Pensieve server, or one that speaks https; choose another --port",
        s->url);
  else if (ok && found == SERVER_OURS)
    ok = check_running(s, e);
  else if (ok)
    ok = s->started = server_start(&s->share, s->o, &s->server, s->o->status, e);
  if (ok && !share_join(&s->share, e)) {
    if (s->started) server_end(&s->share);
    ok = false;
  }
  share_leave(&s->share);
  if (ok && s->started)
    console_note("started a server on %s: %s, %d tokens of context; its log is %s", s->url, s->server.model,
                 s->server.n_ctx, s->share.log_path);
  return ok;
}

// The last one ends a server that one of us started.
static void leave(session *s) {
  if (s->share.sessions_fd < 0 || !share_enter(&s->share, NULL)) return;
  if (s->started && !share_server(&s->share)) // while we used it, nobody ended it as the last one
    console_note("the server on %s ended before Claude Code did; its log is %s", s->url, s->share.log_path);
  if (share_part(&s->share))
    server_end(&s->share);
  else if (s->started && share_server(&s->share))
    console_note("the server on %s goes on: it ends with the last `pensieve claude` that uses it", s->url);
  share_leave(&s->share);
}

static bool run(session *s, pn_error *e) {
  if (relay_count()) return pn_fail(e, PN_ERR_CANCELLED, "stopped before Claude Code was started");
  const claude_facts facts = {
      .url = s->url, .key = s->key, .model = s->server.model, .n_ctx = s->server.n_ctx};
  char **env = claude_env(environ, &facts, &s->arena);
  char **argv = pn_arena_array(&s->arena, (size_t)s->o->n_args + 2, sizeof *argv);
  if (!env || !argv) return pn_fail(e, PN_ERR_NOMEM, "out of memory to start Claude Code");
  bool bare = false;
  argv[0] = s->program;
  for (int i = 0; i < s->o->n_args; i++) {
    argv[i + 1] = (char *)(uintptr_t)s->o->args[i]; // from main's argv
    bare |= strcmp(argv[i + 1], "--bare") == 0;
  }
  if (s->server.n_ctx < SMALL_CONTEXT && !bare)
    console_note(
        "%d tokens of context are too few for Claude Code's own prompt; serve with a larger --ctx, or use it "
        "with -- --bare",
        s->server.n_ctx);
  return relay_run(s->program, argv, env, s->o->status, e);
}

bool cli_claude(const options *o, pn_error *e) {
  session s = {.o = o,
               .host = options_text(o, "host"),
               .port = (int)options_int(o, "port"),
               .share = {.start_fd = -1, .sessions_fd = -1}};
  server_url(s.host, s.port, s.url);
  relay_begin();
  bool ok = check_flags(o, e) && find_program(&s, e) && api_keys_read(&s.keys, o, e) &&
            share_open(&s.share, s.host, s.port, e);
  if (ok && s.keys.n) s.key = s.keys.p[0].key;
  ok = ok && enter(&s, e) && run(&s, e);
  leave(&s);
  relay_end();
  share_close(&s.share);
  api_keys_fini(&s.keys);
  pn_arena_fini(&s.arena);
  if (!ok && *o->status) { // the server's
    console_error(e);
    return true;
  }
  return ok;
}
