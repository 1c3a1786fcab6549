"""What stands at the top of a report: the verdict in a few figures, the bounds, and what the time goes to.

Each part is short enough to stand beside the timeline. Colours are those of the timeline's slices; what is exposed is
striped, since nothing is computed beside it.
"""

from __future__ import annotations

from collections.abc import Mapping

from analysis.plots.page import in_text
from analysis.report.markup import Html, bar, chips_table, paragraph, part_legend, part_stack, swatch, table
from analysis.report.story import Telling, percent, time_text
from analysis.runs.collectives import folding_line
from analysis.runs.margin import margin
from analysis.timelines.instants import PARTS, Part, instants
from analysis.words.causes import CAUSES
from analysis.words.chip_kinds import fullest
from analysis.words.words import word_named
from hw import Dimension
from hw.input import show

MAX_CHIPS = 32
"""Chips that have a bar of their own."""

SEEN = 0.0005
"""A share of the run that is worth a word: 0.1 % when it is written."""

_BESIDE = 4
"""Of those, how many stand beside the timeline."""


def heading(telling: Telling) -> str:
    """What it is about, on what it ran, and what was assumed."""
    plan = telling.summary.plan
    lines = [paragraph(telling.story.about, "about")] if telling.story.about else []
    options = plan.options
    parts = [plan.system.name, options.calibration, f"overlap {options.overlap}", f"order {options.order}"]
    if plan.system.size > 1:
        parts.append(folding_line(plan))
    lines.append(paragraph(" · ".join(parts), "note"))
    return "".join(lines)


def verdict(telling: Telling) -> str:
    """A few figures in a row: the time, what it is bound by and how busy that is, what is exposed."""
    cause = str(telling.summary["bound_by"])
    busy = percent(telling.share(telling.number(CAUSES[cause].word)))
    peak, capacity = fullest(telling.summary)
    memory = f"{percent(peak / capacity)} of {show(capacity, Dimension.DATA)}"
    sure = margin(telling.summary.result)
    figures: list[tuple[str, object, str]] = [
        ("time", time_text(telling.time_s), f"± {100 * sure.relative:.2g} %" if sure is not None else ""),
        ("bound by", swatch(cause), f"{busy} busy"),
        ("eta", word_named("eta").text(telling.number("eta")), "1: all overlaps, 0: nothing"),
        ("MFU", percent(telling.number("mfu")), ""),
        ("peak memory", show(peak, Dimension.DATA), memory if telling.summary["fits"] else f"{memory}: does not fit"),
    ]
    if telling.number("t_network"):
        exposed = telling.number("exposed_network")
        share = f"{percent(telling.share(exposed))} of the time"
        figures.insert(3, ("exposed communication", time_text(exposed) if exposed else "none", share))
    cells = "".join(
        f"<div><dt>{in_text(name)}</dt><dd>{_text(value)}<small>{in_text(more)}</small></dd></div>"
        for name, value, more in figures
    )
    return f'<dl class="verdict">{cells}</dl>'


def _text(value: object) -> str:
    return value if isinstance(value, Html) else in_text(value)


def bounds(telling: Telling, _charts: object) -> str:
    """The line between the bounds, with the run's place on it and the dependency bound where it lies between them."""
    lower, upper, chain = (telling.number(word) for word in ("lower_bound", "upper_bound", "dependency_bound"))

    def at(seconds: float) -> float:
        return 100 * min(1.0, max(0.0, (seconds - lower) / (upper - lower))) if upper > lower else 0.0

    place = at(telling.time_s)
    label = min(86.0, max(14.0, place))
    parts = [
        '<div class="track"></div><div class="tick" style="left:0"></div><div class="tick" style="left:100%"></div>',
        f'<div class="mark" style="left:{place:.2f}%"></div>',
        f'<span class="above" style="left:{label:.2f}%">{time_text(telling.time_s)}</span>',
        f'<span class="below">{time_text(lower)}<br>all overlaps</span>',
        f'<span class="below right">{time_text(upper)}<br>nothing does</span>',
    ]
    if lower < chain < upper:
        parts.insert(1, f'<div class="tick" style="left:{at(chain):.2f}%" title="dependencies alone"></div>')
    note = ""
    if chain > lower * (1 + 1e-9):
        note = paragraph(f"Dependencies alone: {time_text(chain)}", "note")
    said = f"Between {time_text(lower)} and {time_text(upper)} the run stands at {time_text(telling.time_s)}"
    return f'<div class="bounds" role="img" aria-label="{said}">{"".join(parts)}</div>{note}'


def causes(telling: Telling, _charts: object) -> str:
    """The t_ times, and every instant of the first chips."""
    rows = []
    for cause in CAUSES.values():
        seconds = telling.number(cause.word)
        if seconds > 0:
            share = telling.share(seconds)
            rows.append((swatch(cause.name), time_text(seconds), percent(share), bar(cause.name, share)))
    work = table(("", ">time", ">of the run", "|"), rows, wide=True)
    note = paragraph("Work over capacity, busiest chip or link; these overlap.", "caption")
    return note + work + _instants(telling, _BESIDE)


def chips(telling: Telling, _charts: object) -> str:
    """Every instant of each simulated chip, where there are more than stand beside the timeline."""
    plan = telling.summary.plan
    count = plan.classes if plan.folding is not None else plan.system.size
    return _instants(telling, MAX_CHIPS, figures=True) if count > 1 else ""


def _instants(telling: Telling, most: int, figures: bool = False) -> str:
    """A bar per simulated chip: those that it stands for do the same."""
    found = _shares(telling, most)
    used = [part for part in PARTS if any(row.get(part, 0.0) >= SEEN for row in found.values())]
    only = next(iter(found.values())) if len(found) == 1 else None
    bars = {f"chip {chip}": part_stack(row) for chip, row in found.items()}
    if figures:
        return part_legend(used) + chips_table(used, found, bars)
    note = paragraph(
        "Every instant once, as the slices are coloured; striped: nothing computes beside it.", "caption apart"
    )
    rows = "".join(f'<div class="chip"><span>{name}</span>{drawn}</div>' for name, drawn in bars.items())
    return note + rows + part_legend(used, only)


def _shares(telling: Telling, most: int) -> Mapping[int, Mapping[Part, float]]:
    plan, result = telling.summary.plan, telling.summary.result
    shown = list(plan.folding.chips if plan.folding is not None else range(plan.system.size))[:most]
    spent = instants(result, telling.figures, shown)
    return {chip: {part: telling.share(took) for part, took in row.items()} for chip, row in spent.items()}
