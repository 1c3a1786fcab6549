"""Rings, lines, tori and grids recognised in a graph: where each of its nodes stands.

Method: the lattice's positions are laid one by one, each next to as many laid ones as possible, so that a wrong turn shows
at once; a node fits if it is joined to the nodes at all laid neighbours as often as the lattice has it. As many edges and
the same degrees on both sides make that an isomorphism. A ring of two is two links, a line of two is one.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from hw.network.wirings.lattices import GRID, LINE, RING, TORUS

MAX_AXES = 3

Adjacency = Sequence[Mapping[int, int]]
"""Of each node, its neighbours and how many links lead there."""


@dataclass(frozen=True, slots=True)
class Lattice:
    """Sizes of the axes, and which of them wrap around; the last one's places are next to each other."""

    sizes: tuple[int, ...]
    wraps: tuple[bool, ...]

    @property
    def strides(self) -> tuple[int, ...]:
        """Positions between neighbours along each axis."""
        return tuple(math.prod(self.sizes[at + 1 :]) for at in range(len(self.sizes)))

    @property
    def kind(self) -> str:
        """What it is called: ring, line, torus or grid."""
        if len(self.sizes) == 1:
            return RING.name if self.wraps[0] else LINE.name
        return TORUS.name if any(self.wraps) else GRID.name

    @property
    def text(self) -> str:
        """As it is written: torus(4,8)."""
        inside = ",".join(map(str, self.sizes))
        if len(set(self.wraps)) > 1:
            inside += f",wrap=[{','.join('yes' if wrap else 'no' for wrap in self.wraps)}]"
        return f"{self.kind}({inside})"

    def near(self) -> list[dict[int, int]]:
        """Of each position, its neighbours and how many links lead there."""
        found: list[dict[int, int]] = [{} for _ in range(math.prod(self.sizes))]
        for size, stride, wraps in zip(self.sizes, self.strides, self.wraps, strict=True):
            for position, others in enumerate(found):
                place = position // stride % size
                for step in (1, -1):
                    after = place + step
                    if wraps or 0 <= after < size:
                        other = position + (after % size - place) * stride
                        others[other] = others.get(other, 0) + 1
        return found


def lattices(adjacency: Adjacency) -> Iterator[Lattice]:
    """The lattices that a graph may be, by its numbers of nodes, links and neighbours: few axes first, long ones first."""
    degrees = Counter(sum(near.values()) for near in adjacency)
    nodes, links = len(adjacency), sum(degree * count for degree, count in degrees.items()) // 2
    for axes in range(1, MAX_AXES + 1):
        for sizes in _factors(nodes, axes):
            # a ring and a line of the same size are told apart by where they stand, so every combination is tried
            for wraps in sorted(set(product((True, False), repeat=axes)), reverse=True):
                lattice = Lattice(sizes, wraps)
                made = sum(
                    nodes // size * (size if wrap else size - 1) for size, wrap in zip(sizes, wraps, strict=True)
                )
                if made == links and _sorted_once(lattice) and _degrees(lattice) == degrees:
                    yield lattice


def _factors(number: int, parts: int, most: int | None = None) -> Iterator[tuple[int, ...]]:
    """A number as a product of so many factors of at least 2, the largest first."""
    limit = number if most is None else min(number, most)
    if parts == 1:
        if 2 <= number <= limit:
            yield (number,)
        return
    for factor in range(limit, 1, -1):
        if number % factor == 0:
            for rest in _factors(number // factor, parts - 1, factor):
                yield (factor, *rest)


def _sorted_once(lattice: Lattice) -> bool:
    """Whether, of axes of one size, those that wrap come first: any other order is the same lattice."""
    pairs = list(zip(lattice.sizes, lattice.wraps, strict=True))
    return pairs == sorted(pairs, reverse=True)


def _degrees(lattice: Lattice) -> Counter[int]:
    found = Counter({0: 1})
    for size, wraps in zip(lattice.sizes, lattice.wraps, strict=True):
        ends = {} if wraps else {1: 2}
        inner = {2: size} if wraps else {2: size - 2}
        both = Counter({degree: count for degree, count in (ends | inner).items() if count})
        wider: Counter[int] = Counter()
        for (one, many), (two, more) in product(found.items(), both.items()):
            wider[one + two] += many * more
        found = wider
    return found


def laid(lattice: Lattice, adjacency: Adjacency, first: Sequence[int]) -> list[int] | None:
    """The node at each position, or None; of several ways the first one when nodes are taken as they stand in `first`."""
    near = lattice.near()
    if list(adjacency) == near and list(first) == sorted(first):
        return list(range(len(near)))  # numbered along its wires already
    return _Laying(near, adjacency, first).found()


class _Laying:
    """Nodes laid on positions, one by one, and taken back where that leads nowhere."""

    def __init__(self, near: Adjacency, adjacency: Adjacency, first: Sequence[int]) -> None:
        self.near, self.adjacency = near, adjacency
        self.rank = {node: at for at, node in enumerate(first)}
        self.degrees = [sum(others.values()) for others in adjacency]
        self.wanted = [sum(others.values()) for others in near]
        self.order = _order(near, self.wanted.index(min(self.wanted)))
        self.before = _laid_before(near, self.order)
        self.at = [-1] * len(near)
        self.used: set[int] = set()

    def found(self) -> list[int] | None:
        """The node at each position; None if there is no way, or none is found in time."""
        choices = [self._start()]
        for _ in range(20 * len(self.near) + 20_000):
            while choices and not choices[-1]:
                choices.pop()
                self._take_back(len(choices) - 1)
            if not choices:
                return None
            step = len(choices) - 1
            self._lay(step, choices[-1].pop())
            if step + 1 == len(self.order):
                return self.at
            choices.append(self._fitting(step + 1))
        return None

    def _start(self) -> list[int]:
        """The first node that can be at the first position: all that can are alike in a lattice."""
        least = self.wanted[self.order[0]]
        able = [node for node, degree in enumerate(self.degrees) if degree == least]
        return [min(able, key=self.rank.__getitem__)] if able else []

    def _lay(self, step: int, node: int) -> None:
        self.at[self.order[step]] = node
        self.used.add(node)

    def _take_back(self, step: int) -> None:
        if step >= 0:
            self.used.discard(self.at[self.order[step]])
            self.at[self.order[step]] = -1

    def _fitting(self, step: int) -> list[int]:
        """The nodes that can be laid at a step, the first to try last."""
        position, neighbours = self.order[step], self.before[step]
        links = [(self.adjacency[self.at[other]], self.near[position][other]) for other in neighbours]
        able = [node for node in min((near for near, _ in links), key=len) if node not in self.used]
        able = [node for node in able if self.degrees[node] == self.wanted[position]]
        found = [node for node in able if all(near.get(node) == count for near, count in links)]
        return sorted(found, key=self.rank.__getitem__, reverse=True)


def _order(near: Sequence[Mapping[int, int]], start: int) -> list[int]:
    """Positions such that each has as many neighbours before it as can be."""
    order: list[int] = []
    known = [0] * len(near)
    waiting = [(0, 0, start)]
    done: set[int] = set()
    count = 0
    while waiting:
        _, _, position = heapq.heappop(waiting)
        if position in done:
            continue
        done.add(position)
        order.append(position)
        for other in near[position]:
            if other not in done:
                known[other] += 1
                count += 1
                heapq.heappush(waiting, (-known[other], count, other))
    return order


def _laid_before(near: Sequence[Mapping[int, int]], order: Sequence[int]) -> list[list[int]]:
    """For each step, the neighbours that were laid before."""
    when = {position: step for step, position in enumerate(order)}
    return [[other for other in near[position] if when[other] < step] for step, position in enumerate(order)]
