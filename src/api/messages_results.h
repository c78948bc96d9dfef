// The rules of the Messages API about calls and their results.
#ifndef PN_API_MESSAGES_RESULTS_H
#define PN_API_MESSAGES_RESULTS_H

#include "base/error.h"
#include "base/json.h"

// `messages` have passed their shape. Every tool_use has one tool_result in the user's turn that follows,
// every tool_result its tool_use, and ids come once. Neighbouring messages of one role are one turn, whatever
// system messages stand between.
bool messages_check_results(const pn_json *messages, pn_error *e);

#endif
