// The body of POST /v1/messages/batches.
#include "api/batches.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_custom_id(pn_str s) {
  if (s.n < 1 || s.n > BATCH_CUSTOM_ID_CHARS) return false;
  for (size_t i = 0; i < s.n; i++) {
    char c = s.p[i], low = (char)(c | 0x20);
    if (!(low >= 'a' && low <= 'z') && !(c >= '0' && c <= '9') && c != '_' && c != '-') return false;
  }
  return true;
}

static const shape custom_id = {
    .types = SHAPE_STRING, .matches = is_custom_id, .pattern = "^[a-zA-Z0-9_-]{1,64}$"};
static const shape any_object = {.types = SHAPE_OBJECT};
static const shape_field request_fields[] = {
    {"custom_id", &custom_id, true,
     "Tells the results apart: 1 to 64 of a-z, A-Z, 0-9, _ and -, unique in the batch."},
    {"params", &any_object, true,
     "The body of a POST /v1/messages without `stream`. It is checked when the request is run."},
    {0},
};
static const shape request = {.types = SHAPE_OBJECT, .fields = request_fields};
static const shape requests = {.types = SHAPE_ARRAY, .items = &request, .min_len = 1, .max_len = 100000};
static const shape_field create_fields[] = {
    {"requests", &requests, true, "What to answer."},
    {0},
};
const shape batches_create_shape = {.name = "BatchRequest", .types = SHAPE_OBJECT, .fields = create_fields};

static bool fail_at(size_t i, const char *key, pn_error *e, const char *what) {
  shape_path list = {NULL, "requests", 0}, item = {&list, NULL, i}, field = {&item, key, 0};
  return shape_fail(&field, e, "%s", what);
}

typedef struct named {
  pn_str custom_id;
  size_t i;
} named;

static int by_name(const void *a, const void *b) {
  const named *x = a, *y = b;
  size_t n = x->custom_id.n < y->custom_id.n ? x->custom_id.n : y->custom_id.n;
  int order = memcmp(x->custom_id.p, y->custom_id.p, n);
  if (order == 0) order = (x->custom_id.n > y->custom_id.n) - (x->custom_id.n < y->custom_id.n);
  return order ? order : (x->i > y->i) - (x->i < y->i);
}

static bool check_unique(named *names, size_t n, pn_error *e) {
  qsort(names, n, sizeof *names, by_name);
  for (size_t i = 1; i < n; i++) {
    if (!pn_str_eq(names[i - 1].custom_id, names[i].custom_id)) continue;
    char what[160];
    snprintf(what, sizeof what, "each custom_id must be unique within the batch; requests.%zu has '%.*s' too",
             names[i - 1].i, (int)names[i].custom_id.n, names[i].custom_id.p);
    return fail_at(names[i].i, "custom_id", e, what);
  }
  return true;
}

bool batches_check(const pn_json *body, pn_error *e) {
  const pn_json *list = pn_json_get(body, "requests");
  size_t n = pn_json_len(list);
  named *names = calloc(n ? n : 1, sizeof *names);
  if (!names) return pn_fail(e, PN_ERR_NOMEM, "out of memory for a batch of %zu requests", n);
  bool ok = true;
  for (size_t i = 0; ok && i < n; i++) {
    const pn_json *one = pn_json_at(list, i);
    names[i] = (named){pn_json_str(pn_json_get(one, "custom_id")), i};
    if (pn_json_true(pn_json_get(pn_json_get(one, "params"), "stream")))
      ok = fail_at(i, "params.stream", e, "streaming is not supported in batches");
  }
  ok = ok && check_unique(names, n, e);
  free(names);
  return ok;
}
