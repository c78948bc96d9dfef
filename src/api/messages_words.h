// Blocks of a conversation in words, for a model that reads text. Everything is appended; parts are joined by
// a newline. Memory running out shows in the buffer.
#ifndef PN_API_MESSAGES_WORDS_H
#define PN_API_MESSAGES_WORDS_H

#include "api/messages_tools.h"
#include "base/str.h"

bool words_is_type(const pn_json *block, const char *type);
void words_add_part(pn_buf *text, pn_str part);
// Blocks that don't speak to a model add nothing. For images and documents that it can't read a text stands.
void words_write_block(const tool_list *tools, pn_buf *text, const pn_json *block);
// A tool_result. `left_out`: what the tool gave back is not shown. Never empty.
void words_write_result(const tool_list *tools, pn_buf *text, const pn_json *block, bool left_out);
// A tool_addition or tool_removal.
void words_write_tool_change(const tool_list *tools, pn_buf *text, const pn_json *block);

#endif
