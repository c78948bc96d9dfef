// pensieve tokens: text to ids and back.
#include "cli/console.h"
#include "cli/open_model.h"
#include "cli/verbs.h"

#define MAX_INPUT_BYTES ((size_t)256 << 20)

static bool encode(const open_model *m, pn_str text, bool special, pn_buf *out, pn_error *e) {
  pn_ids ids = {0};
  const pn_span all = {0, text.n};
  bool ok = pn_tokenizer_encode(m->tokenizer, text, &all, special ? 0 : 1, &ids, e);
  if (ok && ids.oom) ok = pn_fail(e, PN_ERR_NOMEM, "out of memory for the tokens");
  if (ok) {
    pn_buf_z(out, "{\"ids\":[");
    for (size_t i = 0; i < ids.n; i++) pn_buf_printf(out, i ? ",%d" : "%d", (int)ids.p[i]);
    pn_buf_z(out, "]}\n");
  }
  pn_ids_fini(&ids);
  return ok;
}

static bool read_ids(const open_model *m, pn_str text, pn_ids *ids, pn_error *e) {
  pn_json *root = pn_json_parse(text, e);
  if (!root) {
    if (e && e->code == PN_ERR_CORRUPT) e->code = PN_ERR_USAGE;
    return pn_fail_in(e, "stdin");
  }
  const pn_json *list = pn_json_get(root, "ids");
  bool ok = pn_json_is(list, PN_JSON_ARRAY);
  if (!ok) pn_fail(e, PN_ERR_USAGE, "stdin: expected {\"ids\":[...]}");
  for (size_t i = 0; ok && i < pn_json_len(list); i++) {
    const pn_json *v = pn_json_at(list, i);
    int64_t id = pn_json_int(v);
    if (!pn_json_is(v, PN_JSON_INT) || id < 0 || id >= pn_tokenizer_n_vocab(m->tokenizer))
      ok = pn_fail(e, PN_ERR_USAGE, "stdin: ids[%zu]: expected an integer from 0 to %d", i,
                   (int)pn_tokenizer_n_vocab(m->tokenizer) - 1);
    else
      pn_ids_add(ids, (int32_t)id);
  }
  pn_json_free(root);
  return ok && ids->oom ? pn_fail(e, PN_ERR_NOMEM, "out of memory for the tokens") : ok;
}

static bool decode(const open_model *m, pn_str text, pn_buf *out, pn_error *e) {
  pn_ids ids = {0};
  bool ok = read_ids(m, text, &ids, e);
  if (ok) pn_tokenizer_decode(m->tokenizer, ids.p, ids.n, true, out);
  pn_ids_fini(&ids);
  return ok;
}

bool cli_tokens(const options *o, pn_error *e) {
  open_model m = {0};
  pn_buf in = {0}, out = {0};
  bool ok = open_model_read(&m, o, NULL, OPEN_TOKENIZER, e) && console_read(NULL, MAX_INPUT_BYTES, &in, e);
  if (ok && options_on(o, "decode"))
    ok = decode(&m, pn_buf_view(&in), &out, e);
  else if (ok)
    ok = encode(&m, pn_buf_view(&in), options_on(o, "special"), &out, e);
  ok = ok && console_write(&out, e);
  pn_buf_fini(&in);
  pn_buf_fini(&out);
  open_model_close(&m);
  return ok;
}
