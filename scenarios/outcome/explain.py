"""In words: the graph that was run, and why the run takes as long as it does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from analysis import CAUSES, WORDS, Summary
from analysis.runs import advice, grounds, grounds_line, margin
from analysis.words import rounds_figures
from hw import Dimension
from hw.input import show
from scenarios.outcome.sharding_notes import ShardingStory
from simulator import Items, Op, Plan, print_items

_S = Dimension.TIME
_CLOSE = 0.02
_MOST = 0.5


def reasons(words: Summary, notes: Iterable[str], sharding: ShardingStory) -> Iterator[str]:
    """Why the run takes as long as it does: the bounds, the bottleneck, what is not hidden, what would help."""
    yield from bare_reasons(words, notes, sharding)
    for each in advice(words)[:3]:
        yield f"With {each.change} it would take {show(each.time_s, _S)} (-{100 * each.gain:.1f} %)."


def bare_reasons(words: Summary, notes: Iterable[str], sharding: ShardingStory) -> Iterator[str]:
    """The same without what would help, for readers who see that in a table."""
    yield from notes
    time, lower, upper = (float(words[name] or 0) for name in ("time", "lower_bound", "upper_bound"))
    cause = str(words["bound_by"])
    yield (
        f"The run takes {show(time, _S)}. If everything overlapped perfectly it would take {show(lower, _S)}, "
        f"if nothing did {show(upper, _S)}; it stands at eta = {WORDS['eta'].text(words['eta'])} of the way down."
    )
    busiest = float(words[CAUSES[cause].word] or 0)
    share = busiest / time if time else 0.0
    yield f"It is bound by {cause}: {show(busiest, _S)} of work there, {100 * share:.1f} % of the time."
    yield _gap(words, time, lower)
    for name, meaning in (("exposed_network", "communication"), ("exposed_memory", "pure data movement")):
        exposed = float(words[name] or 0)
        if exposed:
            yield f"{show(exposed, _S)} of {meaning} run while no matrix or vector work does."
    waiting = float(words["t_waiting"] or 0)
    if waiting:
        yield f"One chip does nothing for {show(waiting, _S)} because it waits for others."
    for group in sorted(rounds_figures(words.result), key=lambda each: -each.figures.time_s)[:3]:
        row, times = group.figures, f" x{len(group.kernels)}" if len(group.kernels) > 1 else ""
        intensity = "no HBM traffic" if row.intensity is None else f"{row.intensity:.4g} FLOP/B"
        told = f", {intensity}" if row.flops else ""  # what does no arithmetic has none
        tile = f", tile {row.tile}" if row.tile else ""
        yield f"{row.name}{times} ({row.kind}) takes {show(row.time_s, _S)}: bound by {row.bound_by}{told}{tile}."
    shares = grounds(words.result)
    if shares is not None:
        yield f"What it rests on, {grounds_line(shares)}."
    sure = margin(words.result)
    if sure is not None:
        low, high = show(sure.low_s, _S), show(sure.high_s, _S)
        yield f"How sure it is: {low} to {high} by residuals of {100 * sure.covers:.1f} % of its path (nine of ten)."
    for line in sharding.lines():
        yield f"Sharding: {line}."


def _gap(words: Summary, time: float, lower: float) -> str:
    chain = float(words["dependency_bound"] or 0)
    if time <= lower * (1 + _CLOSE):
        return "That is the busiest resource at work almost without a pause: only less work or a faster resource helps."
    if chain > lower and time <= chain * (1 + _CLOSE):
        return (
            f"The longest chain of dependencies alone takes {show(chain, _S)}: more overlap would have to come from "
            "cutting ops into chunks, not from faster resources elsewhere."
        )
    above, waiting = time - lower, float(words["t_waiting"] or 0)
    if waiting >= _MOST * above:
        return (
            f"The {show(above, _S)} above the lower bound are time in which the busiest resource pauses, most of it because "
            f"chips wait for each other: up to {show(waiting, _S)} on one chip."
        )
    return (
        f"The {show(above, _S)} above the lower bound are time in which the busiest resource pauses: ops that use "
        "other resources stand in its way."
    )


def graph_lines(plan: Plan) -> list[str]:
    """The op graph as it was understood and is run, in the words of the language; what nobody wrote says so."""
    lines: list[str] = []
    _append(
        plan.graph.items, print_items(plan.graph.items), lines, "", {each.op: each.serves for each in plan.inserted}
    )
    return lines


def _append(items: Items, printed: Sequence[Any], lines: list[str], indent: str, inserted: Mapping[str, str]) -> None:
    for item, words in zip(items, printed, strict=True):
        if isinstance(item, Op):
            note = f"    # inserted for {inserted[item.name]}" if item.name in inserted else ""
            lines.append(f"{indent}{words}{note}")
        else:
            carried = ", ".join(f"{into}: {value}" for into, value in words.get("carry", {}).items())
            carry = f", carry {{{carried}}}" if carried else ""
            walked = ", from the last round to the first" if item.reverse else ""
            lines.append(f"{indent}repeat {words['repeat']}{walked}{carry}:")
            _append(item.items, words["ops"], lines, indent + "  ", inserted)
