// Backends in shared libraries: libpensieve_<name>.so in one of some folders.
#ifndef PN_BACKEND_MODULE_H
#define PN_BACKEND_MODULE_H

#include "backend/backend.h"

// Whether one of the folders has the module's file; its path, when out is not NULL, is allocated for the
// caller.
bool module_find(const char *name, const char *folders, char **out);
// The kind that the module offers; NULL with PN_ERR_DEVICE (it is not installed, or can't be used) or
// PN_ERR_USAGE (a name that nobody knows). A module that was opened stays loaded.
const pn_backend_kind *module_open(const char *name, const char *folders, pn_error *e);
void module_each(const char *folders, pn_backend_see *see, void *ctx);

#endif
