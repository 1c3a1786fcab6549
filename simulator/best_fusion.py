"""Which ops to fuse: the partition of a program into kernels that takes the least time, of all that keep its order.

Model: a chain is ops of one block, one behind the other in program order, without a collective among them. A group is
ops of a chain that follow each other; it takes what the simulator's own fused kernel takes alone (its tiles,
re-reads, spills, padding and start), in all rounds of its block, or it cannot be one kernel (a stranger between its
ops, another schedule). A reduction ends a kernel inside a group, as `fuse:` says. What a group takes does not depend
on how the others are cut, so the best partition of the first j ops is the best of the first i and the group of the
rest, for the best i.
Assumes: kernels of a chip run one after the other, so that their times add up; what is hidden behind collectives is
not counted, and groups of more than `LONGEST` ops are not tried.
Law: no partition of the same ops takes less; on a chip by itself the run takes as long as is said.
Source: dynamic programming over cuts of a sequence, Bellman 1957; any textbook.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from hw import Dimension, System
from hw.input import show
from simulator.graph.items import Items, Repeat
from simulator.graph.op_graph import OpGraph
from simulator.lowering.cost import Cost
from simulator.lowering.lowering import lower
from simulator.ops.kernel import Kernel
from simulator.options import RunOptions
from simulator.passes.bound_graph import bind_as_written
from simulator.passes.fusion import FusionError, fused
from simulator.passes.kernels import Kernels

LONGEST = 24
"""Ops that one group may have."""

Names = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FusedGroup:
    """Ops that are one kernel (or as few as reductions leave), what that takes, and what they take apart."""

    ops: Names
    time_s: float
    apart_s: float
    spilled_bytes: float

    @property
    def saved_s(self) -> float:
        """What fusing them saves."""
        return self.apart_s - self.time_s


@dataclass(frozen=True, slots=True)
class BestFusion:
    """The best partition: its groups of two ops or more, what all ops take with it, and each by itself. `priced`
    groups were looked at to know the best of `partitions`."""

    groups: tuple[FusedGroup, ...]
    time_s: float
    apart_s: float
    priced: int
    partitions: int

    @property
    def rule(self) -> list[list[str]]:
        """As `fuse:` of a workload says it."""
        return [list(group.ops) for group in self.groups]

    def __repr__(self) -> str:
        groups = f"{len(self.groups)} group{'' if len(self.groups) == 1 else 's'}"
        times = [show(each, Dimension.TIME) for each in (self.time_s, self.apart_s)]
        return f"BestFusion({groups}, {times[0]}, not {times[1]})"


class FusionCosts:
    """What groups of a graph's ops take."""

    def __init__(self, graph: OpGraph, system: System, options: RunOptions) -> None:
        self.graph = lower(replace(graph, fuse="none"), system, options).graph  # with what the planner inserts
        self.system, self.options = system, options
        self.kernels = bind_as_written(self.graph, system)
        self._cost = Cost(self.graph, system, options)
        self._seconds: dict[int, tuple[Kernel, float]] = {}
        self._apart: dict[str, float] = {}
        self._contracts: set[str] = set()
        for code, kernel in zip(self.kernels.code, self.kernels, strict=True):
            if kernel.matrix_flops:
                self._contracts.update(kernel.base_ops)
            for name in kernel.base_ops:
                self._apart[name] = self._apart.get(name, 0.0) + self._takes(self.kernels.templates[code])
        self._whole = self._totals(self.kernels)

    def apart_s(self, names: Iterable[str]) -> float:
        """What some ops take, each as its own kernels."""
        return sum(self._apart[name] for name in names)

    def contractions(self, names: Iterable[str]) -> int:
        """How many of some ops are matmuls, convolutions or attentions."""
        return sum(name in self._contracts for name in names)

    def group(self, names: Names) -> FusedGroup | None:
        """Some ops as one kernel; None where they cannot be one."""
        try:
            kernels = fused(self.kernels, [list(names)], self.system, self.options.tile_level)
        except FusionError:
            return None
        time_s, spilled_bytes = self._totals(kernels)
        apart_s = self.apart_s(names)
        return FusedGroup(names, time_s - self._whole[0] + apart_s, apart_s, spilled_bytes)

    def _totals(self, kernels: Kernels) -> tuple[float, float]:
        """What all kernels take, and spill: those that differ in names only take the same."""
        counts = Counter(kernels.code)
        times = (count * self._takes(kernels.templates[code]) for code, count in counts.items())
        spilled = (count * kernels.templates[code].spilled_bytes for code, count in counts.items())
        return math.fsum(times), math.fsum(spilled)

    def _takes(self, template: Kernel) -> float:
        """The template is kept beside its time, so that no other has its number."""
        if id(template) not in self._seconds:
            self._seconds[id(template)] = template, self._cost.of_kernel(template)
        return self._seconds[id(template)][1]

    @cached_property
    def chains(self) -> list[Names]:
        """The chains of the program, each at its first round."""
        block_of = dict(_blocks(self.graph.items))
        found: list[list[str]] = []
        before: object = None
        for kernel in self.kernels:
            if any(kernel.turn):
                continue
            here = None if kernel.communication is not None else block_of.get(kernel.base_ops[0])
            if here is None or here != before:
                found.append([])
            before = here
            if here is not None:
                found[-1] += [name for name in kernel.base_ops if name not in found[-1]]
        return [tuple(chain) for chain in found if chain]


def best_fusion(
    graph: OpGraph, system: System, options: RunOptions | None = None, most_contractions: int | None = None
) -> BestFusion:
    """The best partition of a graph's ops into kernels; `most_contractions`: how many matmuls, convolutions and
    attentions a group may have. Raises SpecError and RunError as a run of it does."""
    costs = FusionCosts(graph, system, options or RunOptions())
    groups: list[FusedGroup] = []
    time_s = apart_s = 0.0
    priced, partitions = 0, 1
    for chain in costs.chains:
        table = {
            (begin, end): found
            for begin in range(len(chain))
            for end in range(begin + 2, min(len(chain), begin + LONGEST) + 1)
            if most_contractions is None or costs.contractions(chain[begin:end]) <= most_contractions
            if (found := costs.group(chain[begin:end])) is not None
        }
        alone = [costs.apart_s([name]) for name in chain]
        best_s, cuts = _best(alone, table)
        time_s += best_s
        apart_s += sum(alone)
        groups += [table[cut] for cut in cuts if cut in table]
        priced += len(table)
        partitions *= 2 ** (len(chain) - 1)
    return BestFusion(tuple(groups), time_s, apart_s, priced, partitions)


def _best(alone: Sequence[float], table: dict[tuple[int, int], FusedGroup]) -> tuple[float, list[tuple[int, int]]]:
    """The least time of a chain and where it is cut; of equals the one with the shorter last group."""
    best = [0.0] + [math.inf] * len(alone)
    begins = [0] * (len(alone) + 1)
    for end in range(1, len(alone) + 1):
        for begin in range(end - 1, max(-1, end - LONGEST - 1), -1):
            group = table.get((begin, end))
            takes = alone[begin] if begin == end - 1 else math.inf if group is None else group.time_s
            if best[begin] + takes < best[end] * (1 - 1e-12) or math.isinf(best[end]):
                best[end], begins[end] = best[begin] + takes, begin
    cuts = []
    end = len(alone)
    while end:
        cuts.append((begins[end], end))
        end = begins[end]
    return best[-1], cuts[::-1]


def _blocks(items: Items, path: Names = ()) -> Iterator[tuple[str, Names]]:
    """Each op as written, with the block that it stands in."""
    for number, item in enumerate(items):
        if isinstance(item, Repeat):
            yield from _blocks(item.items, (*path, str(number)))
        else:
            yield item.output.base, path
