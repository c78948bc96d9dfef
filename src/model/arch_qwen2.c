// Qwen 2 and 2.5, Coder among them: as llama, with biases on q, k and v.
#include "model/model_internal.h"

static const char *const json_types[] = {"qwen2", NULL};
static const char *const gguf_archs[] = {"qwen2", NULL};

const model_arch model_arch_qwen2 = {
    .family = "qwen2",
    .json_types = json_types,
    .gguf_archs = gguf_archs,
    .gguf_rope_order = PN_ROPE_HALF,
    .qkv_bias = true,
    .names = {MODEL_NAMES_OF_LLAMA},
};
