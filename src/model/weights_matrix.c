// Matrices of a model's files by how they are stored: plain, in blocks (GGUF), or as MLX quantises them.
#include "model/weights_matrix.h"

#include "base/kind.h"

#include <stdio.h>

static bool wrong_shape(const weights_loader *l, const char *path, const pn_tensor *t, const char *expected) {
  char found[96];
  return pn_fail(l->e, PN_ERR_CORRUPT, "tensor %s.weight: expected %s, found %s [%s]", path, expected,
                 t->type_name, weights_shape_text(t, found));
}

// What config.json says of a path: an override for it, else the whole model's entry. NULL when it says
// nothing.
static const pn_json *quantization_of(const weights_loader *l, const char *path) {
  const pn_json *own = pn_json_get(l->quantization, path);
  return own ? own : l->quantization;
}

// The modes of MLX's quantisation. An entry without a mode is affine, also an override in a folder of another
// mode.
static const struct quantization_mode {
  const char *name;
  pn_dtype kind;
  int bits, group; // 0: as the shapes say
} modes[] = {{"affine", PN_AFFINE, 0, 0},
             {"mxfp4", PN_MLX_MXFP4, 4, 32},
             {"mxfp8", PN_MLX_MXFP8, 8, 32},
             {"nvfp4", PN_MLX_NVFP4, 4, 16}};

static const struct quantization_mode *find_mode(const weights_loader *l, const char *path) {
  const pn_str name = pn_json_str(pn_json_get(quantization_of(l, path), "mode"));
  if (!name.n) return &modes[0];
  for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
    if (pn_str_is(name, modes[i].name)) return &modes[i];
  pn_fail(l->e, PN_ERR_UNSUPPORTED,
          "tensor %s: quantization mode \"%.*s\" is not supported (supported: affine, mxfp4, mxfp8, nvfp4)",
          path, (int)name.n, name.p);
  return NULL;
}

static bool check_quantization(const weights_loader *l, const char *path, const pn_matrix *m) {
  const pn_json *q = quantization_of(l, path);
  if (pn_json_is(q, PN_JSON_BOOL) && !pn_json_true(q))
    return pn_fail(l->e, PN_ERR_CORRUPT, "tensor %s.scales: config.json says that it is not quantised", path);
  const pn_json *bits = pn_json_get(q, "bits"), *group = pn_json_get(q, "group_size");
  if (bits && pn_json_int(bits) != m->bits)
    return pn_fail(l->e, PN_ERR_CORRUPT, "tensor %s.weight: config.json says %lld bits, its shape says %d",
                   path, (long long)pn_json_int(bits), m->bits);
  if (group && pn_json_int(group) != m->group)
    return pn_fail(l->e, PN_ERR_CORRUPT,
                   "tensor %s.scales: config.json says groups of %lld, its shape says %d", path,
                   (long long)pn_json_int(group), m->group);
  return true;
}

static int64_t all_rows(const weights_shape *s) { return s->experts ? s->experts * s->rows : s->rows; }

// The last dimension of a tensor that has the others of the shape; 0: it has not.
static uint64_t last_dimension(const pn_tensor *t, const weights_shape *s) {
  if (s->experts)
    return t->n_dims == 3 && t->shape[0] == (uint64_t)s->experts && t->shape[1] == (uint64_t)s->rows
               ? t->shape[2]
               : 0;
  return t->n_dims == 2 && t->shape[0] == (uint64_t)s->rows ? t->shape[1] : 0;
}

// "[7, 24, 64 / group]", `tail` being what follows the columns.
static const char *wanted_text(const weights_shape *s, const char *tail, char out[96]) {
  int n = s->experts ? snprintf(out, 96, "[%lld, ", (long long)s->experts) : snprintf(out, 96, "[");
  snprintf(out + n, 96 - (size_t)n, "%lld, %lld%s]", (long long)s->rows, (long long)s->cols, tail);
  return out;
}

// weight u32 [rows, cols * bits / 32], scales and biases [rows, cols / group]: bits and group follow from the
// shapes.
static bool affine_matrix(const weights_loader *l, const char *path, const pn_tensor *t,
                          const pn_tensor *scales, const weights_shape *s, pn_matrix *out) {
  char want[96];
  const pn_tensor *biases = weights_find(l, path, "biases");
  if (!biases) return pn_fail(l->e, PN_ERR_CORRUPT, "tensor %s.biases is missing", path);
  const uint64_t cols = (uint64_t)s->cols, words = last_dimension(t, s), groups = last_dimension(scales, s);
  if (t->dtype != PN_U32 || words * 32 % cols || words == 0 || words > cols)
    return wrong_shape(l, path, t, wanted_text(s, " * bits / 32", want));
  bool scale_type = scales->dtype == PN_F16 || scales->dtype == PN_BF16 || scales->dtype == PN_F32;
  if (!scale_type || groups == 0 || cols % groups)
    return pn_fail(l->e, PN_ERR_CORRUPT, "tensor %s.scales: expected F16, BF16 or F32 %s, found %s", path,
                   wanted_text(s, " / group", want), scales->type_name);
  if (biases->dtype != scales->dtype || last_dimension(biases, s) != groups)
    return pn_fail(l->e, PN_ERR_CORRUPT, "tensor %s.biases: expected the type and shape of %s.scales", path,
                   path);
  *out = (pn_matrix){.kind = PN_AFFINE,
                     .rows = all_rows(s),
                     .cols = s->cols,
                     .data = t->data,
                     .row_bytes = (size_t)words * 4,
                     .scales = scales->data,
                     .biases = biases->data,
                     .scale_dtype = scales->dtype,
                     .bits = (int)(words * 32 / cols),
                     .group = (int)(cols / groups)};
  return check_quantization(l, path, out);
}

// The other modes: weight u32 [rows, cols * bits / 32], scales u8 [rows, cols / group].
static bool apart_matrix(const weights_loader *l, const char *path, const struct quantization_mode *mode,
                         const pn_tensor *t, const pn_tensor *scales, const weights_shape *s,
                         pn_matrix *out) {
  char want[96], found[96];
  const int64_t cols = s->cols, words = cols * mode->bits / 32, groups = cols / mode->group;
  const weights_shape codes = {s->rows, words, s->experts}, scale_shape = {s->rows, groups, s->experts};
  if (cols % 32)
    return pn_fail(l->e, PN_ERR_UNSUPPORTED, "tensor %s.weight: %s rows of %lld, expected a multiple of 32",
                   path, mode->name, (long long)cols);
  if (t->dtype != PN_U32 || last_dimension(t, s) != (uint64_t)words)
    return pn_fail(l->e, PN_ERR_CORRUPT, "tensor %s.weight: expected U32 %s, found %s [%s]", path,
                   wanted_text(&codes, "", want), t->type_name, weights_shape_text(t, found));
  if (scales->dtype != PN_U8 || last_dimension(scales, s) != (uint64_t)groups)
    return pn_fail(l->e, PN_ERR_CORRUPT, "tensor %s.scales: expected U8 %s for %s, found %s [%s]", path,
                   wanted_text(&scale_shape, "", want), mode->name, scales->type_name,
                   weights_shape_text(scales, found));
  if (weights_find(l, path, "global_scale"))
    return pn_fail(l->e, PN_ERR_UNSUPPORTED, "tensor %s.global_scale: %s with one is not supported", path,
                   mode->name);
  *out = (pn_matrix){.kind = mode->kind,
                     .rows = all_rows(s),
                     .cols = cols,
                     .data = t->data,
                     .row_bytes = (size_t)words * 4,
                     .scales = scales->data,
                     .scale_dtype = PN_U8,
                     .bits = mode->bits,
                     .group = mode->group};
  return check_quantization(l, path, out);
}

static bool quantised_matrix(const weights_loader *l, const char *path, const pn_tensor *t,
                             const pn_tensor *scales, const weights_shape *s, pn_matrix *out) {
  const struct quantization_mode *mode = find_mode(l, path);
  if (!mode) return false;
  return mode->kind == PN_AFFINE ? affine_matrix(l, path, t, scales, s, out)
                                 : apart_matrix(l, path, mode, t, scales, s, out);
}

// What NVFP4 files multiply a matrix by beside its scales: "PATH.scale", one number, or one an expert.
// Absent: nothing.
static bool find_factor(const weights_loader *l, const char *path, const weights_shape *s, pn_matrix *m) {
  const pn_tensor *t = weights_find(l, path, "scale");
  if (!t) return true;
  char found[96];
  const bool each = s->experts && t->n_bytes == 4 * (uint64_t)s->experts;
  if (t->dtype != PN_F32 || (t->n_bytes != 4 && !each))
    return pn_fail(l->e, PN_ERR_CORRUPT, "tensor %s.scale: expected F32 [%lld], found %s [%s]", path,
                   (long long)(s->experts ? s->experts : 1), t->type_name, weights_shape_text(t, found));
  m->factors = t->data;
  m->factor_rows = each ? s->rows : m->rows;
  return true;
}

static bool plain_matrix(const weights_loader *l, const char *path, const pn_tensor *t,
                         const weights_shape *s, pn_matrix *out) {
  char want[96];
  const int64_t cols = s->cols;
  if (last_dimension(t, s) != (uint64_t)cols) return wrong_shape(l, path, t, wanted_text(s, "", want));
  *out = (pn_matrix){.kind = t->dtype, .rows = all_rows(s), .cols = cols, .data = t->data};
  if (!pn_kind_of(t->dtype)->decode) {
    char names[160];
    return pn_fail(l->e, PN_ERR_UNSUPPORTED,
                   "tensor %s.weight: type %s is not supported (supported: %s); take a file of this model in "
                   "one of these, such as Q4_K_M",
                   path, t->type_name, pn_kind_names(names));
  }
  uint64_t row_bytes;
  if (!pn_dtype_bytes(t->dtype, (uint64_t)cols, &row_bytes))
    return pn_fail(l->e, PN_ERR_CORRUPT, "tensor %s.weight: rows of %lld are not whole %s blocks", path,
                   (long long)cols, t->type_name);
  out->row_bytes = (size_t)row_bytes;
  return t->dtype != PN_NVFP4 || find_factor(l, path, s, out);
}

bool weights_matrix(const weights_loader *l, const char *path, const weights_shape *s, pn_matrix *out) {
  const pn_tensor *t = weights_find(l, path, "weight"),
                  *scales = l->gguf ? NULL : weights_find(l, path, "scales");
  return scales ? quantised_matrix(l, path, t, scales, s, out) : plain_matrix(l, path, t, s, out);
}
