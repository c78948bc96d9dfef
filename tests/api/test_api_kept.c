// Tokens of answers: used again where their text comes back, and nowhere else. The stand-in tokenizer gives a
// token a byte; answers here use others (512 + byte), so that it shows which tokens a prompt has.
#include "api/kept.h"
#include "play.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pn_buf seen;
static const pn_tokenizer tok = {&seen, NULL};

// A prompt with user text in braces, which are not part of it.
static void parse(const char *marked, pn_buf *text, pn_text_spans *user) {
  for (const char *p = marked; *p; p++) {
    if (*p == '{') {
      user->p = realloc(user->p, (user->n + 1) * sizeof *user->p);
      user->p[user->n++] = (pn_span){text->n, text->n};
    } else if (*p == '}') {
      user->p[user->n - 1].end = text->n;
    } else {
      pn_buf_char(text, *p);
    }
  }
}

// The tokens as text: those of answers in capitals, or _ for what is no letter.
static char *encode(kept *k, const char *marked, kept_mark *end) {
  pn_buf text = {0}, out = {0};
  pn_text_spans user = {0};
  pn_ids ids = {0};
  kept_mark unused;
  parse(marked, &text, &user);
  assert_true(kept_encode(k, &tok, pn_buf_view(&text), &user, &ids, end ? end : &unused, NULL));
  for (size_t i = 0; i < ids.n; i++)
    pn_buf_char(&out, (char)(ids.p[i] < 512 ? ids.p[i] : ids.p[i] - 512 < 'a' ? '_' : ids.p[i] - 512 - 32));
  pn_buf_cstr(&out);
  pn_buf_fini(&text);
  free(user.p);
  pn_ids_fini(&ids);
  return out.p;
}

static void says(kept *k, const char *marked, const char *want) {
  char *got = encode(k, marked, NULL);
  assert_string_equal(got, want);
  free(got);
}

static void answer(kept *k, const char *marked, const char *text, bool ends) {
  kept_mark end;
  free(encode(k, marked, &end));
  int32_t tokens[200];
  size_t n = 0;
  for (const char *p = text; *p; p++) tokens[n++] = 512 + *p;
  if (ends) tokens[n++] = 300;
  kept_add(k, &tok, &end, pn_str_of(text), tokens, n);
}

static void answers_come_back_with_their_tokens(void **state) {
  (void)state;
  kept *k = kept_new(1 << 20);
  says(k, "[u]{hi}[a]", "[u]hi[a]");
  answer(k, "[u]{hi}[a]", "yes", true);
  says(k, "[u]{hi}[a]{yes}[u]{so}[a]", "[u]hi[a]YES[u]so[a]");
  answer(k, "[u]{hi}[a]{yes}[u]{so}[a]", "no", false);
  says(k, "[u]{hi}[a]{yes}[u]{so}[a]{no}[u]{x}[a]", "[u]hi[a]YES[u]so[a]NO[u]x[a]");
  // The other text, the other place, and a different beginning: encoded anew.
  says(k, "[u]{hi}[a]{yes!}[u]{so}[a]", "[u]hi[a]yes![u]so[a]");
  says(k, "[u]{ho}[a]{yes}[u]{so}[a]", "[u]ho[a]yes[u]so[a]");
  says(k, "[u]{hi}[b]{yes}[u]{so}[a]", "[u]hi[b]yes[u]so[a]");
  // Two answers to one prompt: each has its own.
  answer(k, "[u]{hi}[a]", "maybe", true);
  says(k, "[u]{hi}[a]{yes}[u]", "[u]hi[a]YES[u]");
  says(k, "[u]{hi}[a]{maybe}[u]", "[u]hi[a]MAYBE[u]");
  kept_free(k);
}

static void white_space_at_the_ends_may_be_lost(void **state) {
  (void)state;
  kept *k = kept_new(1 << 20);
  answer(k, "[u]{hi}[a]", "  yes\n", true);
  static const char *const forms[] = {"  yes\n", "yes\n", "  yes", "yes"};
  for (int i = 0; i < 4; i++) {
    char prompt[64];
    snprintf(prompt, sizeof prompt, "[u]{hi}[a]{%s}[u]", forms[i]);
    says(k, prompt, "[u]hi[a]__YES_[u]"); // all of the answer's tokens
  }
  says(k, "[u]{hi}[a]{ yes}[u]", "[u]hi[a] yes[u]");
  kept_free(k);
}

// The same bytes, but the user wrote what looks like an answer: nothing of it may become the model's own
// tokens.
static void user_text_is_no_answer(void **state) {
  (void)state;
  kept *k = kept_new(1 << 20);
  answer(k, "[u]{hi}[a]", "yes", true);
  says(k, "[u]{hi[a]yes}[u]", "[u]hi[a]yes[u]");
  says(k, "[u]{hi}[a]yes[u]",
       "[u]hi[a]YES[u]"); // a template's own words may be part of an answer, such as a call's marks
  says(k, "[u]{h}{i}[a]{yes}[u]", "[u]hi[a]yes[u]");
  kept_free(k);
}

// A final assistant turn that the model goes on with, and what follows when it is said whole.
static void a_continued_turn_is_one_answer(void **state) {
  (void)state;
  kept *k = kept_new(1 << 20);
  answer(k, "[u]{hi}[a]{it is}", " so", true);
  says(k, "[u]{hi}[a]{it is so}[u]{x}[a]", "[u]hi[a]it is_SO[u]x[a]");
  kept_free(k);
}

// An answer that comes back in other words than its tokens spell, as calls do.
static void an_echo_stands_for_its_tokens(void **state) {
  (void)state;
  kept *k = kept_new(1 << 20);
  kept_mark end;
  free(encode(k, "[u]{hi}[a]", &end));
  const int32_t tokens[] = {512 + 'y', 512 + 'e', 512 + 's', 300};
  kept_add_echo(k, &tok, &end, PN_STR("call(x)"), tokens, 4);
  says(k, "[u]{hi}[a]call({x})[u]", "[u]hi[a]YES[u]");
  says(k, "[u]{hi}[a]call({x})[u]{so}[a]", "[u]hi[a]YES[u]so[a]");
  says(k, "[u]{hi}[a]call({y})[u]", "[u]hi[a]call(y)[u]");
  says(k, "[u]{hi}[a]call({x}) and[u]", "[u]hi[a]call(x) and[u]");
  says(k, "[u]{hi}[a]{call(x)[u]}[u]", "[u]hi[a]call(x)[u][u]"); // ends within user text
  kept_free(k);
}

static void what_does_not_spell_the_text_is_not_kept(void **state) {
  (void)state;
  kept *k = kept_new(1 << 20);
  kept_mark end;
  free(encode(k, "[u]{hi}[a]", &end));
  const int32_t tokens[] = {512 + 'y', 512 + 'e', 512 + 's', 512 + '#'}; // a stop string was cut off
  kept_add(k, &tok, &end, PN_STR("yes"), tokens, 4);
  says(k, "[u]{hi}[a]{yes}[u]", "[u]hi[a]yes[u]");
  kept_add(k, &tok, &end, PN_STR(""), tokens, 0);
  kept_free(k);
}

// Text that follows an answer without a control token between might be one token with it.
static void what_follows_must_begin_apart(void **state) {
  (void)state;
  kept *k = kept_new(1 << 20);
  answer(k, "[u]{hi}[a]", "yes", true);
  says(k, "[u]{hi}[a]{yes}; and[u]", "[u]hi[a]yes; and[u]");
  says(k, "[u]{hi}[a]{yes}", "[u]hi[a]YES"); // nothing follows: the model goes on
  kept_free(k);
}

static void what_was_not_used_for_long_goes(void **state) {
  (void)state;
  enum { N = 200 };
  kept *k = kept_new(8000);
  char prompt[64];
  for (int i = 0; i < N; i++) {
    snprintf(prompt, sizeof prompt, "[u]{%d}[a]", i);
    answer(k, prompt, "yes", true);
    says(k, "[u]{0}[a]{yes}[u]", "[u]0[a]YES[u]"); // used again and again
  }
  int n_kept = 0;
  for (int i = 1; i < N; i++) {
    snprintf(prompt, sizeof prompt, "[u]{%d}[a]{yes}[u]", i);
    char *got = encode(k, prompt, NULL);
    n_kept += strstr(got, "YES") != NULL;
    free(got);
  }
  assert_in_range(n_kept, 10, N / 2);
  says(k, "[u]{199}[a]{yes}[u]", "[u]199[a]YES[u]");
  kept_free(k);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(answers_come_back_with_their_tokens),
      cmocka_unit_test(white_space_at_the_ends_may_be_lost),
      cmocka_unit_test(user_text_is_no_answer),
      cmocka_unit_test(a_continued_turn_is_one_answer),
      cmocka_unit_test(an_echo_stands_for_its_tokens),
      cmocka_unit_test(what_does_not_spell_the_text_is_not_kept),
      cmocka_unit_test(what_follows_must_begin_apart),
      cmocka_unit_test(what_was_not_used_for_long_goes),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  pn_buf_fini(&seen);
  return failed;
}
