"""What `overlapse topology` and `overlapse systems` print."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from hw import Dimension, Host, System, Topology
from hw.input import show
from hw.network import (
    CLOSED_FORM,
    Bisection,
    LevelFacts,
    diameter,
    drawn_level,
    level_facts,
    link_rows,
    overall_cut,
    topology_record,
)
from hw.systems import load_system, system_file, system_names
from scenarios.console.terminal import console as terminal
from scenarios.console.terminal import listing, print_rows

_B_S, _S, _B = Dimension.BANDWIDTH, Dimension.TIME, Dimension.DATA
_NARROWEST, _TABLE_WIDTH = 80, 132
_LINK_ROWS = 16
_LABEL = 12
_RUNS = 6


def _table(*columns: str, left: int = 1) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for at, column in enumerate(columns):
        table.add_column(column, justify="left" if at < left else "right", no_wrap=True)
    return table


def system_record(system: System) -> dict[str, Any]:
    """A system as one object, SI units."""
    record: dict[str, Any] = {"name": system.name, "chips": system.size}
    counts = [sum(1 for kind in system.kind_of if kind == at) for at in range(len(system.kinds))]
    record["kinds"] = [{"chip": chip.name, "count": n} for chip, n in zip(system.kinds, counts, strict=True)]
    if system.topology is not None:
        record |= topology_record(system.topology)
    if system.host is not None:
        record["host"] = system.host.model_dump(mode="json")
    return record


def show_topology(system: System) -> None:
    """A picture of each level, the figures, the links."""
    console = terminal(_NARROWEST)
    console.print(Text(system.name, style="bold"))
    topology = system.topology
    if topology is None:
        console.print(Text("one chip alone: nothing is wired"))
        return
    facts = level_facts(topology)
    for number, each in enumerate(facts):
        _draw(console, topology, number, each)
    console.print()
    _figures(console, system, topology, facts)
    console.print()
    _links(console, topology)


def _draw(console: Console, topology: Topology, number: int, facts: LevelFacts) -> None:
    level = facts.level
    console.print()
    many = f"  ({facts.instances} of these; the first is drawn)" if facts.instances > 1 else ""
    console.print(Text.assemble((level.text, "bold cyan"), (many, "dim")))
    picture = drawn_level(topology, number)
    for line in picture.lines:
        console.print(Text(f"  {line}"), no_wrap=True, overflow="crop")
    for remark in picture.remarks:
        console.print(Text(f"  {remark}", style="dim"))


def _figures(console: Console, system: System, topology: Topology, facts: list[LevelFacts]) -> None:
    lines = [("chips", f"{topology.size}{_runs(system)}"), ("diameter", _hops(diameter(facts)))]
    cut = overall_cut(facts)
    if cut is not None:
        whole = max((at for at, each in enumerate(facts) if each.level.children > 1), default=0)
        halves = "" if whole == 0 else f" between halves of the {facts[whole].level.children} nodes"
        lines.append(("bisection", f"{_cut(cut)} one way{halves}"))
        lines += [("", f"({cut.method})")] if cut.method != CLOSED_FORM else []
        inside = [each for each in facts[:whole] if each.level.children > 1]
        narrowest = "" if len(system.kinds) == 1 else "the narrowest "
        lines += [("", f"{_cut(each.bisection)} inside {narrowest}{each.level.text}") for each in inside]
    lines += [("" if at else "hosts", text) for at, text in enumerate(_host(system.host) if system.host else ())]
    for label, text in lines:
        console.print(Text.assemble((f"{label:<{_LABEL}}", "dim"), text))


def _runs(system: System) -> str:
    """Which chips are of which kind, where they are not all alike: ': 0-7 v100_sxm2_32gb, 8-15 a100_80gb_sxm'."""
    if len(system.kinds) == 1:
        return ""
    texts, start = list[str](), 0
    for kind, group in groupby(system.kind_of):
        end = start + len(list(group))
        numbers = str(start) if end == start + 1 else f"{start}-{end - 1}"
        texts.append(f"{numbers} {system.kinds[kind].name}")
        start = end
    more = f", and {len(texts) - _RUNS} more runs" if len(texts) > _RUNS else ""
    return f": {', '.join(texts[:_RUNS])}{more}"


def _hops(count: int) -> str:
    return f"{count} hop{'' if count == 1 else 's'}"


def _cut(cut: Bisection) -> str:
    bound = "" if cut.bound == "exact" else f"{cut.bound} "
    return f"{bound}{show(cut.bytes_per_s, _B_S)}"


def _host(host: Host) -> Iterator[str]:
    yield f"every {host.chips} chip{'s' if host.chips > 1 else ''} share one"
    for name, memory in (("memory", host.memory), ("disk", host.disk)):
        if memory is not None:
            yield f"{name} {show(memory.capacity_bytes, _B)} at {show(memory.bytes_per_s, _B_S)}"
    if host.pcie_switches is not None:
        up = f", each {show(host.uplink_bytes_per_s, _B_S)} one way up" if host.uplink_bytes_per_s else ""
        yield f"{host.pcie_switches} PCIe switches{up}"


def _links(console: Console, topology: Topology) -> None:
    table = _table("link", "between", "links", "one way", "latency", left=2)
    rows = link_rows(topology)
    for row in rows[:_LINK_ROWS]:
        arrow = "─" if row.both else "→"
        latency = show(row.latency_s, _S) if row.latency_s else "-"
        ends = f"{row.source} {arrow} {row.target}"
        table.add_row(escape(row.link), escape(ends), str(row.count), show(row.bytes_per_s, _B_S), latency)
    console.print(table)
    if len(rows) > _LINK_ROWS:
        console.print(Text(f"and {len(rows) - _LINK_ROWS} more kinds of links (--json lists all)", style="dim"))


def systems_record(name: str | None) -> Any:
    """One shipped system, or all, as plain data in SI units."""
    if name is not None:
        return {**system_record(load_system(name)), "sources": dict(system_file(name).sources)}
    return [{"system": each, **system_record(load_system(each))} for each in system_names()]


def show_systems() -> None:
    """Every shipped system: what it is made of."""
    table = _table("system", "chip", "chips", "about", left=2)
    table.columns[3].justify = "left"
    for name in system_names():
        system = load_system(name)
        table.add_row(name, system.chip.name, str(system.size), escape(system_file(name).about))
    console = listing(_TABLE_WIDTH)
    table.columns[3].no_wrap = not console.is_terminal
    console.print(table)
    console.print(
        Text("base: NAME in a scenario's system. `overlapse systems NAME`: a picture, and the sources.", "dim")
    )


def show_system(name: str) -> None:
    """One system: its picture, and where its figures come from."""
    console = terminal(_NARROWEST)
    described = system_file(name)
    show_topology(load_system(name))
    if described.scale_out:
        nodes = described.scale_out.replace("{nodes}", "n")
        console.print(Text.assemble(("\njoined as    ", "dim"), nodes, ("  (nodes: n in a scenario)", "dim")))
    console.print(Text("\nsources (those of the chip: overlapse chips " + str(described.chip) + ")", style="dim"))
    print_rows(console, described.sources.items(), ("", ""))
