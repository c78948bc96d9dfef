// A conversation as the ids of its prompt, through the model's chat template.
#ifndef PN_CLI_CHAT_PROMPT_H
#define PN_CLI_CHAT_PROMPT_H

#include "cli/open_model.h"

// The messages of a chat. Zero-initialise; chat_fini frees.
typedef struct chat {
  pn_json *messages;
  size_t n_fixed; // messages that /clear keeps: the system prompt
} chat;

bool chat_init(chat *c, const char *system, pn_error *e); // system may be NULL
void chat_fini(chat *c);
// PN_ERR_USAGE when the text is not UTF-8.
bool chat_add(chat *c, const char *role, pn_str text, pn_error *e);
void chat_drop_last(chat *c);
void chat_clear(chat *c);
// The ids of the whole conversation, ready for the model's answer. What the messages say is never read as
// control tokens.
bool chat_ids(const chat *c, const open_model *m, pn_ids *out, pn_error *e);

#endif
