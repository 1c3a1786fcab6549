"""What collectives take beside the bytes on their wires, on chips of which that was measured.

Model: where all chips of a group know what a collective takes over the link that holds it up (`calibration: measured`),
that comes before its wires are at work, and hops by the data sheet are part of it. Wires of other links have no delay of
their own: the slowest link decides, as in a group that lies in several nodes.
Assumes: a library's own algorithm takes as long as the form that was chosen. Message by message, each message has the
latency of the data sheet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hw import System, Wire
from hw.chips import CollectiveTimes
from hw.rows import largest
from simulator.collectives.transfer import Transfer
from simulator.measured.collectives import collective_delay_s
from simulator.ops.kernel import Communication

if TYPE_CHECKING:
    from simulator.options import RunOptions


@dataclass(frozen=True)
class Delays:
    """The delays of collectives on the wires of a system."""

    system: System
    options: RunOptions
    wires: Sequence[Wire]

    def measured(
        self,
        transfer: Transfer,
        asked: Communication,
        number: int,
        chips: Sequence[int],
        seconds: Callable[[Transfer], float],
    ) -> Transfer:
        """The transfer of one group with the delay that was measured, if it is known."""
        if self.options.calibration != "measured" or not transfer.phases or len(chips) < 2:
            return transfer
        link = self._slowest_link(transfer, seconds)
        times = self._times(link)
        if times is None:
            return transfer
        nbytes = asked.group_bytes[number] if asked.group_bytes else asked.nbytes
        rate = min(kind.links[link].bytes_per_s * kind.links[link].count for kind in self.system.kinds)
        delay_s = collective_delay_s(asked.kind, nbytes, len(chips), seconds(transfer), times, rate)
        return replace(transfer, latency_s=largest([transfer.latency_s, delay_s]))

    def _slowest_link(self, transfer: Transfer, seconds: Callable[[Transfer], float]) -> str:
        """The link of the wire on which a transfer takes longest."""
        loads = transfer.wires
        taken = {wire: seconds(Transfer(({wire: nbytes},))) for wire, nbytes in loads.items()}
        return self.wires[max(taken, key=lambda wire: taken[wire])].link

    def _times(self, link: str) -> CollectiveTimes | None:
        """What all chips know of collectives over a link: that of the first kind, if every kind knows it."""
        found = [kind.calibration.measured for kind in self.system.kinds]
        known = [measured.collectives.get(link) if measured is not None else None for measured in found]
        return None if None in known else known[0]
