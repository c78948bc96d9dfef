// The environment that Claude Code is started with.
#ifndef PN_CLI_CLAUDE_ENV_H
#define PN_CLI_CLAUDE_ENV_H

#include "base/arena.h"

typedef struct claude_facts {
  const char *url, *key, *model; // no key: NULL
  int n_ctx;
} claude_facts;

// NULL behind the last; all in the arena or in `from`. NULL when memory ran out. What names the server and
// the model takes the place of the user's own; the user's own limits and times stay; what would lead
// elsewhere is left out.
char **claude_env(char *const *from, const claude_facts *f, pn_arena *a);
// The value in such an environment, or NULL.
const char *claude_env_get(char *const *env, const char *name);
// How many tokens an answer may have in a context of n_ctx.
int claude_max_output(int n_ctx);

// The program that a name means: a path as it is, else looked up in `path` (PATH). NULL when there is none
// that may be run.
char *claude_find(const char *name, const char *path, pn_arena *a);

#endif
