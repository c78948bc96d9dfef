// The verbs. Each has its file cli_VERB.c. A verb writes results to stdout and returns false with *e filled
// when it failed; main.c turns the code into the exit status.
#ifndef PN_CLI_VERBS_H
#define PN_CLI_VERBS_H

#include "cli/options.h"

typedef struct verb {
  const char *name;
  unsigned bit;
  const char *args;    // how help names what is not a flag; NULL: nothing is allowed
  int max_args;        // how many there may be
  const char *summary; // one line
  const char *about;   // more, or NULL
  const char *example;
  bool (*run)(const options *o, pn_error *e);
} verb;

bool cli_serve(const options *o, pn_error *e);
bool cli_run(const options *o, pn_error *e);
bool cli_list(const options *o, pn_error *e);
bool cli_inspect(const options *o, pn_error *e);
bool cli_tokens(const options *o, pn_error *e);
bool cli_template(const options *o, pn_error *e);
bool cli_logits(const options *o, pn_error *e);
bool cli_perplexity(const options *o, pn_error *e);
bool cli_bench(const options *o, pn_error *e);
bool cli_claude(const options *o, pn_error *e);
bool cli_version(const options *o, pn_error *e);

#endif
