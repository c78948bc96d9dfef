// Configurations and weights that can't be: an error that names what, never a crash.
#include "model/model.h"
#include "tiny_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// A configuration with the first occurrence of `from` replaced.
static const char *changed_in(const char *config, const char *from, const char *to) {
  static char text[1024];
  const char *at = strstr(config, from);
  assert_non_null(at);
  snprintf(text, sizeof text, "%.*s%s%s", (int)(at - config), config, to, at + strlen(from));
  return text;
}

static const char *changed(const char *from, const char *to) {
  return changed_in(TINY_LLAMA_CONFIG, from, to);
}

// Open a folder; the error's code and text in *e, PN_OK when it opened.
static void try_open(const char *config, const tiny_fault *fault, pn_error *e) {
  char path[64];
  assert_true(tiny_write(path, config, fault));
  *e = (pn_error){0};
  pn_files *files = pn_files_open(path, e);
  pn_backend *b =
      pn_backend_open(&(pn_backend_options){.name = "ref", .settings = {{"threads", "1", false}}}, e);
  assert_non_null(b);
  pn_model *m = files ? pn_model_open(files, b, e) : NULL;
  assert_true((m == NULL) == (e->code != PN_OK));
  pn_model_close(m);
  pn_files_close(files);
  pn_backend_close(b);
  tiny_remove(path);
}

static void expect(const char *config, const tiny_fault *fault, pn_code code, const char *word) {
  pn_error e;
  try_open(config, fault, &e);
  if (e.code != code || (word && !strstr(e.msg, word)))
    fail_msg("expected %s with \"%s\", found %s: %s", pn_code_name(code), word ? word : "",
             pn_code_name(e.code), e.msg);
}

static void a_good_folder_opens(void **state) {
  (void)state;
  expect(TINY_LLAMA_CONFIG, NULL, PN_OK, NULL);
  expect(
      changed("\"rope_theta\":10000", "\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":10000}"),
      NULL, PN_OK, NULL);
}

static void bad_configurations_are_named(void **state) {
  (void)state;
  expect("[]", NULL, PN_ERR_CORRUPT, "config.json");
  expect("{", NULL, PN_ERR_CORRUPT, "config.json");
  expect(changed("\"llama\"", "\"gpt2\""), NULL, PN_ERR_UNSUPPORTED, "gpt2");
  expect(changed("\"hidden_size\":48", "\"hidden_size\":\"48\""), NULL, PN_ERR_CORRUPT, "hidden_size");
  expect(changed("\"hidden_size\":48,", ""), NULL, PN_ERR_CORRUPT, "hidden_size");
  expect(changed("\"hidden_size\":48", "\"hidden_size\":0"), NULL, PN_ERR_CORRUPT, "hidden_size");
  expect(changed("\"hidden_size\":48", "\"hidden_size\":-48"), NULL, PN_ERR_CORRUPT, "hidden_size");
  expect(changed("\"hidden_size\":48", "\"hidden_size\":99999999999"), NULL, PN_ERR_CORRUPT, "hidden_size");
  expect(changed("\"num_attention_heads\":6", "\"num_attention_heads\":0"), NULL, PN_ERR_CORRUPT,
         "num_attention_heads");
  expect(changed("\"num_key_value_heads\":2", "\"num_key_value_heads\":4"), NULL, PN_ERR_CORRUPT, "heads");
  expect(changed("\"num_hidden_layers\":2", "\"num_hidden_layers\":2000"), NULL, PN_ERR_CORRUPT, "layers");
  expect(changed("\"rope_theta\":10000", "\"rope_theta\":\"big\""), NULL, PN_ERR_CORRUPT, "rope_theta");
  expect(changed("\"rope_theta\":10000", "\"rope_theta\":0"), NULL, PN_ERR_CORRUPT, "rope theta");
  expect(changed("\"rope_theta\":10000", "\"rope_scaling\":{\"type\":\"yarn\"}"), NULL, PN_ERR_UNSUPPORTED,
         "yarn");
  expect(changed("\"rope_theta\":10000", "\"rope_scaling\":{\"type\":\"longrope\"}"), NULL,
         PN_ERR_UNSUPPORTED, "longrope");
  expect(changed("\"rope_theta\":10000", "\"rope_scaling\":{\"type\":\"linear\",\"factor\":0}"), NULL,
         PN_ERR_CORRUPT, "factor");
  expect(changed("\"rope_theta\":10000",
                 "\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":4}"),
         NULL, PN_ERR_CORRUPT, "low_freq_factor");
  expect(changed("\"rope_theta\":10000", "\"partial_rotary_factor\":2"), NULL, PN_ERR_CORRUPT,
         "partial_rotary_factor");
  expect(changed("\"rope_theta\":10000", "\"attention_bias\":true"), NULL, PN_ERR_UNSUPPORTED,
         "attention_bias");
  expect(changed("\"rope_theta\":10000", "\"quantization_config\":{\"quant_method\":\"awq\"}"), NULL,
         PN_ERR_UNSUPPORTED, "quant_method: \"awq\" is not supported; take a GGUF file");
  expect(changed("\"rope_theta\":10000", "\"hidden_act\":\"gelu\""), NULL, PN_ERR_UNSUPPORTED, "gelu");
}

static void bad_experts_are_named(void **state) {
  (void)state;
  static const tiny_fault good = {.qk_norms = true, .experts = true};
  static const char router[] = "model.layers.1.mlp.gate.weight",
                    gate[] = "model.layers.1.mlp.switch_mlp.gate_proj.weight",
                    down[] = "model.layers.1.mlp.switch_mlp.down_proj.weight";
  static const struct {
    const char *from, *to, *word;
  } bad[] = {
      {"\"num_experts\":7,", "", "config.json: key \"num_experts\" is missing"},
      {"\"num_experts\":7", "\"num_experts\":0", "config.json: num_experts: expected 1 to 1024, found 0"},
      {"\"num_experts\":7", "\"num_experts\":4096", "num_experts: expected 1 to 1024, found 4096"},
      {"\"num_experts\":7", "\"num_experts\":true", "num_experts: expected an integer"},
      {"\"num_experts_per_tok\":3,", "", "config.json: key \"num_experts_per_tok\" is missing"},
      {"per_tok\":3", "per_tok\":8", "config.json: num_experts_per_tok: expected 1 to 7, found 8"},
      {"per_tok\":3", "per_tok\":0", "config.json: num_experts_per_tok: expected 1 to 7, found 0"},
      {"\"moe_intermediate_size\":24,", "", "key \"moe_intermediate_size\" is missing"},
      {"moe_intermediate_size\":24", "moe_intermediate_size\":0",
       "config.json: moe_intermediate_size: expected 1 to 1048576, found 0"},
      {"_prob\":true", "_prob\":1", "config.json: norm_topk_prob: expected true or false, found"},
      {"_step\":1", "_step\":0", "config.json: decoder_sparse_step: expected 1 or more, found 0"},
      {"_layers\":[0]", "_layers\":0", "config.json: mlp_only_layers: expected an array, found"},
      {"_layers\":[0]", "_layers\":[2]", "mlp_only_layers[0]: expected a layer of 0 to 1, found 2"},
      {"_layers\":[0]", "_layers\":[0,-1]", "mlp_only_layers[1]: expected a layer of 0 to 1, found -1"},
      {"\"intermediate_size\":80,", "", "config.json: key \"intermediate_size\" is missing"},
      // Shapes that the tensors have not.
      {"\"num_experts\":7", "\"num_experts\":6", router},
      {"moe_intermediate_size\":24", "moe_intermediate_size\":23",
       "expected [7, 23, 48], found F32 [7, 24, 48]"}};
  expect(TINY_EXPERTS(256), &good, PN_OK, NULL);
  expect(changed_in(TINY_EXPERTS(256), "_layers\":[0]", "_layers\":null"), &good, PN_OK, NULL);
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
    expect(changed_in(TINY_EXPERTS(256), bad[i].from, bad[i].to), &good, PN_ERR_CORRUPT, bad[i].word);
  static const char *const names[] = {router, gate, down};
  for (int i = 0; i < 3; i++) {
    tiny_fault f = good;
    f.missing = names[i];
    expect(TINY_EXPERTS(256), &f, PN_ERR_CORRUPT, names[i]);
    f.missing = NULL;
    f.misshapen = names[i];
    expect(TINY_EXPERTS(256), &f, PN_ERR_CORRUPT, names[i]);
  }
  // Experts as they are before a folder is converted.
  tiny_fault apart = good;
  apart.renamed = gate;
  apart.renamed_to = "model.layers.1.mlp.experts.0.gate_proj.weight";
  expect(TINY_EXPERTS(256), &apart, PN_ERR_UNSUPPORTED, apart.renamed_to);
  // A layer without experts needs none.
  tiny_fault f = good;
  f.missing = "model.layers.0.mlp.switch_mlp.gate_proj.weight";
  expect(TINY_EXPERTS(256), &f, PN_OK, NULL);
}

static void bad_tensors_are_named(void **state) {
  (void)state;
  static const char *const names[] = {
      "model.embed_tokens.weight", "model.norm.weight", "model.layers.1.input_layernorm.weight",
      "model.layers.0.self_attn.k_proj.weight", "model.layers.1.mlp.down_proj.weight"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    expect(TINY_LLAMA_CONFIG, &(tiny_fault){.missing = names[i]}, PN_ERR_CORRUPT, names[i]);
    expect(TINY_LLAMA_CONFIG, &(tiny_fault){.misshapen = names[i]}, PN_ERR_CORRUPT, names[i]);
  }
  expect(TINY_LLAMA_CONFIG, &(tiny_fault){.half = names[3]}, PN_ERR_UNSUPPORTED, "F64");
  expect(TINY_LLAMA_CONFIG, &(tiny_fault){.half = names[1]}, PN_ERR_CORRUPT, "F64");
  expect(changed("\"tie_word_embeddings\":true", "\"tie_word_embeddings\":false"), NULL, PN_ERR_CORRUPT,
         "lm_head");
  expect(changed("\"vocab_size\":50", "\"vocab_size\":51"), NULL, PN_ERR_CORRUPT, "embed_tokens");
}

// Names as they stand in files of models that see, hear or guess ahead; and those of text models.
static void extras_are_known_by_name(void **state) {
  (void)state;
  static const struct {
    const char *name;
    int extra;
  } cases[] = {{"model.visual.patch_embed.proj.weight", 0},
               {"vision_tower.encoder.layers.0.mlp.fc1.weight", 0},
               {"v.blk.0.attn_q.weight", 0},
               {"audio_tower.layers.0.fc1.weight", 1},
               {"model.multi_modal_projector.linear.weight", 2},
               {"mm.0.weight", 2},
               {"mtp.layers.0.mlp.down_proj.weight", 3},
               {"language_model.mtp.norm.weight", 3},
               {"blk.40.nextn.eh_proj.weight", 3},
               {"model.layers.0.mlp.down_proj.weight", -1},
               {"language_model.model.norm.weight", -1},
               {"blk.0.attn_v.weight", -1},
               {"token_embd.weight", -1}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
    if (pn_model_extra_of(pn_str_of(cases[i].name)) != cases[i].extra) fail_msg("%s", cases[i].name);
}

static const tiny_fault delta_tensors = {.qk_norms = true, .deltas = true};

static void a_folder_of_delta_nets_opens(void **state) {
  (void)state;
  expect(TINY_DELTA_FULL(256), &delta_tensors, PN_OK, NULL);
  expect(changed_in(TINY_DELTA_FULL(256), "qwen3_5", "qwen3_5_text"), &delta_tensors, PN_OK, NULL);
  expect(
      changed_in(TINY_DELTA_FULL(256), "\"full_attention_interval\":2",
                 "\"full_attention_interval\":2,\"layer_types\":[\"linear_attention\",\"full_attention\"]"),
      &delta_tensors, PN_OK, NULL);
}

static void bad_delta_nets_are_named(void **state) {
  (void)state;
  static const struct {
    const char *from, *to, *word;
  } cases[] = {
      {"\"linear_num_value_heads\":6,", "", "key linear_num_value_heads is missing"},
      {"\"linear_num_value_heads\":6", "\"linear_num_value_heads\":0", "linear_num_value_heads: expected 1"},
      {"\"linear_num_value_heads\":6", "\"linear_num_value_heads\":[6]",
       "expected an integer, found an array"},
      {"\"linear_num_key_heads\":3", "\"linear_num_key_heads\":4",
       "linear_num_key_heads: expected a divisor of the number of value heads, found 4"},
      {"\"linear_key_head_dim\":12", "\"linear_key_head_dim\":257",
       "linear_key_head_dim: expected 1 to 256, found 257"},
      {"\"linear_value_head_dim\":9", "\"linear_value_head_dim\":-9",
       "linear_value_head_dim: expected 1 to 1024"},
      {"\"linear_conv_kernel_dim\":4", "\"linear_conv_kernel_dim\":1",
       "linear_conv_kernel_dim: expected 2 to 16, found 1"},
      {"\"linear_conv_kernel_dim\":4", "\"linear_conv_kernel_dim\":3",
       "conv1d.weight: expected F32, F16 or BF16 [126, 3]"},
      {"\"linear_value_head_dim\":9", "\"linear_value_head_dim\":10", "in_proj_qkv.weight"},
      {"\"full_attention_interval\":2", "\"full_attention_interval\":0",
       "full_attention_interval: expected 1 to 1024, found 0"},
      {"\"full_attention_interval\":2",
       "\"full_attention_interval\":2,\"layer_types\":[\"full_attention\",\"linear_attention\"]",
       "layer_types[0]: expected \"linear_attention\", found \"full_attention\""},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
    expect(changed_in(TINY_DELTA_FULL(256), cases[i].from, cases[i].to), &delta_tensors,
           strstr(cases[i].word, "layer_types") ? PN_ERR_UNSUPPORTED : PN_ERR_CORRUPT, cases[i].word);
  expect(changed_in(TINY_DELTA_FULL(256), "\"full_attention_interval\":2",
                    "\"full_attention_interval\":2,\"attn_output_gate\":false"),
         &delta_tensors, PN_ERR_UNSUPPORTED, "attn_output_gate: expected true, found false");
  static const char *const names[] = {"model.layers.0.linear_attn.A_log",
                                      "model.layers.0.linear_attn.dt_bias",
                                      "model.layers.0.linear_attn.in_proj_a.weight",
                                      "model.layers.0.linear_attn.conv1d.weight",
                                      "model.layers.0.linear_attn.norm.weight",
                                      "model.layers.1.self_attn.q_proj.weight"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    tiny_fault f = delta_tensors;
    f.missing = names[i];
    expect(TINY_DELTA_FULL(256), &f, PN_ERR_CORRUPT, names[i]);
    f.missing = NULL;
    f.misshapen = names[i];
    expect(TINY_DELTA_FULL(256), &f, PN_ERR_CORRUPT, names[i]);
  }
}

static void bad_sandwiches_are_named(void **state) {
  (void)state;
  static const struct {
    const char *from, *to, *word;
  } cases[] = {
      {"\"sliding_window\":48,", "", "key sliding_window is missing"},
      {"\"sliding_window_pattern\":2", "\"sliding_window_pattern\":0", "sliding_window_pattern: expected 1"},
      {"\"query_pre_attn_scalar\":12", "\"query_pre_attn_scalar\":0",
       "query_pre_attn_scalar: expected a number over 0"},
      {"\"rope_local_base_freq\":1000", "\"rope_local_base_freq\":\"x\"",
       "rope_local_base_freq: expected a number"},
      {"\"head_dim\":8", "\"head_dim\":7", "rotary dimensions must be even"},
  };
  const tiny_fault tensors = {.qk_norms = true, .sandwich = true};
  expect(TINY_SANDWICH(256), &tensors, PN_OK, NULL);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
    expect(changed_in(TINY_SANDWICH(256), cases[i].from, cases[i].to), &tensors, PN_ERR_CORRUPT,
           cases[i].word);
  expect(changed_in(TINY_SANDWICH(256), "\"head_dim\":8", "\"head_dim\":8,\"hidden_activation\":\"silu\""),
         &tensors, PN_ERR_UNSUPPORTED, "hidden_activation: expected \"gelu_pytorch_tanh\", found \"silu\"");
  tiny_fault f = tensors;
  f.missing = "model.layers.1.post_feedforward_layernorm.weight";
  expect(TINY_SANDWICH(256), &f, PN_ERR_CORRUPT, f.missing);
}

static void bad_vectors_for_layers_are_named(void **state) {
  (void)state;
  const tiny_fault tensors = {.qk_norms = true, .sandwich = true, .per_layer = true};
  static const struct {
    const char *from, *to, *word;
  } cases[] = {
      {"\"hidden_size_per_layer_input\":6", "\"hidden_size_per_layer_input\":7",
       "embed_tokens_per_layer.weight"},
      {"\"hidden_size_per_layer_input\":6", "\"hidden_size_per_layer_input\":6,\"num_kv_shared_layers\":1",
       "num_kv_shared_layers: expected an own layer of each kind before the shared ones, found 1"},
      {"\"hidden_size_per_layer_input\":6", "\"hidden_size_per_layer_input\":6,\"num_kv_shared_layers\":2",
       "num_kv_shared_layers: expected 0 to 1, found 2"},
      {"\"final_logit_softcapping\":4", "\"final_logit_softcapping\":-1",
       "final_logit_softcapping: expected a number over 0, found -1"},
      {"\"global_head_dim\":8", "\"global_head_dim\":2000", "global_head_dim: expected 1 to 1024"},
      {"\"global_head_dim\":8", "\"global_head_dim\":16", "layers.1.self_attn.q_proj.weight"},
  };
  expect(TINY_PER_LAYER(256), &tensors, PN_OK, NULL);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
    expect(changed_in(TINY_PER_LAYER(256), cases[i].from, cases[i].to), &tensors, PN_ERR_CORRUPT,
           cases[i].word);
  expect(changed_in(TINY_PER_LAYER(256), "\"head_dim\":8", "\"head_dim\":8,\"enable_moe_block\":true"),
         &tensors, PN_ERR_UNSUPPORTED, "enable_moe_block");
  tiny_fault f = tensors;
  f.missing = "model.layers.1.layer_scalar";
  expect(TINY_PER_LAYER(256), &f, PN_ERR_CORRUPT, f.missing);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(a_good_folder_opens),
                                     cmocka_unit_test(bad_configurations_are_named),
                                     cmocka_unit_test(bad_experts_are_named),
                                     cmocka_unit_test(bad_tensors_are_named),
                                     cmocka_unit_test(extras_are_known_by_name),
                                     cmocka_unit_test(a_folder_of_delta_nets_opens),
                                     cmocka_unit_test(bad_delta_nets_are_named),
                                     cmocka_unit_test(bad_sandwiches_are_named),
                                     cmocka_unit_test(bad_vectors_for_layers_are_named)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
