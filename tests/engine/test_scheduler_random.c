// Random work for the scheduler and the pages together: submits, steps that go well or fail, passes of
// prompts with many steps between, cancels, ends, holds, sequences of the background, pools so small that
// sequences must pause, with and without a window group and a group of recurrent states. A simulated cache
// holds a hash of the prefix in every slot, and each row checks that all positions that it sees hold the
// right one, and each step that its sequence's state is that after the tokens before.
#include "base/rng.h"
#include "engine/scheduler.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
  PAGE = PN_KV_PAGE_TOKENS,
  MAX_SEQS = 24,
  MAX_TOKENS = 400,
  MAX_PAGES = 40,
  N_CLIENTS = 4,
  MAX_RUNNING = 8,
  MAX_MARKS = 3
};

typedef struct subject {
  sequence seq;
  int32_t tokens[MAX_TOKENS];
  uint64_t prefix[MAX_TOKENS]; // of tokens [0, i]
  int32_t marks[MAX_MARKS];
  bool live;
  int born; // step
  bool was_decoding, went_back;
} subject;

typedef struct world {
  pn_rng rng;
  scheduler sched;
  pn_kv_pool *pool;
  int n_pages, n_live, step;
  subject all[MAX_SEQS];
  step_part pass[MAX_RUNNING]; // under way
  int n_pass;
  uint64_t memory[MAX_PAGES * PAGE];
  int window; // of the window group; 0: there is none
  uint64_t window_memory[MAX_PAGES * PAGE];
  bool states; // there is a group of them
  uint64_t state[3 * MAX_RUNNING];
  int written[MAX_PAGES * PAGE];   // the step that wrote it last
  int turns[N_CLIENTS][N_CLIENTS]; // [c][d]: first admissions of d since c waits for its turn
  bool refuse_copies, long_answers;
  // Counted over everything.
  long n_ops, n_paused, n_failed, n_copies, n_ended, n_cached, n_stuck, n_followed, n_left, n_long, n_held,
      n_yielded, n_kept, n_restored, n_back;
} world;

static world w;

static int below(int n) { return (int)pn_rng_below(&w.rng, (uint64_t)n); }

static uint64_t chain(uint64_t prefix, int32_t token) {
  uint64_t x = (prefix ^ (uint64_t)(token + 1)) * 0x9e3779b97f4a7c15u;
  return x ^ (x >> 29);
}

static void append(subject *s, int32_t token) {
  int n = s->seq.n_tokens++;
  s->tokens[n] = token;
  s->prefix[n] = chain(n ? s->prefix[n - 1] : 0, token);
}

static void copy_page(uint64_t *memory, int32_t from, int32_t to) {
  if (from >= 0) memcpy(&memory[to * PAGE], &memory[from * PAGE], PAGE * sizeof *memory);
}

static bool copy(void *ctx, const pn_kv_prefix *what) {
  (void)ctx;
  assert_true(what->copy_from >= 0 || what->state.from >= 0);
  if (what->state.from >= 0) { // what a refused copy leaves is rubbish
    w.state[what->state.to] = ~w.state[what->state.from];
    *(what->copy_to < 0 && what->n_tokens % PAGE ? &w.n_kept : &w.n_restored) += 1;
  }
  if (w.refuse_copies && below(2)) return false;
  w.n_copies += what->copy_from >= 0;
  copy_page(w.memory, what->copy_from, what->copy_to);
  if (w.window) copy_page(w.window_memory, what->window[0].from, what->window[0].to);
  if (what->state.from >= 0) w.state[what->state.to] = w.state[what->state.from];
  return true;
}

// The pages of one that was in the pass may be anybody's now: nothing of the pass may be written any more.
static void leave_pass(const sequence *seq) {
  int n = w.n_pass, at = 0;
  while (at < n && w.pass[at].seq != seq) at++;
  if (at == n) return;
  w.n_pass = 0;
  w.n_left++;
  for (int i = 0; i < n; i++) {
    subject *s = (subject *)w.pass[i].seq;
    int done = s->seq.n_computed;
    if (i != at) scheduler_give_up(&w.sched, &s->seq);
    s->went_back = s->went_back || s->seq.n_computed < done;
    w.n_back += s->seq.n_computed < done;
  }
}

static void paused(void *ctx, sequence *seq, int n_lost) {
  (void)ctx;
  leave_pass(seq);
  assert_int_equal(seq->state, SEQUENCE_WAITING);
  assert_int_equal(seq->n_computed, 0);
  assert_int_equal(seq->table.n_pages, 0);
  assert_true(n_lost >= 0);
  w.n_paused++;
}

static void check_pool(void) {
  const pn_kv_table *tables[MAX_SEQS];
  int n = 0;
  for (int i = 0; i < MAX_SEQS; i++)
    if (w.all[i].live) tables[n++] = &w.all[i].seq.table;
  pn_error e = {0};
  if (!pn_kv_pool_check(w.pool, tables, n, &e)) fail_msg("step %d: %s", w.step, e.msg);
}

static bool waits_for_its_turn(const subject *s) {
  return s->live && s->seq.age == 0 && s->seq.state == SEQUENCE_WAITING;
}

static void note_waiting(bool waits[N_CLIENTS]) {
  memset(waits, 0, N_CLIENTS * sizeof *waits);
  for (int i = 0; i < MAX_SEQS; i++)
    if (waits_for_its_turn(&w.all[i])) waits[w.all[i].seq.client] = true;
}

// A client that waits now and did not before stands behind all others.
static void note_new_turns(const bool before[N_CLIENTS]) {
  bool now[N_CLIENTS];
  note_waiting(now);
  for (int c = 0; c < N_CLIENTS; c++)
    if (now[c] && !before[c]) memset(w.turns[c], 0, sizeof w.turns[0]);
}

static void submit(int cap_most) {
  int i = 0;
  while (i < MAX_SEQS && w.all[i].live) i++;
  if (i == MAX_SEQS) return;
  subject *s = &w.all[i];
  *s = (subject){.live = true, .born = w.step};
  s->seq.tokens = s->tokens;
  s->seq.client = (uint64_t)below(N_CLIENTS);
  s->seq.max_tokens = 1 + below(w.long_answers || !below(4) ? 150 : 12);
  // One of a few beginnings, left at a random place.
  int stem = below(3), n = 1 + below(below(3) ? 60 : 300), leave = below(below(2) ? 60 : 400);
  if (n > cap_most - 1) n = cap_most - 1;
  for (int k = 0; k < n; k++) append(s, k < leave ? (stem * k) % 5 : below(2));
  s->seq.n_prompt = n;
  s->seq.cap_tokens = n + s->seq.max_tokens < cap_most ? n + s->seq.max_tokens : cap_most;
  pn_error e;
  assert_true(pn_kv_table_init(&s->seq.table, w.window > 0, s->seq.cap_tokens, &e));
  for (int k = 0, at = 0; k < MAX_MARKS && (at += 1 + below(80)) <= n; k++) s->marks[s->seq.n_marks++] = at;
  s->seq.marks = s->marks;
  s->seq.background = below(6) == 0;
  bool before[N_CLIENTS];
  note_waiting(before);
  scheduler_add(&w.sched, &s->seq);
  note_new_turns(before);
  w.n_live++;
}

static void hold_any(void) {
  subject *s = &w.all[below(MAX_SEQS)];
  bool before[N_CLIENTS];
  if (!s->live) return;
  note_waiting(before);
  if (s->seq.held) {
    scheduler_release(&w.sched, &s->seq);
  } else {
    leave_pass(&s->seq);
    scheduler_hold(&w.sched, &s->seq);
    assert_true(s->seq.held);
    assert_int_equal(s->seq.state, SEQUENCE_ASIDE);
    assert_int_equal(s->seq.table.n_pages, 0);
    w.n_held++;
  }
  note_new_turns(before);
}

// Sequences of the background run and wait only while no others do.
static void clear_the_way(void) {
  bool before[N_CLIENTS];
  int others = 0, background = 0;
  note_waiting(before);
  for (sequence *seq; (seq = scheduler_in_the_way(&w.sched)); w.n_yielded++) {
    assert_true(seq->background);
    leave_pass(seq);
    scheduler_yield(&w.sched, seq);
  }
  note_new_turns(before);
  for (int i = 0; i < MAX_SEQS; i++) {
    subject *s = &w.all[i];
    if (!s->live) continue;
    bool aside = s->seq.state == SEQUENCE_ASIDE;
    if (aside)
      s->born = w.step;
    else
      *(s->seq.background ? &background : &others) += 1;
    assert_true(aside == (s->seq.held || (aside && s->seq.background)));
  }
  assert_true(others == 0 || background == 0);
  assert_int_equal(w.sched.n_background, background);
  if (others == 0)
    for (int i = 0; i < MAX_SEQS; i++)
      assert_true(!w.all[i].live || w.all[i].seq.held || w.all[i].seq.state != SEQUENCE_ASIDE);
}

static void drop(subject *s, bool keep) {
  leave_pass(&s->seq);
  scheduler_remove(&w.sched, &s->seq, keep);
  assert_int_equal(s->seq.state, SEQUENCE_OUT);
  assert_int_equal(s->seq.table.n_pages, 0);
  pn_kv_table_fini(&s->seq.table);
  s->live = false;
  w.n_live--;
}

static void drop_any(void) {
  for (int tries = 0; tries < 4; tries++) {
    subject *s = &w.all[below(MAX_SEQS)];
    if (!s->live) continue;
    drop(s, below(4) > 0);
    return;
  }
}

// Beside others nobody is let in whose need is not there.
static void check_room(void) {
  pn_kv_stats k = pn_kv_pool_stats(w.pool);
  int promised = 0;
  for (int i = 0; i < w.sched.n_running; i++) {
    int more = (w.sched.running[i]->target + PAGE - 1) / PAGE - w.sched.running[i]->table.n_pages;
    if (more > 0) promised += more;
  }
  if (w.sched.n_running > 1) assert_true(promised <= k.n_free + k.n_cached);
}

static void admit(void) {
  bool waits[N_CLIENTS];
  note_waiting(waits);
  uint64_t ages = w.sched.n_ages;
  bool alone = w.sched.n_running == 0 && w.sched.waiting.n > 0;
  for (sequence *seq; (seq = scheduler_admit(&w.sched)); alone = false, ages = w.sched.n_ages) {
    assert_int_equal(seq->state, SEQUENCE_RUNNING);
    assert_true(seq->n_computed < seq->n_tokens);
    w.n_followed += seq->leader != NULL;
    check_room();
    if (w.sched.n_ages == ages) continue; // it had been admitted before
    memset(w.turns[seq->client], 0, sizeof w.turns[0]);
    for (int c = 0; c < N_CLIENTS; c++)
      if (waits[c] && c != (int)seq->client) assert_true(++w.turns[c][seq->client] <= 1);
    note_waiting(waits);
  }
  assert_false(alone); // the front is always let in when nothing runs
  assert_true(w.sched.n_running <= w.sched.max_running);
}

static void check_window(const subject *s, int pos) {
  for (int p = pos > w.window ? pos - w.window + 1 : 0; p < pos; p++)
    assert_true(w.window_memory[pn_kv_window_slot(&s->seq.table, 0, p)] == s->prefix[p]);
}

// Everything that a row attends to, sometimes all and always the ends of pages.
static void check_row(const subject *s, int pos) {
  int stride = below(8) ? PAGE : 1;
  for (int p = stride - 1; p < pos; p += stride)
    assert_true(w.memory[pn_kv_slot(&s->seq.table, p)] == s->prefix[p]);
  if (pos > 0) assert_true(w.memory[pn_kv_slot(&s->seq.table, pos - 1)] == s->prefix[pos - 1]);
  if (w.window) check_window(s, pos);
}

static void write_rows(const step_part *p, bool ok) {
  const subject *s = (const subject *)p->seq;
  assert_true(p->seq->n_computed + p->n_rows <= p->seq->table.n_pages * PAGE);
  for (int k = 0; k < p->n_rows; k++) {
    int pos = p->seq->n_computed + k, slot = pn_kv_slot(&p->seq->table, pos);
    if (k == 0 || (ok && k == p->n_rows - 1)) check_row(s, pos);
    assert_int_not_equal(w.written[slot], w.step); // no place twice in a step
    w.written[slot] = w.step;
    w.memory[slot] = ok ? s->prefix[pos] : pn_rng_u64(&w.rng);
    if (w.window) w.window_memory[pn_kv_window_slot(&p->seq->table, 0, pos)] = w.memory[slot];
  }
  if (w.states && ok) w.state[p->seq->table.state] = s->prefix[p->seq->n_computed + p->n_rows - 1];
}

// The parts' rows are in a step from now on: their states are half-way.
static void begin_parts(const step_part *parts, int n) {
  for (int i = 0; i < n; i++) {
    const subject *s = (const subject *)parts[i].seq;
    int done = s->seq.n_computed, slot = s->seq.table.state;
    scheduler_begun(&parts[i]);
    if (!w.states) continue;
    assert_true(slot >= 0 && (done == 0 || w.state[slot] == s->prefix[done - 1]));
    w.state[slot] = pn_rng_u64(&w.rng);
  }
}

// Nobody computes a whole page that one who came earlier is going to compute too, and has not computed
// before.
static void check_no_double_work(const step_part *p) {
  const subject *a = (const subject *)p->seq;
  for (int i = 0; w.sched.running[i] != p->seq; i++) {
    const subject *b = (const subject *)w.sched.running[i];
    if (sequence_decoding(&b->seq) || b->went_back) continue;
    int from = a->seq.n_computed > b->seq.n_computed ? a->seq.n_computed : b->seq.n_computed;
    int last = (from + PAGE - 1) / PAGE * PAGE + PAGE - 1; // of the first page that both lack
    if (last < a->seq.n_computed + p->n_rows && last < b->seq.n_tokens - 1 && last < a->seq.n_tokens - 1)
      assert_true(a->prefix[last] != b->prefix[last]);
  }
}

// Who runs is sorted by age, and so are those that paused.
static void check_order(void) {
  for (int i = 1; i < w.sched.n_running; i++)
    assert_true(w.sched.running[i - 1]->age < w.sched.running[i]->age);
  for (const sequence *seq = w.sched.waiting.paused; seq && seq->next; seq = seq->next)
    assert_true(seq->age < seq->next->age);
}

static void check_parts(const step_part *parts, int n) {
  for (int i = 0; i < n; i++) {
    const sequence *seq = parts[i].seq;
    assert_int_equal(seq->state, SEQUENCE_RUNNING);
    assert_true(parts[i].n_rows >= 1);
    assert_true(seq->n_computed + parts[i].n_rows <= seq->n_tokens);
    for (int k = 0; k < i; k++) assert_ptr_not_equal(parts[k].seq, seq);
  }
}

static void check_streams(const step_part *parts, int n, const sequence *stuck) {
  int must = 0;
  check_parts(parts, n);
  for (int i = 0; i < n; i++)
    assert_true(((const subject *)parts[i].seq)->was_decoding &&
                parts[i].n_rows == parts[i].seq->n_tokens - parts[i].seq->n_computed);
  for (int i = 0; i < MAX_SEQS; i++)
    must += w.all[i].live && w.all[i].was_decoding && w.all[i].seq.state == SEQUENCE_RUNNING &&
            &w.all[i].seq != stuck;
  assert_int_equal(n, must);
}

static void check_pass(const step_part *parts, int n, int budget) {
  int n_rows = 0;
  check_parts(parts, n);
  for (int i = 0; i < n; i++) {
    assert_false(sequence_decoding(parts[i].seq));
    n_rows += parts[i].n_rows;
    check_no_double_work(&parts[i]);
  }
  assert_true(n_rows <= budget);
}

static void take_result(const step_part *p) {
  subject *s = (subject *)p->seq;
  scheduler_computed(&w.sched, p);
  if (s->seq.n_computed < s->seq.n_tokens) return;
  bool ends =
      s->seq.n_tokens - s->seq.n_prompt + 1 >= s->seq.max_tokens || s->seq.n_tokens + 1 >= s->seq.cap_tokens;
  if (s->seq.n_tokens < s->seq.cap_tokens) append(s, (int32_t)(s->prefix[s->seq.n_tokens - 1] % 2));
  if (!ends && below(40)) return;
  w.n_ended++;
  w.n_cached += s->seq.n_cached;
  drop(s, true);
}

static bool was_stuck(sequence *stuck, const pn_error *e, int n) {
  if (!stuck) return false;
  w.n_stuck++;
  assert_int_equal(e->code, PN_ERR_LIMIT);
  assert_int_equal(w.sched.n_running, 1);
  assert_int_equal(n, 0);
  drop((subject *)stuck, below(2));
  return true;
}

static void run_parts(const step_part *parts, int n, bool ok) {
  for (int i = 0; i < n; i++) write_rows(&parts[i], ok);
  for (int i = 0; i < n; i++) {
    if (ok) {
      take_result(&parts[i]);
    } else {
      w.n_failed++;
      drop((subject *)parts[i].seq, below(2));
    }
  }
}

static bool step_streams(bool ok) {
  for (int i = 0; i < MAX_SEQS; i++)
    w.all[i].was_decoding =
        w.all[i].live && w.all[i].seq.state == SEQUENCE_RUNNING && sequence_decoding(&w.all[i].seq);
  step_part parts[MAX_RUNNING];
  sequence *stuck;
  pn_error e = {0};
  int n = scheduler_plan_streams(&w.sched, parts, &stuck, &e);
  check_streams(parts, n, stuck);
  if (was_stuck(stuck, &e, n)) return true;
  begin_parts(parts, n);
  run_parts(parts, n, ok);
  return n > 0;
}

// A pass begins, goes on or is done.
static bool step_pass(bool ok) {
  sequence *stuck = NULL;
  pn_error e = {0};
  int budget = 1 + below(below(4) ? 60 : 200);
  if (w.n_pass == 0) {
    int n = scheduler_plan_prompts(&w.sched, budget, w.pass, &stuck, &e);
    check_pass(w.pass, n, budget);
    w.n_pass = n; // only now: who paused while it was planned is not in it
    begin_parts(w.pass, n);
  } else {
    w.n_long++;
  }
  if (was_stuck(stuck, &e, w.n_pass)) return true;
  if (w.n_pass == 0 || below(3)) return w.n_pass > 0;
  step_part parts[MAX_RUNNING];
  int n = w.n_pass;
  memcpy(parts, w.pass, sizeof parts);
  w.n_pass = 0;
  run_parts(parts, n, ok);
  return true;
}

// One step. False: there was nothing to do.
static bool step(int fail_one_in) {
  w.step++;
  clear_the_way();
  admit();
  bool some = step_streams(!fail_one_in || below(fail_one_in) > 0);
  check_order();
  w.step++;
  some = step_pass(!fail_one_in || below(fail_one_in) > 0) || some;
  check_order();
  for (int i = 0; i < MAX_SEQS; i++) // everyone gets done
    if (w.all[i].live) assert_true(w.step - w.all[i].born < 40000);
  return some;
}

// Window pages for what may run, or fewer.
static pn_kv_setup setup_of(int n_pages, int max_running) {
  pn_kv_setup s = {.n_pages = n_pages, .n_groups = 1};
  if (w.window) {
    int most = 2 * max_running * (pn_kv_pages_of(w.window + 200) + 1);
    s.groups[s.n_groups++] =
        (pn_kv_group){PN_KV_WINDOW, w.window, most < n_pages ? most : n_pages - below(n_pages / 4 + 1)};
  }
  if (w.states) s.groups[s.n_groups++] = (pn_kv_group){.kind = PN_KV_STATE};
  if (w.states) s.n_slots = 3 * max_running;
  return s;
}

static void start(uint64_t seed, int n_pages, int max_running) {
  pn_error e;
  w.n_pages = n_pages;
  w.n_live = w.step = w.n_pass = 0;
  memset(w.all, 0, sizeof w.all);
  memset(w.written, 0, sizeof w.written);
  memset(w.turns, 0, sizeof w.turns);
  pn_rng_seed(&w.rng, seed);
  w.window = seed % 4 & 1 ? 1 + below(120) : 0;
  w.states = seed % 4 & 2;
  const pn_kv_setup setup = setup_of(n_pages, max_running);
  assert_non_null(w.pool = pn_kv_pool_new(&setup, &e));
  assert_true(scheduler_init(&w.sched, w.pool, max_running, (scheduler_hooks){copy, paused, &w}, &e));
}

static void finish(void) {
  int limit = w.step + 40000, idle = 0;
  for (int i = 0; i < MAX_SEQS; i++)
    if (w.all[i].live) scheduler_release(&w.sched, &w.all[i].seq);
  memset(w.turns, 0, sizeof w.turns);
  while (w.n_live > 0) {
    idle = step(0) ? 0 : idle + 1;
    assert_true(idle < 3);
    assert_true(w.step < limit);
    check_pool();
  }
  assert_int_equal(w.n_live, 0);
  for (int g = 0; g < 1 + (w.window > 0) + w.states; g++)
    assert_int_equal(pn_kv_group_stats(w.pool, g).n_used, 0);
  scheduler_fini(&w.sched);
  pn_kv_pool_free(w.pool);
}

static void world_round(uint64_t seed, int n_ops) {
  pn_rng_seed(&w.rng, seed);
  int n_pages = 4 + below(MAX_PAGES - 4), most = n_pages * PAGE, busy = 2 + below(12);
  bool tight = seed % 7 == 0; // prompts that the pool can't hold to their end
  start(seed, n_pages, 1 + below(MAX_RUNNING));
  w.sched.reserve = below(3) ? below(20) : SCHEDULER_RESERVE;
  w.sched.mark_every = 16 + below(200);
  w.refuse_copies = seed % 3 == 0;
  w.long_answers = seed % 4 == 0;
  if (tight) most += 2 * PAGE;
  if (most > MAX_TOKENS) most = MAX_TOKENS;
  int fail_one_in = seed % 2 ? 0 : 20 + below(100);
  for (int i = 0; i < n_ops; i++, w.n_ops++) {
    int what = below(32);
    if (what < busy)
      submit(most);
    else if (what == 31)
      drop_any();
    else if (what == 30)
      hold_any();
    else
      step(fail_one_in);
    check_pool();
  }
  finish();
}

static void a_million_operations(void **state) {
  (void)state;
  for (uint64_t seed = 1; w.n_ops < N_OPS; seed++) world_round(seed, 2500);
  print_message(
      "%ld operations: %ld ended, %ld paused, %ld failed, %ld copies, %ld cached tokens, %ld stuck, %ld "
      "followed, %ld passes left, %ld steps between layers, %ld held, %ld yielded, %ld states kept, %ld "
      "restored, %ld back\n",
      w.n_ops, w.n_ended, w.n_paused, w.n_failed, w.n_copies, w.n_cached, w.n_stuck, w.n_followed, w.n_left,
      w.n_long, w.n_held, w.n_yielded, w.n_kept, w.n_restored, w.n_back);
  // The work was such that everything happened.
  const long often[] = {w.n_paused * 3000,   w.n_failed * 500, w.n_copies * 50,   w.n_stuck * 20000,
                        w.n_followed * 5000, w.n_left * 1000,  w.n_long * 50,     w.n_held * 500,
                        w.n_yielded * 500,   w.n_kept * 50,    w.n_restored * 100};
  for (int i = 0; i < 11; i++) assert_true(often[i] > w.n_ops);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(a_million_operations)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
