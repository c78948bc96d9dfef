// Qwen 3 with routed experts, Coder among them: as qwen3, but for the feed-forward of most layers.
#include "model/model_internal.h"

static const char *const json_types[] = {"qwen3_moe", NULL};
static const char *const gguf_archs[] = {"qwen3moe", NULL};

const model_arch model_arch_qwen3moe = {
    .family = "qwen3moe",
    .json_types = json_types,
    .gguf_archs = gguf_archs,
    .gguf_rope_order = PN_ROPE_HALF,
    .qk_norm = true,
    .experts = true,
    .names =
        {MODEL_NAMES_OF_LLAMA,
         MODEL_NAMES_OF_EXPERTS, [ROLE_Q_NORM] = {"model.layers.%d.self_attn.q_norm", "blk.%d.attn_q_norm"},
         [ROLE_K_NORM] = {"model.layers.%d.self_attn.k_norm", "blk.%d.attn_k_norm"}},
};
