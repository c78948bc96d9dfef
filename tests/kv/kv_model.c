// The model of a KV pool of groups: what is known, what may be found, and what a call changes.
#include "kv_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define BIT(x) (UINT64_C(1) << (x))

static int most(int a, int b) { return a > b ? a : b; }

text model_text(const seq *s, int n) {
  text out = {.salt = s->salt, .n = n};
  memcpy(out.tokens, s->tokens, (size_t)n * sizeof *out.tokens);
  return out;
}

static bool same(const text *a, const text *b, int n) {
  return a->salt == b->salt && memcmp(a->tokens, b->tokens, (size_t)n * sizeof *a->tokens) == 0;
}

static int index_of(const text *t) { return (t->n - 1) / PAGE; }

bool model_covers(const world *w, int x, const text *of, int n) {
  const text *a = &w->page[x];
  return w->num[FULL][x].known && a->n >= n && index_of(a) == (n - 1) / PAGE && same(a, of, n);
}

int32_t model_whole(const world *w, const text *of, int i) {
  for (int x = 0; x < w->n_ids[FULL]; x++)
    if (w->page[x].n == (i + 1) * PAGE && model_covers(w, x, of, (i + 1) * PAGE)) return x;
  return -1;
}

int model_first(const world *w, int k, int pos) { return most(0, pos - w->lengths[k] + 1) / PAGE; }

bool model_snap_on(const world *w, int x, int n, bool certain) {
  for (int s = 0; s < w->n_ids[SLOT]; s++) {
    const snapshot *a = &w->snap[s];
    if (w->num[SLOT][s].known && a->at.n == n && a->holders & BIT(x) &&
        (!certain || (!a->maybe && a->holders == BIT(x))))
      return true;
  }
  return false;
}

// ---- what is used ----

static void use(world *w, int kind, int32_t id) {
  if (id >= 0) w->num[kind][id].used = true;
}

static void use_path(world *w, const text *of, int n) {
  for (int i = 0; i < n; i++) use(w, FULL, model_whole(w, of, i));
}

static void use_pin(world *w, const pin *a) {
  int last = index_of(&a->at);
  use_path(w, &a->at, last);
  use(w, FULL, a->pin.page);
  use(w, SLOT, a->pin.slot);
  for (int k = 0; k < w->n_windows; k++)
    for (int i = model_first(w, k, a->at.n); i <= last; i++)
      use(w, WIN + k, w->window_of[k][i < last ? model_whole(w, &a->at, i) : a->pin.page]);
}

static void use_seq(world *w, const seq *s) {
  for (int i = 0; i < s->t.n_pages; i++) {
    use(w, FULL, s->t.pages[i]);
    for (int k = 0; k < w->n_windows; k++) use(w, WIN + k, s->t.window_pages[k][i]);
  }
  use(w, SLOT, s->t.state);
  for (int i = 0; i < s->t.n_marks; i++) use(w, SLOT, s->t.marks[i].slot);
  if (!s->pending) return;
  if (s->copy.copy_from >= 0) {
    const text at = model_text(s, s->copy.n_tokens);
    use_path(w, &at, at.n / PAGE);
  }
  use(w, FULL, s->copy.copy_from);
  for (int k = 0; k < w->n_windows; k++) use(w, WIN + k, s->copy.window[k].from);
  use(w, SLOT, s->copy.state.from);
}

void model_look(world *w) {
  for (int kind = 0; kind < N_KINDS; kind++)
    for (int x = 0; x < w->n_ids[kind]; x++) w->num[kind][x].used = false;
  for (int i = 0; i < N_SEQS; i++) use_seq(w, &w->seqs[i]);
  for (int i = 0; i < N_PINS; i++)
    if (w->pins[i].pin.n_tokens) use_pin(w, &w->pins[i]);
}

static int spare(const world *w, int kind) {
  int n = 0;
  for (int x = 0; x < w->n_ids[kind]; x++) n += !w->num[kind][x].used;
  return n;
}

// ---- what may be found ----

typedef struct query {
  world *w;
  const text *of;
  const seq *s;
  const was *b;
  int n_computed, n_whole;
  int32_t whole[T_PAGES + 1];
} query;

static int unused(const world *w, int kind, int32_t id) { return id >= 0 && !w->num[kind][id].used; }

static bool windows_at(const query *q, int pos) {
  for (int k = 0; k < q->w->n_windows; k++)
    for (int i = model_first(q->w, k, pos); i < pos / PAGE; i++) {
      bool own = q->s && i >= q->b->first[k] && (i + 1) * PAGE <= q->n_computed;
      if (q->w->window_of[k][q->whole[i]] < 0 && !own) return false;
    }
  return true;
}

// Whether there is room for the copies of page x, when what is shared is in use.
static bool room(const query *q, int x, int pos) {
  int j = pos / PAGE;
  if (!q->s || j < pn_kv_pages_of(q->n_computed)) return true;
  int shared = unused(q->w, FULL, x);
  for (int i = 0; i < j; i++) shared += unused(q->w, FULL, q->whole[i]);
  if (pn_kv_pages_of(q->n_computed) <= q->b->n_known && spare(q->w, FULL) <= shared) return false;
  for (int k = 0; k < q->w->n_windows; k++) {
    shared = unused(q->w, WIN + k, q->w->window_of[k][x]);
    for (int i = model_first(q->w, k, pos); i < j; i++)
      shared += unused(q->w, WIN + k, q->w->window_of[k][q->whole[i]]);
    if (spare(q->w, WIN + k) <= shared) return false;
  }
  return true;
}

// Whether pos may serve (>= 1) and does for certain (2).
static int serves(const query *q, int pos) {
  const world *w = q->w;
  bool states = w->n_ids[SLOT] > 0, may = false, must = true, certain = false;
  if (pos / PAGE > q->n_whole || !windows_at(q, pos)) return 0;
  if (pos % PAGE == 0) {
    int32_t x = q->whole[pos / PAGE - 1];
    return !states ? 2 : model_snap_on(w, x, pos, true) ? 2 : model_snap_on(w, x, pos, false);
  }
  for (int x = 0; x < w->n_ids[FULL]; x++) {
    if (!model_covers(w, x, q->of, pos)) continue;
    bool all = true;
    for (int k = 0; k < w->n_windows; k++) all &= w->window_of[k][x] >= 0;
    if (!all || (states && !model_snap_on(w, x, pos, false))) continue;
    may = true;
    must &= room(q, x, pos);
    certain |= !states || model_snap_on(w, x, pos, true);
  }
  return may ? 1 + (must && certain) : 0;
}

range model_points(world *w, const text *of, int n, int n_computed, const seq *s, const was *b) {
  query q = {.w = w, .of = of, .s = s, .b = b, .n_computed = n_computed};
  while (q.n_whole < n / PAGE && (q.whole[q.n_whole] = model_whole(w, of, q.n_whole)) >= 0) q.n_whole++;
  range r = {n_computed, n_computed};
  for (int pos = n; pos > n_computed; pos--) {
    int how = serves(&q, pos);
    if (how && r.hi == n_computed) r.hi = pos;
    if (how == 2) {
      r.lo = pos;
      break;
    }
    if (how == 1 && pos % PAGE) pos -= pos % PAGE - 1; // no other point of this page is tried
  }
  // No slot to copy the snapshot to: nothing is found.
  if (w->n_ids[SLOT] && s && s->t.state < 0 && spare(w, SLOT) < 2) r.lo = n_computed;
  return r;
}

// The same for going back in a table.
static int serves_back(const world *w, const seq *s, const was *b, int pos, bool room_left) {
  int how = 2, last = (pos - 1) / PAGE;
  for (int k = 0; k < w->n_windows; k++)
    for (int i = model_first(w, k, pos); i <= last; i++)
      if (i < b->first[k] && (i >= b->n_known || w->window_of[k][b->pages[i]] < 0)) return 0;
  if (w->n_ids[SLOT] && pos) {
    how = last < b->n_known
              ? model_snap_on(w, b->pages[last], pos, false) + model_snap_on(w, b->pages[last], pos, true)
              : 0;
    for (int i = 0; i < s->n_marks; i++)
      if (s->marks[i].pos == pos) how = 2;
  }
  bool copy = pos % PAGE && pos / PAGE < b->n_known;
  return copy && how && !room_left ? 1 : how;
}

range model_points_back(world *w, const seq *s, const was *b, int n) {
  bool room_left = true; // for sure
  for (int kind = FULL; kind < WIN + w->n_windows; kind++)
    room_left = room_left && spare(w, kind) > (kind == FULL ? 0 : T_PAGES);
  range r = {0, 0};
  for (int pos = n; pos > 0; pos--) {
    int how = serves_back(w, s, b, pos, room_left);
    if (how && r.hi == 0) r.hi = pos;
    if (how == 2) {
      r.lo = pos;
      break;
    }
    if (how == 1 && pos % PAGE) pos -= pos % PAGE - 1;
  }
  return r;
}

// ---- what a call changes ----

was model_before(const seq *s) {
  was b = {.n_pages = s->t.n_pages, .n_known = s->t.n_known, .state = s->t.state};
  for (int i = 0; i < s->t.n_pages; i++) b.pages[i] = s->t.pages[i];
  for (int k = 0; k < s->t.n_windows; k++) {
    b.first[k] = s->t.first_window[k];
    for (int i = 0; i < s->t.n_pages; i++) b.windows[k][i] = s->t.window_pages[k][i];
  }
  return b;
}

static void drop_window(world *w, int k, int32_t id) {
  w->window_of[k][w->node[k][id]] = -1;
  w->node[k][id] = -1;
  w->num[WIN + k][id].known = false;
}

// A page is not in the tree any more; its snapshots go to one of the pages in `to`, if there are any.
static void drop_page(world *w, int x, uint64_t to) {
  w->num[FULL][x].known = false;
  for (int k = 0; k < w->n_windows; k++)
    if (w->window_of[k][x] >= 0) drop_window(w, k, w->window_of[k][x]);
  for (int s = 0; s < w->n_ids[SLOT]; s++) {
    snapshot *a = &w->snap[s];
    if (!w->num[SLOT][s].known || !(a->holders & BIT(x))) continue;
    for (int z = 0; z < w->n_ids[FULL]; z++)
      if (to & BIT(z) && model_snap_on(w, z, a->at.n, false)) a->maybe = true;
    if (a->holders != BIT(x) && !to) a->maybe = true;
    a->holders = (a->holders & ~BIT(x)) | to;
    if (!a->holders) w->num[SLOT][s].known = false;
  }
}

static void check_leaf(const world *w, int x) {
  const text *a = &w->page[x];
  for (int y = 0; y < w->n_ids[FULL]; y++)
    CHECK(!w->num[FULL][y].known || w->page[y].n <= a->n || index_of(&w->page[y]) == index_of(a) ||
          !same(&w->page[y], a, a->n));
}

void model_taken(world *w, int kind, int32_t id) {
  number *x = &w->num[kind][id];
  CHECK(id >= 0 && id < w->n_ids[kind]);
  if (x->known) {                   // evicted: nothing used it, and nothing was cached longer
    if (x->before) x->lo = w->step; // given back by this call
    for (int y = 0; y < w->n_ids[kind]; y++) {
      const number *b = &w->num[kind][y];
      bool may_be_free = kind == SLOT && (w->snap[id].maybe || w->snap[y].maybe);
      CHECK(!b->known || b->used || b->before || may_be_free || x->lo <= b->hi);
    }
    if (kind == FULL) check_leaf(w, id), drop_page(w, id, 0);
    if (kind >= WIN && kind < SLOT) drop_window(w, kind - WIN, id);
    x->known = false;
    w->n_evicted[kind]++;
  }
  if (kind < SLOT)
    memset(w->memory[kind][id], 0xAA, sizeof w->memory[kind][id]);
  else
    memset(&w->state[id], 0xAA, sizeof w->state[id]);
}

void model_hang_window(world *w, int k, int32_t id, int32_t page) {
  w->num[WIN + k][id].known = true;
  w->node[k][id] = page;
  w->window_of[k][page] = id;
}

void model_hang_snap(world *w, int32_t slot, uint64_t pages, const text *of, int n) {
  bool maybe = false;
  for (int z = 0; z < w->n_ids[SLOT]; z++) {
    const snapshot *a = &w->snap[z];
    if (!w->num[SLOT][z].known || a->at.n != n || !(a->holders & pages)) continue;
    w->num[SLOT][z].hi = w->step;
    if (!a->maybe && a->holders == pages && !(pages & (pages - 1))) return; // it is there
    maybe = true;
  }
  w->snap[slot] = (snapshot){*of, pages, maybe};
  w->snap[slot].at.n = n;
  w->num[SLOT][slot].known = true;
  w->num[SLOT][slot].lo = w->num[SLOT][slot].hi = w->step;
}

void model_settle(world *w, seq *s, int n_known) {
  int kept = 0;
  const text of = model_text(s, s->n);
  for (int i = 0; i < s->n_marks; i++) {
    int pos = s->marks[i].pos;
    if (pos > n_known * PAGE)
      s->marks[kept++] = s->marks[i];
    else
      model_hang_snap(w, s->marks[i].slot, BIT(model_whole(w, &of, (pos - 1) / PAGE)), &of, pos);
  }
  s->n_marks = kept;
}

// Own page x of a sequence becomes the tree's, with the first n tokens.
static void learn(world *w, const seq *s, const was *b, int x, int n) {
  const text of = model_text(s, n);
  int i = (n - 1) / PAGE;
  for (int y = 0; y < w->n_ids[FULL]; y++) {
    const text *a = &w->page[y];
    if (w->num[FULL][y].known && !w->num[FULL][y].before && a->n < n && index_of(a) == i &&
        same(a, &of, a->n))
      drop_page(w, y, BIT(x));
  }
  w->page[x] = of;
  w->num[FULL][x].known = true;
  for (int k = 0; k < w->n_windows; k++)
    if (i >= b->first[k]) model_hang_window(w, k, b->windows[k][i], x);
}

// Salts with known pages, whether one of them has used ones in used[].
static int list_salts(const world *w, uint64_t *salts, bool *used, const text **sample) {
  int n = 0;
  for (int x = 0; x < w->n_ids[FULL]; x++) {
    if (!w->num[FULL][x].known) continue;
    int i = 0;
    while (i < n && salts[i] != w->page[x].salt) i++;
    if (i == n) salts[n] = w->page[x].salt, used[n] = false, sample[n++] = &w->page[x];
    used[i] = used[i] || w->num[FULL][x].before;
  }
  return n;
}

// Whether a salt could become known. When another gave way for it, that one is found out.
static bool salt_fits(world *w, uint64_t salt) {
  uint64_t salts[MAX_IDS];
  bool used[MAX_IDS];
  const text *sample[MAX_IDS];
  int n = list_salts(w, salts, used, sample), gone = -1;
  for (int i = 0; i < n; i++)
    if (salts[i] == salt) return true;
  if (n < w->n_salts) return true;
  bool some = false;
  pn_kv_span span;
  for (int i = 0; i < n; i++) {
    some = some || !used[i];
    if (pn_kv_export(w->p, salts[i], sample[i]->tokens, sample[i]->n, &span, 1)) continue;
    CHECK(!used[i] && gone < 0);
    gone = i;
  }
  CHECK(some == (gone >= 0));
  for (int x = 0; some && x < w->n_ids[FULL]; x++)
    if (w->num[FULL][x].known && w->page[x].salt == salts[gone]) drop_page(w, x, 0), w->n_evicted[FULL]++;
  return some;
}

static int publish(world *w, seq *s, const was *b, int n_computed) {
  int n_whole = n_computed / PAGE < b->n_pages ? n_computed / PAGE : b->n_pages;
  const text of = model_text(s, n_computed);
  if (b->n_known >= n_whole) return b->n_known;
  if (b->n_known == 0 && !salt_fits(w, s->salt)) return 0;
  for (int i = b->n_known; i < n_whole; i++) {
    int32_t x = model_whole(w, &of, i);
    if (x < 0) {
      learn(w, s, b, b->pages[i], (i + 1) * PAGE);
      continue;
    }
    for (int k = 0; k < w->n_windows; k++)
      if (i >= b->first[k] && w->window_of[k][x] < 0) model_hang_window(w, k, b->windows[k][i], x);
  }
  return n_whole;
}

void model_publish(world *w, seq *s, const was *b, int n_computed) {
  int n_known = publish(w, s, b, n_computed);
  const text of = model_text(s, n_computed);
  CHECK(s->t.n_known == n_known && s->t.n_pages == b->n_pages);
  for (int i = 0; i < n_known; i++) CHECK(s->t.pages[i] == model_whole(w, &of, i));
  for (int k = 0; k < w->n_windows; k++)
    CHECK(s->t.first_window[k] == most(model_first(w, k, n_computed), b->first[k]));
  model_settle(w, s, n_known);
}

static int n_taken(const world *w, int kind) {
  int n = 0;
  for (const number *x = w->num[kind]; x < w->num[kind] + w->n_ids[kind]; x++) n += x->used || x->known;
  return n;
}

// The pages that the last, partial page may have become; 0: none.
static uint64_t release_part(world *w, const seq *s, const was *b, int n) {
  const text of = model_text(s, n);
  int exact = -1, i = n / PAGE;
  uint64_t better = 0;
  if (i == 0 && !salt_fits(w, s->salt)) return 0;
  for (int x = 0; x < w->n_ids[FULL]; x++)
    if (model_covers(w, x, &of, n)) {
      better |= BIT(x);
      if (w->page[x].n == n) exact = x;
    }
  if (!better) {
    learn(w, s, b, b->pages[i], n);
    return BIT(b->pages[i]);
  }
  for (int k = 0; exact >= 0 && k < w->n_windows; k++) {
    if (i < b->first[k] || w->window_of[k][exact] >= 0) continue;
    // Of several the latest used got it, which we do not know.
    pn_kv_stats now = pn_kv_group_stats(w->p, w->group[WIN + k]);
    if (!(better & (better - 1)) || now.n_pages - now.n_free > n_taken(w, WIN + k))
      model_hang_window(w, k, b->windows[k][i], exact);
  }
  return better;
}

void model_release(world *w, seq *s, const was *b, int n_computed) {
  int n_known = publish(w, s, b, n_computed), n_whole = n_computed / PAGE;
  const text of = model_text(s, n_computed);
  uint64_t part = 0;
  if (n_computed % PAGE && n_known == n_whole && b->n_pages > n_whole)
    part = release_part(w, s, b, n_computed);
  while (s->n_marks && s->marks[s->n_marks - 1].pos > n_computed) s->n_marks--;
  model_settle(w, s, n_known);
  for (int i = 0; part && i < s->n_marks; i++)
    model_hang_snap(w, s->marks[i].slot, part, &of, s->marks[i].pos);
  s->n_marks = 0;
  uint64_t at = n_computed && (n_computed - 1) / PAGE < n_known
                    ? BIT(model_whole(w, &of, (n_computed - 1) / PAGE))
                    : part;
  if (b->state >= 0 && at && n_computed) model_hang_snap(w, b->state, at, &of, n_computed);
  CHECK(s->t.n_pages == 0 && s->t.n_known == 0 && s->t.n_marks == 0 && s->t.state == -1);
}

void model_forget(world *w) {
  for (int k = 0; k < w->n_windows; k++)
    for (int x = 0; x < w->n_ids[WIN + k]; x++)
      if (w->num[WIN + k][x].known && !w->num[WIN + k][x].used) drop_window(w, k, x), w->n_evicted[WIN + k]++;
  for (int s = 0; s < w->n_ids[SLOT]; s++)
    if (!w->num[SLOT][s].used) w->num[SLOT][s].known = false;
  for (int x = 0; x < w->n_ids[FULL]; x++)
    if (w->num[FULL][x].known && !w->num[FULL][x].used) drop_page(w, x, 0), w->n_evicted[FULL]++;
}

// ---- after a call ----

// Partial pages that nothing uses any more and that a longer one has come for.
static void sweep(world *w) {
  for (int x = 0; x < w->n_ids[FULL]; x++) {
    const text *a = &w->page[x];
    uint64_t longer = 0;
    if (!w->num[FULL][x].known || w->num[FULL][x].used || a->n % PAGE == 0) continue;
    for (int y = 0; y < w->n_ids[FULL]; y++)
      if (w->page[y].n > a->n && model_covers(w, y, a, a->n)) longer |= BIT(y);
    if (longer) drop_page(w, x, longer);
  }
}

// Times of last use: of what the sequence may have touched, and of what nothing uses any more.
static void set_times(world *w, const seq *s, int kind, int x, const text *at) {
  number *a = &w->num[kind][x];
  if (a->known && s && at->salt == s->salt &&
      memcmp(at->tokens, s->tokens, (size_t)(index_of(at) * PAGE) * sizeof *s->tokens) == 0)
    a->hi = w->step;
  if (a->known && !a->used && a->before) a->lo = a->hi = w->step;
  a->before = a->used;
}

static void check_counts(const world *w, int kind) {
  pn_kv_stats now = pn_kv_group_stats(w->p, w->group[kind]);
  int n_used = 0, most = 0, least = 0;
  for (int x = 0; x < w->n_ids[kind]; x++) {
    const number *a = &w->num[kind][x];
    n_used += a->used;
    most += a->known && !a->used;
    least += a->known && !a->used && !(kind == SLOT && w->snap[x].maybe);
  }
  CHECK(now.n_pages == w->n_ids[kind] && now.n_free + now.n_used + now.n_cached == now.n_pages);
  CHECK(now.n_used == n_used);
  CHECK(now.n_cached >= least && now.n_cached <= most);
  CHECK(kind == SLOT || now.n_evicted == w->n_evicted[kind]);
}

void model_end(world *w, const seq *s) {
  model_look(w);
  sweep(w);
  for (int x = 0; x < w->n_ids[FULL]; x++) set_times(w, s, FULL, x, &w->page[x]);
  for (int k = 0; k < w->n_windows; k++)
    for (int x = 0; x < w->n_ids[WIN + k]; x++)
      set_times(w, s, WIN + k, x, w->node[k][x] < 0 ? NULL : &w->page[w->node[k][x]]);
  for (int x = 0; x < w->n_ids[SLOT]; x++) set_times(w, s, SLOT, x, &w->snap[x].at);
  for (int kind = 0; kind < N_KINDS; kind++)
    if (w->n_ids[kind]) check_counts(w, kind);
  uint64_t salts[MAX_IDS];
  bool used[MAX_IDS];
  const text *sample[MAX_IDS];
  CHECK(pn_kv_pool_salts(w->p) == list_salts(w, salts, used, sample));
}
