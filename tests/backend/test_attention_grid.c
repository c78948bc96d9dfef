// Attention of `cpu` on every instruction set that the machine has: against `ref` within a tolerance, and bit
// for bit against the scalar kernels on one thread, for any cut into steps, any threads, any size of pages,
// and whether or not sequences share pages.
//   test_attention_grid [quick]
//   test_attention_grid module NAME FOLDERS   the same of a backend in a module, whose bits must not depend
//     on the cut into steps
#include "backend/backend.h"
#include "backend/cpu/cpu_state.h"
#include "grid.h"
#include "one_op.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BACKENDS = 12 };

static pn_backend *ref, *scalar, *all[MAX_BACKENDS];
static int n_all;
static pn_backend *module; // NULL unless one is tested

static void open_all(void) {
  ref = open_backend("ref", NULL, 2, NULL);
  scalar = open_backend("cpu", "scalar", 1, NULL);
  for (const char *const *isa = test_isas(); *isa; isa++)
    for (int threads = 1; threads <= 3; threads++) all[n_all++] = open_backend("cpu", *isa, threads, NULL);
  for (int i = 0; i < n_all; i++) printf("%s\n", all[i]->ops->describe(all[i]));
}

static void close_all(void) {
  pn_backend_close(ref);
  if (!module) pn_backend_close(scalar);
  for (int i = 0; i < n_all; i++) pn_backend_close(all[i]);
}

// Sequences that are written and attended to in steps of up to `chunk` rows a sequence.
typedef struct attention_case {
  int heads, kv_heads, dim, window, page_tokens, n_seqs, length[3];
  pn_kv_type type;
  double tolerance;
} attention_case;

enum { N_LAYERS = 2, MAX_TOKENS = 3 * 1024, MAX_PAGES = 1024 };

typedef struct attention_input {
  float *q, *k, *v; // [token of all sequences][heads * dim]
  int32_t table[3][MAX_PAGES];
  const int32_t *pages[3];
  int first[3], n_tokens, n_pages;
} attention_input;

static void make_input(const attention_case *c, attention_input *in) {
  memset(in, 0, sizeof *in);
  for (int s = 0; s < c->n_seqs; s++) {
    in->first[s] = in->n_tokens;
    in->n_tokens += c->length[s];
    in->pages[s] = in->table[s];
  }
  // Pages of the sequences interleaved and descending, so that neighbours in a sequence are not neighbours in
  // memory.
  for (int s = 0; s < c->n_seqs; s++)
    for (int p = 0; p * c->page_tokens < c->length[s]; p++) in->n_pages++;
  int next = in->n_pages;
  for (int p = 0; next > 0; p++)
    for (int s = 0; s < c->n_seqs; s++)
      if (p * c->page_tokens < c->length[s]) in->table[s][p] = --next;
  in->q = normals((size_t)in->n_tokens * (size_t)(c->heads * c->dim));
  in->k = normals((size_t)in->n_tokens * (size_t)(c->kv_heads * c->dim));
  in->v = normals((size_t)in->n_tokens * (size_t)(c->kv_heads * c->dim));
}

static void free_input(attention_input *in) {
  free(in->q);
  free(in->k);
  free(in->v);
}

// The rows of one step: tokens [done, done + chunk) of every sequence.
static int make_step(const attention_case *c, const attention_input *in, int done, int chunk, int32_t *token,
                     int32_t *seq, int32_t *pos, int32_t *slot) {
  int n = 0;
  for (int s = 0; s < c->n_seqs; s++)
    for (int p = done; p < done + chunk && p < c->length[s]; p++, n++) {
      token[n] = in->first[s] + p;
      seq[n] = s;
      pos[n] = p;
      slot[n] = in->table[s][p / c->page_tokens] * c->page_tokens + p % c->page_tokens;
    }
  return n;
}

static float *rows_of(const float *all_rows, const int32_t *token, int n, int width) {
  float *x = malloc((size_t)n * (size_t)width * sizeof *x);
  for (int r = 0; r < n; r++)
    memcpy(x + (size_t)r * (size_t)width, all_rows + (size_t)token[r] * (size_t)width,
           (size_t)width * sizeof *x);
  return x;
}

// out[token][heads * dim], of layer 1.
static void run_attention(pn_backend *b, const attention_case *c, const attention_input *in, int chunk,
                          float *out) {
  static int32_t token[MAX_TOKENS], seq[MAX_TOKENS], pos[MAX_TOKENS], slot[MAX_TOKENS];
  pn_error e = {0};
  int width = c->heads * c->dim, kv_width = c->kv_heads * c->dim;
  pn_kv_shape shape = {N_LAYERS, c->kv_heads, c->dim, c->page_tokens, in->n_pages, c->type, 0};
  pn_kv *kv = b->ops->kv_open(b, &shape, &e);
  CHECK(kv, "%s", e.msg);
  if (!kv) return;
  pn_attention a = {0, 1, c->heads, c->kv_heads, c->dim, 1 / sqrtf((float)c->dim), c->window};
  for (int done = 0, n; (n = make_step(c, in, done, chunk, token, seq, pos, slot)) > 0; done += chunk) {
    pn_batch batch = {n, c->n_seqs, token, seq, pos, 1, &(pn_kv_rows){kv, slot, in->pages, NULL}, 0, NULL};
    float *q = rows_of(in->q, token, n, width), *k = rows_of(in->k, token, n, kv_width),
          *v = rows_of(in->v, token, n, kv_width), *o = malloc((size_t)n * (size_t)width * sizeof *o);
    run_kv_write(b, &batch, 0, v, k, kv_width); // another layer's content must not matter
    run_kv_write(b, &batch, 1, k, v, kv_width);
    run_attention_op(b, &batch, a, q, o);
    for (int r = 0; r < n; r++)
      memcpy(out + (size_t)token[r] * (size_t)width, o + (size_t)r * (size_t)width,
             (size_t)width * sizeof *o);
    free(q);
    free(k);
    free(v);
    free(o);
  }
  b->ops->kv_close(b, kv);
}

// Modules need not have every KV.
static bool has_kv(const attention_case *c) {
  const pn_kv_shape shape = {N_LAYERS, c->kv_heads, c->dim, c->page_tokens, 1, c->type, 0};
  return !module || module->ops->kv_bytes(module, &shape) > 0;
}

static void check_attention(const attention_case *c) {
  static const int chunks[] = {1, 3, 40, 1024};
  attention_input in;
  make_input(c, &in);
  size_t n = (size_t)in.n_tokens * (size_t)(c->heads * c->dim), where;
  float *want = malloc(n * 4), *base = malloc(n * 4), *got = malloc(n * 4);
  run_attention(ref, c, &in, 1024, want);
  run_attention(scalar, c, &in, 1024, base);
  CHECK(close_to(base, want, n, c->tolerance, &where),
        "attention dim %d heads %d/%d window %d at %zu: %.9g, ref %.9g", c->dim, c->heads, c->kv_heads,
        c->window, where, (double)base[where], (double)want[where]);
  for (int i = 0; i < n_all; i++)
    for (int k = 0; k < 4; k++) {
      if (chunks[k] < 40 && in.n_tokens > 400 && i != 1 && i != 5) continue; // slow; two of them tell enough
      run_attention(all[i], c, &in, chunks[k], got);
      CHECK(memcmp(got, base, n * 4) == 0,
            "attention dim %d heads %d/%d window %d page %d: %s in steps of %d differs", c->dim, c->heads,
            c->kv_heads, c->window, c->page_tokens, all[i]->ops->describe(all[i]), chunks[k]);
    }
  free(want);
  free(base);
  free(got);
  free_input(&in);
}

static void check_attentions(void) {
  static const attention_case cases[] = {
      {4, 4, 64, 0, 32, 1, {1}, PN_KV_F16, 2e-5},
      {9, 3, 64, 0, 32, 3, {31, 32, 33}, PN_KV_F16, 2e-5},
      {9, 3, 64, 0, 32, 2, {700, 5}, PN_KV_F16, 2e-5},
      {4, 4, 96, 0, 32, 2, {300, 257}, PN_KV_F16, 2e-5},
      {8, 2, 80, 7, 32, 2, {90, 40}, PN_KV_F16, 2e-5},
      {8, 2, 128, 40, 32, 2, {150, 33}, PN_KV_BF16, 2e-5},
      {6, 1, 33, 0, 32, 3, {70, 1, 40}, PN_KV_F32, 2e-5},
      {20, 1, 16, 0, 16, 2, {200, 40}, PN_KV_F16, 2e-5},
      {40, 2, 8, 5, 16, 1, {60}, PN_KV_BF16, 2e-5},
      {2, 2, 1, 0, 5, 2, {64, 17}, PN_KV_F32, 2e-5},
      {3, 3, 17, 11, 5, 2, {64, 17}, PN_KV_F16, 2e-5},
      {4, 1, 64, 300, 48, 2, {900, 410}, PN_KV_F16, 2e-5},
      {2, 1, 64, 1, 32, 1, {70}, PN_KV_F32, 2e-5},
      {2, 1, 256, 0, 256, 1, {600}, PN_KV_BF16, 2e-5},
      {2, 2, 64, 0, 64, 2, {530, 63}, PN_KV_F16, 2e-5},
      {4, 2, 80, 0, 64, 2, {300, 64}, PN_KV_F16, 2e-5},
      {5, 1, 96, 0, 64, 2, {270, 65}, PN_KV_F16, 2e-5},
      {6, 1, 128, 0, 64, 1, {300}, PN_KV_F16, 2e-5},
      {7, 1, 64, 290, 64, 1, {700}, PN_KV_F16, 2e-5},
      {8, 1, 256, 0, 32, 1, {260}, PN_KV_F16, 2e-5},
      {14, 2, 64, 0, 32, 2, {280, 31}, PN_KV_F16, 2e-5},
      {5, 1, 96, 0, 64, 2, {270, 65}, PN_KV_INT8, 2e-5},
      {7, 1, 80, 290, 64, 1, {600}, PN_KV_INT8, 2e-5},
      {7, 1, 80, 290, 64, 1, {600}, PN_KV_INT4, 2e-5},
      {9, 3, 64, 0, 32, 3, {31, 32, 33}, PN_KV_INT8, 2e-5},
      {9, 3, 64, 0, 32, 2, {700, 5}, PN_KV_INT8, 2e-5},
      {4, 4, 96, 0, 32, 2, {300, 257}, PN_KV_INT8, 2e-5},
      {8, 2, 80, 7, 32, 2, {90, 40}, PN_KV_INT8, 2e-5},
      {6, 1, 33, 0, 32, 3, {70, 1, 40}, PN_KV_INT8, 2e-5},
      {20, 1, 16, 0, 16, 2, {200, 40}, PN_KV_INT8, 2e-5},
      {2, 2, 1, 0, 5, 2, {64, 17}, PN_KV_INT8, 2e-5},
      {3, 3, 17, 11, 5, 2, {64, 17}, PN_KV_INT8, 2e-5},
      {4, 1, 64, 300, 48, 2, {900, 410}, PN_KV_INT8, 2e-5},
      {2, 1, 256, 0, 256, 1, {600}, PN_KV_INT8, 2e-5},
      {8, 2, 128, 40, 32, 2, {150, 33}, PN_KV_INT8, 2e-5},
      {9, 3, 64, 0, 32, 3, {31, 32, 33}, PN_KV_INT4, 2e-5},
      {9, 3, 64, 0, 32, 2, {700, 5}, PN_KV_INT4, 2e-5},
      {4, 4, 96, 0, 32, 2, {300, 257}, PN_KV_INT4, 2e-5},
      {8, 2, 80, 7, 32, 2, {90, 40}, PN_KV_INT4, 2e-5},
      {6, 1, 33, 0, 32, 3, {70, 1, 40}, PN_KV_INT4, 2e-5},
      {20, 1, 16, 0, 16, 2, {200, 40}, PN_KV_INT4, 2e-5},
      {2, 2, 1, 0, 5, 2, {64, 17}, PN_KV_INT4, 2e-5},
      {3, 3, 17, 11, 5, 2, {64, 17}, PN_KV_INT4, 2e-5},
      {4, 1, 64, 300, 48, 2, {900, 410}, PN_KV_INT4, 2e-5},
      {2, 1, 256, 0, 256, 1, {600}, PN_KV_INT4, 2e-5},
      {8, 2, 128, 40, 32, 2, {150, 33}, PN_KV_INT4, 2e-5},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
    if (has_kv(&cases[i]) && (!quick || (cases[i].length[0] <= 300 && cases[i].heads <= 9)))
      check_attention(&cases[i]);
}

// The same bytes whatever the size of the pages, as long as a span has whole ones.
static void check_page_sizes(void) {
  static const int sizes[] = {16, 32, 64, 128, 256};
  attention_case c = {6, 2, 64, 0, 0, 2, {600, 300}, PN_KV_F16, 0};
  for (int type = 0; type < PN_KV_N_TYPES && !(quick && type > PN_KV_F16); type++) {
    float *first = NULL;
    c.type = (pn_kv_type)type;
    pn_rng_seed(&rng, 5);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
      attention_input in;
      pn_rng_seed(&rng, 5);
      c.page_tokens = sizes[i];
      make_input(&c, &in);
      size_t n = (size_t)in.n_tokens * (size_t)(c.heads * c.dim);
      float *got = malloc(n * 4);
      run_attention(all[1], &c, &in, 1024, got);
      if (!first) first = copy_of(got, n);
      CHECK(memcmp(got, first, n * 4) == 0, "%s in pages of %d differs", pn_kv_type_name(c.type), sizes[i]);
      free(got);
      free_input(&in);
    }
    free(first);
  }
}

// Sequences that begin like others: seq s has the first `common` tokens of sequence `like`, and the pages
// that those fill.
enum { FAMILY = 7, FAMILY_TOKENS = 800, FAMILY_PAGES = FAMILY * FAMILY_TOKENS / 16 };
typedef struct relative {
  int like, common, length;
} relative;
static const relative family[FAMILY] = {{0, 0, 790},   {0, 600, 700}, {3, 777, 790}, {3, 0, 791},
                                        {1, 300, 560}, {6, 0, 40},    {3, 513, 520}};

typedef struct family_kv {
  int heads, kv_heads, dim, window, page_tokens;
  pn_kv_type type;
  float *q, *k, *v;                    // [sequence][token][heads * dim]
  int32_t table[FAMILY][FAMILY_PAGES]; // with shared pages
  int32_t own[FAMILY][FAMILY_PAGES];   // without
  const int32_t *shared_pages[FAMILY], *own_pages[FAMILY];
} family_kv;

static int family_parent(int s) { return family[s].common ? family[s].like : -1; }

// Parents before children: 0, 3, 5 (alone), then those of 0 and 3, then those of 1.
static const int by_age[FAMILY] = {0, 3, 5, 1, 2, 6, 4};

static void make_family(family_kv *f) {
  const size_t width = (size_t)(f->heads * f->dim), kv_width = (size_t)(f->kv_heads * f->dim);
  f->q = normals(FAMILY * FAMILY_TOKENS * width);
  f->k = normals(FAMILY * FAMILY_TOKENS * kv_width);
  f->v = normals(FAMILY * FAMILY_TOKENS * kv_width);
  const int pages = FAMILY_TOKENS / f->page_tokens + 1;
  for (int i = 0; i < FAMILY; i++) {
    int s = by_age[i], parent = family_parent(s), common = parent < 0 ? 0 : family[s].common;
    for (int p = 0; p < pages; p++) {
      f->own[s][p] = s * pages + p;
      f->table[s][p] = (p + 1) * f->page_tokens <= common ? f->table[parent][p] : f->own[s][p];
    }
    f->shared_pages[s] = f->table[s], f->own_pages[s] = f->own[s];
    if (parent < 0) continue;
    const size_t to = (size_t)s * FAMILY_TOKENS * kv_width, from = (size_t)parent * FAMILY_TOKENS * kv_width;
    memcpy(f->k + to, f->k + from, (size_t)common * kv_width * sizeof(float));
    memcpy(f->v + to, f->v + from, (size_t)common * kv_width * sizeof(float));
  }
}

static int family_row(const family_kv *f, bool shared, int s, int pos, int32_t *seq, int32_t *at,
                      int32_t *slot, int n) {
  const int32_t *table = shared ? f->table[s] : f->own[s];
  seq[n] = s, at[n] = pos;
  slot[n] = table[pos / f->page_tokens] * f->page_tokens + pos % f->page_tokens;
  return n + 1;
}

// What the last `rows` rows of each sequence of `who` get in one step: out[sequence][rows][heads * dim].
static void run_family(pn_backend *b, const family_kv *f, bool shared, const int *who, int n_who, int rows,
                       float *out) {
  const int width = f->heads * f->dim, kv_width = f->kv_heads * f->dim;
  static int32_t seq[FAMILY_TOKENS], pos[FAMILY_TOKENS], slot[FAMILY_TOKENS];
  pn_error e = {0};
  const int n_pages = FAMILY * (FAMILY_TOKENS / f->page_tokens + 1);
  pn_kv *kv =
      b->ops->kv_open(b, &(pn_kv_shape){1, f->kv_heads, f->dim, f->page_tokens, n_pages, f->type, 0}, &e);
  CHECK(kv, "%s", e.msg);
  if (!kv) return;
  const pn_kv_rows places = {kv, slot, shared ? f->shared_pages : f->own_pages, NULL};
  for (int s = 0; s < FAMILY; s++) {
    int n = 0;
    for (int p = 0; p < family[s].length; p++) n = family_row(f, shared, s, p, seq, pos, slot, n);
    const pn_batch batch = {n, FAMILY, seq, seq, pos, 1, &places, 0, NULL};
    const size_t at = (size_t)s * FAMILY_TOKENS * (size_t)kv_width;
    run_kv_write(b, &batch, 0, f->k + at, f->v + at, kv_width);
  }
  int n = 0;
  for (int i = 0; i < n_who; i++)
    for (int r = rows; r > 0; r--)
      n = family_row(f, shared, who[i], family[who[i]].length - r, seq, pos, slot, n);
  float *q = malloc((size_t)(n * width) * sizeof *q), *o = malloc((size_t)(n * width) * sizeof *o);
  for (int r = 0; r < n; r++)
    memcpy(q + r * width, f->q + (seq[r] * FAMILY_TOKENS + pos[r]) * width, (size_t)width * sizeof *q);
  const pn_batch batch = {n, FAMILY, seq, seq, pos, 1, &places, 0, NULL};
  const pn_attention a = {0, 0, f->heads, f->kv_heads, f->dim, 1 / sqrtf((float)f->dim), f->window};
  run_attention_op(b, &batch, a, q, o);
  for (int r = 0; r < n; r++)
    memcpy(out + (seq[r] * rows + r % rows) * width, o + r * width, (size_t)width * sizeof *o);
  free(q);
  free(o);
  b->ops->kv_close(b, kv);
}

// A row's answer among sequences that share its pages is that of the row alone in pages of its own.
static void check_family(family_kv f, int rows) {
  static const int mixed[FAMILY] = {0, 3, 1, 5, 6, 4, 2};
  pn_rng_seed(&rng, 11);
  make_family(&f);
  const size_t n = (size_t)(FAMILY * rows * f.heads * f.dim);
  float *base = malloc(n * 4), *got = malloc(n * 4);
  for (int s = 0; s < FAMILY; s++) run_family(scalar, &f, false, &s, 1, rows, base);
  for (int i = 0; i < n_all; i++)
    for (int shared = 0; shared < 2; shared++) {
      run_family(all[i], &f, shared, mixed, FAMILY, rows, got);
      CHECK(memcmp(got, base, n * 4) == 0, "%s: %d rows of %d sequences, %s pages, %s, window %d differ",
            all[i]->ops->describe(all[i]), rows, FAMILY, shared ? "shared" : "own", pn_kv_type_name(f.type),
            f.window);
    }
  free(base);
  free(got);
  free(f.q);
  free(f.k);
  free(f.v);
}

static void check_families(void) {
  static family_kv f = {.heads = 6, .kv_heads = 2, .dim = 64, .page_tokens = 32};
  for (int type = PN_KV_F16; type < PN_KV_N_TYPES; type++) {
    if (type == PN_KV_BF16 || (quick && type != PN_KV_F16)) continue;
    f.type = (pn_kv_type)type;
    check_family(f, 1);
    check_family(f, 3);
  }
  f.type = PN_KV_F16;
  f.window = 400;
  check_family(f, 2);
  f.window = 0, f.page_tokens = 64, f.heads = 2;
  check_family(f, 5);
  f.heads = 16, f.page_tokens = 48; // spans of 240; too many queries for all of them in one call
  check_family(f, 2);
}

// Which blocks are found to read the same pages: neighbours, in spans that both see whole.
static void check_blocks(void) {
  enum { ROWS = 6 };
  int32_t table[ROWS][40], seq[ROWS], pos[ROWS];
  const int32_t *pages[ROWS];
  static const int length[ROWS] = {1100, 1200, 900, 1024, 1000, 1100}, first[ROWS] = {7, 2, 7, 2, 7, 9};
  cpu_block blocks[ROWS];
  pn_kv kv = {.head = {.page_tokens = 32}};
  for (int s = 0; s < ROWS; s++) {
    for (int p = 0; p < 40; p++) table[s][p] = 100 * first[s] + p;
    table[4][20] = 3; // in its third span
    seq[s] = s, pos[s] = length[s] - 1, pages[s] = table[s];
  }
  cpu_backend s = {.batch = {.n_rows = ROWS, .n_seqs = ROWS, .seq = seq, .pos = pos},
                   .blocks = {.p = blocks}};
  const pn_kv_rows places = {&kv, NULL, pages, NULL};
  cpu_attention_blocks(&s, &places, 0, 16);
  static const int row[ROWS] = {1, 3, 4, 2, 0, 5}, shared[ROWS] = {0, 4, 0, 2, 3, 0};
  CHECK(s.n_blocks == ROWS && s.blocks_share, "%d blocks", s.n_blocks);
  for (int i = 0; i < ROWS; i++)
    CHECK(blocks[i].row == row[i] && blocks[i].shared == shared[i], "block %d: row %d, %d shared", i,
          blocks[i].row, blocks[i].shared);
  cpu_attention_blocks(&s, &places, 1000, 16); // only rows that see everything from position 0 on
  for (int i = 0; i < ROWS; i++)
    CHECK(blocks[i].shared == (blocks[i].row == 2 ? 2 : 0), "row %d: %d shared", blocks[i].row,
          blocks[i].shared);
  cpu_attention_blocks(&s, &places, 0, 1); // no room for two
  CHECK(!s.blocks_share, "blocks of whole calls share");
}

// A page that another sequence left full of infinities and NaNs must not leak into one that has written only
// its head: neither in that page nor in a copy of it, nor past the window of a row, whatever the type.
static void check_stale_page(pn_backend *b, pn_kv_type type) {
  enum { DIM = 64, OLD = 32, NEW = 5, WINDOW = 2 };
  pn_error e = {0};
  pn_kv *kv = b->ops->kv_open(b, &(pn_kv_shape){1, 1, DIM, 32, 2, type, 0}, &e);
  CHECK(kv, "%s", e.msg);
  if (!kv) return;
  const char *who = b->ops->describe(b), *name = pn_kv_type_name(type);
  float bad[OLD * DIM], good[NEW * DIM], out[NEW * DIM], most = type == PN_KV_INT4 ? 2e-3f : 1e-6f;
  for (int k = 0; k < OLD * DIM; k++) bad[k] = k % 2 ? INFINITY : NAN;
  for (int k = 0; k < NEW * DIM; k++) good[k] = 1;
  for (int32_t page = 0; page < 2; page++) {
    int32_t zeros[OLD] = {0}, pos[OLD], slot[OLD];
    const int32_t *pages = &page;
    for (int k = 0; k < OLD; k++) slot[k] = page * OLD + (pos[k] = k);
    const pn_batch old = {OLD, 1, zeros, zeros, pos, 1, &(pn_kv_rows){kv, pos, &pages, NULL}, 0, NULL},
                   fresh = {NEW, 1, zeros, zeros, pos, 1, &(pn_kv_rows){kv, slot, &pages, NULL}, 0, NULL};
    const pn_attention a = {0, 0, 1, 1, DIM, 1, 0}, windowed = {0, 0, 1, 1, DIM, 1, WINDOW};
    run_kv_write(b, &old, 0, bad, bad, DIM);
    if (page == 1) CHECK(b->ops->kv_copy(b, kv, 0, 1, &e), "%s", e.msg);
    run_kv_write(b, &fresh, 0, good, good, DIM);
    run_attention_op(b, &fresh, a, good, out);
    for (int k = 0; k < NEW * DIM; k++)
      CHECK(fabsf(out[k] - 1) < most, "%s %s: stale page %d: %g", who, name, page, (double)out[k]);
    // Positions 0 and 1 turn bad; rows from 3 on see 2 positions only.
    run_kv_write(b, &(pn_batch){2, 1, zeros, zeros, pos, 1, &(pn_kv_rows){kv, slot, &pages, NULL}, 0, NULL},
                 0, bad, bad, DIM);
    run_attention_op(
        b, &(pn_batch){2, 1, zeros, zeros, pos + 3, 1, &(pn_kv_rows){kv, slot + 3, &pages, NULL}, 0, NULL},
        windowed, good, out);
    for (int k = 0; k < 2 * DIM; k++)
      CHECK(fabsf(out[k] - 1) < most, "%s %s: before the window: %g", who, name, (double)out[k]);
    // A vector that is not finite and is seen must show.
    const pn_batch one = {1, 1, zeros, zeros, pos + 3, 1, &(pn_kv_rows){kv, slot + 3, &pages, NULL}, 0, NULL};
    run_kv_write(b, &one, 0, good, bad, DIM);
    run_attention_op(b, &one, windowed, good, out);
    CHECK(!isfinite(out[0]), "%s %s: a NaN was lost: %g", who, name, (double)out[0]);
  }
  b->ops->kv_close(b, kv);
}

static void check_stale_pages(void) {
  for (int type = 0; type < PN_KV_N_TYPES; type++) {
    check_stale_page(ref, (pn_kv_type)type);
    for (int i = 0; i < n_all && (!module || type != PN_KV_INT4); i++)
      check_stale_page(all[i], (pn_kv_type)type);
  }
}

int main(int argc, char **argv) {
  quick = argc > 1 && strcmp(argv[1], "quick") == 0;
  pn_rng_seed(&rng, 7);
  if (argc == 4 && strcmp(argv[1], "module") == 0) {
    ref = open_backend("ref", NULL, 2, NULL);
    module = scalar = all[n_all++] = open_module(argv[2], argv[3]);
  } else {
    open_all();
    check_blocks();
  }
  check_attentions();
  if (!module) check_page_sizes(), check_families();
  check_stale_pages();
  close_all();
  return check_result("attention grid");
}
