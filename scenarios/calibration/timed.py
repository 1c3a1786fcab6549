"""Measured operators as kernels: what a row takes under some kernel times, its timer and its flush taken into account."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from hw import Chip, SpecError, System
from hw.chips import KernelTimes
from scenarios.validation import TIMER_S, Row, every, operator_graph, written_back_s
from simulator import Kernel, OpGraph, RunOptions, simulate
from simulator.measured import Device, kernel_time

_OF_THE_CHIP = ("hbm", "on_chip")


@dataclass(frozen=True, slots=True)
class Timed:
    """A row, and the kernels that it is."""

    row: Row
    kernels: tuple[Kernel, ...]

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of its kernels."""
        return frozenset(kernel.kind for kernel in self.kernels)

    def seconds(self, chip: Chip, device: Device, times: KernelTimes) -> float:
        """What it would be measured to take."""
        flushed = written_back_s(self.kernels, chip, times) if self.row.params.get("l2") == "flush" else 0.0
        return TIMER_S + flushed + sum(kernel_time(kernel, device, times).seconds for kernel in self.kernels)


def work_of(row: Row) -> tuple[str, str, str, str]:
    """What a row is a timing of: the same for rows of the same work."""
    return row.suite, row.name, row.dtype, json.dumps(row.params, sort_keys=True)


def works_of(rows: Sequence[Timed]) -> int:
    """How many different works some rows are."""
    return len({work_of(each.row) for each in rows})


def timed_rows(rows: Sequence[Row], chip: Chip) -> list[Timed]:
    """The operators among some rows whose data come from HBM and stay on the chip, those that are known and that the chip
    can carry out. Raises SpecError with all rows whose params say too little, or what cannot be."""
    asked = [row for row in rows if not row.is_step and row.params.get("l2") != "warm"]
    works = {work_of(row): row for row in reversed(asked)}
    graphs = every(operator_graph, works.values())
    kernels = {work: _kernels(graph, chip) for work, graph in zip(works, graphs, strict=True)}
    return [Timed(row, kernels[work_of(row)]) for row in asked if kernels[work_of(row)]]


def _kernels(graph: OpGraph | None, chip: Chip) -> tuple[Kernel, ...]:
    """The kernels of a workload; none of one that the chip cannot carry out, or that is not of the chip alone."""
    if graph is None:
        return ()
    try:
        plan = simulate(graph, System(chip), RunOptions(overlap="full")).plan
    except SpecError:  # a copy from a host, of a chip without one
        return ()
    kernels = tuple(each.kernel for each in plan.kernels)
    # how long a copy from or to the host takes is a matter of its link, and of no kernel
    here = all(access.memory in _OF_THE_CHIP for kernel in kernels for access in (*kernel.reads, *kernel.writes))
    return kernels if here else ()
