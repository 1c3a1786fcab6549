"""What part of its data sheet's rate a resource achieves: of each chip by itself, and of the wires between chips.

Model: a chip's efficiency for a resource (a unit, a memory, any of its links) is what the run says of that chip by name,
else what it says of all chips, else what the chip's own calibration has measured, if the run asks for that; else 1. A wire
runs at the lowest efficiency of the chips at its ends, or of those that share it (an uplink, a NIC, a host's memory); one
that belongs to nobody in particular at the lowest of all. `speedup` multiplies: what-if, not efficiency.

Chips of one kind differ for good: with a spread s one takes 1 + s z times as long as most for the same kernels, z a normal
draw that it keeps. Chips that do the same and wait for each other, directly or through others, go as the slowest of them:
whatever overlaps, their run is the one in which all chips are as slow as that one (it waits for nobody, so that nobody ends
before; and none of them is later than if all were so slow). So every kernel takes 1 + s E[largest of n normal draws] times
as long, and a run stays certain and chips alike. Where chips do different things (stages of a pipeline) that is the most it
can be, but for the mean of a maximum being at least the maximum of means. Wires, hosts and given times are as they are.
Source of paces that last: P. Sinha et al., "Not all GPUs are created equal", SC22; that all wait for the slowest of them:
S. Agarwal, R. Garg, N. Vishnoi, "The impact of noise on the scaling of collectives", HiPC 2005.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, cached_property
from typing import TYPE_CHECKING

from hw import Chip, System, Wire
from hw.rows import shared, smallest

if TYPE_CHECKING:
    from simulator.options import RunOptions


def efficiency_of(options: RunOptions, chip: Chip, name: str) -> float:
    """What part of its data sheet's rate a resource of a chip achieves; more than 1 only by `speedup`."""
    faster = options.speedup.get(name, 1.0)
    for known in (options.chip_efficiency.get(chip.name, {}), options.efficiency):
        if name in known:
            return known[name] * faster
    measured = chip.calibration.measured if options.calibration == "measured" else None
    return faster * (measured.efficiency(name) if measured is not None else 1.0)


def launch_of(options: RunOptions, chip: Chip) -> float:
    """Seconds that a chip takes to launch a kernel: as the run says, else as measured, if it asks for that."""
    if options.launch_s is not None:
        return options.launch_s
    measured = chip.calibration.measured if options.calibration == "measured" else None
    return measured.launch_s / options.speedup.get("launch", 1.0) if measured is not None else 0.0


def pace_of(spread: float, count: int) -> float:
    """How many times as long as most the slowest of so many chips takes, on average."""
    return 1.0 + spread * expected_largest(count) if spread else 1.0


_STEP, _FAR = 1 / 64, 13.0
"""Between the points of the sum, and how far out it goes: beyond, nothing is left of a billion draws."""


@cache
def expected_largest(count: int) -> float:
    """The mean of the largest of so many normal draws: the integral of x n phi(x) Phi(x)^(n-1), by the trapezoidal rule,
    whose error for a function that is as smooth and ends so is that of the floats."""
    if count <= 1:
        return 0.0
    total = 0.0
    for at in range(-round(_FAR / _STEP), round(_FAR / _STEP) + 1):
        x = at * _STEP
        above = 0.5 * math.erfc(x / math.sqrt(2.0))
        if above < 1.0:  # else no draw is below, and none the largest there
            density = math.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)
            total += x * density * count * math.exp((count - 1) * math.log1p(-above))
    return total * _STEP


class WireRates:
    """Bytes/s of wires under a run's efficiencies. `shared`: the chips that share a wire none of whose ends is a chip."""

    def __init__(self, system: System, options: RunOptions, shared: Mapping[int, Sequence[int]]) -> None:
        self._system = system
        self._options = options
        self._shared = shared
        self._known: dict[tuple[int, str], float] = {}

    def all(self, wires: Sequence[Wire]) -> list[float]:
        """Bytes/s of all wires of the network, in order."""
        if len(self._system.kinds) > 1:
            return shared(self.of(number, wire) for number, wire in enumerate(wires))
        achieved = {link: self._kind(0, link) for link in {wire.link for wire in wires}}
        return shared(wire.bytes_per_s * achieved[wire.link] for wire in wires)

    def of(self, number: int, wire: Wire) -> float:
        """Bytes/s of a wire, given its number in the network."""
        return wire.bytes_per_s * smallest(self._kind(kind, wire.link) for kind in self._kinds(number, wire))

    def _kind(self, kind: int, link: str) -> float:
        key = (kind, link)
        if key not in self._known:
            self._known[key] = efficiency_of(self._options, self._system.kinds[kind], link)
        return self._known[key]

    def _kinds(self, number: int, wire: Wire) -> Iterable[int]:
        """The kinds of the chips that a wire belongs to."""
        system = self._system
        if len(system.kinds) == 1:
            return (0,)
        numbers: Mapping[str, int] = system.topology.chip_numbers if system.topology is not None else {}
        chips = [numbers[end] for end in (wire.source, wire.target) if end in numbers]
        chips = chips or list(self._shared.get(number, ())) or list(self._behind.get(number, ()))
        return {system.kind_of[chip] for chip in chips} or range(len(system.kinds))

    @cached_property
    def _behind(self) -> Mapping[int, Sequence[int]]:
        """The chips behind each wire that some share to reach the rest."""
        topology = self._system.topology
        found: dict[int, Sequence[int]] = {}
        for trunk in (trunk for level in topology.level_trunks for trunk in level) if topology is not None else ():
            found.update(dict.fromkeys((*trunk.up, *trunk.down), trunk.chips))
        return found
