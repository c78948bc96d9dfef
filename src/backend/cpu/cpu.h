// The backends of this folder, for backend.c.
#ifndef PN_BACKEND_CPU_H
#define PN_BACKEND_CPU_H

#include "backend/backend.h"

extern const pn_backend_kind cpu_kind;     // the fast one
extern const pn_backend_kind cpu_ref_kind; // the oracle

#endif
