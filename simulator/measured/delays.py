"""What collectives take beside the bytes on their wires, on chips of which that was measured.

Model: where all chips of a group know what a collective takes over the link that holds it up (`calibration: measured`),
that comes before its wires are at work, and hops by the data sheet are part of it. Wires of other links have no delay of
their own: the slowest link decides, as in a group that lies in several nodes. Where it is known how fast the link's switches
add up, the library has them do so whenever that is faster.
Assumes: a library's own algorithm takes as long as the form that was chosen. Message by message, each message has the
latency of the data sheet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from hw import System, Wire
from hw.chips import CollectiveTimes
from hw.rows import largest
from simulator.collectives.algorithms.in_switch import IN_SWITCH
from simulator.collectives.choice import Choice
from simulator.collectives.registry import ALGORITHMS
from simulator.collectives.transfer import Transfer
from simulator.measured.collectives import collective_delay_s, cores_held, in_switch_delay_s
from simulator.ops.kernel import Communication

if TYPE_CHECKING:
    from simulator.options import RunOptions


@dataclass(frozen=True)
class Delays:
    """The delays of collectives on the wires of a system."""

    system: System
    options: RunOptions
    wires: Sequence[Wire]

    def adds_up(self, asked: Communication, wanted: str) -> bool:
        """Whether the library may leave a collective to switches: it may where nobody has asked for a way of its own."""
        return (
            self.options.calibration == "measured"
            and wanted not in ALGORITHMS
            and asked.kind in IN_SWITCH.kinds
            and self._switches
        )

    def knows(self, choice: Choice, seconds: Callable[[Transfer], float]) -> bool:
        """Whether it was measured how fast the switches of the very link add up that holds a transfer up."""
        if not choice.transfer.phases:
            return False
        times = self._times(self._slowest_link(choice.transfer, seconds))
        return times is not None and times.in_switch is not None

    @cached_property
    def _switches(self) -> bool:
        """Whether it is known how fast the switches of some link add up."""
        found = [kind.calibration.measured for kind in self.system.kinds]
        return any(times.in_switch for each in found if each is not None for times in each.collectives.values())

    def measured(
        self,
        choice: Choice,
        asked: Communication,
        number: int,
        chips: Sequence[int],
        seconds: Callable[[Transfer], float],
    ) -> Transfer:
        """The transfer of one group with the delay that was measured, if it is known."""
        transfer = choice.transfer
        if self.options.calibration != "measured" or not transfer.phases or len(chips) < 2:
            return transfer
        link = self._slowest_link(transfer, seconds)
        times = self._times(link)
        if times is None:
            return transfer
        nbytes = asked.group_bytes[number] if asked.group_bytes else asked.nbytes
        rate = min(kind.links[link].bytes_per_s * kind.links[link].count for kind in self.system.kinds)
        if choice.algorithm == IN_SWITCH.name and times.in_switch is not None:
            # a faster link (what-if) is faster up to the switch and back, too
            faster = rate * self.options.speedup.get(link, 1.0)
            delay_s = in_switch_delay_s(nbytes, len(chips), seconds(transfer), times, faster)
        else:
            delay_s = collective_delay_s(asked.kind, nbytes, len(chips), seconds(transfer), times, rate)
        cores = cores_held(nbytes, times, choice.algorithm == IN_SWITCH.name)
        return replace(transfer, latency_s=largest([transfer.latency_s, delay_s]), cores=cores)

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
