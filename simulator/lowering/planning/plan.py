"""A plan: every kernel of a graph with what the system makes of it, and the program of tasks that runs it.

It is what lowering fills in step by step, and what a run and everything that is told of it read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from hw import System
from simulator.engine.program import Program
from simulator.graph.op_graph import OpGraph
from simulator.graph.split import Cut, Split
from simulator.lowering.efficiency import launch_of, pace_of
from simulator.lowering.folding import Folding
from simulator.lowering.planning.planned import PlannedKernel, PlannedKernels, Variant
from simulator.options import RunOptions
from simulator.passes.planner_walk import Inserted


@dataclass(slots=True)
class Plan:
    """A graph lowered onto a system: kernels, program, and the options it was made with.

    `partner`: the other end of each send and recv, by kernel; one task carries out both. `split`: which variant of every
    kernel a chip has. `inserted`: the collectives that nobody wrote. `slowest_of`: as how many chips wait for each other, at
    most, so that all go as the slowest where they differ (`run.spread`). `again`: the plan of another run, for less where
    that differs in rates and fixed times only.
    """

    system: System
    graph: OpGraph
    options: RunOptions
    kernels: PlannedKernels = field(default_factory=lambda: PlannedKernels.listed([]))
    partner: Mapping[int, int] = field(default_factory=dict)
    program: Program = field(default_factory=Program)
    folding: Folding | None = None
    inserted: tuple[Inserted, ...] = ()
    slowest_of: int = 1
    split: Split = field(init=False)
    again: Callable[[OpGraph, System, RunOptions], Plan] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.split = Split(self.system.kinds, [None] * len(self.system.kinds), self.system.kind_of)

    @property
    def pace(self) -> float:
        """How many times as long as most chips they all take, who wait for the slowest."""
        return pace_of(self.options.spread, self.slowest_of)

    def launch_s(self, chips: Iterable[int]) -> float:
        """Seconds to launch a kernel on some chips: the slowest one's."""
        if len(self.system.kinds) == 1:
            return launch_of(self.options, self.system.chip)
        kinds = {self.system.kind_of[chip] for chip in chips} or range(len(self.system.kinds))
        return max(launch_of(self.options, self.system.kinds[kind]) for kind in kinds)

    def variant(self, planned: PlannedKernel, chip: int) -> Variant:
        """A kernel as one chip has it."""
        return planned.variants[self.split.variant_of[chip]]

    def cut(self, chip: int) -> Cut | None:
        """How unevenly shared dims are cut for a chip; None where all are cut evenly."""
        return self.split.cuts[self.split.variant_of[chip]]

    @property
    def classes(self) -> int:
        """How many chips are simulated, each for its class."""
        return len(self.folding.chips) if self.folding else self.system.size

    @property
    def simulated(self) -> Sequence[int]:
        """The chips that are simulated, each for its class."""
        return self.folding.chips if self.folding else range(self.system.size)

    def members(self, chip: int) -> list[int]:
        """The chips that a simulated chip stands for."""
        return self.folding.members[chip] if self.folding else [chip]

    def kernel_on(self, task: int, chip: int) -> int:
        """The kernel that a task carries out on a chip: of a transfer, the end that runs there."""
        kernel = self.program.kernel[task]
        if kernel in self.partner and chip not in self.kernels.sort(kernel).chips:
            return self.partner[kernel]
        return kernel
