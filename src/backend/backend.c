// Choosing and opening a backend by name, and what all of them share.
#include "backend/backend.h"

#include "backend/cpu/cpu.h"
#include "backend/module.h"
#include "backend/ref/ref.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const pn_backend_kind *const builtin[] = {&cpu_kind, &ref_kind};
enum { N_BUILTIN = sizeof builtin / sizeof *builtin };
// Modules that "auto" prefers to the cpu when they are there and find their device.
static const char *const preferred[] = {"cuda", "mlx"};

const pn_backend_kind *pn_backend_builtin(const char *name) {
  for (int i = 0; i < N_BUILTIN; i++)
    if (strcmp(builtin[i]->name, name) == 0) return builtin[i];
  return NULL;
}

const pn_setting_kind *pn_backend_setting(const pn_backend_kind *kind, const char *name) {
  for (const pn_setting_kind *s = kind->settings; s->name; s++)
    if (strcmp(s->name, name) == 0) return s;
  return NULL;
}

const char *pn_setting_value(const pn_setting *settings, int n, const char *name) {
  for (int i = 0; i < n; i++)
    if (strcmp(settings[i].name, name) == 0) return settings[i].value;
  return NULL;
}

bool pn_setting_count(const pn_setting *settings, int n, const char *name, int lowest, int highest, int *out,
                      pn_error *e) {
  const char *text = pn_setting_value(settings, n, name);
  if (!text) return true;
  char *end;
  long v = strtol(text, &end, 10);
  if (end == text || *end || v < lowest || v > highest)
    return pn_fail(e, PN_ERR_USAGE, "%s: expected %d to %d, found \"%s\"", name, lowest, highest, text);
  *out = (int)v;
  return true;
}

// Those that the kind is to be opened with. Returns how many.
static int choose_settings(const pn_backend_kind *kind, const pn_backend_options *o, pn_setting out[]) {
  int n = 0;
  for (int i = 0; i < PN_BACKEND_SETTINGS && o->settings[i].name; i++)
    if (!o->settings[i].if_known || pn_backend_setting(kind, o->settings[i].name)) out[n++] = o->settings[i];
  return n;
}

static bool check_setting(const pn_backend_kind *kind, const pn_setting *s, pn_error *e) {
  const pn_setting_kind *known = pn_backend_setting(kind, s->name);
  char all[200] = "";
  size_t n = 0;
  if (!known) {
    for (const pn_setting_kind *k = kind->settings; k->name && n < sizeof all - 1; k++)
      n += (size_t)snprintf(all + n, sizeof all - n, "%s%s", n ? ", " : "", k->name);
    return pn_fail(e, PN_ERR_USAGE, "the backend '%s' has no setting '%s'; it has %s", kind->name, s->name,
                   all);
  }
  if (!known->values) return true;
  for (const char *const *v = known->values(); *v; v++) {
    if (strcmp(*v, s->value) == 0) return true;
    if (n < sizeof all - 1) n += (size_t)snprintf(all + n, sizeof all - n, "%s%s", n ? ", " : "", *v);
  }
  return pn_fail(e, PN_ERR_USAGE, "%s: expected one of %s, found \"%s\"", s->name, all, s->value);
}

static pn_backend *open_kind(const pn_backend_kind *kind, const pn_backend_options *o, pn_error *e) {
  pn_setting settings[PN_BACKEND_SETTINGS];
  int n = choose_settings(kind, o, settings);
  for (int i = 0; i < n; i++)
    if (!check_setting(kind, &settings[i], e)) return NULL;
  pn_backend *b = kind->open(settings, n, e);
  if (!b) return NULL;
  if (b->ops->version == PN_BACKEND_VERSION && b->ops->size == sizeof(pn_backend_ops)) {
    if (!b->ops->asynchronous || (b->ops->submit && b->ops->sample_submit && b->ops->collect)) return b;
    pn_fail(e, PN_ERR_DEVICE,
            "the backend '%s' is asynchronous: expected submit, sample_submit and collect, found one missing",
            kind->name);
    b->ops->close(b);
    return NULL;
  }
  pn_fail(e, PN_ERR_DEVICE,
          "the backend '%s' offers operations of version %u and %u bytes, expected %u and %zu", kind->name,
          b->ops->version, b->ops->size, PN_BACKEND_VERSION, sizeof(pn_backend_ops));
  return NULL; // not closed: nothing in its table can be trusted
}

// A module that is there, loads, knows every setting and finds its device; else the cpu.
static pn_backend *open_best(const pn_backend_options *o, pn_error *e) {
  for (size_t i = 0; i < sizeof preferred / sizeof *preferred; i++) {
    pn_error why = {0};
    if (!module_find(preferred[i], o->folders, NULL)) continue;
    const pn_backend_kind *kind = module_open(preferred[i], o->folders, &why);
    pn_backend *b = kind ? open_kind(kind, o, &why) : NULL;
    if (b) return b;
    pn_log(PN_LOG_WARN, NULL, "a backend is passed over",
           PN_FIELDS(PN_S("backend", preferred[i]), PN_S("error", why.msg)));
  }
  return open_kind(&cpu_kind, o, e);
}

pn_backend *pn_backend_open(const pn_backend_options *o, pn_error *e) {
  if (!o->name || strcmp(o->name, "auto") == 0) return open_best(o, e);
  const pn_backend_kind *kind = pn_backend_builtin(o->name);
  if (!kind) kind = module_open(o->name, o->folders, e);
  return kind ? open_kind(kind, o, e) : NULL;
}

void pn_backend_close(pn_backend *b) {
  if (b) b->ops->close(b);
}

void pn_backend_each(const char *folders, pn_backend_see *see, void *ctx) {
  for (int i = 0; i < N_BUILTIN; i++) see(ctx, builtin[i], NULL, NULL);
  module_each(folders, see, ctx);
}

static const char *const kv_names[PN_KV_N_TYPES] = {"f32", "f16", "bf16", "int8", "int4"};

const char *pn_kv_type_name(pn_kv_type t) { return (unsigned)t < PN_KV_N_TYPES ? kv_names[t] : "unknown"; }

bool pn_kv_type_of(const char *name, pn_kv_type *out) {
  for (int t = 0; t < PN_KV_N_TYPES; t++) {
    if (strcmp(name, kv_names[t]) != 0) continue;
    *out = (pn_kv_type)t;
    return true;
  }
  return false;
}
