// The API keys of a server: from --api-key-file, or the one in the environment.
#ifndef PN_CLI_API_KEYS_H
#define PN_CLI_API_KEYS_H

#include "base/arena.h"
#include "base/error.h"
#include "cli/options.h"
#include "http/http.h"

// Zero-initialise; api_keys_fini in every case.
typedef struct api_keys {
  pn_http_key *p;
  int n;
  pn_arena arena;
} api_keys;

// Text with a key a line: "NAME KEY", or only "KEY", which is then called key1, key2, ... by its place. Empty
// lines and those that begin with # don't count. PN_ERR_USAGE with the line for anything else, names or keys
// that come twice, and when there is no key.
bool api_keys_parse(api_keys *k, pn_str text, pn_error *e);
// Those of --api-key-file, else PENSIEVE_API_KEY; none when neither is set. A file that others may read is
// spoken of.
bool api_keys_read(api_keys *k, const options *o, pn_error *e);
void api_keys_fini(api_keys *k);

#endif
