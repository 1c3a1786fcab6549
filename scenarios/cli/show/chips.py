"""What `overlapse chips` prints: the catalogue, or one chip with its sources."""

from __future__ import annotations

from typing import Any

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from analysis.runs import roofs
from hw import Chip, Dimension, chip_names, load_chip
from hw.input import show
from scenarios.console.price_marks import mark_lines, price_marks
from scenarios.console.terminal import console as terminal
from scenarios.console.terminal import fitting, left_out, listing, print_rows
from scenarios.outcome.chip_figures import chip_figures, main_peak

_TABLE_WIDTH = 118
_B, _B_S = Dimension.DATA, Dimension.BANDWIDTH


def chip_records(name: str | None) -> Any:
    """One chip, or all of them, as plain data in SI units."""
    if name is not None:
        return load_chip(name).model_dump(mode="json")
    return [load_chip(each).model_dump(mode="json") for each in chip_names()]


_HEADS = ("chip", "matrix peak", "HBM", "ridge", "on chip", "link", "price", "")
_MAY_GO = ("link", "on chip")


def show_chips() -> None:
    """Every chip of the catalogue: what decides most, and as much of the rest as there is room for."""
    chips = [load_chip(name) for name in chip_names()]
    marks = price_marks(chip.prices.told("on_demand") for chip in chips)
    rows = [(*_cells(chip), marks.get(str(chip.prices.told("on_demand")), "")) for chip in chips]
    console = listing(_TABLE_WIDTH)
    kept = fitting(_HEADS, rows, _MAY_GO, console)
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    for at in kept:
        table.add_column(_HEADS[at], justify="left" if _HEADS[at] in ("chip", "link") else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(escape(row[at]) for at in kept))
    console.print(table)
    for line in mark_lines(marks):
        console.print(Text(line, "dim"))
    if len(kept) < len(_HEADS):
        console.print(left_out(_HEADS, kept))
    console.print(Text("ridge: FLOP/B above which a matmul is compute-bound. `overlapse chips NAME`: sources.", "dim"))


def _cells(chip: Chip) -> tuple[str, ...]:
    """A chip's figures, in the order of `_HEADS`."""
    dtype, peak = main_peak(chip)
    link = chip.links[chip.default_link] if chip.default_link else None
    return (
        chip.name,
        f"{show(peak, Dimension.FLOP_RATE, 3)} {dtype}",
        f"{show(chip.hbm.capacity_bytes, _B, 3)} {show(chip.hbm.bytes_per_s, _B_S, 3)}",
        f"{peak / chip.hbm.bytes_per_s:.0f}",
        show(chip.on_chip.capacity_bytes, _B, 2) if chip.on_chip else "-",
        f"{chip.default_link} {link.count} x {show(link.bytes_per_s, _B_S, 3)}" if link else "-",
        f"{chip.price_usd_per_h:.3g} USD/h" if chip.price_usd_per_h is not None else "-",
    )


def show_chip(name: str) -> None:
    """One chip: every figure with its source, and its ridge points."""
    chip = load_chip(name)
    console = terminal()
    console.print(Text.assemble((chip.name, "bold"), f"  {chip.kind}  {chip.about}"))
    sections = [(name, chip_figures(chip, name), chip.sources.get(name, "no source given")) for name in chip.figures()]
    print_rows(console, [("section", "figures", "source"), *sections], ("", "", "dim"))
    ridges = ", ".join(f"{roof.unit} {roof.dtype} {roof.ridge:.4g}" for roof in roofs(chip))
    console.print(Text.assemble(("ridge points (FLOP/B)  ", "dim"), ridges))
