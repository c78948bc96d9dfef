// How fast prompts are computed beside running streams, so that those hardly notice. A pass of prompt rows
// goes through the model's layers; between two layers the streams have their step. Of each such turn the
// prompts get a share of the time; what is not used is saved for a layer that costs more. Pure: time comes in
// as numbers. One owner.
#ifndef PN_ENGINE_PROMPT_PACE_H
#define PN_ENGINE_PROMPT_PACE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct prompt_pace {
  double
      // of the time, for one prompt; more prompts get more, but streams never go at less than half speed
      share;
  int max_rows;             // of a pass
  int n_layers;             // 1: a pass is computed whole, in one turn
  int least;                // rows of a pass, where the prompts have as many
  int alone_least;          // the same without streams; who owns this may raise it
  double rows;              // of a pass beside streams
  double alone_rows_per_us; // of a pass without streams; 0: unknown
  double layer_us;          // a layer of the pass under way is expected to take; 0: unknown
  double budget_us;         // of this turn
  double credit_us;         // that prompts may use now
  int turns_since;          // turns without a layer
  bool shared;              // the pass under way was beside streams all the time
  uint64_t pass_us;         // it has taken so far
  int pass_rows, pass_layers;
} prompt_pace;

// Where a pass is computed whole, it counts as one layer, and fits is asked before it begins.
void prompt_pace_init(prompt_pace *p, double share, int max_rows, int n_layers);
// In a turn: rows for a new pass, beside streams or alone, and that it begins with so many.
int prompt_pace_rows(const prompt_pace *p, bool streams);
void prompt_pace_begin(prompt_pace *p, int n_rows);
// A turn: the streams' step took us (0: there is none), and n_prompts are to be computed.
void prompt_pace_turn(prompt_pace *p, uint64_t streams_us, int n_prompts);
// Whether the next layer may be computed in this turn; that it took us.
bool prompt_pace_fits(const prompt_pace *p);
void prompt_pace_took(prompt_pace *p, uint64_t us);

#endif
