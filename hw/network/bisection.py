"""The bisection bandwidth of any graph: bytes/s one way between halves of its chips, switches on whichever side is better.

Method: up to 10 chips every balanced cut is tried, with a minimum cut (max flow) through the switches: exact. Graphs of
chips alone are tried in full up to 14. Beyond that it is a search: cuts by number, by halves of a breadth-first search from
several chips, and along the second eigenvector of the graph's Laplacian, each improved by moving switches and swapping
chips. What it finds is an upper bound, and is called so.
Source: Fiedler, "Algebraic connectivity of graphs", 1973; Kernighan and Lin, 1970 (swaps; here greedy ones).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hw.input.units import Dimension, show
from hw.network.topology import Wire

CLOSED_FORM = "closed form"
"""The method of wirings that need no search."""

EXACT_CHIPS = 10
EXACT_CHIPS_ALONE = 14
_SPECTRAL_NODES = 1500
_SWAP_CHIPS = 256
_STARTS = 4
_ROUNDS = 16


Bound = Literal["exact", "at most", "at least"]


@dataclass(frozen=True, slots=True)
class Bisection:
    """Bytes/s one way between halves, whether that is exact or a bound, and how it was found."""

    bytes_per_s: float
    bound: Bound
    method: str

    def __repr__(self) -> str:
        return f"Bisection({self.bound} {show(self.bytes_per_s, Dimension.BANDWIDTH)}, {self.method})"


def best_cut(wires: Sequence[Wire], chips: Sequence[str], unit: int = 1) -> Bisection:
    """The narrowest balanced cut of a graph that can be found; `unit` chips next to each other stay together."""
    graph = _Graph(wires, chips)
    units = len(chips) // unit
    halves = len(chips) // 2 if unit == 1 else units // 2 * unit
    if units < 2:
        return Bisection(0.0, "exact", "nothing to cut")
    limit = EXACT_CHIPS if graph.switches else EXACT_CHIPS_ALONE
    if units <= limit:
        least = min(graph.exact(part) for part in _every_half(len(chips), unit))
        return Bisection(least, "exact", "every balanced cut tried")
    starts = [_whole_units(order, unit)[:halves] for order in graph.orders()]
    least = min(graph.improved(set(part), unit == 1) for part in starts)
    return Bisection(least, "at most", f"the best of {len(starts)} balanced cuts, improved by swaps")


def _every_half(chips: int, unit: int) -> Iterator[set[int]]:
    """Every half of the chips; of two halves of an even number only the one with the first chip."""
    units = range(chips // unit)
    for part in itertools.combinations(units, len(units) // 2):
        if len(units) % 2 == 0 and part[0] != 0:
            return  # combinations come in order: from here on they are the other halves
        yield {chip for each in part for chip in range(each * unit, (each + 1) * unit)}


def _whole_units(order: Sequence[int], unit: int) -> list[int]:
    firsts = dict.fromkeys(chip // unit for chip in order)
    return [chip for first in firsts for chip in range(first * unit, (first + 1) * unit)]


class _Graph:
    """Rates between numbered nodes, chips first."""

    def __init__(self, wires: Sequence[Wire], chips: Sequence[str]) -> None:
        self.chips = len(chips)
        numbers = {name: at for at, name in enumerate(chips)}
        for wire in wires:
            for name in (wire.source, wire.target):
                numbers.setdefault(name, len(numbers))
        self.size = len(numbers)
        self.rates: dict[tuple[int, int], float] = {}
        for wire in wires:
            ends = (numbers[wire.source], numbers[wire.target])
            self.rates[ends] = self.rates.get(ends, 0.0) + wire.bytes_per_s
        self.near: dict[int, dict[int, float]] = {node: {} for node in range(self.size)}
        for (here, there), rate in self.rates.items():
            for one, two in ((here, there), (there, here)):
                self.near[one][two] = self.near[one].get(two, 0.0) + rate / 2

    @property
    def switches(self) -> int:
        """Nodes that are not chips."""
        return self.size - self.chips

    def across(self, part: set[int]) -> float:
        """Bytes/s from a part of the nodes to the rest, or back, whichever is less."""
        out = sum(rate for (here, there), rate in self.rates.items() if here in part and there not in part)
        back = sum(rate for (here, there), rate in self.rates.items() if here not in part and there in part)
        return min(out, back)

    def exact(self, part: set[int]) -> float:
        """The least that lies between a part of the chips and the others, over all places of the switches."""
        if not self.switches:
            return self.across(part)
        others = set(range(self.chips)) - part
        return min(self._flow(part, others), self._flow(others, part))

    def _flow(self, sources: Iterable[int], sinks: Iterable[int]) -> float:
        import networkx as nx

        graph: Any = nx.DiGraph()
        for (here, there), rate in self.rates.items():
            graph.add_edge(here, there, capacity=rate)
        graph.add_edges_from(("from", node) for node in sources)  # without a capacity: without a limit
        graph.add_edges_from((node, "to") for node in sinks)
        return float(nx.minimum_cut_value(graph, "from", "to"))

    def orders(self) -> list[list[int]]:
        """Orders of the chips whose first halves may be good cuts."""
        result = [list(range(self.chips))]
        for start in range(0, self.chips, max(1, self.chips // _STARTS)):
            result.append(self._outwards(start))
        if self.size <= _SPECTRAL_NODES:
            result.append(self._spectral())
        return result

    def _outwards(self, start: int) -> list[int]:
        found, front = {start: None}, [start]
        while front:
            front = list(dict.fromkeys(node for each in front for node in self.near[each] if node not in found))
            found.update(dict.fromkeys(front))
        return [node for node in found if node < self.chips]

    def _spectral(self) -> list[int]:
        import numpy as np

        laplacian = np.zeros((self.size, self.size))
        most = max(self.rates.values())
        for node, others in self.near.items():
            for other, rate in others.items():
                laplacian[node, other] -= rate / most
                laplacian[node, node] += rate / most
        values = np.linalg.eigh(laplacian)[1][:, 1].round(9)
        return sorted(range(self.chips), key=lambda chip: (float(values[chip]), chip))

    def improved(self, chips: set[int], swap: bool) -> float:
        """A cut with its switches placed well, then chips swapped while that helps."""
        part = self._with_switches(chips)
        best = self.across(part)
        for _ in range(_SWAP_CHIPS if swap and self.chips <= _SWAP_CHIPS else 0):
            gains = self._gains(part)
            inside = sorted((node for node in part if node < self.chips), key=lambda node: (-gains[node], node))[:8]
            outside = sorted((n for n in range(self.chips) if n not in part), key=lambda n: (-gains[n], n))[:8]
            pairs = [(gains[a] + gains[b] - 2 * self.near[a].get(b, 0.0), -a, -b) for a in inside for b in outside]
            if not pairs:
                break
            _, one, two = max(pairs)
            swapped = self._with_switches(({n for n in part if n < self.chips} - {-one}) | {-two})
            rate = self.across(swapped)
            if rate >= best:
                break
            part, best = swapped, rate
        return best

    def _gains(self, part: set[int]) -> Mapping[int, float]:
        """What moving a node to the other side would take off the cut."""
        return {
            node: sum(rate if (other in part) != (node in part) else -rate for other, rate in self.near[node].items())
            for node in range(self.chips)
        }

    def _with_switches(self, chips: set[int]) -> set[int]:
        """A part of the chips with the switches that are better off on their side: first by the chips and switches that
        have one already, then again and again by all."""
        sides = {chip: 1 if chip in chips else -1 for chip in range(self.chips)}
        for _ in range(_ROUNDS):
            before = dict(sides)
            for node in range(self.chips, self.size):
                pull = sum(rate * sides.get(other, 0) for other, rate in self.near[node].items())
                if pull or node in sides:
                    sides[node] = 1 if pull > 0 else -1 if pull < 0 else sides[node]
            if sides == before:
                break
        return {node for node, side in sides.items() if side > 0}
