// Llama and what is built the same: Llama 1-3, SmolLM, Mistral.
#include "model/model_internal.h"

static const char *const json_types[] = {"llama", "mistral", NULL};
static const char *const gguf_archs[] = {"llama", NULL};

const model_arch model_arch_llama = {
    .family = "llama",
    .json_types = json_types,
    .gguf_archs = gguf_archs,
    .gguf_rope_order = PN_ROPE_INTERLEAVED,
    .names = {MODEL_NAMES_OF_LLAMA},
};
