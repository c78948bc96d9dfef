// Places in a schema.
#ifndef PN_GRAMMAR_SCHEMA_PATH_H
#define PN_GRAMMAR_SCHEMA_PATH_H

#include "base/json.h"

// Where `node` stands in `root`: "properties.a.items"; nothing for the root itself and for what isn't in it.
void schema_path_write(pn_buf *out, const pn_json *root, const pn_json *node);

#endif
