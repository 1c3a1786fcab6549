"""What chips share on the way to their host: its memory, its disks, and the uplinks of its PCIe switches, as wires.

Model: bytes from host memory (or disk) pass the memory (or disk) of the chip's host, the uplink of its PCIe switch on the
way down, and the chip's own pcie link; bytes to it the same way up. Memory and disks carry both ways together, an uplink
each way on its own. What is shared streams: its parts are one stage of a kernel, next to the chip's own link.
Where a system says nothing of a host, a chip's own host and disk figures count (`simulator.lowering.resources`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hw import System, Wire
from simulator.ops.kernel import Kernel

FAR = ("host", "disk")
"""Memories that chips of one host share."""

FarBytes = Mapping[tuple[str, str], float]
"""Bytes by memory ('host' or 'disk') and way ('in' or 'out' of the chip)."""

HOST_LEVEL = -1
"""The level of a host's wires: none of the topology's."""


def far_bytes(kernel: Kernel, rereads: Sequence[float]) -> FarBytes:
    """What a kernel moves between a chip and its host, each read `rereads` times."""
    moved: dict[tuple[str, str], float] = {}
    reads = ((access, "in", times) for access, times in zip(kernel.reads, rereads, strict=True))
    writes = ((access, "out", 1.0) for access in kernel.writes)
    for access, way, times in (*reads, *writes):
        if access.memory in FAR:
            moved[access.memory, way] = moved.get((access.memory, way), 0.0) + access.nbytes * times
    return moved


@dataclass
class HostPorts:
    """The wires of all hosts of a system, numbered from `first` on."""

    system: System
    first: int
    wires: list[Wire] = field(default_factory=list)
    chips_of: dict[int, list[int]] = field(default_factory=dict)
    """The chips that share each wire, by its number."""
    _number: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        host = self.system.host
        if host is None:
            return
        for chip in range(self.system.size):
            name = f"host{host.host_of(chip)}"
            for part, memory in (("host", host.memory), ("disk", host.disk)):
                if memory is not None:
                    self._add(chip, f"{name}.{'memory' if part == 'host' else part}", memory.bytes_per_s, part)
            if host.uplink_bytes_per_s is not None:
                for way in ("in", "out"):
                    self._add(chip, self._uplink(chip, way), host.uplink_bytes_per_s, "pcie")

    def _add(self, chip: int, name: str, bytes_per_s: float, link: str) -> None:
        if name not in self._number:
            self._number[name] = self.first + len(self.wires)
            self.wires.append(Wire(name, "", "", bytes_per_s, 0.0, 0.0, link, HOST_LEVEL))
        self.chips_of.setdefault(self._number[name], []).append(chip)

    def _uplink(self, chip: int, way: str) -> str:
        host = self.system.host
        assert host is not None
        return f"host{host.host_of(chip)}.pcie{host.switch_of(chip)}.{way}"

    def loads(self, chip: int, moved: FarBytes) -> dict[int, float]:
        """Bytes by wire of what one chip moves."""
        total: dict[int, float] = {}
        for (memory, way), nbytes in moved.items():
            for name in self._path(chip, memory, way):
                if name in self._number:
                    wire = self._number[name]
                    total[wire] = total.get(wire, 0.0) + nbytes
        return total

    def _path(self, chip: int, memory: str, way: str) -> Iterator[str]:
        host = self.system.host
        assert host is not None
        yield f"host{host.host_of(chip)}.{'memory' if memory == 'host' else memory}"
        yield self._uplink(chip, way)
