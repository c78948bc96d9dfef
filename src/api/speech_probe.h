// What a chat template does with small conversations that are made for finding out. Each renders some times.
#ifndef PN_API_SPEECH_PROBE_H
#define PN_API_SPEECH_PROBE_H

#include "api/api.h"
#include "api/messages_read.h"
#include "dialect/dialect.h"

// The dialect in which the template writes tools, a call and its result so that the reader finds the call
// again; NULL: none, and *form says why.
const pn_dialect *probe_dialect(const pn_api_options *o, pn_api_tool_form *form);
// The least folding with which the template leaves no system text out.
turn_fold probe_fold(const pn_api_options *o);
// Whether the template renders with this reasoning_effort.
bool probe_effort(const pn_api_options *o, const char *effort);

#endif
