// Answers of any bytes, in every dialect: the events don't depend on where they are cut, and arguments are
// objects. Built for libFuzzer it is the entry alone; else main plays the files of a folder, each as it is
// and with seeded mutations. In the files control tokens are spelled.
#include "base/map.h"
#include "base/rng.h"
#include "play_dialect.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "fuzz_dialect: %s\n", what);
  abort();
}

static void play_answer(const pn_tongue *t, bool thinks, pn_str raw, size_t cut) {
  played whole = {0}, pieces = {0};
  check(play_raw(t, thinks, raw, raw.n, raw.n, &whole),
        "events out of order, or arguments that are no object");
  check(play_raw(t, thinks, raw, cut / 2, cut, &pieces), "events out of order in pieces");
  check(pn_str_eq(pn_buf_view(&whole.events), pn_buf_view(&pieces.events)), "events depend on the cut");
  played_fini(&pieces);
  check(play_bytes(t, thinks, raw, &pieces), "events out of order in bytes");
  check(pn_str_eq(pn_buf_view(&whole.events), pn_buf_view(&pieces.events)), "events depend on the pieces");
  played_fini(&pieces);
  check(play_raw(t, thinks, (pn_str){raw.p, cut}, 0, cut, &pieces), "a cut answer has no valid events");
  played_fini(&pieces);
  played_fini(&whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  const pn_tokenizer *const tokenizers[] = {&no_controls, &all_controls};
  uint64_t h = n;
  for (size_t i = 0; i < n; i++) h = h * 31 + data[i];
  for (size_t k = 0; k < 2; k++) {
    pn_buf raw = {0};
    raw_of(tokenizers[k], (pn_str){(const char *)data, n}, &raw);
    for (const pn_dialect *d = pn_dialects; d->name; d++) {
      pn_tongue t;
      check(pn_tongue_init(&t, d, &pn_thinking[h % 3], tokenizers[k]), "no memory");
      play_answer(&t, h % 5 == 0, pn_buf_view(&raw), raw.n ? (size_t)(h % raw.n) : 0);
      pn_tongue_fini(&t);
    }
    pn_buf_fini(&raw);
  }
  return 0;
}

#ifndef PN_LIBFUZZER
enum { N_MUTATIONS = 200 };

// Change, insert, remove or repeat a few bytes; half of the new bytes are ones that calls are made of.
static void mutate(pn_buf *b, pn_rng *rng) {
  static const char usual[] = "{}[]()<>|=:,\"'\\u0123dDcC.-etrufalsnTFN \n\xFF\xFE\xC3";
  for (uint64_t k = 1 + pn_rng_below(rng, 4); k && b->n; k--) {
    size_t at = (size_t)pn_rng_below(rng, b->n);
    char c = pn_rng_below(rng, 2) ? usual[pn_rng_below(rng, sizeof usual - 1)] : (char)pn_rng_below(rng, 256);
    size_t n = 1 + (size_t)pn_rng_below(rng, 16);
    if (n > b->n - at) n = b->n - at;
    switch (pn_rng_below(rng, 4)) {
    case 0: b->p[at] = c; break;
    case 1:
      memmove(b->p + at, b->p + at + n, b->n - at - n);
      b->n -= n;
      break;
    case 2:
      pn_buf_char(b, c);
      memmove(b->p + at + 1, b->p + at, b->n - 1 - at);
      b->p[at] = c;
      break;
    default: pn_buf_reserve(b, n); pn_buf_add(b, b->p + at, n);
    }
  }
}

static void play_input(pn_str seed, pn_rng *rng) {
  LLVMFuzzerTestOneInput((const uint8_t *)seed.p, seed.n);
  for (int i = 0; i < N_MUTATIONS; i++) {
    pn_buf b = {0};
    pn_buf_str(&b, seed);
    mutate(&b, rng);
    LLVMFuzzerTestOneInput((const uint8_t *)b.p, b.n);
    pn_buf_fini(&b);
  }
}

int main(int argc, char **argv) {
  DIR *d = argc == 2 ? opendir(argv[1]) : NULL;
  check(d != NULL, "no corpus folder");
  pn_rng rng;
  pn_rng_seed(&rng, 1);
  int n = 0;
  for (struct dirent *entry; (entry = readdir(d)); n++) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
    pn_buf seed = {0};
    if (pn_file_read(path, 1u << 20, &seed, NULL)) play_input(pn_buf_view(&seed), &rng);
    pn_buf_fini(&seed);
  }
  closedir(d);
  check(n > 2, "an empty corpus");
  return 0;
}
#endif
