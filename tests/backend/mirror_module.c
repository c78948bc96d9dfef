// A backend in a shared library, for tests: the oracle under the name "mirror", which takes plans whole, or
// something broken (what MIRROR_FAULT says).
#include "backend/ref/ref.h"
#include "late_backend.h"

#define EXPORTED __attribute__((visibility("default")))

#if MIRROR_FAULT == 2 // the door has another name
#define DOOR pn_backend_modul
#else
#define DOOR pn_backend_module
#endif

EXPORTED const pn_backend_kind *DOOR(uint32_t version, const pn_backend_host *host);

static const pn_backend_host *the_host;
static pn_backend_kind mirror;

#if MIRROR_FAULT == 4
static pn_backend *refuse(const pn_setting *settings, int n, pn_error *e) {
  (void)settings, (void)n;
  the_host->fail(e, PN_ERR_DEVICE, "there is no mirror on the wall");
  return NULL;
}
#else
static pn_backend *open_mirror(const pn_setting *settings, int n, pn_error *e) {
  pn_backend *b = ref_kind.open(settings, n, e);
  if (!b) return NULL;
  late_wrap(b, false);
#if MIRROR_FAULT == 5 // without what belongs to it
  static pn_backend_ops half;
  half = *b->ops;
  half.asynchronous = true;
  b->ops = &half;
#endif
  return b;
}
#endif

const pn_backend_kind *DOOR(uint32_t version, const pn_backend_host *host) {
  if (version != PN_BACKEND_VERSION || host->size < sizeof(pn_backend_host)) return NULL;
  the_host = host;
  mirror = ref_kind;
  mirror.name = "mirror";
#if MIRROR_FAULT != 4
  mirror.open = open_mirror;
#endif
#if MIRROR_FAULT == 1
  mirror.version++;
#elif MIRROR_FAULT == 3
  return NULL;
#elif MIRROR_FAULT == 4
  mirror.open = refuse;
#endif
  return &mirror;
}
