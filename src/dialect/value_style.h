// Which keys can do without quotes.
#ifndef PN_DIALECT_VALUE_STYLE_H
#define PN_DIALECT_VALUE_STYLE_H

#include "dialect/dialect.h"

// The reader takes it for this key again. `named`: as the name of an argument, a=1.
bool style_is_bare_key(pn_str key, bool named);

#endif
