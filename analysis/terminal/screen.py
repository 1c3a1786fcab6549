"""One screen about a run: bounds and place, time by cause, heaviest ops, a text Gantt, memory, what would help most."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from analysis.runs.advice import advice
from analysis.runs.collectives import choices, folding_line
from analysis.terminal.gantt import LETTERS, OTHER, gantt
from analysis.words.busy import busy_s
from analysis.words.causes import CAUSES
from analysis.words.chip_kinds import fullest
from analysis.words.columns.rounds import Rounds, rounds_figures
from analysis.words.ops import combined
from analysis.words.summary import Summary
from analysis.words.words import WORDS
from hw import Chip, Dimension
from hw.input import few, show

SHOWN_OPS = 8
SHOWN_CHIPS = 2
_LEAST_WIDTH = {"": 1, "op": 6, "time": 8, "share": 7, "FLOP/B": 6, "bound by": 8}


def _time(seconds: float) -> str:
    return show(seconds, Dimension.TIME)


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan


def screen(name: str, about: str, summary: Summary, width: int) -> RenderableType:
    """Everything about a run that fits one screen of `width` columns."""
    groups = rounds_figures(summary.result)
    heaviest = sorted(groups, key=lambda group: -group.figures.time_s)[:SHOWN_OPS]
    parts: list[RenderableType] = [_heading(name, about, summary), _bounds(summary, width), Text()]
    parts += [_causes(summary, width), Text(), _ops(groups, heaviest, summary), Text()]
    parts += [_gantt_text(summary, heaviest, width), Text(), *_closing(summary)]
    return Group(*parts)


def _heading(name: str, about: str, summary: Summary) -> Text:
    options = summary.plan.options
    text = Text.assemble((name, "bold"), "  ", (about, "dim"), "\n") if about else Text(f"{name}\n", style="bold")
    text.append(f"{summary.plan.system.name} · overlap {options.overlap}")
    for chip in summary.plan.system.kinds:
        name = f"{chip.name} " if len(summary.plan.system.kinds) > 1 else ""
        text.append(f" · {name}matrix peak {_peak(summary, chip)} · HBM ")
        text.append(show(chip.hbm.bytes_per_s, Dimension.BANDWIDTH))
    text.append("\n")
    mfu, bound = 100 * _number(summary["mfu"]), str(summary["bound_by"])
    text.append(f"\ntime {_time(_number(summary['time']))}", style="bold")
    text.append("  bound by ")
    text.append(bound, style=CAUSES[bound].colour)
    text.append(f"  eta {WORDS['eta'].text(summary['eta'])}  MFU {mfu:.1f} %")
    return text


def _peak(summary: Summary, chip: Chip) -> str:
    peaks = dict(chip.matrix_unit.peak_flops_per_s)
    used = {sort.kernel.matrix_dtype for sort in summary.plan.kernels.sorts} & set(peaks)
    dtype = sorted(used)[0] if used else next(iter(peaks))
    return f"{show({str(k): v for k, v in peaks.items()}[dtype], Dimension.FLOP_RATE)} {dtype}"


def _bounds(summary: Summary, width: int) -> Text:
    """The bounds as a line, with the run's place on it."""
    lower, upper = _number(summary["lower_bound"]), _number(summary["upper_bound"])
    left, right = f"lower {_time(lower)} ", f" {_time(upper)} upper"
    room = max(10, width - len(left) - len(right) - 2)
    share = min(1.0, max(0.0, 1.0 - _number(summary["eta"])))
    at = round(share * (room - 1))
    line = Text.assemble(left, "├", "─" * at, ("●", "bold red"), "─" * (room - 1 - at), "┤", right)
    chain = _number(summary["dependency_bound"])
    if chain > lower * (1 + 1e-9):
        line.append(f"\ndependencies alone {_time(chain)}", style="dim")
    return line


def _causes(summary: Summary, width: int) -> Table:
    """The t_ times as bars against the run's time; where chips differ, each with the chip that has the most of it."""
    table = Table.grid(padding=(0, 2))
    time = _number(summary["time"])
    unlike = summary.plan.classes > 1
    room = max(10, min(60, width - (52 if unlike else 40)))
    for cause in CAUSES.values():
        seconds = _number(summary[cause.word])
        if seconds <= 0:
            continue
        share = seconds / time if time else 0.0
        bar = Text("█" * max(1, round(min(1.0, share) * room)), style=cause.colour)
        cells = (cause.name, Text(_time(seconds), justify="right"), Text(f"{100 * share:.1f} %", justify="right"), bar)
        chip = summary.chip_of(cause.word) if unlike else None
        table.add_row(*cells, *((Text("" if chip is None else f"chip {chip}", style="dim"),) if unlike else ()))
    return table


def _ops(groups: Sequence[Rounds], heaviest: Sequence[Rounds], summary: Summary) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    for column in ("", "op", "kind", "time", "share", "FLOP/B", "bound by", "tile"):
        figure = column in ("time", "share", "FLOP/B")
        # names give way first: a figure cut off is worse than none
        least = _LEAST_WIDTH.get(column, 4)
        table.add_column(column, justify="right" if figure else "left", no_wrap=True, min_width=least)
    time = _number(summary["time"])
    shown_names = {group.figures.name for group in heaviest}
    rest = [group for group in groups if group.figures.name not in shown_names]
    together = combined("", [group.figures for group in rest]) if rest else None
    shown = [(group.kernels, group.figures.chip) for group in heaviest]
    if together is not None:
        shown.append((tuple(kernel for group in rest for kernel in group.kernels), together.chip))
    busy = busy_s(summary.result, shown)
    for place, group in enumerate(heaviest):
        row = group.figures
        intensity = "-" if row.intensity is None else f"{row.intensity:.4g}"
        rounds = f" x{len(group.kernels)}" if len(group.kernels) > 1 else ""
        bound = Text(row.bound_by, style=CAUSES[row.bound_by].colour)
        cells = (Text(_short(row.name) + rounds), row.kind, _time(row.time_s), _share(busy[place], time))
        table.add_row(LETTERS[place], *cells, intensity, bound, row.tile)
    if together is not None:
        table.add_row(OTHER, f"{len(rest)} more", "", _time(together.time_s), _share(busy[-1], time), "", "", "")
    return table


def _share(seconds: float, time: float) -> str:
    return f"{100 * seconds / time:.1f} %" if time else "-"


def _short(name: str, longest: int = 32) -> str:
    return name if len(name) <= longest else name[: longest - 1] + "…"


def _gantt_text(summary: Summary, heaviest: Sequence[Rounds], width: int) -> Text:
    letters = {at: LETTERS[place] for place, group in enumerate(heaviest) for at in group.kernels}
    chips = sorted({lane.chip for lane in summary.plan.program.queues})[:SHOWN_CHIPS]
    label = 18
    room = max(20, width - label - 2)
    text = Text()
    several = summary.plan.system.size > 1
    for line in gantt(summary.result, room, letters, chips):
        name = f"chip {line.chip} {line.queue}" if several else line.queue
        text.append(f"{_short(name, label - 1):<{label}}", style="dim")
        text.append(f"{line.cells}\n")
    end = _time(_number(summary["time"]))
    text.append(" " * label + "0" + " " * max(1, room - 1 - len(end)) + end, style="dim")
    for note in _network_lines(summary, len(chips)):
        text.append(f"\n{note}", style="dim")
    return text


def _network_lines(summary: Summary, drawn: int) -> Iterator[str]:
    """Which chips are not drawn, and by which algorithms the collectives ran."""
    plan = summary.plan
    hidden = plan.classes - drawn
    if plan.classes < plan.system.size:
        more = f"; {hidden} classes not drawn" if hidden else "; one of each class is drawn"
        yield folding_line(plan) + more
    elif hidden:
        yield f"{hidden} more chip{'s' if hidden > 1 else ''} not drawn"
    found: dict[str, list[str]] = {}
    for each in choices(plan):
        found.setdefault(f"{each.algorithm}, {each.form} ({each.reason})", []).append(each.op)
    for way, ops in list(found.items())[:SHOWN_CHIPS]:
        yield f"{few(ops, 2)}: {way}"


def _closing(summary: Summary) -> Iterator[RenderableType]:
    peak, capacity = fullest(summary)
    memory = f"{show(peak, Dimension.DATA)} of {show(capacity, Dimension.DATA)} HBM ({100 * peak / capacity:.1f} %)"
    yield Text.assemble(("peak memory  ", "dim"), memory, "" if summary["fits"] else ("  DOES NOT FIT", "bold red"))
    found = advice(summary)[:3]
    if found:
        words = "; ".join(f"{each.change}: -{100 * each.gain:.1f} %" for each in found)
    else:
        words = "no single change: the run is balanced, empty, or too large to repeat"
    yield Text.assemble(("would help   ", "dim"), words)
