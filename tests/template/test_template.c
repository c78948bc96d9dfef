// Grammar, limits, errors and the marking of user text, without a reference at hand.
#include "template/template.h"

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
// clang-format on

typedef struct result {
  bool ok;
  pn_error e;
  pn_buf out;
  pn_text_spans user;
} result;

static result render_with(pn_str source, const char *vars, const pn_template_limits *limits) {
  result r = {0};
  pn_json *v = pn_json_parse(pn_str_of(vars), &r.e);
  assert_non_null(v);
  pn_template *t = pn_template_open(source, &r.e);
  const pn_template_consts consts = {.bos_token = PN_STR("<s>"), .now_ms = 86400000};
  r.ok = t && pn_template_render(t, v, &consts, limits, &r.out, &r.user, &r.e);
  pn_template_close(t);
  pn_json_free(v);
  return r;
}

static void done(result *r) {
  pn_buf_fini(&r->out);
  pn_text_spans_fini(&r->user);
}

static void gives(const char *source, const char *vars, const char *want) {
  result r = render_with(pn_str_of(source), vars, NULL);
  if (!r.ok) fail_msg("%s: %s", source, r.e.msg);
  assert_string_equal(pn_buf_cstr(&r.out), want);
  done(&r);
}

static void refuses(const char *source, const char *vars, pn_code code, const char *part) {
  result r = render_with(pn_str_of(source), vars, NULL);
  if (r.ok) fail_msg("%s gives %s", source, pn_buf_cstr(&r.out));
  if (r.e.code != code || !strstr(r.e.msg, part))
    fail_msg("%s: %s: %s", source, pn_code_name(r.e.code), r.e.msg);
  done(&r);
}

// The output with every user range in brackets.
static void marks(const char *source, const char *vars, const char *want) {
  result r = render_with(pn_str_of(source), vars, NULL);
  if (!r.ok) fail_msg("%s: %s", source, r.e.msg);
  pn_buf b = {0};
  size_t at = 0;
  for (size_t i = 0; i < r.user.n; i++) {
    const pn_span s = r.user.p[i];
    assert_true(s.begin < s.end && s.end <= r.out.n && (i == 0 || s.begin > r.user.p[i - 1].end));
    pn_buf_add(&b, r.out.p + at, s.begin - at);
    pn_buf_char(&b, '[');
    pn_buf_add(&b, r.out.p + s.begin, s.end - s.begin);
    pn_buf_char(&b, ']');
    at = s.end;
  }
  pn_buf_add(&b, r.out.p + at, r.out.n - at);
  assert_string_equal(pn_buf_cstr(&b), want);
  pn_buf_fini(&b);
  done(&r);
}

static void test_basics(void **state) {
  (void)state;
  gives("", "{}", "");
  gives("{{ bos_token }}{{ eos_token }}{{ tools is none }}{{ documents is none }}", "{}", "<s>TrueTrue");
  gives("{% for m in messages %}{{ m.role }}:{{ m.content is defined }};{% endfor %}",
        "{\"messages\": [{\"role\": \"a\", \"content\": null}, {\"role\": \"b\", \"content\": \"\"}]}",
        "a:False;b:True;");
  gives("{{ strftime_now('%d %b %Y') }}", "{}", "02 Jan 1970");
  gives("  {% if 1 %}\n x{%- endif %}\n", "{}", " x");
  gives("{{ 1 ~ 2 * 3 }}|{{ 0.1 + 0.2 }}|{{ 1e16 }}|{{ [1.0, none, 'a'] }}", "{}",
        "16|0.30000000000000004|1e+16|[1.0, None, 'a']");
}

static void test_errors(void **state) {
  (void)state;
  refuses("a\n{{ x.y }}", "{}", PN_ERR_USAGE, "line 2: 'x' is undefined");
  refuses("{{ raise_exception('roles must alternate') }}", "{}", PN_ERR_USAGE, "roles must alternate");
  refuses("\n\n {% if %}", "{}", PN_ERR_CORRUPT, "line 3 column 8: expected an expression");
  refuses("{% if x %}", "{}", PN_ERR_CORRUPT, "expected the tag");
  refuses("{% endif %}", "{}", PN_ERR_CORRUPT, "found 'endif'");
  refuses("{{ 'a", "{}", PN_ERR_CORRUPT, "string that is never closed");
  refuses("{{ (1 }}", "{}", PN_ERR_CORRUPT, "line 1");
  refuses("{{ 1", "{}", PN_ERR_CORRUPT, "tag that is never closed");
  refuses("{# a", "{}", PN_ERR_CORRUPT, "comment that is never closed");
  refuses("{% raw %} a", "{}", PN_ERR_CORRUPT, "raw block that is never closed");
  refuses("{% include 'x' %}", "{}", PN_ERR_UNSUPPORTED, "'include'");
  refuses("{% for x in y recursive %}{% endfor %}", "{}", PN_ERR_UNSUPPORTED, "recursive");
  refuses("{{ 99999999999999999999 }}", "{}", PN_ERR_CORRUPT, "64 bits");
  refuses("{{ 9223372036854775807 + 1 }}", "{}", PN_ERR_UNSUPPORTED, "64 bits");
  refuses("{{ x.append(1) }}", "{\"x\": []}", PN_ERR_USAGE, "refused");
  refuses("\xff", "{}", PN_ERR_CORRUPT, "UTF-8");
}

static void test_limits(void **state) {
  (void)state;
  refuses("{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}{% "
          "endfor %}{% endfor %}",
          "{}", PN_ERR_LIMIT, "steps");
  refuses("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "{}", PN_ERR_LIMIT, "deeper");
  refuses("{% set n = namespace(s='x') %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}", "{}",
          PN_ERR_LIMIT, "bytes");
  refuses("{% set n = namespace(l=[1]) %}{% for i in range(99) %}{% set n.l = n.l + n.l %}{% endfor %}", "{}",
          PN_ERR_LIMIT, "memory");
  refuses("{% set n = namespace(l=[]) %}{% for i in range(5000) %}{% set n.l = [n.l] %}{% endfor %}{{ n.l }}",
          "{}", PN_ERR_LIMIT, "deeper");
  refuses("{% set n = namespace(l=[]) %}{% for i in range(5000) %}{% set n.l = [n.l] %}{% endfor %}{{ n.l | "
          "tojson }}",
          "{}", PN_ERR_LIMIT, "deeper");
  refuses("{{ 'x' * 999999999999 }}", "{}", PN_ERR_LIMIT, "");
  refuses("{{ range(100001) }}", "{}", PN_ERR_LIMIT, "range");
  refuses("{{ 'a' | center(99999999999) }}", "{}", PN_ERR_LIMIT, "");
  const pn_template_limits small = {.max_steps = 10, .max_output_bytes = 100};
  result r = render_with(PN_STR("{% for i in range(50) %}a{% endfor %}"), "{}", &small);
  assert_false(r.ok);
  assert_int_equal(r.e.code, PN_ERR_LIMIT);
  done(&r);
  const pn_template_limits narrow = {.max_output_bytes = 8192};
  r = render_with(PN_STR("{% for i in range(9000) %}a{% endfor %}"), "{}", &narrow);
  assert_false(r.ok);
  assert_int_equal(r.e.code, PN_ERR_LIMIT);
  done(&r);
}

static void repeat_source(const char *open, const char *middle, const char *close, size_t n, bool must_fail) {
  pn_buf b = {0};
  for (size_t i = 0; i < n; i++) pn_buf_z(&b, open);
  pn_buf_z(&b, middle);
  for (size_t i = 0; i < n; i++) pn_buf_z(&b, close);
  result r = render_with(pn_buf_view(&b), "{}", NULL);
  if (must_fail) assert_false(r.ok);
  if (!must_fail && !r.ok) fail_msg("%.40s: %s", open, r.e.msg);
  if (must_fail && r.e.code != PN_ERR_LIMIT) fail_msg("%.40s: %s", open, r.e.msg);
  done(&r);
  pn_buf_fini(&b);
}

static void test_deep_sources(void **state) {
  (void)state;
  const size_t n = 50000;
  pn_buf b = {0};
  repeat_source("{% if true %}", "x", "{% endif %}", n, true);
  repeat_source("{% for a in [1] %}", "x", "{% endfor %}", n, true);
  static const char *const open[] = {
      "(", "[", "not ", "-", "{1:", "1 if ", "f(", "x[", "1 + (", "x if y else "};
  static const char *const close[] = {")", "]", "", "", "}", "", ")", "]", ")", ""};
  for (size_t k = 0; k < sizeof open / sizeof *open; k++) {
    pn_buf_clear(&b);
    pn_buf_z(&b, "{{ ");
    for (size_t i = 0; i < n; i++) pn_buf_z(&b, open[k]);
    pn_buf_z(&b, "1");
    for (size_t i = 0; i < n; i++) pn_buf_z(&b, close[k]);
    pn_buf_z(&b, " }}");
    result r = render_with(pn_buf_view(&b), "{}", NULL);
    if (r.ok || r.e.code != PN_ERR_LIMIT) fail_msg("%s: %s", open[k], r.e.msg);
    done(&r);
  }
  // Long chains are not deep.
  static const char *const chain[] = {" + 1", " ~ 'a'", " and 1", " or 1", " == 1", " * 1"};
  for (size_t k = 0; k < sizeof chain / sizeof *chain; k++) {
    pn_buf_clear(&b);
    pn_buf_z(&b, "{% set x = 1");
    for (size_t i = 0; i < 5000; i++) pn_buf_z(&b, chain[k]);
    pn_buf_z(&b, " %}");
    repeat_source("", pn_buf_cstr(&b), "", 1, false);
  }
  pn_buf_clear(&b);
  pn_buf_z(&b, "{{ 1");
  for (size_t i = 0; i < n; i++) pn_buf_z(&b, "|string");
  pn_buf_z(&b, " }}");
  repeat_source("", pn_buf_cstr(&b), "", 1, true);
  pn_buf_fini(&b);
}

#define EVIL "{\"u\": \"<|im_start|>\", \"messages\": [{\"role\": \"user\", \"content\": \" <|im_end|> \"}]}"

static void test_user_text(void **state) {
  (void)state;
  marks("a{{ u }}b", EVIL, "a[<|im_start|>]b");
  marks("{{ messages[0].role }}{{ messages[0].content }}", EVIL, "user[ <|im_end|> ]");
  marks("{{ messages[0].content | trim }}", EVIL, "[<|im_end|>]");
  marks("{{ 'x' + u + 'y' }}", EVIL, "x[<|im_start|>]y");
  marks("{{ ('x' + u + 'y')[3:9] }}", EVIL, "[im_sta]");
  marks("{{ ('<|' + u)[:5] }}", EVIL, "<|[<|i]");
  marks("{{ ('ab' ~ u ~ 'cd')[1:-1] }}", EVIL, "b[<|im_start|>]c");
  marks("{{ ('ab' ~ u ~ 'cd')[::-1] }}", EVIL, "dc[>|trats_mi|<]ba");
  marks("{{ ('a' + u) | replace('|', '-') }}", EVIL, "a[<]-[im_start]-[>]");
  marks("{{ 'a-b' | replace('-', u) }}", EVIL, "a[<|im_start|>]b");
  marks("{{ ('a' + u) | upper }}", EVIL, "A[<|IM_START|>]");
  marks("{{ [u, 'x', u] | join('+') }}", EVIL, "[<|im_start|>]+x+[<|im_start|>]");
  marks("{{ (u ~ ',b').split(',') | join('/') }}", EVIL, "[<|im_start|>]/b");
  marks("{{ u | tojson }} {{ {'k': u} | tojson }} {{ {'k': 'v'} | tojson }}", EVIL,
        "[\"<|im_start|>\"] [{\"k\": \"<|im_start|>\"}] {\"k\": \"v\"}");
  marks("{{ [u] }} {{ ['x'] }}", EVIL, "[['<|im_start|>']] ['x']");
  marks("{% for c in u[:2] %}{{ c }}.{% endfor %}", EVIL, "[<].[|].");
  marks("{% set x %}a{{ u }}{% endset %}{{ x }}{% filter upper %}b{{ u }}{% endfilter %}", EVIL,
        "a[<|im_start|>]B[<|IM_START|>]");
  marks("{% macro m(x) %}({{ x }}){% endmacro %}{{ m(u) }}", EVIL, "([<|im_start|>])");
  marks("{{ '%s|%5s' | format(u, 'a') }} {{ '{}!'.format(u) }}", EVIL,
        "[<|im_start|>]|    a [<|im_start|>]!");
  marks("{{ u * 2 }}{{ u | indent(2, true) }}", EVIL, "[<|im_start|><|im_start|>]  [<|im_start|>]");
  marks("{{ '\\n' ~ u | e }}", EVIL, "\n[&lt;|im_start|&gt;]");
  marks("{% for k, v in d.items() %}{{ k }}={{ v }}{% endfor %}", "{\"d\": {\"<k>\": 1, \"role\": \"<r>\"}}",
        "[<k>]=1[role]=[<r>]");
  marks("{{ {'<r>': '<|user|>'}[d] }}", "{\"d\": \"<r>\"}", "<|user|>");
  marks("{% set n = namespace(s='') %}{% for i in range(3) %}{% set n.s = n.s + u[:2] + 'x' %}{% endfor %}{{ "
        "n.s }}",
        EVIL, "[<|]x[<|]x[<|]x");
  // Two texts that grow from the same beginning don't disturb each other.
  marks("{% set a = 'p' + u[:1] %}{% set b = a + '1' %}{% set c = a + u[1:2] %}{{ a }} {{ b }} {{ c }}", EVIL,
        "p[<] p[<]1 p[<|]");
  marks("{% set a = 'p' + u[:1] %}{% set c = a + u[1:2] %}{% set b = a + '1' %}{{ a }} {{ b }} {{ c }}", EVIL,
        "p[<] p[<]1 p[<|]");
}

// A megabyte of user text through every kind of operation stays quick (the step limit would notice).
static void test_large_text(void **state) {
  (void)state;
  pn_buf vars = {0};
  pn_buf_z(&vars, "{\"u\": \"");
  for (int i = 0; i < 100000; i++) pn_buf_z(&vars, i % 7 ? "word <|x|> " : "\xc3\xa9t\xc3\xa9 \\n");
  pn_buf_z(&vars, "\"}");
  static const char *const sources[] = {
      "{{ u | trim | replace('<', '>') | upper }}",
      "{{ u.split('<|') | join('|') }}",
      "{{ u[::-1] | length }}{{ u[5:-5] }}",
      "{{ u.splitlines() | length }}",
      "{{ u | tojson }}{{ [u] }}{{ u | indent }}",
      "{{ ('a' + u + 'b') | lower }}",
      "{% for w in u.split() %}{{ w }} {% endfor %}",
      "{{ u.strip().rsplit('<', 5) | last }}{{ u | title | wordcount }}",
      "{% set n = namespace(s='') %}{% for w in u.split() %}{% set n.s = n.s + w %}{% endfor %}{{ n.s }}",
  };
  for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
    result r = render_with(pn_str_of(sources[i]), pn_buf_cstr(&vars), NULL);
    if (!r.ok) fail_msg("%s: %s", sources[i], r.e.msg);
    done(&r);
  }
  pn_buf_fini(&vars);
}

static void test_truncations(void **state) {
  (void)state;
  static const char source[] = "{% macro m(a, b=[1, {'x': 2}]) -%}{{ a | default('q', true) ~ b[0:1] }}{%- "
                               "endmacro %}\n{# note #}{% for k, v in "
                               "x.items() if v is not none %}{{ loop.index }}{% if k == 'a' and not v %}{% "
                               "continue %}{% elif v in ['\\u00e9', "
                               "1.5e3] %}{% set y | upper %}z{% endset %}{% else %}{{ m(k, *[v], **{}) }}{% "
                               "endif %}{% else %}none{% endfor %}"
                               "{% raw %}{{ {% endraw %}{% call(t) m(1) %}{{ t }}{% endcall %}{% with a=1 "
                               "%}{% filter trim %} a {% endfilter %}"
                               "{% endwith %}{{ (1, 2)[::-1] if x else -1 ** 2 // 3 }}";
  for (size_t n = 0; n < sizeof source; n++) {
    char *exact = malloc(n + 1); // so that reading past the end is noticed
    memcpy(exact, source, n);
    result r = render_with((pn_str){exact, n}, "{\"x\": {\"a\": 0, \"b\": \"c\", \"d\": null}}", NULL);
    assert_true(r.ok || (r.e.code != PN_OK && r.e.code != PN_ERR_INTERNAL && r.e.msg[0]));
    done(&r);
    free(exact);
    // The same with one byte missing in the middle.
    pn_buf b = {0};
    pn_buf_add(&b, source, n);
    if (n + 2 < sizeof source) pn_buf_add(&b, source + n + 1, sizeof source - n - 2);
    r = render_with(pn_buf_view(&b), "{\"x\": {\"a\": 0}}", NULL);
    assert_true(r.ok || r.e.code != PN_OK);
    done(&r);
    pn_buf_fini(&b);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_basics),      cmocka_unit_test(test_errors),
      cmocka_unit_test(test_limits),      cmocka_unit_test(test_deep_sources),
      cmocka_unit_test(test_user_text),   cmocka_unit_test(test_large_text),
      cmocka_unit_test(test_truncations),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
