#include "model/config_keys.h"

#include <stdio.h>

enum { KEY_TEXT = 128 };

static const char *key_text(const config_keys *k, const char *json, const char *gguf, char out[KEY_TEXT]) {
  if (k->json)
    snprintf(out, KEY_TEXT, "%s%s", k->part, json);
  else
    snprintf(out, KEY_TEXT, "%s.%s", k->arch, gguf);
  return out;
}

typedef enum key_state { MISSING, INTEGER, OTHER } key_state;

// The key's value to *n; what it is for people to `is`.
static key_state look_up(const config_keys *k, const char *json, const char *gguf, int64_t *n,
                         const char **is) {
  if (k->json) {
    const pn_json *v = json ? pn_json_get(k->json, json) : NULL;
    const pn_json_type t = pn_json_type_of(v);
    *is = pn_json_type_name(t);
    if (t == PN_JSON_MISSING || t == PN_JSON_NULL) return MISSING;
    *n = pn_json_int(v);
    return t == PN_JSON_INT ? INTEGER : OTHER;
  }
  char key[KEY_TEXT];
  const pn_gguf_value *v = gguf ? pn_gguf_get(k->gguf, key_text(k, json, gguf, key)) : NULL;
  if (!v) return MISSING;
  *is = v->is_array ? "a list" : "no integer";
  return !v->is_array && pn_gguf_int(v, 0, n) ? INTEGER : OTHER;
}

bool config_key_int(const config_keys *k, const char *json, const char *gguf, int lowest, int highest,
                    int *out) {
  char key[KEY_TEXT];
  const char *is = "";
  int64_t n = 0;
  const key_state f = look_up(k, json, gguf, &n, &is);
  if (f == INTEGER && n >= lowest && n <= highest) return *out = (int)n, true;
  if (f == MISSING && *out >= lowest && *out <= highest) return true;
  key_text(k, json, gguf, key);
  if (f == MISSING) return pn_fail(k->e, PN_ERR_CORRUPT, "%s: key %s is missing", k->where, key);
  if (f == OTHER)
    return pn_fail(k->e, PN_ERR_CORRUPT, "%s: %s: expected an integer, found %s", k->where, key, is);
  return pn_fail(k->e, PN_ERR_CORRUPT, "%s: %s: expected %d to %d, found %lld", k->where, key, lowest,
                 highest, (long long)n);
}

int64_t config_key_of_layer(const config_keys *k, const char *gguf, int i) {
  char key[KEY_TEXT];
  int64_t n = -1;
  const pn_gguf_value *v = pn_gguf_get(k->gguf, key_text(k, gguf, gguf, key));
  return v && pn_gguf_int(v, v->is_array ? (uint64_t)i : 0, &n) ? n : -1;
}

bool config_key_positive(const config_keys *k, const char *json, const char *gguf, double *out) {
  char key[KEY_TEXT];
  double x = *out;
  bool number = true;
  if (k->json) {
    const pn_json *v = json ? pn_json_get(k->json, json) : NULL;
    const pn_json_type t = pn_json_type_of(v);
    if (t == PN_JSON_MISSING || t == PN_JSON_NULL) return true;
    number = pn_json_is_number(v);
    x = pn_json_num(v);
  } else {
    const pn_gguf_value *v = gguf ? pn_gguf_get(k->gguf, key_text(k, json, gguf, key)) : NULL;
    if (!v) return true;
    number = pn_gguf_num(v, 0, &x);
  }
  if (number && x > 0 && x <= 1e12) return *out = x, true;
  key_text(k, json, gguf, key);
  return pn_fail(k->e, PN_ERR_CORRUPT, "%s: %s: expected a number over 0, found %g", k->where, key, x);
}

bool config_key_layer_types(const config_keys *k, int n_layers, int interval, const char *other) {
  const pn_json *list = pn_json_get(k->json, "layer_types");
  if (!pn_json_is(list, PN_JSON_ARRAY)) return true;
  for (int i = 0; i < n_layers; i++) {
    const char *want = (i + 1) % interval ? other : "full_attention";
    const pn_str found = pn_json_str(pn_json_at(list, (size_t)i));
    if (!pn_str_is(found, want))
      return pn_fail(k->e, PN_ERR_UNSUPPORTED, "%s: %slayer_types[%d]: expected \"%s\", found \"%.*s\"",
                     k->where, k->part, i, want, (int)(found.n < 40 ? found.n : 40), found.n ? found.p : "");
  }
  return true;
}

bool config_key_wrong(const config_keys *k, const char *json, const char *gguf, const char *expected,
                      int found) {
  char key[KEY_TEXT];
  return pn_fail(k->e, PN_ERR_CORRUPT, "%s: %s: expected %s, found %d", k->where,
                 key_text(k, json, gguf, key), expected, found);
}
