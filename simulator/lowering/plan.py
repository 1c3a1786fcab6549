"""A plan: every kernel of a graph with what the system makes of it, and the program of tasks that runs it.

Per kernel: the tile that on-chip memory allows (least traffic to and from it, then most pipeline steps), seconds on
each resource of a chip, the transfer on the wires, the queue and the chips it runs on.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import overload

from hw import Chip, System
from hw.rows import Memo, largest, rowwise
from simulator.collectives.traffic import Traffic
from simulator.engine.causes import resource_cause
from simulator.engine.program import Program
from simulator.graph.op_graph import OpGraph
from simulator.graph.split import Cut, Split
from simulator.lowering.efficiency import efficiency_of, launch_of, pace_of
from simulator.lowering.folding import Folding
from simulator.lowering.host_ports import FarBytes, far_bytes
from simulator.lowering.resources import SystemResources
from simulator.measured import Asked, timed
from simulator.ops.kernel import Communication, Kernel, Tile, Tiling
from simulator.options import RunOptions
from simulator.passes.kernels import Kernels, listed
from simulator.passes.planner_walk import Inserted

FROM_DATA_SHEET = "data sheet"
"""What times rest on that were not measured."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A kernel as one sort of chip has it: its share of the work, pipeline steps, tile, HBM bytes with re-reads, seconds by
    resource of the chip, bytes to and from its host; all chunks. `latency_s`: until it is at work, for each chunk: its
    start, where that was measured, and until its memories answer. `by`: what its times rest on: the `data sheet`, a
    kernel of its kind that was `measured`, or the `profile` of kernels like it.
    `sort`: a number that variants have in common which differ in names only; -1 of one that is like no other.
    `pace`: how many times as long as most chips it takes, in the seconds already."""

    kernel: Kernel
    steps: float
    tile: str
    hbm_bytes: float
    times_s: Mapping[str, float]
    far_bytes: FarBytes = field(default_factory=dict)
    latency_s: float = 0.0
    sort: int = -1
    by: str = FROM_DATA_SHEET
    pace: float = 1.0

    @property
    def usual_s(self) -> Mapping[str, float]:
        """Seconds by resource of its own on a chip like most."""
        return self.times_s if self.pace == 1.0 else {name: time / self.pace for name, time in self.times_s.items()}


@dataclass(frozen=True, slots=True)
class PlannedKernel:
    """A kernel on a system: each variant of it, its traffic on the network, its queue, the chips that are simulated.

    `network_s`: what its busiest wire takes; `host_s`: the same of what chips share on the way to their host.
    """

    kernel: Kernel
    variants: tuple[Variant, ...]
    traffic: Traffic
    network_s: float
    queue: str
    chips: tuple[int, ...]
    host_s: float = 0.0

    @property
    def slowest(self) -> Variant:
        """The variant of the chip that takes longest."""
        if len(self.variants) == 1:
            return self.variants[0]
        return max(self.variants, key=lambda variant: max(variant.times_s.values(), default=0.0))

    @property
    def steps(self) -> float:
        """Pipeline steps on the slowest chip."""
        return self.slowest.steps

    @property
    def tile(self) -> str:
        """The tile on the slowest chip."""
        return self.slowest.tile

    @property
    def hbm_bytes(self) -> float:
        """HBM traffic of the chip that moves most."""
        return max(variant.hbm_bytes for variant in self.variants)

    @property
    def times_s(self) -> Mapping[str, float]:
        """Seconds by resource on the slowest chip."""
        return self.slowest.times_s


class PlannedKernels(Sequence[PlannedKernel]):
    """The kernels of a plan, as columns: `sorts` are planned kernels, each for all that differ from it in names only, and
    `code` says of which sort a kernel is. A planned kernel with names of its own is made when somebody asks for it."""

    def __init__(
        self, kernels: Kernels, variants: Sequence[Kernels], sorts: list[PlannedKernel], code: array[int]
    ) -> None:
        self.kernels = kernels
        self._variants = variants
        self.sorts = sorts
        self.code = code

    @classmethod
    def listed(cls, planned: Sequence[PlannedKernel], like: Kernels | None = None) -> PlannedKernels:
        """Planned kernels that are there as objects, each of a sort of its own; tensors have the values as in `like`."""
        kernels = listed([each.kernel for each in planned], like)
        count = len(planned[0].variants) if planned else 0
        variants = [listed([each.variants[number].kernel for each in planned]) for number in range(count)]
        return cls(kernels, variants, list(planned), array("i", range(len(planned))))

    def sort(self, at: int) -> PlannedKernel:
        """The sort of a kernel: all of it but names."""
        return self.sorts[self.code[at]]

    def every_sort(self) -> Iterator[PlannedKernel]:
        """The sort of every kernel, in program order."""
        return map(self.sorts.__getitem__, self.code)

    def names(self) -> Iterator[str]:
        """What every kernel is called, in program order; none is made for that."""
        return map(self.kernels.names.kernel_name, range(len(self)))

    def bases(self) -> Iterator[str]:
        """The names without the numbers of rounds: the same for all rounds of a block."""
        called = self.kernels.names.bases()
        return map(called.names.__getitem__, called.of.tolist())

    def __len__(self) -> int:
        return len(self.code)

    @overload
    def __getitem__(self, at: int) -> PlannedKernel: ...
    @overload
    def __getitem__(self, at: slice) -> list[PlannedKernel]: ...
    def __getitem__(self, at: int | slice) -> PlannedKernel | list[PlannedKernel]:
        if isinstance(at, slice):
            return [self[each] for each in range(*at.indices(len(self)))]
        sort, named = self.sort(at), self.kernels[at]
        own = [named if each is self.kernels else each[at] for each in self._variants]
        variants = zip(sort.variants, own, strict=True)
        return replace(sort, kernel=named, variants=tuple(replace(each, kernel=mine) for each, mine in variants))

    def __iter__(self) -> Iterator[PlannedKernel]:
        return map(self.__getitem__, range(len(self)))


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


class Variants:
    """What each sort of chip makes of kernels; of kernels that differ in names only it is worked out once."""

    def __init__(self, plan: Plan, resources: SystemResources) -> None:
        self._plan, self._resources = plan, resources
        self._known: Memo[tuple[object, ...], Variant] = Memo()

    def of(self, kernels: Sequence[Kernel]) -> tuple[Variant, ...]:
        """The variants of one kernel, given as each sort of chip has it."""
        return tuple(
            self._variant(at, kernel, chip)
            for at, (kernel, chip) in enumerate(zip(kernels, self._plan.split.chips, strict=True))
        )

    def alike(self, kernel: Kernel) -> Variant:
        """What the first sort of chip makes of a kernel, or of one that differs from it in names only."""
        return self._alike(0, kernel, self._plan.split.chips[0])

    def _variant(self, at: int, kernel: Kernel, chip: Chip) -> Variant:
        known = self._alike(at, kernel, chip)
        return known if known.kernel is kernel else replace(known, kernel=kernel)

    def _alike(self, at: int, kernel: Kernel, chip: Chip) -> Variant:
        key = (at, *_figures(kernel), *(_told_apart(kernel) if self._plan.options.calibration == "measured" else ()))
        try:
            known = self._known.get(key)
        except TypeError:  # a tiling of somebody's own that cannot be hashed
            return _variant(kernel, self._plan, self._resources, chip)
        if known is None:
            made = _variant(kernel, self._plan, self._resources, chip)
            known = self._known.put(key, replace(made, sort=len(self._known)))
        return known


def _figures(kernel: Kernel) -> tuple[object, ...]:
    """All of a kernel that tiles and times depend on: what it moves and computes, and how it is cut."""
    return (
        tuple((access.nbytes, access.memory) for access in kernel.reads),
        tuple((access.nbytes, access.memory) for access in kernel.writes),
        kernel.works,
        kernel.host_s,
        kernel.tiling,
        kernel.schedule.tiles,
        kernel.schedule.chunks,
        kernel.communication is None,
    )


def _told_apart(kernel: Kernel) -> tuple[object, ...]:
    """What the times of kernels that were measured depend on beside these figures."""
    return kernel.kind, kernel.row_elements, tuple(access.item_bytes for access in kernel.reads)


def queue_name(kernel: Kernel) -> str:
    """The queue that issues a kernel."""
    return kernel.schedule.queue or _queue_name(kernel.communication)


def _variant(kernel: Kernel, plan: Plan, resources: SystemResources, chip: Chip) -> Variant:
    steps, tile = _choose_tile(kernel, plan, chip)
    moved = zip(kernel.reads, tile.rereads, strict=True)
    read = sum(access.nbytes * times for access, times in moved if access.memory == "hbm")
    written = sum(access.nbytes for access in kernel.writes if access.memory == "hbm")
    times_s = resources.kernel_seconds(kernel, tile.rereads, chip)
    latency_s = resources.latency_s(kernel, chip) if plan.options.memory_latency else 0.0
    found = Variant(kernel, steps, tile.label, read + written, times_s, far_bytes(kernel, tile.rereads), latency_s)
    options = plan.options
    measured = timed(kernel, times_s, chip, Asked(options, lambda name: efficiency_of(options, chip, name)))
    if measured is not None:
        latency_s += measured.start_s
        found = replace(found, steps=math.inf, times_s=measured.times_s, latency_s=latency_s, by=measured.by)
    return found if kernel.communication is not None else _at_pace(found, plan.pace)


def _at_pace(usual: Variant, pace: float) -> Variant:
    """A kernel as a slower chip has it: all work there. Hosts are as fast, and so are starts and given times."""
    if pace == 1.0:
        return usual
    times_s = {name: time if resource_cause(name) == "host" else time * pace for name, time in usual.times_s.items()}
    return replace(usual, times_s=times_s, pace=pace)


def _choose_tile(kernel: Kernel, plan: Plan, chip: Chip) -> tuple[float, Tile]:
    """The pipeline steps of one task (one chunk), and the tile with what it re-reads."""
    overlap, given = plan.options.overlap, kernel.schedule
    whole = Tile(math.inf, (1.0,) * len(kernel.reads), "")
    if given.tiles is not None and kernel.communication is None:
        return float(given.tiles), whole
    if overlap == "none":
        return 1.0, whole
    level = chip.memories.get(plan.options.tile_level)
    if overlap == "full" or kernel.tiling is None or level is None or kernel.communication is not None:
        return math.inf, whole

    near = chip.near_memories
    nbytes = tuple(access.nbytes if access.memory not in near else 0.0 for access in kernel.reads)
    best = rowwise(_best_tile, kernel.tiling, level.capacity_bytes, chip.matrix_unit.tile, nbytes)
    return largest([1.0, best.steps / given.chunks]), best


def _best_tile(tiling: Tiling, on_chip_bytes: float, unit: tuple[int, int], nbytes: Sequence[float]) -> Tile:
    """The tile of the least traffic, then of most steps, the first of equals; `nbytes`: what each read moves."""

    def rank(tile: Tile) -> tuple[float, float]:
        traffic = sum(moved * times for moved, times in zip(nbytes, tile.rereads, strict=True))
        return traffic, -tile.steps

    return min(tiling.tiles(on_chip_bytes, unit), key=rank)


def _queue_name(communication: Communication | None) -> str:
    if communication is None:
        return "compute"
    return "p2p" if communication.pair else f"net.{communication.axes}"
