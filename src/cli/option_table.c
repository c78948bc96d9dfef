// Every setting of every verb.
#include "cli/options.h"

#include <limits.h>

#define SERVER (VERB_SERVE | VERB_CLAUDE) // which starts one
#define MODEL                                                                                                \
  (SERVER | VERB_RUN | VERB_INSPECT | VERB_TOKENS | VERB_TEMPLATE | VERB_LOGITS | VERB_PERPLEXITY |          \
   VERB_BENCH)
#define ENGINE (SERVER | VERB_RUN | VERB_BENCH)
#define COMPUTE (ENGINE | VERB_LOGITS | VERB_PERPLEXITY)
#define ALL (~0u)

// clang-format off
const option_spec option_table[] = {
    {MODEL, "model", "MODEL_PATH", OPTION_TEXT, "M", NULL, 0, 0, NULL,
     "a model folder, a .gguf file, or a name that `pensieve list` shows"},
    {MODEL | VERB_LIST, "models-dir", "PENSIEVE_MODELS", OPTION_TEXT, "DIR", NULL, 0, 0, NULL,
     "folder of models (default: ./models, else $XDG_DATA_HOME/pensieve/models)"},

    {SERVER, "host", NULL, OPTION_TEXT, "ADDRESS", "127.0.0.1", 0, 0, NULL, "address to listen on"},
    {VERB_SERVE, "port", NULL, OPTION_INT, "N", "8000", 0, 65535, NULL, "port to listen on; 0: any free one"},
    {VERB_CLAUDE, "port", NULL, OPTION_INT, "N", "8000", 1, 65535, NULL, "port of the server"},
    {VERB_CLAUDE, "claude", NULL, OPTION_TEXT, "PATH", "claude", 0, 0, NULL, "Claude Code: a path, or a name in PATH"},
    {VERB_SERVE, "unix", NULL, OPTION_TEXT, "PATH", NULL, 0, 0, NULL, "listen on this Unix socket instead"},
    {SERVER, "api-key-file", NULL, OPTION_TEXT, "FILE", NULL, 0, 0, NULL,
     "ask clients for one of the keys in this file: a line each, NAME KEY or KEY"},
    {SERVER, "api-key", NULL, OPTION_SECRET, NULL, NULL, 0, 0, NULL, "ask clients for this key"},
    {SERVER, "cors-origin", NULL, OPTION_TEXT, "ORIGIN,ORIGIN", NULL, 0, 0, NULL,
     "web pages of these origins may use the server; *: all"},
    {SERVER, "requests-per-minute", NULL, OPTION_INT, "N", "0", 0, 1000000, NULL,
     "for messages and completions, that one API key may send; more are refused with 429; 0: no limit"},
    {SERVER, "max-body", NULL, OPTION_BYTES, "SIZE", "32M", 0, 0, NULL, "largest request body"},
    {SERVER, "max-connections", NULL, OPTION_INT, "N", "512", 1, 65536, NULL, "open connections; more wait"},
    {SERVER, "insecure-listen", NULL, OPTION_SWITCH, NULL, "false", 0, 0, NULL,
     "allow an address that other machines reach without an API key"},
    {VERB_SERVE, "tls-cert", NULL, OPTION_TEXT, "FILE", NULL, 0, 0, NULL, "serve https with this certificate (PEM)"},
    {VERB_SERVE, "tls-key", NULL, OPTION_TEXT, "FILE", NULL, 0, 0, NULL, "private key of the certificate (PEM)"},
    // `claude` refuses them: it gives Claude Code a plain http address.
    {VERB_CLAUDE, "unix", NULL, OPTION_TEXT, "PATH", NULL, 0, 0, NULL, NULL},
    {VERB_CLAUDE, "tls-cert", NULL, OPTION_TEXT, "FILE", NULL, 0, 0, NULL, NULL},
    {VERB_CLAUDE, "tls-key", NULL, OPTION_TEXT, "FILE", NULL, 0, 0, NULL, NULL},
    {SERVER, "max-requests", NULL, OPTION_INT, "N", "8", 1, 4096, NULL, "requests that run at the same time"},
    {SERVER, "queue", NULL, OPTION_INT, "N", "64", 0, 100000, NULL, "requests that may wait behind them; one more is refused"},
    {SERVER, "prefill-share", NULL, OPTION_NUMBER, "SHARE", "0.3", 0.05, 0.9, NULL,
     "of a step's time that prompts may take while answers run"},
    {SERVER | VERB_RUN, "speculate", NULL, OPTION_CHOICE, NULL, "on", 0, 0, "on|off",
     "guess tokens from what was said before and compute several in a step where that pays; answers stay the same"},
    {VERB_BENCH, "speculate", NULL, OPTION_CHOICE, NULL, "off", 0, 0, "on|off", "guess tokens from what was said before"},
    {ENGINE, "weights", NULL, OPTION_CHOICE, NULL, "auto", 0, 0, "auto|map|huge",
     "where weights lie: in the mapped file, in large pages of memory of their own, or there if there is room"},
    {ENGINE, "prefault", NULL, OPTION_SWITCH, NULL, "false", 0, 0, NULL, "read all weights before the first request"},
    {ENGINE, "lock-memory", NULL, OPTION_SWITCH, NULL, "false", 0, 0, NULL, "keep the weights in memory, whatever else runs"},
    {SERVER, "request-timeout", NULL, OPTION_INT, "SECONDS", "0", 0, 86400, NULL,
     "from a request's arrival to its last token; 0: no limit"},
    {SERVER, "cache-idle", NULL, OPTION_INT, "SECONDS", "3600", 0, 31536000, NULL,
     "without a request for so long, give up the prefix cache and its memory; 0: never"},
    {SERVER, "resend-wait", NULL, OPTION_INT, "SECONDS", "10", 0, 3600, NULL,
     "how long an answer waits for a client that has gone and may send its request again; 0: not at all"},
    {SERVER, "alias", NULL, OPTION_TEXT, "NAME,NAME", NULL, 0, 0, NULL, "further names of the model"},
    {SERVER | VERB_INSPECT, "dialect", NULL, OPTION_TEXT, "NAME", NULL, 0, 0, NULL,
     "how the model writes calls of tools (default: as its chat template shows; docs/TOOLS.md lists them)"},
    {SERVER, "strict-model", NULL, OPTION_SWITCH, NULL, "false", 0, 0, NULL,
     "refuse requests that name another model than this one or its aliases"},
    {SERVER, "drain", NULL, OPTION_INT, "SECONDS", "30", 0, 86400, NULL,
     "how long running answers may go on after the first Ctrl-C"},
    {SERVER, "data-dir", NULL, OPTION_TEXT, "DIR", NULL, 0, 0, NULL,
     "folder where message batches are kept (default: $XDG_DATA_HOME/pensieve); empty: there are none"},

    {VERB_RUN, "system", NULL, OPTION_TEXT, "TEXT", NULL, 0, 0, NULL, "system prompt"},
    {VERB_RUN, "max-tokens", NULL, OPTION_INT, "N", "1024", 1, INT_MAX, NULL, "longest answer"},
    {VERB_RUN, "temperature", NULL, OPTION_NUMBER, "T", "0.7", 0, 100, NULL, "0: always the likeliest token"},
    {VERB_RUN, "top-p", NULL, OPTION_NUMBER, "P", "0.95", 1e-6, 1, NULL, "sample from this share of the probability"},
    {VERB_RUN, "top-k", NULL, OPTION_INT, "K", "0", 0, INT_MAX, NULL, "sample from the K likeliest tokens; 0: from all"},
    {VERB_RUN, "min-p", NULL, OPTION_NUMBER, "P", "0", 0, 0.999999, NULL,
     "drop tokens less likely than this share of the likeliest one"},
    {VERB_RUN, "seed", NULL, OPTION_INT, "N", NULL, 0, 9007199254740992.0, NULL, "the same seed gives the same answer"},

    {VERB_TOKENS, "special", NULL, OPTION_SWITCH, NULL, "false", 0, 0, NULL,
     "text that spells a special token becomes that token"},
    {VERB_TOKENS, "decode", NULL, OPTION_SWITCH, NULL, "false", 0, 0, NULL, "{\"ids\":[...]} on stdin to text"},

    {VERB_TEMPLATE, "tools-fallback", NULL, OPTION_SWITCH, NULL, "false", 0, 0, NULL,
     "tools, calls and results as text, for templates that know none"},

    {VERB_LOGITS, "ids", NULL, OPTION_TEXT, "1,2,3", NULL, 0, 0, NULL, "token ids"},
    {VERB_LOGITS, "ids-file", NULL, OPTION_TEXT, "FILE", NULL, 0, 0, NULL, "file of ids: numbers, or {\"ids\":[...]}"},
    {VERB_LOGITS, "out", NULL, OPTION_TEXT, "FILE", NULL, 0, 0, NULL, "where the .npy file goes"},
    {VERB_LOGITS, "chunk", NULL, OPTION_INT, "N", "64", 1, 4096, NULL, "tokens a step"},
    {VERB_PERPLEXITY, "window", NULL, OPTION_INT, "N", "512", 2, INT_MAX, NULL, "tokens a window"},

    {VERB_BENCH, "prompt", NULL, OPTION_INT, "N", "512", 1, INT_MAX, NULL, "prompt tokens of the prefill measurement"},
    {VERB_BENCH, "decode", NULL, OPTION_INT, "N", "128", 1, INT_MAX, NULL, "tokens generated by a decode measurement"},
    {VERB_BENCH, "depth", NULL, OPTION_INT, "N", "0", 0, INT_MAX, NULL, "tokens in the context before decoding starts"},
    {VERB_BENCH, "streams", NULL, OPTION_TEXT, "1,8", "1,8", 0, 0, NULL, "numbers of simultaneous answers to measure"},
    {VERB_BENCH, "temperature", NULL, OPTION_NUMBER, "T", "1", 0, 100, NULL, "of the decode measurement beside the greedy one"},
    {VERB_BENCH, "top-p", NULL, OPTION_NUMBER, "P", "1", 1e-6, 1, NULL, "the same: sample from this share of the probability"},
    {VERB_BENCH, "top-k", NULL, OPTION_INT, "K", "0", 0, INT_MAX, NULL, "the same: sample from the K likeliest tokens; 0: from all"},
    {VERB_BENCH, "ops", NULL, OPTION_SWITCH, NULL, "false", 0, 0, NULL,
     "instead of all else, the time of each op of the plan: decode steps, and a chunk of a prompt"},
    {VERB_BENCH, "stdin", NULL, OPTION_SWITCH, NULL, "false", 0, 0, NULL,
     "measure what each line of stdin asks for, up to the sizes above"},
    {VERB_BENCH, "repeat", NULL, OPTION_INT, "N", "5", 1, 1000, NULL, "how often each thing is measured"},

    {ENGINE, "ctx", "MAX_CONTEXT_LENGTH", OPTION_INT, "N", NULL, 2, INT_MAX, NULL,
     "context in tokens (default: the model's, or what fits into memory)"},
    {COMPUTE, "backend", NULL, OPTION_TEXT, "NAME", "auto", 0, 0, NULL,
     "what computes: auto, cpu, ref, or a module such as cuda or mlx"},
    {COMPUTE | VERB_VERSION, "backends", NULL, OPTION_TEXT, "DIRS", NULL, 0, 0, NULL,
     "folders of modules libpensieve_NAME.so, separated by ':', before the program's own"},
    {COMPUTE, "isa", NULL, OPTION_TEXT, "NAME", NULL, 0, 0, NULL, "instruction set to use, one that `pensieve version` shows"},
    {COMPUTE, "threads", NULL, OPTION_INT, "N", "0", 0, 1024, NULL, "threads; 0: as many as there are cores"},
    {COMPUTE, "activations", NULL, OPTION_CHOICE, NULL, "int16", 0, 0, "int16|int8",
     "precision of activations in matrix products: int16 agrees with float32, int8 is faster"},
    {COMPUTE, "kv", NULL, OPTION_CHOICE, NULL, NULL, 0, 0, "f32|f16|bf16|int8|int4", "type of the KV cache (default: f16; f32 on ref)"},
    {COMPUTE, "memory-limit", "GPU_MEMORY_LIMIT", OPTION_BYTES, "SIZE", NULL, 0, 0, NULL,
     "memory for weights and KV cache: bytes, or with K/M/G/T or %"},

    {VERB_LIST | VERB_INSPECT | VERB_BENCH | VERB_VERSION, "json", NULL, OPTION_SWITCH, NULL, "false", 0, 0, NULL, "one JSON object on stdout"},
    {VERB_INSPECT, "tensors", NULL, OPTION_SWITCH, NULL, "false", 0, 0, NULL, "list every tensor"},
    {VERB_INSPECT, "plan", NULL, OPTION_SWITCH, NULL, "false", 0, 0, NULL, "list the steps that compute a token, instead of all else"},
    {VERB_SERVE, "print-config", NULL, OPTION_SWITCH, NULL, "false", 0, 0, NULL,
     "show every value and where it came from, and end"},
    {SERVER, "log-level", "LOG_LEVEL", OPTION_CHOICE, NULL, "info", 0, 0, "error|warn|info|debug|trace", "what is logged"},
    {~(unsigned)SERVER, "log-level", "LOG_LEVEL", OPTION_CHOICE, NULL, "warn", 0, 0, "error|warn|info|debug|trace", "what is logged"},
    {ALL, "log-format", NULL, OPTION_CHOICE, NULL, "text", 0, 0, "text|json", "how log lines are written"},
    {ALL, "config", NULL, OPTION_TEXT, "FILE", NULL, 0, 0, NULL, "JSON file of settings, named like the flags"},
    {0, NULL, NULL, OPTION_TEXT, NULL, NULL, 0, 0, NULL, NULL},
};
// clang-format on
