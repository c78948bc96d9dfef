// The body of /v1/messages and /v1/messages/count_tokens: checked against its shape and taken apart.
#ifndef PN_API_MESSAGES_READ_H
#define PN_API_MESSAGES_READ_H

#include "api/shape.h"
#include "base/json.h"
#include "engine/engine.h"

#include <stdbool.h>

typedef enum turn_role { TURN_SYSTEM, TURN_USER, TURN_ASSISTANT } turn_role;

// The blocks of one role in a row as one text; the blocks' texts are joined by a newline.
typedef struct turn {
  turn_role role;
  pn_buf text;
} turn;

// How system messages reach a template that does not take them everywhere.
typedef enum turn_fold {
  TURN_FOLD_NONE,  // as they stand
  TURN_FOLD_LATER, // all but a leading one become user text at their place
  TURN_FOLD_ALL,
  TURN_N_FOLDS
} turn_fold;

typedef struct turn_list {
  turn *p;
  size_t n, cap;
  bool has_system; // folding would change something
} turn_list;

// Owned by its reader; borrows from `json`, which it owns.
typedef struct messages_request {
  pn_json *json;
  pn_str model;
  int64_t max_tokens; // 0 in a count_tokens request that names none
  bool stream;
  pn_sampling sampling;
  pn_str *stops;
  size_t n_stops;
  const char *details; // after a failure: JSON text for the envelope's error.details, or NULL
} messages_request;

// The shapes, also for those who describe the API. `messages_count_shape` is the same with max_tokens optional.
extern const shape messages_create_shape, messages_count_shape;

// Zero-initialise *q; messages_request_fini frees, also after a failure.
bool messages_read(const shape *s, pn_str body, messages_request *q, pn_error *e);
void messages_request_fini(messages_request *q);

// The beginning of a conversation: its system prompt or not, and so many messages.
typedef struct turn_part {
  bool system;
  size_t n_messages; // at most as many as there are
} turn_part;

// The conversation, or a part of it (NULL: all), as turns: neighbours of one role merged, the system prompt first.
// Zero-initialise *out.
bool messages_turns(const messages_request *q, const turn_part *part, turn_fold fold, turn_list *out,
                    pn_error *e);
void turn_list_fini(turn_list *t);

#endif
