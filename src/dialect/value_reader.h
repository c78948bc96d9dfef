// A call's arguments in a style of values -> one JSON object, compact, as they come.
#ifndef PN_DIALECT_VALUE_READER_H
#define PN_DIALECT_VALUE_READER_H

#include "dialect/dialect.h"

enum {
  VALUE_MAX_DEPTH = 256,
  VALUE_MAX_KEY = 1 << 20,
  VALUE_MAX_CONTROL = 1024,
  VALUE_MAX_NUMBER = 64,
  VALUE_MAX_MEMBERS = 1 << 16
};

typedef enum value_result {
  VALUE_MORE, // what was not used needs more bytes; they are few
  VALUE_BAD,  // what was not used is not of these arguments
  VALUE_DONE, // the object is complete; what was not used is behind it
} value_result;

typedef enum value_place {
  VALUE_AT_ARGUMENTS,     // nothing so far
  VALUE_AT_KEY_OR_CLOSE,  // behind an object's opening
  VALUE_AT_KEY,           // behind its comma
  VALUE_IN_BARE_KEY,      //
  VALUE_AT_COLON,         //
  VALUE_AT_VALUE,         // of a key, or behind an array's comma
  VALUE_AT_ITEM_OR_CLOSE, // behind an array's opening
  VALUE_IN_STRING,        //
  VALUE_BEHIND,           // a value
  VALUE_AT_PARAMETER,     // or behind the last one
  VALUE_IN_NAME,          // of a parameter
  VALUE_AT_CONTENT,       // of a parameter
  VALUE_IN_CONTENT,       // a parameter's string, as it is
  VALUE_AT_END,           //
} value_place;

typedef struct value_level {
  bool is_array, has_items;
  uint64_t serial; // of the object
} value_level;

// Zero-initialise with .tongue and .out set, and for parameters .how and .tool. One owner.
typedef struct value_reader {
  const pn_tongue *tongue;
  const pn_dialect_reading *how;
  pn_str tool;
  pn_buf *out; // only whole literals, characters and escapes
  value_place place;
  value_level levels[VALUE_MAX_DEPTH];
  size_t depth;
  bool is_key;    // the string is
  char delimiter; // of the string; 0: the tongue's quote
  pn_buf key;     // as JSON, without quotes
  // Keys that there were, as hashes: JSON readers refuse an object that has a key twice.
  uint64_t *seen, serial;
  size_t n_seen, cap_seen;
  // A parameter that came before goes to `dropped` while out is kept aside.
  pn_buf dropped, *aside; // aside NULL: nothing is dropped
} value_reader;
void value_reader_fini(value_reader *r);

// Raw text; *used says how much of it was used.
value_result value_read(value_reader *r, pn_str raw, size_t *used);
// Close what is open. An item that has only begun is left out, a key without a value gets null.
void value_close(value_reader *r);

// --- of value_reader.c and parameter_reader.c --------------------------------------------------------------

// One step at a place of parameters: as value_read. VALUE_DONE: all parameters are over.
value_result parameter_step(value_reader *r, pn_str raw, size_t *used);
void parameter_end(value_reader *r); // a value is over, or given up: what was dropped is gone
bool value_add_key(value_reader *r); // false: the object has it already, there are too many, or no memory
void value_begin_member(value_reader *r);
bool value_is_number(pn_str s, bool *whole); // only what is one in JSON

#endif
