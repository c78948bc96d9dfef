// Encodes texts for tests in other languages. `tokenizer_probe MODEL` reads records from stdin and answers on
// stdout; all numbers are 32-bit in the machine's order.
//   in:  flags (1: all of the text is plain), number of bytes, the bytes
//   out: number of ids (or -1, then the message as bytes below), the ids, number of bytes, the decoded bytes
//   with
//        control tokens. The streaming decoder must agree, or the program ends with status 3.
// `tokenizer_probe MODEL bench N < TEXT` encodes stdin N times and prints MB/s and the number of ids.
#include "base/clock.h"
#include "base/utf8.h"
#include "tokenizer/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool get(void *p, size_t n) { return fread(p, 1, n, stdin) == n; }
static void put(const void *p, size_t n) {
  if (n) fwrite(p, 1, n, stdout);
}
static void put_count(int64_t n) { put(&(int32_t){(int32_t)n}, 4); }

static bool streams_alike(const pn_tokenizer *t, const pn_ids *ids, const pn_buf *whole) {
  pn_buf out = {0}, want = {0};
  pn_detokenizer d = {.t = t, .keep_control = true};
  for (size_t i = 0; i < ids->n; i++) {
    size_t from = out.n;
    pn_detokenizer_add(&d, ids->p[i], &out);
    pn_str part = {out.p + from, out.n - from};
    if (part.n && pn_utf8_check(part) != part.n) return false;
  }
  pn_detokenizer_flush(&d, &out);
  pn_utf8_repair(&want, pn_buf_view(whole));
  bool same = pn_str_eq(pn_buf_view(&out), pn_buf_view(&want));
  pn_buf_fini(&out);
  pn_buf_fini(&want);
  return same;
}

static int answer(const pn_tokenizer *t) {
  uint32_t head[2];
  while (get(head, sizeof head)) {
    char *text = malloc((size_t)head[1] + 1);
    if (!text || !get(text, head[1])) return 2;
    pn_ids ids = {0};
    pn_buf bytes = {0};
    pn_error e;
    pn_span all = {0, head[1]};
    if (pn_tokenizer_encode(t, (pn_str){text, head[1]}, &all, head[0] & 1, &ids, &e)) {
      pn_tokenizer_decode(t, ids.p, ids.n, true, &bytes);
      put_count((int64_t)ids.n);
      put(ids.p, ids.n * sizeof *ids.p);
      if (!streams_alike(t, &ids, &bytes)) return 3;
    } else {
      put_count(-1);
      pn_buf_z(&bytes, e.msg);
    }
    put_count((int64_t)bytes.n);
    put(bytes.p, bytes.n);
    fflush(stdout);
    pn_ids_fini(&ids);
    pn_buf_fini(&bytes);
    free(text);
  }
  return 0;
}

static int bench(const pn_tokenizer *t, int times) {
  pn_buf text = {0};
  char part[65536];
  for (size_t n; (n = fread(part, 1, sizeof part, stdin)) > 0;) pn_buf_add(&text, part, n);
  for (int i = 0; i < times; i++) {
    pn_ids ids = {0};
    pn_error e;
    uint64_t begin = pn_now_ns();
    pn_span all = {0, text.n};
    if (!pn_tokenizer_encode(t, pn_buf_view(&text), &all, 1, &ids, &e)) {
      fprintf(stderr, "%s\n", e.msg);
      return 1;
    }
    double s = (double)(pn_now_ns() - begin) * 1e-9;
    printf("%.1f MB/s, %.2f ms, %zu ids\n", (double)text.n * 1e-6 / s, s * 1e3, ids.n);
    pn_ids_fini(&ids);
  }
  pn_buf_fini(&text);
  return 0;
}

int main(int argc, char **argv) {
  pn_error e;
  pn_files *f = argc > 1 ? pn_files_open(argv[1], &e) : NULL;
  uint64_t begin = pn_now_us();
  pn_tokenizer *t = f ? pn_tokenizer_open(f, &e) : NULL;
  if (!t) {
    fprintf(stderr, "%s\n", argc > 1 ? e.msg : "usage: tokenizer_probe MODEL [bench N]");
    pn_files_close(f);
    return 1;
  }
  if (argc > 2) printf("opened in %.1f ms\n", (double)(pn_now_us() - begin) * 1e-3);
  int rc = argc > 3 && strcmp(argv[2], "bench") == 0 ? bench(t, atoi(argv[3])) : answer(t);
  pn_tokenizer_close(t);
  pn_files_close(f);
  return rc;
}
