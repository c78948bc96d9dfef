// Which safetensors files of a folder make up the model, and all their tensors as one table.
#include "formats/model_files.h"
#include "formats/name_index.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define SINGLE "model.safetensors"
#define INDEX "model.safetensors.index.json"
#define SUFFIX ".safetensors"
#define MAX_SHARDS 10000

// File names, sorted, without duplicates; the strings live in the arena or in the index's JSON.
typedef struct name_list {
  const char **items;
  size_t n;
  const char *said_by; // who named them, for messages
} name_list;

static bool no_memory(const pn_files *f, pn_error *e) {
  return pn_fail(e, PN_ERR_NOMEM, "%s: out of memory for its tensors", f->path);
}

static int compare(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void sort_unique(name_list *l) {
  qsort(l->items, l->n, sizeof *l->items, compare);
  size_t n = 0;
  for (size_t i = 0; i < l->n; i++)
    if (n == 0 || strcmp(l->items[n - 1], l->items[i]) != 0) l->items[n++] = l->items[i];
  l->n = n;
}

static size_t position_of(const name_list *l, const char *name) {
  const char **at = l->n ? bsearch(&name, l->items, l->n, sizeof *l->items, compare) : NULL;
  return at ? (size_t)(at - l->items) : SIZE_MAX;
}

// The shards that the index names.
static bool list_indexed(pn_files *f, const pn_json *index, name_list *out, pn_error *e) {
  const pn_json *map = pn_json_get(index, "weight_map");
  if (!pn_json_is(map, PN_JSON_OBJECT) || pn_json_len(map) == 0)
    return pn_fail(e, PN_ERR_CORRUPT,
                   "%s/" INDEX ": weight_map must be an object with a file for every tensor", f->path);
  *out =
      (name_list){.items = pn_arena_array(&f->arena, pn_json_len(map), sizeof *out->items), .said_by = INDEX};
  if (!out->items) return no_memory(f, e);
  for (const pn_json_member *m = pn_json_first(map); m; m = pn_json_next(map, m)) {
    pn_str name = pn_json_str(pn_json_value(m));
    if (!pn_str_ends(name, PN_STR(SUFFIX)) || memchr(name.p, '\0', name.n))
      return pn_fail(e, PN_ERR_CORRUPT,
                     "%s/" INDEX ": weight_map must name a " SUFFIX " file for \"%.*s\", found \"%.*s\"",
                     f->path, NAME_SHOWN(pn_json_key(m)), NAME_SHOWN(name));
    out->items[out->n++] = pn_json_cstr(pn_json_value(m));
  }
  sort_unique(out);
  return true;
}

// All entries of the folder that begin with `prefix` and end with `suffix`.
static bool list_folder(pn_files *f, const char *prefix, const char *suffix, name_list *out, pn_error *e) {
  *out = (name_list){.items = pn_arena_array(&f->arena, MAX_SHARDS, sizeof *out->items), .said_by = f->path};
  if (!out->items) return no_memory(f, e);
  DIR *d = opendir(f->path);
  if (!d) return pn_fail(e, PN_ERR_IO, "cannot list %s: %s", f->path, strerror(errno));
  bool ok = true;
  for (struct dirent *entry; ok && (entry = readdir(d));) {
    pn_str name = pn_str_of(entry->d_name);
    if (name.p[0] == '.' || !pn_str_starts(name, pn_str_of(prefix)) || !pn_str_ends(name, pn_str_of(suffix)))
      continue;
    if (out->n == MAX_SHARDS) {
      ok = pn_fail(e, PN_ERR_LIMIT, "%s: more than %d %s files", f->path, MAX_SHARDS, suffix);
      break;
    }
    const char *copy = pn_arena_dup(&f->arena, name);
    ok = copy || no_memory(f, e);
    if (ok) out->items[out->n++] = copy;
  }
  closedir(d);
  sort_unique(out);
  return ok;
}

const char *shards_first(pn_files *f, const char *suffix) {
  name_list l;
  return list_folder(f, "", suffix, &l, NULL) && l.n > 0 ? l.items[0] : NULL;
}

// "PREFIX-00001-of-00003.safetensors" and its siblings, complete and nothing else?
static bool is_complete_set(const name_list *l) {
  pn_str first = pn_str_of(l->items[0]);
  size_t at = pn_str_find(first, PN_STR("-00001-of-"), 0);
  if (at == SIZE_MAX) return false;
  for (size_t i = 0; i < l->n; i++) {
    char tail[80];
    snprintf(tail, sizeof tail, "-%05zu-of-%05zu" SUFFIX, i + 1, l->n);
    pn_str name = pn_str_of(l->items[i]);
    if (!pn_str_starts(name, (pn_str){first.p, at}) || !pn_str_is((pn_str){name.p + at, name.n - at}, tail))
      return false;
  }
  return true;
}

// Without an index: the one file there is, or a set whose names say that it is complete.
static bool list_unindexed(pn_files *f, name_list *out, pn_error *e) {
  if (!list_folder(f, "model", SUFFIX, out, e)) return false;
  if (out->n == 0 && !list_folder(f, "", SUFFIX, out, e)) return false;
  if (out->n == 1 && pn_str_find(pn_str_of(out->items[0]), PN_STR("-of-0"), 0) == SIZE_MAX) return true;
  if (out->n > 0 && is_complete_set(out)) return true;
  if (out->n > 0)
    return pn_fail(e, PN_ERR_NOT_FOUND,
                   "%s: %zu " SUFFIX " files (%s, ...), but neither " INDEX
                   " nor names that make a complete set (incomplete download?)",
                   f->path, out->n, out->items[0]);
  const char *gguf = shards_first(f, ".gguf");
  if (gguf)
    return pn_fail(e, PN_ERR_NOT_FOUND,
                   "%s: no " SUFFIX " file in this folder; for its GGUF model give %s/%s", f->path, f->path,
                   gguf);
  return pn_fail(e, PN_ERR_NOT_FOUND,
                 "%s: no " SUFFIX " file in this folder (PyTorch .bin files are not read)", f->path);
}

static size_t shard_of(const size_t *first, size_t n_shards, size_t tensor) {
  size_t lo = 0, hi = n_shards; // first[lo] <= tensor < first[hi]
  while (hi - lo > 1) {
    size_t mid = lo + (hi - lo) / 2;
    if (first[mid] <= tensor)
      lo = mid;
    else
      hi = mid;
  }
  return lo;
}

bool shards_join(pn_files *f, const pn_tensors *parts, const char *const *names, size_t n, size_t *first,
                 pn_error *e) {
  pn_tensors *all = &f->tensors;
  first[0] = 0;
  for (size_t i = 0; i < n; i++) first[i + 1] = first[i] + parts[i].n;
  if (n == 1) {
    *all = parts[0];
    return true;
  }
  if (first[n] > NAME_INDEX_MAX)
    return pn_fail(e, PN_ERR_LIMIT, "%s: %zu tensors; at most %zu are supported", f->path, first[n],
                   NAME_INDEX_MAX);
  all->items = pn_arena_array(&f->arena, first[n], sizeof *all->items);
  if (!all->items) return no_memory(f, e);
  for (size_t i = 0; i < n; i++)
    if (parts[i].n) memcpy(all->items + first[i], parts[i].items, parts[i].n * sizeof *all->items);
  all->n = first[n];
  size_t twice[2];
  if (name_index_build(&f->arena, all->items, all->n, sizeof *all->items, &all->index, &all->index_size,
                       twice) == NAME_INDEX_TWICE)
    return pn_fail(e, PN_ERR_CORRUPT, "%s: tensor \"%.*s\" is in two files, %s and %s", f->path,
                   NAME_SHOWN(all->items[twice[0]].name), names[shard_of(first, n, twice[0])],
                   names[shard_of(first, n, twice[1])]);
  return all->index || all->n == 0 ||
         name_index_require(&f->arena, all->items, all->n, sizeof *all->items, &all->index, &all->index_size,
                            f->path, "tensor", e);
}

// Map and parse every file. first[i] is the number of the first tensor of file i in f->tensors, first[n]
// their count.
static bool load(pn_files *f, const name_list *l, size_t *first, pn_error *e) {
  pn_tensors *parts = pn_arena_array(&f->arena, l->n, sizeof *parts);
  f->maps = pn_arena_array(&f->arena, l->n, sizeof *f->maps);
  if (!parts || !f->maps) return no_memory(f, e);
  for (size_t i = 0; i < l->n; i++) {
    const char *path = model_files_join(f, pn_str_of(l->items[i]), l->said_by, e);
    if (!path) return false;
    const pn_map *m = model_files_map(f, path, e);
    if (!m) return pn_fail_in(e, "weight file listed in %s", l->said_by);
    if (!pn_safetensors_parse(&f->arena, (pn_str){(const char *)m->p, m->n}, path, &parts[i], e))
      return false;
  }
  return shards_join(f, parts, l->items, l->n, first, e);
}

// Every tensor that the index names is in the file that it says.
static bool check_index(pn_files *f, const pn_json *index, const name_list *l, const size_t *first,
                        pn_error *e) {
  const pn_json *map = pn_json_get(index, "weight_map");
  for (const pn_json_member *m = pn_json_first(map); m; m = pn_json_next(map, m)) {
    const char *said = pn_json_cstr(pn_json_value(m));
    const pn_tensor *t = pn_tensors_find(&f->tensors, pn_json_key(m));
    if (!t)
      return pn_fail(e, PN_ERR_CORRUPT, "%s/" INDEX ": tensor \"%.*s\" should be in %s, but no file holds it",
                     f->path, NAME_SHOWN(pn_json_key(m)), said);
    size_t found = shard_of(first, l->n, (size_t)(t - f->tensors.items));
    if (found != position_of(l, said))
      return pn_fail(e, PN_ERR_CORRUPT, "%s/" INDEX ": tensor \"%.*s\" should be in %s, but is in %s",
                     f->path, NAME_SHOWN(pn_json_key(m)), said, l->items[found]);
  }
  return true;
}

bool shards_open(pn_files *f, pn_error *e) {
  const pn_json *index;
  name_list names = {0};
  if (!pn_files_json(f, INDEX, &index, e)) return false;
  if (index && !list_indexed(f, index, &names, e)) return false;
  // A converted model may keep the index of the model that it was made from: the single file wins over an
  // index that doesn't name it.
  bool single = model_files_has(f, SINGLE);
  if (single && (!index || position_of(&names, SINGLE) == SIZE_MAX)) {
    index = NULL;
    names =
        (name_list){.items = pn_arena_array(&f->arena, 1, sizeof *names.items), .n = 1, .said_by = f->path};
    if (!names.items) return no_memory(f, e);
    names.items[0] = SINGLE;
  } else if (!index && !list_unindexed(f, &names, e)) {
    return false;
  }
  if (names.n > MAX_SHARDS)
    return pn_fail(e, PN_ERR_LIMIT, "%s/" INDEX ": %zu files; at most %d are supported", f->path, names.n,
                   MAX_SHARDS);
  size_t *first = pn_arena_array(&f->arena, names.n + 1, sizeof *first);
  if (!first) return no_memory(f, e);
  return load(f, &names, first, e) && (!index || check_index(f, index, &names, first, e));
}
