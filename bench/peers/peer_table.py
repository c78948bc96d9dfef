"""The table of a run, and its place in docs/SPEED.md."""

import statistics

EMPTY = "Not measured yet."


def show(value, unit):
    if unit == "s":
        return f"{value:.2f}"
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def spread(values, unit):
    middle = show(statistics.median(values), unit)
    return middle if len(values) == 1 else f"{middle} ({show(min(values), unit)}-{show(max(values), unit)})"


def best_of(measure, results, names):
    """The name whose median is best; None when nobody has one."""
    have = [n for n in names if results.values.get((measure.key, n))]
    middle = lambda n: statistics.median(results.values[measure.key, n].values())  # noqa: E731
    return (min if measure.less else max)(have, key=middle) if have else None


def ratios(measure, results, own, other):
    """Round by round how many times better `own` is: above 1 it is ahead, also where less is better."""
    a, b = results.values[measure.key, own], results.values[measure.key, other]
    both = [r for r in a if r in b and a[r] > 0 and b[r] > 0]
    return [b[r] / a[r] if measure.less else a[r] / b[r] for r in both]


def row_of(measure, results, own, others):
    values = results.values
    cells = [measure.label if measure.unit == "tok/s" else f"{measure.label}, {measure.unit}"]
    for name in (own, *others):
        have = values.get((measure.key, name))
        cells.append(spread(list(have.values()), measure.unit) if have else "-")
    best = best_of(measure, results, others)
    times = ratios(measure, results, own, best) if best and (measure.key, own) in values else []
    if times:
        low, high = min(times), max(times)
        cells.append(f"{statistics.median(times):.2f}" + (f" ({low:.2f}-{high:.2f})" if len(times) > 1 else "") + f" {best}")
    else:
        cells.append("-")
    cells.append(reading_share(measure, results, own))
    return cells


def reading_share(measure, results, own):
    """Of the machine's reading rate that a decode reaches, counting the weights and the KV cache that a token reads."""
    own_values, token_bytes = results.values.get((measure.key, own)), results.token_bytes.get(measure.key)
    if not (measure.reads and own_values and token_bytes and results.reading):
        return ""
    gb_s = statistics.median(own_values.values()) * token_bytes / 1e9
    return f"{gb_s / statistics.median(results.reading):.2f}"


def table(measures, results, own, others):
    head = ["tok/s unless it says otherwise", own, *others, "times the best of them", "share of reading"]
    lines = [head, ["---"] + ["---:"] * (len(head) - 1)]
    lines += [row_of(m, results, own, others) for m in measures if any((m.key, n) in results.values for n in (own, *others))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def marks(isa):
    return f"<!-- peers {isa}: begin -->", f"<!-- peers {isa}: end -->"


def replace_section(text, isa, body):
    """The document with `body` between the marks of that instruction set. ValueError when it has no such marks."""
    begin, end = marks(isa)
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"there is no place for {isa}: expected the lines {begin} and {end}")
    head, _, rest = text.partition(begin)
    return head + begin + "\n" + body.strip() + "\n" + end + rest.partition(end)[2]
