"""The kernels of a plan: what the system makes of each, as columns.

Model: a kernel has a variant for each sort of chip (its share of the work, tile, seconds by resource), its traffic on the
network, the queue that issues it and the chips that it runs on. Kernels that differ in names only are of one sort, which is
there once; one with names of its own is made when somebody asks for it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import overload

from simulator.collectives.traffic import Traffic
from simulator.lowering.host_ports import FarBytes
from simulator.ops.kernel import Kernel
from simulator.passes.kernels import Kernels, listed

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
