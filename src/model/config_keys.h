// The keys of one configuration, whichever format it has: members of config.json, or of its part that
// describes the text model, or the metadata of a GGUF file. A key has a name in each.
#ifndef PN_MODEL_CONFIG_KEYS_H
#define PN_MODEL_CONFIG_KEYS_H

#include "model/model_internal.h"

typedef struct config_keys {
  const char *where;   // the file, for messages
  const pn_json *json; // NULL: it is a GGUF file
  const char *part;    // of config.json: "text_config." or ""
  const pn_gguf *gguf; // its keys begin with `arch` and a dot
  const char *arch;
  pn_error *e;
} config_keys;

// An integer from lowest to highest. A key that is missing (or null, or has no name in this format: NULL)
// leaves *out as it is; where that is not within the range, the key is required. PN_ERR_CORRUPT names file,
// key, expected, found.
bool config_key_int(const config_keys *k, const char *json, const char *gguf, int lowest, int highest,
                    int *out);
// In GGUF files: the integer of layer i of a key that has one for each layer, or one for all. -1: there is no
// such key, or none for that layer.
int64_t config_key_of_layer(const config_keys *k, const char *gguf, int i);
// A number over 0, likewise, but never required.
bool config_key_positive(const config_keys *k, const char *json, const char *gguf, double *out);
// Where config.json lists the kinds of all layers, each layer whose number from 1 is a multiple of the
// interval must be "full_attention", and all others `other`. PN_ERR_UNSUPPORTED: they are not.
bool config_key_layer_types(const config_keys *k, int n_layers, int interval, const char *other);
// PN_ERR_CORRUPT for the key, whose value can't be: "FILE: KEY: expected ..., found VALUE".
bool config_key_wrong(const config_keys *k, const char *json, const char *gguf, const char *expected,
                      int found);

#endif
