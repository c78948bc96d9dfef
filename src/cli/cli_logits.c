// pensieve logits: the logits after each of some tokens, as a NumPy file.
#include "cli/console.h"
#include "cli/stepper.h"
#include "cli/verbs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Every run of digits in the text is an id; between them may stand what JSON and people put there.
static bool parse_ids(pn_str text, const char *where, pn_ids *ids, pn_error *e) {
  for (size_t i = 0; i < text.n;) {
    char c = text.p[i];
    if (c < '0' || c > '9') {
      if (!memchr(" \t\r\n,;[]", c, 9))
        return pn_fail(e, PN_ERR_USAGE, "%s: expected token ids such as 1,2,3, found \"%c\" at byte %zu",
                       where, c, i);
      i++;
      continue;
    }
    int64_t id = 0;
    for (; i < text.n && text.p[i] >= '0' && text.p[i] <= '9'; i++)
      if ((id = id * 10 + (text.p[i] - '0')) > INT32_MAX)
        return pn_fail(e, PN_ERR_USAGE, "%s: a token id is too large at byte %zu", where, i);
    pn_ids_add(ids, (int32_t)id);
  }
  if (ids->oom) return pn_fail(e, PN_ERR_NOMEM, "out of memory for the token ids");
  return ids->n ? true : pn_fail(e, PN_ERR_USAGE, "%s: there is no token id", where);
}

static bool read_ids(const options *o, pn_ids *ids, pn_error *e) {
  const char *list = options_text(o, "ids"), *file = options_text(o, "ids-file");
  if (!list == !file) return pn_fail(e, PN_ERR_USAGE, "`logits` wants either --ids 1,2,3 or --ids-file FILE");
  if (list) return parse_ids(pn_str_of(list), "--ids", ids, e);
  pn_buf text = {0};
  bool ok = console_read(file, (size_t)256 << 20, &text, e);
  pn_str s = pn_buf_view(&text), head = PN_STR("{\"ids\":");
  if (ok && pn_str_starts(s, head)) { // as `tokens` writes it
    size_t end = pn_str_find(s, PN_STR("}"), head.n);
    s = (pn_str){s.p + head.n, (end == SIZE_MAX ? s.n : end) - head.n};
  }
  ok = ok && parse_ids(s, file, ids, e);
  pn_buf_fini(&text);
  return ok;
}

// The header of a NumPy file, version 1.0: magic, version, length, and a dictionary padded so that the data
// begins at a multiple of 64. Source: the format's description in NumPy's documentation.
static bool write_header(FILE *f, size_t n_rows, int n_cols) {
  char dict[256];
  int n = snprintf(dict, sizeof dict, "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %d), }",
                   n_rows, n_cols);
  int whole = (10 + n + 1 + 63) / 64 * 64 - 10;
  unsigned char head[10] = {
      0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (unsigned char)(whole & 255), (unsigned char)(whole >> 8)};
  return fwrite(head, 1, 10, f) == 10 && fprintf(f, "%s%*s\n", dict, whole - n - 1, "") == whole;
}

static bool write_logits(stepper *s, const pn_ids *ids, FILE *f, pn_error *e) {
  size_t n_vocab = (size_t)pn_model_config_of(s->m->model)->n_vocab;
  float *logits = malloc((size_t)s->chunk * n_vocab * sizeof *logits);
  if (!logits) return pn_fail(e, PN_ERR_NOMEM, "out of memory for logits of %d tokens", s->chunk);
  bool ok =
      write_header(f, ids->n, (int)n_vocab) || pn_fail(e, PN_ERR_IO, "cannot write: %s", strerror(errno));
  for (size_t at = 0; ok && at < ids->n; at += (size_t)s->chunk) {
    size_t n = ids->n - at < (size_t)s->chunk ? ids->n - at : (size_t)s->chunk;
    console_progress("logits: %zu of %zu tokens", at, ids->n);
    ok = stepper_run(s, ids->p + at, (int)n, (int)at, logits, e);
    if (ok && fwrite(logits, n_vocab * sizeof *logits, n, f) != n)
      ok = pn_fail(e, PN_ERR_IO, "cannot write: %s", strerror(errno));
  }
  console_progress("%s", "");
  free(logits);
  return ok;
}

// Written under a temporary name, so that a file of the right name is always whole.
static bool write_file(stepper *s, const pn_ids *ids, const char *path, pn_error *e) {
  pn_buf name = {0};
  pn_buf_printf(&name, "%s.tmp%ld", path, (long)getpid());
  const char *temporary = pn_buf_cstr(&name);
  FILE *f = fopen(temporary, "wb");
  bool ok = f || pn_fail(e, PN_ERR_IO, "cannot write: %s", strerror(errno));
  ok = ok && write_logits(s, ids, f, e);
  if (f && fclose(f) != 0 && ok) ok = pn_fail(e, PN_ERR_IO, "cannot write: %s", strerror(errno));
  if (ok && rename(temporary, path) != 0) ok = pn_fail(e, PN_ERR_IO, "cannot write: %s", strerror(errno));
  if (!ok && f) remove(temporary);
  if (!ok && e && e->code == PN_ERR_IO) pn_fail_in(e, "%s", path);
  pn_buf_fini(&name);
  return ok;
}

bool cli_logits(const options *o, pn_error *e) {
  const char *out = options_text(o, "out");
  if (!out) return pn_fail(e, PN_ERR_USAGE, "`logits` wants --out FILE.npy");
  open_model m = {0};
  stepper s = {0};
  pn_ids ids = {0};
  bool ok = read_ids(o, &ids, e) && open_model_read(&m, o, NULL, OPEN_WEIGHTS, e) &&
            stepper_check_ids(&m, ids.p, ids.n, e);
  int max = ok ? pn_model_config_of(m.model)->max_positions : 0;
  if (ok && ids.n > (size_t)max)
    ok = pn_fail(e, PN_ERR_USAGE, "%zu tokens are more than the %d that the model was made for", ids.n, max);
  ok =
      ok && stepper_open(&s, &m, (int)ids.n, (int)options_int(o, "chunk"), e) && write_file(&s, &ids, out, e);
  stepper_close(&s);
  pn_ids_fini(&ids);
  open_model_close(&m);
  return ok;
}
