// The fast backend on the cores of this machine, for backend.c.
#ifndef PN_BACKEND_CPU_H
#define PN_BACKEND_CPU_H

#include "backend/backend.h"

extern const pn_backend_kind cpu_kind;

#endif
