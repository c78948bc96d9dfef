// What a model speaks: whether its template writes tools, in which dialect it calls them, and how it marks
// its thinking. Found by letting the template render a small conversation.
#ifndef PN_API_SPEECH_H
#define PN_API_SPEECH_H

#include "api/api.h"
#include "dialect/dialect.h"

typedef struct speech {
  bool knows_tools; // the template writes tools, calls and results by itself, in a dialect that is known
  bool switches_thinking; // the template knows enable_thinking
  pn_tongue native;       // when the template writes tools
  pn_tongue text;         // when they are told as text
} speech;

// PN_ERR_USAGE when o->dialect names none.
bool speech_init(speech *s, const pn_api_options *o, pn_error *e);
void speech_fini(speech *s);

#endif
