"""What a collective asks of the wires, as bytes by wire and as messages: the words that collectives and lowering share.

Model: a transfer moves bytes over wires in one or more phases that follow each other; the wires of a phase work side by
side, and a phase lasts as long as its slowest wire. `latency_s` is the hops and messages that follow one another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from hw import Router

Loads = Mapping[int, float]
"""Bytes by wire number."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """Bytes by wire, phase by phase; seconds of latency; bytes that the busiest chip puts on its links; cores that it
    holds on each chip meanwhile."""

    phases: tuple[Loads, ...] = ()
    latency_s: float = 0.0
    sent_bytes: float = 0.0
    cores: float = 0

    @property
    def wires(self) -> dict[int, float]:
        """Bytes by wire over all phases."""
        return added(*self.phases)

    def then(self, other: Transfer) -> Transfer:
        """Two transfers in sequence; the same loads again are one phase that lasts as long as both."""
        latency, sent = self.latency_s + other.latency_s, self.sent_bytes + other.sent_bytes
        if len(self.phases) == 1 and self.phases == other.phases:
            return Transfer((added(*self.phases, *other.phases),), latency, sent)
        return Transfer((*self.phases, *other.phases), latency, sent)

    def times(self, count: int) -> Transfer:
        """The bytes of so many alike ones, and the latency of each."""
        phases = tuple(scaled(loads, count) for loads in self.phases)
        return Transfer(phases, self.latency_s, self.sent_bytes * count, self.cores)

    def beside(self, other: Transfer) -> Transfer:
        """Two transfers as one pipelined phase: bytes side by side, latencies one after the other."""
        phase = added(*self.phases, *other.phases)
        return Transfer((phase,), self.latency_s + other.latency_s, self.sent_bytes + other.sent_bytes)


def added(*loads: Loads) -> dict[int, float]:
    """Loads summed wire by wire."""
    some = [each for each in loads if each]
    if len(some) == 1:
        return dict(some[0])
    total: dict[int, float] = {}
    # of alike wires there is one number of many rows, and so one sum
    sums: dict[tuple[int, int], tuple[float, float, float]] = {}
    for each in some:
        for wire, nbytes in each.items():
            before = total.get(wire, 0.0)
            if type(nbytes) is float:
                total[wire] = before + nbytes
                continue
            both = id(before), id(nbytes)
            if both not in sums:
                sums[both] = before, nbytes, before + nbytes
            total[wire] = sums[both][2]
    return total


def scaled(loads: Loads, factor: float) -> dict[int, float]:
    """So many times as much of every wire; alike wires keep one number between them."""
    once = {id(nbytes): nbytes for nbytes in loads.values()}
    made = {number: nbytes * factor for number, nbytes in once.items()}
    return {wire: made[id(nbytes)] for wire, nbytes in loads.items()}


class Way(NamedTuple):
    """Wires that a message takes, its seconds of latency over them, and other chips that it reaches as well."""

    wires: tuple[int, ...]
    latency_s: float
    also: tuple[int, ...] = ()


class Message(NamedTuple):
    """Bytes from one chip to another, over its route or over a `way` of its own."""

    source: int
    target: int
    nbytes: float
    way: Way | None = None


def way_of(router: Router, message: Message) -> tuple[Mapping[int, float], float]:
    """The share of a message on every wire that it takes, and its seconds of latency."""
    if message.way is not None:
        return dict.fromkeys(message.way.wires, 1.0), message.way.latency_s
    route = router.route(message.source, message.target)
    return route.shares, route.latency_s
