"""The order in which a ring, or a chain, goes through chips that form no wiring of their own, over routes.

Model: an order costs what it keeps the busiest wire for, floor(n/2) shards one way round and (n-1)//2 the other (a chain:
all that goes along it), and among equals its longest hop. Up to `MOST_TRIED` chips all orders are tried. With more of
them the search starts from each chip, goes on to the nearest that is left, where near is little wire time a byte, and, up to
`MOST_IMPROVED`, then turns pieces round and moves chips as long as that makes it cheaper; the cheapest over all starts
is taken. Orders that tie are told apart by what all their hops, near and far, ask of the wires, in sequence and both ways:
that says what any algorithm costs that goes by the order (a tree, a ring one way, a reduction back along a chain), so those
that still tie cost the same. The order in which the chips are listed does not matter. Nor do their numbers where all
orders are tried; beyond that as far as the search finds equally good ones, and beyond `MOST_SEARCHED` the chips follow each
other by number.
Source: nearest neighbour and 2-opt with moves of one city (Or-opt), as for the travelling salesman.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import permutations
from typing import Any

import numpy as np

from hw import Router

MOST_TRIED = 8
"""Chips up to which every order is tried: 5040 of them."""

MOST_IMPROVED = 16
"""Chips up to which orders are improved step by step, which takes time with the fifth power of their number."""

MOST_SEARCHED = 32
"""Chips beyond which they follow each other by number."""

_AT_ONCE = 4_000_000
"""Figures that are held at once while orders are compared."""

_MOST_COMPARED = 100_000_000
"""Figures of orders that tie up to which they are told apart: so many tie only where nearly all chips are alike."""


def toured(router: Router, chips: Sequence[int], start: int | None = None) -> Sequence[int]:
    """The chips in the order of the cheapest ring through them, or chain from a `start`, as far as it is looked for."""
    chips = sorted(chips, key=lambda chip: (chip != start, chip))
    if not 3 <= len(chips) <= MOST_SEARCHED:
        return chips
    tour = _Tour(router, chips, start is None)
    if len(chips) <= MOST_TRIED:
        order = tour.best(np.array([(0, *rest) for rest in permutations(range(1, len(chips)))]))
    else:
        starts = range(len(chips)) if start is None else (0,)
        found = [order for at in starts for order in tour.near(at)]
        if len(chips) <= MOST_IMPROVED:
            found = [tour.improved(each) for each in found]
        order = tour.best(np.array(found))
    return [chips[at] for at in order]


def turned(router: Router, chips: Sequence[int], is_ring: bool) -> Sequence[int]:
    """Chips along a line or round a ring that a graph happens to have, from the end, or the chip and the way round, that
    do not depend on what they are called: a tree, say, takes the two ends of a line for different ones."""
    if not 3 <= len(chips) <= MOST_SEARCHED:
        return chips
    tour = _Tour(router, chips, is_ring)
    there = np.arange(len(chips))
    return [chips[at] for at in tour.first_of_equals(np.array([there, there[::-1]]))]


class _Tour:
    """What the hops between some chips ask of the wires, and what orders of them cost."""

    def __init__(self, router: Router, chips: Sequence[int], ring: bool) -> None:
        self.ring, self.size = ring, len(chips)
        wires = router.topology.wires
        routes = {(a, b): router.route(chips[a], chips[b]) for a, b in permutations(range(self.size), 2)}
        crossed = set().union(*(way.shares for way in routes.values()))
        used = {wire: at for at, wire in enumerate(sorted(crossed))}
        self.seconds = np.zeros((self.size, self.size, len(used)))
        self.latency = np.zeros((self.size, self.size))
        for (a, b), route in routes.items():
            self.latency[a, b] = route.latency_s
            for wire, share in route.shares.items():
                self.seconds[a, b, used[wire]] = share / wires[wire].bytes_per_s

    @cached_property
    def hop(self) -> Any:
        """Seconds a byte of each wire for each hop, both ways where it is a ring."""
        if not self.ring:
            return self.seconds
        ahead, back = self.size // 2 / self.size, (self.size - 1) // 2 / self.size
        return ahead * self.seconds + back * self.seconds.transpose(1, 0, 2)

    def costs(self, orders: Any) -> tuple[Any, Any]:
        """Of each order, seconds a byte of its busiest wire and its longest hop."""
        here, there = self._hops(orders)
        chunk = max(1, _AT_ONCE // (here.shape[1] * self.hop.shape[2]))
        parts = [slice(at, at + chunk) for at in range(0, len(orders), chunk)]
        busiest = np.concatenate([self.hop[here[part], there[part]].sum(1).max(1) for part in parts])
        latency = self.latency[here, there]
        if self.ring:
            latency = np.maximum(latency, self.latency[there, here])
        return busiest, latency.max(1)

    def _hops(self, orders: Any) -> tuple[Any, Any]:
        """Of each order, the chips that its hops leave and those that they reach."""
        if self.ring:
            return orders, np.roll(orders, -1, 1)
        return orders[:, :-1], orders[:, 1:]

    def best(self, orders: Any) -> Any:
        """The cheapest of some orders: of those that keep a wire busy for the least, that of the shortest hops."""
        busiest, latency = self.costs(orders)
        # sums in another order differ in the last digits
        orders, latency = (each[busiest <= busiest.min() * (1 + 1e-9)] for each in (orders, latency))
        return self.first_of_equals(orders[latency <= latency.min() * (1 + 1e-9)])

    def first_of_equals(self, orders: Any) -> Any:
        """Of orders that cost the same, one that is found whatever the chips are called: of a ring it may begin anywhere."""
        if self.ring:
            orders = np.concatenate([np.roll(orders, turn, 1) for turn in range(self.size)])
        for figures in (self.latency[..., None], self.seconds.sum(2, keepdims=True), self.seconds):
            if len(orders) > 1 and len(orders) * self.size**2 * figures.shape[2] <= _MOST_COMPARED:
                orders = orders[_least(_sequences(orders, figures))]
        return orders[0]

    def near(self, start: int) -> Iterator[list[int]]:
        """From a chip on to the nearest that is left; round a ring, either way."""
        far = np.round(self.seconds.sum(2) / self.seconds.max(), 9)
        profile = [sorted(row) for row in far.tolist()]  # what tells chips apart without their numbers
        order, left = [start], set(range(self.size)) - {start}
        while left:
            last = order[-1]
            order.append(min(left, key=lambda at: (far[last, at], profile[at], far[start, at], at)))
            left.remove(order[-1])
        yield order
        if self.ring:
            yield [start, *order[:0:-1]]

    def improved(self, order: list[int]) -> list[int]:
        """The order with a piece turned round or a chip moved, the best change first, as long as one makes it cheaper or,
        at the same cost, less work for all wires together."""
        least = self._work(np.array([order]))[0]
        while True:
            tried = np.array(list(_changed(order)))
            work = self._work(tried)
            found = int(np.argmin(work))
            if work[found] >= least * (1 - 1e-9):
                return order
            order, least = tried[found].tolist(), work[found]

    def _work(self, orders: Any) -> Any:
        """What descent goes by: the busiest wire, and a little of what all carry, so that it finds a way over flats."""
        here, there = self._hops(orders)
        total = self.hop.sum(2)[here, there].sum(1)
        return self.costs(orders)[0] + total / self.hop.shape[2] / 100


def _sequences(orders: Any, figures: Any) -> Any:
    """Of each order, a number for each kind of figures: a sum over all pairs of places, each with a weight of its own, so
    that what differs in sequence differs. Kinds (wires) are sorted, for they have no names here."""
    size = orders.shape[1]
    weights = np.random.default_rng(1).random((size, size))
    total = np.zeros((len(orders), figures.shape[2]))
    for one, two in permutations(range(size), 2):
        total += weights[one, two] * figures[orders[:, one], orders[:, two]]
    return np.sort(total, axis=1)


def _least(rows: Any) -> Any:
    """The rows that come first, compared number by number, to nine digits."""
    left = np.arange(len(rows))
    slack = 1e-9 * max(float(np.abs(rows).max()), 1e-300)
    for column in range(rows.shape[1]):
        here = rows[left, column]
        left = left[here <= here.min() + slack]
    return left


def _changed(order: Sequence[int]) -> Iterator[list[int]]:
    """Orders that differ in a piece turned round, or in the place of one chip; the first stays first."""
    size = len(order)
    for one in range(1, size - 1):
        for two in range(one + 1, size):
            yield [*order[:one], *order[one : two + 1][::-1], *order[two + 1 :]]
    for one in range(1, size):
        rest = [*order[:one], *order[one + 1 :]]
        for two in range(1, size):
            if two != one:
                yield [*rest[:two], order[one], *rest[two:]]
