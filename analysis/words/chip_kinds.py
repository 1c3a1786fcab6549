"""What is told of systems whose chips are not all alike: the kinds by name, and which chip is fullest.

A kind is called by its chip's name; kinds of one name (a chip of the catalogue beside a slower copy of it) also say which
chips they are. With one kind there is nothing to tell apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from analysis.words.summary import Summary
from hw import System

_RUNS = 4


def kind_labels(system: System) -> Sequence[str]:
    """A name for each of `system.kinds`, no two the same."""
    names = [chip.name for chip in system.kinds]
    return [name if names.count(name) == 1 else f"{name} ({_numbers(system, at)})" for at, name in enumerate(names)]


def fullest(summary: Summary) -> tuple[float, float]:
    """Peak and capacity (B) of the HBM of the simulated chip that is fullest for its size."""
    peaks = summary.memory_peaks
    capacities = {chip: summary.plan.system.chip_at(chip).hbm.capacity_bytes for chip in summary.plan.simulated}
    chip = max(capacities, key=lambda chip: peaks.get(chip, 0.0) / capacities[chip])
    return peaks.get(chip, 0.0), capacities[chip]


def _numbers(system: System, kind: int) -> str:
    """The chips of a kind: 'chip 7', 'chips 0-6, 8'."""
    runs = list(_runs(system, kind))
    more = f" and {len(runs) - _RUNS} more runs" if len(runs) > _RUNS else ""
    alone = len(runs) == 1 and "-" not in runs[0]
    return f"{'chip' if alone else 'chips'} {', '.join(runs[:_RUNS])}{more}"


def _runs(system: System, kind: int) -> Iterator[str]:
    start = 0
    for found, group in groupby(system.kind_of):
        end = start + len(list(group)) - 1
        if found == kind:
            yield str(start) if end == start else f"{start}-{end}"
        start = end + 1
