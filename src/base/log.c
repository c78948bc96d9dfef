#include "base/log.h"

#include "base/clock.h"
#include "base/json.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct {
  atomic_int level;
  bool json;
  int fd;
} the_log = {PN_LOG_INFO, false, STDERR_FILENO};

static const char *const level_names[] = {"error", "warn", "info", "debug", "trace"};

void pn_log_setup(pn_log_level level, bool json, int fd) {
  atomic_store(&the_log.level, (int)level);
  the_log.json = json;
  the_log.fd = fd;
}

bool pn_log_parse_level(const char *name, pn_log_level *level) {
  for (int i = 0; i <= PN_LOG_TRACE; i++)
    if (strcmp(name, level_names[i]) == 0) return *level = (pn_log_level)i, true;
  return false;
}

bool pn_log_on(pn_log_level level) {
  return (int)level <= atomic_load_explicit(&the_log.level, memory_order_relaxed);
}

static void add_time(pn_buf *b) {
  uint64_t ms = pn_wall_ms();
  time_t s = (time_t)(ms / 1000);
  struct tm tm;
  gmtime_r(&s, &tm);
  char text[32];
  size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
  pn_buf_add(b, text, n);
  pn_buf_printf(b, ".%03uZ", (unsigned)(ms % 1000));
}

// A value of a text line: quoted as JSON when it would not read back as one word.
static void add_text_value(pn_buf *b, const char *s) {
  pn_str v = pn_str_of(s);
  bool plain = v.n > 0;
  for (size_t i = 0; i < v.n && plain; i++)
    plain = s[i] > ' ' && s[i] != '"' && s[i] != '=' && s[i] != '\\' && s[i] != 0x7F;
  if (plain)
    pn_buf_str(b, v);
  else
    pn_json_write_str(b, v);
}

static void add_field(pn_buf *b, const pn_field *f, bool json) {
  if (json) {
    pn_buf_char(b, ',');
    pn_json_write_str(b, pn_str_of(f->key));
    pn_buf_char(b, ':');
  } else {
    pn_buf_printf(b, " %s=", f->key);
  }
  if (f->kind == PN_FIELD_INT)
    pn_buf_printf(b, "%lld", (long long)f->i);
  else if (f->kind == PN_FIELD_NUM && isfinite(f->d))
    pn_buf_printf(b, "%.6g", f->d);
  else if (f->kind == PN_FIELD_NUM)
    pn_buf_z(b, "null");
  else if (json)
    pn_json_write_str(b, pn_str_of(f->s));
  else
    add_text_value(b, f->s ? f->s : "");
}

void pn_log(pn_log_level level, const char *request_id, const char *message, const pn_field *fields) {
  if (!pn_log_on(level)) return;
  pn_buf b = {0};
  bool json = the_log.json;
  pn_buf_z(&b, json ? "{\"time\":\"" : "");
  add_time(&b);
  if (json) {
    pn_buf_printf(&b, "\",\"level\":\"%s\",\"message\":", level_names[level]);
    pn_json_write_str(&b, pn_str_of(message));
  } else {
    pn_buf_printf(&b, " %-5s %s", level_names[level], message);
  }
  if (request_id) add_field(&b, &(pn_field)PN_S("request_id", request_id), json);
  for (const pn_field *f = fields; f && f->key; f++) add_field(&b, f, json);
  pn_buf_z(&b, json ? "}\n" : "\n");
  for (size_t at = 0; at < b.n;) {
    ssize_t n = write(the_log.fd, b.p + at, b.n - at);
    if (n <= 0) break; // nowhere to complain
    at += (size_t)n;
  }
  pn_buf_fini(&b);
}
