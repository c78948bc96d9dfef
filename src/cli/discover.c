#include "cli/discover.h"

#include "formats/formats.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_MODELS 4096
#define MAX_DEPTH 3

static bool is_dir(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool is_file(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static char *join(pn_arena *a, const char *dir, const char *name) {
  size_t n = strlen(dir) + strlen(name) + 2;
  char *path = pn_arena_alloc(a, n);
  if (path) snprintf(path, n, "%s%s%s", dir, *dir && dir[strlen(dir) - 1] != '/' && *name ? "/" : "", name);
  return path;
}

// A path below the folder for the user's data.
static char *data_path(pn_arena *a, const char *below) {
  const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
  char *dir = data && *data == '/' ? join(a, data, "pensieve")
                                   : join(a, home && *home ? home : "/", ".local/share/pensieve");
  return dir ? join(a, dir, below) : NULL;
}

char *discover_data_dir(const options *o, pn_arena *a) {
  const char *dir = options_text(o, "data-dir");
  return dir ? join(a, dir, "") : data_path(a, "");
}

static char *models_dir(const options *o, pn_arena *a) {
  const char *dir = options_text(o, "models-dir");
  if (dir) return join(a, dir, "");
  if (is_dir("models")) return join(a, "models", "");
  return data_path(a, "models");
}

// Add what lies at path; `name` is the path below the models folder.
static void add(found_models *f, const char *name, char *path, bool is_folder) {
  if (f->n == MAX_MODELS) return;
  if (f->n == f->cap) {
    int cap = f->cap ? f->cap * 2 : 16;
    found_model *items = pn_arena_array(&f->arena, (size_t)cap, sizeof *items);
    if (!items) return;
    if (f->n) memcpy(items, f->items, (size_t)f->n * sizeof *items);
    f->items = items;
    f->cap = cap;
  }
  pn_str shown = pn_str_of(name);
  uint32_t part, n_parts;
  if (!is_folder && !pn_gguf_part_of(shown, &shown, &part, &n_parts)) shown.n -= strlen(".gguf");
  char *own = pn_arena_dup(&f->arena, shown);
  if (own) f->items[f->n++] = (found_model){own, path, is_folder};
}

// A GGUF file, or the first of several that are one model.
static bool is_model_file(pn_str file) {
  pn_str name;
  uint32_t part, n_parts;
  return pn_str_ends(file, PN_STR(".gguf")) && (!pn_gguf_part_of(file, &name, &part, &n_parts) || part == 1);
}

static void scan(found_models *f, const char *dir, const char *prefix, int depth) {
  DIR *d = opendir(dir);
  if (!d) return;
  for (struct dirent *it; (it = readdir(d));) {
    if (it->d_name[0] == '.') continue;
    char *path = join(&f->arena, dir, it->d_name), *name = join(&f->arena, prefix, it->d_name);
    if (!path || !name) break;
    if (is_dir(path)) {
      char *config = join(&f->arena, path, "config.json");
      if (config && is_file(config))
        add(f, name, path, true);
      else if (depth < MAX_DEPTH)
        scan(f, path, name, depth + 1);
    } else if (is_model_file(pn_str_of(it->d_name)) && is_file(path)) {
      add(f, name, path, false);
    }
  }
  closedir(d);
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const found_model *)a)->name, ((const found_model *)b)->name);
}

bool discover_all(const options *o, found_models *out, pn_error *e) {
  *out = (found_models){0};
  out->dir = models_dir(o, &out->arena);
  if (!out->dir) return pn_fail(e, PN_ERR_NOMEM, "out of memory");
  scan(out, out->dir, "", 1);
  if (out->n) qsort(out->items, (size_t)out->n, sizeof *out->items, by_name);
  return true;
}

void discover_fini(found_models *f) { pn_arena_fini(&f->arena); }

// "org/model" or "org/model:Q4_K_M", as models are called on the hub; paths there are none of it.
static bool is_hub_name(const char *named) {
  const char *slash = strchr(named, '/'), *colon = strchr(named, ':');
  return slash && slash != named && slash[1] && !strchr(slash + 1, '/') && named[0] != '.' &&
         named[0] != '~' && (!colon || (colon > slash + 1 && colon[1])) &&
         !pn_str_ends(pn_str_of(named), PN_STR(".gguf"));
}

static bool not_found(const found_models *f, const char *named, pn_error *e) {
  const char *names[MAX_MODELS];
  for (int i = 0; i < f->n; i++) names[i] = f->items[i].name;
  const char *near = nearest_word(named, names, f->n);
  if (near)
    return pn_fail(e, PN_ERR_NOT_FOUND, "there is no model %s, neither as a path nor in %s; did you mean %s?",
                   named, f->dir, near);
  if (is_hub_name(named))
    return pn_fail(
        e, PN_ERR_NOT_FOUND,
        "there is no model %s, neither as a path nor in %s; if it is the name of a repository on the "
        "hub, download it and give the path of its folder or of one GGUF file",
        named, f->dir);
  return pn_fail(e, PN_ERR_NOT_FOUND,
                 "there is no model %s, neither as a path nor in %s; `pensieve list` shows what is there",
                 named, f->dir);
}

// The model that is meant when none is named.
static const found_model *unnamed(const found_models *f, pn_error *e) {
  for (int i = 0; i < f->n; i++)
    if (strcmp(f->items[i].name, "default") == 0) return &f->items[i];
  if (f->n == 1) return &f->items[0];
  if (f->n == 0) {
    pn_fail(
        e, PN_ERR_NOT_FOUND,
        "there is no model in %s; `make run` fetches the default one, or name one with --model or MODEL_PATH",
        f->dir);
    return NULL;
  }
  pn_buf names = {0};
  for (int i = 0; i < f->n && i < 8; i++) pn_buf_printf(&names, "%s%s", i ? ", " : "", f->items[i].name);
  pn_fail(e, PN_ERR_NOT_FOUND, "%s holds %d models; choose one with --model or MODEL_PATH: %s%s", f->dir,
          f->n, pn_buf_cstr(&names), f->n > 8 ? ", ..." : "");
  pn_buf_fini(&names);
  return NULL;
}

bool discover_model(const options *o, const char *named, char *path, size_t cap, pn_error *e) {
  if (!named) named = options_text(o, "model");
  const char *found = named && (is_dir(named) || is_file(named)) ? named : NULL;
  found_models all = {0};
  bool ok = true;
  if (!found) {
    ok = discover_all(o, &all, e);
    const found_model *m = ok && !named ? unnamed(&all, e) : NULL;
    for (int i = 0; ok && named && i < all.n; i++) {
      size_t n = strlen(all.items[i].name);
      if (strncmp(named, all.items[i].name, n) == 0 && (named[n] == '\0' || strcmp(named + n, ".gguf") == 0))
        m = &all.items[i];
    }
    if (m) found = m->path;
    if (ok && !found) ok = named ? not_found(&all, named, e) : false;
  }
  if (ok && strlen(found) >= cap)
    ok = pn_fail(e, PN_ERR_USAGE, "the path of the model is too long: %s", found);
  if (ok) strcpy(path, found);
  discover_fini(&all);
  return ok;
}
