"""What `overlapse compare` prints: the two runs, the causes of the difference, and the ops that moved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from analysis import WORDS, bases
from analysis.runs import BOTH, Change
from hw import Dimension
from hw.input import printable, show
from scenarios.questions.compare import Compared
from scenarios.questions.measured import BesideTrace, Moved
from simulator import PS_PER_S

_SHOWN = 16
_SHOWN_BESIDE, _SHOWN_GAPS = 12, 5


def show_compare(console: Console, found: Compared) -> None:
    """Both times, then the causes, then the ops that moved most; everything adds up to the difference."""
    moves = found.moves
    a_s, b_s = found.a.result.time_s, found.b.result.time_s
    for letter, name, summary in zip("AB", found.names, (found.a, found.b), strict=True):
        time, bound = show(summary.result.time_s, Dimension.TIME), summary["bound_by"]
        eta = WORDS["eta"].text(summary["eta"])
        console.print(Text.assemble((f"{letter}  {name}", "bold"), f"  {time}  eta {eta}  bound by {bound}"))
    for letter, notes in zip("AB", found.notes, strict=True):
        for note in notes:
            console.print(Text(f"{letter}  {note}", style="yellow"))
    share = f" ({100 * (b_s / a_s - 1):+.1f} %)" if a_s else ""
    console.print(Text(f"B - A  {_moved(moves.difference_ps)}{share}\n", style="bold"))
    console.print(_table("cause", moves.by_cause, [each.cause for each in moves.by_cause], moves.difference_ps))
    console.print()
    base = {**bases(found.a.plan), **bases(found.b.plan)}
    changes = _by_round(moves.changes, base)
    shown = [each for each in changes if each.difference_ps][:_SHOWN]
    console.print(_table("op", shown, [_label(each) for each in shown], moves.difference_ps, changes))
    console.print(Text("along each run's own chain of what waited for what; seconds off it count nothing", style="dim"))


def show_beside(console: Console, found: BesideTrace) -> None:
    """A run beside a trace: both times, what they are made of, the ops that differ most, and the gaps that do."""
    a, b = found.times
    for letter, name, time, kind in zip("AB", found.names, (a, b), ("simulated", "measured"), strict=True):
        console.print(Text.assemble((f"{letter}  {name}", "bold"), f"  {show(time, Dimension.TIME)}  {kind}"))
    for note in found.trace.notes:
        console.print(Text(f"B  {note}", style="yellow"))
    share = f" ({100 * (b / a - 1):+.1f} %)" if a else ""
    console.print(Text(f"B - A  {_moved(_ps(b - a))}{share}\n", style="bold"))
    console.print(_parts_beside(found))
    console.print()
    ops = [each for each in found.moves if _ps(each.difference)][:_SHOWN_BESIDE]
    gaps = [each for each in found.gaps if any(each.gaps)][:_SHOWN_GAPS]
    for rows, table in ((ops, _ops_beside), (gaps, _gaps_beside)):
        if rows:
            console.print(table(rows))
            console.print()
    of_a, of_b = (f"{100 * share:.1f} %" for share in found.matched)
    how = f"lined up by family, name and order: {of_a} of the work of A, {of_b} of that of B; from the first work on"
    console.print(Text(how, style="dim"))


def _ps(seconds: float) -> int:
    return round(seconds * PS_PER_S)


def _parts_beside(found: BesideTrace) -> Table:
    table = _plain_table("where", "A", "B", "B - A")
    for name, (a, b) in {**found.parts, "together": found.times}.items():
        difference = _coloured(_ps(b - a)) if name in found.parts else Text(_moved(_ps(b - a)), style="bold")
        table.add_row(name, show(a, Dimension.TIME), show(b, Dimension.TIME), difference)
    return table


def _ops_beside(rows: Iterable[Moved]) -> Table:
    table = _plain_table("op", "call of the trace", "A", "B", "B - A")
    for each in rows:
        op, call = (
            f"{name} x{count}" if count > 1 else name
            for name, count in zip((each.op, each.call), each.counts, strict=True)
        )
        times = (show(time, Dimension.TIME) for time in (each.a, each.b))
        table.add_row(
            escape(op or "only B"), escape(printable(call) or "only A"), *times, _coloured(_ps(each.difference))
        )
    return table


def _gaps_beside(rows: Iterable[Moved]) -> Table:
    """Gaps before ops: of both, and what of those of B is the host's."""
    table = _plain_table("gap before", "A", "B", "of that the host's", "B - A")
    for each in rows:
        times = (show(time, Dimension.TIME) for time in (*each.gaps, each.gap_host_b))
        table.add_row(escape(printable(each.name)), *times, _coloured(_ps(each.gaps[1] - each.gaps[0])))
    return table


def _plain_table(*columns: str) -> Table:
    """A table of names and figures: figures stay whole, names give way."""
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    for at, column in enumerate(columns):
        name = not at or column.startswith("call")
        table.add_column(column, justify="left" if name else "right", no_wrap=True, overflow="ellipsis")
        table.columns[-1].min_width = None if name else 9
    return table


def _by_round(changes: Iterable[Change], base: Mapping[str, str]) -> list[Change]:
    """Changes that differ only in the round of their block, as one."""
    found: dict[tuple[str, str, str], Change] = {}
    for each in changes:
        key = (base[each.op], each.cause, each.where)
        known = found.get(key, Change(*key[:2], 0, 0, each.where))
        found[key] = Change(*key[:2], known.a_ps + each.a_ps, known.b_ps + each.b_ps, each.where)
    return sorted(found.values(), key=lambda each: -abs(each.difference_ps))


def _label(change: Change) -> str:
    where = f" ({change.where})" if change.where != BOTH else ""
    return f"{change.op}: {change.cause}{where}"


def _table(
    heading: str, rows: list[Change], labels: list[str], difference_ps: int, everything: list[Change] | None = None
) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    for column in (heading, "A", "B", "B - A"):
        table.add_column(column, justify="left" if column == heading else "right", no_wrap=column != heading)
    for row, label in zip(rows, labels, strict=True):
        times = (show(ps / PS_PER_S, Dimension.TIME) for ps in (row.a_ps, row.b_ps))
        table.add_row(escape(label), *times, _coloured(row.difference_ps))
    rest = [each for each in everything or () if each not in rows]
    if rest:
        sums = [sum(each.a_ps for each in rest), sum(each.b_ps for each in rest)]
        times = (show(ps / PS_PER_S, Dimension.TIME) for ps in sums)
        table.add_row(f"{len(rest)} more", *times, _coloured(sums[1] - sums[0]))
    table.add_row("together", "", "", Text(_moved(difference_ps), style="bold"))
    return table


def _coloured(difference_ps: int) -> Text:
    style = "red" if difference_ps > 0 else "green" if difference_ps < 0 else "dim"
    return Text(_moved(difference_ps), style=style)


def _moved(difference_ps: int) -> str:
    sign = "+" if difference_ps > 0 else ""
    return f"{sign}{show(difference_ps / PS_PER_S, Dimension.TIME)}" if difference_ps else "0"
