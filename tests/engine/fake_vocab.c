// What guides ask of a tokenizer, for tests whose fakes of it have no vocabulary: there are no guides in
// them.
#include "tokenizer/tokenizer.h"

int32_t pn_tokenizer_n_vocab(const pn_tokenizer *t) { return (void)t, 0; }
bool pn_tokenizer_is_control(const pn_tokenizer *t, int32_t id) { return (void)t, (void)id, false; }
int32_t pn_tokenizer_find(const pn_tokenizer *t, pn_str s) { return (void)t, (void)s, -1; }
void pn_ids_fini(pn_ids *ids) { (void)ids; }
void pn_tokenizer_decode(const pn_tokenizer *t, const int32_t *ids, size_t n, bool keep_control,
                         pn_buf *out) {
  (void)t, (void)ids, (void)n, (void)keep_control, (void)out;
}
bool pn_tokenizer_encode(const pn_tokenizer *t, pn_str text, const pn_span *plain, size_t n_plain,
                         pn_ids *out, pn_error *e) {
  (void)t, (void)text, (void)plain, (void)n_plain, (void)out, (void)e;
  return false;
}
