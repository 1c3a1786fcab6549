"""What `overlapse search` prints: the best layout, why it wins over the next one, its proof, and those that were run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from analysis import RUN_WORDS
from hw import Dimension
from hw.input import show
from scenarios.console.terminal import fitting, left_out
from scenarios.questions.searching.layouts import Candidate, as_written
from scenarios.questions.searching.searched import ROWS, Searched
from scenarios.questions.searching.spaces import LISTED_KEYS, size_of

_REASONS = 3


def show_space(console: Console, space: Mapping[str, Sequence[Any]]) -> None:
    """What is searched among, before that is begun."""
    told = "; ".join(f"{key} {', '.join(map(as_written, values))}" for key, values in space.items())
    console.print(Text(f"space        {size_of(space):,} layouts: {told}", style="dim"))
    others = [key for key in LISTED_KEYS if key not in space]
    if others:
        console.print(Text(f"             not varied: {', '.join(others)} (--vary KEY=VALUES)", style="dim"))


def show_search(console: Console, found: Searched) -> None:
    """The winner and its proof, then a table of what was run."""
    best = found.best
    if best is None:
        console.print(Text(f"{found.nothing}: {_counts(found)}", style="red"))
        for number, near in enumerate(found.near[:_REASONS]):
            console.print(Text(f"{'' if number else 'nearest':<13}{near.told}"))
        for line in _reasons(found):
            console.print(Text(line, style="dim"))
        return
    for number, each in enumerate(found.front):
        console.print(Text(f"{'' if number else 'best':<13}{each.told}", style="bold"))
        console.print(Text(f"             {_figures(each)}"))
    console.print(Text(f"tried        {_counts(found)}"))
    for line in _reasons(found):
        console.print(Text(line, style="dim"))
    console.print(Text(f"proof        {_proof(found)}", style="" if found.is_proven else "yellow"))
    if found.next is not None and len(found.front) == 1:
        console.print(Text(f"why          {_why(best, found.next)}"))
        console.print(_causes(found))
    console.print()
    _print_table(console, found)


def search_record(found: Searched) -> dict[str, Any]:
    """Ready for JSON."""
    return {
        "goals": list(found.goals),
        "best": None if found.best is None else _record(found.best),
        "front": [_record(each) for each in found.front],
        "proven": found.is_proven,
        "bound": found.bound_s,
        "candidates": found.candidates,
        "refused": found.refused,
        "reasons": dict(found.errors),
        "twins": sum(found.twins.values()),
        "twin_reasons": dict(found.twins),
        "drawn": found.drawn,
        "gap": found.gap,
        "do_not_fit": found.too_large,
        "simulated": len(found.ran),
        "left": found.left,
        "nearest": [{**each.values, "wrong": each.wrong} for each in found.near],
        "why": _why_record(found),
        "ran": [_record(each) for each in found.ran],
    }


def _why_record(found: Searched) -> dict[str, Any] | None:
    """The next one, and what each spends its time on, seconds."""
    if found.next is None:
        return None
    return {
        "next": _record(found.next),
        "causes": [
            {"cause": each.cause, "best": each.best_s, "next": each.next_s, "more": each.more_s} for each in found.why
        ],
    }


def _record(candidate: Candidate) -> dict[str, Any]:
    words = ("mfu", "peak_memory", "cost", "cost_per_million_tokens")
    return {
        **candidate.values,
        "time": candidate.time_s,
        "earliest": candidate.bound_s,
        "least_memory": candidate.least_memory,
        **{word: candidate.word(word) for word in words},
        "tokens_per_dollar": candidate.tokens_per_dollar,
    }


def _figures(candidate: Candidate) -> str:
    """A run in a few words: its price only where its chips have one."""
    time, peak = show(candidate.time_s, Dimension.TIME), show(candidate.peak, Dimension.DATA)
    told = f"{time}, MFU {_told(candidate, 'mfu')}, {peak} a chip"
    per_million = candidate.word("cost_per_million_tokens")
    return f"{told}, {_told(candidate, 'cost_per_million_tokens')} a million tokens" if per_million else told


def _told(candidate: Candidate, word: str) -> str:
    return RUN_WORDS[word].text(candidate.word(word))


def _counts(found: Searched) -> str:
    twins = sum(found.twins.values())
    same = f"{twins:,} are as another, " if twins else ""
    drawn = f"; {found.drawn:,} were drawn" if found.drawn is not None else ""
    return (
        f"{found.candidates:,} layouts: {same}{found.refused:,} cannot be built, {found.too_large:,} do not fit, "
        f"{len(found.ran):,} were run, {found.left:,} were not{drawn}"
    )


def _reasons(found: Searched) -> Iterator[str]:
    """Why layouts cannot be built, or run, the most common reasons first; and why some are as another."""
    for reason, count in found.twins.items():
        yield f"             {count:,} as another: {reason}"
    reasons = list(found.errors.items())
    for reason, count in reasons[:_REASONS]:
        yield f"             {count:,} refused, as {reason}" if count > 1 else f"             1 refused: {reason}"
    others = sum(count for _, count in reasons[_REASONS:])
    if others:
        yield f"             {others:,} refused for {len(reasons) - _REASONS} other reasons (--json has all)"


def _proof(found: Searched) -> str:
    assert found.best is not None
    if found.bound_s is None:
        return "every layout that fits was run"
    bound = show(found.bound_s, Dimension.TIME)
    if found.goals != ("time",):
        told = "better in " + " or ".join(found.goals).replace("_", " ")
        return f"none of the others can be {told}" if found.is_proven else f"not proven: {found.open:,} may be {told}"
    if found.is_proven:
        return f"none of the others ends before {bound}"
    return f"not proven: some of the others may end after {bound}, {100 * found.gap:.1f} % sooner"


def _why(best: Candidate, other: Candidate) -> str:
    """By how much the next one is worse."""
    differ = [key for key in best.values if best.values[key] != other.values[key]]
    told = ", ".join(f"{key}: {as_written(other.values[key])}" for key in differ)
    slower = other.time_s / best.time_s - 1
    more = f"takes {100 * slower:.1f} % longer" if slower >= 0 else f"needs {show(other.peak, Dimension.DATA)} a chip"
    return f"the next, with {told}, {more}"


def _causes(found: Searched) -> Table:
    """Where the time of both goes."""
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    table.add_column("             busiest chip", no_wrap=True)
    for column in ("best", "next", "more"):
        table.add_column(column, justify="right", no_wrap=True)
    for each in found.why:
        times = (each.best_s, each.next_s, each.more_s)
        told = [_seconds(time) for time in times]
        table.add_row(f"             {each.cause.replace('_', ' ')}", *told)
    return table


def _seconds(time: float) -> str:
    return show(time, Dimension.TIME) if time else "0"


def _print_table(console: Console, found: Searched) -> None:
    """What was run. Where there is no room, keys whose values are alike in all rows are left out first, then the others:
    figures are never cut."""
    assert found.best is not None
    keys, shown = list(found.best.values), found.ran[:ROWS]
    heads = [*keys, "time", "at least", "MFU", "peak"]
    rows = [[*map(as_written, each.values.values()), *each.figures] for each in shown]
    if found.best.tokens_per_dollar is not None:
        heads.append("tokens/USD")
        rows = [[*row, f"{each.tokens_per_dollar:,.0f}"] for row, each in zip(rows, shown, strict=True)]
    alike = [key for at, key in enumerate(keys) if len({row[at] for row in rows}) == 1]
    kept = fitting(heads, rows, [*alike, *(key for key in keys if key not in alike)], console)
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    for at in kept:
        table.add_column(heads[at], justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*(row[at] for at in kept))
    console.print(table)
    if len(kept) < len(heads):
        console.print(left_out(heads, kept))
