"""Measured operators as kernels: what a row takes under some kernel times, its timer and its flush taken into account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hw import Chip, SpecError, System
from hw.chips import KernelTimes
from scenarios.validation import TIMER_S, Row, operator_graph, written_back_s
from simulator import Kernel, RunOptions, simulate
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


def timed_rows(rows: Sequence[Row], chip: Chip) -> list[Timed]:
    """The operators among some rows whose data come from HBM and stay on the chip, those that are known and that the chip
    can carry out."""
    found = []
    for row in rows:
        graph = None if row.is_step or row.params.get("l2") == "warm" else operator_graph(row)
        if graph is None:
            continue
        try:
            plan = simulate(graph, System(chip), RunOptions(overlap="full")).plan
        except SpecError:  # a copy from a host, of a chip without one
            continue
        kernels = tuple(each.kernel for each in plan.kernels)
        # how long a copy from or to the host takes is a matter of its link, and of no kernel
        if all(access.memory in _OF_THE_CHIP for kernel in kernels for access in (*kernel.reads, *kernel.writes)):
            found.append(Timed(row, kernels))
    return found
