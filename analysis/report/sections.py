"""The sections of a report as HTML: each a function of the telling, empty where it has nothing to say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.plots.page import in_text
from analysis.plots.topology import WireLoad, wire_loads
from analysis.report.markup import GAIN, bar, chart, folded, legend, paragraph, stack, swatch, table
from analysis.report.place import bounds, causes, chips
from analysis.report.story import Telling, held_by, percent, time_text
from analysis.runs.collectives import choices
from analysis.runs.critical_path import PATH_CAUSES, path_work_ps
from analysis.runs.grounds import grounds, grounds_line
from analysis.words.busy import busy_s
from analysis.words.chip_kinds import fullest, kind_labels
from analysis.words.columns.rounds import bases
from analysis.words.ops import OpFigures, combined
from analysis.words.words import word_named
from hw import Dimension
from hw.input import show
from simulator import PS_PER_S

SHOWN_OPS = 30
SHOWN_STEPS = 25
SHOWN_ROWS = 200
Charts = Mapping[str, Any]
"""The charts that there are, by name."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the report: what the address of it ends in, its title, and what makes it."""

    key: str
    title: str
    made: Callable[[Telling, Charts], str]


def _why(telling: Telling, _charts: Charts) -> str:
    return "".join(map(paragraph, telling.story.notes))


def _beside(telling: Telling, _charts: Charts) -> str:
    rows = [
        (title if not at else "", line)
        for title, lines in telling.story.beside.items()
        for at, line in enumerate(lines)
    ]
    return table(("", "="), rows, wide=True) if rows else ""


def _ops(telling: Telling, charts: Charts) -> str:
    groups: dict[str, list[int]] = {}
    for at, row in enumerate(telling.figures):
        groups.setdefault(row.base, []).append(at)
    merged = sorted(
        ((combined(name, [telling.figures[at] for at in kernels]), kernels) for name, kernels in groups.items()),
        key=lambda pair: -pair[0].time_s,
    )
    shown = merged[:SHOWN_OPS]
    busy = busy_s(telling.summary.result, [(kernels, row.chip) for row, kernels in shown])
    rows = [_op_row(telling, row, len(ks), seconds) for (row, ks), seconds in zip(shown, busy, strict=True)]
    columns = ("*op", "kind", ">time", ">share", ">FLOPs", ">HBM bytes", ">FLOP/B", "bound by", "tile")
    more = paragraph(f"{len(merged) - SHOWN_OPS} more ops take less.", "note") if len(merged) > SHOWN_OPS else ""
    roofline = (
        chart("roofline", charts["roofline"]["layout"]["height"], "Ops under the roofs") if "roofline" in charts else ""
    )
    whose = "its chip" if len(telling.summary.plan.system.kinds) == 1 else "each kind of chip that runs it"
    caption = f"Each op under the roofs of {whose}; the larger, the longer it takes." if roofline else ""
    return roofline + paragraph(caption, "caption") + table(columns, rows, wide=True) + more


def _op_row(telling: Telling, row: OpFigures, count: int, busy: float) -> Sequence[object]:
    name = f"{row.name} x{count}" if count > 1 else row.name
    flops = show(row.flops, Dimension.WORK) if row.flops else "-"
    nbytes = show(row.hbm_bytes, Dimension.DATA) if row.hbm_bytes else "-"
    intensity = f"{row.intensity:.4g}" if row.intensity else "-"
    share = percent(telling.share(busy))
    return (name, row.kind, time_text(row.time_s), share, flops, nbytes, intensity, swatch(row.bound_by), row.tile)


def _memory(telling: Telling, charts: Charts) -> str:
    if "memory" not in charts:
        return ""
    peak, capacity = fullest(telling.summary)
    fits = "" if telling.summary["fits"] else " It does not fit."
    held = held_by(telling.summary.result)
    words = f"At most {show(peak, Dimension.DATA)} of {show(capacity, Dimension.DATA)} on one chip{held}."
    return chart("memory", charts["memory"]["layout"]["height"], "Memory over time") + paragraph(
        words + fits, "caption"
    )


def _network(telling: Telling, charts: Charts) -> str:
    loads = wire_loads(telling.summary.result)
    if not loads:
        return ""
    drawn = (
        chart("topology", charts["topology"]["layout"]["height"], "Load of the links") if "topology" in charts else ""
    )
    note = "Load: the time that a link's bytes take at its full rate, over the run's time."
    kinds: dict[tuple[str, int], list[WireLoad]] = {}
    for each in loads:
        kinds.setdefault((each.wire.link, each.wire.level), []).append(each)
    topology = telling.summary.plan.system.topology
    assert topology is not None
    rows = []
    for (link, level), group in kinds.items():
        top = max(group, key=lambda each: each.share)
        mean = sum(each.share for each in group) / len(group)
        busiest = f"{top.wire.source} → {top.wire.target}" if top.share else "-"
        rate = show(top.wire.bytes_per_s, Dimension.BANDWIDTH)
        rows.append(
            (link, topology.levels[level].text, f"{len(group)}", rate, percent(mean), percent(top.share), busiest)
        )
    columns = ("link", "level", ">wires", ">one way", ">mean load", ">highest load", "busiest")
    chosen = [
        (each.op, each.kind, each.axes, each.algorithm, each.form, each.reason)
        for each in choices(telling.summary.plan)
    ]
    collectives = ""
    if chosen:
        base = bases(telling.summary.plan)
        distinct = list(dict.fromkeys((base[row[0]], *row[1:]) for row in chosen))
        inside = table(("*op", "kind", "axes", "algorithm", "form", "=reason"), distinct[:SHOWN_ROWS])
        collectives = folded(f"How the collectives ran ({len(chosen)})", inside)
    return drawn + paragraph(note, "caption") + table(columns, rows) + collectives


def _path(telling: Telling, _charts: Charts) -> str:
    if not telling.path:
        return ""
    base = bases(telling.summary.plan)
    by_op: dict[tuple[str, str], int] = {}
    by_cause = dict.fromkeys(PATH_CAUSES, 0)
    for (op, cause), lasted in path_work_ps(telling.path).items():
        key = (base[op], cause)
        by_op[key] = by_op.get(key, 0) + lasted
        by_cause[cause] += lasted
    total = max(1, sum(by_cause.values()))
    parts = {cause: lasted / total for cause, lasted in by_cause.items() if lasted}
    ranked = sorted(by_op.items(), key=lambda item: -item[1])
    rows = [
        (op, swatch(cause), time_text(lasted / PS_PER_S), percent(lasted / total), bar(cause, lasted / total))
        for (op, cause), lasted in ranked[:SHOWN_STEPS]
    ]
    words = (
        "The chain of tasks that the run's end waited for, through data, queues and contention: its parts add up to the "
        "run's time. Only what is on it can make the run shorter."
    )
    rest = len(ranked) - SHOWN_STEPS
    more = paragraph(f"{rest} more parts are smaller.", "note") if rest > 0 else ""
    body = table(("*op", "cause", ">time", ">share", "|"), rows, wide=True)
    return paragraph(words, "caption") + stack(parts) + legend(parts) + body + more


def _what_if(telling: Telling, charts: Charts) -> str:
    words = "Each line is a run of its own, with one thing changed and all else the same."
    rows = [
        (each.change, time_text(each.time_s), f"-{percent(each.gain)}", bar(GAIN, each.gain)) for each in telling.helps
    ]
    drawn = (
        chart("tornado", charts["tornado"]["layout"]["height"], "What faster resources save")
        if "tornado" in charts
        else ""
    )
    if rows:
        return paragraph(words, "caption") + table(("=change", ">time", ">saves", "|"), rows, wide=True) + drawn
    if drawn:
        return paragraph(words, "caption") + drawn
    if not telling.tried:
        tasks = len(telling.summary.plan.program)
        return paragraph(f"Not tried with {tasks:,} tasks; `overlapse what-if` tries it.")
    return paragraph("Nothing alone: no resource twice as fast, and no other way to run, saves time.")


def _assumed(telling: Telling, _charts: Charts) -> str:
    options = telling.summary.plan.options
    ideal = "the data sheet: every unit reaches its peak" if options.calibration == "spec" else "measured efficiencies"
    lines = [f"Figures of the chip: {options.calibration}, {ideal}.", *(f"{line}." for line in telling.assumed)]
    shares = grounds(telling.summary.result)
    if shares is not None:
        lines.insert(1, f"What it rests on, {grounds_line(shares)}.")
    return f"<ul>{''.join(f'<li>{in_text(line[0].upper() + line[1:])}</li>' for line in lines)}</ul>"


def _study(telling: Telling, charts: Charts) -> str:
    frame = telling.story.study
    if frame is None or not len(frame):
        return ""
    drawn = chart("sweep", charts["sweep"]["layout"]["height"], "The study's times") if "sweep" in charts else ""
    words = [word for word in ("time", "bound_by", "eta", "mfu") if word in frame.columns]
    inputs = [name for name in telling.story.inputs if name in frame.columns]
    rows = [
        [*(row[name] for name in inputs), *(_word(word, row[word]) for word in words), row.get("error") or ""]
        for row in frame.head(SHOWN_ROWS).to_dict("records")
    ]
    columns = [*inputs, *(f">{word}" if word != "bound_by" else word for word in words), "="]
    return drawn + table(columns, rows)


def _word(word: str, value: object) -> str:
    return word_named(word).text(value)


def _words(telling: Telling, _charts: Charts) -> str:
    rows = [
        (
            word,
            _word(word, value),
            word_named(word).meaning,
        )
        for word, value in telling.summary.as_dict().items()
        if value is not None
    ]
    return table(("word", ">value", "=what it means"), rows)


def _sources(telling: Telling, _charts: Charts) -> str:
    system = telling.summary.plan.system
    found = telling.story.sources or [
        (f"{label} {section}", "", chip.sources.get(section, "no source given"))
        for label, chip in zip(kind_labels(system), system.kinds, strict=True)
        for section in chip.figures()
    ]
    parts = [table(("section", "=figures", "=source"), found)]
    if telling.story.settings:
        inside = table(("=value", "=as written", "=place"), telling.story.settings)
        parts.append(
            folded(f"Every value of the scenario, and where it stands ({len(telling.story.settings)})", inside)
        )
    return "".join(parts)


BESIDE = (
    Section("place", "Between its bounds", bounds),
    Section("causes", "What the time goes to", causes),
)
"""Sections beside the timeline."""

AFTER = (
    Section("why", "Why it takes as long as it does", _why),
    Section("beside", "What the run is a part of", _beside),
    Section("what-if", "What would help", _what_if),
    Section("chips", "Chip by chip", chips),
    Section("path", "Critical path", _path),
    Section("ops", "Ops under the roofs", _ops),
    Section("memory", "Memory over time", _memory),
    Section("network", "Network", _network),
    Section("study", "Study", _study),
    Section("assumed", "Assumptions", _assumed),
    Section("words", "All results", _words),
    Section("sources", "Sources", _sources),
)
"""Sections below it."""
