#include "engine/stop.h"

#include <string.h>

// Length of the longest suffix of `text` that is a proper beginning of `stop`.
static size_t overlap(pn_str text, pn_str stop) {
  size_t n = stop.n - 1 < text.n ? stop.n - 1 : text.n;
  while (n > 0 && memcmp(text.p + text.n - n, stop.p, n) != 0) n--;
  return n;
}

int stop_feed(stop_matcher *m, pn_str piece, pn_buf *out) {
  if (m->n_stops == 0) {
    pn_buf_str(out, piece);
    return -1;
  }
  pn_buf_str(&m->held, piece);
  pn_str text = pn_buf_view(&m->held);
  size_t best_end = SIZE_MAX, best_begin = 0, keep = 0;
  int best = -1;
  for (size_t i = 0; i < m->n_stops; i++) {
    size_t begin = pn_str_find(text, m->stops[i], 0);
    if (begin != SIZE_MAX) {
      size_t end = begin + m->stops[i].n;
      if (end < best_end || (end == best_end && begin < best_begin))
        best = (int)i, best_end = end, best_begin = begin;
    } else {
      size_t n = overlap(text, m->stops[i]);
      if (n > keep) keep = n;
    }
  }
  if (best >= 0) {
    pn_buf_add(out, text.p, best_begin);
    pn_buf_clear(&m->held);
    return best;
  }
  pn_buf_add(out, text.p, text.n - keep);
  pn_buf_drop(&m->held, text.n - keep);
  return -1;
}

void stop_flush(stop_matcher *m, pn_buf *out) {
  pn_buf_str(out, pn_buf_view(&m->held));
  pn_buf_clear(&m->held);
}

void stop_fini(stop_matcher *m) { pn_buf_fini(&m->held); }
