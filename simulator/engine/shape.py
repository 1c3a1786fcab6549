"""What a task asks, and how long it takes alone.

Model: a task spends its fixed time and then works: its tiles pass through stages one after the other, and each resource of a
stage needs t_r = amount / capacity. Alone it takes T = max(t_r) + (sum(t_r) - max(t_r)) / k with k tiles. Times are
picoseconds: fixed times whole ones, amounts of work exact floats.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hw.rows import largest
from simulator.engine.held import Held

PS_PER_S = 1e12
"""Picoseconds in a second."""


def to_ps(seconds: float) -> int:
    """Seconds as whole picoseconds; a time above 0 is at least 1 ps."""
    return max(1, round(seconds * PS_PER_S)) if seconds > 0 else 0


Stage = Sequence[tuple[int, float]]
"""Resources that work side by side on one tile, with the ps that each would need alone for the whole task."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a task asks. `demands` holds (resource, ps that the resource alone would need); `weight` in bytes.

    The stages of a task are what its tiles pass through one after the other: each resource of a chip is one; in a
    collective the like resources of all its chips are one stage, and so are all its wires. `stage_ps` has their times.
    `serial_ps`: the stages one after the other, with all that the groups of one op ask side by side of what they share.
    `early_ps`: a message's latency, spent before its turn comes. `opens`: the task lets its messages carry it out; the
    shape then says what they do together. `held`: the units of its chip that it holds while it works, where others may
    want them.
    """

    fixed_ps: int
    demands: tuple[tuple[int, float], ...]
    stage_ps: tuple[float, ...]
    alone_ps: float
    weight: float
    serial_ps: float = 0.0
    early_ps: int = 0
    opens: bool = False
    held: Held | None = None

    @classmethod
    def of(cls, fixed_ps: int, stages: Iterable[Stage], steps: float, weight: float) -> Shape:
        """The shape of a task that pipelines its stages over `steps` tiles (`math.inf`: perfect overlap)."""
        return cls.lasting(
            fixed_ps, [(stage, largest((t for _, t in stage), default=0.0)) for stage in stages], steps, weight
        )

    @classmethod
    def lasting(cls, fixed_ps: int, stages: Iterable[tuple[Stage, float]], steps: float, weight: float) -> Shape:
        """The same with the time that each stage takes alone: more than its demands where a transfer has phases, less
        where a demand stands for several alike tasks."""
        used = [(stage, time) for stage, time in stages if time > 0.0]
        total: dict[int, float] = {}
        for stage, _ in used:
            for resource, time in stage:
                if time > 0.0:
                    total[resource] = total.get(resource, 0.0) + time
        times = tuple(time for _, time in used)
        return cls(
            fixed_ps,
            tuple(sorted(total.items())),
            times,
            alone_time(times, steps),
            weight if weight > 0 else 1.0,
            serial_time(used),
        )

    @property
    def cap(self) -> float:
        """Highest progress per ps."""
        return 1.0 / self.alone_ps

    @property
    def ideal_ps(self) -> float:
        """Its time with perfect overlap inside: fixed time and the slowest stage. Of one that opens, what keeps its busiest
        resource busy: its messages may hide their latency behind each other's bytes, and the phases of the closed form."""
        if self.opens:
            return largest((time for _, time in self.demands), default=0.0)
        return self.fixed_ps + largest(self.stage_ps, default=0.0)


def serial_time(stages: Iterable[tuple[Stage, float]]) -> float:
    """All stages one after the other; what several alike tasks ask of one resource can be more than the time of one."""
    return sum(largest([time, *(here for _, here in stage)]) for stage, time in stages)


def alone_time(times: Sequence[float], steps: float) -> float:
    """T = max + (sum - max) / k: a pipeline of k tiles over its stages. k = 1 the sum, k = inf the max."""
    if not times:
        return 0.0
    longest: float = largest(times)
    return longest if steps == math.inf else longest + (sum(times) - longest) / steps
