// pensieve version: what this binary is and what it can use here.
#include "backend/backend.h"
#include "cli/console.h"
#include "cli/verbs.h"

#include <stdio.h>

bool cli_version(const options *o, pn_error *e) {
  const char *const *isas = pn_backend_isas();
  if (options_on(o, "json")) {
    pn_json *v = pn_json_new_object(), *list = pn_json_new_array(), *backends = pn_json_new_array();
    for (int i = 0; isas[i]; i++) pn_json_push(list, pn_json_new_str(pn_str_of(isas[i])));
    pn_json_push(backends, pn_json_new_str(PN_STR("cpu")));
    pn_json_push(backends, pn_json_new_str(PN_STR("ref")));
    pn_json_set(v, "version", pn_json_new_str(PN_STR(PN_BUILD_VERSION)));
    pn_json_set(v, "commit", pn_json_new_str(PN_STR(PN_BUILD_COMMIT)));
    pn_json_set(v, "compiler", pn_json_new_str(PN_STR(PN_BUILD_COMPILER)));
    pn_json_set(v, "build", pn_json_new_str(PN_STR(PN_BUILD_TYPE)));
    pn_json_set(v, "backends", backends);
    pn_json_set(v, "cpu_features", pn_json_new_str(pn_str_of(pn_backend_cpu_features())));
    pn_json_set(v, "isas", list);
    return console_json(v, e);
  }
  printf("pensieve %s, commit %s\ncompiler %s, %s\nbackends cpu, ref\ncpu features %s\nisas",
         PN_BUILD_VERSION, PN_BUILD_COMMIT, PN_BUILD_COMPILER, PN_BUILD_TYPE, pn_backend_cpu_features());
  for (int i = 0; isas[i]; i++) printf(" %s", isas[i]);
  putchar('\n');
  return true;
}
