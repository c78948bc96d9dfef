// Which calls of a conversation have their results: the book that both APIs' rules are checked with. A round
// is what an assistant calls between two turns of the user's.
#ifndef PN_API_CALL_PAIRS_H
#define PN_API_CALL_PAIRS_H

#include "base/json.h"

typedef struct call_pair {
  pn_str id;
  size_t message; // where it was called
  bool answered;
} call_pair;

// Zero-initialise; call_pairs_fini frees. Ids are borrowed.
typedef struct call_pairs {
  pn_json *places; // object: an id's latest place in p
  call_pair *p;
  size_t n, cap;
  size_t round; // where the round begins in p
} call_pairs;

typedef enum call_pairing {
  CALL_PAIRED,
  // called: the id is one of an earlier round, and from now on this call's. Answered: the same as unknown
  CALL_EARLIER,
  CALL_TWICE, // in this round
  CALL_UNKNOWN,
  CALL_NO_MEMORY,
} call_pairing;

call_pairing call_pairs_call(call_pairs *c, const pn_json *id, size_t message);
call_pairing call_pairs_answer(call_pairs *c, const pn_json *id);

#define CALL_IDS_MAX 200
// The round ends. False when calls have no results: the first message with such calls, and their ids ("a,
// b").
bool call_pairs_end(call_pairs *c, size_t *message, char ids[CALL_IDS_MAX]);
void call_pairs_fini(call_pairs *c);

// An id as it may stand in an error's message.
#define CALL_ID_ARGS(id) (int)call_id_length(pn_json_str(id)), pn_json_cstr(id)
size_t call_id_length(pn_str id);

#endif
