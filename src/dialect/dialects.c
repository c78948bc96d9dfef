// The families' ways to write calls.
#include "dialect/dialect.h"

#include <string.h>

static const pn_value_style style_function_gemma = {.yes = "true",
                                                    .no = "false",
                                                    .null = "null",
                                                    .comma = ",",
                                                    .colon = ":",
                                                    .quote = "<escape>",
                                                    .bare_keys = true};
static const pn_value_style style_gemma4 = {.yes = "true",
                                            .no = "false",
                                            .null = "null",
                                            .comma = ",",
                                            .colon = ":",
                                            .quote = "<|\"|>",
                                            .bare_keys = true};

static const pn_parameter_marks qwen_parameters = {"<parameter=", ">\n", "\n", "</parameter>", "\n"},
                                glm_parameters = {"<arg_key>", "</arg_key><arg_value>", "", "</arg_value>",
                                                  ""},
                                glm_line_parameters = {"<arg_key>", "</arg_key>\n<arg_value>", "",
                                                       "</arg_value>", "\n"},
                                minimax_parameters = {"<parameter name=\"", "\">", "", "</parameter>", "\n"};

// A call as one JSON object, and several of them in a list.
#define OBJECT(key)                                                                                          \
  .head = "{\"name\": \"", .middle = "\", \"" key "\": ", .tail = "}", .values = &pn_style_json
#define LIST .begin = "[", OBJECT("arguments"), .between = ", "
#define PYTHON                                                                                               \
  .begin = "\n", .head = "", .middle = "(", .tail = ")", .between = "\n", .values = &pn_style_python,        \
  .named = true
#define GEMMA .begin = "", .head = "call:", .middle = "", .tail = "", .again = ""

const pn_dialect pn_dialects[] = {
    {.name = "hermes",
     .about = "Qwen 2.5 and 3, Hermes, Granite 4",
     .open = "<tool_call>",
     .begin = "\n",
     OBJECT("arguments"),
     .end = "\n</tool_call>",
     .again = "\n"},
    {.name = "hermes_inline",
     .about = "SmolLM3 with XML tools",
     .open = "<tool_call>",
     .begin = "",
     OBJECT("arguments"),
     .end = "</tool_call>",
     .again = "\n"},
    {.name = "llama3",
     .about = "Llama 3.1, 3.2 and 3.3",
     .open = "<|python_tag|>",
     .begin = "",
     OBJECT("parameters"),
     .between = "; ",
     .end = "",
     .bare = true},
    {.name = "mistral",
     .about = "Mistral Nemo, Small and Large of 2024",
     .open = "[TOOL_CALLS]",
     LIST,
     .end = "]"},
    {.name = "mistral_spaced",
     .about = "Mistral 7B v0.3, Mixtral 8x22B",
     .open = "[TOOL_CALLS]",
     .begin = " [",
     OBJECT("arguments"),
     .between = ", ",
     .end = "]"},
    {.name = "mistral_args",
     .about = "Mistral models with tokenizers of version 11 and later",
     .open = "[TOOL_CALLS]",
     .begin = "",
     .head = "",
     .middle = "[ARGS]",
     .tail = "",
     .end = "",
     .again = "",
     .values = &pn_style_json},
    {.name = "phi4", .about = "Phi-4-mini", .open = "<|tool_call|>", LIST, .end = "]<|/tool_call|>"},
    {.name = "functools", .about = "Phi-4-mini without marks", .open = "functools", LIST, .end = "]"},
    {.name = "granite", .about = "Granite 3.0, 3.2 and 3.3", .open = "<|tool_call|>", LIST, .end = "]"},
    {.name = "granite_text", .about = "Granite 3.1", .open = "<tool_call>", LIST, .end = "]"},
    {.name = "smollm3_python",
     .about = "SmolLM3 with Python tools",
     .open = "<code>",
     PYTHON,
     .end = "\n</code>"},
    {.name = "gemma3", .about = "Gemma 3", .open = "```tool_code", PYTHON, .end = "\n```"},
    {.name = "lfm2",
     .about = "LFM2 and LFM2.5",
     .open = "<|tool_call_start|>",
     .begin = "[",
     .head = "",
     .middle = "(",
     .tail = ")",
     .between = ", ",
     .end = "]<|tool_call_end|>",
     .values = &pn_style_python,
     .named = true},
    {.name = "functiongemma",
     .about = "FunctionGemma",
     .open = "<start_function_call>",
     GEMMA,
     .end = "<end_function_call>",
     .values = &style_function_gemma},
    {.name = "gemma4",
     .about = "Gemma 4",
     .open = "<|tool_call>",
     GEMMA,
     .end = "<tool_call|>",
     .values = &style_gemma4},
    {.name = "qwen_xml",
     .about = "Qwen3-Coder, Qwen 3.5 and later",
     .open = "<tool_call>",
     .begin = "\n",
     .head = "<function=",
     .middle = ">\n",
     .tail = "</function>",
     .end = "\n</tool_call>",
     .again = "\n",
     .values = &pn_style_json,
     .parameters = &qwen_parameters},
    {.name = "glm",
     .about = "GLM 4.7 and later",
     .open = "<tool_call>",
     .begin = "",
     .head = "",
     .middle = "",
     .tail = "",
     .end = "</tool_call>",
     .again = "",
     .values = &pn_style_json,
     .parameters = &glm_parameters},
    {.name = "glm_lines",
     .about = "GLM 4.5 and 4.6",
     .open = "<tool_call>",
     .begin = "",
     .head = "",
     .middle = "\n",
     .tail = "",
     .end = "</tool_call>",
     .again = "\n",
     .values = &pn_style_json,
     .parameters = &glm_line_parameters},
    {.name = "minimax",
     .about = "MiniMax M2",
     .open = "<minimax:tool_call>",
     .begin = "\n",
     .head = "<invoke name=\"",
     .middle = "\">\n",
     .tail = "</invoke>",
     .between = "\n",
     .end = "\n</minimax:tool_call>",
     .values = &pn_style_json,
     .parameters = &minimax_parameters},
    {0},
};

const pn_thinking_marks pn_thinking[] = {
    {"<think>", "</think>"},
    {"[THINK]", "[/THINK]"},
    {"<|channel>thought\n", "<channel|>"},
    {0},
};

const pn_dialect *pn_dialect_find(const char *name) {
  for (const pn_dialect *d = pn_dialects; d->name; d++)
    if (strcmp(d->name, name) == 0) return d;
  return NULL;
}

// How much of a call of `name` in this dialect is found in the text; 0: no such call.
static size_t n_found(const pn_dialect *d, bool bare, pn_str rendered, pn_str name) {
  pn_buf call = {0};
  if (!bare) pn_buf_z(&call, d->open);
  pn_buf_z(&call, d->begin);
  pn_buf_z(&call, d->head);
  pn_buf_str(&call, name);
  pn_buf_z(&call, d->middle);
  size_t at = call.oom ? SIZE_MAX : pn_str_find(rendered, pn_buf_view(&call), 0);
  size_t n = call.n + strlen(d->end);
  pn_buf_fini(&call);
  if (at == SIZE_MAX || pn_str_find(rendered, pn_str_of(d->end), at) == SIZE_MAX) return 0;
  return n;
}

const pn_dialect *pn_dialect_detect(pn_str rendered, pn_str name) {
  // Two dialects may begin alike: the one of which more is found. Bare calls are part of others.
  for (int bare = 0; bare < 2; bare++) {
    const pn_dialect *best = NULL;
    size_t n_best = 0;
    for (const pn_dialect *d = pn_dialects; d->name; d++) {
      size_t n = !bare || d->bare ? n_found(d, bare, rendered, name) : 0;
      if (n > n_best) {
        n_best = n;
        best = d;
      }
    }
    if (best) return best;
  }
  return NULL;
}
