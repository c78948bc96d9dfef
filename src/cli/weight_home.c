#include "cli/weight_home.h"

#include "base/clock.h"
#include "base/log.h"
#include "cli/console.h"

#include <string.h>

static bool goes_on(void *ctx) {
  weight_home *w = ctx;
  return !atomic_load(&w->closing);
}

static pn_map_moved move(weight_home *w, bool only_large) {
  static const char *const words[] = {
      [PN_MAP_MOVED] = "weights are in memory of their own",
      [PN_MAP_SMALL_PAGES] = "weights stay in the mapped file: the system gives no large pages",
      [PN_MAP_NO_MEMORY] = "weights stay in the mapped file: no memory for them"};
  uint64_t start = pn_now_us();
  pn_map_moved moved = pn_files_own(w->files, only_large, goes_on, w);
  if (!atomic_load(&w->closing))
    pn_log(PN_LOG_DEBUG, NULL, words[moved], PN_FIELDS(PN_I("milliseconds", (pn_now_us() - start) / 1000)));
  return moved;
}

static void *run(void *ctx) {
  move(ctx, true);
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
    if (move(w, true) == PN_MAP_SMALL_PAGES) {
      console_note(
          "pensieve: --weights huge: the system gives no large pages; the weights lie in small ones");
      move(w, false);
    }
    console_progress("%s", "");
  } else if (strcmp(where, "auto") == 0 && room) {
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
