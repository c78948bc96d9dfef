// Phi-3 and Phi-3.5: fused q|k|v and gate|up, LongRoPE in the 128k models.
#include "model/model_internal.h"

static const char *const json_types[] = {"phi3", NULL};
static const char *const gguf_archs[] = {"phi3", NULL};

const model_arch model_arch_phi3 = {
    .family = "phi3",
    .json_types = json_types,
    .gguf_archs = gguf_archs,
    .gguf_rope_order = PN_ROPE_HALF,
    .long_rope = true,
    .names =
        {
            [ROLE_EMBED] = {"model.embed_tokens", "token_embd"},
            [ROLE_FINAL_NORM] = {"model.norm", "output_norm"},
            [ROLE_HEAD] = {"lm_head", "output"},
            [ROLE_ATTN_NORM] = {"model.layers.%d.input_layernorm", "blk.%d.attn_norm"},
            [ROLE_QKV] = {"model.layers.%d.self_attn.qkv_proj", "blk.%d.attn_qkv"},
            [ROLE_O] = {"model.layers.%d.self_attn.o_proj", "blk.%d.attn_output"},
            [ROLE_FFN_NORM] = {"model.layers.%d.post_attention_layernorm", "blk.%d.ffn_norm"},
            [ROLE_GATE_UP] = {"model.layers.%d.mlp.gate_up_proj", "blk.%d.ffn_up"},
            [ROLE_DOWN] = {"model.layers.%d.mlp.down_proj", "blk.%d.ffn_down"},
        },
};
