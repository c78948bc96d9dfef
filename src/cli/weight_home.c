#include "cli/weight_home.h"

#include "base/clock.h"
#include "base/log.h"
#include "cli/console.h"

#include <string.h>

#define WORTH 1.03 // times as fast, else the file stays where it is

static bool goes_on(void *ctx) {
  weight_home *w = ctx;
  return !atomic_load(&w->closing);
}

static void move(weight_home *w) {
  const pn_map_move how = {w->least_gain, goes_on, w};
  uint64_t start = pn_now_us();
  double gain;
  bool done = pn_files_own(w->files, &how, &gain);
  if (atomic_load(&w->closing)) return;
  const char *what = !done ? "weights stay in the mapped file: no memory for them"
                     : gain > 0 && gain < w->least_gain ? "weights stay in the mapped file: as fast"
                                                        : "weights are in memory of their own";
  pn_log(PN_LOG_DEBUG, NULL, what,
         PN_FIELDS(PN_I("milliseconds", (pn_now_us() - start) / 1000),
                   PN_I("read_gain_percent", gain > 0 ? 100 * (gain - 1) : 0)));
}

static void *run(void *ctx) {
  move(ctx);
  return NULL;
}

bool weight_home_settle(weight_home *w, const options *o, pn_files *files, bool room, pn_error *e) {
  const char *where = options_text(o, "weights");
  w->files = files;
  if (options_on(o, "prefault")) {
    console_progress("reading the weights");
    pn_files_prefault(files);
    console_progress("%s", "");
  }
  if (options_on(o, "lock-memory") && !pn_files_lock(files, e)) return pn_fail_in(e, "--lock-memory");
  if (strcmp(where, "huge") == 0) {
    console_progress("moving the weights");
    move(w);
    console_progress("%s", "");
  } else if (strcmp(where, "auto") == 0 && room) {
    w->least_gain = WORTH;
    w->started = pthread_create(&w->thread, NULL, run, w) == 0;
  }
  return true;
}

void weight_home_wait(weight_home *w) {
  if (w->started) pthread_join(w->thread, NULL);
  w->started = false;
}

void weight_home_close(weight_home *w) {
  atomic_store(&w->closing, true);
  weight_home_wait(w);
}
