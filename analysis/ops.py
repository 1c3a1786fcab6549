"""Per op: time, work and bound, in the words of `OP_WORDS`.

An op's times count the kernels that carry it out; a fused kernel counts for each op in it, since it cannot be divided.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.words import CAUSES
from simulator import Result
from simulator.plan import PlannedKernel, Variant
from simulator.program import PS_PER_S, Program

RESOURCE_WORDS: Mapping[str, str] = {
    "matrix_unit": "t_math",
    "vector_unit": "t_vector",
    "hbm": "t_memory",
    "on_chip": "t_memory",
    "host": "t_host",
    "disk": "t_host",
    "pcie.in": "t_host",
    "pcie.out": "t_host",
}
"""Which time the work on a chip's resource counts for."""


@dataclass(frozen=True, slots=True)
class OpFigures:
    """One kernel, or one op over its kernels. Seconds, FLOPs and bytes of the chip on which it took longest, all chunks
    together."""

    name: str
    kind: str
    tile: str
    time_s: float
    begin_s: float
    end_s: float
    flops: float
    hbm_bytes: float
    network_bytes: float
    times_s: Mapping[str, float]
    chip: int = 0

    @property
    def intensity(self) -> float | None:
        """FLOP per byte of HBM, or None without traffic."""
        return self.flops / self.hbm_bytes if self.hbm_bytes else None

    @property
    def bound_by(self) -> str:
        """The largest of the op's times, in one word."""
        return largest_cause(self.times_s)

    def word(self, name: str) -> float | str | None:
        """A word of OP_WORDS."""
        if name in self.times_s:
            return self.times_s[name]
        if name.startswith("t_"):
            return 0.0
        attribute = "time_s" if name == "time" else name
        value: float | str | None = getattr(self, attribute)
        return value


def largest_cause(times_s: Mapping[str, float]) -> str:
    """The cause with the largest time; the first of equals."""
    return max(CAUSES, key=lambda cause: times_s.get(CAUSES[cause], 0.0))


def kernel_times(planned: PlannedKernel, variant: Variant, fixed_s: float) -> dict[str, float]:
    """The t_ times of a kernel as one chip has it: the slowest resource of each word."""
    times: dict[str, float] = {}
    for resource, seconds in variant.times_s.items():
        word = RESOURCE_WORDS[resource]
        times[word] = max(times.get(word, 0.0), seconds)
    times["t_host"] = max(times.get("t_host", 0.0), planned.host_s)
    times["t_network"] = planned.network_s
    times["t_overhead"] = fixed_s
    return times


def inner_fixed_ps(program: Program) -> dict[int, int]:
    """By kernel, the fixed times of the messages that one chunk sends one after the other, in its busiest lane."""
    lanes: dict[tuple[int, int, int], int] = {}
    for task, kernel in enumerate(program.kernel):
        if program.is_inner(task):
            lane = (kernel, program.chunk[task], program.queue[task])
            lanes[lane] = lanes.get(lane, 0) + program.shapes[program.shape[task]].fixed_ps
    busiest: dict[int, int] = {}
    for (kernel, _, _), fixed in lanes.items():
        busiest[kernel] = max(busiest.get(kernel, 0), fixed)
    return busiest


def op_figures(result: Result, kind: int | None = None) -> list[OpFigures]:
    """One row per kernel, in program order. `kind`: as the chips of one kind (`System.kinds`) have it, time 0 where none of
    them runs it; begin and end are those over all chips."""
    plan, program = result.plan, result.plan.program
    counted = {chip for chip in plan.simulated if kind in (None, plan.system.kind_of[chip])}
    busy: list[dict[int, int]] = [{} for _ in plan.kernels]
    begin, end = [math.inf] * len(plan.kernels), [0.0] * len(plan.kernels)
    fixed = [0] * len(plan.kernels)
    inner = inner_fixed_ps(program)
    for task, carried in enumerate(program.kernel):
        if program.is_inner(task):
            continue  # inside the time of its collective
        took = result.end_ps[task] - result.begin_ps[task]
        for kernel in {carried, plan.partner.get(carried, carried)}:  # a transfer carries out a send and a recv
            for chip in plan.kernels[kernel].chips:
                if chip in counted and chip in program.chips_of(task):
                    busy[kernel][chip] = busy[kernel].get(chip, 0) + took
            begin[kernel] = min(begin[kernel], result.begin_ps[task])
            end[kernel] = max(end[kernel], result.end_ps[task])
            fixed[kernel] = max(fixed[kernel], program.shapes[program.shape[task]].fixed_ps, inner.get(carried, 0))
    rows = []
    for at, planned in enumerate(plan.kernels):
        slowest = max(busy[at], key=lambda chip: busy[at][chip], default=min(counted, default=0))
        variant = plan.variant(planned, slowest)
        rows.append(
            OpFigures(
                planned.kernel.name,
                planned.kernel.kind,
                variant.tile,
                busy[at].get(slowest, 0) / PS_PER_S,
                (0.0 if math.isinf(begin[at]) else begin[at]) / PS_PER_S,
                end[at] / PS_PER_S,
                variant.kernel.flops,
                variant.hbm_bytes,
                planned.traffic.sent_bytes,
                kernel_times(planned, variant, fixed[at] * planned.kernel.schedule.chunks / PS_PER_S),
                slowest,
            )
        )
    return rows


def figures_of(name: str, result: Result) -> OpFigures | None:
    """One op by its name, over all of its kernels; None if there is no such op."""
    rows = [
        row
        for row, planned in zip(op_figures(result), result.plan.kernels, strict=True)
        if name in planned.kernel.ops or name == planned.kernel.name
    ]
    return combined(name, rows) if rows else None


def combined(name: str, rows: Sequence[OpFigures]) -> OpFigures:
    """Several kernels as one row: sums, from the first beginning to the last end."""
    times: dict[str, float] = {}
    for row in rows:
        for word, seconds in row.times_s.items():
            times[word] = times.get(word, 0.0) + seconds
    return OpFigures(
        name,
        rows[0].kind,
        rows[0].tile if len({row.tile for row in rows}) == 1 else "",
        sum(row.time_s for row in rows),
        min(row.begin_s for row in rows),
        max(row.end_s for row in rows),
        sum(row.flops for row in rows),
        sum(row.hbm_bytes for row in rows),
        sum(row.network_bytes for row in rows),
        times,
    )
