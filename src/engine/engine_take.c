// What becomes of chosen tokens, in two halves. Appending them is all that the next step needs. Saying them
// (text, stop strings, outboxes, waking clients) may happen while that step is computed.
#include "base/log.h"
#include "engine/engine_int.h"

static bool is_end(const pn_engine *g, int32_t id) {
  size_t n;
  const int32_t *ends = pn_tokenizer_end_ids(g->tokenizer, &n);
  for (size_t i = 0; i < n; i++)
    if (ends[i] == id) return true;
  return false;
}

static void fail_one(pn_engine *g, pn_gen *gen, const pn_error *e) {
  pn_log(PN_LOG_ERROR, gen->id, e->msg, NULL);
  engine_finish(g, gen, PN_STOP_END_TURN, -1, e, false);
}

// Append a token, the model's own or one that must follow. False: the answer ends with it, for the reason
// *why.
static bool append(pn_engine *g, pn_gen *gen, int32_t id, const pn_token_event *told, pn_stop_reason *why) {
  bool end = !gen->ignore_end && is_end(g, id);
  generation_append(gen, id, end, told, g->now_us);
  if (end || gen->off_guide || generation_over(gen))
    *why = PN_STOP_END_TURN;
  else if (generation_n_output(gen) >= gen->seq.max_tokens)
    *why = PN_STOP_MAX_TOKENS;
  else if (gen->seq.n_tokens >= g->options.n_ctx)
    *why = PN_STOP_CONTEXT;
  else
    return true;
  return false;
}

// The chosen token, and those that must follow: they need no choice, and are computed together with it.
static bool append_all(pn_engine *g, pn_gen *gen, const pn_choice *choice, pn_stop_reason *why) {
  if (!append(g, gen, choice->id, gen->logprobs ? choice : NULL, why)) return false;
  int32_t ids[SEQUENCE_AHEAD - 1];
  int n = generation_forced(gen, ids, SEQUENCE_AHEAD - 1);
  for (int i = 0; i < n; i++)
    if (!append(g, gen, ids[i], NULL, why)) return false;
  return true;
}

bool engine_append(pn_engine *g, pn_gen *gen, const pn_choice *choice) {
  static const pn_error not_finite = {PN_ERR_INTERNAL, "the model's logits are not finite numbers"},
                        no_memory = {PN_ERR_NOMEM, "out of memory for the answer's grammar"};
  if (!choice || choice->id < 0) {
    fail_one(g, gen, choice ? &not_finite : &no_memory);
    return false;
  }
  if (gen->first_us == 0)
    engine_metrics_first_token(g->metrics, g->now_us - gen->submit_us);
  else
    engine_metrics_next_token(g->metrics, g->now_us - gen->last_us);
  pn_stop_reason why = PN_STOP_END_TURN;
  if (append_all(g, gen, choice, &why)) {
    if (g->n_unsaid == 0 || g->unsaid[g->n_unsaid - 1] != gen) g->unsaid[g->n_unsaid++] = gen;
    return true;
  }
  engine_finish(g, gen, why, -1, NULL, true);
  return false;
}

// A stop string is complete, or its reader is too slow. Rows of it that are in flight are dropped when they
// land.
static void end_answer(pn_engine *g, pn_gen *gen, int stop) {
  if (!gen->in_flight) {
    engine_finish(g, gen, stop >= 0 ? PN_STOP_STRING : PN_STOP_END_TURN, stop, NULL, true);
    return;
  }
  gen->over_in_flight = true;
  gen->over_stop = stop;
}

void engine_say(pn_engine *g) {
  for (int i = 0, stop; i < g->n_unsaid; i++)
    if (g->unsaid[i] && generation_say(g->unsaid[i], &stop)) end_answer(g, g->unsaid[i], stop);
  for (int i = 0; i < g->n_unsaid; i++)
    if (g->unsaid[i]) generation_tell(g->unsaid[i]);
  g->n_unsaid = 0;
}
