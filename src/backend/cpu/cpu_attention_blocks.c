// How attention cuts the rows of a batch into blocks, and which of them read the same pages.
#include "backend/cpu/cpu_state.h"

// Of a group of layers with the same pages and window.
typedef struct block_view {
  const cpu_backend *s;
  const int32_t *const *pages;
  int window, span_tokens, span_pages;
} block_view;

static const int32_t *table_of(const block_view *v, const cpu_block *b) {
  return v->pages[v->s->batch.seq[b->row]];
}

// The spans, from position 0 on, that every row of the block sees whole.
static int whole_spans(const block_view *v, const cpu_block *b) {
  return v->window && b->highest >= v->window ? 0 : (b->lowest + 1) / v->span_tokens;
}

static int fewer(int a, int b) { return a < b ? a : b; }

// Pages, from the first on, that both blocks read in the same place; none behind their whole spans.
static int common_pages(const block_view *v, const cpu_block *a, const cpu_block *b) {
  const int32_t *x = table_of(v, a), *y = table_of(v, b);
  int n = fewer(whole_spans(v, a), whole_spans(v, b)) * v->span_pages, i = 0;
  while (i < n && x[i] == y[i]) i++;
  return i;
}

// By page tables as words are sorted by letters, so that those that begin alike are neighbours.
static bool stands_before(const block_view *v, const cpu_block *a, const cpu_block *b) {
  int same = common_pages(v, a, b), x = whole_spans(v, a), y = whole_spans(v, b);
  if (same < fewer(x, y) * v->span_pages) return table_of(v, a)[same] < table_of(v, b)[same];
  return x != y ? x < y : a->row < b->row;
}

// Put blocks[n] into its place among those before it.
static void insert(const block_view *v, cpu_block *blocks, int n) {
  const cpu_block b = blocks[n];
  int low = 0, high = n;
  while (low < high) {
    int middle = (low + high) / 2;
    if (stands_before(v, &blocks[middle], &b))
      low = middle + 1;
    else
      high = middle;
  }
  for (int i = n; i > low; i--) blocks[i] = blocks[i - 1];
  blocks[low] = b;
}

// Runs of at most most_rows rows of one sequence, in the order of the batch.
static void cut(cpu_backend *s, int most_rows) {
  cpu_block *blocks = s->blocks.p;
  const pn_batch *b = &s->batch;
  s->n_blocks = 0;
  for (int r = 0; r < b->n_rows; r++) {
    cpu_block *last = s->n_blocks ? &blocks[s->n_blocks - 1] : NULL;
    const int pos = b->pos[r];
    if (last && last->n < most_rows && b->seq[r] == b->seq[last->row]) {
      last->n++;
      if (pos < last->lowest) last->lowest = pos;
      if (pos > last->highest) last->highest = pos;
    } else
      blocks[s->n_blocks++] = (cpu_block){r, 1, pos, pos, 0};
  }
}

void cpu_attention_blocks(cpu_backend *s, const pn_kv_rows *places, int window, int most_rows) {
  if (s->block_rows == most_rows && s->block_places == places && s->block_window == window) return;
  s->block_rows = most_rows, s->block_places = places, s->block_window = window;
  s->blocks_share = false;
  cut(s, most_rows);
  if (s->batch.n_seqs < 2) return;
  cpu_block *blocks = s->blocks.p;
  const int page_tokens = places->kv->head.page_tokens, span_pages = cpu_span_pages(page_tokens);
  const block_view v = {s, places->pages, window, span_pages * page_tokens, span_pages};
  for (int i = 1; i < s->n_blocks; i++) insert(&v, blocks, i);
  for (int i = 1; i < s->n_blocks; i++) {
    bool fit = blocks[i - 1].n + blocks[i].n <= most_rows;
    blocks[i].shared = fit ? common_pages(&v, &blocks[i - 1], &blocks[i]) / span_pages : 0;
    if (blocks[i].shared > 0) s->blocks_share = true;
  }
}
