"""A measured trace in the terminal, and as JSON: breakdown and overlap of every chip, and what took longest; and what became
of imported files, of a replay first how long it takes beside what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from analysis import temporal_breakdown
from analysis.timelines import PARTS, overlap_fraction, rollup
from hw import Dimension
from hw.input import parse_document, printable, show
from scenarios.building.build import build_scenario
from scenarios.building.run_one import summarise
from scenarios.console.terminal import console
from scenarios.importers import Imported

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


def imported_record(made: Imported) -> dict[str, object]:
    """What was made of files, as plain data; `replayed`: how long it takes, where something was measured."""
    return {
        "name": made.name,
        "ops": len(made.ops),
        "measured": made.measured_s,
        "replayed": _replayed_s(made) if made.measured_s is not None else None,
        "between": list(made.between_s) if made.between_s is not None else None,
        "unpriced": [{"kind": each.kind, "count": each.count, "bytes": each.nbytes} for each in made.unpriced],
        "hbm_bytes": made.nbytes,
        "notes": list(made.notes),
    }


def show_imported(made: Imported) -> None:
    """Print what was made of files."""
    out = console()
    if made.measured_s is not None:
        replayed = _replayed_s(made)
        times = [show(each, Dimension.TIME) for each in (replayed, made.measured_s)]
        # a trace whose slices have no length was measured to take no time
        apart = f" ({100 * (replayed / made.measured_s - 1):+.2f} %)" if made.measured_s else ""
        out.print(Text(f"replayed {times[0]}, measured {times[1]}{apart}"))
    out.print(Text(printable(f"{made.name}: {len(made.ops):,} ops")))
    for line in made.told():
        out.print(Text(printable(line)))


def _replayed_s(made: Imported) -> float:
    """How long the scenario takes. Raises SpecError, RunError."""
    scenario = build_scenario(parse_document(made.text, made.name), Path(made.name))
    return float(str(summarise(scenario)["time"]))
