// Tensors beside the text model's: parts of larger models that files hold and nobody reads here, told apart
// by their names.
#include "model/model.h"

#include <string.h>

static const char *const names[PN_MODEL_EXTRAS] = {"vision", "audio", "projector", "multi-token prediction"};
enum { VISION, AUDIO, PROJECTOR, PREDICTION };

// First words of names, once "model." or "language_model." in front of them is taken off. GGUF files of parts
// begin names with "v.", "a." and "mm.".
static const struct {
  const char *first;
  int extra;
} rules[] = {{"vision_tower.", VISION},
             {"vision_model.", VISION},
             {"vision_encoder.", VISION},
             {"vision.", VISION},
             {"visual.", VISION},
             {"image_newline", VISION},
             {"v.", VISION},
             {"audio_tower.", AUDIO},
             {"audio_model.", AUDIO},
             {"audio_encoder.", AUDIO},
             {"audio.", AUDIO},
             {"a.", AUDIO},
             {"multi_modal_projector.", PROJECTOR},
             {"mm_projector.", PROJECTOR},
             {"embed_vision.", PROJECTOR},
             {"embed_audio.", PROJECTOR},
             {"connector.", PROJECTOR},
             {"mm.", PROJECTOR},
             {"mtp.", PREDICTION}};

static pn_str without(pn_str name, pn_str first) {
  return pn_str_starts(name, first) ? (pn_str){name.p + first.n, name.n - first.n} : name;
}

int pn_model_extra_of(pn_str name) {
  if (pn_str_find(name, PN_STR(".nextn."), 0) != SIZE_MAX) return PREDICTION;
  name = without(without(name, PN_STR("model.")), PN_STR("language_model."));
  for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
    if (pn_str_starts(name, pn_str_of(rules[i].first))) return rules[i].extra;
  return -1;
}

void pn_model_extras(const pn_files *files, pn_model_extra out[PN_MODEL_EXTRAS]) {
  const pn_tensors *t = pn_files_tensors(files);
  for (int i = 0; i < PN_MODEL_EXTRAS; i++) out[i] = (pn_model_extra){.name = names[i]};
  for (size_t i = 0; i < t->n; i++) {
    const int k = pn_model_extra_of(t->items[i].name);
    if (k < 0) continue;
    out[k].n_tensors++;
    out[k].bytes += t->items[i].n_bytes;
  }
}
