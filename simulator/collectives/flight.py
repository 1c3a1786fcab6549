"""How long messages take: at once over the wires that they share, or passed on from chip to chip.

At once: a message takes its latency, then its bytes flow; a wire that has work is never idle. With the messages of a wire
that come at r or later holding b(r) bytes, the wire is busy for b(r) / W after r: the set takes max over wires and r of
r + b(r) / W. Far messages so hide their latency behind the bytes of near ones. That is exact on one busiest wire.
Passed on: message h leaves over edge e when message h - 1 has come over the edge before (latency, then bytes), and when
the edge has sent its message h - 1. That is exact where no two edges share a wire.
Source: single-machine scheduling with release times (Jackson 1955); max-plus recursion of a pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from hw.rows import Memo, array_of, distinct, largest, largest_quotient
from simulator.collectives.axis_forms import forms_of
from simulator.collectives.group import Group
from simulator.collectives.transfer import Loads, Message, Transfer, added, scaled, way_of

Histogram = Sequence[tuple[float, float]]
"""Seconds of latency, each once, and the bytes (or the number of messages) that come after them."""


class Lane(NamedTuple):
    """Messages around a ring, each from where the one before leads, and how many times they are passed on."""

    messages: Sequence[Message]
    rounds: int


def at_once(group: Group, messages: Iterable[Message]) -> tuple[Loads, float]:
    """Bytes by wire of messages that go side by side, and the latency that adds to the busiest wire what they take more."""
    coming, latest = _coming(group, messages)
    loads = {wire: sum(nbytes for _, nbytes in here) for wire, here in coming.items()}
    return loads, latency_beyond([(here, group.bytes_per_s(wire)) for wire, here in coming.items()], latest)


def _coming(group: Group, messages: Iterable[Message]) -> tuple[dict[int, Histogram], float]:
    """By wire, its bytes by the latency in seconds after which they come; and the longest of those."""
    coming: dict[int, dict[int, float]] = {}
    latencies: list[float] = []
    known: Memo[float, int] = Memo()
    for message in messages:
        shares, latency = way_of(group.router, message)
        number = known.get(latency)
        if number is None:
            number = known.put(latency, len(latencies))
            latencies.append(latency)
        for wire, share in shares.items():
            here = coming.setdefault(wire, {})
            here[number] = here.get(number, 0.0) + share * message.nbytes
    found: dict[int, Histogram] = {
        wire: [(latencies[number], nbytes) for number, nbytes in here.items()] for wire, here in coming.items()
    }
    return found, largest([0.0, *latencies])


def by_routes(group: Group, messages: Sequence[Message]) -> Transfer:
    """Messages side by side, each over its own route."""
    loads, latency = at_once(group, messages)
    return Transfer((loads,), latency, most_sent(messages))


def in_stages(group: Group, stages: Sequence[Sequence[Message]]) -> Transfer:
    """Messages stage by stage: each stage side by side, when the one before is over everywhere."""
    whole = Transfer()
    for messages in stages:
        whole = whole.then(by_routes(group, messages))
    return whole


def most_sent(messages: Iterable[Message]) -> float:
    """Bytes that the chip which sends most puts on its links."""
    sent: dict[int, float] = {}
    for message in messages:
        sent[message.source] = sent.get(message.source, 0.0) + message.nbytes
    return largest(sent.values(), default=0.0)


def latency_beyond(wires: Sequence[tuple[Histogram, float]], latest: float = 0.0) -> float:
    """Seconds that messages take beyond the bytes of the busiest wire; by wire, its bytes by latency and bytes/s.

    Where the busiest wire decides this is the latency of the nearest, to the last digit: alike groups have equal ones.
    """
    if not wires:
        return latest
    found = [waits(here, rate) for here, rate in wires]
    busiest = largest(each[-1][1] for each in found)
    late = (latency + (seconds - busiest) for each in found for latency, seconds in each)
    return largest([latest - busiest, *late])


def waits(coming: Histogram, rate: float) -> list[tuple[float, float]]:
    """By latency, the farthest first, the seconds that a wire takes for all that comes then or later."""
    found: list[tuple[float, float]] = []
    waiting = 0.0
    for latency, nbytes in sorted(coming, key=itemgetter(0), reverse=True):
        waiting += nbytes
        found.append((latency, waiting / rate))
    return found


def in_order(group: Group) -> bool:
    """Whether the order of a group's chips follows from their wiring. Where it was looked for, equally good ones differ in
    which of their hops is long: then every hop counts as the longest."""
    return all(forms_of(piece.kind).ordered for piece in group.pieces)


def passed_round(group: Group, lanes: Sequence[Lane]) -> Transfer:
    """Messages that each lane passes on around a ring, all lanes side by side, none waiting for another.

    It takes what the busiest wire takes after its messages have come, or, if that is longer, what a lane takes by itself:
    while the messages of one lane are on their way, those of others use the wires. Chips without a wiring of their own
    may stand in one of several orders that are equally good by their busiest wire and longest hop; there each round takes
    those, so that it does not matter which order was found.
    """
    lanes = [lane for lane in lanes if lane.rounds]
    if not lanes:
        return Transfer()
    ways = [[way_of(group.router, message) for message in lane.messages] for lane in lanes]
    each = [_carried(lane, here) for lane, here in zip(lanes, ways, strict=True)]
    loads = added(*each)
    farthest = largest(latency for here in ways for _, latency in here)
    if not in_order(group):
        return Transfer((loads,), largest(lane.rounds for lane in lanes) * farthest)
    if not farthest:
        return Transfer((loads,))
    # equally far, all lanes keep step, and share wires in every round
    step = len(distinct(latency for here in ways for _, latency in here)) == 1
    ends = 0.0
    for lane, own, here in zip(lanes, each, ways, strict=True):
        busy = loads if step else own
        rates = [[(busy[wire], group.bytes_per_s(wire) * lane.rounds) for wire in wires] for wires, _ in here]
        ends = largest(
            [ends, passed_on([latency for _, latency in here], list(map(largest_quotient, rates)), lane.rounds)]
        )
    busiest = largest_quotient((nbytes, group.bytes_per_s(wire)) for wire, nbytes in loads.items())
    return Transfer((loads,), largest([ends - busiest, _waiting(group, lanes)]))


def _carried(lane: Lane, ways: Iterable[tuple[Mapping[int, float], float]]) -> dict[int, float]:
    """Bytes by wire of all rounds of a lane."""
    found: dict[int, float] = {}
    for message, (wires, _) in zip(lane.messages, ways, strict=True):
        for wire, share in wires.items():
            found[wire] = found.get(wire, 0.0) + share * message.nbytes
    return scaled(found, lane.rounds)


def _waiting(group: Group, lanes: Sequence[Lane]) -> float:
    """Seconds that wires wait beyond the bytes of the busiest: no round comes sooner than the first."""
    all_rounds = (each._replace(nbytes=each.nbytes * lane.rounds) for lane in lanes for each in lane.messages)
    coming, _ = _coming(group, all_rounds)
    return latency_beyond([(here, group.bytes_per_s(wire)) for wire, here in coming.items()])


def passed_on(
    latencies: Sequence[float], sends: Sequence[float], rounds: int, sending: Callable[[int], slice] | None = None
) -> float:
    """Seconds until the last of `rounds` messages has come over the last edge.

    `latencies` and `sends` (seconds of a message's bytes) are by edge. Without `sending` the edges are a ring; with it they
    are a line, of which only `sending(h)` has a message in round h.
    """
    if not rounds:
        return 0.0
    if len(distinct(latencies)) == len(distinct(sends)) == 1:
        return rounds * (latencies[0] + sends[0])
    latency, send = array_of(latencies), array_of(sends)
    came: Any = latency + send
    if sending is not None:
        first = np.zeros_like(came)
        first[sending(0)] = came[sending(0)]
        came = first
    for at in range(1, rounds):
        brought = np.roll(came, 1)
        if sending is not None:
            brought[0] = 0.0
        ends = np.maximum(brought + latency, came) + send
        if sending is None:
            came = ends
        else:
            came[sending(at)] = ends[sending(at)]
    last: float = largest(came.tolist())
    return last
