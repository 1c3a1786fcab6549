"""What the commands print: tables and text for people, records for programs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from analysis import kind_labels, screen
from analysis.runs import RooflinePoint, roofline_points, roofs
from hw import Chip, Dimension, Mark, Problem, SpecError, chip_names, load_chip
from hw.chips import is_path
from hw.input import first_problems, show, unknown
from scenarios.explain import chip_sources, graph_lines, provenance, reasons
from scenarios.outcome import Outcome, run
from scenarios.show_find import find_lines
from scenarios.show_study import show_study
from scenarios.source import in_library
from scenarios.study import ledger_of
from scenarios.sweeps import points_of
from scenarios.terminal import console as terminal
from scenarios.terminal import print_rows, print_whole

_TABLE_WIDTH = 118
_B, _B_S = Dimension.DATA, Dimension.BANDWIDTH


MOST_ALONG = 200
"""Runs of a study that `run` makes beside its own; more are for `study`."""


def show_outcome(outcome: Outcome) -> None:
    """The one-screen summary, then the study's answers and claims that failed."""
    console = terminal()
    scenario = outcome.scenario
    console.print(screen(scenario.name, scenario.about, outcome.words, console.width))
    if scenario.study is not None and scenario.study.find is not None and outcome.search is not None:
        console.print(find_lines(scenario.study.find, outcome.search))
    for note in outcome.notes:
        console.print(Text.assemble(("note         ", "dim"), (note, "yellow")))
    for line in scenario.loaders.lines(outcome.words.plan):
        console.print(Text.assemble(("beside       ", "dim"), line))
    for at, line in enumerate(outcome.sharding.lines()):
        console.print(Text.assemble(("" if at else "sharding     ", "dim"), line))
    if (ledger := ledger_of(scenario)) is not None:
        for at, line in enumerate(ledger.lines(outcome.words)):
            console.print(Text.assemble(("" if at else "economics    ", "dim"), line))
    points = points_of(scenario)
    if points is not None and len(points) > MOST_ALONG:
        console.print(
            Text(f"study        {len(points):,} runs; `overlapse study` runs them, and keeps them with --store")
        )
    elif outcome.sweep is not None:
        show_study(console, outcome.sweep)
    for verdict in first_problems(outcome.failed, "claims failed"):
        print_whole(console, Text(f"claim failed {verdict}", style="red"))


def chip_records(name: str | None) -> Any:
    """One chip, or all of them, as plain data in SI units."""
    if name is not None:
        return load_chip(name).model_dump(mode="json")
    return [load_chip(each).model_dump(mode="json") for each in chip_names()]


def show_chips() -> None:
    """Every chip of the catalogue: what decides most."""
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    for column in ("chip", "matrix peak", "HBM", "ridge", "on chip", "link", "price"):
        table.add_column(column, justify="left" if column in ("chip", "link") else "right", no_wrap=True)
    for name in chip_names():
        chip = load_chip(name)
        dtype, peak = _main_peak(chip)
        link = chip.links[chip.default_link] if chip.default_link else None
        hbm = f"{show(chip.hbm.capacity_bytes, _B, 3)} {show(chip.hbm.bytes_per_s, _B_S, 3)}"
        table.add_row(
            chip.name,
            f"{show(peak, Dimension.FLOP_RATE, 3)} {dtype}",
            hbm,
            f"{peak / chip.hbm.bytes_per_s:.0f}",
            show(chip.on_chip.capacity_bytes, _B, 2) if chip.on_chip else "-",
            f"{escape(str(chip.default_link))} {link.count} x {show(link.bytes_per_s, _B_S, 3)}" if link else "-",
            f"{chip.price_usd_per_h:.3g} USD/h" if chip.price_usd_per_h is not None else "-",
        )
    console = terminal(_TABLE_WIDTH)
    console.print(table)
    console.print(Text("ridge: FLOP/B above which a matmul is compute-bound. `overlapse chips NAME`: sources.", "dim"))


def _main_peak(chip: Chip) -> tuple[str, float]:
    peaks = {str(name): rate for name, rate in chip.matrix_unit.peak_flops_per_s.items()}
    dtype = next((name for name in ("bf16", "fp16") if name in peaks), next(iter(peaks)))
    return dtype, peaks[dtype]


def show_chip(name: str) -> None:
    """One chip: every figure with its source, and its ridge points."""
    chip = load_chip(name)
    console = terminal()
    console.print(Text.assemble((chip.name, "bold"), f"  {chip.kind}  {chip.about}"))
    sections = [(name, chip_figures(chip, name), chip.sources.get(name, "no source given")) for name in chip.figures()]
    print_rows(console, [("section", "figures", "source"), *sections], ("", "", "dim"))
    ridges = ", ".join(f"{roof.unit} {roof.dtype} {roof.ridge:.4g}" for roof in roofs(chip))
    console.print(Text.assemble(("ridge points (FLOP/B)  ", "dim"), ridges))


def chip_figures(chip: Chip, section: str) -> str:
    """A section of a chip in one line."""
    if section.startswith("links."):
        link = chip.links[section.removeprefix("links.")]
        latency = f", {show(link.latency_s, Dimension.TIME)} a hop" if link.latency_s else ""
        return f"{show(link.bytes_per_s, Dimension.BANDWIDTH)} one way x {link.count}{latency}"
    if section in ("matrix_unit", "vector_unit"):
        peaks = getattr(chip, section).peak_flops_per_s
        return ", ".join(f"{dtype} {show(rate, Dimension.FLOP_RATE)}" for dtype, rate in peaks.items())
    if section == "price":
        return ", ".join(f"{tier.replace('_', ' ')} {usd:g} USD/h" for tier, usd in chip.prices if usd is not None)
    if section == "power":
        return f"{chip.power_watts:g} W"
    if section == "calibration":
        measured = chip.calibration.measured
        known = {**measured.known(), "launch_s": measured.launch_s} if measured is not None else {}
        return ", ".join(f"{name} {value:g}" for name, value in known.items())
    memory = chip.memories[section.removeprefix("levels.")]
    latency = f", answers in {show(memory.latency_s, Dimension.TIME)}" if memory.latency_s else ""
    return f"{show(memory.capacity_bytes, Dimension.DATA)}, {show(memory.bytes_per_s, Dimension.BANDWIDTH)}{latency}"


def show_roofline(target: str, overrides: list[str], level: str = "hbm") -> None:
    """The roofs of a chip, fed by the memory `level`; for a scenario also a point per op under those of HBM."""
    if not is_path(target) and not in_library(target):
        chip = load_chip(target)
        _show_roofs(chip, chip.name, level)
        return
    outcome = run(target, overrides)
    system = outcome.scenario.system
    labels = kind_labels(system)
    for kind, chip in enumerate(system.kinds):
        if kind:
            terminal().print()
        _show_roofs(chip, labels[kind] if len(labels) > 1 else chip.name, level)
        _show_points(list(roofline_points(outcome.result, kind)), labels[kind] if len(labels) > 1 else "")


def _show_points(points: Sequence[RooflinePoint], label: str) -> None:
    """A row per op; `label` names the chip where there are several kinds."""
    if label and not points:
        terminal().print(f"\n{escape(label)} runs no op that has a place under its roofs")
        return
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    for column in ("op", "unit", "dtype", "FLOP/B", "roof", "reached", "share"):
        table.add_column(column, justify="left" if column in ("op", "unit", "dtype") else "right", no_wrap=True)
    for point in points:
        rates = [show(rate, Dimension.FLOP_RATE) for rate in (point.roof_flops_per_s, point.reached_flops_per_s)]
        share = f"{100 * point.share:.1f} %"
        table.add_row(escape(point.name), point.unit, point.dtype, f"{point.intensity:.4g}", *rates, share)
    console = terminal()
    console.print()
    if label:
        console.print(Text(f"ops on {label}", style="dim"))
    console.print(table)


def _show_roofs(chip: Chip, name: str, level: str) -> None:
    """The roofline as text: a log-log picture of the main matrix roof, and a table of all roofs."""
    if level not in chip.memories:
        raise SpecError([Problem(Mark("--level"), unknown(f"memory of {chip.name}", level, chip.memories))])
    console = terminal()
    dtype, peak = _main_peak(chip)
    ridge = peak / chip.memories[level].bytes_per_s
    fed = f" from {level}" if level != "hbm" else ""
    console.print(Text.assemble((name, "bold"), f"  {show(peak, Dimension.FLOP_RATE)} {dtype}, ridge {ridge:.4g}{fed}"))
    width, height = 56, 10
    low, high = ridge / 100, ridge * 10
    canvas = [[" "] * width for _ in range(height)]
    for column in range(width):
        intensity = low * (high / low) ** (column / (width - 1))
        reach = min(1.0, intensity / ridge)
        row = min(height - 1, round(-math.log10(reach) / 2 * (height - 1)))
        canvas[row][column] = "─" if reach >= 1 else "╱"
    for line in canvas:
        console.print(Text("  │" + "".join(line)))
    console.print(Text("  └" + "─" * width))
    console.print(Text(f"   {low:<12.3g}{'FLOP/B':^{width - 24}}{high:>12.4g}", style="dim"))
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    for heading in ("unit", "dtype", "peak", "ridge FLOP/B"):
        table.add_column(heading, justify="left" if heading in ("unit", "dtype") else "right")
    for roof in roofs(chip, level):
        table.add_row(roof.unit, roof.dtype, show(roof.flops_per_s, Dimension.FLOP_RATE), f"{roof.ridge:.4g}")
    console.print(table)


def show_explanation(outcome: Outcome) -> None:
    """Values and their places, the graph as understood, the reasons."""
    console = terminal()
    console.print(Text(outcome.scenario.name, style="bold"))
    console.print(Text("\nvalues, and where each stands", style="dim"))
    print_rows(console, provenance(outcome), ("", "", "dim"))
    whose = "chip" if len(outcome.scenario.system.kinds) == 1 else "chips"
    console.print(Text(f"\nfigures of the {whose}, and their sources", style="dim"))
    _print_sources(console, outcome)
    console.print(Text("\nops as understood", style="dim"))
    for line in graph_lines(outcome):
        console.print(Text(f"  {line}"))
    console.print(Text("\nwhy it takes as long as it does", style="dim"))
    for reason in reasons(outcome):
        console.print(Text(f"  {reason}"))


def show_sources(outcome: Outcome) -> None:
    """The sources of the chips' figures."""
    _print_sources(terminal(), outcome)


def _print_sources(console: Console, outcome: Outcome) -> None:
    """A table for each kind of chip, under its name where there are several."""
    system = outcome.scenario.system
    labels = kind_labels(system)
    for kind, rows in groupby(chip_sources(outcome), key=lambda row: row[0]):
        if len(labels) > 1:
            console.print(Text("" if kind == 0 else "\n").append(labels[kind], style="bold"))
        sections = [(section, chip_figures(system.kinds[kind], section), source) for _, section, source in rows]
        print_rows(console, sections, ("", "", "dim"))
