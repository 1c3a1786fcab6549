"""What chips of a stage ask together of the hosts that they share, as the run has it wire by wire.

Model: chips of a stage do the same at the same time. What one of them moves passes the wires of its host
(`simulator.lowering.host_ports`), on each of which as many chips of its stage are as sit behind it. Alone it takes what the
slowest of its wires takes; together what the busiest one takes for all of them.
Assumes: chips lie on hosts and PCIe switches alike, so that the one whose wires are the most crowded stands for all; other
stages are elsewhere, or at other times.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from simulator.lowering.host_ports import FarBytes
from simulator.lowering.network import Network


@dataclass(frozen=True, slots=True)
class OnHost:
    """What one chip moves takes so many seconds `alone`; `wires`: what all chips of its stage take together, by wire."""

    alone: float = 0.0
    wires: Mapping[str, float] = field(default_factory=dict)

    @property
    def together(self) -> float:
        """Seconds of the wire that they keep busiest."""
        return max(self.wires.values(), default=0.0)


NOWHERE = OnHost()
"""Of what stays on its chip, and of chips whose host is their own."""


@dataclass
class Hosts:
    """The hosts of some chips that do the same at the same time; bytes are those of one of them."""

    network: Network
    chips: Sequence[int]
    _crowd: Counter[int] = field(default_factory=Counter)
    """How many of the chips are on each wire."""
    _chip: int = 0

    def __post_init__(self) -> None:
        of_wire = self.network.host.chips_of
        mine = set(self.chips)
        self._crowd = Counter({wire: len(mine.intersection(chips)) for wire, chips in of_wire.items()})
        most = dict.fromkeys(self.chips, (0, 0))
        for wire, count in self._crowd.items():
            for chip in mine.intersection(of_wire[wire]):
                crowded, total = most[chip]
                most[chip] = max(crowded, count), total + count
        self._chip = max(self.chips, key=lambda chip: (*most[chip], -chip))

    def carried(self, far: FarBytes) -> OnHost:
        """What the wires take for these bytes."""
        if not far or not self.network.host.wires:
            return NOWHERE
        network = self.network
        loads = network.host.loads(self._chip, far)
        seconds = {wire: nbytes / network.rates[wire] for wire, nbytes in loads.items()}
        together = {network.wires[wire].name: self._crowd[wire] * each for wire, each in seconds.items()}
        return OnHost(max(seconds.values(), default=0.0), together)
