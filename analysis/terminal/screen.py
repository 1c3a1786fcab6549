"""One screen about a run, the most important first: time and its bounds, what is exposed, time by cause, heaviest ops, one
period of the timeline, memory, what would help, what was assumed.

A terminal of 80 columns and 24 lines shows all of it. Each block has its lines; the table of ops gets those that are left
(at least `FEWEST_OPS`), and empty lines stand between blocks as long as there are some over.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from analysis.runs.advice import MAX_TASKS, Advice, advice
from analysis.runs.assumed import assumptions
from analysis.runs.collectives import folding_line
from analysis.runs.grounds import grounds, grounds_line
from analysis.runs.hidden import hidden_communication
from analysis.runs.margin import margin
from analysis.terminal.gantt import LETTERS, OTHER, Window, gantt, steady_window
from analysis.terminal.lines import LABEL, joined, labelled, line_of
from analysis.words.busy import busy_s
from analysis.words.causes import CAUSES
from analysis.words.chip_kinds import fullest
from analysis.words.columns.rounds import Rounds, rounds_figures
from analysis.words.ops import combined
from analysis.words.summary import Summary
from analysis.words.words import WORDS
from hw import Chip, Dimension
from hw.input import show

LINES = 23
"""Lines of a screen of 24, with one for the prompt."""

MOST_OPS, FEWEST_OPS = 6, 3
SHOWN_CHIPS = 2
_TIGHTER = ((0.0, 3), (0.01, 3), (0.01, 2), (0.01, 1), (0.05, 1))
"""What gives way where lines are short: causes of less than a share of the time, and queues in the picture."""

_HELPS = 4

_LEAST_WIDTH = {"op": 6, "kind": 4, "tile": 4, "time": 8, "share": 7, "FLOP/B": 6, "bound by": 8}

_NAMES = ("op", "kind", "tile")
"""Columns of the table of ops that become narrower where a screen is."""


@dataclass(frozen=True, slots=True)
class Block:
    """Something to print and how many lines it takes."""

    lines: int
    shown: RenderableType


def _time(seconds: float) -> str:
    return show(seconds, Dimension.TIME)


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan


def screen(
    name: str, about: str, summary: Summary, width: int, model: Sequence[str] = (), also: Sequence[Advice] = ()
) -> RenderableType:
    """Everything about a run that fits one screen of `width` columns. `model`: lines about the model that is run; `also`:
    advice that was found elsewhere."""
    groups = sorted(rounds_figures(summary.result), key=lambda group: -group.figures.time_s)
    blocks = [group.kernels for group in groups if group.figures.bound_by not in ("network", "host")]
    window = steady_window(summary.result, blocks[0] if blocks else ())
    above = _block([*_heading(name, about, summary, width), *(line_of(each, width) for each in model)])
    below = _block(_closing(summary, width, also))
    verdict = _block(_verdict(summary, width))
    for least, queues in _TIGHTER:
        causes = _causes(summary, width, least)
        drawn = _gantt_lines(summary, groups[:FEWEST_OPS], width, (window, queues))
        left = LINES - sum(block.lines for block in (above, verdict, causes, below)) - len(drawn) - 2
        if left >= FEWEST_OPS:
            break
    shown = groups[: max(FEWEST_OPS, min(MOST_OPS, left))]
    picture = _block(_gantt_lines(summary, shown, width, (window, queues)))
    return Group(*_spaced([above, verdict, causes, _ops(groups, shown, summary), picture, below]))


def _spaced(blocks: Sequence[Block]) -> Iterator[RenderableType]:
    """Blocks one below the other, an empty line before the last ones as long as there are some over."""
    over = LINES - sum(block.lines for block in blocks)
    for at, block in enumerate(blocks):
        if at and len(blocks) - at <= over:
            yield Text()
        yield block.shown


def _block(lines: Iterable[Text]) -> Block:
    every = list(lines)
    return Block(len(every), Group(*every))


def _heading(name: str, about: str, summary: Summary, width: int) -> Iterator[Text]:
    """What is run, and on what."""
    options, system = summary.plan.options, summary.plan.system
    facts = [system.name, options.calibration, f"overlap {options.overlap}"]
    for chip in system.kinds:
        named = f"{chip.name} " if len(system.kinds) > 1 else ""
        facts.append(f"{named}{_peak(summary, chip)}")
        facts.append(f"HBM {show(chip.hbm.bytes_per_s, Dimension.BANDWIDTH)}")
    beside = len(name) + 2 + len(facts[0]) <= width and not about
    said = Text(joined(facts, " · ", width - (len(name) + 2 if beside else 0)), no_wrap=True, overflow="ignore")
    topology = system.topology
    if topology is None or not topology.levels[0].drawn:  # else there is the path of a file in it, which stays whole
        said = line_of(said, width)
    if beside:
        yield Text.assemble((name, "bold"), "  ", said, no_wrap=True, overflow="ignore")
        return
    yield line_of(Text.assemble((name, "bold"), "  ", (about, "dim")), width)
    yield said


def _verdict(summary: Summary, width: int) -> Iterator[Text]:
    """The time, its place between the bounds, and what is exposed."""
    mfu, bound = 100 * _number(summary["mfu"]), str(summary["bound_by"])
    time = _number(summary["time"])
    sure = margin(summary.result)
    within = f" ± {100 * sure.relative:.2g} %" if sure is not None else ""
    text = Text.assemble((f"time {_time(time)}", "bold"), within, "  bound by ", (bound, CAUSES[bound].colour))
    text.append(f" ({_share(_number(summary[CAUSES[bound].word]), time)} busy)")
    text.append(f"  eta {WORDS['eta'].text(summary['eta'])}  MFU {mfu:.1f} %")
    yield line_of(text, width)
    yield from _bounds(summary, width)
    yield from _exposed(summary, width)


def _exposed(summary: Summary, width: int) -> Iterator[Text]:
    """Communication while nothing computes, and whose it is; nothing where none is sent."""
    exposed, time = _number(summary["exposed_network"]), _number(summary["time"])
    if _number(summary["t_network"]) <= 0:
        return
    hidden = f"none: what is sent ({_time(_number(summary['t_network']))}) goes beside other work"
    text = f"{_time(exposed)} of communication ({_share(exposed, time)})" if exposed else hidden
    if exposed and len(summary.plan.program) <= MAX_TASKS:
        found = [each for each in hidden_communication(summary.result) if each.exposed_s]
        named = [f"{_short(each.op, 16)} {each.kind} {_time(each.exposed_s)}" for each in found]
        text += f": {joined(named, '; ', width - LABEL - len(text) - 2, '; ...')}" if named else ""
    yield from labelled("exposed", text, width)


def _peak(summary: Summary, chip: Chip) -> str:
    peaks = dict(chip.matrix_unit.peak_flops_per_s)
    used = {sort.kernel.matrix_dtype for sort in summary.plan.kernels.sorts} & set(peaks)
    dtype = sorted(used)[0] if used else next(iter(peaks))
    return f"{show({str(k): v for k, v in peaks.items()}[dtype], Dimension.FLOP_RATE)} {dtype}"


def _bounds(summary: Summary, width: int) -> Iterator[Text]:
    """The bounds as a line, with the run's place on it."""
    lower, upper = _number(summary["lower_bound"]), _number(summary["upper_bound"])
    left, right = f"lower {_time(lower)} ", f" {_time(upper)} upper"
    room = max(10, width - len(left) - len(right) - 2)
    share = min(1.0, max(0.0, 1.0 - _number(summary["eta"])))
    at = round(share * (room - 1))
    yield Text.assemble(left, "├", "─" * at, ("●", "bold red"), "─" * (room - 1 - at), "┤", right)
    chain = _number(summary["dependency_bound"])
    if chain > lower * (1 + 1e-9):
        yield Text(f"dependencies alone {_time(chain)}", style="dim")


def _causes(summary: Summary, width: int, least: float) -> Block:
    """The t_ times as bars against the run's time; where chips differ, each with the chip that has the most of it."""
    table = Table.grid(padding=(0, 2))
    time = _number(summary["time"])
    unlike = summary.plan.classes > 1
    room = max(10, min(60, width - (52 if unlike else 40)))
    for cause in CAUSES.values():
        seconds = _number(summary[cause.word])
        share = seconds / time if time else 0.0
        if seconds <= 0 or share < least:
            continue
        bar = Text("█" * max(1, round(min(1.0, share) * room)), style=cause.colour)
        cells = (cause.name, Text(_time(seconds), justify="right"), Text(f"{100 * share:.1f} %", justify="right"), bar)
        chip = summary.chip_of(cause.word) if unlike else None
        table.add_row(*cells, *((Text("" if chip is None else f"chip {chip}", style="dim"),) if unlike else ()))
    return Block(table.row_count, table)


def _ops(groups: Sequence[Rounds], heaviest: Sequence[Rounds], summary: Summary) -> Block:
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    for column in ("", "op", "kind", "time", "share", "FLOP/B", "bound by", "tile"):
        figure = column in ("time", "share", "FLOP/B")
        # names give way: a figure cut off is worse than none, and without letters the timeline below says nothing
        name, least = column in _NAMES, _LEAST_WIDTH.get(column, 1)
        table.add_column(column, justify="right" if figure else "left", no_wrap=not name, min_width=least)
    time = _number(summary["time"])
    shown_names = {group.figures.name for group in heaviest}
    rest = [group for group in groups if group.figures.name not in shown_names]
    together = combined("", [group.figures for group in rest]) if rest else None
    shown = [(group.kernels, group.figures.chip) for group in heaviest]
    if together is not None:
        shown.append((np.concatenate([group.kernels for group in rest]), together.chip))
    busy = busy_s(summary.result, shown)
    for place, group in enumerate(heaviest):
        row = group.figures
        intensity = f"{row.intensity:.4g}" if row.intensity else "-"  # what does no arithmetic has none
        rounds = f" x{len(group.kernels)}" if len(group.kernels) > 1 else ""
        bound = Text(row.bound_by, style=CAUSES[row.bound_by].colour)
        cells = (_name(_short(row.name) + rounds), _name(row.kind), _time(row.time_s), _share(busy[place], time))
        table.add_row(LETTERS[place], *cells, intensity, bound, _name(row.tile))
    if together is not None:
        table.add_row(OTHER, _name(f"{len(rest)} more"), "", _time(together.time_s), _share(busy[-1], time), "", "", "")
    return Block(table.row_count + 1, table)


def _name(name: str) -> Text:
    """A name on one line, cut off where there is no room."""
    return Text(name, no_wrap=True, overflow="ellipsis")


def _share(seconds: float, time: float) -> str:
    return f"{100 * seconds / time:.1f} %" if time else "-"


def _short(name: str, longest: int = 32) -> str:
    return name if len(name) <= longest else name[: longest - 1] + "…"


def _gantt_lines(
    summary: Summary, heaviest: Sequence[Rounds], width: int, part: tuple[Window | None, int]
) -> list[Text]:
    """So many queues that are busiest, and the time below them; of blocks that repeat one round, the window."""
    window, queues = part
    letters = {at: LETTERS[place] for place, group in enumerate(heaviest) for at in group.kernels.tolist()}
    chips = sorted({lane.chip for lane in summary.plan.program.queues})
    label = 18
    room = max(20, width - label - 2)
    several = summary.plan.system.size > 1
    drawn = gantt(summary.result, room, letters, chips[:SHOWN_CHIPS], window)
    busiest = sorted(drawn, key=lambda line: -line.busy)[:queues]
    lines = []
    for line in drawn:
        if line in busiest:
            name = f"chip {line.chip} {line.queue}" if several else line.queue
            lines.append(Text.assemble((f"{_short(name, label - 1):<{label}}", "dim"), line.cells, no_wrap=True))
    begin, end = (0.0, _number(summary["time"])) if window is None else (window.begin_s, window.end_s)
    left, right = "0" if window is None else _time(begin), _time(end)
    notes = [f"one of {window.rounds} rounds"] if window is not None else []
    if summary.plan.classes < summary.plan.system.size:
        notes.append(folding_line(summary.plan))
    if summary.plan.classes > SHOWN_CHIPS:
        notes.append(f"{summary.plan.classes - SHOWN_CHIPS} more not drawn")
    middle = ", ".join(notes)
    axis = f"{left}{middle:^{max(0, room - len(left) - len(right))}}{right}"
    return [*lines, line_of(Text(" " * label + axis, style="dim"), width)]


def _closing(summary: Summary, width: int, also: Sequence[Advice]) -> Iterator[Text]:
    """Memory, what would help, what a measured run rests on, what was assumed."""
    peak, capacity = fullest(summary)
    memory = f"{show(peak, Dimension.DATA)} of {show(capacity, Dimension.DATA)} HBM ({100 * peak / capacity:.1f} %)"
    fits = "" if summary["fits"] else ("  DOES NOT FIT", "bold red")
    yield line_of(Text.assemble(("peak memory  ", "dim"), memory, fits), width)
    shares = grounds(summary.result)
    # a line more below is one less here: the screen is as long as ever
    yield from labelled("would help", _helpful(summary, also), width, 2 if shares is None else 1)
    if shares is not None:
        yield from labelled("rests on", grounds_line(shares), width)
    assumed = assumptions(summary)
    if assumed:
        yield from labelled("assumed", "; ".join(assumed), width)


def _helpful(summary: Summary, also: Sequence[Advice]) -> str:
    """Changes with what each saves, all of them really run; or why there are none."""
    if summary.result.time_s <= 0:
        return "nothing: there is nothing to do"
    tasks = len(summary.plan.program)
    every = sorted([*advice(summary), *also], key=lambda each: -each.gain)
    found = every[:_HELPS]
    if found:
        return "; ".join(f"{each.change}: -{100 * each.gain:.1f} %" for each in found)
    if tasks > MAX_TASKS:
        return f"not tried with {tasks:,} tasks; `overlapse what-if` tries it"
    return "nothing alone: no resource twice as fast, and no other way to run, saves time"
