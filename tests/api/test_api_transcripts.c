// Plays every file of a folder. A file is made of sections that begin with a line "--- NAME [WORDS]":
//   request METHOD PATH     the body
//   template KIND           which stand-in template (system-first, no-system; default: plain)
//   prompt                  what must have been encoded, user text in {braces}
//   engine                  lines: queued N_CACHED | prefill N_CACHED | text "JSON string" | done REASON N
//   [STOP_INDEX] |
//                           failed TEXT | timeout TEXT | pull | wait US | end (the server does)
//   reply STATUS TYPE       everything that was pulled; message ids are written as msg_ID
#include "base/json.h"
#include "base/map.h"
#include "play.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *folder;

static void play_line(play *p, pn_reply *r, pn_buf *got, const char *line) {
  char word[40];
  int n_output = 0, stop = 0;
  if (strncmp(line, "text ", 5) == 0) {
    pn_json *text = pn_json_parse(pn_str_of(line + 5), NULL);
    fake_emit_text(&p->engine, pn_json_cstr(text));
    pn_json_free(text);
  } else if (sscanf(line, "done %39s %d %d", word, &n_output, &stop) >= 2) {
    static const char *const reasons[] = {"end_turn", "max_tokens", "stop_sequence", "context"};
    int reason = 0;
    while (reason < 3 && strcmp(word, reasons[reason]) != 0) reason++;
    fake_emit_done(&p->engine, (pn_stop_reason)reason, stop, n_output);
  } else if (sscanf(line, "queued %d", &stop) == 1) {
    fake_emit_news(&p->engine, PN_EVENT_QUEUED, stop);
  } else if (sscanf(line, "prefill %d", &stop) == 1) {
    fake_emit_news(&p->engine, PN_EVENT_PREFILL, stop);
  } else if (strcmp(line, "end") == 0) {
    pn_reply_end(r);
  } else if (strncmp(line, "timeout ", 8) == 0) {
    fake_emit_failed(&p->engine, PN_ERR_TIMEOUT, line + 8);
  } else if (strncmp(line, "failed ", 7) == 0) {
    fake_emit_failed(&p->engine, PN_ERR_DEVICE, line + 7);
  } else if (strcmp(line, "pull") == 0) {
    assert_false(play_pull(r, got));
  } else if (strncmp(line, "wait ", 5) == 0) {
    play_clock_us += (uint64_t)atoll(line + 5);
  } else {
    fail_msg("unknown line: %s", line);
  }
}

static void play_engine(play *p, pn_reply *r, pn_buf *got, char *text) {
  char *rest = NULL;
  for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
    play_line(p, r, got, line);
}

// Write "msg_ID" for every message id.
static void hide_ids(pn_buf *b) {
  static const char mark[] = "\"msg_01";
  pn_buf out = {0};
  for (const char *p = pn_buf_cstr(b); *p;) {
    if (strncmp(p, mark, 7) == 0) {
      pn_buf_z(&out, "\"msg_ID");
      p += 1 + 28;
    } else {
      pn_buf_char(&out, *p++);
    }
  }
  pn_buf_fini(b);
  *b = out;
}

static void compare(const char *file, const char *what, pn_buf *got, const char *want) {
  size_t n = strlen(want);
  while (n && want[n - 1] == '\n') n--;
  while (got->n && got->p[got->n - 1] == '\n') got->n--;
  if (got->n == n && memcmp(got->p, want, n) == 0) return;
  print_error("%s: %s\n--- got\n%s\n--- wanted\n%.*s\n", file, what, pn_buf_cstr(got), (int)n, want);
  fail();
}

typedef struct section {
  char *name, *text;
} section;

static int split(char *text, section *out, int cap) {
  int n = 0;
  char *at = strncmp(text, "--- ", 4) == 0 ? text : strstr(text, "\n--- ");
  while (at && n < cap) {
    char *head = at + (*at == '\n' ? 5 : 4), *end = strchr(head, '\n');
    *at = '\0';
    if (!end) break;
    *end = '\0';
    out[n++] = (section){head, end + 1};
    at = strncmp(end + 1, "--- ", 4) == 0 ? end + 1 : strstr(end + 1, "\n--- ");
  }
  return n;
}

static void play_file(const char *file, char *text) {
  section s[12];
  int n = split(text, s, 12), status;
  assert_true(n > 0);
  play p;
  play_init(&p);
  pn_reply *r = NULL;
  pn_buf got = {0};
  char method[8], path[80], type[40];
  for (int i = 0; i < n; i++) {
    if (sscanf(s[i].name, "template %39s", type) == 1) {
      p.tmpl.kind = strcmp(type, "no-system") == 0 ? FAKE_NO_SYSTEM : FAKE_SYSTEM_FIRST;
    } else if (sscanf(s[i].name, "request %7s %79s", method, path) == 2) {
      pn_reply_free(r, true);
      r = play_call(&p, method, path, s[i].text);
    } else if (strcmp(s[i].name, "prompt") == 0) {
      compare(file, "prompt", &p.seen, s[i].text);
    } else if (strcmp(s[i].name, "engine") == 0) {
      play_engine(&p, r, &got, s[i].text);
    } else if (sscanf(s[i].name, "reply %d %39s", &status, type) == 2) {
      assert_true(play_pull(r, &got));
      hide_ids(&got);
      compare(file, "reply", &got, s[i].text);
      assert_int_equal(pn_reply_status(r), status);
      assert_int_equal(strncmp(pn_reply_content_type(r), type, strlen(type)), 0);
      pn_buf_clear(&got);
    } else {
      fail_msg("%s: unknown section %s", file, s[i].name);
    }
  }
  pn_reply_free(r, true);
  pn_buf_fini(&got);
  play_fini(&p);
}

static void transcripts(void **state) {
  (void)state;
  DIR *d = opendir(folder);
  assert_non_null(d);
  int n = 0;
  for (struct dirent *entry; (entry = readdir(d));) {
    if (!pn_str_ends(pn_str_of(entry->d_name), PN_STR(".txt"))) continue;
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    pn_buf text = {0};
    pn_error e = {0};
    assert_true(pn_file_read(path, 1u << 20, &text, &e));
    pn_buf_cstr(&text);
    play_file(entry->d_name, text.p);
    pn_buf_fini(&text);
    n++;
  }
  closedir(d);
  assert_true(n >= 8);
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  folder = argv[1];
  const struct CMUnitTest tests[] = {cmocka_unit_test(transcripts)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
