"""What `overlapse estimate` prints: bounds of the time, and a table of what chips of each stage hold."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hw import Dimension
from hw.input import show
from scenarios.building.build import Scenario
from simulator import Estimate, Owner


def show_estimate(console: Console, scenario: Scenario, found: Estimate) -> None:
    """Bounds, then what is held at the peak, by owner (master weights with the optimizer); stages that hold the same as the
    one before are one row."""
    times = [show(each, Dimension.TIME) for each in (found.earliest, found.upper_bound, found.lower_bound)]
    console.print(f"time         {times[0]} at least, {times[1]} at most; the busiest resource {times[2]}")
    if found.expected > found.earliest:
        expected = show(found.expected, Dimension.TIME)
        console.print(f"expected     {expected}: with what collectives, copies and hosts take")
    capacity = scenario.system.chip.hbm.capacity_bytes
    fits = "fits" if found.peak_memory <= capacity else "does not fit"
    told = f"{show(found.peak_memory, Dimension.DATA)} of {show(capacity, Dimension.DATA)} HBM"
    console.print(f"peak memory  {told} ({100 * found.peak_memory / capacity:.1f} %), {fits}\n")
    console.print(_table(found))
    for note in scenario.notes:
        console.print(Text.assemble(("\nnote         ", "dim"), (note, "yellow")))


_COLUMNS: Mapping[str, tuple[Owner, ...]] = {
    "weights": ("weights",),
    "gradients": ("gradients",),
    "optimizer": ("optimizer", "master weights"),
    "activations": ("activations",),
}
"""What each column of the table counts; all else is one more, `rest`."""


def _table(found: Estimate) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    for column in ("stage", "peak", *_COLUMNS, "rest"):
        table.add_column(column, justify="left" if column == "stage" else "right", no_wrap=True)
    at = 0
    while at < len(found.memory):
        stage, until = found.memory[at], at + 1
        while until < len(found.memory) and found.memory[until] == stage:
            until += 1
        name = f"{at}" if until == at + 1 else f"{at} to {until - 1}"
        parts = [sum(stage.at_peak.get(owner, 0.0) for owner in owners) for owners in _COLUMNS.values()]
        cells = [show(part, Dimension.DATA, 3) for part in (*parts, stage.peak - sum(parts))]
        table.add_row(name, show(stage.peak, Dimension.DATA), *cells)
        at = until
    return table
