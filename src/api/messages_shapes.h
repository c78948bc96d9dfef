// The shapes of the Messages API: constant tables that requests are checked against, and that describe them.
#ifndef PN_API_MESSAGES_SHAPES_H
#define PN_API_MESSAGES_SHAPES_H

#include "api/shape.h"

// Bodies. `messages_count_shape` is messages_create_shape with max_tokens optional.
extern const shape messages_create_shape, messages_count_shape;

// Their parts: blocks_shape.c, tools_shape.c.
extern const shape shape_any_string, shape_any_boolean, shape_any_object, shape_name, shape_cache_control;
extern const shape shape_content;               // of a message: a string or blocks
extern const shape shape_string_or_text_blocks; // of a system prompt
extern const shape shape_tools, shape_tool_choice, shape_tool;

#endif
