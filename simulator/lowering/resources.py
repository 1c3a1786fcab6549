"""The resources of a system as the engine sees them, and a kernel's amounts turned into seconds on them.

Per chip: matrix_unit and vector_unit (1 second of unit per second), every memory that it has, and
the two directions of pcie, and what issues its kernels; then every wire. A rate is the data sheet's
times the efficiency that the run asks for.
What each counts as stands in `simulator.engine.causes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from hw import Chip, System, Wire
from simulator.engine.causes import resource_cause
from simulator.engine.program import Program, Resource
from simulator.graph.dtypes import usable_dtype
from simulator.lowering.efficiency import efficiency_of
from simulator.lowering.host_ports import HOST_LEVEL
from simulator.measured import kernel_times_of
from simulator.ops.kernel import Access, Kernel

if TYPE_CHECKING:
    from simulator.options import RunOptions

_PATHS = {"host": ("host", "pcie.{way}"), "disk": ("disk", "pcie.{way}")}
"""What an access to a memory crosses; a memory crosses itself unless it stands here."""


DISPATCH = "dispatch"
"""What a chip's host does to issue kernels: 1 second of it per second."""


class SystemResources:
    """Resource numbers of a program by chip and name, and by wire; only what is simulated has them."""

    def __init__(self, system: System, options: RunOptions, program: Program) -> None:
        self._system = system
        self._shared = system.host_memories
        self._options = options
        self._program = program
        self.of_chip: dict[tuple[int, str], int] = {}
        self.of_wire: dict[int, int] = {}
        # by chip, amounts per second by the names of its resources
        self._rates: dict[int, Mapping[str, float]] = {}

    def add_chips(self, chips: Iterable[int]) -> None:
        """Give the resources of some chips their numbers."""
        for number in chips:
            for name, cause, per_s in self.chip_resources(self._system.chip_at(number)):
                self.of_chip[number, name] = len(self._program.resources)
                self._program.resources.append(Resource(f"chip{number}.{name}", cause, per_s, number))

    def add_wires(self, wires: Mapping[int, Wire], rates: Sequence[float]) -> None:
        """Give some wires, by their number in the network, their numbers as resources; `rates`: bytes/s of all."""
        for number, wire in wires.items():
            cause = "host" if wire.level == HOST_LEVEL else "network"
            self.of_wire[number] = len(self._program.resources)
            self._program.resources.append(Resource(wire.name, cause, rates[number]))

    def chip_resources(self, chip: Chip) -> Iterator[tuple[str, str, float]]:
        """(name, cause, amount per second) of every resource of a chip."""
        for unit in ("matrix_unit", "vector_unit"):
            yield unit, resource_cause(unit), 1.0
        if self._options.by_host:
            yield DISPATCH, resource_cause(DISPATCH), efficiency_of(self._options, chip, DISPATCH)
        for name, memory in chip.memories.items():
            if name not in self._shared:
                yield name, resource_cause(name), self._rate(chip, name, memory.bytes_per_s)
        if "pcie" in chip.links:
            for way in ("pcie.in", "pcie.out"):
                yield way, resource_cause(way), self._rate(chip, "pcie", chip.links["pcie"].egress_bytes_per_s)

    def _rates_of(self, chip: Chip) -> Mapping[str, float]:
        """The amount per second of every resource of one of the system's chips; these stay as long as the system does."""
        if id(chip) not in self._rates:
            self._rates[id(chip)] = {name: per_s for name, _, per_s in self.chip_resources(chip)}
        return self._rates[id(chip)]

    def _rate(self, chip: Chip, name: str, per_s: float) -> float:
        return per_s * efficiency_of(self._options, chip, name)

    def kernel_seconds(self, kernel: Kernel, rereads: Sequence[float], chip: Chip) -> dict[str, float]:
        """Seconds that each of a chip's resources needs for a kernel, alone; reads happen `rereads` times."""
        needs: dict[str, float] = {}
        rates = self._rates_of(chip)
        # tiles are part of how long a kernel was measured to take
        padded = self._options.padding if kernel_times_of(self._options, chip) is not None else self._options.pads
        tile = chip.matrix_unit.tile if padded else None
        for work in kernel.works:
            seconds = self._unit(chip, work.unit, work.issued_flops(tile) / work.efficiency, work.dtype)
            needs[work.unit] = needs.get(work.unit, 0.0) + seconds
        for access, times in zip(kernel.reads, rereads, strict=True):
            _move(needs, rates, access, (access.nbytes * times, "in"))
        for access in kernel.writes:
            _move(needs, rates, access, (access.nbytes, "out"))
        if kernel.host_s:
            needs[DISPATCH] = kernel.host_s / rates[DISPATCH]
        return {name: time for name, time in needs.items() if time > 0.0}

    def latency_s(self, kernel: Kernel, chip: Chip) -> float:
        """Seconds until the slowest to answer of the memories that a kernel reads has answered."""
        host = self._system.host
        shared = {"host": host.memory, "disk": host.disk} if host else {}
        memories = {**chip.memories, **{name: memory for name, memory in shared.items() if memory is not None}}
        read = {access.memory for access in kernel.reads if access.nbytes and access.memory in memories}
        return max((memories[name].latency_s for name in read), default=0.0)

    def _unit(self, chip: Chip, unit: str, flops: float, dtype: str) -> float:
        if not flops:
            return 0.0
        peaks: Mapping[str, float] = getattr(chip, unit).peak_flops_per_s
        served = usable_dtype(dtype, peaks)
        assert served is not None, "binding has checked that there is a peak"
        return flops / self._rate(chip, unit, peaks[served])


def _move(needs: dict[str, float], rates: Mapping[str, float], access: Access, moved: tuple[float, str]) -> None:
    nbytes, way = moved
    for step in _PATHS.get(access.memory, (access.memory,)):
        name = step.format(way=way)
        if name in rates:
            needs[name] = needs.get(name, 0.0) + nbytes / rates[name]
