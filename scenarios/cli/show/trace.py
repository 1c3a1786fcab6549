"""A measured trace in the terminal, and as JSON: breakdown and overlap of every chip, and what took longest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from analysis import temporal_breakdown
from analysis.timelines import PARTS, overlap_fraction, rollup
from hw import Dimension
from hw.input import printable, show
from scenarios.console.terminal import console

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 8


def trace_record(timeline: pd.DataFrame) -> dict[str, object]:
    """Seconds by chip and by op, as plain data."""
    breakdown = temporal_breakdown(timeline)
    overlap = overlap_fraction(timeline)["fraction"].astype(object)
    breakdown["overlap"] = overlap.where(overlap.notna(), None)
    ops = rollup(timeline, "op")[["op", "tasks", "time", "busy"]]
    return {
        "time": float(timeline["end"].max()),
        "tasks": len(timeline),
        "chips": breakdown.to_dict("records"),
        "ops": ops.astype({"op": str}).to_dict("records"),
        "notes": timeline.attrs.get("notes", []),
    }


def show_trace(timeline: pd.DataFrame) -> None:
    """Print the breakdown of every chip, and the ops that took longest."""
    end = float(timeline["end"].max())
    counted = f"{_count(len(timeline), 'slice')}, {_count(timeline['chip'].nunique(), 'chip')}"
    out = console()
    out.print(Text(f"{counted}, {show(end, Dimension.TIME)}"))
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    for name in ("chip", *PARTS, "overlap"):
        table.add_column(name, justify="right")
    fractions = overlap_fraction(timeline)["fraction"]
    for row, overlap in zip(temporal_breakdown(timeline).itertuples(), fractions, strict=True):
        cells = [f"{100 * getattr(row, name) / end:.1f} %" if end else "-" for name in PARTS]
        table.add_row(str(row.chip), *cells, "-" if overlap != overlap else f"{100 * overlap:.1f} %")
    out.print(table)
    out.print(Text("network, memory and other: while nothing computes; overlap: communication hidden", style="dim"))
    heaviest = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    heaviest.add_column("op", overflow="ellipsis", no_wrap=True, max_width=60)
    for name in ("slices", "time"):
        heaviest.add_column(name, justify="right")
    for row in rollup(timeline, "op").head(SHOWN).itertuples():
        heaviest.add_row(Text(printable(str(row.op))), str(row.tasks), show(float(str(row.time)), Dimension.TIME))
    out.print(heaviest)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
