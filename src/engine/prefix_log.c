#include "base/log.h"
#include "engine/engine_int.h"

#include <stdio.h>

// The token as its vocabulary spells it, cut to fit; what is not printable ASCII as \xNN.
static void spell(const pn_tokenizer *t, int32_t id, char *out, size_t cap) {
  pn_str s = pn_tokenizer_spelling(t, id);
  size_t n = 0;
  for (size_t i = 0; i < s.n && n + 5 < cap; i++) {
    unsigned char c = (unsigned char)s.p[i];
    if (c >= 0x20 && c < 0x7f)
      out[n++] = (char)c;
    else
      n += (size_t)snprintf(out + n, 5, "\\x%02x", (unsigned)c);
  }
  out[n] = '\0';
}

void prefix_log(const pn_kv_pool *pool, const pn_tokenizer *t, const pn_gen *gen, int n_recomputed) {
  if (!pn_log_on(PN_LOG_DEBUG)) return;
  const sequence *seq = &gen->seq;
  int32_t differs = -1;
  int known = pn_kv_lookup(pool, 0, seq->tokens, seq->n_prompt, &differs);
  if (differs < 0 || seq->n_prompt - known <= PN_KV_PAGE_TOKENS) {
    pn_log(PN_LOG_DEBUG, gen->id, "prefix cache",
           PN_FIELDS(PN_I("prompt_tokens", seq->n_prompt), PN_I("cached_tokens", seq->n_cached),
                     PN_I("recomputed_tokens", n_recomputed)));
    return;
  }
  char cached[64], prompt[64];
  spell(t, differs, cached, sizeof cached);
  spell(t, seq->tokens[known], prompt, sizeof prompt);
  pn_log(PN_LOG_DEBUG, gen->id, "prefix cache",
         PN_FIELDS(PN_I("prompt_tokens", seq->n_prompt), PN_I("cached_tokens", seq->n_cached),
                   PN_I("recomputed_tokens", n_recomputed), PN_I("at", known), PN_S("cached_text", cached),
                   PN_S("prompt_text", prompt)));
}
