// pensieve serve: everything opened, the port bound, three lines said, requests served until a signal.
#include "base/log.h"
#include "cli/api_keys.h"
#include "cli/console.h"
#include "cli/discover.h"
#include "cli/interrupt.h"
#include "cli/open_model.h"
#include "cli/verbs.h"

#include <stdio.h>
#include <string.h>

typedef struct server {
  open_model m;
  pn_metrics *metrics; // engine and API count in it: it goes last
  pn_engine *engine;
  pn_api *api;
  pn_http *http;
  api_keys keys;
  const char **aliases, **origins; // in the arena
  pn_arena arena;
} server;

// Only this machine can reach the address.
static bool is_loopback(const char *host) {
  unsigned b, c, d;
  int n = 0;
  if (strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0) return true;
  return sscanf(host, "127.%u.%u.%u%n", &b, &c, &d, &n) == 3 && host[n] == '\0' && (b | c | d) < 256;
}

static bool check_flags(const options *o, const api_keys *keys, pn_error *e) {
  const char *host = options_text(o, "host");
  if (!options_text(o, "unix") && !is_loopback(host) && keys->n == 0 && !options_on(o, "insecure-listen"))
    return pn_fail(
        e, PN_ERR_USAGE,
        "--host %s lets other machines in without an API key: give --api-key-file FILE or PENSIEVE_API_KEY, "
        "or allow it with --insecure-listen",
        host);
  if (options_bytes(o, "max-body", 0) == 0)
    return pn_fail(e, PN_ERR_USAGE, "--max-body: expected a size such as 32M, found \"%s\"",
                   options_text(o, "max-body"));
  if (!options_text(o, "tls-cert") != !options_text(o, "tls-key"))
    return pn_fail(e, PN_ERR_USAGE, "https wants both --tls-cert and --tls-key");
  return true;
}

// "a, b" to its parts, NULL behind the last; NULL when the option isn't set. Empty parts don't count.
static bool read_list(server *s, const options *o, const char *name, const char ***out, pn_error *e) {
  const char *text = options_text(o, name);
  if (!text) return true;
  char *copy = pn_arena_dup(&s->arena, pn_str_of(text)), *rest = NULL;
  const char **list = pn_arena_array(&s->arena, strlen(text) / 2 + 2, sizeof *list);
  size_t n = 0;
  if (!copy || !list) return pn_fail(e, PN_ERR_NOMEM, "out of memory for --%s", name);
  for (char *part = strtok_r(copy, ", ", &rest); part; part = strtok_r(NULL, ", ", &rest)) list[n++] = part;
  *out = list;
  return n > 0 || pn_fail(e, PN_ERR_USAGE, "--%s: expected names, found \"%s\"", name, text);
}

// scheme://host[:port], or *.
static bool check_origins(const server *s, pn_error *e) {
  for (const char **o = s->origins; o && *o; o++) {
    const char *at = strstr(*o, "://");
    if (strcmp(*o, "*") != 0 && strcmp(*o, "null") != 0 && (!at || at == *o || !at[3] || strchr(at + 3, '/')))
      return pn_fail(e, PN_ERR_USAGE,
                     "--cors-origin: expected an origin such as https://example.com:8080, or *, found "
                     "\"%s\"",
                     *o);
  }
  return true;
}

static bool read_lists(server *s, const options *o, pn_error *e) {
  return read_list(s, o, "alias", &s->aliases, e) && read_list(s, o, "cors-origin", &s->origins, e) &&
         check_origins(s, e);
}

static bool open_api(server *s, const options *o, pn_error *e) {
  s->metrics = pn_metrics_new();
  if (!s->metrics) return pn_fail(e, PN_ERR_NOMEM, "out of memory for the metrics");
  const engine_wish w = {.max_running = (int)options_int(o, "max-requests"),
                         .max_queue = (int)options_int(o, "queue"),
                         .prefill_share = (float)options_number(o, "prefill-share"),
                         .cache_idle_s = (int)options_int(o, "cache-idle"),
                         .metrics = s->metrics};
  s->engine = open_model_engine(&s->m, o, &w, e);
  if (!s->engine) return false;
  if (!s->m.chat_template)
    console_note("pensieve: %s has no chat template: it can't answer messages", s->m.path);
  const char *data_dir = discover_data_dir(o, &s->arena);
  if (!data_dir) return pn_fail(e, PN_ERR_NOMEM, "out of memory");
  pn_str template_text = {0};
  if (s->m.chat_template && !pn_template_source(s->m.files, &template_text, e)) return false;
  const pn_api_options a = {.engine = s->engine,
                            .tokenizer = s->m.tokenizer,
                            .chat_template = s->m.chat_template,
                            .template_text = template_text,
                            .template_consts = s->m.consts,
                            .dialect = options_text(o, "dialect"),
                            .model_name = s->m.name,
                            .backend_name = s->m.backend->ops->describe(s->m.backend),
                            .data_dir = *data_dir ? data_dir : NULL,
                            .aliases = s->aliases,
                            .strict_model = options_on(o, "strict-model"),
                            .requests_per_minute = (int)options_int(o, "requests-per-minute"),
                            .resend_wait_s = (int)options_int(o, "resend-wait"),
                            .request_timeout_s = (int)options_int(o, "request-timeout"),
                            .version = PN_BUILD_VERSION,
                            .weights_bytes = pn_files_bytes(s->m.files),
                            .metrics = s->metrics};
  s->api = pn_api_new(&a, e);
  return s->api != NULL;
}

static bool open_http(server *s, const options *o, pn_error *e) {
  pn_http_options h = {.host = options_text(o, "host"),
                       .port = (int)options_int(o, "port"),
                       .unix_path = options_text(o, "unix"),
                       .keys = s->keys.p,
                       .n_keys = s->keys.n,
                       .cors_origins = s->origins,
                       .tls_cert_file = options_text(o, "tls-cert"),
                       .tls_key_file = options_text(o, "tls-key"),
                       .max_body_bytes = (size_t)options_bytes(o, "max-body", 0),
                       .max_connections = (int)options_int(o, "max-connections"),
                       .drain_s = (int)options_int(o, "drain")};
  s->http = pn_http_open(s->api, &h, e);
  return s->http != NULL;
}

static void show_plan(const memory_plan *p) {
  pn_buf b = {0};
  memory_plan_write(p, &b);
  console_note("%.*s", (int)(b.n ? b.n - 1 : 0), b.p ? b.p : "");
  pn_buf_fini(&b);
}

static void announce(const server *s, const options *o) {
  const open_model *m = &s->m;
  const pn_model_config *c = pn_model_config_of(m->model);
  pn_engine_info info;
  pn_engine_info_of(s->engine, &info);
  const char *key = s->keys.n ? "<your key>" : "local-development", *path = options_text(o, "unix");
  const char *host = options_text(o, "host"), *scheme = options_text(o, "tls-cert") ? "https" : "http";
  char url[512], weights[32];
  bool v6 = strchr(host, ':') != NULL;
  snprintf(url, sizeof url, "%s://%s%s%s:%d", scheme, v6 ? "[" : "", host, v6 ? "]" : "",
           pn_http_port(s->http));
  if (path)
    console_note("listening on unix:%s", path);
  else
    console_note("listening on %s", url);
  console_note("model %s: %s, %s, %s of weights, %d tokens of context, on %s", m->name, c->family,
               c->quantization, console_bytes(pn_files_bytes(m->files), weights), info.n_ctx,
               m->backend->ops->describe(m->backend));
  if (path) {
    console_note("try: curl --unix-socket %s http://localhost/health", path);
    return;
  }
  console_note("for Claude Code: export ANTHROPIC_BASE_URL=%s ANTHROPIC_API_KEY=\"%s\"", url, key);
  console_note(
      "try: curl %s/v1/messages -H 'content-type: application/json' -H 'x-api-key: %s' -d '{\"model\":\"%s\","
      "\"max_tokens\":100,\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}]}'",
      url, key, m->name);
}

// Where nobody said how many threads: how many were chosen, and why.
static void log_threads(const server *s, const options *o) {
  cores_choice choice;
  if (options_int(o, "threads") || s->m.backend->ops->device_memory) return;
  open_model_choose_threads(&choice);
  pn_log(PN_LOG_INFO, NULL, "threads", PN_FIELDS(PN_I("threads", choice.threads), PN_S("why", choice.why)));
}

static bool print_config(const options *o, pn_error *e) {
  pn_buf b = {0};
  options_print(o, &b);
  bool ok = console_write(&b, e);
  pn_buf_fini(&b);
  return ok;
}

static void close_all(server *s) {
  pn_http_close(s->http);
  pn_api_free(s->api);
  pn_engine_close(s->engine);
  open_model_close(&s->m);
  pn_metrics_free(s->metrics);
  api_keys_fini(&s->keys);
  pn_arena_fini(&s->arena);
}

bool cli_serve(const options *o, pn_error *e) {
  if (options_on(o, "print-config")) return print_config(o, e);
  server s = {0};
  bool ok = api_keys_read(&s.keys, o, e) && read_lists(&s, o, e) && check_flags(o, &s.keys, e) &&
            open_model_read(&s.m, o, NULL, OPEN_WEIGHTS | OPEN_TOKENIZER | OPEN_TEMPLATE, e) &&
            open_api(&s, o, e) && open_http(&s, o, e);
  if (ok) {
    interrupt_catch(s.http);
    show_plan(&s.m.plan);
    announce(&s, o);
    log_threads(&s, o);
    ok = pn_http_run(s.http, e);
    interrupt_release();
  }
  close_all(&s);
  return ok;
}
