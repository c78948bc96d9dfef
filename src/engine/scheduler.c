#include "engine/scheduler.h"

#include <stdlib.h>
#include <string.h>

#define RETRY_PLANS 16 // the front is tried again after so many, though the number of pages is the same

bool scheduler_init(scheduler *s, pn_kv_pool *pool, int max_running, scheduler_hooks hooks, pn_error *e) {
  *s = (scheduler){.pool = pool,
                   .hooks = hooks,
                   .max_running = max_running,
                   .reserve = SCHEDULER_RESERVE,
                   .mark_every = SCHEDULER_MARK_EVERY};
  s->running = calloc((size_t)max_running, sizeof *s->running);
  s->rows = calloc((size_t)max_running, sizeof *s->rows);
  if (s->running && s->rows) return true;
  scheduler_fini(s);
  return pn_fail(e, PN_ERR_NOMEM, "out of memory for %d running sequences", max_running);
}

void scheduler_fini(scheduler *s) {
  free(s->running);
  free(s->rows);
  *s = (scheduler){0};
}

static int whole(int n_tokens) { return n_tokens / PN_KV_PAGE_TOKENS * PN_KV_PAGE_TOKENS; }
static int smaller(int a, int b) { return a < b ? a : b; }

void scheduler_add(scheduler *s, sequence *seq) {
  seq->state = SEQUENCE_WAITING;
  s->n_background += seq->background;
  waiting_add(&s->waiting, seq);
}

// Whether all copies are made that are wanted.
static bool copied(const scheduler *s, const pn_kv_prefix *what) {
  bool any = what->copy_from >= 0 || what->state.from >= 0;
  for (int k = 0; k < PN_KV_MAX_WINDOWS; k++) any = any || what->window[k].from >= 0;
  return !any || s->hooks.copy(s->hooks.ctx, what);
}

// To where everything that the layers keep can be had, at most n tokens.
static void go_back(scheduler *s, sequence *seq, int n) {
  for (bool there = false; !there; n = 0) { // of no tokens there is nothing to copy
    pn_kv_prefix back;
    pn_kv_truncate(s->pool, &seq->table, n, &back);
    there = copied(s, &back);
    pn_kv_attached(s->pool, &back);
    seq->n_computed = back.n_tokens;
  }
}

// Take from the cache what it knows beyond n_computed. The last token is always computed: its logits are
// needed.
static void attach(scheduler *s, sequence *seq) {
  int n = seq->n_tokens - 1;
  if (n <= seq->n_computed) return;
  pn_kv_prefix found;
  pn_kv_attach(s->pool, &seq->table, 0, seq->tokens, seq->n_computed, n, &found);
  if (found.n_tokens > seq->n_computed) {
    seq->n_computed = found.n_tokens;
    bool there = copied(s, &found);
    pn_kv_attached(s->pool, &found);
    if (!there) go_back(s, seq, whole(found.n_tokens));
    if (!seq->started) seq->n_cached = seq->n_computed;
  }
}

// Wait for an older one that computes at least a page more of the same prefix than this one has.
static void choose_leader(const scheduler *s, sequence *seq) {
  int best = seq->n_computed + PN_KV_PAGE_TOKENS - 1;
  seq->leader = NULL;
  for (int i = 0; i < s->n_running && s->running[i] != seq; i++) {
    const sequence *other = s->running[i];
    if (sequence_decoding(other)) continue;
    int most = smaller(seq->n_tokens, other->n_tokens) - 1, same = 0;
    if (most <= best || memcmp(seq->tokens, other->tokens, (size_t)(best + 1) * sizeof *seq->tokens) != 0)
      continue;
    for (same = best + 1; same < most && seq->tokens[same] == other->tokens[same];) same++;
    if (whole(same) <= other->n_computed || whole(same) <= seq->n_computed) continue;
    best = same;
    seq->leader = other;
    seq->follow_to = whole(same);
  }
}

// Pages that running sequences may still take: for the rest of their prompts and what was reserved for their
// answers.
static int promised(const scheduler *s) {
  int n = 0;
  for (int i = 0; i < s->n_running; i++) {
    int more = pn_kv_pages_of(s->running[i]->target) - s->running[i]->table.n_pages;
    if (more > 0) n += more;
  }
  return n;
}

static int slack(const scheduler *s) {
  pn_kv_stats k = pn_kv_pool_stats(s->pool);
  return k.n_free + k.n_cached - promised(s);
}

static bool no_room(scheduler *s, const sequence *seq, int had) {
  s->blocked = seq;
  s->blocked_slack = had;
  s->blocked_for = 0;
  return false;
}

// Whether there is room for everything that it needs; its table then holds what the cache knew.
static bool make_room(scheduler *s, sequence *seq) {
  int left = seq->max_tokens - (seq->n_tokens - seq->n_prompt);
  seq->target = smaller(seq->cap_tokens, seq->n_tokens + smaller(left, s->reserve));
  if (s->n_running > 0) {
    int have = slack(s), known, want = pn_kv_pages_of(seq->target);
    if (s->blocked == seq && have <= s->blocked_slack && s->blocked_for < RETRY_PLANS) return false;
    known = want > have ? pn_kv_lookup(s->pool, 0, seq->tokens, seq->n_tokens - 1, &(int32_t){0}) : 0;
    // Even if others hold all that it knows: then those pages cost nothing.
    if (want - known / PN_KV_PAGE_TOKENS > have) return no_room(s, seq, have);
    attach(s, seq);
    if (want - seq->table.n_pages > slack(s)) {
      pn_kv_release(s->pool, &seq->table, 0, seq->tokens, 0);
      seq->n_computed = 0;
      if (!seq->started) seq->n_cached = 0;
      return no_room(s, seq, have);
    }
  } else {
    attach(s, seq);
  }
  return true;
}

sequence *scheduler_admit(scheduler *s) {
  sequence *seq = waiting_front(&s->waiting);
  if (!seq || s->n_running == s->max_running || !make_room(s, seq)) return NULL;
  waiting_take(&s->waiting);
  s->blocked = NULL;
  seq->state = SEQUENCE_RUNNING;
  seq->fresh = true;
  if (seq->age == 0) seq->age = ++s->n_ages;
  s->running[s->n_running++] =
      seq; // it is younger than all of them: the youngest pauses first and comes back last
  choose_leader(s, seq);
  return seq;
}

static int scheduler_n_decoding(const scheduler *s) {
  int n = 0;
  for (int i = 0; i < s->n_running; i++) n += sequence_decoding(s->running[i]);
  return n;
}

int scheduler_n_prompts(const scheduler *s) { return s->n_running - scheduler_n_decoding(s); }

// Nobody follows it any more, and it holds no pages.
static void stop_running(scheduler *s, sequence *seq, bool keep) {
  int at = 0;
  while (s->running[at] != seq) at++;
  s->n_running--;
  memmove(s->running + at, s->running + at + 1, (size_t)(s->n_running - at) * sizeof *s->running);
  memmove(s->rows + at, s->rows + at + 1, (size_t)(s->n_running - at) * sizeof *s->rows);
  for (int i = 0; i < s->n_running; i++)
    if (s->running[i]->leader == seq) s->running[i]->leader = NULL;
  if (seq->under_way) pn_kv_lose_state(s->pool, &seq->table);
  pn_kv_release(s->pool, &seq->table, 0, seq->tokens, keep ? seq->n_computed : 0);
  seq->under_way = false;
  seq->leader = NULL;
}

static void lay_aside(scheduler *s, sequence *seq) {
  if (s->blocked == seq) s->blocked = NULL;
  if (seq->state == SEQUENCE_RUNNING)
    stop_running(s, seq, true);
  else
    waiting_remove(&s->waiting, seq);
  seq->n_computed = 0;
  seq->age = 0; // it comes back as the youngest
  seq->state = SEQUENCE_ASIDE;
  seq->next = s->aside;
  seq->next_client = NULL;
  s->aside = seq;
  s->n_background -= seq->background;
}

static void unlink_aside(scheduler *s, sequence *seq) {
  sequence **at = &s->aside;
  while (*at != seq) at = &(*at)->next;
  *at = seq->next;
  seq->next = NULL;
}

static void take_up(scheduler *s, sequence *seq) {
  unlink_aside(s, seq);
  scheduler_add(s, seq);
}

void scheduler_hold(scheduler *s, sequence *seq) {
  if (seq->state == SEQUENCE_RUNNING || seq->state == SEQUENCE_WAITING) lay_aside(s, seq);
  seq->held = seq->state == SEQUENCE_ASIDE;
}

void scheduler_release(scheduler *s, sequence *seq) {
  if (!seq->held) return;
  seq->held = false;
  take_up(s, seq);
}

static bool is_background(const sequence *seq, void *ctx) {
  (void)ctx;
  return seq->background && seq->state != SEQUENCE_ASIDE;
}

sequence *scheduler_in_the_way(scheduler *s) {
  if (s->n_running + s->waiting.n > s->n_background)
    return s->n_background ? scheduler_find(s, is_background, NULL) : NULL;
  for (sequence *seq = s->aside, *next; seq; seq = next) {
    next = seq->next;
    if (seq->background && !seq->held) take_up(s, seq);
  }
  return NULL;
}

void scheduler_yield(scheduler *s, sequence *seq) { lay_aside(s, seq); }

static void pause_youngest(scheduler *s) {
  sequence *seq = s->running[s->n_running - 1];
  int lost = seq->n_computed;
  stop_running(s, seq, true);
  seq->n_computed = 0;
  seq->state = SEQUENCE_WAITING;
  waiting_pause(&s->waiting, seq);
  s->hooks.paused(s->hooks.ctx, seq, lost);
}

// Pages for the first n tokens; others may have to pause for it. False: it paused itself, or it is stuck.
static bool reserve(scheduler *s, sequence *seq, int n, sequence **stuck, pn_error *e) {
  while (!pn_kv_reserve(s->pool, &seq->table, n, e)) {
    if (s->n_running == 1) return *stuck = seq, false;
    bool itself = s->running[s->n_running - 1] == seq;
    pause_youngest(s);
    if (itself) return false;
  }
  return true;
}

// Whether rows of its prompt may be computed now.
static bool prompt_ready(scheduler *s, sequence *seq) {
  if (sequence_decoding(seq)) return false;
  const sequence *leader = seq->leader;
  if (leader && leader->n_computed < seq->follow_to) return false;
  if (leader || seq->fresh) {
    attach(s, seq);
    choose_leader(s, seq);
  }
  return !seq->leader &&
         !sequence_decoding(seq); // the cache may have had all but its last token: a stream's row
}

// How far the next rows of a prompt may go: to its end, or to where a state is to be kept before that.
static int next_stop(const scheduler *s, const sequence *seq) {
  int stop = seq->n_tokens, done = seq->n_computed;
  if (!pn_kv_pool_has_states(s->pool) || done >= seq->n_prompt) return stop;
  stop = smaller(seq->n_prompt, (done / s->mark_every + 1) * s->mark_every);
  for (int k = 0; k < seq->n_marks; k++)
    if (seq->marks[k] > done) stop = smaller(stop, seq->marks[k]);
  for (int i = 0; i < s->n_running; i++)
    if (s->running[i]->leader == seq && s->running[i]->follow_to > done)
      stop = smaller(stop, s->running[i]->follow_to);
  return stop;
}

static int rows_left(const scheduler *s, int i) {
  return next_stop(s, s->running[i]) - s->running[i]->n_computed - s->rows[i];
}

static int give(scheduler *s, int i, int budget) {
  int n = smaller(budget, rows_left(s, i));
  s->rows[i] += n;
  return n;
}

// The budget over the prompts that are ready, into s->rows: half for the oldest, then the shortest ones.
static void share_out(scheduler *s, int budget) {
  int oldest = -1;
  for (int i = 0; i < s->n_running; i++) {
    s->rows[i] = -1; // takes no part
    if (budget < 1 || !prompt_ready(s, s->running[i])) continue;
    s->rows[i] = 0;
    if (oldest < 0) oldest = i;
  }
  if (oldest < 0) return;
  budget -= give(s, oldest, (budget + 1) / 2);
  while (budget > 0) {
    int best = -1;
    for (int i = 0; i < s->n_running; i++)
      if (i != oldest && s->rows[i] == 0 && (best < 0 || rows_left(s, i) < rows_left(s, best))) best = i;
    if (best < 0) break;
    budget -= give(s, best, budget);
  }
  give(s, oldest, budget);
}

// Some may have had to pause for another one.
static int still_running(step_part *parts, int n) {
  int m = 0;
  for (int i = 0; i < n; i++)
    if (parts[i].seq->state == SEQUENCE_RUNNING) parts[m++] = parts[i];
  return m;
}

int scheduler_plan_streams(scheduler *s, step_part *parts, sequence **stuck, pn_error *e) {
  int n = 0;
  *stuck = NULL;
  s->blocked_for++;
  for (int i = 0; i < s->n_running; i++) {
    sequence *seq = s->running[i];
    if (sequence_decoding(seq) && reserve(s, seq, seq->n_tokens, stuck, e))
      parts[n++] = (step_part){seq, seq->n_tokens - seq->n_computed, 0};
  }
  return still_running(parts, n);
}

int scheduler_plan_prompts(scheduler *s, int budget, step_part *parts, sequence **stuck, pn_error *e) {
  int n = 0;
  *stuck = NULL;
  share_out(s, budget);
  for (int i = 0; i < s->n_running; i++) {
    sequence *seq = s->running[i];
    int rows = s->rows[i];
    if (rows > 0 && reserve(s, seq, seq->n_computed + rows, stuck, e)) parts[n++] = (step_part){seq, rows, 0};
  }
  return still_running(parts, n);
}

// Keep the state, if the rows of the prompt ended where one is to be kept.
static void keep_state(scheduler *s, sequence *seq, bool stopped) {
  if (!stopped || seq->n_computed > seq->n_prompt) return;
  pn_kv_prefix keep = pn_kv_no_copies(seq->n_computed);
  keep.state = pn_kv_mark(s->pool, &seq->table, seq->n_computed);
  if (!copied(s, &keep)) pn_kv_unmark(s->pool, &seq->table, keep.state.to);
}

void scheduler_begun(const step_part *part) { part->seq->under_way = true; }

void scheduler_give_up(scheduler *s, sequence *seq) {
  if (seq->under_way && pn_kv_pool_has_states(s->pool)) go_back(s, seq, seq->n_computed);
  seq->under_way = false;
}

static void publish(scheduler *s, sequence *seq) {
  if (seq->n_computed / PN_KV_PAGE_TOKENS > seq->table.n_known)
    pn_kv_publish(s->pool, &seq->table, 0, seq->tokens, seq->n_computed);
}

void scheduler_computed(scheduler *s, const step_part *part) {
  sequence *seq = part->seq;
  bool stopped = seq->n_computed + part->n_rows == next_stop(s, seq);
  seq->n_computed += part->n_rows;
  seq->under_way = false;
  seq->started = true;
  seq->fresh = false;
  if (pn_kv_pool_has_states(s->pool)) keep_state(s, seq, stopped);
  publish(s, seq);
}

void scheduler_guessed(scheduler *s, sequence *seq, int n) {
  seq->n_computed += n;
  publish(s, seq);
}

void scheduler_remove(scheduler *s, sequence *seq, bool keep) {
  if (s->blocked == seq) s->blocked = NULL;
  if (seq->state == SEQUENCE_RUNNING)
    stop_running(s, seq, keep);
  else if (seq->state == SEQUENCE_WAITING)
    waiting_remove(&s->waiting, seq);
  else if (seq->state == SEQUENCE_ASIDE)
    unlink_aside(s, seq);
  if (seq->state == SEQUENCE_RUNNING || seq->state == SEQUENCE_WAITING) s->n_background -= seq->background;
  seq->state = SEQUENCE_OUT;
  seq->held = false;
}

sequence *scheduler_find(const scheduler *s, bool (*want)(const sequence *seq, void *ctx), void *ctx) {
  for (int i = 0; i < s->n_running; i++)
    if (want(s->running[i], ctx)) return s->running[i];
  sequence *seq = waiting_find(&s->waiting, want, ctx);
  for (sequence *at = s->aside; !seq && at; at = at->next)
    if (want(at, ctx)) seq = at;
  return seq;
}
