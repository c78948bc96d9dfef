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
        {
            [ROLE_EMBED] = {"model.embed_tokens", "token_embd"},
            [ROLE_FINAL_NORM] = {"model.norm", "output_norm"},
            [ROLE_HEAD] = {"lm_head", "output"},
            [ROLE_ATTN_NORM] = {"model.layers.%d.input_layernorm", "blk.%d.attn_norm"},
            [ROLE_Q] = {"model.layers.%d.self_attn.q_proj", "blk.%d.attn_q"},
            [ROLE_K] = {"model.layers.%d.self_attn.k_proj", "blk.%d.attn_k"},
            [ROLE_V] = {"model.layers.%d.self_attn.v_proj", "blk.%d.attn_v"},
            [ROLE_Q_NORM] = {"model.layers.%d.self_attn.q_norm", "blk.%d.attn_q_norm"},
            [ROLE_K_NORM] = {"model.layers.%d.self_attn.k_norm", "blk.%d.attn_k_norm"},
            [ROLE_O] = {"model.layers.%d.self_attn.o_proj", "blk.%d.attn_output"},
            [ROLE_FFN_NORM] = {"model.layers.%d.post_attention_layernorm", "blk.%d.ffn_norm"},
            [ROLE_GATE] = {"model.layers.%d.mlp.gate_proj", "blk.%d.ffn_gate"},
            [ROLE_UP] = {"model.layers.%d.mlp.up_proj", "blk.%d.ffn_up"},
            [ROLE_DOWN] = {"model.layers.%d.mlp.down_proj", "blk.%d.ffn_down"},
        },
};
