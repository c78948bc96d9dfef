// pensieve version: what this binary is and what it can use here.
#include "backend/backend.h"
#include "cli/console.h"
#include "cli/open_model.h"
#include "cli/verbs.h"

#include <limits.h>
#include <stdio.h>

// The instruction sets that the cpu backend can use here.
static const char *const *isas_here(void) {
  return pn_backend_setting(pn_backend_builtin("cpu"), "isa")->values();
}

typedef struct found {
  pn_json *names, *modules;
  pn_buf text; // "cpu, ref"
} found;

static void see(void *ctx, const pn_backend_kind *kind, const char *path, const pn_error *error) {
  found *f = ctx;
  if (kind) {
    pn_json_push(f->names, pn_json_new_str(pn_str_of(kind->name)));
    pn_buf_printf(&f->text, "%s%s", f->text.n ? ", " : "", kind->name);
  }
  if (!path) return;
  pn_json *m = pn_json_new_object();
  pn_json_set(m, "path", pn_json_new_str(pn_str_of(path)));
  pn_json_set(m, "about", kind ? pn_json_new_str(pn_str_of(kind->about())) : pn_json_new_null());
  pn_json_set(m, "error", error ? pn_json_new_str(pn_str_of(error->msg)) : pn_json_new_null());
  pn_json_push(f->modules, m);
}

static bool print_json(const found *f, const cores_choice *threads, pn_error *e) {
  pn_json *v = pn_json_new_object(), *list = pn_json_new_array();
  for (const char *const *isa = isas_here(); *isa; isa++)
    pn_json_push(list, pn_json_new_str(pn_str_of(*isa)));
  pn_json_set(v, "version", pn_json_new_str(PN_STR(PN_BUILD_VERSION)));
  pn_json_set(v, "commit", pn_json_new_str(PN_STR(PN_BUILD_COMMIT)));
  pn_json_set(v, "compiler", pn_json_new_str(PN_STR(PN_BUILD_COMPILER)));
  pn_json_set(v, "build", pn_json_new_str(PN_STR(PN_BUILD_TYPE)));
  pn_json_set(v, "backends", pn_json_share(f->names));
  pn_json_set(v, "modules", pn_json_share(f->modules));
  pn_json_set(v, "cpu_features", pn_json_new_str(pn_str_of(pn_backend_builtin("cpu")->about())));
  pn_json_set(v, "isas", list);
  pn_json_set(v, "threads", pn_json_new_int(threads->threads));
  pn_json_set(v, "threads_why", pn_json_new_str(pn_str_of(threads->why)));
  return console_json(v, e);
}

static void print_text(found *f, const cores_choice *threads) {
  printf("pensieve %s, commit %s\ncompiler %s, %s\nbackends %s\n", PN_BUILD_VERSION, PN_BUILD_COMMIT,
         PN_BUILD_COMPILER, PN_BUILD_TYPE, pn_buf_cstr(&f->text));
  for (size_t i = 0; i < pn_json_len(f->modules); i++) {
    const pn_json *m = pn_json_at(f->modules, i), *error = pn_json_get(m, "error");
    bool bad = pn_json_is(error, PN_JSON_STRING);
    printf("module %s: %s\n", pn_json_cstr(pn_json_get(m, "path")),
           pn_json_cstr(bad ? error : pn_json_get(m, "about")));
  }
  printf("cpu features %s\nisas", pn_backend_builtin("cpu")->about());
  for (const char *const *isa = isas_here(); *isa; isa++) printf(" %s", *isa);
  printf("\nthreads %d: %s\n", threads->threads, threads->why);
}

bool cli_version(const options *o, pn_error *e) {
  found f = {.names = pn_json_new_array(), .modules = pn_json_new_array()};
  char folders[3 * PATH_MAX];
  cores_choice threads;
  bool ok = true;
  open_model_choose_threads(&threads);
  open_model_modules(o, folders, sizeof folders);
  pn_backend_each(folders, see, &f);
  if (options_on(o, "json"))
    ok = print_json(&f, &threads, e);
  else
    print_text(&f, &threads);
  pn_json_free(f.names);
  pn_json_free(f.modules);
  pn_buf_fini(&f.text);
  return ok;
}
