// How tools, calls and results are put into words for a model, and how a model's answer is taken apart into
// text, thinking and calls. One description a family of models; what a chat template writes by itself is the
// template's.
//
// Raw text is an answer as the engine gives it with `raw`: UTF-8, and control tokens by their spelling
// between the bytes FF and FE, which no UTF-8 text holds. So a spelled mark is never taken for the control
// token of that name.
#ifndef PN_DIALECT_H
#define PN_DIALECT_H

#include "base/json.h"
#include "base/str.h"
#include "tokenizer/tokenizer.h"

#define PN_RAW_BEGIN '\xFF' // in front of a control token's spelling
#define PN_RAW_END '\xFE'   // behind it

// How values are written in calls.
typedef struct pn_value_style {
  const char *yes, *no, *null;
  const char *comma, *colon; // between members and items, behind keys
  const char *quote;         // NULL: strings as in JSON; else as they are, between two of these
  bool bare_keys;            // keys without quotes, unless they hold one of {}[](),:"'< or line breaks
} pn_value_style;
extern const pn_value_style pn_style_json;   // as Python's json.dumps without ensure_ascii
extern const pn_value_style pn_style_python; // as Python's literals; strings as in JSON
void pn_style_write(pn_buf *out, const pn_value_style *s, const pn_json *v);
void pn_style_write_str(pn_buf *out, const pn_value_style *s, pn_str text);

// Arguments that stand one by one, as XML would have them: each is KEY name VALUE text PAD CLOSE NEXT. A
// string is written as it is, any other value in the style's way. PAD and NEXT are white space or empty.
typedef struct pn_parameter_marks {
  const char *key, *value, *pad, *close, *next;
} pn_parameter_marks;

// A section is OPEN BEGIN call {BETWEEN call} END, and AGAIN, which is white space or empty, may lead to the
// next one. A call is HEAD name MIDDLE arguments TAIL. Arguments are an object in the style's way, or NAMED:
// a=1, b=2, or PARAMETERS.
typedef struct pn_dialect {
  const char *name, *about;
  const char *open, *begin, *head, *middle, *tail, *between, *end,
      *again; // between, again NULL: not possible
  const pn_value_style *values;
  bool named;
  bool bare;                            // a section may also begin the answer without OPEN
  const pn_parameter_marks *parameters; // NULL: arguments are an object, or NAMED
} pn_dialect;

// All of them, an empty name at the end; the first is for models that know no tools.
extern const pn_dialect pn_dialects[];
const pn_dialect *pn_dialect_find(const char *name); // NULL: there is none of that name
// The one in which `rendered` writes a call of `name`; NULL: none that is known.
const pn_dialect *pn_dialect_detect(pn_str rendered, pn_str name);

// Marks around what a model thinks.
typedef struct pn_thinking_marks {
  const char *open, *close; // NULL at the end of the list
} pn_thinking_marks;
extern const pn_thinking_marks pn_thinking[];

// A dialect for one tokenizer: its texts as raw text. Immutable, owned by its maker.
typedef struct pn_tongue {
  const pn_dialect *dialect;
  const pn_thinking_marks *thinking; // NULL: the model does not think in marks
  // Owned; {NULL, 0} where the dialect has none.
  pn_str open, begin, head, middle, tail, between, end, again, quote, think_open, think_close;
  pn_str key, value, pad, close, next; // of parameters
} pn_tongue;
// False: out of memory.
bool pn_tongue_init(pn_tongue *t, const pn_dialect *d, const pn_thinking_marks *m, const pn_tokenizer *k);
void pn_tongue_fini(pn_tongue *t);
// Text in which the tokenizer's control tokens are spelled as raw text; k NULL: there are none.
void pn_raw_text(pn_buf *out, pn_str text, const pn_tokenizer *k);

// --- writing, for templates that know no tools
// ------------------------------------------------------------------------ Only text is appended; JSON is
// borrowed. Memory running out shows in the buffer.

// Say which tools there are and how one is called. `tools`: an array of
// {"type":"function","function":{"name", "description","parameters"}}.
void pn_dialect_write_tools(pn_buf *out, const pn_dialect *d, const pn_json *tools);
// One tool as a line of that list; also what tells a model of a tool that comes later.
void pn_dialect_write_tool(pn_buf *out, const pn_json *tool);
// A call, as the model is asked to write it. `behind_call`: `out` ends with another call that was written so;
// then this one joins its section, or a section of its own follows, as the dialect has it. What is there is
// complete after each call.
void pn_dialect_write_call(pn_buf *out, const pn_dialect *d, pn_str name, const pn_json *arguments,
                           bool behind_call);
// What a tool gave back.
void pn_dialect_write_result(pn_buf *out, pn_str text, bool is_error);

// --- reading an answer -------------------------------------------------------------------------------------

// What an answer turns out to be, as it comes. Texts are borrowed for the call.
typedef struct pn_dialect_sink {
  void *ctx;
  void (*text)(void *ctx, pn_str text);
  void (*thinking)(void *ctx, pn_str text);
  void (*call)(void *ctx, pn_str name); // begins; its arguments follow
  void (*arguments)(void *ctx,
                    pn_str json);          // a piece of one JSON object; all pieces together are one, always
  void (*call_end)(void *ctx, bool whole); // whole: the model wrote it to its end
} pn_dialect_sink;

// What is read as what:
// - A call begins where OPEN BEGIN HEAD name MIDDLE is complete and is_tool(name); white space in front of
//   OPEN is dropped, and white space between the last section and the answer's end. Where it is not complete,
//   it is text from OPEN on.
// - Arguments come out as compact JSON in whole characters, escapes and literals. They end where they don't
//   fit: at bytes that can't follow, at a key that its object has already, beyond limits of depth, key length
//   and number of members, and at the dialect's own control tokens. The rest is text then. What an answer's
//   end leaves half is dropped; a key without a value gets null.
// - A parameter that can only be a string is the text up to CLOSE, without one PAD in front of it. One that
//   can be no string is JSON. One that can be both is JSON where it begins as an array or object that it may
//   be, or is as a whole a number, true, false or null that it may be; else it is a string. A parameter that
//   comes a second time is dropped.
// - A call whose arguments are complete is whole. What doesn't fit behind it is text, except an END that is
//   cut off, which is dropped, and `, "id": "..."` in front of the brace that ends the call, which some
//   models write.
// - Thinking begins the answer (or is on already: `thinks`) and ends at its mark; white space around and
//   within its marks is dropped. Nothing in it is a call.
// - Control tokens that are no mark at their place are dropped.
// Text of UTF-8 that comes in whole characters comes out in whole characters.
typedef struct pn_dialect_reader pn_dialect_reader;
// Kinds of JSON values, for sets of them.
enum {
  PN_KIND_NULL = 1,
  PN_KIND_BOOL = 2,
  PN_KIND_NUMBER = 4,
  PN_KIND_STRING = 8,
  PN_KIND_ARRAY = 16,
  PN_KIND_OBJECT = 32,
  PN_KIND_ANY = 63,
};
typedef struct pn_dialect_reading {
  const pn_tongue *tongue;
  bool thinks;                                           // it begins within its thinking
  bool (*is_tool)(void *ctx, pn_str name);               // NULL: there are no tools, and nothing is a call
  unsigned (*kinds)(void *ctx, pn_str tool, pn_str key); // of a tool's parameter; NULL: any
  void *ctx;
} pn_dialect_reading;
// The tongue must outlive it; the sink is copied. NULL: out of memory. One owner.
pn_dialect_reader *pn_dialect_reader_new(const pn_dialect_reading *how, const pn_dialect_sink *sink);
void pn_dialect_reader_free(pn_dialect_reader *r);
// The next bytes of raw text, cut anywhere: the events don't depend on where. False: out of memory.
bool pn_dialect_read(pn_dialect_reader *r, pn_str raw);
// No more comes: what was held back is text after all, unless it is a call's header that was cut off, and a
// call that is not complete is closed, so that its arguments are a valid object.
bool pn_dialect_read_end(pn_dialect_reader *r);

#endif
