// Stand-ins for a machine on which the backend is tested without its libraries: no modules, no log.
#include "backend/module.h"
#include "base/log.h"

bool module_find(const char *name, const char *folders, char **out) {
  (void)name, (void)folders, (void)out;
  return false;
}

const pn_backend_kind *module_open(const char *name, const char *folders, pn_error *e) {
  (void)folders;
  pn_fail(e, PN_ERR_USAGE, "unknown backend '%s'", name);
  return NULL;
}

void module_each(const char *folders, pn_backend_see *see, void *ctx) { (void)folders, (void)see, (void)ctx; }

void pn_log(pn_log_level level, const char *request_id, const char *message, const pn_field *fields) {
  (void)level, (void)request_id, (void)message, (void)fields;
}
