"""A drawn network as numbers: its chips and switches, who is joined to whom, how widely, and an order that no name decides.

Model: nodes are numbered, chips first. Two graphs that differ only by the names of their nodes get canonical orders under
which they are the same graph, so whatever is decided by that order comes out alike for both.
Method: colours, refined by what a node is joined to until nothing splits; where several nodes stay alike one of them is
told apart and the colours are refined again. Nodes that stay alike can nearly always be exchanged, and then it does not
matter which one it is; that is checked by comparing the graphs which come out, as far as `_WORK` goes.
Source: McKay and Piperno, "Practical graph isomorphism, II", 2014 (individualisation and refinement).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from hw.network.topology import Wire

_WORK = 400_000
"""Looks at a neighbour that may be spent on checking whether nodes can be exchanged."""

_MOST_WORK = 4_000_000
"""Looks at a neighbour after which nodes that are still alike are taken by number."""

Colours = list[int]


class Net:
    """The nodes of one level of wires, chips first, and the wires between any two by their place in `wires`."""

    def __init__(self, wires: Sequence[Wire], chips: Sequence[str]) -> None:
        self.wires = wires
        self.chips = len(chips)
        numbers = {name: at for at, name in enumerate(chips)}
        for wire in wires:
            numbers.setdefault(wire.source, len(numbers))
            numbers.setdefault(wire.target, len(numbers))
        self.out: list[dict[int, list[int]]] = [{} for _ in numbers]
        for at, wire in enumerate(wires):
            self.out[numbers[wire.source]].setdefault(numbers[wire.target], []).append(at)

    @property
    def size(self) -> int:
        """How many nodes there are."""
        return len(self.out)

    def width(self, here: int, there: int) -> float:
        """Bytes/s from one node straight to another."""
        return sum(self.wires[at].bytes_per_s for at in self.out[here].get(there, ()))

    @cached_property
    def two_way(self) -> bool:
        """Whether each link leads both ways."""
        return all(
            len(self.out[there].get(here, ())) == len(wires)
            for here, others in enumerate(self.out)
            for there, wires in others.items()
        )

    @cached_property
    def alike(self) -> bool:
        """Whether all wires have the same figures."""
        return len({_figures(wire) for wire in self.wires}) <= 1

    @cached_property
    def even(self) -> bool:
        """Whether any two neighbours are joined as any other two: by as many links, all alike."""
        return self.alike and len({len(wires) for others in self.out for wires in others.values()}) <= 1

    @cached_property
    def pairs_alike(self) -> bool:
        """Whether links that lie side by side are alike."""
        pairs = (wires for others in self.out for wires in others.values())
        return all(len({_figures(self.wires[at]) for at in wires}) == 1 for wires in pairs)

    @cached_property
    def classes(self) -> Sequence[int]:
        """The colour of each node when nothing splits any more: on a tree, nodes of one colour can be exchanged."""
        return _Canonical(self).refined()

    @cached_property
    def rank(self) -> Sequence[int]:
        """The place of each node in the canonical order."""
        return _Canonical(self).rank()

    def rank_from(self, start: int) -> Sequence[int]:
        """The same with one node told apart from all others, as the first."""
        return _Canonical(self, [0 if node == start else 1 for node in range(self.chips)]).rank()

    def rank_by(self, looks: Sequence[int]) -> Sequence[int]:
        """The same with chips told apart by how they look, the least first."""
        return _Canonical(self, looks).rank()


def _figures(wire: Wire) -> tuple[float, ...]:
    return (wire.bytes_per_s, wire.latency_s, wire.message_s, float(wire.hop))


class _Canonical:
    """The canonical order of one network."""

    def __init__(self, net: Net, looks: Sequence[int] = ()) -> None:
        self.net = net
        self.looks = looks or (0,) * net.chips
        self.work = 0
        into: list[dict[int, list[int]]] = [{} for _ in net.out]
        for here, others in enumerate(net.out):
            for there, wires in others.items():
                into[there][here] = wires
        joined = {
            (here, there): (self._between(net.out[here].get(there, ())), self._between(into[here].get(there, ())))
            for here in range(net.size)
            for there in dict.fromkeys([*net.out[here], *into[here]])
        }
        words = {word: at for at, word in enumerate(sorted(set(joined.values())))}
        self.near: list[dict[int, int]] = [{} for _ in net.out]
        for (here, there), word in joined.items():
            self.near[here][there] = words[word]

    def _between(self, wires: Iterable[int]) -> tuple[tuple[float, ...], ...]:
        return tuple(sorted(_figures(self.net.wires[at]) for at in wires))

    def refined(self) -> Colours:
        """Colours by what nodes are joined to."""
        return self._refined([*self.looks, *(max(self.looks) + 1,) * (self.net.size - self.net.chips)])

    def rank(self) -> Sequence[int]:
        """The place of each node."""
        return self._best(self.refined())

    def _best(self, colours: Colours) -> Colours:
        """The finest colours: of all that come from telling nodes apart, those that make the first graph."""
        colours = self._refined(colours)
        cell = _alike(colours)
        if not cell:
            return colours
        best = self._best(self._apart(colours, cell[0]))
        for node in cell[1:]:
            if self.work > _WORK:
                break
            other = self._first(self._apart(colours, node))
            if self._graph(other) == self._graph(best):
                continue  # the two can be exchanged
            other = self._best(self._apart(colours, node))
            if self._graph(other) < self._graph(best):
                best = other
        return best

    def _first(self, colours: Colours) -> Colours:
        """The finest colours that come from telling apart the first node wherever several are alike."""
        colours = self._refined(colours)
        while cell := _alike(colours):
            colours = self._refined(self._apart(colours, cell[0]))
        return colours

    def _graph(self, colours: Colours) -> list[tuple[int, int, int]]:
        """The graph in the words of its colours alone."""
        self.work += len(self.net.wires)
        return sorted(
            (colours[here], colours[there], word)
            for here, others in enumerate(self.near)
            for there, word in others.items()
        )

    def _apart(self, colours: Colours, node: int) -> Colours:
        """One node told apart from those of its colour, and those that are joined to the very same from each other."""
        twins = [other for other in range(len(colours)) if colours[other] == colours[node] and other != node]
        same = [other for other in twins if self.near[other] == self.near[node]]
        found = [colour * len(colours) for colour in colours]
        if self.work > _MOST_WORK:
            same = twins
        for at, other in enumerate([node, *same]):
            found[other] -= len(same) + 1 - at
        return _numbered(found)

    def _refined(self, colours: Colours) -> Colours:
        count = len(set(colours))
        while count < len(colours) and self.work <= _MOST_WORK:
            colours = _numbered(
                [
                    (colours[node], tuple(sorted([(word, colours[other]) for other, word in near.items()])))
                    for node, near in enumerate(self.near)
                ]
            )
            self.work += len(self.net.wires)
            if len(set(colours)) == count:
                break
            count = len(set(colours))
        return colours


def _numbered(keys: Sequence[object]) -> Colours:
    """Numbers in the order of the keys themselves, equal for equal ones."""
    places: Mapping[object, int] = {key: at for at, key in enumerate(sorted(set(keys)))}  # type: ignore[type-var]
    return [places[key] for key in keys]


def _alike(colours: Colours) -> list[int]:
    """The nodes of the smallest colour that several have; of equally small ones the first. Empty if none has company."""
    counts = Counter(colours)
    several = [(count, colour) for colour, count in counts.items() if count > 1]
    if not several:
        return []
    wanted = min(several)[1]
    return [node for node, colour in enumerate(colours) if colour == wanted]
