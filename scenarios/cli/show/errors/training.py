"""Errors of measured training steps on a screen: a line a source, why rows are left out, and the rows if asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.markup import escape
from rich.table import Table

from hw import Dimension
from hw.input import show as shown
from scenarios.console.terminal import console, tell
from scenarios.validation import Fitted, Source, Trained, by_source

_SIZES = ("n_chips", "tp", "pp", "dp", "micro_batch", "global_batch", "seq", "recompute")


def sources_as_json(found: Sequence[Trained]) -> dict[str, Any]:
    """Sources and rows; times in seconds, errors relative."""
    sources = [
        {
            **asdict(each.errors),
            "rank": each.rank,
            "constant": each.constant,
            "reasons": list(each.reasons),
            "idle": dict(each.idle),
        }
        for each in by_source(found)
    ]
    rows = [
        {
            "source": each.row.source,
            "model": each.row.model,
            "line": each.row.mark.line,
            "measured": each.row.measured_s,
            "predicted": each.predicted_s,
            "left_out": each.left_out,
            "idle": list(each.idle),
        }
        for each in found
    ]
    return {"sources": sources, "rows": rows}


def fitted_as_json(fitted: Fitted) -> dict[str, Any]:
    """The same with one efficiency, and that."""
    told = {"resource": fitted.resource, "efficiency": fitted.efficiency, "rows": fitted.fitted}
    return {"fitted": told, **sources_as_json(fitted.found)}


def show_fitted(fitted: Fitted, with_rows: bool) -> None:
    """Print the sources as they are predicted with one efficiency, and that."""
    show_sources(fitted.found, with_rows)
    share = f"{100 * fitted.efficiency:.1f} % of what its calibration says"
    tell(f"{fitted.resource} at {share}: fitted to {fitted.fitted} rows of these")


def show_sources(found: Sequence[Trained], with_rows: bool) -> None:
    """Print the sources, and with `with_rows` every row, the worst first."""
    table = Table(box=None, pad_edge=False)
    table.add_column("source")
    for name in ("rows", "left out", "mean", "median", "p95", "largest", "bias", "rank", "constant"):
        table.add_column(name, justify="right")
    sources = by_source(found)
    for source in sources:
        table.add_row(*_cells(source))
    out = console()
    out.print(table)
    for source in sources:
        for reason in source.reasons:
            tell(f"{source.errors.name}: left out: {reason}")
        for line, count in source.idle.items():
            tell(f"{source.errors.name}: {line} ({count} rows)" if count > 1 else f"{source.errors.name}: {line}")
    tell("predicted by estimates of steps; constant: the least mean error of one efficiency for all rows of a source")
    if with_rows:
        known = sorted((each for each in found if each.predicted_s is not None), key=lambda each: -abs(each.error))
        out.print(_rows(known))


def _cells(source: Source) -> list[str]:
    errors = source.errors
    head = [escape(errors.name), str(errors.count), str(errors.left_out)]
    if not errors.count:
        return [*head, *[""] * 7]
    sizes = (errors.mean, errors.median, errors.p95, errors.largest)
    rank = "" if source.rank is None else f"{source.rank:.2f}"
    told = [*(f"{100 * each:.1f} %" for each in sizes), f"{100 * errors.bias:+.1f} %"]
    return [*head, *told, rank, f"{100 * source.constant:.1f} %"]


def _rows(known: Sequence[Trained]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("line", "what", "sizes", "measured", "predicted", "error"):
        table.add_column(name, justify="left" if name in ("what", "sizes") else "right")
    for each in known:
        row = each.row
        table.add_row(
            str(row.mark.line),
            escape(f"{row.source} {row.model}"),
            escape(", ".join(f"{name} {row.text(name).removesuffix('.0')}" for name in _SIZES if row.text(name))),
            shown(row.measured_s or 0.0, Dimension.TIME),
            shown(each.predicted_s or 0.0, Dimension.TIME),
            f"{100 * each.error:+.1f} %",
        )
    return table
