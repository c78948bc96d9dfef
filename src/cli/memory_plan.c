#include "cli/memory_plan.h"

#include "cli/console.h"
#include "cli/machine.h"
#include "kv/kv.h"

#include <stdio.h>
#include <string.h>

#define MOST_TOKENS ((int64_t)INT32_MAX / PN_KV_PAGE_TOKENS * PN_KV_PAGE_TOKENS) // a slot is an int32

memory_limit memory_limit_of(const options *o, pn_backend *b) {
  const bool device = b && b->ops->device_memory;
  uint64_t total, available;
  if (device) {
    b->ops->device_memory(b, &total, &available);
  } else {
    total = machine_total_bytes();
    available = machine_available_bytes();
  }
  memory_limit l = {.bytes = options_bytes(o, "memory-limit", total)};
  l.set = l.bytes > 0;
  if (l.set) {
    char origin[128];
    options_origin(o, "memory-limit", origin);
    snprintf(l.name, sizeof l.name, "allowed by %s", origin);
  } else {
    l.bytes = available;
    strcpy(l.name, device ? "available on the device" : "available on this machine");
  }
  return l;
}

bool memory_plan_weights(const char *model, uint64_t weights_bytes, const memory_limit *limit, pn_error *e) {
  char need[32], have[32], other[32];
  if (weights_bytes + MEMORY_PLAN_OTHER_BYTES <= limit->bytes) return true;
  return pn_fail(e, PN_ERR_LIMIT,
                 "the weights of %s need %s and %s to work with, but %s are %s; use a smaller model", model,
                 console_bytes(weights_bytes, need), console_bytes(MEMORY_PLAN_OTHER_BYTES, other),
                 console_bytes(limit->bytes, have), limit->name);
}

int memory_plan_wanted_ctx(const memory_wish *w) {
  int most = w->config->max_positions;
  if (w->asked_ctx) return w->asked_ctx;
  return w->wanted_ctx && w->wanted_ctx < most ? w->wanted_ctx : most;
}

static int64_t whole_pages(int64_t tokens) { return (int64_t)pn_kv_pages_of(tokens) * PN_KV_PAGE_TOKENS; }

// The most tokens in whole pages whose pool fits into so many bytes.
static int64_t fitting(const memory_wish *w, pn_kv_type type, uint64_t bytes) {
  int64_t fits = 0, most = MOST_TOKENS / PN_KV_PAGE_TOKENS; // in pages
  while (fits < most) {
    int64_t n = fits + (most - fits + 1) / 2;
    if (w->kv_bytes(w->kv_ctx, type, n * PN_KV_PAGE_TOKENS) <= bytes)
      fits = n;
    else
      most = n - 1;
  }
  return fits * PN_KV_PAGE_TOKENS;
}

// The least lossy type that makes `tokens` fit where w's does not; NULL: none.
static const char *type_that_fits(const memory_wish *w, int64_t tokens, uint64_t bytes) {
  static const pn_kv_type types[] = {PN_KV_F16, PN_KV_INT8, PN_KV_INT4};
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (option_offers("kv", pn_kv_type_name(types[i])) &&
        w->kv_bytes(w->kv_ctx, types[i], tokens) < w->kv_bytes(w->kv_ctx, w->kv_type, tokens) &&
        fitting(w, types[i], bytes) >= tokens)
      return pn_kv_type_name(types[i]);
  return NULL;
}

// `tokens` of pool do not fit into the bytes that are left.
static bool refuse(const memory_wish *w, const memory_plan *p, int64_t tokens, uint64_t left, pn_error *e) {
  char what[200], hint[200] = "", a[32], b[32], c[32], d[32];
  long long n = tokens, fits = fitting(w, w->kv_type, left);
  if (w->asked_ctx)
    snprintf(what, sizeof what, "%s: a context of %d tokens", w->asked_how, w->asked_ctx);
  else
    snprintf(what, sizeof what, "a %s of %lld tokens", w->kv_tokens ? "pool" : "context", n);
  const char *type = type_that_fits(w, tokens, left);
  if (w->asked_ctx && fits > 0)
    snprintf(hint, sizeof hint, "; %lld tokens would fit: --ctx %lld", fits, fits);
  else if (fits > 0)
    snprintf(hint, sizeof hint, "; %lld tokens would fit", fits);
  size_t at = strlen(hint);
  if (type)
    snprintf(hint + at, sizeof hint - at, at ? ", or all with --kv %s" : "; all would fit with --kv %s",
             type);
  else if (!at)
    strcpy(hint, "; no context would fit: use a smaller model");
  return pn_fail(e, PN_ERR_LIMIT,
                 "%s needs %s for the KV cache (%s), %s for the weights and %s of scratch, but %s are %s%s",
                 what, console_bytes(w->kv_bytes(w->kv_ctx, w->kv_type, tokens), a),
                 pn_kv_type_name(w->kv_type), console_bytes(p->weights_bytes, b),
                 console_bytes(p->scratch_bytes, c), console_bytes(w->limit.bytes, d), w->limit.name, hint);
}

// The context, given the bytes that are left for the pool and how many of them may be taken unasked.
static bool plan_context(const memory_wish *w, memory_plan *p, uint64_t left, uint64_t unasked, pn_error *e) {
  bool needed = w->asked_ctx || w->wanted_ctx;
  uint64_t bytes = needed ? left : unasked;
  int64_t fits = fitting(w, w->kv_type, bytes);
  p->n_ctx = p->wanted_ctx;
  if (whole_pages(p->n_ctx) <= fits) return true;
  if (needed || fits == 0) return refuse(w, p, whole_pages(p->n_ctx), bytes, e);
  p->n_ctx = (int)fits;
  return true;
}

static bool plan_pool(const memory_wish *w, memory_plan *p, uint64_t left, uint64_t unasked, pn_error *e) {
  int64_t one = whole_pages(p->n_ctx), fits = fitting(w, w->kv_type, unasked);
  int64_t least = whole_pages(w->kv_tokens) > one ? whole_pages(w->kv_tokens) : one;
  if (w->kv_tokens && least > fitting(w, w->kv_type, left)) return refuse(w, p, least, left, e);
  int64_t most = one * p->max_running; // both below 2^31
  p->kv_tokens = w->kv_tokens ? least : most < fits ? most : fits;
  if (p->kv_tokens < least) p->kv_tokens = least;
  p->kv_bytes = w->kv_bytes(w->kv_ctx, w->kv_type, p->kv_tokens);
  p->token_bytes = (p->kv_bytes + (uint64_t)p->kv_tokens - 1) / (uint64_t)p->kv_tokens;
  return true;
}

bool memory_plan_make(const memory_wish *w, memory_plan *out, pn_error *e) {
  const pn_model_config *c = w->config;
  if (w->asked_ctx > (int64_t)c->max_positions * PN_MODEL_STRETCH)
    return pn_fail(e, PN_ERR_USAGE, "%s: %d tokens are more than %d times the %d that the model was made for",
                   w->asked_how, w->asked_ctx, PN_MODEL_STRETCH, c->max_positions);
  memory_plan p = {.wanted_ctx = memory_plan_wanted_ctx(w),
                   .max_running = w->max_running > 1 ? w->max_running : 1,
                   .weights_bytes = w->weights_bytes,
                   .kv_type = w->kv_type,
                   .limit = w->limit};
  p.scratch_bytes = w->scratch_bytes > MEMORY_PLAN_OTHER_BYTES ? w->scratch_bytes : MEMORY_PLAN_OTHER_BYTES;
  uint64_t fixed = p.weights_bytes + p.scratch_bytes,
           left = w->limit.bytes > fixed ? w->limit.bytes - fixed : 0;
  uint64_t unasked = w->limit.set ? left : left / 5 * 4;
  if (!plan_context(w, &p, left, unasked, e) || !plan_pool(w, &p, left, unasked, e)) return false;
  *out = p;
  return true;
}

void memory_plan_write(const memory_plan *p, pn_buf *out) {
  char a[32], b[32];
  pn_buf_printf(out, "memory: %s of weights, mapped from the file\n", console_bytes(p->weights_bytes, a));
  // Less than every request may need: they share it, and give way to each other when it is full.
  bool enough = p->kv_tokens >= p->max_running * whole_pages(p->n_ctx);
  pn_buf_printf(
      out, "memory: %s for a KV pool of %lld tokens, %llu bytes each (%s), %s %d request%s of up to %d\n",
      console_bytes(p->kv_bytes, a), (long long)p->kv_tokens, (unsigned long long)p->token_bytes,
      pn_kv_type_name(p->kv_type), enough ? "for" : "shared by", p->max_running,
      p->max_running == 1 ? "" : "s", p->n_ctx);
  pn_buf_printf(out, "memory: %s of scratch for steps, logits and outboxes\n",
                console_bytes(p->scratch_bytes, a));
  pn_buf_printf(out, "memory: %s in all; %s are %s\n",
                console_bytes(p->weights_bytes + p->kv_bytes + p->scratch_bytes, a),
                console_bytes(p->limit.bytes, b), p->limit.name);
}
