// pensieve run: a chat in the terminal, or one answer.
#include "base/rng.h"
#include "cli/chat_prompt.h"
#include "cli/console.h"
#include "cli/interrupt.h"
#include "cli/verbs.h"
#include "cli/wait_answer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct talk {
  open_model *m;
  pn_engine *engine;
  const options *o;
  chat chat;
  pn_buf answer; // what the model said so far
  int n_prompt;
} talk;

static void show(void *ctx, const pn_event *ev) {
  talk *t = ctx;
  if (ev->kind == PN_EVENT_PREFILL) {
    if (ev->n_prompt_done < t->n_prompt)
      console_progress("reading: %d of %d tokens", ev->n_prompt_done, t->n_prompt);
    else
      console_progress("%s", ""); // takes the line away
  } else if (ev->kind == PN_EVENT_TEXT) {
    fwrite(ev->text, 1, ev->n_text, stdout);
    fflush(stdout);
    pn_buf_add(&t->answer, ev->text, ev->n_text);
  }
}

static double rate(int n, uint64_t us) { return us ? n * 1e6 / (double)us : 0; }

static void show_numbers(const talk *t, const pn_event *done) {
  if (!console_is_terminal(STDOUT_FILENO) || !console_is_terminal(STDERR_FILENO)) return;
  bool colour = console_colour(STDERR_FILENO);
  const char *why = done->stop == PN_STOP_MAX_TOKENS ? ", cut at --max-tokens"
                    : done->stop == PN_STOP_CONTEXT  ? ", cut: the context is full"
                                                     : "";
  console_note("%s%d + %d tokens in %.1f s; prompt %.0f tok/s, answer %.1f tok/s%s%s",
               colour ? "\033[2m" : "", t->n_prompt, done->n_output,
               (double)(done->prefill_us + done->decode_us) / 1e6, rate(t->n_prompt, done->prefill_us),
               rate(done->n_output - 1, done->decode_us), why, colour ? "\033[0m" : "");
}

static pn_request request_of(const talk *t, const pn_ids *ids) {
  const options *o = t->o;
  return (pn_request){
      .id = "run",
      .tokens = ids->p,
      .n_tokens = ids->n,
      .max_tokens = (int)options_int(o, "max-tokens"),
      .sampling = {.temperature = (float)options_number(o, "temperature"),
                   .top_p = (float)options_number(o, "top-p"),
                   .min_p = (float)options_number(o, "min-p"),
                   .top_k = (int)options_int(o, "top-k"),
                   .seed = options_set(o, "seed") ? (uint64_t)options_int(o, "seed") : pn_rng_entropy()}};
}

// One turn: the user's text, the answer on stdout, both into the conversation.
static bool answer(talk *t, pn_str text, pn_error *e) {
  if (!chat_add(&t->chat, "user", text, e)) return false;
  pn_ids ids = {0};
  pn_event done = {0};
  pn_buf_clear(&t->answer);
  interrupt_catch(NULL);
  bool ok = chat_ids(&t->chat, t->m, &ids, e);
  if (ok) {
    t->n_prompt = (int)ids.n;
    pn_request r = request_of(t, &ids);
    ok = answer_wait(t->engine, &r, show, t, &done, e);
  }
  interrupt_release();
  console_progress("%s", "");
  bool stopped = !ok && e->code == PN_ERR_CANCELLED;
  if (t->answer.n && t->answer.p[t->answer.n - 1] != '\n' && (ok || stopped)) putchar('\n');
  if (fflush(stdout) != 0 || ferror(stdout))
    ok = pn_fail(e, PN_ERR_IO, "cannot write the answer: %s", strerror(errno));
  if (ok) show_numbers(t, &done);
  if (ok || stopped) // what was said stays said
    ok = chat_add(&t->chat, "assistant", pn_buf_view(&t->answer), e) && ok;
  else
    chat_drop_last(&t->chat);
  pn_ids_fini(&ids);
  return ok;
}

// A line from the terminal without its newline; -1 at the end or at Ctrl-C.
static ssize_t read_line(char **line, size_t *cap) {
  fputs("> ", stderr);
  fflush(stderr);
  ssize_t n = getline(line, cap, stdin);
  if (n < 0) fputc('\n', stderr);
  while (n > 0 && ((*line)[n - 1] == '\n' || (*line)[n - 1] == '\r')) (*line)[--n] = '\0';
  return n;
}

static bool chat_loop(talk *t, pn_error *e) {
  console_note("%s; /clear forgets, /exit or Ctrl-D ends, Ctrl-C stops an answer", t->m->name);
  char *line = NULL;
  size_t cap = 0;
  ssize_t n;
  bool ok = true;
  while (ok && (n = read_line(&line, &cap)) >= 0) {
    if (strcmp(line, "/exit") == 0) break;
    if (strcmp(line, "/clear") == 0) {
      chat_clear(&t->chat);
    } else if (n > 0 && !answer(t, (pn_str){line, (size_t)n}, e)) {
      // A prompt that can't be answered is no reason to lose the conversation.
      ok = e->code == PN_ERR_CANCELLED || e->code == PN_ERR_USAGE || e->code == PN_ERR_LIMIT;
      if (ok && e->code != PN_ERR_CANCELLED) console_error(e);
    }
  }
  free(line);
  return ok;
}

static bool one_answer(talk *t, pn_error *e) {
  if (t->o->n_args) return answer(t, pn_str_of(t->o->args[0]), e);
  pn_buf text = {0};
  bool ok = console_read(NULL, (size_t)32 << 20, &text, e);
  if (ok && text.n == 0)
    ok = pn_fail(e, PN_ERR_USAGE, "there is no prompt: give one as an argument or on stdin");
  ok = ok && answer(t, pn_buf_view(&text), e);
  pn_buf_fini(&text);
  return ok;
}

bool cli_run(const options *o, pn_error *e) {
  open_model m = {0};
  talk t = {.m = &m, .o = o};
  bool ok = open_model_read(&m, o, NULL, OPEN_WEIGHTS | OPEN_TOKENIZER | OPEN_TEMPLATE, e) &&
            chat_init(&t.chat, options_text(o, "system"), e) &&
            (t.engine = open_model_engine(&m, o, &(engine_wish){.max_running = 1}, e)) != NULL;
  if (ok) ok = o->n_args || !console_is_terminal(STDIN_FILENO) ? one_answer(&t, e) : chat_loop(&t, e);
  pn_engine_close(t.engine);
  chat_fini(&t.chat);
  pn_buf_fini(&t.answer);
  open_model_close(&m);
  return ok;
}
