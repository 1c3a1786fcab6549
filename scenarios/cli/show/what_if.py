"""What `overlapse what-if` prints: a table of resources, bars, and a table of edits."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from hw import Dimension
from hw.input import show, show_change
from scenarios.questions.what_if import Effect, WhatIf

_BAR = 28


def show_what_if(console: Console, found: WhatIf) -> None:
    """Time with each resource 1.1x, 2x and infinitely fast, elasticity, bars; then the edits."""
    time = show(found.time_s, Dimension.TIME)
    console.print(
        Text.assemble((found.scenario.name, "bold"), f"  time {time}, really run again with one thing faster")
    )
    console.print(_resources(found))
    console.print(Text("█ twice as fast saves   ░ infinitely fast saves   elasticity: ln(T'/T)/ln 1.1", "dim"))
    if found.edits:
        console.print()
        console.print(_edits(found))


def _resources(found: WhatIf) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    for column in ("resource", "x1.1", "x2", "infinite", "elasticity", ""):
        table.add_column(column, justify="left" if column in ("resource", "") else "right", no_wrap=True)
    for each in found.effects:
        shares = [show_change(-each.gain(time)) for time in (each.x1_1, each.x2, each.infinite)]
        table.add_row(
            escape(each.resource.replace("_", " ")), *shares, f"{round(each.elasticity, 3) + 0.0:.3f}", _bar(each)
        )
    return table


def _bar(effect: Effect) -> Text:
    twice, most = (round(_BAR * max(0.0, effect.gain(time))) for time in (effect.x2, effect.infinite))
    return Text.assemble(("█" * twice, "green"), ("░" * max(0, most - twice), "green"))


def _edits(found: WhatIf) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    for column in ("edit", "time", "change", ""):
        table.add_column(column, justify="right" if column in ("time", "change") else "left")
    for each in found.edits:
        if each.time is None or each.gain is None:
            table.add_row(escape(each.edit), "", "", Text(each.error, style="red"))
        else:
            table.add_row(
                escape(each.edit), show(each.time, Dimension.TIME), show_change(-each.gain), Text(each.note, "yellow")
            )
    return table
