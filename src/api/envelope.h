// Errors as clients see them: HTTP status, Anthropic's error type, and the JSON body. The only place that
// knows them.
#ifndef PN_API_ENVELOPE_H
#define PN_API_ENVELOPE_H

#include "base/error.h"
#include "base/str.h"

// HTTP status of an error that a request met before it was accepted.
int envelope_status(pn_code code);
// The same for an error of a generation under way, where the client can no longer be at fault.
int envelope_status_running(pn_code code);
// Anthropic's error type of an HTTP status, such as "invalid_request_error".
const char *envelope_type(int status);
// The different types there are, one after the other; NULL behind the last.
const char *envelope_type_at(int i);
// An error as OpenAI's clients know it: {"error":{"message","type","param","code"}}. `param` is the place
// that the message begins with.
void envelope_write_openai(pn_buf *out, int status, const char *message);
// {"type":"error","error":{"type","message"[,"details"]},"request_id"}. `details` is JSON text or NULL;
// request_id may be NULL.
void envelope_write(pn_buf *out, int status, const char *message, const char *details,
                    const char *request_id);

#endif
