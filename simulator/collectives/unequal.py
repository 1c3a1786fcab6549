"""Gathers and scatters of unequal shards: their messages, and their closed form.

With V the bytes of the whole array, p_i the part of it that is at place i (or goes there), a part of 0 included:
- passed on, on a ring: whole shards both ways round, as with equal ones: in hop h every chip passes on the shard from h-1
  places before it, floor(n/2) hops one way and (n-1)//2 the other; which way the antipode's shard goes is what takes less
  of the slowest wire. Line: n-1 hops both ways, of what lies behind.
  They stream: a wire is busy with the sum of what it carries, and the hops' latencies follow each other.
  On a switch, or where each is linked to each, large parts and small ones stand in turn, whoever has them; in trees, over
  several axes and in graphs chips stand as a walk along the links comes to them, from the largest part on.
- one way round: the same n-1 hops the one way: a wire carries all of V but the shard that ends where it leads.
- direct: every chip sends its shard to every other straight away, over its own route: (n-1) p_i V out of chip i.
A reduce-scatter is the gather, backwards; one way round it goes forward too. An equal part for everyone has the forms
of `simulator.collectives.axes`.
Source: ring and direct gathers of blocks of unequal sizes (MPI_Allgatherv, MPI_Reduce_scatter).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from hw.network import WIRINGS, routed_axis, walk_by
from hw.rows import largest, largest_quotient
from simulator.collectives.axis_forms import forms_of
from simulator.collectives.flight import at_once, by_routes, most_sent
from simulator.collectives.form import Form
from simulator.collectives.group import AxisGroup, Group
from simulator.collectives.request import CollectiveRequest
from simulator.collectives.rounds import MessageRound, Rounds, chain, slices
from simulator.collectives.transfer import Message, Transfer

MOST_WALKED = 4096
"""Chips of a system beyond which they stand in the order of their places: a walk looks at every link of it."""

Lanes = tuple[list[list[Message]], list[list[Message]]]
"""Messages hop by hop, one way and the other."""


# Everyone to everyone


def to_every(group: Group, request: CollectiveRequest) -> list[Message]:
    """Each chip sends its part to every other; backwards: gets its part from every other."""
    shards = [(chip, part * request.nbytes) for chip, part in zip(group.chips, request.parts, strict=True) if part]
    found = [Message(here, there, shard) for here, shard in shards for there in group.chips if here != there]
    if request.scatters:
        return [Message(there, here, nbytes) for here, there, nbytes, _ in found]
    return found


def _direct(group: Group, request: CollectiveRequest) -> Transfer:
    return by_routes(group, to_every(group, request))


def _direct_rounds(group: Group, request: CollectiveRequest) -> Rounds:
    return [MessageRound(tuple(to_every(group, request)))]


# From neighbour to neighbour


def _hops(along: AxisGroup) -> tuple[int, int]:
    """Hops ahead and behind of shards that go both ways from neighbour to neighbour."""
    if _is_round(along):
        return along.size // 2, (along.size - 1) // 2
    return along.size - 1, along.size - 1


def _is_round(along: AxisGroup) -> bool:
    """Whether the last of the chips passes on to the first: over its links, or over routes."""
    wiring = WIRINGS[along.axis.kind]
    return wiring.wraps or not wiring.neighbours


def _lanes(
    along: AxisGroup, parts: Sequence[float], nbytes: float, back: bool, hops_of: tuple[int, int], is_round: bool
) -> Lanes:
    """Shards passed on from neighbour to neighbour, so many hops ahead and behind, hop by hop; back: sums passed on towards
    where they belong."""
    size = along.size
    lanes: Lanes = ([], [])
    for lane, step, hops in zip(lanes, (1, -1), hops_of, strict=True):
        for hop in range(hops):
            messages = []
            for at in range(size):
                # at a chip is the shard that set out `hop` places before it
                start, there = at - step * hop, at + step
                part = parts[start % size]
                reached = is_round or (0 <= start < size and 0 <= there < size)
                if part and reached:
                    messages.append(_passed_on(along, at, there % size, part * nbytes, back))
            lane.append(messages)
        if back:
            lane.reverse()
    return lanes


def _passed_on(along: AxisGroup, here: int, there: int, nbytes: float, back: bool) -> Message:
    """A shard from one place to the next, or a sum the other way. Between neighbours on a ring or a line it takes one link,
    the first where two lead there; else its route."""
    source, target = (along.chips[there], along.chips[here]) if back else (along.chips[here], along.chips[there])
    if not WIRINGS[along.axis.kind].neighbours:
        return Message(source, target, nbytes)
    return Message(source, target, nbytes, along.way(along.topology.between(f"chip{source}", f"chip{target}")[0]))


def _both_ways(group: Group, request: CollectiveRequest) -> Lanes:
    """Both ways; of the two ways for the antipode's shard the one with less on the slowest wire, ahead where that is equal:
    which way is ahead may be a matter of names."""
    along, parts = _ordered(group.as_one, request.parts)
    ahead, behind = _hops(along)
    sent = parts, request.nbytes, request.scatters
    lanes = _lanes(along, *sent, (ahead, behind), _is_round(along))
    if ahead == behind or along.size == 2:
        return lanes
    other = _lanes(along, *sent, (behind, ahead), _is_round(along))
    return other if _busiest_s(group, other) < _busiest_s(group, lanes) * (1 - 1e-9) else lanes


def _ordered(along: AxisGroup, parts: Sequence[float]) -> tuple[AxisGroup, Sequence[float]]:
    """Chips and their parts in the order of the ring. Where they have no neighbours the order is a matter of names: then
    they stand as a walk comes to them that links and parts alone decide. Where everyone is as near to everyone the largest
    part stands between the two smallest, those beside the next two in size, and so on."""
    if not _near_alike(along):
        return _walked(along, parts)
    rates: dict[str, float] = {}
    for number, wire in enumerate(along.topology.wires):
        rates[wire.source] = rates.get(wire.source, 0.0) + along.group.bytes_per_s(number)
    left = deque(
        sorted(zip(parts, along.chips, strict=True), key=lambda each: (each[0], rates.get(f"chip{each[1]}", 0.0)))
    )
    turns, small = deque([left.pop()]), True
    while left:
        turns.append(left.popleft() if small else left.pop())
        if left:
            turns.appendleft(left.popleft() if small else left.pop())
        small = not small
    return replace(along, chips=[chip for _, chip in turns]), [part for part, _ in turns]


def _walked(along: AxisGroup, parts: Sequence[float]) -> tuple[AxisGroup, tuple[float, ...]]:
    """The order in which a walk along the widest links comes to them, chips told apart by their parts alone."""
    topology, group = along.topology, along.group
    if WIRINGS[along.axis.kind].neighbours or topology.size > MOST_WALKED:
        return along, tuple(parts)
    part_of = dict(zip(along.chips, parts, strict=True))
    sizes = sorted(set(parts), reverse=True)
    looks = [sizes.index(part_of[chip]) if chip in part_of else len(sizes) for chip in range(topology.size)]
    rates = [group.bytes_per_s(wire) for wire in range(len(topology.wires))]
    order = [chip for chip in walk_by(topology, rates, looks) if chip in part_of]
    return replace(along, chips=order), tuple(part_of[chip] for chip in order)


def _near_alike(along: AxisGroup) -> bool:
    """Whether all chips are as near to each other: on one switch, no trunk between them, or each linked to each."""
    if not forms_of(along.axis.kind).one_hop:
        return False
    here = set(along.chips)
    behind = (here.intersection(trunk.chips) for trunk in along.topology.trunks(along.axis.level))
    return all(len(each) in (0, len(here)) for each in behind)


def _busiest_s(group: Group, lanes: Lanes) -> float:
    """Seconds of the slowest wire, of its bytes alone."""
    loads, _ = at_once(group, [message for lane in lanes for hop in lane for message in hop])
    return largest_quotient((nbytes, group.bytes_per_s(wire)) for wire, nbytes in loads.items())


def _one_way(group: Group, request: CollectiveRequest) -> Lanes:
    """Shards passed on one way round, each over a route that does not split. Sums go the same way, for links may lead one
    way: what is for a chip sets out at the next one, so it is passed on as a shard of that chip's would be."""
    along, parts = _over_routes(group), request.parts
    if not WIRINGS[group.as_one.axis.kind].neighbours:
        along, parts = _walked(along, parts)
    moved = (parts[-1], *parts[:-1]) if request.scatters else parts
    forward, none = _lanes(along, moved, request.nbytes, False, (group.size - 1, 0), True)
    return [group.unsplit(hop) for hop in forward], none


def _over_routes(group: Group) -> AxisGroup:
    """The chips in their order as a ring over routes, whatever they are wired as."""
    return replace(group, pieces=(routed_axis(group.size),)).as_one


def _streamed(along: AxisGroup, lanes: Lanes) -> Transfer:
    hops = max(len(lane) for lane in lanes)
    messages = [message for lane in lanes for hop in lane for message in hop]
    loads, latency = at_once(along.group, messages)
    hop_s = along.hop_s(loads) if WIRINGS[along.axis.kind].neighbours else latency
    return Transfer((loads,), hops * hop_s, most_sent(messages))


def _passed_transfer(group: Group, request: CollectiveRequest) -> Transfer:
    """Whole shards from neighbour to neighbour; round over routes where there is no ring or line."""
    if WIRINGS[group.as_one.axis.kind].one_way:
        return _one_way_ring(group, request)
    return _streamed(group.as_one, _both_ways(group, request))


def _one_way_transfer(group: Group, request: CollectiveRequest) -> Transfer:
    """Whole shards one way round, over routes."""
    return _streamed(_over_routes(group), _one_way(group, request))


def _one_way_ring(group: Group, request: CollectiveRequest) -> Transfer:
    """Whole shards from each chip to the next, where there is no other way: a wire carries all shards but the one that is
    at home where it leads; back: all sums but those of the chip that it comes from."""
    along, parts, size = group.as_one, request.parts, group.size
    wires = along.steps(True)
    home = 0 if request.scatters else 1
    moved = [(1.0 - parts[(at + home) % size]) * request.nbytes for at in range(size)]
    return Transfer((dict(zip(wires, moved, strict=True)),), (size - 1) * along.hop_s(wires), largest(moved))


def _sliced(lanes_of: Callable[[Group, CollectiveRequest], Lanes], group: Group, request: CollectiveRequest) -> Rounds:
    """In slices from neighbour to neighbour: a large shard is not held up at every hop."""
    lanes = lanes_of(group, request)
    count = slices(sum(len(messages) for hops in lanes for messages in hops))
    result: Rounds = []
    for lane, hops in enumerate(lanes):
        before: list[tuple[int, ...]] = [()] * count
        for messages in hops:
            cut = tuple(each._replace(nbytes=each.nbytes / count) for each in messages)
            # hop by hop, so that nobody waits for a slice while there is another one to send
            before = [chain(result, [cut] if cut else [], lane, after) for after in before]
    return result


def _passed_rounds(group: Group, request: CollectiveRequest) -> Rounds:
    one_way = WIRINGS[group.as_one.axis.kind].one_way
    return _sliced(_one_way if one_way else _both_ways, group, request)


def _one_way_rounds(group: Group, request: CollectiveRequest) -> Rounds:
    return _sliced(_one_way, group, request)


DIRECT = Form(_direct, _direct_rounds)
"""Every chip sends its shard to every other."""

PASSED_ON = Form(_passed_transfer, _passed_rounds)
"""Shards go both ways from neighbour to neighbour, or one way where links lead one way."""

ONE_WAY = Form(_one_way_transfer, _one_way_rounds)
"""Shards go one way round, over routes."""
