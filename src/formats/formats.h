// Model files: safetensors folders and GGUF files. Parsing works on bytes in memory and touches no file;
// opening maps files read-only and parses them. Everything returned stays valid until the owner is closed;
// readable by all threads. Every offset, count, length, alignment and type in a file is a claim that is
// checked before it is used.
#ifndef PN_FORMATS_H
#define PN_FORMATS_H

#include "base/arena.h"
#include "base/dtype.h"
#include "base/error.h"
#include "base/json.h"
#include "base/map.h"
#include "base/str.h"

#define PN_TENSOR_DIMS 6 // five have the patches of models that see films

// One tensor of a file, row-major: shape[0] is the outermost dimension, shape[n_dims - 1] is contiguous
// (GGUF's dimensions are reversed to this order). n_bytes is checked against shape and dtype and lies inside
// the file; for PN_OTHER of a type whose size isn't known it is what the file gives the tensor. `data` may
// have any alignment, odd addresses too: MLX writes safetensors headers of any length.
typedef struct pn_tensor {
  pn_str name;
  pn_dtype dtype;
  const char *type_name; // the file's own word for the type: "U32", "Q4_K", "F8_E4M3", ...
  int n_dims;
  uint64_t shape[PN_TENSOR_DIMS];
  const unsigned char *data;
  size_t n_bytes;
} pn_tensor;

// The tensors of one file or of all shards, with a hash index over their names. Memory in the arena.
typedef struct pn_tensors {
  pn_tensor *items;
  size_t n;
  uint32_t *index; // open addressing, power of two, item + 1; 0: empty
  size_t index_size;
} pn_tensors;

// NULL when there is none of that name.
const pn_tensor *pn_tensors_find(const pn_tensors *t, pn_str name);

// safetensors: 8 bytes little-endian header length N, N bytes of JSON {name: {dtype, shape, data_offsets: [a,
// b]}}, then the data; offsets count from the end of the header. `where` names the file in messages. Tensor
// data points into `file`. Source: the format's description in the safetensors repository.
bool pn_safetensors_parse(pn_arena *a, pn_str file, const char *where, pn_tensors *out, pn_error *e);

typedef enum pn_gguf_type { // the file's own numbers
  PN_GGUF_U8,
  PN_GGUF_I8,
  PN_GGUF_U16,
  PN_GGUF_I16,
  PN_GGUF_U32,
  PN_GGUF_I32,
  PN_GGUF_F32,
  PN_GGUF_BOOL,
  PN_GGUF_STR,
  PN_GGUF_ARRAY,
  PN_GGUF_U64,
  PN_GGUF_I64,
  PN_GGUF_F64,
} pn_gguf_type;

// One metadata value. A scalar has n == 1 and is read with index 0; an array has n elements of `type` (never
// PN_GGUF_ARRAY: nested arrays are refused).
typedef struct pn_gguf_value {
  pn_str key;
  pn_gguf_type type;
  bool is_array;
  uint64_t n;
  const unsigned char *data; // the elements in the file, not aligned; for strings see `strings`
  const pn_str *strings;     // n strings, for PN_GGUF_STR only
} pn_gguf_value;

// Element i of a numeric value converted; false when it isn't a number (or bool), i is out of range, or it
// doesn't fit.
bool pn_gguf_int(const pn_gguf_value *v, uint64_t i, int64_t *out);
bool pn_gguf_num(const pn_gguf_value *v, uint64_t i, double *out);
pn_str pn_gguf_str(const pn_gguf_value *v, uint64_t i); // empty when it isn't a string

typedef struct pn_gguf {
  uint32_t version; // 2 or 3
  uint64_t alignment;
  pn_gguf_value *values;
  size_t n_values;
  pn_tensors tensors;
} pn_gguf;

bool pn_gguf_parse(pn_arena *a, pn_str file, const char *where, pn_gguf *out, pn_error *e);
const pn_gguf_value *pn_gguf_get(const pn_gguf *g, const char *key); // NULL when absent
// A large model may lie in several GGUF files, its parts: NAME-00001-of-00003.gguf and so on. Whether a
// file's name says so; *name is the NAME, *part counts from 1.
bool pn_gguf_part_of(pn_str file, pn_str *name, uint32_t *part, uint32_t *n_parts);

// A model on disk: a folder with config.json and safetensors (single, or sharded by
// model.safetensors.index.json), or one .gguf file, or any part of a split one. Opening maps the weights but
// reads none of them.
typedef struct pn_files pn_files;

pn_files *pn_files_open(const char *path,
                        pn_error *e); // NULL on failure; the message names file, offset and finding
void pn_files_close(pn_files *f);

const char *pn_files_path(const pn_files *f);
const pn_gguf *pn_files_gguf(const pn_files *f);       // NULL when it is a folder; of parts: the first's
const pn_tensors *pn_files_tensors(const pn_files *f); // all shards together
uint64_t pn_files_bytes(const pn_files *f);            // size of the mapped weight files
// A JSON file of the folder ("config.json", "tokenizer.json", ...). Parsed at the first call and kept; *out
// is NULL when the folder (or GGUF) has no such file. False only when it is there and can't be read or
// parsed. Not thread-safe: all reading of JSON files happens while the model is opened.
bool pn_files_json(pn_files *f, const char *name, const pn_json **out, pn_error *e);
// A small text file of the folder, such as "chat_template.jinja"; same rules. *out is {NULL, 0} when absent.
bool pn_files_text(pn_files *f, const char *name, pn_str *out, pn_error *e);
// Ask the system to read the weights ahead, without waiting; or wait until they are there.
void pn_files_prefetch(const pn_files *f);
void pn_files_prefault(const pn_files *f);
// Keep the weights in memory (pn_map_lock).
bool pn_files_lock(pn_files *f, pn_error *e);
// Move the weights into memory of the program's own while they are in use (pn_map_own). From one thread,
// which may be another than the model's.
pn_map_moved pn_files_own(pn_files *f, bool only_large, bool (*on)(void *ctx), void *ctx);

#endif
