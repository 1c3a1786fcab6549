"""How far off predictions are: each row's error, and of each group of rows their number, mean, median, 95th percentile, the
largest, and the bias.

Model: a row is predicted with `calibration: measured`. An operator was measured in a burst, between two events, with its
data flushed from the on-chip memory by writing to that: events add 2.1 us, and whoever reads next has half of that memory
written back, as far as it does not leave as much itself; data that were warm and fit are there. A step is repeated:
sustained clocks, and its host issues kernels as its mode says.
Source of the 2.1 us: own measurements on an H100, an empty captured kernel between events, 2026-11-28.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from hw import Chip, SpecError, System
from hw.chips import KernelTimes, chip_kernels
from scenarios.validation.errors import Errors, errors_of
from scenarios.validation.operators import operator_graph
from scenarios.validation.rows import Row, every
from scenarios.validation.steps import step_graph
from simulator import Kernel, OpGraph, RunOptions, simulate, tensor_bytes

TIMER_S = 2.1e-6
"""What a pair of events around a kernel adds."""


RESIDENT = 0.8
"""Of the on-chip memory what data may take that stay there: of an H100 0.64 stay, 0.96 do not (own measurements)."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A row and what is predicted for it; None for one that is not known."""

    row: Row
    predicted_s: float | None

    @property
    def error(self) -> float:
        """Relative; only of rows that are known."""
        assert self.predicted_s is not None
        return self.predicted_s / self.row.measured_s - 1.0

    @property
    def group(self) -> str:
        """Rows of a suite, those apart whose data were warm and those whose times spread; steps of a suite in one mode."""
        if self.row.is_step:
            return f"{self.row.suite} {self.row.mode}"
        warm = ", warm" if self.row.params.get("l2") == "warm" else ""
        return f"{self.row.suite}{warm}{', unsteady' if self.row.unsteady else ''}"


def judged(rows: Sequence[Row], chip: Chip) -> list[Judged]:
    """Every row with its prediction; none where the chip cannot do what was measured (a copy from a host it has not). Raises
    SpecError with all rows whose params say too little, or what cannot be."""
    whole = [row for row in rows if row.phase in ("", "step")]
    return every(lambda row: Judged(row, _predicted_s(row, chip)), whole)


def _predicted_s(row: Row, chip: Chip) -> float | None:
    step = step_graph(row) if row.is_step else None
    graph = None if row.is_step else operator_graph(row)
    try:
        if step is not None:
            options = RunOptions(calibration="measured", dispatch=step[1])
            return simulate(step[0], System(chip), options).time_s
        return _operator_s(graph, row, chip) if graph is not None else None
    except SpecError:
        return None


def _operator_s(graph: OpGraph, row: Row, chip: Chip) -> float:
    system = System(chip)
    if row.params.get("l2") == "warm" and chip.on_chip is not None:
        graph = near(graph, system, RESIDENT * chip.on_chip.capacity_bytes)
    result = simulate(graph, system, RunOptions(calibration="measured", clocks="burst"))
    known = chip_kernels(chip)
    times = known.times if known is not None else None
    kernels = [each.kernel for each in result.plan.kernels]
    flushed = written_back_s(kernels, chip, times) if times is not None and row.params.get("l2") == "flush" else 0.0
    return result.time_s + TIMER_S + flushed


def near(graph: OpGraph, system: System, capacity_bytes: float) -> OpGraph:
    """A graph with all of its tensors in the on-chip memory, where they fit; else as it is."""
    tensors = {tensor.name: tensor for op in graph.every_op() for tensor in (*op.inputs, op.output)}
    if sum(tensor_bytes(tensor, graph, system) for tensor in tensors.values()) > capacity_bytes:
        return graph
    moved = {name: replace(tensor, memory="on_chip") for name, tensor in tensors.items()}
    ops = (
        replace(op, output=moved[op.name], inputs=tuple(moved[tensor.name] for tensor in op.inputs))
        for op in graph.every_op()
    )
    return replace(graph, items=tuple(ops))


def written_back_s(kernels: Sequence[Kernel], chip: Chip, times: KernelTimes) -> float:
    """Time to write back what the flush left in the on-chip memory."""
    if chip.on_chip is None:
        return 0.0
    read = sum(access.nbytes for kernel in kernels for access in kernel.reads)
    written = sum(access.nbytes for kernel in kernels for access in kernel.writes)
    held = chip.on_chip.capacity_bytes / 2
    left = held * min(1.0, (read + written) / chip.on_chip.capacity_bytes) - min(written, held)
    return max(0.0, left) / (chip.hbm.bytes_per_s * times.hbm)


def by_group(found: Iterable[Judged]) -> list[Errors]:
    """The errors of each group, in the order in which groups first come."""
    groups: dict[str, list[Judged]] = {}
    for each in found:
        groups.setdefault(each.group, []).append(each)
    return [_group(name, members) for name, members in groups.items()]


def _group(name: str, members: Sequence[Judged]) -> Errors:
    errors = [each.error for each in members if each.predicted_s is not None]
    return errors_of(name, errors, len(members) - len(errors))
