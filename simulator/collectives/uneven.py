"""Gathers and scatters of unequal shards: the messages, and their closed form.

With V the bytes of the whole array, p_i the part of it that is at place i (or goes there), a part of 0 included:
- ring: whole shards both ways round, as with equal ones: in hop h every chip passes on the shard from h-1 places before
  it, floor(n/2) hops one way and (n-1)//2 the other. Line: n-1 hops both ways, of what lies behind.
  They stream: a wire is busy with the sum of what it carries, and the hops' latencies follow each other.
- one-way ring: the same n-1 hops the one way: a wire carries all of V but the shard that ends where it leads.
- anything else: every chip sends its shard to every other straight away, over its own route: (n-1) p_i V out of chip i.
A reduce-scatter is the gather, backwards; one way round it goes forward too. An equal part for everyone has the forms
of `simulator.collectives.one_axis`.
Source: ring and direct gathers of blocks of unequal sizes (MPI_Allgatherv, MPI_Reduce_scatter).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hw import Axis
from simulator.collectives.flight import at_once, by_routes, most_sent
from simulator.collectives.transfer import Group, Line, Message, Transfer

Lanes = tuple[list[list[Message]], list[list[Message]]]
"""Messages hop by hop, one way and the other."""

_NEIGHBOURS = ("ring", "line")


def to_every(group: Group, parts: Sequence[float], nbytes: float, back: bool) -> list[Message]:
    """Each chip sends its part of some bytes to every other; back: gets its part from every other."""
    shards = [(chip, part * nbytes) for chip, part in zip(group.chips, parts, strict=True) if part]
    found = [Message(here, there, shard) for here, shard in shards for there in group.chips if here != there]
    return _backwards(found) if back else found


def _backwards(messages: Sequence[Message]) -> list[Message]:
    return [Message(there, here, nbytes) for here, there, nbytes, _ in messages]


def to_neighbours(line: Line, parts: Sequence[float], nbytes: float, back: bool, one_way: bool = False) -> Lanes:
    """Shards passed on from neighbour to neighbour, hop by hop; back: sums passed on towards where they belong.

    `one_way`: all the way round in one direction.
    """
    size, is_round = line.size, line.axis.kind != "line" or one_way
    ahead, behind = size - 1, size - 1
    if one_way:
        behind = 0
    elif is_round:
        ahead, behind = size // 2, (size - 1) // 2
    lanes: Lanes = ([], [])
    for lane, step, hops in zip(lanes, (1, -1), (ahead, behind), strict=True):
        for hop in range(hops):
            messages = []
            for at in range(size):
                # at a chip is the shard that set out `hop` places before it
                start, there = at - step * hop, at + step
                part = parts[start % size]
                reached = is_round or (0 <= start < size and 0 <= there < size)
                if part and reached:
                    messages.append(_passed_on(line, at, there % size, part * nbytes, back))
            lane.append(messages)
        if back:
            lane.reverse()
    return lanes


def _passed_on(line: Line, here: int, there: int, nbytes: float, back: bool) -> Message:
    """A shard from one place to the next, or a sum the other way. Between neighbours on a ring or a line it takes one link,
    the first where two lead there; else its route."""
    source, target = (line.chips[there], line.chips[here]) if back else (line.chips[here], line.chips[there])
    if line.axis.kind not in _NEIGHBOURS:
        return Message(source, target, nbytes)
    return Message(source, target, nbytes, line.way(line.topology.between(f"chip{source}", f"chip{target}")[0]))


def direct_gather(group: Group, parts: Sequence[float], nbytes: float, back: bool) -> Transfer:
    """Every chip sends its shard to every other."""
    return by_routes(group, to_every(group, parts, nbytes, back))


def passed_gather(group: Group, parts: Sequence[float], nbytes: float, back: bool) -> Transfer:
    """Whole shards from neighbour to neighbour; round over routes where there is no ring or line."""
    if group.line.axis.kind == "one_way_ring":
        return round_gather(group, parts, nbytes, back)
    return _passed(group.line, to_neighbours(group.line, parts, nbytes, back))


def one_way_gather(group: Group, parts: Sequence[float], nbytes: float, back: bool) -> Transfer:
    """Whole shards one way round, over routes."""
    return _passed(_alone(group), one_way_round(group, parts, nbytes, back))


def one_way_round(group: Group, parts: Sequence[float], nbytes: float, back: bool) -> Lanes:
    """Shards passed on one way round, each over a route that does not split. Sums go the same way, for links may lead one
    way: what is for a chip sets out at the next one, so it is passed on as a shard of that chip's would be."""
    moved = (parts[-1], *parts[:-1]) if back else parts
    forward, none = to_neighbours(_alone(group), moved, nbytes, False, one_way=True)
    return [group.unsplit(hop) for hop in forward], none


def _alone(group: Group) -> Line:
    """The chips in their order as a ring over routes, whatever they are wired as."""
    return replace(group, pieces=(Axis("graph", group.size, 1, 0),)).line


def round_gather(group: Group, parts: Sequence[float], nbytes: float, back: bool) -> Transfer:
    """Whole shards from each chip to the next, where there is no other way: a wire carries all shards but the one that is
    at home where it leads; back: all sums but those of the chip that it comes from."""
    line, size = group.line, group.size
    wires = line.steps(True)
    home = 0 if back else 1
    moved = [(1.0 - parts[(at + home) % size]) * nbytes for at in range(size)]
    return Transfer((dict(zip(wires, moved, strict=True)),), (size - 1) * line.hop_s(wires), max(moved))


def _passed(line: Line, lanes: Lanes) -> Transfer:
    hops = max(len(lane) for lane in lanes)
    messages = [message for lane in lanes for hop in lane for message in hop]
    loads, latency = at_once(line.group, messages)
    hop_s = line.hop_s(loads) if line.axis.kind in _NEIGHBOURS else latency
    return Transfer((loads,), hops * hop_s, most_sent(messages))
