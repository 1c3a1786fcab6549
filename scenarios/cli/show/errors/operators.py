"""Errors of predictions on a screen: a line a group, and the rows if they are asked for, the worst first; and what a
calibration rests on, on the standard error: a line a stage, with what its rows did not determine."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from hw import Dimension
from hw.input import few, printable
from hw.input import show as shown
from scenarios.calibration import Calibrated, Stage
from scenarios.console.terminal import console, tell
from scenarios.validation import Judged, by_group


def as_json(found: Sequence[Judged], parts: int = 0) -> dict[str, Any]:
    """Groups and rows; times in seconds, errors relative. `parts`: rows of parts of steps, which are not judged."""
    rows = [
        {
            "suite": each.row.suite,
            "name": each.row.name,
            "mode": each.row.mode,
            "line": each.row.mark.line,
            "measured": each.row.measured_s,
            "predicted": each.predicted_s,
        }
        for each in found
    ]
    return {"groups": [asdict(group) for group in by_group(found)], "rows": rows, "parts": parts}


def show(found: Sequence[Judged], with_rows: bool, also: Sequence[Judged] = (), parts: int = 0) -> None:
    """Print the groups, those of rows that are `also` grouped otherwise behind them, and with `with_rows` every row. Of
    `parts` of steps it is told how many there are."""
    table = Table(box=None, pad_edge=False)
    table.add_column("group")
    for name in ("rows", "left out", "mean", "median", "p95", "largest", "bias"):
        table.add_column(name, justify="right")
    for group in by_group([*found, *also]):
        errors = (group.mean, group.median, group.p95, group.largest)
        told = [*(f"{100 * error:.1f} %" for error in errors), f"{100 * group.bias:+.1f} %"]
        table.add_row(escape(group.name), str(group.count), str(group.left_out), *(told if group.count else [""] * 5))
    out = console()
    out.print(table)
    for line in _left_out(found):
        tell(line)
    if parts:
        tell(f"not judged: {parts} rows of parts of steps (a forward pass, an optimizer), whose whole is")
    if with_rows:
        known = sorted((each for each in found if each.predicted_s is not None), key=lambda each: -abs(each.error))
        out.print(_rows(known))


def _left_out(found: Sequence[Judged]) -> list[str]:
    """A line for each kind of row that nothing predicts, and how many there are."""
    names: Counter[str] = Counter()
    for each in found:
        if each.predicted_s is None:
            row = each.row
            where = [str(row.params[key]) for key in ("device", "option", "workload") if row.params.get(key)]
            names[printable(" ".join([row.suite, row.name, *where]))] += 1
    told = [f"{name} ({count})" for name, count in names.most_common()]
    return [f"left out, there is no rule for: {few(told, 12)}"] if names else []


def _rows(known: Sequence[Judged]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("line", "what", "sizes", "measured", "predicted", "error"):
        table.add_column(name, justify="left" if name in ("what", "sizes") else "right")
    for each in known:
        row = each.row
        sizes = {name: value for name, value in row.params.items() if name not in ("l2", "parameters")}
        table.add_row(
            str(row.mark.line),
            escape(" ".join(filter(None, (row.suite, row.name, row.mode or row.dtype)))),
            Text(json.dumps(sizes).replace('"', "")[1:-1][:80]),
            shown(row.measured_s, Dimension.TIME),
            shown(each.predicted_s or 0.0, Dimension.TIME),
            f"{100 * each.error:+.1f} %",
        )
    return table


def show_stages(found: Calibrated, start: str) -> None:
    """Tell the rows of each stage and their mean error before and after; what stays as it was, and what was left out."""
    for stage in found.stages:
        if stage.determined:
            told = f"{100 * stage.before:.1f} % off as {start}, {100 * stage.after:.1f} % now"
            tell(f"{stage.name}: {stage.rows} rows, {told}: {', '.join(stage.found) or 'nothing to find'}")
    for row, times in (each for stage in found.stages for each in stage.spoiled):
        told = f"{times:.3g} times as long" if times > 1.0 else f"{1.0 / times:.3g} times as short"
        tell(
            f"left out, far off alone: {row.mark.file}:{row.mark.line} ({row.suite} {row.name}) is {told} as others say"
        )
    weak = [dotted for stage in found.stages for dotted in stage.weak]
    if weak:
        tell(f"as {start}, since rows say next to nothing of them, or not apart from others: {', '.join(weak)}")
    ends = [dotted for stage in found.stages for dotted in stage.ends]
    if ends:
        tell(f"at the end of what can be: {', '.join(ends)}; are the rows of {found.chip}?")
    left = [f"{stage.name} ({_few_rows(stage)})" for stage in found.stages if not stage.determined]
    if left:
        tell(f"not determined, as {start}: {', '.join(left)}")
    tell(f"as {start} by nature: tiles, rows that are not aligned, convolutions, sustained clocks, dispatch")
    if found.apart:
        tell(
            f"left out: {found.apart} rows that no stage looks at: convolutions, several kernels, kernels of several ops"
        )
    if found.spread or found.unused:
        apart = "whose times spread (other work got in)"
        tell(f"left out: {found.spread} rows {apart}, {found.unused} that are steps, warm, or not known of this chip")


def _few_rows(stage: Stage) -> str:
    """How many rows a stage has, and of what if these are too few."""
    if not stage.rows:
        return "0 rows"
    return f"{stage.rows} rows, {stage.works} different, for {len(stage.parameters)} parameters"
