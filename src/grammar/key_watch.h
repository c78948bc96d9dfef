// Which members the objects of a JSON text have so far, as it comes: no member may come twice, and an
// automaton does not remember names that the schema doesn't list.
//
// Thread: one owner. Zero-initialise.
#ifndef PN_GRAMMAR_KEY_WATCH_H
#define PN_GRAMMAR_KEY_WATCH_H

#include "base/str.h"

typedef struct key_watch {
  char *open; // '{' or '[' of what is open
  size_t n_open, cap_open;
  pn_buf keys;     // of all open objects: each with its quotes, as it is written
  size_t *keys_at; // by level: where its keys begin in `keys`
  size_t key_at;   // of the one that is being written
  bool in_string, in_key, escaped, wants_key;
  bool oom;
} key_watch;

void key_watch_fini(key_watch *w);
void key_watch_reset(key_watch *w);
bool key_watch_copy(key_watch *to, const key_watch *from); // false: out of memory
void key_watch_read(key_watch *w, pn_str text);
// Whether a text would write a key that is there already.
bool key_watch_repeats(const key_watch *w, pn_str text);
// The key that is being written, from its quote on; {NULL, 0}: none is.
pn_str key_watch_key(const key_watch *w);
// The next key of the innermost object, with its quotes, from *at on (0 first); false: there are no more
// before the one that is being written.
bool key_watch_next(const key_watch *w, size_t *at, pn_str *key);

#endif
