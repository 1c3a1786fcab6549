"""What collectives take beside the bytes on their wires, on chips of which that was measured.

Model: where all chips of a group know what a collective takes over the link that holds it up (`calibration: measured`),
that comes before its wires are at work, and hops by the data sheet are part of it. Of unlike chips the slowest one
decides, for a collective ends on all at once; chips of other groups do not matter. Of several links, as in a group that
lies in several nodes, the one with the longest delay decides: a library starts once, and its rings go round all chips on
each of them. Where it is known how fast the link's switches add up, the library has them do so whenever that is faster.
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
from simulator.measured.collectives import axes_share, collective_delay_s, cores_held, in_switch_delay_s, rail_share
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

    def knows(self, choice: Choice, chips: Sequence[int], seconds: Callable[[Transfer], float]) -> bool:
        """Whether it was measured how fast the switches of the very link add up that holds a transfer of chips up."""
        if not choice.transfer.phases:
            return False
        known = self._times(self._slowest_link(choice.transfer, seconds), chips)
        return bool(known) and all(times.in_switch is not None for times, _ in known)

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
        known = self._times(link, chips)
        if not known:
            return transfer
        nbytes = asked.group_bytes[number] if asked.group_bytes else asked.nbytes
        # a faster link (what-if) is faster up to the switch and back, too
        faster = self.options.speedup.get(link, 1.0)
        delays, wires_s = [transfer.latency_s], seconds(transfer)
        for times, rate in known:
            if choice.algorithm == IN_SWITCH.name and times.in_switch is not None:
                delays.append(in_switch_delay_s(nbytes, len(chips), wires_s, times, rate * faster))
                continue
            rings_s = wires_s * self._rails(link, asked.kind, chips) if times.rails else wires_s
            rings_s *= axes_share(asked.kind, self._along(link, chips), times.axes)
            delay_s = collective_delay_s(asked.kind, nbytes, len(chips), rings_s, times, rate)
            delays.append(delay_s + rings_s - wires_s)
        # a library starts, and chips meet, on the nearer links as well, however little goes over them
        for name, busy_s in self._other_links(transfer, link, seconds).items():
            for times, rate in self._times(name, chips):
                delays.append(collective_delay_s(asked.kind, nbytes, len(chips), busy_s, times, rate))
        cores = largest([cores_held(nbytes, times, choice.algorithm == IN_SWITCH.name) for times, _ in known])
        return replace(transfer, latency_s=largest(delays), cores=cores)

    def sent(self, transfer: Transfer, chips: Sequence[int], seconds: Callable[[Transfer], float]) -> Transfer:
        """What one chip sends to another, with the delay that was measured, if it is known."""
        if self.options.calibration != "measured" or not transfer.phases:
            return transfer
        known = self._times(self._slowest_link(transfer, seconds), chips)
        pairs = [times.pair for times, _ in known if times.pair is not None]
        delays = [pair.start_s + seconds(transfer) * (1.0 / pair.rate - 1.0) for pair in pairs]
        return replace(transfer, latency_s=largest([transfer.latency_s, *delays]))

    def _rails(self, link: str, kind: str, chips: Sequence[int]) -> float:
        """How much more than the wires' own form rings carry over a link that joins nodes."""
        topology = self.system.topology
        levels = topology.levels if topology is not None else ()
        level = next((each for each in levels if each.link == link), None)
        if level is None:
            return 1.0
        return rail_share(kind, len(chips), len({chip // level.inner for chip in chips}))

    def _along(self, link: str, chips: Sequence[int]) -> int:
        """Along how many axes of a link some chips lie."""
        topology = self.system.topology
        levels = topology.levels if topology is not None else ()
        axes = [axis for level in levels if level.link == link for axis in level.axes]
        return sum(len({axis.place(chip) for chip in chips}) > 1 for axis in axes)

    def _other_links(self, transfer: Transfer, slowest: str, seconds: Callable[[Transfer], float]) -> dict[str, float]:
        """Seconds of the busiest wire of each link but the slowest."""
        found: dict[str, list[float]] = {}
        for wire, nbytes in transfer.wires.items():
            link = self.wires[wire].link
            if link != slowest:
                found.setdefault(link, []).append(seconds(Transfer(({wire: nbytes},))))
        return {link: largest(each) for link, each in found.items()}

    def _slowest_link(self, transfer: Transfer, seconds: Callable[[Transfer], float]) -> str:
        """The link of the wire on which a transfer takes longest."""
        loads = transfer.wires
        taken = {wire: seconds(Transfer(({wire: nbytes},))) for wire, nbytes in loads.items()}
        return self.wires[max(taken, key=lambda wire: taken[wire])].link

    def _times(self, link: str, chips: Sequence[int]) -> list[tuple[CollectiveTimes, float]]:
        """What each kind of some chips knows of collectives over a link, and its rate; nothing if one does not know."""
        found = []
        for number in sorted({self.system.kind_of[chip] for chip in chips}):
            kind = self.system.kinds[number]
            measured = kind.calibration.measured
            times = measured.collectives.get(link) if measured is not None else None
            if times is None:
                return []
            found.append((times, kind.links[link].bytes_per_s * kind.links[link].count))
        return found
