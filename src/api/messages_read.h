// The body of /v1/messages and /v1/messages/count_tokens: checked against its shape and taken apart.
#ifndef PN_API_MESSAGES_READ_H
#define PN_API_MESSAGES_READ_H

#include "api/messages_shapes.h"
#include "api/messages_tools.h"
#include "dialect/dialect.h"
#include "engine/engine.h"

#include <stdbool.h>

typedef enum turn_role { TURN_SYSTEM, TURN_USER, TURN_ASSISTANT, TURN_TOOL } turn_role;

#define TURN_CALL_ID 10
// The blocks of one role in a row; their texts are joined by a newline. A tool's result is a turn by itself.
typedef struct turn {
  turn_role role;
  pn_buf text;
  pn_buf thoughts; // of an assistant
  pn_json *calls;  // of an assistant: array of {"id","type","function":{"name","arguments"}}; NULL: none
  char call_id[TURN_CALL_ID]; // of a tool: which call it answers
  pn_str tool;                // of a tool: its name; borrowed from the request
} turn;

// How system messages reach a template that does not take them everywhere.
typedef enum turn_fold {
  TURN_FOLD_NONE,  // as they stand
  TURN_FOLD_LATER, // all but a leading one become user text at their place
  TURN_FOLD_ALL,
  TURN_N_FOLDS
} turn_fold;

typedef struct turn_style {
  turn_fold fold;
  bool tools_as_text;        // the template knows no tools: what they are, calls and results are text
  const pn_dialect *dialect; // of that text
} turn_style;

typedef struct turn_list {
  turn *p;
  size_t n, cap;
  bool has_system; // folding would change something
  bool has_tools;  // tools, calls or results: writing them as text would change something
  size_t n_uses;   // calls that clear_tool_uses may leave out
} turn_list;

// Owned by its reader; borrows from `json`, which it owns.
typedef struct messages_request {
  pn_json *json;
  const struct pn_api *api; // which knows what answers were; NULL: nothing is known
  pn_str model;
  int64_t max_tokens; // 0 in a count_tokens request that names none
  bool stream;
  pn_sampling sampling;
  pn_str *stops;
  size_t n_stops;
  tool_list tools;
  const pn_json *clear; // the edit clear_tool_uses_20250919 of context_management; NULL: not asked for
  size_t n_cleared; // so many calls, from the first, are left without their results; set by messages_prompt
  bool has_edits;   // context_management was given
  bool thinks;      // thinking is wanted
  bool must_think;  // and not left to the model
  int think_tokens; // at most; 0: no limit
  bool omits_thinking; // thoughts are told by their signature only
  pn_str effort;       // of output_config; {NULL, 0}: not given
  int keeps_thoughts;  // whether earlier turns' thoughts are shown: 1, 0, or -1: as the template does
  const pn_json *more_variables; // an object: variables for the template; NULL: none
  const pn_json *schema;         // of output_config.format; NULL: any text
  bool schema_is_strict;         // what can\'t be held is refused
  const char *details;           // after a failure: JSON text for the envelope's error.details, or NULL
} messages_request;

// Zero-initialise *q; messages_request_fini frees, also after a failure.
bool messages_read(const shape *s, pn_str body, messages_request *q, pn_error *e);
// The same of a body that is parsed and has its shape; owned from then on. Whether calls and results belong
// together is left to the caller: the APIs differ in that.
bool messages_take(pn_json *body, messages_request *q, pn_error *e);
void messages_request_fini(messages_request *q);

// The beginning of a conversation: its system prompt or not, and so many messages.
typedef struct turn_part {
  bool system;
  size_t n_messages; // at most as many as there are
} turn_part;

// The conversation, or a part of it (NULL: all), as turns: neighbours of one role merged, the system prompt
// first. Zero-initialise *out.
bool messages_turns(const messages_request *q, const turn_part *part, const turn_style *style, turn_list *out,
                    pn_error *e);
void turn_list_fini(turn_list *t);

#endif
