// The scheduler's rules, one at a time.
#include "engine/scheduler.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PAGE = PN_KV_PAGE_TOKENS, MANY = 12, ROOM = 2000 };

static pn_kv_pool *pool;
static scheduler s;
static sequence seqs[MANY];
static int32_t tokens[MANY][ROOM];
static int n_paused, n_copied;
static bool copies_work;
static step_part parts[MANY];
static sequence *stuck;
static pn_error e;

static bool copy(void *ctx, const pn_kv_prefix *what) {
  (void)ctx;
  assert_int_not_equal(what->copy_from, what->copy_to);
  n_copied++;
  return copies_work;
}
static void paused(void *ctx, sequence *seq, int n_lost) { (void)ctx, (void)seq, (void)n_lost, n_paused++; }

static void begin(int n_pages, int max_running) {
  n_paused = n_copied = 0;
  copies_work = true;
  assert_non_null(pool = pn_kv_pool_new(&(pn_kv_setup){.n_pages = n_pages}, &e));
  assert_true(scheduler_init(&s, pool, max_running, (scheduler_hooks){copy, paused, NULL}, &e));
}

// Sequence i of a client: its prompt agrees with all others of `stem` in the first `same` tokens.
static sequence *add(int i, int client, int n_prompt, int max_tokens, int stem, int same) {
  sequence *seq = &seqs[i];
  for (int k = 0; k < ROOM; k++) tokens[i][k] = k < same ? stem : 100 + i;
  *seq = (sequence){.tokens = tokens[i],
                    .n_tokens = n_prompt,
                    .n_prompt = n_prompt,
                    .cap_tokens = n_prompt + max_tokens,
                    .max_tokens = max_tokens,
                    .client = (uint64_t)client};
  assert_true(pn_kv_table_init(&seq->table, 0, seq->cap_tokens, &e));
  scheduler_add(&s, seq);
  return seq;
}

static void end(sequence *seq) {
  scheduler_remove(&s, seq, true);
  pn_kv_table_fini(&seq->table);
}

static void done(void) {
  sequence *left;
  while ((left = s.n_running ? s.running[0] : waiting_front(&s.waiting))) end(left);
  scheduler_fini(&s);
  pn_kv_pool_free(pool);
}

// Admit and plan; the parts' rows are computed and each complete sequence gets a token.
static int plan(int budget) {
  while (scheduler_admit(&s)) {}
  int n = scheduler_plan_streams(&s, parts, &stuck, &e), m = 0;
  if (stuck) return n;
  n += scheduler_plan_prompts(&s, budget, parts + n, &stuck, &e);
  for (int i = 0; i < n; i++)
    if (parts[i].seq->state == SEQUENCE_RUNNING) parts[m++] = parts[i]; // else it paused for a prompt
  return m;
}
static void computed(int n) {
  for (int i = 0; i < n; i++) {
    sequence *seq = parts[i].seq;
    scheduler_computed(&s, &parts[i]);
    if (seq->n_computed == seq->n_tokens) seq->tokens[seq->n_tokens++] = 7;
  }
}
static int run_step(int budget) {
  int n = plan(budget);
  computed(n);
  return n;
}
static int rows_of(const sequence *seq, int n) {
  for (int i = 0; i < n; i++)
    if (parts[i].seq == seq) return parts[i].n_rows;
  return 0;
}

static void clients_take_turns(void **state) {
  (void)state;
  begin(64, 1);
  const int clients[] = {5, 5, 5, 9, 9, 2}, order[] = {0, 3, 5, 1, 4, 2};
  for (int i = 0; i < 6; i++) add(i, clients[i], 3, 4, 0, 0);
  for (int i = 0; i < 6; i++) {
    assert_ptr_equal(scheduler_admit(&s), &seqs[order[i]]);
    assert_null(scheduler_admit(&s)); // one runs at a time
    end(&seqs[order[i]]);
  }
  assert_true(scheduler_idle(&s));
  done();
}

static void the_waiting_may_leave_from_anywhere(void **state) {
  (void)state;
  for (int gone = 0; gone < 6; gone++) {
    begin(64, 1);
    const int clients[] = {5, 5, 5, 9, 9, 2}, order[] = {0, 3, 5, 1, 4, 2};
    for (int i = 0; i < 6; i++) add(i, clients[i], 3, 4, 0, 0);
    end(&seqs[gone]);
    int want[5], n = 0;
    if (gone == 0) // its client's next one has its turn
      memcpy(want, (const int[]){1, 3, 5, 2, 4}, sizeof want);
    else if (gone == 3)
      memcpy(want, (const int[]){0, 4, 5, 1, 2}, sizeof want);
    else if (gone == 1)
      memcpy(want, (const int[]){0, 3, 5, 2, 4}, sizeof want);
    else
      for (int i = 0; i < 6; i++)
        if (order[i] != gone) want[n++] = order[i];
    for (int i = 0; i < 5; i++) {
      assert_ptr_equal(scheduler_admit(&s), &seqs[want[i]]);
      end(&seqs[want[i]]);
    }
    assert_int_equal(s.waiting.n, 0);
    done();
  }
}

static void streams_first_then_half_for_the_oldest_prompt(void **state) {
  (void)state;
  begin(64, 8);
  sequence *stream = add(0, 1, 5, 50, 0, 0);
  assert_int_equal(run_step(100), 1);
  sequence *old = add(1, 1, 400, 4, 0, 0), *lengthy = add(2, 1, 200, 4, 0, 0),
           *brief = add(3, 1, 20, 4, 0, 0);
  int n = plan(64);
  assert_ptr_equal(parts[0].seq, stream);
  assert_int_equal(parts[0].n_rows, 1);
  assert_int_equal(rows_of(old, n), 32);
  assert_int_equal(rows_of(brief, n), 20);
  assert_int_equal(rows_of(lengthy, n), 12);
  computed(n);
  n = plan(64);
  assert_int_equal(n, 4);
  assert_int_equal(rows_of(brief, n), 1); // a stream now
  assert_int_equal(rows_of(old, n), 32);
  assert_int_equal(rows_of(lengthy, n), 32);
  computed(n);
  n = plan(0); // the streams alone
  assert_int_equal(n, 2);
  computed(n);
  end(lengthy);
  n = plan(1);
  assert_int_equal(rows_of(old, n), 1);
  n = plan(1000); // what others don't want goes to the oldest
  assert_int_equal(rows_of(old, n), 400 - 64);
  done();
}

static void admission_keeps_room_for_prompts_and_answers(void **state) {
  (void)state;
  begin(20, 8);
  add(0, 1, 5 * PAGE, 5 * PAGE, 0, 0); // 10 pages
  add(1, 1, 6 * PAGE, PAGE, 0, 0);     // 7
  add(2, 2, 2 * PAGE, 2 * PAGE, 0, 0); // 4: too many
  assert_ptr_equal(scheduler_admit(&s), &seqs[0]);
  assert_ptr_equal(scheduler_admit(&s), &seqs[2]);
  assert_null(scheduler_admit(&s));                    // 7 of 6
  assert_int_equal(pn_kv_pool_stats(pool).n_free, 20); // only promised
  for (int i = 0; i < 10; i++) run_step(40);
  assert_int_equal(s.n_running, 2);
  end(&seqs[2]);
  assert_ptr_equal(scheduler_admit(&s), &seqs[1]);
  done();
}

// The reserve of an answer is limited: long ones are let in and may have to pause later.
static void when_pages_run_out_the_youngest_pauses(void **state) {
  (void)state;
  begin(24, 4);
  sequence *a = add(0, 1, 60, 700, 0, 0), *b = add(1, 2, 60, 700, 0, 0);
  int steps = 0;
  while (n_paused == 0 && steps++ < 1000) run_step(64);
  assert_int_equal(n_paused, 1);
  assert_int_equal(b->state, SEQUENCE_WAITING);
  assert_int_equal(a->state, SEQUENCE_RUNNING);
  sequence *c = add(2, 3, 3, 3, 0, 0);
  int n_tokens = b->n_tokens;
  assert_null(scheduler_admit(&s)); // b is before c, and there is no room for its reserve
  while (a->n_tokens < 700) assert_int_equal(run_step(64), 1);
  assert_int_equal(n_paused, 1);
  end(a);
  assert_ptr_equal(scheduler_admit(&s), b);
  assert_int_equal(b->n_tokens, n_tokens);
  assert_ptr_equal(scheduler_admit(&s), c);
  for (int i = 0; i < 20 && !sequence_decoding(b); i++) run_step(64);
  assert_true(sequence_decoding(b));
  assert_int_equal(b->n_cached, 0); // as it was when it began
  done();
}

static void alone_without_a_page_it_is_stuck(void **state) {
  (void)state;
  begin(2, 4);
  sequence *a = add(0, 1, 50, 100, 0, 0);
  int n;
  do n = run_step(64);
  while (n > 0);
  assert_ptr_equal(stuck, a);
  assert_int_equal(e.code, PN_ERR_LIMIT);
  assert_int_equal(a->n_tokens, 65);
  done();
}

static void a_cached_prefix_is_not_computed_again(void **state) {
  (void)state;
  begin(32, 4);
  sequence *a = add(0, 1, 100, 5, 3, 90);
  run_step(1000);
  end(a);
  sequence *b = add(1, 1, 120, 5, 3, 90);
  int n = plan(1000);
  assert_int_equal(b->n_cached, 90); // two pages shared, 26 tokens of a third copied
  assert_int_equal(n_copied, 1);
  assert_int_equal(rows_of(b, n), 30);
  computed(n);
  copies_work = false;
  sequence *c = add(2, 1, 120, 5, 3, 90);
  n = plan(1000);
  assert_int_equal(rows_of(c, n), 120 - 64);
  assert_int_equal(c->n_cached, 64);
  computed(n);
  end(b);
  copies_work = true;
  sequence *d = add(3, 1, 120, 5, 0, 0);
  memcpy(tokens[3], tokens[1], sizeof tokens[3]); // the same prompt: its last token is computed
  n = plan(1000);
  assert_int_equal(d->n_cached, 119);
  assert_int_equal(rows_of(d, n), 1);
  done();
}

static void the_same_prefix_is_computed_once(void **state) {
  (void)state;
  begin(64, 8);
  sequence *lead = add(0, 1, 300, 5, 3, 290), *f = add(1, 1, 310, 5, 3, 260), *g = add(2, 2, 40, 5, 0, 0);
  int n = plan(100);
  assert_ptr_equal(f->leader, lead);
  assert_int_equal(rows_of(f, n), 0);
  assert_int_equal(rows_of(lead, n), 60);
  assert_int_equal(rows_of(g, n), 40);
  computed(n);
  int total = 60, mine = 0;
  while (!sequence_decoding(lead) || !sequence_decoding(f)) {
    n = plan(100);
    if (!sequence_decoding(lead)) total += rows_of(lead, n);
    mine += rows_of(f, n);
    computed(n);
  }
  assert_int_equal(total, 300);
  assert_in_range(mine, 310 - 260, 310 - 256); // whole pages are shared
  assert_int_equal(f->n_cached, 310 - mine);
  done();
}

static void a_leader_that_leaves_frees_its_followers(void **state) {
  (void)state;
  begin(64, 8);
  sequence *lead = add(0, 1, 300, 5, 3, 290), *f = add(1, 1, 310, 5, 3, 260), *g = add(2, 1, 320, 5, 3, 280);
  int n = run_step(100);
  assert_int_equal(n, 1);
  assert_ptr_equal(f->leader, lead);
  assert_ptr_equal(g->leader, lead);
  end(lead);
  n = plan(100);
  assert_int_equal(rows_of(f, n), 100);
  assert_in_range(f->n_cached, 96, 100);
  assert_ptr_equal(g->leader, f);
  assert_int_equal(n, 1);
  done();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(clients_take_turns),
      cmocka_unit_test(the_waiting_may_leave_from_anywhere),
      cmocka_unit_test(streams_first_then_half_for_the_oldest_prompt),
      cmocka_unit_test(admission_keeps_room_for_prompts_and_answers),
      cmocka_unit_test(when_pages_run_out_the_youngest_pauses),
      cmocka_unit_test(alone_without_a_page_it_is_stuck),
      cmocka_unit_test(a_cached_prefix_is_not_computed_again),
      cmocka_unit_test(the_same_prefix_is_computed_once),
      cmocka_unit_test(a_leader_that_leaves_frees_its_followers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
