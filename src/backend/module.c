#include "backend/module.h"

#include "base/log.h"

#include <dirent.h>
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__APPLE__)
#define SUFFIX ".dylib"
#else
#define SUFFIX ".so"
#endif
#define PREFIX "libpensieve_"

static void fail_for_module(pn_error *e, pn_code code, const char *text) { pn_fail(e, code, "%s", text); }
static void log_for_module(const char *text) { pn_log(PN_LOG_WARN, NULL, text, NULL); }

// The next folder of the list; NULL: no more. Empty ones are skipped.
static const char *next_folder(const char *at, int *n) {
  while (at && *at == ':') at++;
  if (!at || !*at) return NULL;
  *n = (int)strcspn(at, ":");
  return at;
}

bool module_find(const char *name, const char *folders, char **out) {
  char path[PATH_MAX];
  int n;
  for (const char *at = folders; (at = next_folder(at, &n)); at += n) {
    int len = snprintf(path, sizeof path, "%.*s/" PREFIX "%s" SUFFIX, n, at, name);
    if (len < 0 || (size_t)len >= sizeof path || access(path, R_OK) != 0) continue;
    if (out) *out = strdup(path);
    return !out || *out;
  }
  return false;
}

// Load the file and ask it for its kind.
static const pn_backend_kind *load(const char *path, pn_error *e) {
  static const pn_backend_host host = {PN_BACKEND_VERSION, sizeof(pn_backend_host), fail_for_module,
                                       log_for_module};
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) return pn_fail(e, PN_ERR_DEVICE, "cannot load a backend: %s", dlerror()), NULL;
  void *symbol = dlsym(library, PN_BACKEND_MODULE);
  pn_backend_module_fn *door;
  memcpy(&door, &symbol, sizeof door); // ISO C has no cast from an object to a function
  const pn_backend_kind *kind = symbol ? door(PN_BACKEND_VERSION, &host) : NULL;
  if (!symbol)
    pn_fail(e, PN_ERR_DEVICE, "%s is no backend: it does not export %s", path, PN_BACKEND_MODULE);
  else if (!kind)
    pn_fail(e, PN_ERR_DEVICE, "%s does not speak version %u of the backends' door", path, PN_BACKEND_VERSION);
  else if (kind->version != PN_BACKEND_VERSION || kind->size != sizeof(pn_backend_kind))
    pn_fail(e, PN_ERR_DEVICE,
            "%s is of version %u and %u bytes, expected %u and %zu: build it with this program", path,
            kind->version, kind->size, PN_BACKEND_VERSION, sizeof(pn_backend_kind));
  else
    return kind;
  dlclose(library);
  return NULL;
}

const pn_backend_kind *module_open(const char *name, const char *folders, pn_error *e) {
  static const char *const planned[] = {"cuda", "mlx"};
  char *path = NULL;
  if (strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(name) &&
      module_find(name, folders, &path)) {
    const pn_backend_kind *kind = load(path, e);
    free(path);
    return kind;
  }
  const char *where = folders && *folders ? folders : "no folder";
  for (size_t i = 0; i < sizeof planned / sizeof *planned; i++)
    if (strcmp(name, planned[i]) == 0)
      return pn_fail(e, PN_ERR_DEVICE,
                     "the backend '%s' is not installed: there is no " PREFIX "%s" SUFFIX
                     " in %s; 'cpu' is built in",
                     name, name, where),
             NULL;
  pn_fail(e, PN_ERR_USAGE, "unknown backend '%s': expected auto, cpu, ref, or the name of a module in %s",
          name, where);
  return NULL;
}

static void see_folder(const char *folder, pn_backend_see *see, void *ctx) {
  DIR *d = opendir(folder);
  if (!d) return;
  for (struct dirent *f; (f = readdir(d));) {
    size_t n = strlen(f->d_name);
    if (strncmp(f->d_name, PREFIX, strlen(PREFIX)) != 0 || n < strlen(PREFIX SUFFIX) ||
        strcmp(f->d_name + n - strlen(SUFFIX), SUFFIX) != 0)
      continue;
    char path[PATH_MAX];
    if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, f->d_name) >= sizeof path) continue;
    pn_error e = {0};
    const pn_backend_kind *kind = load(path, &e);
    see(ctx, kind, path, kind ? NULL : &e);
  }
  closedir(d);
}

void module_each(const char *folders, pn_backend_see *see, void *ctx) {
  int n;
  for (const char *at = folders; (at = next_folder(at, &n)); at += n) {
    char folder[PATH_MAX];
    if ((size_t)snprintf(folder, sizeof folder, "%.*s", n, at) < sizeof folder) see_folder(folder, see, ctx);
  }
}
