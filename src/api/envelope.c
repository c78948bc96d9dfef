#include "api/envelope.h"

#include "base/json.h"

#include <stddef.h>
#include <string.h>

// 503 is what a draining server says: clients repeat it longer than a 529, so a restart stays unnoticed.
static const struct {
  int status;
  const char *type;
} types[] = {
    {400, "invalid_request_error"},
    {401, "authentication_error"},
    {402, "billing_error"},
    {403, "permission_error"},
    {404, "not_found_error"},
    {405, "invalid_request_error"},
    {408, "timeout_error"},
    {413, "request_too_large"},
    {429, "rate_limit_error"},
    {499, "api_error"},
    {500, "api_error"},
    {503, "overloaded_error"},
    {504, "timeout_error"},
    {529, "overloaded_error"},
};

static const struct {
  pn_code code;
  int status, running;
} codes[] = {
    {PN_ERR_USAGE, 400, 500},       // a malformed request
    {PN_ERR_NOT_FOUND, 404, 500},   //
    {PN_ERR_CORRUPT, 400, 500},     // a body that is not JSON; while running: a file of ours
    {PN_ERR_UNSUPPORTED, 400, 500}, // images for a model that reads text
    {PN_ERR_NOMEM, 529, 529},       // less load needs less memory
    {PN_ERR_LIMIT, 400, 529},       // longer than the context; while running: no room is left
    {PN_ERR_IO, 500, 500},          //
    {PN_ERR_BUSY, 529, 529},        // the queue is full
    {PN_ERR_DEVICE, 500, 500},      //
    {PN_ERR_TIMEOUT, 504, 504},     // the time that the server gives a request
    {PN_ERR_CANCELLED, 499, 499},   // nobody is left to read it, unless the server ends
    {PN_ERR_INTERNAL, 500, 500},    //
};

int envelope_status(pn_code code) {
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
    if (codes[i].code == code) return codes[i].status;
  return 500;
}

int envelope_status_running(pn_code code) {
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
    if (codes[i].code == code) return codes[i].running;
  return 500;
}

const char *envelope_type(int status) {
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (types[i].status == status) return types[i].type;
  return status >= 500 ? "api_error" : "invalid_request_error";
}

const char *envelope_type_at(int i) {
  for (size_t at = 0; at < sizeof types / sizeof *types; at++) {
    bool again = false;
    for (size_t j = 0; j < at; j++) again |= strcmp(types[j].type, types[at].type) == 0;
    if (!again && i-- == 0) return types[at].type;
  }
  return NULL;
}

void envelope_write(pn_buf *out, int status, const char *message, const char *details,
                    const char *request_id) {
  pn_buf_printf(out, "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":", envelope_type(status));
  pn_json_write_str(out, pn_str_of(message));
  if (details) pn_buf_printf(out, ",\"details\":%s", details);
  pn_buf_z(out, "},\"request_id\":");
  if (request_id)
    pn_json_write_str(out, pn_str_of(request_id));
  else
    pn_buf_z(out, "null");
  pn_buf_char(out, '}');
}

// The place that a message begins with, such as "messages.0.content"; {NULL, 0}: none.
static pn_str place_of(pn_str message) {
  size_t n = 0;
  while (n < message.n &&
         (message.p[n] == '_' || message.p[n] == '.' || (message.p[n] >= '0' && message.p[n] <= '9') ||
          (message.p[n] >= 'a' && message.p[n] <= 'z')))
    n++;
  bool found = n > 0 && n + 1 < message.n && message.p[n] == ':' && message.p[n + 1] == ' ';
  return found ? (pn_str){message.p, n} : (pn_str){0};
}

// What clients look at to tell some errors from others of the same status.
static const char *openai_code(int status, pn_str message) {
  if (status == 401) return "\"invalid_api_key\"";
  if (status == 404 && pn_str_starts(message, PN_STR("model: "))) return "\"model_not_found\"";
  if (pn_str_starts(message, PN_STR("prompt is too long")) ||
      pn_str_starts(message, PN_STR("input length and")))
    return "\"context_length_exceeded\"";
  return status == 429 ? "\"rate_limit_exceeded\"" : "null";
}

void envelope_write_openai(pn_buf *out, int status, const char *message) {
  pn_str text = pn_str_of(message), place = place_of(text);
  pn_buf_z(out, "{\"error\":{\"message\":");
  pn_json_write_str(out, text);
  pn_buf_printf(out, ",\"type\":\"%s\",\"param\":",
                status >= 500   ? "server_error"
                : status == 429 ? "rate_limit_error"
                                : "invalid_request_error");
  if (place.n)
    pn_json_write_str(out, place);
  else
    pn_buf_z(out, "null");
  pn_buf_printf(out, ",\"code\":%s}}", openai_code(status, text));
}
