// Validate values for the comparison with other validators. Standard input has one question a line,
// {"schema": ..., "value": ...}, and standard output one answer a line: true, false or "error: ...".
#include "grammar/schema_valid.h"

#include <stdio.h>

static void answer(pn_str line) {
  pn_error e = {0};
  pn_json *q = pn_json_parse(line, &e);
  const pn_json *schema = pn_json_get(q, "schema");
  bool valid = q && schema_valid(schema, schema, pn_json_get(q, "value"), &e);
  if (valid || e.code == PN_ERR_USAGE)
    puts(valid ? "true" : "false");
  else
    printf("error: %s: %s\n", pn_code_name(e.code), e.msg);
  fflush(stdout);
  pn_json_free(q);
}

int main(void) {
  pn_buf line = {0};
  for (int c; (c = getchar()) != EOF;) {
    if (c != '\n') {
      pn_buf_char(&line, (char)c);
      continue;
    }
    answer(pn_buf_view(&line));
    pn_buf_clear(&line);
  }
  pn_buf_fini(&line);
  return 0;
}
