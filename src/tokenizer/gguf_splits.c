// How each pre-tokeniser that GGUF files name (tokenizer.ggml.pre) cuts a text. The patterns are those of the
// families' own tokenizer.json, of which GGUF keeps the name alone.
#include "tokenizer/parts.h"

// \p{Han} as a class: PCRE2's own means the script's extensions in some versions and the script in others.
#define HAN                                                                                                  \
  "\\x{2E80}-\\x{2E99}\\x{2E9B}-\\x{2EF3}\\x{2F00}-\\x{2FD5}\\x{3005}\\x{3007}\\x{3021}-\\x{3029}"           \
  "\\x{3038}-\\x{303B}\\x{3400}-\\x{4DBF}\\x{4E00}-\\x{9FFF}\\x{F900}-\\x{FA6D}\\x{FA70}-\\x{FAD9}"          \
  "\\x{16FE2}\\x{16FE3}\\x{16FF0}\\x{16FF1}\\x{20000}-\\x{2A6DF}\\x{2A700}-\\x{2B739}\\x{2B740}-\\x{2B81D}"  \
  "\\x{2B820}-\\x{2CEA1}\\x{2CEB0}-\\x{2EBE0}\\x{2EBF0}-\\x{2EE5D}\\x{2F800}-\\x{2FA1D}"                     \
  "\\x{30000}-\\x{3134A}\\x{31350}-\\x{323AF}"
#define ENDINGS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define SPACES "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define BEFORE_WORD "[^\\r\\n\\p{L}\\p{N}]?"
// Words of capitals, then of small letters; letters without case and marks are both.
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(upper, lower, ending)                                                                          \
  BEFORE_WORD upper "*" lower "+" ending "|" BEFORE_WORD upper "+" lower "*" ending "|"
#define NOT_HAN(letters) "(?:(?![" HAN "])" letters ")"

static const char tekken[] = CASED(UPPER, LOWER, "") "\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" SPACES,
                  kimi[] = "[" HAN "]+|" CASED(NOT_HAN(UPPER), NOT_HAN(LOWER), ENDINGS "?") //
                  "\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" SPACES,
                  digits3[] = "\\p{N}{1,3}", digit[] = "\\p{N}", cjk[] = "[一-龥぀-ゟ゠-ヿ]+",
                  deepseek[] =
                      "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|"
                      "[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|" SPACES;

#define GPT2                                                                                                 \
  { scan_gpt2_pattern }
#define GPT2_DIGITS                                                                                          \
  { digit, scan_gpt2_pattern }
#define LLAMA3                                                                                               \
  { scan_llama3_pattern }
#define QWEN2                                                                                                \
  { scan_qwen2_pattern }
#define O200K                                                                                                \
  { scan_o200k_pattern }
#define DEEPSEEK3                                                                                            \
  { digits3, cjk, deepseek }

static const struct split {
  const char *name, *patterns[3]; // one after the other
  bool nfc, ignore_merges;
} splits[] = {
    {"smollm", GPT2_DIGITS, false, false},
    {"starcoder", GPT2_DIGITS, false, false},
    {"refact", GPT2_DIGITS, false, false},
    {"command-r", GPT2_DIGITS, false, false},
    {"gpt-2", GPT2, false, false},
    {"default", GPT2, false, false},
    {"mpt", GPT2, false, false},
    {"olmo", GPT2, false, false},
    {"llama-bpe", LLAMA3, false, true},
    {"llama3", LLAMA3, false, true},
    {"llama-v3", LLAMA3, false, true},
    {"lfm2", LLAMA3, false, true},
    {"pixtral", LLAMA3, false, true},
    {"laguna", LLAMA3, false, false},
    {"dbrx", LLAMA3, false, false},
    {"glm4", LLAMA3, false, false},
    {"smaug-bpe", LLAMA3, false, true},
    {"qwen2", QWEN2, true, false},
    {"qwen35", {scan_qwen35_pattern}, true, false},
    {"deepseek-r1-qwen", QWEN2, false, false},
    {"stablelm2", QWEN2, false, false},
    {"gpt-4o", O200K, false, true},
    {"llama4", O200K, false, true},
    {"minimax-m2", O200K, false, false},
    {"tekken", {tekken}, false, true},
    {"deepseek-v3", DEEPSEEK3, false, false},
    {"hunyuan-dense", DEEPSEEK3, false, false},
    {"joyai-llm", DEEPSEEK3, false, false},
    {"kimi-k2", {kimi}, false, true},
};

bool load_gguf_split(pn_tokenizer *t, pn_str name, pn_error *e) {
  const struct split *p = NULL;
  if (name.n == 0) name = PN_STR("default");
  for (size_t i = 0; i < sizeof splits / sizeof *splits; i++)
    if (pn_str_is(name, splits[i].name)) p = &splits[i];
  if (!p)
    return pn_fail(e, PN_ERR_UNSUPPORTED, "tokenizer.ggml.pre \"%.*s\" is not supported",
                   name.n < 60 ? (int)name.n : 60, name.p);
  t->bpe.ignore_merges = p->ignore_merges;
  if (p->nfc) t->normalizer.steps[t->normalizer.n++] = (normalize_step){.kind = NORMALIZE_NFC};
  for (size_t i = 0; i < 3 && p->patterns[i]; i++) {
    bool ok = p->patterns[i] == digit ? load_digits_step(t, "tokenizer.ggml.pre", e)
                                      : load_split_step(t, pn_str_of(p->patterns[i]), false, PRETOK_ISOLATED,
                                                        false, "tokenizer.ggml.pre", e);
    if (!ok) return false;
  }
  return true;
}
