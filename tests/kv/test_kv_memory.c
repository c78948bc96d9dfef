// The memory behind the numbers: sizes, copies in all groups, places of rows, pages as bytes and back.
#include "../backend_options.h"
#include "../unit.h"
#include "base/rng.h"
#include "kv/kv.h"

#include <stdlib.h>
#include <string.h>

enum { PAGE = PN_KV_PAGE_TOKENS, N = 300, N_PAGES = 24 };

// Two full groups of other shapes, a window, a state.
static const pn_model_config config = {
    .n_groups = 4, .groups = {{2, 2, 16, 0, 0}, {1, 1, 40, 70, 0}, {3, 0, 0, 0, 33}, {1, 1, 24, 0, 0}}};
static const pn_kv_wish wish = {.type = PN_KV_INT8, .n_pages = N_PAGES, .max_running = 1, .step_tokens = 16};

typedef struct rig {
  pn_backend *b;
  pn_kv_setup setup;
  pn_kv_pool *pool;
  pn_kv_memory m;
  pn_kv_table t;
} rig;

static rig open_rig(const char *backend, const pn_model_config *c, pn_kv_type type) {
  pn_error e = {0};
  rig r = {.b = open_test_backend(backend, 1, NULL, NULL, &e)};
  pn_kv_wish w = wish;
  w.type = type;
  r.setup = pn_kv_setup_of(c, r.b, &w);
  r.pool = pn_kv_pool_new(&r.setup, &e);
  if (!r.pool || !pn_kv_memory_open(&r.m, c, r.b, type, &r.setup, &e)) fail_msg("%s", e.msg);
  assert_true(pn_kv_table_init(&r.t, 1, N, &e));
  return r;
}

static void close_rig(rig *r) {
  pn_kv_release(r->pool, &r->t, 0, NULL, 0);
  pn_kv_table_fini(&r->t);
  pn_kv_memory_close(&r->m);
  pn_kv_pool_free(r->pool);
  pn_backend_close(r->b);
}

// Every page and slot gets bytes of its own.
static void fill(rig *r, uint64_t seed) {
  pn_rng rng;
  pn_error e;
  pn_rng_seed(&rng, seed);
  for (int g = 0; g < r->m.n_groups; g++) {
    pn_kv_stats s = pn_kv_group_stats(r->pool, g);
    unsigned char *bytes = malloc(r->m.page_bytes[g]);
    for (int32_t page = 0; page < s.n_pages; page++) {
      for (uint64_t i = 0; i < r->m.page_bytes[g]; i++) bytes[i] = (unsigned char)pn_rng_u64(&rng);
      assert_true(r->b->ops->kv_import(r->b, r->m.kv[g], page, bytes, &e));
    }
    free(bytes);
  }
}

static void same_bytes(const rig *a, int group, int32_t x, const rig *b, int32_t y) {
  pn_error e;
  size_t n = a->m.page_bytes[group];
  char *one = malloc(n), *other = malloc(n);
  assert_true(a->b->ops->kv_export(a->b, a->m.kv[group], x, one, &e));
  assert_true(b->b->ops->kv_export(b->b, b->m.kv[group], y, other, &e));
  assert_memory_equal(one, other, n);
  free(one), free(other);
}

static void sizes(void **state) {
  (void)state;
  rig r = open_rig("cpu", &config, PN_KV_INT8);
  assert_int_equal(r.setup.groups[1].n_pages, 2 * (3 + 1)); // 70 + 16 tokens and a page, twice
  assert_int_equal(r.setup.n_slots, 1 + N_PAGES); // slots are small, but more have no page to hang on
  uint64_t sum = 0;
  for (int g = 0; g < 4; g++) sum += r.m.page_bytes[g] * (uint64_t)pn_kv_group_stats(r.pool, g).n_pages;
  assert_true(pn_kv_setup_bytes(&config, r.b, PN_KV_INT8, &r.setup) == sum);
  assert_int_equal(r.m.page_bytes[2], 3 * 192); // to 64 bytes
  // Of the whole tables of `logits`, and of many that run.
  pn_kv_wish w = wish;
  w.whole_tables = true;
  assert_int_equal(pn_kv_setup_of(&config, r.b, &w).groups[1].n_pages, N_PAGES);
  w = wish;
  w.max_running = 100;
  const pn_kv_setup many = pn_kv_setup_of(&config, r.b, &w);
  assert_int_equal(many.groups[1].n_pages, N_PAGES);
  assert_int_equal(many.n_slots, 300);
  pn_model_config large = config;
  large.groups[2].state_floats = 1 << 20;
  assert_int_equal(pn_kv_setup_of(&large, r.b, &wish).n_slots,
                   3); // more than a quarter of the pages, but two
  uint64_t before = 0; // never less for more pages
  for (int n = 1; n < 200; n++) {
    w = (pn_kv_wish){PN_KV_F16, n, 2, 16, false};
    const pn_kv_setup s = pn_kv_setup_of(&config, r.b, &w);
    uint64_t bytes = pn_kv_setup_bytes(&config, r.b, PN_KV_F16, &s);
    assert_true(bytes >= before);
    before = bytes;
  }
  // A row far behind reads all of the full groups, its window, and the state.
  uint64_t at_69 = pn_kv_read_bytes(&config, r.b, PN_KV_INT8, 69),
           at_500 = pn_kv_read_bytes(&config, r.b, PN_KV_INT8, 500);
  assert_true(at_500 - at_69 == (r.m.page_bytes[0] + r.m.page_bytes[3]) * 501 / PAGE -
                                    (r.m.page_bytes[0] + r.m.page_bytes[3]) * 70 / PAGE);
  close_rig(&r);
}

static int32_t tokens[N];

static void reserve(rig *r, int n) {
  pn_error e = {0};
  if (!pn_kv_reserve(r->pool, &r->t, n, &e)) fail_msg("%s", e.msg);
}

static void places(void **state) {
  (void)state;
  rig r = open_rig("ref", &config, PN_KV_F16);
  pn_error e;
  pn_kv_places p = {0};
  assert_true(pn_kv_places_init(&p, &r.m, 4, 2, &e));
  assert_int_equal(p.n_windows, 1);
  for (int n = 16; n <= 240; n += 16) {
    reserve(&r, n);
    pn_kv_publish(r.pool, &r.t, 0, tokens, n);
  }
  reserve(&r, 250);
  pn_kv_places_set_seq(&p, 1, &r.t);
  pn_kv_places_set_row(&p, 3, &r.t, 245);
  assert_ptr_equal(p.rows[0].kv, r.m.kv[0]);
  assert_ptr_equal(p.rows[3].slot, p.rows[0].slot);
  assert_int_equal(p.rows[0].slot[3], pn_kv_slot(&r.t, 245));
  assert_int_equal(p.rows[1].slot[3], pn_kv_window_slot(&r.t, 0, 245));
  assert_ptr_equal(p.rows[0].pages[1], r.t.pages);
  assert_ptr_equal(p.rows[1].pages[1], r.t.window_pages[0]);
  assert_int_equal(p.rows[2].state[1], r.t.state);
  uint64_t used, cached;
  pn_kv_memory_used(&r.m, r.pool, &used, &cached);
  assert_true(cached == (uint64_t)pn_kv_group_stats(r.pool, 1).n_cached * r.m.page_bytes[1]);
  assert_true(used == 8 * (r.m.page_bytes[0] + r.m.page_bytes[3]) +
                          (uint64_t)(8 - r.t.first_window[0]) * r.m.page_bytes[1] + r.m.page_bytes[2]);
  pn_kv_places_fini(&p);
  close_rig(&r);
}

// A page that is shared in part is copied in every group, and a snapshot to the running state.
static void copies(void **state) {
  (void)state;
  static const char *const backends[] = {"ref", "cpu"};
  for (int k = 0; k < 2; k++) {
    rig r = open_rig(backends[k], &config, PN_KV_F16);
    pn_error e;
    reserve(&r, 50);
    pn_kv_release(r.pool, &r.t, 0, tokens, 50);
    fill(&r, 3);
    pn_kv_prefix found;
    pn_kv_attach(r.pool, &r.t, 0, tokens, 0, 60, &found);
    assert_int_equal(found.n_tokens, 50);
    assert_true(found.copy_from >= 0 && found.window[0].from >= 0 && found.state.from >= 0);
    assert_true(pn_kv_memory_copy(&r.m, &found, &e));
    same_bytes(&r, 0, found.copy_from, &r, found.copy_to);
    same_bytes(&r, 1, found.window[0].from, &r, found.window[0].to);
    same_bytes(&r, 2, found.state.from, &r, found.state.to);
    same_bytes(&r, 3, found.copy_from, &r, found.copy_to);
    pn_kv_attached(r.pool, &found);
    close_rig(&r);
  }
}

// Known pages of one pool become those of another, with what every group has of them.
static void pages_as_bytes(void **state) {
  (void)state;
  static const char *const backends[] = {"ref", "cpu"};
  for (int k = 0; k < 2; k++) {
    rig a = open_rig(backends[k], &config, PN_KV_INT4), b = open_rig(backends[k], &config, PN_KV_INT4);
    pn_error e = {0};
    reserve(&a, 80);
    pn_kv_release(a.pool, &a.t, 7, tokens, 80);
    fill(&a, 1), fill(&b, 2);
    pn_kv_span spans[8];
    int n = pn_kv_export(a.pool, 7, tokens, 80, spans, 8);
    assert_int_equal(n, 3);
    for (int i = 0; i < n; i++) {
      uint64_t size = pn_kv_span_bytes(&a.m, &spans[i]);
      char *bytes = malloc(size);
      assert_true(pn_kv_span_write(&a.m, &spans[i], bytes, &e));
      pn_kv_span in;
      if (!pn_kv_span_read(&b.m, bytes, size, &in, &e)) fail_msg("%s", e.msg);
      assert_true(in.hash == spans[i].hash && in.from == i * PAGE && in.n_tokens == (i < 2 ? PAGE : 16));
      assert_true((in.state >= 0) == (i == 2) && in.window[0] >= 0);
      if (!pn_kv_import(b.pool, 7, tokens, in.from + in.n_tokens, &in, &e)) fail_msg("%s", e.msg);
      assert_true(pn_kv_span_load(&b.m, bytes, &in, &e));
      same_bytes(&a, 0, spans[i].page, &b, in.page);
      same_bytes(&a, 1, spans[i].window[0], &b, in.window[0]);
      if (i == 2) same_bytes(&a, 2, spans[i].state, &b, in.state);
      same_bytes(&a, 3, spans[i].page, &b, in.page);
      pn_kv_imported(b.pool, 7, tokens, &in, true);
      free(bytes);
    }
    int32_t differs;
    assert_int_equal(pn_kv_lookup(b.pool, 7, tokens, 80, &differs), 80);
    close_rig(&a), close_rig(&b);
  }
}

static void refused(const rig *r, const void *bytes, size_t n, pn_code code) {
  pn_error e = {0};
  pn_kv_span in;
  assert_false(pn_kv_span_read(&r->m, bytes, n, &in, &e));
  assert_int_equal(e.code, code);
}

static void damaged_bytes_are_refused(void **state) {
  (void)state;
  rig r = open_rig("cpu", &config, PN_KV_F16), other_type = open_rig("cpu", &config, PN_KV_BF16),
      other_backend = open_rig("ref", &config, PN_KV_F16);
  pn_model_config longer = config;
  longer.groups[1].window++;
  rig other_model = open_rig("cpu", &longer, PN_KV_F16);
  pn_error e;
  reserve(&r, 20);
  pn_kv_release(r.pool, &r.t, 0, tokens, 20);
  fill(&r, 5);
  pn_kv_span span, in;
  assert_int_equal(pn_kv_export(r.pool, 0, tokens, 20, &span, 1), 1);
  size_t n = (size_t)pn_kv_span_bytes(&r.m, &span);
  unsigned char *bytes = malloc(n);
  assert_true(pn_kv_span_write(&r.m, &span, bytes, &e));
  assert_true(pn_kv_span_read(&r.m, bytes, n, &in, &e));
  refused(&other_type, bytes, n, PN_ERR_UNSUPPORTED);
  refused(&other_backend, bytes, n, PN_ERR_UNSUPPORTED);
  refused(&other_model, bytes, n, PN_ERR_UNSUPPORTED);
  for (size_t i = 8; i < n; i += i < 100 ? 1 : 97) {
    bytes[i] ^= (unsigned char)(1 << i % 8);
    refused(&r, bytes, n, PN_ERR_CORRUPT);
    bytes[i] ^= (unsigned char)(1 << i % 8);
  }
  for (size_t cut = 0; cut < n; cut += 1 + n / 50) refused(&r, bytes, cut, PN_ERR_CORRUPT);
  bytes[0]++; // another version
  refused(&r, bytes, n, PN_ERR_UNSUPPORTED);
  free(bytes);
  close_rig(&r), close_rig(&other_type), close_rig(&other_backend), close_rig(&other_model);
}

static int set_up(void **state) {
  (void)state;
  for (int i = 0; i < N; i++) tokens[i] = i * 7;
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(sizes), cmocka_unit_test(places),
                                     cmocka_unit_test(copies), cmocka_unit_test(pages_as_bytes),
                                     cmocka_unit_test(damaged_bytes_are_refused)};
  return cmocka_run_group_tests(tests, set_up, NULL);
}
