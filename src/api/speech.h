// What a model speaks: whether its template writes tools, in which dialect it calls them, how it marks its
// thinking, and where it takes system messages. Found by letting the template render small conversations.
#ifndef PN_API_SPEECH_H
#define PN_API_SPEECH_H

#include "api/api.h"
#include "api/messages_read.h"
#include "dialect/dialect.h"

typedef struct speech {
  bool knows_tools; // the template writes tools, calls and results by itself, in a dialect that is known
  pn_api_tool_form form;
  bool switches_thinking; // the template knows enable_thinking
  turn_fold fold;         // the least with which no system text is left out
  unsigned efforts;       // bits: which of the efforts the template takes
  pn_tongue native;       // when the template writes tools
  pn_tongue text;         // when they are told as text
} speech;

// PN_ERR_USAGE when o->dialect names none.
bool speech_init(speech *s, const pn_api_options *o, pn_error *e);
void speech_fini(speech *s);
void speech_tell(const speech *s); // log what is not as one would expect
pn_api_card speech_card(const speech *s);
// The effort for the template: the one that is wanted, else the next higher or lower one that it takes;
// {NULL, 0}: it takes none. Efforts of unknown names stay.
pn_str speech_effort(const speech *s, pn_str wanted);

#endif
