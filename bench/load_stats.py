"""Figures of a load run: percentiles, one row a metric, medians over rounds, the table of two servers side by side."""

import statistics

# name in JSON, words in the table, factor, digits, "less" or "more" is better ("" neither)
METRICS = [
    ("ttft_p50", "first token p50, ms", 1e3, 1, "less"),
    ("ttft_p90", "first token p90, ms", 1e3, 1, "less"),
    ("ttft_p99", "first token p99, ms", 1e3, 1, "less"),
    ("itl_p50", "inter-token p50, ms", 1e3, 2, "less"),
    ("itl_p90", "inter-token p90, ms", 1e3, 2, "less"),
    ("itl_p99", "inter-token p99, ms", 1e3, 2, "less"),
    ("tpot_p50", "time per output token p50, ms", 1e3, 2, "less"),
    ("e2e_p50", "whole answer p50, s", 1, 3, "less"),
    ("e2e_p90", "whole answer p90, s", 1, 3, "less"),
    ("e2e_p99", "whole answer p99, s", 1, 3, "less"),
    ("output_tok_s", "output tokens/s", 1, 1, "more"),
    ("requests_s", "requests/s", 1, 2, "more"),
    ("prompt_tokens", "prompt tokens, mean", 1, 0, ""),
    ("output_tokens", "output tokens, mean", 1, 0, ""),
    ("tokens_per_event", "tokens a text event", 1, 2, ""),
    ("cache_hit", "prompt tokens from the cache, %", 100, 1, "more"),
    ("requests", "requests", 1, 0, ""),
    ("errors", "errors", 1, 0, "less"),
    ("server_cpu_ms_token", "server's CPU ms an output token", 1e3, 2, "less"),
    ("client_cpu", "client's share of one core, %", 100, 1, ""),
    # prefill-interference
    ("alone_p50", "inter-token p50 alone, ms", 1e3, 2, "less"),
    ("alone_p99", "inter-token p99 alone, ms", 1e3, 2, "less"),
    ("during_p50", "inter-token p50 during the prefill, ms", 1e3, 2, "less"),
    ("during_p99", "inter-token p99 during the prefill, ms", 1e3, 2, "less"),
    ("during_max", "longest wait for a token during the prefill, ms", 1e3, 1, "less"),
    ("ratio_p50", "p50 during / alone", 1, 2, "less"),
    ("ratio_p99", "p99 during / alone", 1, 2, "less"),
    ("p99_of_alone_p50", "p99 during / p50 alone", 1, 2, "less"),
    ("during_tokens", "text events of the stream during the prefill", 1, 0, ""),
    ("long_ttft_alone", "first token of the long prompt alone, s", 1, 3, "less"),
    ("long_ttft", "first token of the long prompt beside the stream, s", 1, 3, "less"),
    ("long_prompt_tokens", "tokens of the long prompt", 1, 0, ""),
    # second-turn
    ("first_turn_ttft", "first turn: first token, ms", 1e3, 1, "less"),
    ("second_turn_ttft", "second turn: first token, ms", 1e3, 1, "less"),
    ("new_only_ttft", "the new tokens alone: first token, ms", 1e3, 1, "less"),
    ("second_of_new", "second turn / new tokens alone", 1, 2, "less"),
    ("second_of_prefill", "second turn / computing its new tokens", 1, 2, "less"),
    ("second_of_first", "second turn / first turn", 1, 3, "less"),
    ("second_prompt_tokens", "prompt tokens of the second turn", 1, 0, ""),
    ("second_cached_tokens", "... from the cache", 1, 0, "more"),
    ("new_only_tokens", "prompt tokens of the new ones alone", 1, 0, ""),
    # memory
    ("rss_ready", "resident when ready, MB", 1e-6, 1, "less"),
    ("rss_loaded", "resident after the load, MB", 1e-6, 1, "less"),
    ("rss_peak", "resident at most, MB", 1e-6, 1, "less"),
    ("anon_loaded", "not backed by files after the load, MB", 1e-6, 1, "less"),
    ("beyond_model", "resident after the load beyond the model file's size, MB", 1e-6, 1, "less"),
    ("ready_s", "ready after, s", 1, 3, "less"),
]


def percentile(values, p):
    """Linear between the two nearest ranks; None of nothing."""
    if not values:
        return None
    v = sorted(values)
    at = (len(v) - 1) * p / 100
    low = int(at)
    high = min(low + 1, len(v) - 1)
    return v[low] + (v[high] - v[low]) * (at - low)


def ratio(a, b):
    """a / b; None where either is not known."""
    return a / b if a is not None and b else None


def spread(name, values):
    return {f"{name}_p{p}": percentile(values, p) for p in (50, 90, 99)}


def of_answers(answers, begin, busy_end, end):
    """The figures of one run. Output tokens a second are counted while every stream was busy (begin to busy_end), so that
    the last stragglers do not count; requests a second over the whole."""
    good = [a for a in answers if not a.error]
    tokens = sum(a.n_output * sum(t <= busy_end for t in a.times) / len(a.times) for a in good)
    n_events, n_output = sum(len(a.times) for a in good), sum(a.n_output for a in good)
    n_prompt = sum(a.n_prompt for a in good)
    if good and n_output == 0:  # a server that does not say
        tokens = n_output = None
    if good and n_prompt == 0:
        n_prompt = None
    long = [a for a in good if len(a.times) > 1 and a.n_output > 1]
    return {
        **spread("ttft", [a.ttft for a in good]),
        **spread("itl", [g for a in good for g in a.gaps()]),
        "tpot_p50": percentile([(a.times[-1] - a.times[0]) / (a.n_output - 1) for a in long], 50),
        **spread("e2e", [a.e2e for a in good]),
        "output_tok_s": ratio(tokens, busy_end - begin),
        "requests_s": ratio(len(good), end - begin),
        "prompt_tokens": ratio(n_prompt, len(good)),
        "output_tokens": ratio(n_output, len(good)),
        "tokens_per_event": ratio(n_output, n_events),
        "cache_hit": ratio(sum(a.n_cached for a in good), n_prompt),
        "requests": len(answers),
        "errors": len(answers) - len(good),
    }


def medians(rounds):
    """Metric by metric the median of what the rounds have."""
    out = {}
    for key in {k: 0 for r in rounds for k in r}:
        have = [r[key] for r in rounds if r.get(key) is not None]
        out[key] = statistics.median(have) if have else None
    return out


def show(value, factor, digits):
    return "-" if value is None else f"{value * factor:.{digits}f}"


def table(cells, names):
    """Markdown. cells: [(title, [medians of the first server, of the second])]; ratios are first / second."""
    two = len(names) > 1
    lines = ["| | | " + " | ".join(names) + (" | ratio | better |" if two else " |"),
             "|---|---|" + "---:|" * (len(names) + two) + ("---|" if two else "")]
    for title, sides in cells:
        for key, label, factor, digits, better in METRICS:
            if not any(key in s for s in sides):
                continue
            values = [s.get(key) for s in sides]
            row = [title, label] + [show(v, factor, digits) for v in values]
            if two:
                row += [show(ratio(*values), 1, 2) if better else "", better]
            lines.append("| " + " | ".join(row) + " |")
            title = ""
    return "\n".join(lines)
