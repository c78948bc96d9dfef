// The open model, shared by the files of formats/ that build it. Inside formats/ only.
#ifndef PN_FORMATS_MODEL_FILES_H
#define PN_FORMATS_MODEL_FILES_H

#include "base/map.h"
#include "formats/formats.h"

struct pn_files {
  pn_arena arena; // names, tensors, index; everything but maps and kept files
  const char *path;
  bool is_folder;
  pn_map *maps; // n_maps mapped weight files
  size_t n_maps;
  uint64_t n_bytes; // of all maps
  pn_gguf gguf;     // when it is not a folder
  pn_tensors tensors;
  struct kept *kept; // JSON and text files that were read
};

// Path of a file of the folder, in the arena. Refused: a name that could leave the folder (empty, with '/' or
// '\\' or NUL, or beginning with '.'). `said_by` names who named the file.
const char *model_files_join(pn_files *f, pn_str name, const char *said_by, pn_error *e);
bool model_files_has(pn_files *f, const char *name); // an entry of that name is in the folder
// Map one weight file as the next of f->maps, which has room. Returns the map or NULL.
const pn_map *model_files_map(pn_files *f, const char *path, pn_error *e);

// Map and parse the GGUF file at f->path, and all other parts of it if it is one of several; fill f->gguf and
// f->tensors.
bool parts_open(pn_files *f, pn_error *e);

// The tensors of n files as f->tensors. names[i] is the name of the file of parts[i], for messages; first[0
// .. n] become the numbers of their first tensors, and the count of all.
bool shards_join(pn_files *f, const pn_tensors *parts, const char *const *names, size_t n, size_t *first,
                 pn_error *e);
// Map and parse all safetensors of the folder and fill f->tensors.
bool shards_open(pn_files *f, pn_error *e);
// Name of the folder's first entry (in byte order) that ends with `suffix`, in the arena; NULL when there is
// none.
const char *shards_first(pn_files *f, const char *suffix);

#endif
