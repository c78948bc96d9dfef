// How K and V lie in a page of the cpu backend.
#ifndef PN_BACKEND_CPU_KV_LAYOUT_H
#define PN_BACKEND_CPU_KV_LAYOUT_H

#include "backend/cpu/cpu_ops.h"

// Fill in all of *h but base and page_bytes. The bytes of one kv head's part of a page, UINT64_MAX when no
// number holds them. All counts of the shape are 1 or more.
uint64_t cpu_kv_lay_out(const pn_kv_shape *s, cpu_kv_head *h);

// What pn_backend_ops.kv_bytes says.
uint64_t cpu_kv_bytes(const pn_kv_shape *s);

#endif
