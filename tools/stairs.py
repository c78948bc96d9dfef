#!/usr/bin/env python3
"""Check the rules of docs/DESIGN.md that a compiler does not: the stairs, one door a room, foreign headers, the length of
functions and comments, and functions that are declared without being defined or used by anyone else.

tools/stairs.py              check the repository
tools/stairs.py --self-test  check the checker
"""
import re
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

STAIRS = ("base formats tokenizer template dialect grammar backend model kv engine api http cli").split()
MAX_LINES = 800
MAX_FUNCTION = 60  # lines from a function's head to its last brace
MAX_COMMENT = 110  # columns

NOWHERE = r"(?!)"
# A foreign header, and the files (under src/) that may include it.
FOREIGN = [
    (r"microhttpd\.h", r"http/.*"),
    (r"pcre2\.h", r"tokenizer/[^/]*split[^/]*\.c"),
    (r"utf8proc\.h", r"tokenizer/normalize\.c"),
    (r"jansson\.h", r"base/json\.c"),
    (r"sqlite3\.h", r"api/batch_store\.c"),
    (r"curl/.*", r"cli/[^/]*download[^/]*\.c"),
    (r"cuda.*|cublas.*|nvrtc.*|mma\.h|cooperative_groups.*", r"backend/cuda/.*"),
    (r"mlx/.*", r"backend/mlx/.*"),
    (r".*intrin\.h|arm_.*\.h", r".*_(avx2|avx512|neon)\.[ch]"),
    (r"cpuid\.h", r"backend/cpu/.*"),
    (r"cmocka\.h", NOWHERE),
]
# A call, and the files that may make it.
CALLS = [(r"getenv|secure_getenv", r"cli/.*"), (r"_?exit|quick_exit|abort", r"cli/main\.c")]

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.M)
COMMENT_OR_STRING = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def blank(text, strings):
    """The text with comments (and with `strings` the contents of strings) blanked; line numbers stay."""

    def spaces(m):
        return m.group(0) if m.group(0)[0] in "\"'" and not strings else re.sub(r"[^\n]", " ", m.group(0))

    return COMMENT_OR_STRING.sub(spaces, text)


def check_include(src, path, quote, name):
    """What is wrong with this include, or None. `path` is relative to src/."""
    room = path.parts[0]
    if quote == "<" or not ((src / path).parent / name).exists() and not (src / name).exists():
        for header, where in FOREIGN:
            if re.fullmatch(header, name) and not re.fullmatch(where, path.as_posix()):
                return f"<{name}> may only be included by {where}" if where != NOWHERE else f"<{name}> belongs to tests"
        return None if quote == "<" else f'"{name}" is not a file of the project'
    target = (src / path).parent / name if ((src / path).parent / name).exists() else src / name
    target = target.resolve().relative_to(src.resolve())
    other = target.parts[0]
    if other == room:
        return None
    if other not in STAIRS:
        return f"folder {other}/ is not on the stairs"
    if STAIRS.index(other) > STAIRS.index(room):
        return f"{room}/ may not include {other}/: the stairs go down"
    if other != "base" and target.as_posix() != f"{other}/{other}.h":
        return f'"{target.as_posix()}" is not the door of {other}/ (that is "{other}/{other}.h")'
    return None


def check_source(src, path):
    if path.parts[0] not in STAIRS:
        yield 1, f"folder {path.parts[0]}/ is not on the stairs"
        return
    text = (src / path).read_text(encoding="utf-8")
    includes, code = blank(text, strings=False), blank(text, strings=True)
    for m in INCLUDE.finditer(includes):
        problem = check_include(src, path, m.group(1), m.group(2))
        if problem:
            yield includes.count("\n", 0, m.start(1)) + 1, problem
    for call, where in CALLS:
        if not re.fullmatch(where, path.as_posix()):
            for m in re.finditer(rf"\b({call})\s*\(", code):
                yield code.count("\n", 0, m.start()) + 1, f"{m.group(1)}() may only be called in {where}"


HEAD = re.compile(r"^(?!static\b|typedef\b|extern\b)[A-Za-z_][\w \t*]*?[ *](\w+)\(([^;{}]*)\)[^;{}()]*([;{])", re.M)
WORD = re.compile(r"\w+")


def check_lengths(text, functions):
    """(line, problem) for comments that are too wide, and for functions that are too long where that is asked for (those
    of tests hold tables of cases)."""
    begun = None
    for n, line in enumerate(text.split("\n"), 1):
        if len(line) > MAX_COMMENT and "//" in line:
            yield n, f"a comment reaches column {len(line)}; it ends at {MAX_COMMENT}"
        if line.endswith("{") and line[:1].isalpha() and "(" in line and "=" not in line:
            begun = n
        if line == "}" and begun and functions:
            if n - begun + 1 > MAX_FUNCTION:
                yield begun, f"a function of {n - begun + 1} lines; it ends at {MAX_FUNCTION}"
            begun = None


def check_exports(texts):
    """Problems of functions that headers of src/ declare. `texts`: {path: source without comments and strings}."""
    declared, defined, users = {}, defaultdict(list), defaultdict(set)
    for path, text in texts.items():
        for m in HEAD.finditer(text) if path.startswith("src/") else ():
            if m.group(3) == ";" and path.endswith(".h"):
                declared.setdefault(m.group(1), (path, text.count("\n", 0, m.start(1)) + 1))
            elif m.group(3) == "{" and path.endswith((".c", ".cu")):
                defined[m.group(1)].append(path)
        for word in set(WORD.findall(text)):
            users[word].add(path)
    for name, (header, line) in declared.items():
        homes = set(defined[name])
        if len(re.findall(rf"\b{name}\b", texts[header])) > 1:
            continue  # a macro or an inline function beside it uses it
        if not homes:
            if not any(re.search(rf"^[A-Z_]+\({name}\b", t, re.M) for t in texts.values()):  # unless a macro defines it
                yield f"{header}:{line}: {name}() is declared and nowhere defined"
        elif not users[name] - homes - {header}:
            yield f"{header}:{line}: {name}() is declared, but only {', '.join(sorted(homes))} uses it"


def check(root):
    """All problems of the tree as 'file:line: what'."""
    src = root / "src"
    problems = []
    names = defaultdict(list)
    texts = {}
    for top in ("src", "tests", "bench", "tools"):
        for p in sorted((root / top).rglob("*")):
            if p.suffix not in (".c", ".h", ".cu", ".cuh", ".cpp", ".m", ".py") or not p.is_file():
                continue
            where = p.relative_to(root).as_posix()
            if p.suffix != ".py":
                names[p.name].append(where)
            text = p.read_text(encoding="utf-8")
            n = text.count("\n")
            if p.suffix in (".c", ".h", ".cu", ".cuh"):
                problems += [f"{where}:{line}: {what}" for line, what in check_lengths(text, top == "src")]
                texts[where] = blank(text, strings=True)
            if n > MAX_LINES:
                problems.append(f"{where}:{MAX_LINES + 1}: {n} lines; a file stops at {MAX_LINES}")
            if top == "src" and p.suffix != ".py":
                problems += [f"{where}:{line}: {what}" for line, what in check_source(src, p.relative_to(src))]
    problems += check_exports(texts)
    for name, places in names.items():
        if len(places) > 1:
            problems.append(f"{places[1]}:1: the file name {name} is taken by {places[0]}")
    return problems


def self_test():
    """Each case: files of a small tree, and a piece of each problem that must be found (none: the tree is right)."""
    big = "int x;\n" * (MAX_LINES + 1)
    cases = [
        ({"src/base/a.h": "", "src/model/model.h": "", "src/engine/b.c": '#include "model/model.h"\n#include "base/a.h"\n'}, []),
        ({"src/engine/engine.h": "", "src/model/b.c": '#include "engine/engine.h"\n'}, ["stairs go down"]),
        ({"src/model/part.h": "", "src/engine/b.c": '\n  #  include "model/part.h"\n'}, ["b.c:2: ", "not the door"]),
        ({"src/backend/cpu/k.h": "", "src/backend/b.c": '#include "cpu/k.h"\n#include "backend/cpu/k.h"\n'}, []),
        ({"src/model/part.h": "", "src/engine/b.c": '#include "../model/part.h"\n'}, ["not the door"]),
        ({"src/api/b.c": "#include <microhttpd.h>\n"}, ["microhttpd.h"]),
        ({"src/http/b.c": "#include <microhttpd.h>\n"}, []),
        ({"src/tokenizer/d.c": "#include <utf8proc.h>\n"}, ["tokenizer/d.c:1"]),
        ({"src/tokenizer/b.c": "#include <pcre2.h>\n", "src/tokenizer/split.c": "#include <pcre2.h>\n"}, ["tokenizer/b.c:1"]),
        ({"src/base/str.c": "#include <jansson.h>\n", "src/base/json.c": '#include <jansson.h>\n'}, ["base/str.c:1"]),
        ({"src/api/batch_store.c": "#include <sqlite3.h>\n", "src/api/b.c": "#include <sqlite3.h>\n"}, ["api/b.c:1"]),
        ({"src/backend/cpu/k.c": "#include <immintrin.h>\n"}, ["immintrin.h"]),
        ({"src/backend/cpu/k_avx2.c": "#include <immintrin.h>\n", "src/backend/cpu/k_neon.c": "#include <arm_neon.h>\n"}, []),
        ({"src/model/b.c": '// #include "engine/engine.h"\n/*\n#include <curl/curl.h>\n*/\nconst char *s = "getenv(x)";\n'}, []),
        ({"src/model/b.c": 'void f(void) { getenv("X"); }\n'}, ["getenv"]),
        ({"src/cli/b.c": 'void f(void) { getenv("X"); }\n'}, []),
        ({"src/kv/b.c": "void f(void) { exit(1); }\n", "src/cli/main.c": "void f(void) { _exit(1); }\n"}, ["kv/b.c:1: exit"]),
        ({"src/kv/b.c": '#include "gone.h"\n'}, ["gone.h"]),
        ({"src/odd/b.c": ""}, ["odd/"]),
        ({"src/kv/b.c": "", "tests/kv/b.c": ""}, ["b.c is taken"]),
        ({"src/kv/b.c": big}, ["801 lines"]),
        ({"src/kv/b.c": "// " + "x" * 107 + "\n"}, []),
        ({"src/kv/b.c": "int x;\n  // " + "x" * 107 + "\n"}, ["b.c:2: a comment reaches column 112"]),
        ({"src/kv/b.c": "static int f(void) {\n" + "  g();\n" * 58 + "}\n"}, []),
        ({"src/kv/b.c": "\nstatic int f(void) {\n" + "  g();\n" * 59 + "}\n"}, ["b.c:2: a function of 61 lines"]),
        ({"src/kv/kv.h": "int kv_f(int a,\n         int b);\n", "src/kv/b.c": "int kv_f(int a, int b) { return a + b; }\n",
          "src/engine/c.c": "int x = kv_f(1, 2);\n"}, []),
        ({"src/kv/kv.h": "int kv_f(void);\n", "src/kv/b.c": "int kv_f(void) { return kv_f(); }\n"}, ["kv.h:1: kv_f() is declared, but only"]),
        ({"src/kv/kv.h": "\nint kv_f(void);\n", "src/engine/c.c": "int x = kv_f();\n"}, ["kv.h:2: kv_f() is declared and nowhere"]),
        ({"tests/kv/t.c": "#include <cmocka.h>\n", "src/kv/b.c": "#include <cmocka.h>\n"}, ["src/kv/b.c:1"]),
    ]
    failed = 0
    for files, wanted in cases:
        with tempfile.TemporaryDirectory() as d:
            for name, text in files.items():
                p = Path(d, name)
                p.parent.mkdir(parents=True, exist_ok=True)
                p.write_text(text)
            found = check(Path(d))
            right = all(any(w in f for f in found) for w in wanted) and bool(found) == bool(wanted)
            if not right:
                failed += 1
                print(f"self-test: {files}\n  wanted {wanted}\n  found  {found}", file=sys.stderr)
    print(f"stairs self-test: {len(cases) - failed} of {len(cases)} cases right")
    return failed


def main():
    if sys.argv[1:] == ["--self-test"]:
        return 1 if self_test() else 0
    if sys.argv[1:]:
        print(__doc__, file=sys.stderr)
        return 2
    problems = check(Path(__file__).resolve().parent.parent)
    for p in problems:
        print(p, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
