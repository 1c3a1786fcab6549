"""What `overlapse roofline` prints: the roofs of a chip, and where ops stand under them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from analysis import kind_labels
from analysis.runs import RooflinePoint, roofline_points, roofs
from hw import Chip, Dimension, Mark, Problem, SpecError, load_chip
from hw.chips import is_path
from hw.input import is_file, read_document, show, sort_of, unknown
from scenarios.console.terminal import console as terminal
from scenarios.language.source import STDIN, in_library
from scenarios.outcome.chip_figures import main_peak
from scenarios.outcome.outcome import run


def show_roofline(target: str, overrides: list[str], level: str = "hbm") -> None:
    """The roofs of a chip, fed by the memory `level`; for a scenario also a point per op under those of HBM."""
    if _is_chip(target):
        chip = load_chip(target)
        if overrides:
            raise SpecError([Problem(Mark("--set"), f"{target} is a chip, and --set is for scenarios")])
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


def _is_chip(target: str) -> bool:
    """Whether a chip is meant, and no scenario."""
    if in_library(target) or target == STDIN:
        return False
    return not is_path(target) or (is_file(Path(target)) and sort_of(read_document(Path(target)).data) == "chip")


def _show_points(points: Sequence[RooflinePoint], label: str) -> None:
    """A row per op; `label` names the chip where there are several kinds."""
    if label and not points:
        terminal().print(f"\n{escape(label)} runs no op that has a place under its roofs")
        return
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    names = ("op", "unit", "dtype", "of")
    for column in ("op", "unit", "dtype", "FLOP/B", "of", "roof", "reached", "share"):
        table.add_column(column, justify="left" if column in names else "right", no_wrap=True)
    for point, rounds in _by_rounds(points):
        rates = [show(rate, Dimension.FLOP_RATE) for rate in (point.roof_flops_per_s, point.reached_flops_per_s)]
        share = f"{100 * point.share:.1f} %"
        name = f"{point.base} x{rounds}" if rounds > 1 else point.name
        table.add_row(escape(name), point.unit, point.dtype, f"{point.intensity:.4g}", point.level, *rates, share)
    console = terminal()
    console.print()
    if label:
        console.print(Text(f"ops on {label}", style="dim"))
    console.print(table)


def _by_rounds(points: Sequence[RooflinePoint]) -> Iterator[tuple[RooflinePoint, int]]:
    """Points of one op that stand under one roof at one place, as one, with how many they are: in all their time together
    they reach the harmonic mean."""
    alike: dict[tuple[str, ...], list[RooflinePoint]] = {}
    for point in points:
        roof = f"{point.intensity:.6g} {point.roof_flops_per_s:.6g}"
        alike.setdefault((point.base, point.unit, point.dtype, point.level, roof), []).append(point)
    for each in alike.values():
        reached = len(each) / sum(1 / point.reached_flops_per_s for point in each)
        yield replace(each[0], reached_flops_per_s=reached), len(each)


def _show_roofs(chip: Chip, name: str, level: str) -> None:
    """The roofline as text: a log-log picture of the main matrix roof, and a table of all roofs."""
    if level not in chip.memories:
        raise SpecError([Problem(Mark("--level"), unknown(f"memory of {chip.name}", level, chip.memories))])
    console = terminal()
    dtype, peak = main_peak(chip)
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
