// GGUF models in one file or in several. Each part is a GGUF file with tensors of its own and these keys:
//   split.no             its number, from 0
//   split.count          the number of parts
//   split.tensors.count  the number of tensors of all parts
// The first part alone has the metadata of the model.
#include "formats/model_files.h"
#include "formats/name_index.h"

#include <inttypes.h>
#include <stdio.h>

#define MAX_PARTS 99999 // five digits
#define TAIL_BYTES 20   // of "-00001-of-00003.gguf"

// Five digits at p.
static uint32_t five_digits(const char *p) {
  uint32_t n = 0;
  for (int i = 0; i < 5; i++) {
    if (p[i] < '0' || p[i] > '9') return 0;
    n = n * 10 + (uint32_t)(p[i] - '0');
  }
  return n;
}

bool pn_gguf_part_of(pn_str file, pn_str *name, uint32_t *part, uint32_t *n_parts) {
  if (file.n <= TAIL_BYTES || !pn_str_ends(file, PN_STR(".gguf"))) return false;
  const char *tail = file.p + file.n - TAIL_BYTES;
  if (tail[0] != '-' || memcmp(tail + 6, "-of-", 4) != 0) return false;
  *name = (pn_str){file.p, file.n - TAIL_BYTES};
  *part = five_digits(tail + 1);
  *n_parts = five_digits(tail + 10);
  return *part >= 1 && *part <= *n_parts;
}

// A whole number of the metadata that must be what is expected.
static bool check_key(const pn_gguf *g, const char *path, const char *key, int64_t expected, pn_error *e) {
  int64_t found;
  if (!pn_gguf_int(pn_gguf_get(g, key), 0, &found))
    return pn_fail(e, PN_ERR_CORRUPT, "%s: %s: expected %" PRId64 ", found no such number", path, key,
                   expected);
  return found == expected || pn_fail(e, PN_ERR_CORRUPT, "%s: %s: expected %" PRId64 ", found %" PRId64, path,
                                      key, expected, found);
}

// Part i of n, whose path is put into the arena; `given` is the one that is open already.
static bool open_part(pn_files *f, pn_str name, uint32_t i, uint32_t n, const pn_gguf *given, uint32_t at,
                      const char **path, pn_gguf *g, pn_error *e) {
  const size_t size = name.n + TAIL_BYTES + 1;
  char *p = pn_arena_alloc(&f->arena, size);
  if (!p) return pn_fail(e, PN_ERR_NOMEM, "%s: out of memory", f->path);
  snprintf(p, size, "%.*s-%05u-of-%05u.gguf", (int)name.n, name.p, i + 1, n);
  *path = p;
  if (i == at) {
    *g = *given;
  } else {
    pn_error why = {0};
    const pn_map *m = model_files_map(f, p, &why);
    if (!m && why.code == PN_ERR_NOT_FOUND)
      return pn_fail(e, PN_ERR_NOT_FOUND,
                     "%s: split.count: expected %u files, found no %s (incomplete download?)", f->path, n, p);
    if (!m) return pn_fail(e, why.code, "%s", why.msg);
    if (!pn_gguf_parse(&f->arena, (pn_str){(const char *)m->p, m->n}, p, g, e)) return false;
  }
  return check_key(g, p, "split.no", i, e) && check_key(g, p, "split.count", n, e);
}

// All parts, of which the file at f->path is open: f->gguf, by its number `at`.
static bool open_parts(pn_files *f, pn_str name, uint32_t at, uint32_t n, pn_error *e) {
  pn_gguf *parts = pn_arena_array(&f->arena, n, sizeof *parts);
  pn_tensors *tensors = pn_arena_array(&f->arena, n, sizeof *tensors);
  const char **paths = pn_arena_array(&f->arena, n, sizeof *paths);
  size_t *first = pn_arena_array(&f->arena, (size_t)n + 1, sizeof *first);
  pn_map *maps = pn_arena_array(&f->arena, n, sizeof *maps);
  if (!parts || !tensors || !paths || !first || !maps)
    return pn_fail(e, PN_ERR_NOMEM, "%s: out of memory for %u parts", f->path, n);
  maps[0] = f->maps[0];
  f->maps = maps;
  for (uint32_t i = 0; i < n; i++) {
    if (!open_part(f, name, i, n, &f->gguf, at, &paths[i], &parts[i], e)) return false;
    tensors[i] = parts[i].tensors;
  }
  f->gguf = parts[0];
  if (!shards_join(f, tensors, paths, n, first, e)) return false;
  f->gguf.tensors = f->tensors;
  return check_key(&f->gguf, paths[0], "split.tensors.count", (int64_t)f->tensors.n, e);
}

bool parts_open(pn_files *f, pn_error *e) {
  f->maps = pn_arena_array(&f->arena, 1, sizeof *f->maps);
  if (!f->maps) return pn_fail(e, PN_ERR_NOMEM, "%s: out of memory", f->path);
  const pn_map *m = model_files_map(f, f->path, e);
  if (!m) return false;
  if (!pn_gguf_parse(&f->arena, (pn_str){(const char *)m->p, m->n}, f->path, &f->gguf, e)) return false;
  f->tensors = f->gguf.tensors;
  int64_t n;
  if (!pn_gguf_int(pn_gguf_get(&f->gguf, "split.count"), 0, &n) || n <= 1) return true;
  pn_str name;
  uint32_t part, named;
  if (n > MAX_PARTS || !pn_gguf_part_of(pn_str_of(f->path), &name, &part, &named) || named != (uint32_t)n)
    return pn_fail(e, PN_ERR_CORRUPT,
                   "%s: split.count: it is one of %" PRId64
                   " parts, expected a name like NAME-00001-of-%05" PRId64 ".gguf to find the others by",
                   f->path, n, n);
  return open_parts(f, name, part - 1, named, e);
}
