// Tools that come and go within a conversation: which of them its end may call, and what is refused.
#include "api/messages_read.h"
#include "play.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOOL(name, more) "{\"name\":\"" name "\",\"input_schema\":{\"type\":\"object\"}" more "}"
#define LATER ",\"defer_loading\":true"
#define TOOLS                                                                                                \
  TOOL("find", "")                                                                                           \
  "," TOOL("x", LATER) "," TOOL("y", LATER) ",{\"type\":\"web_search_20250305\",\"name\":\"web\"}"
#define U "{\"role\":\"user\",\"content\":\"U\"}"
#define REFERENCE(name) "{\"type\":\"tool_reference\",\"tool_name\":\"" name "\"}"
#define FOUND(id, references)                                                                                \
  "{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"" id                                 \
  "\",\"name\":\"find\",\"input\":{}}]},"                                                                    \
  "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"" id                          \
  "\",\"content\":[" references "]}]}"
#define SYSTEM(blocks) "{\"role\":\"system\",\"content\":[" blocks "]}"
#define NAMED(change, name)                                                                                  \
  "{\"type\":\"" change "\",\"tool\":{\"type\":\"tool_reference\",\"name\":\"" name "\"}}"
#define ADDED(name) NAMED("tool_addition", name)
#define REMOVED(name) NAMED("tool_removal", name)
#define DEFINED(definition)                                                                                  \
  "{\"type\":\"tool_addition\",\"tool\":{\"type\":\"tool_definition\",\"definition\":" definition "}}"

static const struct {
  const char *tools, *messages;
  const char *want; // what may be called; or else
  const char *message;
} cases[] = {
    {"", U, "", NULL},
    {TOOLS, U, "find", NULL},
    {TOOLS, U "," FOUND("t1", REFERENCE("x")), "find x", NULL},
    {TOOLS, U "," FOUND("t1", REFERENCE("y") "," REFERENCE("x")) "," FOUND("t2", REFERENCE("y")), "find y x",
     NULL},
    {TOOLS, U "," FOUND("t1", REFERENCE("find") "," REFERENCE("web")), "find", NULL},
    {TOOLS, SYSTEM(ADDED("y")) "," U, "find y", NULL},
    {TOOLS, SYSTEM(ADDED("y")) "," U "," SYSTEM(REMOVED("y") "," REMOVED("find")), "", NULL},
    {TOOLS, U "," SYSTEM(REMOVED("find") "," ADDED("x")) "," SYSTEM(ADDED("find")), "find x", NULL},
    {TOOLS, U "," SYSTEM(REMOVED("gone")), "find", NULL},
    // by value, also without tools from the start
    {"", U "," SYSTEM(DEFINED(TOOL("z", ""))), "z", NULL},
    {TOOLS, U "," SYSTEM(DEFINED(TOOL("z", "")) "," REMOVED("z")) "," FOUND("t1", REFERENCE("z")), "find z",
     NULL},
    {TOOLS, U "," SYSTEM(DEFINED("{\"type\":\"web_search_20250305\",\"name\":\"w\"}")), "find", NULL},
    {TOOLS, U "," SYSTEM(DEFINED("{\"type\":\"bash_20250124\",\"name\":\"bash\"}")), "find bash", NULL},
    // what other servers left of a conversation
    {TOOLS,
     "{\"role\":\"user\",\"content\":[{\"type\":\"compaction\",\"content\":\"S\",\"tool_changes\":[" ADDED(
         "x") "]}]}," U,
     "find x", NULL},
    {TOOLS,
     U "," SYSTEM(
         "{\"type\":\"tool_addition\",\"tool\":{\"type\":\"mcp_toolset_reference\",\"server_name\":\"s\"}}"),
     "find", NULL},
    // who has the server search for tools sees them all
    {TOOLS ",{\"type\":\"tool_search_tool_regex_20251119\",\"name\":\"search\"}", U, "find x y", NULL},
    // refused
    {TOOLS, U "," FOUND("t1", REFERENCE("x") "," REFERENCE("n")), NULL,
     "messages.2.content.0.content.1: Tool reference 'n' not found in available tools"},
    {"", U "," FOUND("t1", REFERENCE("x")), NULL,
     "messages.2.content.0.content.0: Tool reference 'x' not found in available tools"},
    {TOOLS, FOUND("t1", REFERENCE("z")) "," SYSTEM(DEFINED(TOOL("z", ""))), NULL,
     "messages.1.content.0.content.0: Tool reference 'z' not found in available tools"},
    {TOOLS, U "," SYSTEM(ADDED("x") "," ADDED("a b")), NULL,
     "messages.1.content.1.tool: Tool reference 'a b' not found in available tools"},
    {TOOLS, U "," SYSTEM(ADDED("x\\u0000y")), NULL,
     "messages.1.content.0.tool: Tool reference 'x' not found in available tools"},
    {TOOLS, U "," SYSTEM(DEFINED(TOOL("a b", ""))), NULL,
     "messages.1.content.0.tool.definition.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'"},
    {TOOLS, U "," SYSTEM(DEFINED("{\"name\":\"z\"}")), NULL,
     "messages.1.content.0.tool.definition.input_schema: Field required"},
    {TOOLS, U "," SYSTEM("{\"type\":\"tool_addition\",\"tool\":{\"type\":\"tool\"}}"), NULL,
     "messages.1.content.0.tool: Input tag 'tool' found using 'type' does not match any of the expected "
     "tags: "
     "'tool_reference', 'tool_definition', 'mcp_tool_reference' or 'mcp_toolset_reference'"},
    {TOOL("x", LATER) "," TOOL("y", LATER), U, NULL,
     "tools: At least one tool must have defer_loading=false. All tools cannot be deferred."},
    {TOOL("x", "") "," TOOL("x", LATER), U, NULL, "tools: Tool names must be unique."},
};

static void what_may_be_called(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char body[4000];
    snprintf(body, sizeof body, "{\"model\":\"m\",\"max_tokens\":5,\"tools\":[%s],\"messages\":[%s]}",
             cases[i].tools, cases[i].messages);
    messages_request q = {0};
    pn_error e = {0};
    pn_buf names = {0};
    bool ok = messages_read(&messages_create_shape, pn_str_of(body), &q, &e);
    if (ok != (cases[i].want != NULL)) fail_msg("case %zu: %s", i, e.msg);
    for (size_t k = 0; k < pn_json_len(q.tools.callable); k++) {
      const pn_json *tool = pn_json_at(q.tools.callable, k);
      pn_str name = pn_json_str(pn_json_get(pn_json_get(tool, "function"), "name"));
      if (k) pn_buf_char(&names, ' ');
      pn_buf_str(&names, name);
      assert_ptr_equal(tools_find_callable(&q.tools, name), tool);
      assert_non_null(pn_json_get(pn_json_get(tool, "function"), "parameters"));
    }
    assert_null(tools_find_callable(&q.tools, PN_STR("web")));
    if (ok) assert_string_equal(pn_buf_cstr(&names), cases[i].want);
    if (!ok) assert_string_equal(e.msg, cases[i].message);
    pn_buf_fini(&names);
    messages_request_fini(&q);
  }
}

// A tool that is brought by value may be the one that must be used.
static void tool_choice_knows_all(void **state) {
  (void)state;
  static const struct {
    const char *name;
    bool ok;
  } choices[] = {{"find", true}, {"x", true}, {"z", true}, {"web", false}, {"n", false}, {"x\\u0000", false}};
  for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
    char body[4000];
    snprintf(body, sizeof body,
             "{\"model\":\"m\",\"max_tokens\":5,\"tools\":[%s],\"messages\":[%s],"
             "\"tool_choice\":{\"type\":\"tool\",\"name\":\"%s\"}}",
             TOOLS, U "," SYSTEM(DEFINED(TOOL("z", ""))), choices[i].name);
    messages_request q = {0};
    pn_error e = {0};
    assert_int_equal(messages_read(&messages_create_shape, pn_str_of(body), &q, &e), choices[i].ok);
    messages_request_fini(&q);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(what_may_be_called),
                                     cmocka_unit_test(tool_choice_knows_all)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
