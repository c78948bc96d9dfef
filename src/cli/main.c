// The program: pensieve VERB [FLAGS].
#include "base/log.h"
#include "cli/console.h"
#include "cli/verbs.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const verb verbs[] = {
    {"serve", VERB_SERVE, NULL, 0, "serve a model to Anthropic clients", NULL,
     "pensieve serve --model models/SmolLM2-135M-Instruct.Q4_1.gguf --port 8000", cli_serve},
    {"run", VERB_RUN, "[PROMPT]", 1, "chat in the terminal, or answer one prompt",
     "With PROMPT, or a prompt on a pipe, the answer goes to stdout and the program ends.\n"
     "In a chat, /clear forgets the conversation, /exit or Ctrl-D ends; Ctrl-C stops an answer.",
     "pensieve run \"Why is the sky blue?\" --max-tokens 200", cli_run},
    {"list", VERB_LIST, NULL, 0, "show the models on disk", NULL, "pensieve list --models-dir ~/models",
     cli_list},
    {"inspect", VERB_INSPECT, "[M]", 1, "what a model is, its problems, the memory it needs",
     "Nothing is loaded. The exit status is 3 when there is a problem.",
     "pensieve inspect models/SmolLM2-135M-Instruct.Q4_1.gguf --json", cli_inspect},
    {"tokens", VERB_TOKENS, NULL, 0, "text on stdin to token ids, and back",
     "No BOS is added. Without --special, text that spells a special token stays text.",
     "echo -n 'Hello, world' | pensieve tokens", cli_tokens},
    {"template", VERB_TEMPLATE, NULL, 0,
     "a conversation on stdin to the prompt, as the model's template writes it",
     "The members of the JSON object on stdin are the template's variables.",
     "echo '{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"add_generation_prompt\":true}' | "
     "pensieve template",
     cli_template},
    {"logits", VERB_LOGITS, NULL, 0, "the logits after each of some tokens, as a .npy file",
     "Writes float32 [n_ids, vocab].", "pensieve logits --ids 1,2,3 --out logits.npy --backend ref",
     cli_logits},
    {"perplexity", VERB_PERPLEXITY, "FILE", 1, "how well a model predicts a text",
     "The text is cut into windows that do not overlap; every position of a window but its first token is "
     "scored.\n"
     "FILE may be - for stdin.",
     "pensieve perplexity book.txt --window 512", cli_perplexity},
    {"bench", VERB_BENCH, NULL, 0, "measure load time, prefill, decode, streams and memory",
     "Every prompt whose time counts is a new one, so that nothing cached shortens it. GB/s counts the "
     "weights and\n"
     "the KV cache that a token reads. Streams: tokens a second of all answers together, from the moment\n"
     "when all prompts are computed; their prompts are short.\n"
     "--stdin reads a measurement a line, and answers each with a line of JSON: prefill N, decode N DEPTH\n"
     "TEMPERATURE, or streams K N.\n"
     "--ops runs the plan op by op instead: --decode steps and --repeat chunks of --prompt tokens (at most "
     "512),\n"
     "behind --depth tokens.",
     "pensieve bench --repeat 5 --json", cli_bench},
    {"claude", VERB_CLAUDE, "[FLAGS] [--] [ARGS...]", INT_MAX,
     "start Claude Code on a server of this machine",
     "Uses the server that answers at --host and --port. When none does, it starts `pensieve serve` with the "
     "same\n"
     "flags and ends it with the last Claude Code that uses it; its log is "
     "$XDG_STATE_HOME/pensieve/serve.log, or\n"
     "~/.local/state/pensieve/serve.log. The exit status is Claude Code's.\n"
     "Flags of this list come first. From the first word on that is none of them, or behind --, everything "
     "is\n"
     "Claude Code's own: `pensieve claude --model m.gguf -p Hi --model x` serves m.gguf, and Claude Code "
     "sees\n"
     "-p Hi --model x.",
     "pensieve claude --ctx 32768 -p \"What is in this folder?\"", cli_claude},
    {"version", VERB_VERSION, NULL, 0, "version, compiler, backends and CPU features", NULL,
     "pensieve version", cli_version},
};
#define N_VERBS ((int)(sizeof verbs / sizeof *verbs))

static void print_help(FILE *to) {
  fputs("pensieve serves a local language model to Anthropic clients.\n\n"
        "  pensieve serve --model models/SmolLM2-135M-Instruct.Q4_1.gguf\n\n"
        "starts a server on http://127.0.0.1:8000. Verbs (each has --help):\n\n",
        to);
  for (int i = 0; i < N_VERBS; i++) fprintf(to, "  %-12s %s\n", verbs[i].name, verbs[i].summary);
}

static void print_verb_help(const verb *v) {
  pn_buf b = {0};
  pn_buf_printf(&b, "usage: pensieve %s%s%s%s\n\n%s\n", v->name, v->args ? " " : "", v->args ? v->args : "",
                v->bit & VERBS_HANDING_ON ? "" : " [FLAGS]", v->summary);
  if (v->about) pn_buf_printf(&b, "%s\n", v->about);
  pn_buf_printf(&b, "\nexample: %s\n\n", v->example);
  options_help(v->bit, &b);
  pn_buf_z(&b, "\nIn brackets: the name in the environment. Flags come before the environment, that before "
               "--config.\n");
  fputs(pn_buf_cstr(&b), stdout);
  pn_buf_fini(&b);
}

static int exit_status(pn_code code) {
  switch (code) {
  case PN_OK: return 0;
  case PN_ERR_USAGE: return 2;
  case PN_ERR_NOT_FOUND:
  case PN_ERR_CORRUPT:
  case PN_ERR_UNSUPPORTED: return 3;
  case PN_ERR_NOMEM:
  case PN_ERR_LIMIT: return 4;
  case PN_ERR_DEVICE: return 5;
  case PN_ERR_TIMEOUT: return 1;
  case PN_ERR_CANCELLED: return 130; // as a shell reports a program that Ctrl-C ended
  case PN_ERR_IO:
  case PN_ERR_BUSY:
  case PN_ERR_INTERNAL: return 1;
  }
  return 1;
}

static const verb *find_verb(const char *name) {
  const char *names[N_VERBS];
  for (int i = 0; i < N_VERBS; i++) {
    names[i] = verbs[i].name;
    if (strcmp(name, names[i]) == 0) return &verbs[i];
  }
  const char *near = nearest_word(name, names, N_VERBS);
  fprintf(stderr, "pensieve: there is no verb %s", name);
  if (near) fprintf(stderr, "; did you mean %s?", near);
  fputs(near ? " The verbs are" : "; the verbs are", stderr);
  for (int i = 0; i < N_VERBS; i++) fprintf(stderr, "%s %s", i ? "," : "", names[i]);
  fputc('\n', stderr);
  return NULL;
}

static bool run_verb(const verb *v, options *o, int argc, char **argv, int *status, pn_error *e) {
  if (!options_read(o, v->name, v->bit, argc, argv, e)) return false;
  if (o->help) return print_verb_help(v), true;
  if (o->n_args > v->max_args)
    return pn_fail(e, PN_ERR_USAGE, "`%s` does not know what to do with \"%s\"", v->name,
                   o->args[v->max_args]);
  o->status = status;
  pn_log_level level = PN_LOG_INFO;
  pn_log_parse_level(options_text(o, "log-level"), &level);
  pn_log_setup(level, strcmp(options_text(o, "log-format"), "json") == 0, STDERR_FILENO);
  return v->run(o, e);
}

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
      strcmp(argv[1], "help") == 0)
    return print_help(stdout), 0;
  if (strcmp(argv[1], "--version") == 0) argv[1] = "version";
  const verb *v = find_verb(argv[1]);
  if (!v) return 2;
  options o;
  pn_error e = {0};
  int status = 0;
  bool ok = run_verb(v, &o, argc - 2, argv + 2, &status, &e);
  options_fini(&o);
  if (ok && fflush(stdout) != 0) ok = pn_fail(&e, PN_ERR_IO, "cannot write the result to stdout");
  if (ok) return status;
  if (e.msg[0]) console_error(&e);
  return exit_status(e.code);
}
