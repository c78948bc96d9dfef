#include "formats/model_files.h"

#include "formats/name_index.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define MAX_JSON_BYTES ((size_t)256 << 20)
#define MAX_TEXT_BYTES ((size_t)16 << 20)

// One JSON or text file of the folder, kept until close.
typedef struct kept {
  struct kept *next;
  const char *name;
  pn_json *json; // NULL for a text
  pn_buf text;
} kept;

const char *model_files_join(pn_files *f, pn_str name, const char *said_by, pn_error *e) {
  bool ok = name.n > 0 && name.p[0] != '.';
  for (size_t i = 0; i < name.n; i++) ok = ok && name.p[i] != '/' && name.p[i] != '\\' && name.p[i] != '\0';
  if (!ok) {
    pn_fail(e, PN_ERR_CORRUPT,
            "%s: the file name \"%.*s\" is refused: it must be a plain name in the model's folder", said_by,
            NAME_SHOWN(name));
    return NULL;
  }
  size_t n = strlen(f->path);
  char *path = pn_arena_alloc(&f->arena, n + name.n + 2);
  if (!path) {
    pn_fail(e, PN_ERR_NOMEM, "%s: out of memory", f->path);
    return NULL;
  }
  memcpy(path, f->path, n);
  if (n && path[n - 1] != '/') path[n++] = '/';
  memcpy(path + n, name.p, name.n);
  return path;
}

bool model_files_has(pn_files *f, const char *name) {
  struct stat st;
  const char *path = model_files_join(f, pn_str_of(name), f->path, NULL);
  return path && stat(path, &st) == 0;
}

const pn_map *model_files_map(pn_files *f, const char *path, pn_error *e) {
  pn_map *m = &f->maps[f->n_maps];
  if (!pn_map_open(m, path, e)) return NULL;
  f->n_maps++;
  f->n_bytes += m->n;
  return m;
}

static bool open_gguf(pn_files *f, pn_error *e) {
  pn_str path = pn_str_of(f->path);
  if (pn_str_ends(path, PN_STR(".safetensors")))
    return pn_fail(e, PN_ERR_UNSUPPORTED,
                   "%s is one file of a model; give the folder that holds it and config.json", f->path);
  return parts_open(f, e);
}

static bool open_folder(pn_files *f, pn_error *e) {
  const pn_json *config;
  f->is_folder = true;
  if (!pn_files_json(f, "config.json", &config, e)) return false;
  if (!config && model_files_has(f, "adapter_config.json"))
    return pn_fail(
        e, PN_ERR_UNSUPPORTED,
        "%s: adapter_config.json, but no config.json: this is an adapter (LoRA), no model; give the "
        "folder of the model that it was merged into",
        f->path);
  if (!config) {
    const char *gguf = shards_first(f, ".gguf");
    if (gguf)
      return pn_fail(e, PN_ERR_NOT_FOUND, "%s: no config.json in this folder; for its GGUF model give %s/%s",
                     f->path, f->path, gguf);
    return pn_fail(
        e, PN_ERR_NOT_FOUND,
        "%s: no config.json in this folder; a model is a folder with config.json and safetensors, or one "
        ".gguf file",
        f->path);
  }
  if (!pn_json_is(config, PN_JSON_OBJECT))
    return pn_fail(e, PN_ERR_CORRUPT, "%s/config.json must hold an object, found %s", f->path,
                   pn_json_type_name(pn_json_type_of(config)));
  return shards_open(f, e);
}

static bool open_path(pn_files *f, const char *path, pn_error *e) {
  struct stat st;
  f->path = pn_arena_dup(&f->arena, pn_str_of(path));
  if (!f->path) return pn_fail(e, PN_ERR_NOMEM, "%s: out of memory", path);
  if (stat(path, &st) == 0) return S_ISDIR(st.st_mode) ? open_folder(f, e) : open_gguf(f, e);
  return pn_fail(e, errno == ENOENT || errno == ENOTDIR ? PN_ERR_NOT_FOUND : PN_ERR_IO, "no model at %s: %s",
                 path, strerror(errno));
}

pn_files *pn_files_open(const char *path, pn_error *e) {
  pn_files *f = calloc(1, sizeof *f);
  if (!f) {
    pn_fail(e, PN_ERR_NOMEM, "%s: out of memory", path);
    return NULL;
  }
  if (open_path(f, path, e)) return f;
  pn_files_close(f);
  return NULL;
}

void pn_files_close(pn_files *f) {
  if (!f) return;
  for (size_t i = 0; i < f->n_maps; i++) pn_map_close(&f->maps[i]);
  for (kept *k = f->kept, *next; k; k = next) {
    next = k->next;
    pn_json_free(k->json);
    pn_buf_fini(&k->text);
    free(k);
  }
  pn_arena_fini(&f->arena);
  free(f);
}

const char *pn_files_path(const pn_files *f) { return f->path; }
const pn_gguf *pn_files_gguf(const pn_files *f) { return f->is_folder ? NULL : &f->gguf; }
const pn_tensors *pn_files_tensors(const pn_files *f) { return &f->tensors; }
uint64_t pn_files_bytes(const pn_files *f) { return f->n_bytes; }

// The kept file of that name and kind, read now if it wasn't before; *out is NULL when there is none.
static bool keep(pn_files *f, const char *name, bool is_json, const kept **out, pn_error *e) {
  *out = NULL;
  if (!f->is_folder) return true;
  for (const kept *k = f->kept; k; k = k->next)
    if (!strcmp(k->name, name) && (k->json != NULL) == is_json) {
      *out = k;
      return true;
    }
  const char *path = model_files_join(f, pn_str_of(name), f->path, e);
  if (!path) return false;
  pn_error why;
  pn_buf text = {0};
  bool ok = pn_file_read(path, is_json ? MAX_JSON_BYTES : MAX_TEXT_BYTES, &text, &why);
  if (!ok) {
    pn_buf_fini(&text);
    return why.code == PN_ERR_NOT_FOUND || pn_fail(e, why.code, "%s", why.msg);
  }
  kept *k = calloc(1, sizeof *k);
  if (!k) pn_fail(&why, PN_ERR_NOMEM, "out of memory");
  if (k && is_json && !(k->json = pn_json_parse(pn_buf_view(&text), &why))) {
    free(k);
    k = NULL;
  }
  if (!k || is_json) pn_buf_fini(&text);
  if (!k) return pn_fail(e, why.code, "%s: %s", path, why.msg);
  k->text = text;
  k->name = path + strlen(path) - strlen(name);
  k->next = f->kept;
  f->kept = k;
  *out = k;
  return true;
}

bool pn_files_json(pn_files *f, const char *name, const pn_json **out, pn_error *e) {
  const kept *k;
  bool ok = keep(f, name, true, &k, e);
  *out = k ? k->json : NULL;
  return ok;
}

bool pn_files_text(pn_files *f, const char *name, pn_str *out, pn_error *e) {
  const kept *k;
  bool ok = keep(f, name, false, &k, e);
  *out = !k ? (pn_str){0} : k->text.n ? pn_buf_view(&k->text) : PN_STR("");
  return ok;
}

void pn_files_prefetch(const pn_files *f) {
  for (size_t i = 0; i < f->n_maps; i++)
    if (f->maps[i].p) (void)posix_madvise((void *)(uintptr_t)f->maps[i].p, f->maps[i].n, POSIX_MADV_WILLNEED);
}

void pn_files_prefault(const pn_files *f) {
  for (size_t i = 0; i < f->n_maps; i++) pn_map_prefault(&f->maps[i]);
}

bool pn_files_lock(pn_files *f, pn_error *e) {
  for (size_t i = 0; i < f->n_maps; i++)
    if (!pn_map_lock(&f->maps[i], e)) return false;
  return true;
}

pn_map_moved pn_files_own(pn_files *f, bool only_large, bool (*on)(void *ctx), void *ctx) {
  pn_map_moved moved = PN_MAP_MOVED;
  for (size_t i = 0; i < f->n_maps && moved == PN_MAP_MOVED; i++)
    moved = pn_map_own(&f->maps[i], only_large, on, ctx);
  return moved;
}
