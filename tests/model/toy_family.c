// A family for tests, "toy": its even layers mix by a causal convolution and keep a recurrent state of a
// sequence, its odd ones attend. Linked with this, a model may also be of it.
#include "model/plan.h"

enum { WIDTH = 40, TAPS = 4 };

// y = W_out conv(W_in h)
static void convolve(plan *p, const pn_model *m, const model_layer *l) {
  (void)m;
  const pn_view in = plan_buffer(p, "mix_in", WIDTH, false), mixed = plan_buffer(p, "mixed", WIDTH, false);
  plan_matmul(p, "mix_in", p->stream[PLAN_H], in, l->w[ROLE_MIX_IN], NULL, NULL);
  pn_step *s = plan_emit(p, PN_OP_SHORT_CONV, "conv", in, mixed);
  s->w[s->n_weights++] = l->conv;
  s->conv.group = l->group;
  s->conv.layer = l->group_layer;
  s->conv.taps = TAPS;
  plan_matmul(p, "mix_out", mixed, p->stream[PLAN_Y], l->w[ROLE_MIX_OUT], NULL, NULL);
}

static void layer(const model_spec *s, int i, model_recipe *r) {
  (void)s;
  if (i % 2) return;
  r->mixer = convolve;
  r->n_heads = 0;
  r->mix_in = r->mix_out = r->conv_width = WIDTH;
  r->conv_taps = TAPS;
  r->state_floats = (TAPS - 1) * WIDTH;
}

static const char *const json_types[] = {"toy", NULL}, *const none[] = {NULL};

static const model_arch toy = {
    .family = "toy",
    .json_types = json_types,
    .gguf_archs = none,
    .layer = layer,
    .names = {MODEL_NAMES_OF_LLAMA, [ROLE_MIX_IN] = {"model.layers.%d.mixer.in_proj", ""},
              [ROLE_CONV] = {"model.layers.%d.mixer.conv", ""},
              [ROLE_MIX_OUT] = {"model.layers.%d.mixer.out_proj", ""}},
};

extern const model_arch model_arch_llama, model_arch_qwen2, model_arch_qwen3, model_arch_qwen3moe,
    model_arch_qwen35, model_arch_gemma3, model_arch_gemma4;
const model_arch *const model_archs[] = {&model_arch_llama,
                                         &model_arch_qwen2,
                                         &model_arch_qwen3,
                                         &model_arch_qwen3moe,
                                         &model_arch_qwen35,
                                         &model_arch_gemma3,
                                         &model_arch_gemma4,
                                         &toy,
                                         NULL};
