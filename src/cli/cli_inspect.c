// pensieve inspect: what a model is, every problem found, the memory it needs and the speed to expect.
// Nothing is loaded.
#include "api/api.h"
#include "base/kind.h"
#include "cli/console.h"
#include "cli/discover.h"
#include "cli/open_model.h"
#include "cli/reading_rate.h"
#include "cli/verbs.h"
#include "kv/kv.h"

#include <stdio.h>
#include <string.h>

typedef struct report {
  open_model m;
  bool has_config, has_template;
  pn_model_config config;
  pn_json *problems; // strings
  pn_error first;    // the first problem
  pn_model_extra extras[PN_MODEL_EXTRAS];
  bool has_card;
  pn_api_card card;
  reading_rate reading; // where the model can be computed
} report;

static void add_problem(report *r, const pn_error *e) {
  if (r->first.code == PN_OK) r->first = *e;
  pn_json_push(r->problems, pn_json_new_str(pn_str_of(e->msg)));
}

static bool is_supported(pn_dtype t) {
  return t == PN_U32 || pn_kind_of(t)->decode; // U32: the packed codes of an MLX folder
}

// One problem for each type of tensor that can't be computed with.
static void check_types(report *r) {
  const pn_tensors *t = pn_files_tensors(r->m.files);
  for (size_t i = 0; i < t->n; i++) {
    const pn_tensor *x = &t->items[i];
    if (is_supported(x->dtype) || pn_model_extra_of(x->name) >= 0) continue;
    size_t n = 0;
    bool seen = false;
    for (size_t k = 0; k < t->n; k++) {
      if (strcmp(t->items[k].type_name, x->type_name) != 0) continue;
      seen = seen || k < i;
      n++;
    }
    if (seen) continue;
    pn_error e;
    pn_fail(&e, PN_ERR_UNSUPPORTED,
            "%zu of %zu tensors are of type %s, which is not supported (take a file of another type, such as "
            "Q4_K_M); the first is %.*s",
            n, t->n, x->type_name, (int)(x->name.n < 80 ? x->name.n : 80), x->name.p);
    add_problem(r, &e);
  }
}

// The configuration, and every tensor that the family needs, with its shape: taken into use as they lie in
// the file.
static void check_weights(report *r) {
  pn_error e = {0};
  open_model *m = &r->m;
  r->has_config = pn_model_read_config(m->files, &r->config, &e) &&
                  (m->backend = pn_backend_open(
                       &(pn_backend_options){.name = "cpu", .settings = {{"threads", "1", false}}}, &e));
  m->model = r->has_config ? pn_model_open(m->files, m->backend, &e) : NULL;
  if (!m->model) add_problem(r, &e);
}

static void examine(report *r, const char *path, const char *dialect) {
  open_model *m = &r->m;
  pn_error e = {0};
  snprintf(m->path, sizeof m->path, "%s", path);
  m->files = pn_files_open(path, &e);
  if (!m->files) {
    add_problem(r, &e);
    return;
  }
  pn_model_extras(m->files, r->extras);
  check_types(r);
  check_weights(r);
  m->tokenizer = pn_tokenizer_open(m->files, &e);
  if (!m->tokenizer) add_problem(r, &e);
  pn_str source = {0};
  if (!pn_template_source(m->files, &source, &e)) add_problem(r, &e);
  r->has_template = source.p != NULL;
  if (source.p && !(m->chat_template = pn_template_open(source, &e))) {
    pn_fail_in(&e, "chat template");
    add_problem(r, &e);
  }
  if (!m->tokenizer || !m->chat_template) return;
  const pn_api_options api = {.tokenizer = m->tokenizer,
                              .chat_template = m->chat_template,
                              .template_text = source,
                              .template_consts = open_model_consts(m->files, m->tokenizer),
                              .dialect = dialect};
  r->has_card = pn_api_card_of(&api, &r->card, &e);
  if (!r->has_card) add_problem(r, &e);
}

// Types of the KV cache to show: what this build takes of f16, int8, int4. Returns how many.
static int kv_types(pn_kv_type out[3]) {
  static const pn_kv_type all[] = {PN_KV_F16, PN_KV_INT8, PN_KV_INT4};
  int n = 0;
  for (int i = 0; i < 3; i++)
    if (option_offers("kv", pn_kv_type_name(all[i]))) out[n++] = all[i];
  return n;
}

// Bytes of the KV cache for one request of n_ctx tokens, as the backend that would serve keeps it.
static uint64_t kv_bytes(const report *r, pn_kv_type type, int n_ctx) {
  const pn_kv_wish wish = {
      .type = type, .n_pages = pn_kv_pages_of(n_ctx), .max_running = 1, .step_tokens = 512};
  const pn_kv_setup setup = pn_kv_setup_of(&r->config, r->m.backend, &wish);
  return pn_kv_setup_bytes(&r->config, r->m.backend, type, &setup);
}

// Of a token more, while no window is full.
static uint64_t kv_token_bytes(const report *r, pn_kv_type type) {
  uint64_t one = kv_bytes(r, type, PN_KV_PAGE_TOKENS), two = kv_bytes(r, type, 2 * PN_KV_PAGE_TOKENS);
  return (two - one) / PN_KV_PAGE_TOKENS;
}

// Contexts to show: 2048, 8192, 32768, ... below the model's own, and that one. Returns how many.
static int contexts(const pn_model_config *c, int out[16]) {
  int n = 0;
  for (int64_t ctx = 2048; ctx < c->max_positions && n < 15; ctx *= 4) out[n++] = (int)ctx;
  out[n++] = c->max_positions;
  return n;
}

// What decoding without context may reach here, by the weights that a token reads.
static reading_expectation expectation(const report *r) {
  return reading_rate_expect(&r->reading, (double)pn_model_weight_bytes(r->m.model));
}

static void set_reading_json(pn_json *v, const report *r) {
  pn_json_set(v, "reading_gb_s", reading_rate_json(&r->reading));
  if (!(r->reading.gb_s > 0)) return;
  const reading_expectation x = expectation(r);
  pn_json *expected = pn_json_new_object();
  pn_json_set(expected, "low", pn_json_new_num(x.low));
  pn_json_set(expected, "high", pn_json_new_num(x.high));
  pn_json_set(v, "weight_bytes_per_token", pn_json_new_int((int64_t)pn_model_weight_bytes(r->m.model)));
  pn_json_set(v, "expected_decode_tok_s", expected);
}

// Bytes of the weights that the text model may read.
static uint64_t weight_bytes(const report *r) {
  uint64_t n = pn_files_bytes(r->m.files);
  for (int i = 0; i < PN_MODEL_EXTRAS; i++) n -= r->extras[i].bytes;
  return n;
}

static pn_json *extras_json(const report *r) {
  pn_json *list = pn_json_new_array();
  for (int i = 0; i < PN_MODEL_EXTRAS; i++) {
    const pn_model_extra *x = &r->extras[i];
    if (!x->n_tensors) continue;
    pn_json *v = pn_json_new_object();
    pn_json_set(v, "name", pn_json_new_str(pn_str_of(x->name)));
    pn_json_set(v, "n_tensors", pn_json_new_int((int64_t)x->n_tensors));
    pn_json_set(v, "bytes", pn_json_new_int((int64_t)x->bytes));
    pn_json_push(list, v);
  }
  return list;
}

static pn_json *tensors_json(const pn_tensors *t) {
  pn_json *list = pn_json_new_array();
  for (size_t i = 0; i < t->n; i++) {
    const pn_tensor *x = &t->items[i];
    pn_json *v = pn_json_new_object(), *shape = pn_json_new_array();
    for (int d = 0; d < x->n_dims; d++) pn_json_push(shape, pn_json_new_int((int64_t)x->shape[d]));
    pn_json_set(v, "name", pn_json_new_str(x->name));
    pn_json_set(v, "type", pn_json_new_str(pn_str_of(x->type_name)));
    pn_json_set(v, "shape", shape);
    pn_json_set(v, "bytes", pn_json_new_int((int64_t)x->n_bytes));
    pn_json_push(list, v);
  }
  return list;
}

// What a context needs: as f16, and the KV cache as each type.
static pn_json *memory_json(const report *r, int n_ctx, uint64_t weights) {
  pn_json *row = pn_json_new_object(), *types = pn_json_new_object();
  uint64_t bytes = kv_bytes(r, PN_KV_F16, n_ctx);
  pn_kv_type type[3];
  int n_types = kv_types(type);
  pn_json_set(row, "context", pn_json_new_int(n_ctx));
  pn_json_set(row, "kv_bytes", pn_json_new_int((int64_t)bytes));
  pn_json_set(row, "total_bytes", pn_json_new_int((int64_t)(bytes + weights)));
  for (int t = 0; t < n_types; t++)
    pn_json_set(types, pn_kv_type_name(type[t]), pn_json_new_int((int64_t)kv_bytes(r, type[t], n_ctx)));
  pn_json_set(row, "kv_bytes_by_type", types);
  return row;
}

static pn_json *experts_json(const pn_model_config *c) {
  if (!c->n_experts) return pn_json_new_null();
  pn_json *v = pn_json_new_object();
  pn_json_set(v, "count", pn_json_new_int(c->n_experts));
  pn_json_set(v, "used", pn_json_new_int(c->n_experts_used));
  pn_json_set(v, "ffn_width", pn_json_new_int(c->d_expert));
  return v;
}

static void set_config_json(pn_json *v, const report *r, uint64_t weights) {
  const pn_model_config *c = &r->config;
  pn_json_set(v, "family", pn_json_new_str(pn_str_of(c->family)));
  pn_json_set(v, "quantization", pn_json_new_str(pn_str_of(c->quantization)));
  pn_json_set(v, "context", pn_json_new_int(c->max_positions));
  pn_json_set(v, "layers", pn_json_new_int(c->n_layers));
  pn_json_set(v, "width", pn_json_new_int(c->d_model));
  pn_json_set(v, "ffn_width", pn_json_new_int(c->d_ffn));
  pn_json_set(v, "heads", pn_json_new_int(c->n_heads));
  pn_json_set(v, "kv_heads", pn_json_new_int(c->n_kv_heads));
  pn_json_set(v, "head_dim", pn_json_new_int(c->head_dim));
  pn_json_set(v, "vocab", pn_json_new_int(c->n_vocab));
  pn_json_set(v, "experts", experts_json(c));
  if (r->m.model) {
    const pn_model_size size = pn_model_size_of(r->m.model);
    pn_json_set(v, "parameters", pn_json_new_int((int64_t)size.parameters));
    pn_json_set(v, "active_parameters", pn_json_new_int((int64_t)size.active));
  }
  pn_json *each = pn_json_new_object(), *memory = pn_json_new_array();
  pn_kv_type type[3];
  int n_types = kv_types(type);
  for (int t = 0; t < n_types; t++)
    pn_json_set(each, pn_kv_type_name(type[t]), pn_json_new_int((int64_t)kv_token_bytes(r, type[t])));
  pn_json_set(v, "kv_bytes_per_token", each);
  pn_json_set(v, "state_bytes", pn_json_new_int((int64_t)pn_kv_state_bytes(c, r->m.backend)));
  int ctx[16], n = contexts(c, ctx);
  for (int i = 0; i < n; i++) pn_json_push(memory, memory_json(r, ctx[i], weights));
  pn_json_set(v, "memory", memory);
}

static void set_card_json(pn_json *v, const pn_api_card *c) {
  pn_json *tools = pn_json_new_object(), *thinking = pn_json_new_null();
  pn_json_set(tools, "dialect", pn_json_new_str(pn_str_of(c->dialect)));
  pn_json_set(tools, "by_template", pn_json_new_bool(c->tool_form == PN_API_TOOLS_READ));
  pn_json_set(tools, "template", pn_json_new_str(pn_str_of(pn_api_tool_form_name(c->tool_form))));
  pn_json_set(v, "tools", tools);
  if (c->think_open) {
    pn_json_free(thinking);
    thinking = pn_json_new_object();
    pn_json_set(thinking, "open", pn_json_new_str(pn_str_of(c->think_open)));
    pn_json_set(thinking, "close", pn_json_new_str(pn_str_of(c->think_close)));
    pn_json_set(thinking, "by_template", pn_json_new_bool(c->template_thinking));
  }
  pn_json_set(v, "thinking", thinking);
}

static bool print_json(const report *r, bool tensors, pn_error *e) {
  const open_model *m = &r->m;
  pn_json *v = pn_json_new_object();
  pn_json_set(v, "path", pn_json_new_str(pn_str_of(m->path)));
  pn_json_set(v, "supported", pn_json_new_bool(r->first.code == PN_OK));
  pn_json_set(v, "problems", pn_json_share(r->problems));
  if (m->files) {
    pn_json_set(v, "format", pn_json_new_str(pn_str_of(pn_files_gguf(m->files) ? "gguf" : "safetensors")));
    pn_json_set(v, "bytes", pn_json_new_int((int64_t)pn_files_bytes(m->files)));
    pn_json_set(v, "n_tensors", pn_json_new_int((int64_t)pn_files_tensors(m->files)->n));
    pn_json_set(v, "chat_template", pn_json_new_bool(r->has_template));
    if (r->has_card) set_card_json(v, &r->card);
    pn_json_set(v, "skipped", extras_json(r));
    if (r->has_config) set_config_json(v, r, weight_bytes(r));
    if (m->model) set_reading_json(v, r);
    if (tensors) pn_json_set(v, "tensors", tensors_json(pn_files_tensors(m->files)));
  }
  return console_json(v, e);
}

// Parameters, and where they differ those that a token uses.
static void print_size(pn_model_size s) {
  printf("parameters    %.2f billion", (double)s.parameters / 1e9);
  if (s.active < s.parameters) printf(", %.2f billion active for a token", (double)s.active / 1e9);
  putchar('\n');
}

static void print_config(const report *r, uint64_t weights) {
  const pn_model_config *c = &r->config;
  char size[32];
  pn_kv_type type[3];
  int n_types = kv_types(type);
  printf("family        %s, %s\n", c->family, c->quantization);
  printf(
      "shape         %d layers, width %d, ffn %d, %d heads of %d (%d for keys and values), vocabulary %d\n",
      c->n_layers, c->d_model, c->d_ffn, c->n_heads, c->head_dim, c->n_kv_heads, c->n_vocab);
  if (c->n_experts)
    printf("experts       %d of width %d in a layer, a token goes to %d\n", c->n_experts, c->d_expert,
           c->n_experts_used);
  if (r->m.model) print_size(pn_model_size_of(r->m.model));
  printf("context       %d tokens\n", c->max_positions);
  printf("KV cache      a token costs");
  for (int t = 0; t < n_types; t++)
    printf("%s %llu bytes as %s", t ? "," : "", (unsigned long long)kv_token_bytes(r, type[t]),
           pn_kv_type_name(type[t]));
  putchar('\n');
  const uint64_t states = pn_kv_state_bytes(c, r->m.backend);
  if (states) printf("states        %s of a request, and of each prefix kept\n", console_bytes(states, size));
  int ctx[16], n = contexts(c, ctx);
  for (int i = 0; i < n; i++) {
    printf("%s %8s with %d tokens (KV cache", i ? "             " : "memory       ",
           console_bytes(kv_bytes(r, PN_KV_F16, ctx[i]) + weights, size), ctx[i]);
    for (int t = 0; t < n_types; t++)
      printf("%s %s: %s", t ? "," : "", pn_kv_type_name(type[t]),
             console_bytes(kv_bytes(r, type[t], ctx[i]), size));
    puts(")");
  }
}

static void print_reading(const report *r) {
  char line[96], bytes[32];
  printf("reading       %s\n", reading_rate_line(&r->reading, line));
  if (!(r->reading.gb_s > 0)) return;
  const reading_expectation x = expectation(r);
  const int digits = x.low < 10 ? 1 : 0;
  printf("decode        %.*f to %.*f tok/s expected without context: %s of weights a token\n", digits, x.low,
         digits, x.high, console_bytes(pn_model_weight_bytes(r->m.model), bytes));
}

static void print_tensors(const pn_tensors *t) {
  for (size_t i = 0; i < t->n; i++) {
    const pn_tensor *x = &t->items[i];
    printf("%-48.*s %-6s [", (int)x->name.n, x->name.p, x->type_name);
    for (int d = 0; d < x->n_dims; d++) printf(d ? ", %llu" : "%llu", (unsigned long long)x->shape[d]);
    puts("]");
  }
}

static void print_card(const pn_api_card *c) {
  static const char *const forms[] = {
      [PN_API_TOOLS_READ] = "the chat template writes them",
      [PN_API_TOOLS_UNKNOWN] = "told as text, the chat template knows none",
      [PN_API_TOOLS_FOREIGN] = "told as text, the chat template writes calls in a form that can't be read"};
  printf("tools         %s: %s; %s\n", c->dialect, c->dialect_about, forms[c->tool_form]);
  if (c->think_open)
    printf("thinking      %s ... %s, %s\n", c->think_open, c->think_close,
           c->template_thinking ? "switched by the chat template" : "an empty thought switches it off");
  else
    puts("thinking      none");
}

static void print_extras(const report *r) {
  const char *before = "skipped       ";
  for (int i = 0; i < PN_MODEL_EXTRAS; i++) {
    const pn_model_extra *x = &r->extras[i];
    char size[32];
    if (!x->n_tensors) continue;
    printf("%s%s (%zu tensors, %s)", before, x->name, x->n_tensors, console_bytes(x->bytes, size));
    before = ", ";
  }
  if (*before == ',') putchar('\n');
}

static void print_text(const report *r, bool tensors) {
  char size[32];
  const open_model *m = &r->m;
  printf("path          %s\n", m->path);
  if (m->files) {
    printf("format        %s, %s, %zu tensors\n", pn_files_gguf(m->files) ? "GGUF" : "safetensors",
           console_bytes(pn_files_bytes(m->files), size), pn_files_tensors(m->files)->n);
    print_extras(r);
    if (r->has_config) print_config(r, weight_bytes(r));
    if (m->model) print_reading(r);
    printf("chat template %s\n", r->has_template ? "yes" : "no");
    if (r->has_card) print_card(&r->card);
    if (tensors) print_tensors(pn_files_tensors(m->files));
  }
  if (r->first.code == PN_OK) puts("problems      none");
  for (size_t i = 0; i < pn_json_len(r->problems); i++)
    printf("problem       %s\n", pn_json_cstr(pn_json_at(r->problems, i)));
}

static bool print_plan(const report *r, pn_error *e) {
  pn_buf text = {0};
  if (!r->m.model) return *e = r->first, false;
  pn_model_plan_write(r->m.model, &text);
  fputs(pn_buf_cstr(&text), stdout);
  pn_buf_fini(&text);
  return true;
}

static void measure_reading(report *r) {
  cores_choice choice;
  open_model_choose_threads(&choice);
  r->reading = reading_rate_measure(choice.threads);
}

bool cli_inspect(const options *o, pn_error *e) {
  report r = {.problems = pn_json_new_array()};
  char path[sizeof r.m.path];
  bool ok = discover_model(o, o->n_args ? o->args[0] : NULL, path, sizeof path, e);
  if (ok) {
    examine(&r, path, options_text(o, "dialect"));
    bool tensors = options_on(o, "tensors");
    const bool plan = options_on(o, "plan");
    if (r.m.model && !plan) measure_reading(&r);
    if (plan)
      ok = print_plan(&r, e);
    else if (options_on(o, "json"))
      ok = print_json(&r, tensors, e);
    else
      print_text(&r, tensors);
    if (ok && r.first.code != PN_OK) {
      ok = false;
      *e = r.first;
    }
  }
  open_model_close(&r.m);
  pn_json_free(r.problems);
  return ok;
}
