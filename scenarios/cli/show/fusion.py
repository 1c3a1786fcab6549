"""What `overlapse fusion` prints: times of runs, the proof, and each group with what it saves and spills."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hw import Dimension
from hw.input import few, show
from scenarios.questions.fusions import BEST, Fusions

_MOST_GROUPS = 12
_NAMED = 6
_SAME = 1e-9
_MANY = 1_000_000
"""Ops of a group that a line names."""


def show_fusions(console: Console, found: Fusions) -> None:
    """The runs, how sure the best is, and its groups, those that save most first."""
    best_s = found.times_s[BEST]
    for name, time_s in found.times_s.items():
        console.print(Text(f"{name:<13}{_run(time_s, best_s)}", style="bold" if name == BEST else ""))
    best = found.best
    ways = f"{best.partitions:,}" if best.partitions < _MANY else f"{best.partitions:.3g}"
    priced = f"{best.priced:,} group{'' if best.priced == 1 else 's'} priced"
    told = f"{priced}, the best of {ways} ways to cut the ops into kernels"
    console.print(Text(f"proof        {told}"))
    faster = [name for name, time_s in found.times_s.items() if best_s and time_s and time_s < best_s * (1 - _SAME)]
    if faster:
        told = f"{' and '.join(faster)} joins more than stands in one round of a block, which no group by name can"
        console.print(Text(f"faster       {told}"))
    if not best.groups:
        console.print(Text("nothing is worth fusing"))
        return
    console.print()
    console.print(_table(found))
    if len(best.groups) > _MOST_GROUPS:
        console.print(Text(f"and {len(best.groups) - _MOST_GROUPS:,} groups that save less", style="dim"))


def _run(time_s: float | None, best_s: float | None) -> str:
    if time_s is None:
        return "cannot be run"
    more = f" (+{100 * (time_s / best_s - 1):.1f} %)" if best_s and time_s > best_s else ""
    return f"{show(time_s, Dimension.TIME)}{more}"


def _table(found: Fusions) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    table.add_column("group")
    for column in ("time", "apart", "saves", "spills"):
        table.add_column(column, justify="right", no_wrap=True)
    for group in sorted(found.best.groups, key=lambda each: -each.saved_s)[:_MOST_GROUPS]:
        times = (show(each, Dimension.TIME) for each in (group.time_s, group.apart_s, group.saved_s))
        spills = show(group.spilled_bytes, Dimension.DATA) if group.spilled_bytes else ""
        table.add_row(few(group.ops, _NAMED), *times, spills)
    return table


def fusions_record(found: Fusions) -> dict[str, Any]:
    """Ready for JSON."""
    best = found.best
    return {
        "fuse": best.rule,
        "times": dict(found.times_s),
        "kernels": best.time_s,
        "kernels_apart": best.apart_s,
        "priced": best.priced,
        "partitions": best.partitions,
        "groups": [
            {"ops": list(each.ops), "time": each.time_s, "apart": each.apart_s, "spilled_bytes": each.spilled_bytes}
            for each in best.groups
        ],
    }
