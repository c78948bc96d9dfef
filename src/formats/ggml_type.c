// Numbers of tensor types in GGUF files: those of the table of kinds, and the names and sizes of the others,
// so that a message can say what a file holds.
#include "formats/ggml_type.h"

#include "base/kind.h"

// As the format's reference library defines them.
static const ggml_type others[] = {
    [4] = {"Q4_2", PN_OTHER, 0, 0},        [5] = {"Q4_3", PN_OTHER, 0, 0},
    [9] = {"Q8_1", PN_OTHER, 32, 40},      [15] = {"Q8_K", PN_OTHER, 256, 292},
    [16] = {"IQ2_XXS", PN_OTHER, 256, 66}, [17] = {"IQ2_XS", PN_OTHER, 256, 74},
    [18] = {"IQ3_XXS", PN_OTHER, 256, 98}, [19] = {"IQ1_S", PN_OTHER, 256, 50},
    [21] = {"IQ3_S", PN_OTHER, 256, 110},  [22] = {"IQ2_S", PN_OTHER, 256, 82},
    [29] = {"IQ1_M", PN_OTHER, 256, 56},   [31] = {"Q4_0_4_4", PN_OTHER, 0, 0},
    [32] = {"Q4_0_4_8", PN_OTHER, 0, 0},   [33] = {"Q4_0_8_8", PN_OTHER, 0, 0},
    [34] = {"TQ1_0", PN_OTHER, 256, 54},   [35] = {"TQ2_0", PN_OTHER, 256, 66},
    [36] = {"IQ4_NL_4_4", PN_OTHER, 0, 0}, [37] = {"IQ4_NL_4_8", PN_OTHER, 0, 0},
    [38] = {"IQ4_NL_8_8", PN_OTHER, 0, 0}, [41] = {"Q1_0", PN_OTHER, 128, 18},
};

ggml_type ggml_type_of(uint32_t number) {
  const pn_dtype t = pn_kind_of_gguf(number);
  if (t != PN_OTHER) return (ggml_type){pn_dtype_name(t), t, pn_kind_of(t)->block, pn_kind_of(t)->bytes};
  return number < sizeof others / sizeof *others ? others[number] : (ggml_type){.dtype = PN_OTHER};
}
