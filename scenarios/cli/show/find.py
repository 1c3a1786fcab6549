"""What is printed of searches: the answer of `find` with how it was found, and crossover maps in characters."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from scenarios.language.study_spec import FindSpec
from scenarios.questions.bisection import State
from scenarios.questions.crossover import Crossover
from scenarios.questions.find import Found

_MARKS: dict[State, str] = {True: "█", False: "·", None: "!"}
_MOST_COLUMNS = 72


def find_lines(asked: FindSpec, found: Found) -> Text:
    """The answer, and below it how many values were tried and where the condition flips."""
    value = "none" if found.value is None else str(found.value)
    text = Text(f"find         {asked.wanted} {asked.path} with {asked.where}: {value}")
    text.append(f"\n             {found}", style="yellow" if not found.monotonic else "dim")
    return text


def show_crossover(console: Console, found: Crossover) -> None:
    """The map, then the table."""
    console.print(crossover_map(found, console.width))
    console.print(_table(found))


def crossover_map(found: Crossover, width: int) -> RenderableType:
    """y up, x to the right: a full block where the condition holds, a dot where not, ! where the run breaks."""
    labels = [str(row.y) for row in found.rows]
    margin = max((len(label) for label in labels), default=0)
    places = found.columns(max(10, min(_MOST_COLUMNS, width - margin - 4)))
    text = Text(f"{found.asked.y.path}\n", style="dim")
    for label, row in reversed(list(zip(labels, found.rows, strict=True))):
        cells = "".join(_MARKS[row.state(place)] for place in places)
        text.append(f"{label:>{margin}} │{cells}\n", style="default")
    low, high = str(found.xs[0]), str(found.xs[-1])
    text.append(f"{'':>{margin}} └{'─' * len(places)}\n", style="default")
    text.append(
        f"{'':>{margin}}  {low}{high:>{max(1, len(places) - len(low))}}  {found.asked.x.path}\n", style="default"
    )
    return Group(text, Text(f"█ {found.asked.where}   · not   ! cannot be run", style="dim"), Text())


def _table(found: Crossover) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    table.add_column(escape(found.asked.y.path))
    table.add_column(escape(f"smallest {found.asked.x.path}"))
    table.add_column("values tried", justify="right")
    table.add_column("")
    for row in found.rows:
        value, tried, note = row.told
        style = "red" if row.found is None else "yellow"
        table.add_row(escape(str(row.y)), escape(value), tried, Text(note, style=style))
    return table
