// What an answer may be, from what a request asks for: tools and their choice, a form, thinking.
#ifndef PN_API_MESSAGES_GUIDE_H
#define PN_API_MESSAGES_GUIDE_H

#include "api/answer_blocks.h"
#include "api/guides.h"
#include "api/messages_prompt.h"

// Zero-initialise; answer_plan_fini frees.
typedef struct answer_plan {
  pn_guide *guide; // NULL: anything; a reference
  answer_reading reading;
  pn_json *names;        // reading.tools
  pn_json *tools;        // what can be called: array of {"type","function":{"name","parameters","strict"}}
  const pn_json *schema; // of the answer; borrowed from the request
  bool has_gaps;         // something could not be held: answers are to be checked
} answer_plan;

// PN_ERR_UNSUPPORTED with the place of what a strict schema asks and can't be held.
bool messages_plan(pn_api *a, const char *request_id, const messages_request *q, const prompt *p,
                   answer_plan *out, pn_error *e);
void answer_plan_fini(answer_plan *p);

#endif
