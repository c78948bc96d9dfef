// Where a model keeps its template.
#include "template/template.h"

// The entry "default" of a list of {name, template}.
static pn_str named_default(const pn_json *list) {
  for (size_t i = 0; i < pn_json_len(list); i++) {
    const pn_json *item = pn_json_at(list, i);
    if (pn_str_is(pn_json_str(pn_json_get(item, "name")), "default"))
      return pn_json_str(pn_json_get(item, "template"));
  }
  return (pn_str){0};
}

bool pn_template_source(pn_files *files, pn_str *out, pn_error *e) {
  const pn_gguf *g = pn_files_gguf(files);
  *out = (pn_str){0};
  if (g) {
    const pn_gguf_value *v = pn_gguf_get(g, "tokenizer.chat_template");
    if (!v) return true;
    if (v->type != PN_GGUF_STR || v->is_array)
      return pn_fail(e, PN_ERR_CORRUPT, "%s: tokenizer.chat_template is not a string", pn_files_path(files));
    *out = pn_gguf_str(v, 0);
    return true;
  }
  if (!pn_files_text(files, "chat_template.jinja", out, e)) return false;
  if (out->p) return true;
  const pn_json *config = NULL;
  if (!pn_files_json(files, "tokenizer_config.json", &config, e)) return false;
  const pn_json *t = pn_json_get(config, "chat_template");
  switch (pn_json_type_of(t)) {
  case PN_JSON_MISSING:
  case PN_JSON_NULL: return true;
  case PN_JSON_STRING: *out = pn_json_str(t); return true;
  case PN_JSON_ARRAY: *out = named_default(t); return true;
  default:
    return pn_fail(e, PN_ERR_CORRUPT, "%s: chat_template in tokenizer_config.json is %s, expected a string",
                   pn_files_path(files), pn_json_type_name(pn_json_type_of(t)));
  }
}
