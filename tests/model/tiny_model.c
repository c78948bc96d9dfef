#include "tiny_model.h"

#include "base/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct shape {
  const char *name; // %d: each layer
  int rows, cols;   // cols 0: a vector
  enum { ALWAYS, BIAS, QK_NORM, MIXER, UNGATED, DELTA, DECAY, SANDWICH, PER_LAYER, ROUTER, EXPERTS } when;
} shape;

static const shape shapes[] = {{"model.embed_tokens.weight", 50, 48, ALWAYS},
                               {"model.norm.weight", 48, 0, ALWAYS},
                               {"model.layers.%d.input_layernorm.weight", 48, 0, ALWAYS},
                               {"model.layers.%d.post_attention_layernorm.weight", 48, 0, ALWAYS},
                               {"model.layers.%d.self_attn.q_proj.weight", 48, 48, UNGATED},
                               {"model.layers.%d.self_attn.k_proj.weight", 16, 48, ALWAYS},
                               {"model.layers.%d.self_attn.v_proj.weight", 16, 48, ALWAYS},
                               {"model.layers.%d.self_attn.o_proj.weight", 48, 48, ALWAYS},
                               {"model.layers.%d.mlp.gate_proj.weight", 80, 48, ALWAYS},
                               {"model.layers.%d.mlp.up_proj.weight", 80, 48, ALWAYS},
                               {"model.layers.%d.mlp.down_proj.weight", 48, 80, ALWAYS},
                               {"model.layers.%d.self_attn.q_proj.bias", 48, 0, BIAS},
                               {"model.layers.%d.self_attn.k_proj.bias", 16, 0, BIAS},
                               {"model.layers.%d.self_attn.v_proj.bias", 16, 0, BIAS},
                               {"model.layers.%d.self_attn.q_norm.weight", 8, 0, QK_NORM},
                               {"model.layers.%d.self_attn.k_norm.weight", 8, 0, QK_NORM},
                               {"model.layers.%d.mixer.in_proj.weight", 40, 48, MIXER},
                               {"model.layers.%d.mixer.conv.weight", 40, 4, MIXER},
                               {"model.layers.%d.mixer.out_proj.weight", 48, 40, MIXER},
                               {"model.layers.%d.self_attn.q_proj.weight", 96, 48, DELTA},
                               {"model.layers.%d.linear_attn.in_proj_qkv.weight", 126, 48, DELTA},
                               {"model.layers.%d.linear_attn.in_proj_z.weight", 54, 48, DELTA},
                               {"model.layers.%d.linear_attn.in_proj_b.weight", 6, 48, DELTA},
                               {"model.layers.%d.linear_attn.in_proj_a.weight", 6, 48, DELTA},
                               {"model.layers.%d.linear_attn.conv1d.weight", 126, 4, DELTA},
                               {"model.layers.%d.linear_attn.norm.weight", 9, 0, DELTA},
                               {"model.layers.%d.linear_attn.out_proj.weight", 48, 54, DELTA},
                               {"model.layers.%d.linear_attn.A_log", 6, 0, DECAY},
                               {"model.layers.%d.linear_attn.dt_bias", 6, 0, DECAY},
                               {"model.layers.%d.pre_feedforward_layernorm.weight", 48, 0, SANDWICH},
                               {"model.layers.%d.post_feedforward_layernorm.weight", 48, 0, SANDWICH},
                               {"model.embed_tokens_per_layer.weight", 50, 12, PER_LAYER},
                               {"model.per_layer_model_projection.weight", 12, 48, PER_LAYER},
                               {"model.per_layer_projection_norm.weight", 6, 0, PER_LAYER},
                               {"model.layers.%d.per_layer_input_gate.weight", 6, 48, PER_LAYER},
                               {"model.layers.%d.per_layer_projection.weight", 48, 6, PER_LAYER},
                               {"model.layers.%d.post_per_layer_input_norm.weight", 48, 0, PER_LAYER},
                               {"model.layers.%d.layer_scalar", 1, 0, PER_LAYER},
                               {"model.layers.%d.mlp.gate.weight", 7, 48, ROUTER},
                               {"model.layers.%d.mlp.switch_mlp.gate_proj.weight", 24, 48, EXPERTS},
                               {"model.layers.%d.mlp.switch_mlp.up_proj.weight", 24, 48, EXPERTS},
                               {"model.layers.%d.mlp.switch_mlp.down_proj.weight", 48, 24, EXPERTS}};
enum { N_EXPERTS = 7 };

static bool wanted(const shape *s, const tiny_fault *f) {
  static const tiny_fault none;
  if (!f) f = &none;
  switch (s->when) {
  case BIAS: return f->biases;
  case QK_NORM: return f->qk_norms;
  case MIXER: return f->mixers;
  case UNGATED: return !f->deltas;
  case DELTA:
  case DECAY: return f->deltas;
  case ROUTER:
  case EXPERTS: return f->experts;
  case SANDWICH: return f->sandwich;
  case PER_LAYER: return f->per_layer;
  default: return true;
  }
}

static void add_tensor(pn_buf *header, pn_buf *data, const char *name, const shape *s, const tiny_fault *f,
                       pn_rng *rng) {
  int rows = s->rows, cols = s->cols;
  if (f && f->missing && strcmp(f->missing, name) == 0) return;
  if (f && f->misshapen && strcmp(f->misshapen, name) == 0) rows++;
  if (f && f->renamed && strcmp(f->renamed, name) == 0) name = f->renamed_to;
  bool wide = f && f->half && strcmp(f->half, name) == 0;
  size_t begin = data->n, n = (size_t)rows * (size_t)(cols ? cols : 1);
  if (s->when == EXPERTS) n *= N_EXPERTS;
  for (size_t i = 0; i < n; i++) {
    float v = (float)(pn_rng_unit(rng) - 0.5);
    v = cols ? v * 0.6f : (s->when == DECAY ? -2.0f : 1.0f) + v * 0.2f;
    double d = (double)v;
    if (wide)
      pn_buf_add(data, &d, 8);
    else
      pn_buf_add(data, &v, 4);
  }
  pn_buf_printf(header, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", header->n ? "," : "", name,
                wide ? "F64" : "F32");
  if (s->when == EXPERTS) pn_buf_printf(header, "%d,", N_EXPERTS);
  pn_buf_printf(header, "%d", rows);
  if (cols) pn_buf_printf(header, ",%d", cols);
  pn_buf_printf(header, "],\"data_offsets\":[%zu,%zu]}", begin, data->n);
}

static bool write_file(const char *folder, const char *name, pn_str a, pn_str b, pn_str c) {
  char path[128];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *out = fopen(path, "wb");
  if (!out) return false;
  size_t n = fwrite(a.p, 1, a.n, out) + fwrite(b.p, 1, b.n, out) + fwrite(c.p, 1, c.n, out);
  return fclose(out) == 0 && n == a.n + b.n + c.n;
}

bool tiny_write(char path[64], const char *config, const tiny_fault *fault) {
  const char *tmp = getenv("TMPDIR");
  snprintf(path, 64, "%.40s/pn-tiny-XXXXXX", tmp ? tmp : "/tmp");
  if (!mkdtemp(path)) return false;
  pn_buf header = {0}, data = {0};
  pn_rng rng;
  pn_rng_seed(&rng, 5);
  for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
    const char *mark = strstr(shapes[i].name, "%d");
    if (!wanted(&shapes[i], fault)) continue;
    for (int layer = 0; layer < (mark ? 2 : 1); layer++) {
      char name[96];
      if (mark)
        snprintf(name, sizeof name, "%.*s%d%s", (int)(mark - shapes[i].name), shapes[i].name, layer,
                 mark + 2);
      else
        snprintf(name, sizeof name, "%s", shapes[i].name);
      add_tensor(&header, &data, name, &shapes[i], fault, &rng);
    }
  }
  pn_buf all = {0};
  pn_buf_char(&all, '{');
  pn_buf_str(&all, pn_buf_view(&header));
  pn_buf_char(&all, '}');
  unsigned char length[8];
  for (int i = 0; i < 8; i++) length[i] = (unsigned char)((uint64_t)all.n >> (8 * i));
  bool ok = write_file(path, "model.safetensors", (pn_str){(char *)length, 8}, pn_buf_view(&all),
                       pn_buf_view(&data)) &&
            write_file(path, "config.json", pn_str_of(config), (pn_str){"", 0}, (pn_str){"", 0});
  pn_buf_fini(&header), pn_buf_fini(&data), pn_buf_fini(&all);
  return ok;
}

void tiny_remove(const char *path) {
  static const char *const names[] = {"model.safetensors", "config.json"};
  char file[128];
  for (int i = 0; i < 2; i++) {
    snprintf(file, sizeof file, "%s/%s", path, names[i]);
    unlink(file);
  }
  rmdir(path);
}
