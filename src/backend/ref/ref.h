// The oracle of every other backend, for backend.c.
#ifndef PN_BACKEND_REF_H
#define PN_BACKEND_REF_H

#include "backend/backend.h"

extern const pn_backend_kind ref_kind;

#endif
