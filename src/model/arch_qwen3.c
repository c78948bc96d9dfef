// Qwen 3, dense: as llama, with a norm on every head of q and k, and heads of a size of their own.
#include "model/model_internal.h"

static const char *const json_types[] = {"qwen3", NULL};
static const char *const gguf_archs[] = {"qwen3", NULL};

const model_arch model_arch_qwen3 = {
    .family = "qwen3",
    .json_types = json_types,
    .gguf_archs = gguf_archs,
    .gguf_rope_order = PN_ROPE_HALF,
    .qk_norm = true,
    .names =
        {MODEL_NAMES_OF_LLAMA, [ROLE_Q_NORM] = {"model.layers.%d.self_attn.q_norm", "blk.%d.attn_q_norm"},
         [ROLE_K_NORM] = {"model.layers.%d.self_attn.k_norm", "blk.%d.attn_k_norm"}},
};
