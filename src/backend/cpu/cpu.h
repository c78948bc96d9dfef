// The backends of this folder, for backend.c.
#ifndef PN_BACKEND_CPU_H
#define PN_BACKEND_CPU_H

#include "backend/backend.h"

pn_backend *cpu_open(const pn_backend_options *o, pn_error *e);     // the fast one
pn_backend *cpu_ref_open(const pn_backend_options *o, pn_error *e); // the oracle; options.isa is ignored

#endif
