"""Which chips a communication joins, and what each of its groups asks of the wires: the network's side of a plan.

A collective over mesh axes has one group for each place along the other axes, all at once; a send and its recv are one
transfer of two chips. What one kind, size and set of axes asks is worked out once.
By messages it also brings those that carry it out (`simulator.collectives.rounds`), each with its own traffic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from hw import Router, RunError, System, Wire
from hw.rows import Memo, array_of, largest, largest_quotient, sums_at
from simulator.collectives.algorithms.in_switch import IN_SWITCH
from simulator.collectives.choice import choose
from simulator.collectives.group import Group
from simulator.collectives.images import WORTH, has_images, images_of
from simulator.collectives.request import CollectiveRequest
from simulator.collectives.rounds import Messages, merged
from simulator.collectives.traffic import Joined, Step, Traffic
from simulator.collectives.transfer import Transfer, way_of
from simulator.lowering.efficiency import WireRates
from simulator.lowering.host_ports import HostPorts
from simulator.lowering.orders import BY_PLACES, Orders
from simulator.measured import Delays
from simulator.ops.kernel import Communication

if TYPE_CHECKING:
    from simulator.options import RunOptions


MOST_LONE = 3
"""Groups without an image after which the rest are priced one by one: few systems have more sorts of them."""

MAX_MESSAGES = 4_000_000
"""Different messages of one collective beyond which it is refused in message form."""


@dataclass
class Network:
    """The wires of a system under some options: those of its topology, then those of its hosts."""

    system: System
    options: RunOptions
    _known: Memo[tuple[Communication, bool, int], Traffic] = field(default_factory=Memo)
    _busiest: dict[Traffic, float] = field(default_factory=dict)
    _lone: dict[tuple[Communication, int], Group] = field(default_factory=dict)
    _like: Network | None = None

    def __post_init__(self) -> None:
        topology, like = self.system.topology, self._like
        if topology is None:
            self.router = self._sends = None
        elif like is not None:
            self.router, self._sends = like.router, like._sends
        else:
            self.router = Router(topology, self.options.routing, by_axes=True)
            self._sends = Router(topology, self.options.routing)
        joining: Sequence[Wire] = topology.wires if topology is not None else ()
        self.host = HostPorts(self.system, len(joining))
        self.wires: list[Wire] = [*joining, *self.host.wires]
        rates = WireRates(self.system, self.options, self.host.chips_of)
        self.rates = rates.all(self.wires)
        self._rates = array_of(self.rates, np.float64)
        self._orders = Orders(self.system, self.router, self._sends, self.rates)
        self._delays = Delays(self.system, self.options, self.wires)

    def under(self, system: System) -> Network:
        """The same wires under another mesh; how messages find their way is known already."""
        return Network(system, self.options, _like=self)

    def phase_seconds(self, transfer: Transfer) -> float:
        """Seconds of a transfer without latency: the slowest wire of each phase, phase after phase."""
        rates = self.rates
        phases = ([(nbytes, rates[wire]) for wire, nbytes in loads.items()] for loads in transfer.phases if loads)
        return sum(map(largest_quotient, phases))

    def seconds(self, transfer: Transfer) -> float:
        """Seconds of a transfer alone."""
        return transfer.latency_s + self.phase_seconds(transfer)

    def busiest_seconds(self, traffic: Traffic) -> float:
        """Seconds of the wire that a communication keeps busiest, over all groups; worked out once for each."""
        if traffic not in self._busiest:
            self._busiest[traffic] = self._busiest_seconds(traffic)
        return self._busiest[traffic]

    def _busiest_seconds(self, traffic: Traffic) -> float:
        total = sums_at(traffic.loads.wire, traffic.loads.nbytes)
        most: float = largest((total / self._rates[: len(total)]).tolist(), default=0.0)
        return most

    def traffic(self, communication: Communication, by_messages: bool = False, chunks: int = 1) -> Traffic:
        """What a communication asks, as one task or with the messages that carry it out: all bytes of its chunks, and the
        latency of each, carried out as a collective of a chunk's bytes is. Raises RunError where there is no way, or too
        many messages."""
        key = (communication, by_messages, chunks)
        found = self._known.get(key)
        if found is None:
            if chunks > 1:
                found = self.traffic(part_of(communication, chunks), by_messages).times(chunks)
            else:
                found = self._whole(communication, by_messages)
            self._known.put(key, found)
        return found

    def _whole(self, communication: Communication, by_messages: bool) -> Traffic:
        found = self._traffic(communication)
        if not by_messages:
            return found
        try:
            return self._with_messages(communication, found)
        except ValueError as error:
            raise RunError(str(error)) from None

    def _with_messages(self, communication: Communication, whole: Traffic) -> Traffic:
        """The same with its messages, if anything moves."""
        parts = []
        routers: dict[int, Router] = {}
        different: dict[int, int] = {}
        for number, joined in enumerate(whole.groups):
            if len(joined.members) < 2:
                continue
            group = self._orders.group(joined.members, communication)
            routers.update(dict.fromkeys(joined.members, group.router))
            assert joined.choice is not None
            steps = joined.choice.rounds(group, _request(communication, number, joined.members, group))
            parts.append(steps)
            different.update({id(step.messages): len(step.messages) for step in steps})
            if sum(different.values()) > MAX_MESSAGES:
                raise RunError(
                    f"{communication.kind} over {communication.axes} has more than {MAX_MESSAGES} different messages; "
                    "run.network: task has one task for it"
                )
        if not any(step.messages for part in parts for step in part):
            return whole
        patterns: dict[int, Traffic] = {}
        steps = merged(parts)
        for step in steps:
            if id(step.messages) not in patterns:
                patterns[id(step.messages)] = _pattern(step.messages, routers)
        taken = tuple(Step(patterns[id(step.messages)], step.lane, step.after, step.gate, step.pace) for step in steps)
        return replace(whole, steps=taken)

    def _traffic(self, communication: Communication) -> Traffic:
        if self.router is None:
            return Traffic(tuple(Joined(group, Transfer()) for group in self.system.groups(communication.axes)))
        try:
            return self._pair(communication) if communication.pair else self._collective(communication)
        except ValueError as error:
            raise RunError(str(error)) from None

    def _collective(self, communication: Communication) -> Traffic:
        members = self.system.groups(communication.axes)
        found: dict[int, Joined] = {}
        lone = 0
        for number, chips in enumerate(members):
            if number in found:
                continue
            group = self._orders.group(chips, communication)
            found[number] = first = self._priced(communication, number, chips, group)
            if lone < MOST_LONE and self._has_images(communication, members, group):
                images = self._images(first, [at for at in range(number, len(members)) if at not in found], members)
                found |= images
                lone += not images
        groups = [found[number] for number in range(len(members))]
        algorithms = dict.fromkeys(each.choice.algorithm for each in groups if each.choice is not None)
        return Traffic(tuple(groups), ", ".join(algorithms))

    def _priced(self, communication: Communication, number: int, chips: Sequence[int], group: Group) -> Joined:
        """One group of a collective by itself."""
        wanted = communication.algorithm or self.options.collectives
        request = _request(communication, number, chips, group)
        ways = [choose(group, request, wanted, self.seconds)]
        if self._delays.adds_up(communication, wanted):
            added = choose(group, request, IN_SWITCH.name, self.seconds)
            if self._delays.knows(added, chips, self.phase_seconds):
                ways.append(replace(added, why="faster, as measured"))
        priced = [
            replace(way, transfer=self._delays.measured(way, communication, number, chips, self.phase_seconds))
            for way in ways
        ]
        # what there is no choice of needs no comparing
        choice = priced[0] if len(priced) == 1 else min(priced, key=lambda way: self.seconds(way.transfer))
        return Joined(chips, choice.transfer, choice)

    def _has_images(self, communication: Communication, members: Sequence[Sequence[int]], group: Group) -> bool:
        """Whether it is worth looking for groups that are images of one: groups over mesh axes, all of as many bytes."""
        alike = not communication.group_bytes and self.system.mesh.members(communication.axes) is None
        return alike and len(members) > 1 and len(members) * len(members[0]) >= WORTH and has_images(group)

    def _images(self, first: Joined, others: Sequence[int], members: Sequence[Sequence[int]]) -> dict[int, Joined]:
        """Of other groups, by their numbers, those that are images of a priced one."""
        columns, choice = self.system.wires, first.choice
        # what was measured of a collective is of the kinds of its chips
        kinds = self._kinds(first.members)
        others = [at for at in others if self._kinds(members[at]) == kinds]
        if columns is None or choice is None or not others:
            return {}
        images = images_of(columns, self._rates, [first.members, *(members[at] for at in others)])
        transfers = images.transfers(first.transfer)
        numbers = [others[at - 1] for at in images.groups.tolist()[1:]]
        made = zip(numbers, list(transfers or ())[1:], strict=bool(transfers))
        return {at: Joined(members[at], each, replace(choice, transfer=each)) for at, each in made}

    def _kinds(self, chips: Sequence[int]) -> list[int]:
        """Of which kind each chip is; nothing where all chips are of one."""
        return [self.system.kind_of[chip] for chip in chips] if len(self.system.kinds) > 1 else []

    def alone(self, communication: Communication, number: int = 0) -> Joined:
        """What one group of a collective asks, without the others. Raises RunError where there is no way."""
        members = self.system.groups(communication.axes)[number]
        if self.router is None:
            return Joined(members, Transfer())
        # how chips lie does not depend on how many bytes they exchange, nor, but for some, on how
        kind = communication.kind if communication.kind in BY_PLACES else ""
        key = replace(communication, kind=kind, nbytes=0.0), number
        try:
            if key not in self._lone:
                self._lone[key] = self._orders.group(members, communication)
            return self._priced(communication, number, members, self._lone[key])
        except ValueError as error:
            raise RunError(str(error)) from None

    def sent(self, source: int, target: int, nbytes: float) -> Joined:
        """What bytes from one chip to another ask. Raises RunError where there is no way."""
        if self.router is None:
            return Joined((source, target), Transfer())
        try:
            return self._sent(source, target, nbytes)
        except ValueError as error:
            raise RunError(str(error)) from None

    def _pair(self, communication: Communication) -> Traffic:
        axes, source, target = communication.axes, communication.source, communication.target
        if not axes:
            return Traffic((self._sent(source, target, communication.nbytes),), "route", pair=True)
        pairs = list(zip(self.system.at(axes, source), self.system.at(axes, target), strict=True))
        nbytes = communication.group_bytes or (communication.nbytes,) * len(pairs)
        groups = tuple(self._sent(one, two, each) for (one, two), each in zip(pairs, nbytes, strict=True))
        return Traffic(groups, "route", pair=True)

    def _sent(self, source: int, target: int, nbytes: float) -> Joined:
        assert self._sends is not None
        route = self._sends.route(source, target)
        loads: Mapping[int, float] = {wire: share * nbytes for wire, share in route.shares.items()}
        transfer = Transfer((loads,), route.latency_s, nbytes)
        return Joined((source, target), self._delays.sent(transfer, (source, target), self.phase_seconds))


def part_of(whole: Communication, chunks: int) -> Communication:
    """One of so many equal chunks of a communication."""
    if chunks == 1:
        return whole
    each = tuple(nbytes / chunks for nbytes in whole.group_bytes)
    return replace(whole, nbytes=whole.nbytes / chunks, group_bytes=each)


def _request(sent: Communication, number: int, members: Sequence[int], group: Group) -> CollectiveRequest:
    """What is asked of a group: places among its members as written become places in the order of its wiring."""
    nbytes = sent.group_bytes[number] if sent.group_bytes else sent.nbytes
    if group.chips is members:
        return CollectiveRequest(sent.kind, nbytes, sent.root, sent.shift, sent.shares, sent.held)
    place = {chip: at for at, chip in enumerate(members)}
    shares, held = (
        tuple(parts[place[chip]] for chip in group.chips) if parts else () for parts in (sent.shares, sent.held)
    )
    return CollectiveRequest(sent.kind, nbytes, group.place_of[members[sent.root]], sent.shift, shares, held)


def _pattern(messages: Messages, routers: Mapping[int, Router]) -> Traffic:
    """Messages that start together; `routers`: by chip, how messages of its group find their way."""
    groups = []
    for message in messages:
        shares, latency_s = way_of(routers[message.source], message)
        loads = {wire: share * message.nbytes for wire, share in shares.items()}
        also = message.way.also if message.way is not None else ()
        groups.append(Joined((message.source, message.target, *also), Transfer((loads,), latency_s, message.nbytes)))
    return Traffic(tuple(groups), pair=True)
