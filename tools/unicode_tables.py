#!/usr/bin/env python3
"""Write src/template/junicode_tables.h: character classes and case mappings as Python's str methods see them."""
import sys
import unicodedata


def ranges(test):
    out, start = [], None
    for cp in range(0x80, 0x110001):
        inside = cp < 0x110000 and not 0xD800 <= cp <= 0xDFFF and test(chr(cp))
        if inside and start is None:
            start = cp
        if not inside and start is not None:
            out.append((start, cp - 1))
            start = None
    return out


def mapping(convert):
    """(first, last, step, delta) of the one-to-one mappings, and the rest as (cp, [cps])."""
    simple, special = [], []
    for cp in range(0x80, 0x110000):
        if 0xD800 <= cp <= 0xDFFF:
            continue
        to = convert(chr(cp))
        if to == chr(cp):
            continue
        if len(to) > 1:
            special.append((cp, [ord(c) for c in to]))
            continue
        delta = ord(to) - cp
        if simple:
            first, last, step, d = simple[-1]
            if d == delta and cp - last in (1, 2) and (first == last or step == cp - last):
                simple[-1] = (first, cp, cp - last, d)
                continue
        simple.append((cp, cp, 1, delta))
    return simple, special


def rows(items):
    line = " "
    for item in items:
        text = " {" + ", ".join(hex(x) if x >= 0 and i < 2 else str(x) for i, x in enumerate(item)) + "},"
        if len(line) + len(text) > 108:
            yield line
            line = " "
        line += text
    yield line


def main():
    print("// Made by tools/unicode_tables.py from Unicode %s: characters from U+0080 on." % unicodedata.unidata_version)
    print("// clang-format off")
    for name, test in (
        ("hidden", lambda c: not c.isprintable()),
        ("alpha", str.isalpha),
        ("decimal", str.isdecimal),
        ("digit", str.isdigit),
        ("numeric", str.isnumeric),
    ):
        print("static const uint32_t %s_ranges[][2] = {" % name)
        print("\n".join(rows(ranges(test))))
        print("};")
    for name, convert in (("lower", str.lower), ("upper", str.upper), ("title", str.title)):
        simple, special = mapping(convert)
        print("static const int32_t %s_map[][4] = { // first, last, step, delta" % name)
        print("\n".join(rows(simple)))
        print("};")
        print("static const uint32_t %s_special[][4] = {" % name)
        print("\n".join(rows([(cp, *(to + [0, 0, 0])[:3]) for cp, to in special])))
        print("};")
    print("// clang-format on")


sys.exit(main())
