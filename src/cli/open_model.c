#include "cli/open_model.h"

#include "base/clock.h"
#include "base/log.h"
#include "cli/console.h"
#include "cli/discover.h"
#include "cli/machine.h"
#include "kv/kv.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define MOST_THREADS 256 // that a backend takes

static void set_name(open_model *m) {
  pn_str path = pn_str_of(m->path);
  while (path.n > 1 && path.p[path.n - 1] == '/') path.n--;
  size_t at = path.n;
  while (at > 0 && path.p[at - 1] != '/') at--;
  pn_str name = {path.p + at, path.n - at};
  if (name.n > 5 && pn_str_ends(name, PN_STR(".gguf"))) name.n -= 5;
  snprintf(m->name, sizeof m->name, "%.*s", (int)name.n, name.p);
}

static bool open_template(open_model *m, pn_error *e) {
  pn_str source;
  if (!pn_template_source(m->files, &source, e)) return false;
  if (source.p) m->chat_template = pn_template_open(source, e);
  if (source.p && !m->chat_template) return pn_fail_in(e, "chat template of %s", m->path);
  return true;
}

void open_model_choose_threads(cores_choice *out) {
  cores_machine here;
  cores_here(&here);
  cores_choose(&here, MOST_THREADS, out);
}

int open_model_threads(const options *o) {
  const int set = (int)options_int(o, "threads");
  cores_choice choice;
  if (set) return set;
  open_model_choose_threads(&choice);
  return choice.threads;
}

void open_model_modules(const options *o, char *out, size_t cap) {
  const char *own = options_text(o, "backends");
  char exe[PATH_MAX];
  out[0] = '\0';
  if (!machine_own_path(exe, sizeof exe)) exe[0] = '\0';
  char *slash = strrchr(exe, '/');
  int n = slash ? (int)(slash - exe) : 0;
  int all =
      snprintf(out, cap, "%s%s%.*s:%.*s/../lib/pensieve", own ? own : "", own ? ":" : "", n, exe, n, exe);
  if (all < 0 || (size_t)all >= cap || !slash) snprintf(out, cap, "%s", own ? own : "");
}

static bool open_backend(open_model *m, const options *o, pn_error *e) {
  char threads[16], folders[3 * PATH_MAX];
  snprintf(threads, sizeof threads, "%d", open_model_threads(o));
  open_model_modules(o, folders, sizeof folders);
  pn_backend_options b = {.name = options_text(o, "backend"), .folders = folders};
  int n = 0;
  b.settings[n++] = (pn_setting){"threads", threads, true};
  static const char *const others[] = {"isa", "activations"};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    if (options_text(o, others[i]))
      b.settings[n++] = (pn_setting){others[i], options_text(o, others[i]), !options_flagged(o, others[i])};
  m->backend = pn_backend_open(&b, e);
  return m->backend != NULL;
}

static bool open_weights(open_model *m, const options *o, pn_error *e) {
  const char *kv = options_text(o, "kv");
  if (!kv) kv = strcmp(m->backend->ops->name, "ref") == 0 ? "f32" : "f16";
  if (!pn_kv_type_of(kv, &m->kv_type)) return pn_fail(e, PN_ERR_USAGE, "--kv: unknown type %s", kv);
  const memory_limit limit = memory_limit_of(o, m->backend);
  if (!memory_plan_weights(m->path, pn_files_bytes(m->files), &limit, e)) return false;
  pn_files_prefetch(m->files);
  m->model = pn_model_open(m->files, m->backend, e);
  return m->model != NULL;
}

bool open_model_read(open_model *m, const options *o, const char *named, unsigned parts, pn_error *e) {
  m->start_us = pn_now_us();
  if (parts & OPEN_WEIGHTS && !open_backend(m, o, e)) return false; // first: a wrong name needs no model
  if (!discover_model(o, named, m->path, sizeof m->path, e)) return false;
  set_name(m);
  console_progress("opening %s", m->path);
  bool ok = (m->files = pn_files_open(m->path, e)) != NULL;
  if (ok && parts & OPEN_WEIGHTS) ok = open_weights(m, o, e);
  if (ok && parts & OPEN_TOKENIZER) ok = (m->tokenizer = pn_tokenizer_open(m->files, e)) != NULL;
  if (ok && parts & OPEN_TEMPLATE) ok = open_template(m, e);
  if (ok && m->tokenizer) m->consts = open_model_consts(m->files, m->tokenizer);
  console_progress("%s", "");
  return ok;
}

void open_model_close(open_model *m) {
  weight_home_close(&m->home);
  pn_model_close(m->model);
  if (m->backend) pn_backend_close(m->backend);
  pn_template_close(m->chat_template);
  pn_tokenizer_close(m->tokenizer);
  pn_files_close(m->files);
  *m = (open_model){0};
}

// "unk_token": "<unk>" or {"content": "<unk>", ...} of tokenizer_config.json, or the token that a GGUF key
// numbers.
static pn_str special(pn_files *files, const pn_tokenizer *t, const char *json_key, const char *gguf_key) {
  const pn_gguf *g = pn_files_gguf(files);
  if (g) {
    const pn_gguf_value *v = pn_gguf_get(g, gguf_key);
    int64_t id;
    if (v && pn_gguf_int(v, 0, &id) && id >= 0 && id < pn_tokenizer_n_vocab(t))
      return pn_tokenizer_spelling(t, (int32_t)id);
    return (pn_str){0};
  }
  const pn_json *config = NULL;
  if (!pn_files_json(files, "tokenizer_config.json", &config, NULL)) return (pn_str){0};
  const pn_json *v = pn_json_get(config, json_key);
  return pn_json_str(pn_json_is(v, PN_JSON_OBJECT) ? pn_json_get(v, "content") : v);
}

pn_template_consts open_model_consts(pn_files *files, const pn_tokenizer *t) {
  int32_t bos = pn_tokenizer_bos(t), eos = pn_tokenizer_eos(t);
  return (pn_template_consts){
      .bos_token = bos >= 0 ? pn_tokenizer_spelling(t, bos) : (pn_str){0},
      .eos_token = eos >= 0 ? pn_tokenizer_spelling(t, eos) : (pn_str){0},
      .unk_token = special(files, t, "unk_token", "tokenizer.ggml.unknown_token_id"),
      .pad_token = special(files, t, "pad_token", "tokenizer.ggml.padding_token_id"),
  };
}

typedef struct pool_wish {
  const open_model *m;
  int max_running;
} pool_wish;

static uint64_t pool_bytes(const void *ctx, pn_kv_type type, int64_t tokens) {
  const pool_wish *w = ctx;
  const pn_engine_options eo = {.kv_tokens = tokens, .max_running = w->max_running, .kv_type = type};
  return pn_engine_kv_bytes(w->m->model, w->m->backend, &eo);
}

static bool speculates(const options *o) { return strcmp(options_text(o, "speculate"), "on") == 0; }

static uint64_t scratch_bytes(const open_model *m, const options *o, const memory_wish *w) {
  const pn_engine_options eo = {.n_ctx = memory_plan_wanted_ctx(w),
                                .max_running = w->max_running,
                                .max_queue = w->max_queue,
                                .speculate = speculates(o)};
  return pn_engine_scratch_bytes(m->model, m->backend, &eo);
}

static bool plan(open_model *m, const options *o, const engine_wish *w, pn_error *e) {
  char origin[128];
  options_origin(o, "ctx", origin);
  const pool_wish pool = {m, w->max_running};
  memory_wish wish = {.model = m->path,
                      .weights_bytes = pn_files_bytes(m->files),
                      .config = pn_model_config_of(m->model),
                      .kv_bytes = pool_bytes,
                      .kv_ctx = &pool,
                      .kv_type = m->kv_type,
                      .asked_ctx = (int)options_int(o, "ctx"),
                      .asked_how = origin,
                      .wanted_ctx = w->n_ctx,
                      .kv_tokens = w->kv_tokens,
                      .max_running = w->max_running,
                      .max_queue = w->max_queue,
                      .limit = memory_limit_of(o, m->backend)};
  wish.scratch_bytes = scratch_bytes(m, o, &wish);
  if (!memory_plan_make(&wish, &m->plan, e)) return false;
  const memory_plan *p = &m->plan;
  char have[32];
  int made_for = wish.config->max_positions;
  if (p->n_ctx > made_for)
    console_note(
        "pensieve: %s: %d tokens are more than the %d that the model was made for: beyond those its answers "
        "may get worse",
        origin, p->n_ctx, made_for);
  if (p->n_ctx < p->wanted_ctx)
    console_note("pensieve: the context is reduced from the model's %d to %d tokens: %s are %s",
                 p->wanted_ctx, p->n_ctx, console_bytes(p->limit.bytes, have), p->limit.name);
  return true;
}

bool open_model_settle(open_model *m, const options *o, uint64_t beside_bytes, pn_error *e) {
  const uint64_t weights = pn_files_bytes(m->files), available = machine_available_bytes() / 5 * 4;
  const bool room =
      !m->backend->ops->device_memory && available > weights && available - weights > beside_bytes;
  return weight_home_settle(&m->home, o, m->files, room, e);
}

pn_engine *open_model_engine(open_model *m, const options *o, const engine_wish *w, pn_error *e) {
  if (!plan(m, o, w, e) || !open_model_settle(m, o, m->plan.kv_bytes + m->plan.scratch_bytes, e)) return NULL;
  const pn_engine_options eo = {.n_ctx = m->plan.n_ctx,
                                .kv_tokens = m->plan.kv_tokens,
                                .max_running = m->plan.max_running,
                                .max_queue = w->max_queue,
                                .prefill_share = w->prefill_share,
                                .kv_type = m->kv_type,
                                .speculate = speculates(o),
                                .cache_idle_s = w->cache_idle_s,
                                .metrics = w->metrics};
  console_progress("preparing %s for %d tokens", m->name, eo.n_ctx);
  pn_engine *g = pn_engine_open(m->model, m->tokenizer, m->backend, &eo, e);
  console_progress("%s", "");
  return g;
}
