// Settings of a verb: flag > environment > --config file > default, from one table (option_table.c).
#ifndef PN_CLI_OPTIONS_H
#define PN_CLI_OPTIONS_H

#include "base/arena.h"
#include "base/error.h"
#include "base/json.h"

typedef enum option_kind {
  OPTION_TEXT,
  OPTION_INT,    // min..max
  OPTION_NUMBER, // min..max
  OPTION_SWITCH, // a flag without a value; "true" or "false" elsewhere
  OPTION_CHOICE, // one of choices
  OPTION_BYTES,  // bytes, or with K, M, G, T (of 1024), or a percentage
  // text that is never shown, and never a flag: other users of the machine can read command lines
  OPTION_SECRET,
} option_kind;

// Verbs as bits.
enum {
  VERB_SERVE = 1 << 0,
  VERB_RUN = 1 << 1,
  VERB_LIST = 1 << 2,
  VERB_INSPECT = 1 << 3,
  VERB_TOKENS = 1 << 4,
  VERB_TEMPLATE = 1 << 5,
  VERB_LOGITS = 1 << 6,
  VERB_PERPLEXITY = 1 << 7,
  VERB_BENCH = 1 << 8,
  VERB_VERSION = 1 << 9,
  VERB_CLAUDE = 1 << 10,
};
// Verbs that hand words on to another program: from the first word that is not one of their flags, all are
// arguments.
#define VERBS_HANDING_ON VERB_CLAUDE

typedef struct option_spec {
  unsigned verbs;   // which verbs have it
  const char *name; // flag --name, and key of the configuration file
  const char *env;  // name in the environment; NULL: PENSIEVE_NAME
  option_kind kind;
  const char *arg;      // how help names the value
  const char *fallback; // default; NULL: none, or decided when it is known what fits
  double min, max;
  const char *choices; // separated by '|'
  const char *help;    // NULL: not shown
} option_spec;

// Ends with a spec whose name is NULL. A name may stand there twice for different verbs.
extern const option_spec option_table[];
// Whether a setting of the kind OPTION_CHOICE takes this value.
bool option_offers(const char *name, const char *choice);
// Environment name of a spec, written to out.
void option_env_name(const option_spec *s, char out[64]);

typedef enum option_source { FROM_DEFAULT, FROM_CONFIG, FROM_ENVIRONMENT, FROM_FLAG } option_source;

typedef struct option_value {
  const option_spec *spec;
  const char *text; // NULL: not set
  option_source source;
} option_value;

#define OPTIONS_MAX 64
typedef struct options {
  const char *verb_name;
  unsigned verb;
  option_value values[OPTIONS_MAX];
  int n_values;
  const char **args; // what is not a flag
  int n_args;
  bool help;
  int *status;    // for a verb that ends well with another exit status than 0
  pn_arena arena; // memory of all texts
} options;

// Read the words behind the verb, the environment and the configuration file. The words must outlive the
// options. options_fini in every case.
bool options_read(options *o, const char *verb_name, unsigned verb, int argc, char **argv, pn_error *e);
void options_fini(options *o);

// Values; the name must be one of the verb's.
const char *options_text(const options *o, const char *name); // NULL when not set
bool options_set(const options *o, const char *name);         // other than by default
bool options_flagged(const options *o, const char *name);     // by a flag
int64_t options_int(const options *o, const char *name);      // 0 when not set
double options_number(const options *o, const char *name);
bool options_on(const options *o, const char *name);
// Bytes; a percentage is of `whole`; 0 when not set.
uint64_t options_bytes(const options *o, const char *name, uint64_t whole);
// Where the value came from, for messages: "--ctx", "MAX_CONTEXT_LENGTH in the environment", ...
void options_origin(const options *o, const char *name, char out[128]);

// Every value and where it came from, as lines.
void options_print(const options *o, pn_buf *out);
// The flags of a verb for its --help.
void options_help(unsigned verb, pn_buf *out);

// The candidate that is nearest to `word` when it is near enough to be meant, else NULL. n candidates.
const char *nearest_word(const char *word, const char *const *candidates, int n);

#endif
