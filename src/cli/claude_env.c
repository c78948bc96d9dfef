#include "cli/claude_env.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct variables {
  char **p;
  size_t n;
  pn_arena *a;
  bool oom;
} variables;

// Where a credential or a model name of the cloud, or the address of another provider, would win over ours.
static const char *const left_out[] = {"ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_SMALL_FAST_MODEL",
                                       "CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX",
                                       "CLAUDE_CODE_USE_FOUNDRY"};

static bool is_var(const char *entry, const char *name) {
  size_t n = strlen(name);
  return strncmp(entry, name, n) == 0 && entry[n] == '=';
}

const char *claude_env_get(char *const *env, const char *name) {
  for (; *env; env++)
    if (is_var(*env, name)) return *env + strlen(name) + 1;
  return NULL;
}

static void drop(variables *v, const char *name) {
  size_t kept = 0;
  for (size_t i = 0; i < v->n; i++)
    if (!is_var(v->p[i], name)) v->p[kept++] = v->p[i];
  v->n = kept;
  v->p[kept] = NULL;
}

static void put(variables *v, const char *name, const char *value) {
  drop(v, name);
  size_t n = strlen(name) + strlen(value) + 2;
  char *entry = pn_arena_alloc(v->a, n);
  if (!entry) {
    v->oom = true;
    return;
  }
  snprintf(entry, n, "%s=%s", name, value);
  v->p[v->n++] = entry;
  v->p[v->n] = NULL;
}

// The user's own value stays; an empty one is none.
static void offer(variables *v, const char *name, const char *value) {
  const char *own = claude_env_get(v->p, name);
  if (!own || !*own) put(v, name, value);
}

static void offer_int(variables *v, const char *name, int value) {
  char text[16];
  snprintf(text, sizeof text, "%d", value);
  offer(v, name, text);
}

static bool has_proxy(char *const *env) {
  static const char *const names[] = {"HTTP_PROXY",  "http_proxy", "HTTPS_PROXY",
                                      "https_proxy", "ALL_PROXY",  "all_proxy"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const char *value = claude_env_get(env, names[i]);
    if (value && *value) return true;
  }
  return false;
}

// Behind a proxy, the server's host is reached without it.
static void except_host(variables *v, const char *url) {
  if (!has_proxy(v->p)) return;
  const char *host = url + strlen("http://"), *end = strrchr(host, ':');
  if (*host == '[') host++, end--;
  const char *own = claude_env_get(v->p, "no_proxy");
  if (!own || !*own) own = claude_env_get(v->p, "NO_PROXY");
  if (!own) own = "";
  size_t n = strlen(own) + strlen(host) + 2;
  char *list = pn_arena_alloc(v->a, n);
  if (!list) {
    v->oom = true;
    return;
  }
  snprintf(list, n, "%s%s%.*s", own, *own ? "," : "", (int)(end - host), host);
  put(v, "NO_PROXY", list);
  put(v, "no_proxy", list);
}

int claude_max_output(int n_ctx) {
  int n = n_ctx / 8; // an eighth leaves room for Claude Code's own prompt in a small context
  return n > 32000 ? 32000 : n < 1 ? 1 : n;
}

char **claude_env(char *const *from, const claude_facts *f, pn_arena *a) {
  static const char *const models[] = {"ANTHROPIC_MODEL", "ANTHROPIC_DEFAULT_HAIKU_MODEL",
                                       "ANTHROPIC_DEFAULT_SONNET_MODEL", "ANTHROPIC_DEFAULT_OPUS_MODEL"};
  size_t n = 0;
  while (from[n]) n++;
  variables v = {.p = pn_arena_array(a, n + 32, sizeof(char *)), .n = n, .a = a};
  if (!v.p) return NULL;
  memcpy(v.p, from, n * sizeof *from);
  for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++) drop(&v, left_out[i]);
  put(&v, "ANTHROPIC_BASE_URL", f->url);
  put(&v, "ANTHROPIC_API_KEY", f->key ? f->key : "local-development");
  for (size_t i = 0; i < sizeof models / sizeof *models; i++) put(&v, models[i], f->model);
  offer(&v, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1");
  offer(&v, "CLAUDE_CODE_ATTRIBUTION_HEADER", "0");
  offer(&v, "CLAUDE_STREAM_IDLE_TIMEOUT_MS", "1800000");
  offer(&v, "API_TIMEOUT_MS", "3600000");
  // Without these an unknown model is taken for one with a million tokens of context.
  offer_int(&v, "CLAUDE_CODE_MAX_CONTEXT_TOKENS", f->n_ctx);
  offer_int(&v, "CLAUDE_CODE_MAX_OUTPUT_TOKENS", claude_max_output(f->n_ctx));
  except_host(&v, f->url);
  return v.oom ? NULL : v.p;
}

static bool may_run(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

char *claude_find(const char *name, const char *path, pn_arena *a) {
  if (strchr(name, '/')) return may_run(name) ? pn_arena_dup(a, (pn_str){name, strlen(name)}) : NULL;
  for (const char *at = path; *name && at && *at; at += *at == ':') {
    size_t n = strcspn(at, ":"), cap = n + strlen(name) + 3;
    char *file = pn_arena_alloc(a, cap);
    if (!file) return NULL;
    snprintf(file, cap, "%.*s/%s", n ? (int)n : 1, n ? at : ".", name);
    if (may_run(file)) return file;
    at += n;
  }
  return NULL;
}
