#include "play_dialect.h"

static const char *const none[] = {NULL};
static const char *const all[] = {"<tool_call>",
                                  "</tool_call>",
                                  "<|python_tag|>",
                                  "[TOOL_CALLS]",
                                  "[ARGS]",
                                  "<|tool_call|>",
                                  "<|/tool_call|>",
                                  "<start_function_call>",
                                  "<end_function_call>",
                                  "<escape>",
                                  "<|tool_call>",
                                  "<tool_call|>",
                                  "<|\"|>",
                                  "<think>",
                                  "</think>",
                                  "[THINK]",
                                  "[/THINK]",
                                  "<|channel>",
                                  "<channel|>",
                                  "<|im_end|>",
                                  "[INST]",
                                  "<tool_response>",
                                  "<code>",
                                  "</code>",
                                  "<|tool_call_start|>",
                                  "<|tool_call_end|>",
                                  "<arg_key>",
                                  "</arg_key>",
                                  "<arg_value>",
                                  "</arg_value>",
                                  "<minimax:tool_call>",
                                  "</minimax:tool_call>",
                                  NULL};
const pn_tokenizer no_controls = {none}, all_controls = {all};

int32_t pn_tokenizer_find(const pn_tokenizer *t, pn_str spelling) {
  if (pn_str_is(spelling, "<word>")) return 1000;
  for (int32_t i = 0; t->controls[i]; i++)
    if (pn_str_is(spelling, t->controls[i])) return i;
  return -1;
}

bool pn_tokenizer_is_control(const pn_tokenizer *t, int32_t id) { return (void)t, id >= 0 && id < 1000; }
