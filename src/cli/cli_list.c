// pensieve list: the models on disk.
#include "cli/console.h"
#include "cli/discover.h"
#include "cli/verbs.h"
#include "model/model.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

typedef struct row {
  const found_model *found;
  uint64_t bytes;
  time_t used;
  pn_model_config config;
  char problem[sizeof((pn_error *)0)->msg];
} row;

static void read_row(const found_model *f, row *r) {
  *r = (row){.found = f};
  pn_error e = {0};
  pn_files *files = pn_files_open(f->path, &e);
  if (files) r->bytes = pn_files_bytes(files);
  if (!files || !pn_model_read_config(files, &r->config, &e))
    snprintf(r->problem, sizeof r->problem, "%s", e.msg);
  pn_files_close(files);
  char weights[4200];
  struct stat st;
  snprintf(weights, sizeof weights, "%s/model.safetensors", f->path);
  if (stat(f->is_folder ? weights : f->path, &st) == 0 || stat(f->path, &st) == 0) r->used = st.st_atime;
}

static const char *day(time_t t, char out[16]) {
  struct tm tm;
  if (!localtime_r(&t, &tm) || !strftime(out, 16, "%Y-%m-%d", &tm)) strcpy(out, "-");
  return out;
}

static pn_json *row_json(const row *r) {
  pn_json *v = pn_json_new_object();
  pn_json_set(v, "name", pn_json_new_str(pn_str_of(r->found->name)));
  pn_json_set(v, "path", pn_json_new_str(pn_str_of(r->found->path)));
  pn_json_set(v, "format", pn_json_new_str(pn_str_of(r->found->is_folder ? "safetensors" : "gguf")));
  pn_json_set(v, "bytes", pn_json_new_int((int64_t)r->bytes));
  pn_json_set(v, "last_used", pn_json_new_int((int64_t)r->used));
  if (r->problem[0]) {
    pn_json_set(v, "problem", pn_json_new_str(pn_str_of(r->problem)));
    return v;
  }
  pn_json_set(v, "family", pn_json_new_str(pn_str_of(r->config.family)));
  pn_json_set(v, "quantization", pn_json_new_str(pn_str_of(r->config.quantization)));
  pn_json_set(v, "context", pn_json_new_int(r->config.max_positions));
  return v;
}

static void print_row(const row *r, int width) {
  char size[32], used[16];
  printf("%-*s  ", width, r->found->name);
  if (r->problem[0])
    printf("problem: %s\n", r->problem);
  else
    printf("%-8s  %-16s  %8s  %7d  %s\n", r->config.family, r->config.quantization,
           console_bytes(r->bytes, size), r->config.max_positions, day(r->used, used));
}

bool cli_list(const options *o, pn_error *e) {
  found_models all = {0};
  bool json = options_on(o, "json"), ok = discover_all(o, &all, e);
  pn_json *list = json ? pn_json_new_array() : NULL;
  int width = 5;
  for (int i = 0; ok && i < all.n; i++)
    if ((int)strlen(all.items[i].name) > width) width = (int)strlen(all.items[i].name);
  if (ok && !json && all.n)
    printf("%-*s  %-8s  %-16s  %8s  %7s  %s\n", width, "model", "family", "format", "size", "context",
           "last used");
  for (int i = 0; ok && i < all.n; i++) {
    row r;
    read_row(&all.items[i], &r);
    if (json)
      pn_json_push(list, row_json(&r));
    else
      print_row(&r, width);
  }
  if (ok && !json && all.n == 0)
    console_note("there is no model in %s; `make run` fetches the default one", all.dir);
  if (ok && json) {
    pn_json *v = pn_json_new_object();
    pn_json_set(v, "models_dir", pn_json_new_str(pn_str_of(all.dir)));
    pn_json_set(v, "models", list);
    ok = console_json(v, e);
  }
  discover_fini(&all);
  return ok;
}
