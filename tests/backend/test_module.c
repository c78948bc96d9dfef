// Backends in shared libraries: one that works, and each way in which one can be broken.
#include "../backend_options.h"
#include "../unit.h"
#include "base/log.h"

#include <string.h>
#include <unistd.h>

// Folders of modules, made by the build: MODULES/<folder>/libpensieve_<name>.so
#define GOOD MODULES "/good"

static void a_module_is_opened_by_its_name(void **state) {
  (void)state;
  pn_error e = {0};
  const pn_backend_options o = {
      "mirror", {{"threads", "2", false}, {"isa", "scalar", true}}, "/nowhere:" GOOD};
  pn_backend *b = pn_backend_open(&o, &e);
  if (!b) fail_msg("%s", e.msg);
  assert_string_equal(b->ops->name, "ref"); // its table is that of the oracle
  assert_non_null(strstr(b->ops->describe(b), "2 threads"));
  const float three[] = {3, 4, 5};
  pn_weight *w = b->ops->vector_open(b, three, 3, &e);
  assert_non_null(w);
  b->ops->weight_close(b, w);
  pn_backend_close(b);
  assert_null(pn_backend_open(&(pn_backend_options){"mirror", {{"isa", "scalar", false}}, GOOD}, &e));
  assert_non_null(strstr(e.msg, "the backend 'mirror' has no setting 'isa'"));
}

static void refused(const char *name, const char *folders, pn_code code, const char *words) {
  pn_error e = {0};
  assert_null(pn_backend_open(&(pn_backend_options){.name = name, .folders = folders}, &e));
  assert_int_equal(e.code, code);
  if (!strstr(e.msg, words)) fail_msg("wanted \"%s\" in: %s", words, e.msg);
}

static void broken_modules_are_named(void **state) {
  (void)state;
  refused("mirror", MODULES "/version", PN_ERR_DEVICE, "build it with this program");
  refused("mirror", MODULES "/symbol", PN_ERR_DEVICE, "it does not export pn_backend_module");
  refused("mirror", MODULES "/silent", PN_ERR_DEVICE, "does not speak version");
  refused("mirror", MODULES "/device", PN_ERR_DEVICE, "there is no mirror on the wall");
  refused("mirror", MODULES "/half", PN_ERR_DEVICE, "expected submit, sample_submit and collect");
  refused("mirror", MODULES "/text", PN_ERR_DEVICE, "cannot load a backend");
  refused("mirror", NULL, PN_ERR_USAGE, "unknown backend 'mirror'");
  refused("mirror", "", PN_ERR_USAGE, "in no folder");
  refused("../good/mirror", MODULES "/text", PN_ERR_USAGE, "unknown backend");
  refused("cuda", GOOD, PN_ERR_DEVICE,
          "the backend 'cuda' is not installed: there is no libpensieve_cuda.so in " GOOD);
}

// Nobody asked for the device by name, so one that fails is passed over.
static void the_best_is_what_opens(void **state) {
  (void)state;
  pn_error e = {0};
  pn_backend *b = pn_backend_open(&(pn_backend_options){.folders = MODULES "/auto_good"}, &e);
  assert_non_null(b);
  assert_string_equal(b->ops->name, "ref"); // there it is called cuda
  pn_backend_close(b);
  static const char *const broken[] = {MODULES "/auto_bad", MODULES "/none", NULL};
  for (int i = 0; i < 3; i++) {
    b = pn_backend_open(&(pn_backend_options){.name = "auto", .folders = broken[i]}, &e);
    assert_non_null(b);
    assert_string_equal(b->ops->name, "cpu");
    pn_backend_close(b);
  }
}

typedef struct seen {
  int n_kinds, n_errors, n_paths;
  char names[200];
} seen;

static void see(void *ctx, const pn_backend_kind *kind, const char *path, const pn_error *error) {
  seen *s = ctx;
  assert_true((kind != NULL) != (error != NULL));
  s->n_kinds += kind != NULL;
  s->n_errors += error != NULL;
  s->n_paths += path != NULL;
  if (kind) strcat(strcat(s->names, kind->name), " ");
}

static void all_are_listed(void **state) {
  (void)state;
  seen s = {0};
  pn_backend_each(MODULES "/symbol:" GOOD "::" MODULES "/text", see, &s);
  assert_int_equal(s.n_kinds, 3);
  assert_int_equal(s.n_errors, 2);
  assert_int_equal(s.n_paths, 3);
  assert_string_equal(s.names, "cpu ref mirror ");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_module_is_opened_by_its_name), cmocka_unit_test(broken_modules_are_named),
      cmocka_unit_test(the_best_is_what_opens), cmocka_unit_test(all_are_listed)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
