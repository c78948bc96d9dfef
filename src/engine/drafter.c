#include "engine/drafter.h"

#include <stdlib.h>
#include <string.h>

#define RATE 0.08      // at which a text learns; all of them together a quarter of that
#define WORTH 1.02     // times as many tokens a second as without: less is not worth a guess
#define LONG_ENOUGH 16 // tokens of the own text that agree: others are not looked at

static const double at_first[DRAFT_LENGTHS] = {0.3, 0.45, 0.6, 0.75, 0.85};

// For the streams that are guessed for, and some that were.
static int n_texts_for(int max_running) {
  return (max_running < DRAFT_STREAMS ? max_running : DRAFT_STREAMS) + DRAFT_KEPT;
}

bool drafter_init(drafter *d, int max_running, int n_ctx, pn_error *e) {
  const int n = n_texts_for(max_running);
  d->texts = calloc((size_t)n, sizeof *d->texts);
  memcpy(d->right, at_first, sizeof d->right);
  while (d->texts && d->n_texts < n && suffix_index_init(&d->texts[d->n_texts].index, n_ctx)) d->n_texts++;
  return d->n_texts == n || pn_fail(e, PN_ERR_NOMEM, "out of memory for the texts of %d streams", n);
}

void drafter_fini(drafter *d) {
  for (int i = 0; i < d->n_texts; i++) suffix_index_fini(&d->texts[i].index);
  free(d->texts);
  *d = (drafter){0};
}

uint64_t drafter_bytes(int max_running, int n_ctx) {
  return (uint64_t)n_texts_for(max_running) * (uint64_t)n_ctx * 3 * sizeof(int32_t);
}

// --- texts -------------------------------------------------------------------------------------------------

// NULL: it has none, or not any more.
static draft_text *find_text(drafter *d, const sequence *seq) {
  for (draft_text *t = d->texts; t < d->texts + d->n_texts; t++)
    if (t->age == seq->age) return t;
  return NULL;
}

// The sequence's own, or the one that nobody used for longest.
static draft_text *text_of(drafter *d, const sequence *seq) {
  draft_text *own = find_text(d, seq), *oldest = d->texts;
  if (own) return own;
  for (draft_text *t = d->texts; t < d->texts + d->n_texts; t++)
    if (t->used < oldest->used) oldest = t;
  suffix_index_clear(&oldest->index);
  oldest->age = seq->age;
  memcpy(oldest->right, d->right, sizeof d->right);
  return oldest;
}

static int class_of(int length) {
  static const int least[DRAFT_LENGTHS] = {0, 5, 9, 17, 33};
  int k = DRAFT_LENGTHS - 1;
  while (length < least[k]) k--;
  return k;
}

// What follows position `at` of the text; where it ends, the guess goes on with itself.
static void guess_from(draft_text *t, const suffix_index *x, int at, int length) {
  t->length = length;
  t->n_guess = DRAFT_RUN;
  for (int i = 0; i < DRAFT_RUN; i++) {
    if (at + i < x->n)
      t->guess[i] = x->tokens[at + i];
    else if (x == &t->index)
      t->guess[i] = t->guess[at + i - x->n];
    else {
      t->n_guess = i;
      return;
    }
  }
}

// The longest agreement: in the text itself, else in the others.
static void guess(drafter *d, draft_text *t, const sequence *seq) {
  int length, at = suffix_index_find(&t->index, seq->tokens, seq->n_tokens, t->index.n, &length);
  const suffix_index *best = &t->index;
  t->n_guess = 0;
  for (draft_text *o = d->texts; o < d->texts + d->n_texts && length < LONG_ENOUGH; o++) {
    int n, there = o == t ? -1 : suffix_index_find(&o->index, seq->tokens, seq->n_tokens, o->index.n, &n);
    if (there < 0 || n <= length) continue;
    at = there;
    length = n;
    best = &o->index;
  }
  if (at >= 0) guess_from(t, best, at, length);
}

// --- how many ----------------------------------------------------------------------------------------------

// A stream's next guessed token that is not taken yet.
typedef struct offer {
  sequence *seq;
  const draft_text *text;
  double right; // how likely all up to it are right; 0: there is none
} offer;

static void next_offer(offer *o, int n) {
  if (n >= o->text->n_guess || n >= o->seq->most_draft)
    o->right = 0;
  else
    o->right *= o->text->right[class_of(o->text->length + n)];
}

// The guessed tokens that are most likely right, as many as give the most tokens a second.
static void choose(const row_costs *costs, offer *offers, int n, int n_rows) {
  offer *taken[DRAFT_ROWS];
  double alone = row_costs_of(costs, n_rows), tokens = n, best = WORTH * n / alone;
  int n_taken = 0, worth = 0;
  while (n_taken < DRAFT_ROWS && n_rows + n_taken < ROW_COSTS_MOST) {
    offer *most = offers;
    for (offer *o = offers; o < offers + n; o++)
      if (o->right > most->right) most = o;
    if (!(most->right > 0)) break;
    tokens += most->right;
    taken[n_taken++] = most;
    next_offer(most, ++most->seq->n_draft);
    double rate = tokens / row_costs_of(costs, n_rows + n_taken);
    if (rate > best) best = rate, worth = n_taken;
  }
  while (n_taken > worth) taken[--n_taken]->seq->n_draft--;
}

void drafter_plan(drafter *d, const step_part *parts, int n_parts) {
  offer offers[DRAFT_STREAMS];
  int n_rows = 0;
  d->turn++;
  for (int i = 0; i < n_parts; i++) {
    parts[i].seq->n_draft = 0;
    n_rows += parts[i].n_rows;
  }
  if (d->n_texts == 0 || n_parts > DRAFT_STREAMS) return;
  for (int i = 0; i < n_parts; i++) {
    sequence *seq = parts[i].seq;
    draft_text *t = text_of(d, seq);
    t->used = d->turn;
    t->n_guess = 0;
    t->base = seq->n_tokens;
    suffix_index_extend(&t->index, seq->tokens, seq->n_tokens);
    if (seq->most_draft > 0) guess(d, t, seq);
    seq->draft = t->guess;
    offers[i] = (offer){seq, t, 1};
    next_offer(&offers[i], 0);
  }
  if (n_parts > 0 && n_rows <= ROW_COSTS_MOST && row_costs_of(&d->costs, n_rows) > 0)
    choose(&d->costs, offers, n_parts, n_rows);
}

void drafter_took(drafter *d, int n_rows, uint64_t us) { row_costs_took(&d->costs, n_rows, us); }

void drafter_learn(drafter *d, const sequence *seq) {
  draft_text *t = find_text(d, seq);
  if (!t) return;
  for (int i = 0; i < t->n_guess && t->base + i < seq->n_tokens; i++) {
    bool right = seq->tokens[t->base + i] == t->guess[i];
    double *own = &t->right[class_of(t->length + i)], *all = &d->right[class_of(t->length + i)];
    *own += RATE * (right - *own);
    *all += RATE / 4 * (right - *all);
    if (!right) break;
  }
  t->n_guess = 0;
}
