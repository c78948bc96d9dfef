// Where models lie: the models folder, and which model is meant; and where the server's own data does.
#ifndef PN_CLI_DISCOVER_H
#define PN_CLI_DISCOVER_H

#include "cli/options.h"

// A model on disk.
typedef struct found_model {
  char *name; // below the models folder, without .gguf
  char *path;
  bool is_folder;
} found_model;

typedef struct found_models {
  found_model *items; // sorted by name
  int n, cap;
  pn_arena arena;
  char *dir; // the models folder, whether it exists or not
} found_models;

// Look through the models folder: .gguf files and folders with config.json, up to three folders deep.
bool discover_all(const options *o, found_models *out, pn_error *e);
void discover_fini(found_models *f);

// The path of the model that is meant: `named` (or --model, or MODEL_PATH): a path or a name; else the one
// named "default", else the only one. Copied into `path`. PN_ERR_NOT_FOUND says how to get one.
bool discover_model(const options *o, const char *named, char *path, size_t cap, pn_error *e);

// --data-dir, or the folder for the user's data; it may not exist. NULL when memory ran out.
char *discover_data_dir(const options *o, pn_arena *a);

#endif
