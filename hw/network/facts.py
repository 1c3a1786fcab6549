"""What can be said of a topology at a glance: hops and bisection bandwidth, level by level.

Model: hops are those that latency counts (up to a switch and down again is one). The diameter adds up level by level, as
routes do. The bisection bandwidth of a level is what its wires carry one way between halves of its children (sizes differ by
one at most): of a lattice by the closed form, of a switch by its narrowest children, of a tree by the narrowest assignment
of leaves, of a full mesh by counting pairs. Other graphs are cut: see `hw.network.bisection`. Where unlike chips make
the instances of a level unlike, the narrowest one's is given.
Source: Aroca and Fernandez Anta, "Bisection (Band)Width of Product Networks with Application to Data Centers", 2014 (arrays
and tori: with sizes in falling order, the sum over axes up to the first even one of the product of the sizes after it).
Lattices that wrap along some axes only: a straight cut is the least if even routing of all pairs, axis by axis, puts on
no wire more than on those that it meets (embedding of the complete graph: Leighton, "Introduction to Parallel Algorithms and
Architectures", 1992).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hw.network.bisection import CLOSED_FORM, Bound, Cut, best_cut
from hw.network.topology import Level, Topology, Trunk, Wire

_TAIL = re.compile(r"\d+$")
_LATTICE = {"ring": 2, "line": 1}
"""Wires each way that a straight cut meets on a row of an axis."""


@dataclass(frozen=True, slots=True)
class LevelFacts:
    """One level: how often it is there, hops across it, bytes/s one way between halves of one of them."""

    level: Level
    instances: int
    hops: int
    bisection: Cut


def node_kind(topology: Topology, wire: Wire, node: str) -> str:
    """What a node is, in a word: chip, switch, leaf, nic, ..."""
    if node in topology.chip_numbers:
        return "chip"
    if topology.levels[wire.level].kind == "graph":
        return "switch"
    return _TAIL.sub("", node.rpartition(".")[2])


def diameter(facts: Sequence[LevelFacts]) -> int:
    """Hops between the chips that are furthest apart: inside, then across, unless a shared fabric is entered at once."""
    total = 0
    for each in facts:
        total = max(total, each.hops) if each.level.shared else total + each.hops
    return total


def overall_cut(facts: Sequence[LevelFacts]) -> Cut | None:
    """The bisection of the outermost level that joins anything."""
    return next((each.bisection for each in reversed(facts) if each.level.children > 1), None)


def level_facts(topology: Topology) -> list[LevelFacts]:
    """What there is to say of each level, inside out."""
    result = []
    for number, level in enumerate(topology.levels):
        facts = _FACTS.get(level.kind, _of_graph)
        found = [facts(view) for view in _views(topology, number, level)]
        hops, cut = min(found, key=lambda each: each[1].bytes_per_s)
        result.append(LevelFacts(level, topology.size // (level.inner * level.children), hops, cut))
    return result


class _View:
    """One instance of a level: its wires by their numbers, and its chips."""

    def __init__(self, topology: Topology, number: int, level: Level, chips: range, wires: dict[int, Wire]) -> None:
        self.topology, self.number, self.level, self.chips, self.wires = topology, number, level, chips, wires

    @property
    def slowest(self) -> float:
        """The rate of the slowest wire."""
        return min((wire.bytes_per_s for wire in self.wires.values()), default=0.0)

    @property
    def alike(self) -> bool:
        """Whether all wires from chips have one rate."""
        chips = self.topology.chip_numbers
        return len({wire.bytes_per_s for wire in self.wires.values() if wire.source in chips}) <= 1

    def cut(self, bytes_per_s: float, bound: Bound = "exact", method: str = CLOSED_FORM) -> Cut:
        """A cut by a formula; unlike chips make it a lower bound."""
        if not self.alike:
            return Cut(bytes_per_s, "at least", f"{method}, every link at the slowest one's pace")
        return Cut(bytes_per_s, bound, method)


def _views(topology: Topology, number: int, level: Level) -> list[_View]:
    """The instances of a level, alike ones once: they differ only by the rates of their wires."""
    span = level.inner * level.children
    wires: list[dict[int, Wire]] = [{} for _ in range(topology.size // span)]
    for at, wire in topology.of_level(number):
        wires[_instance(topology, wire, span)][at] = wire
    unlike = {tuple(wire.bytes_per_s for wire in here.values()): instance for instance, here in enumerate(wires)}
    return [
        _View(topology, number, level, range(instance * span, (instance + 1) * span), wires[instance])
        for instance in unlike.values()
    ]


def _instance(topology: Topology, wire: Wire, span: int) -> int:
    """The instance of its level that a wire belongs to: by a chip at one of its ends, or by the name of a node."""
    for node in (wire.source, wire.target):
        if (chip := topology.chip_numbers.get(node)) is not None:
            return chip // span
    return int(wire.source.split(".")[1]) if len(topology.levels) > 1 else 0


def lattice_cut(sizes: Sequence[int], weights: Sequence[int]) -> tuple[int, bool]:
    """Wires one way between halves of a lattice, and whether that is the least there can be."""
    axes = sorted(((size, weight) for size, weight in zip(sizes, weights, strict=True) if size > 1), reverse=True)
    if not axes:
        return 0, True
    total = math.prod(size for size, _ in axes)
    if len({weight for _, weight in axes}) > 1:
        straight = [weight * total // size for size, weight in axes if size % 2 == 0]
        if straight:
            # pairs of halves, at least total^2 / 4 each way, over the most that even routing of all pairs puts on a wire
            load = max(total * (size - size % 2 / size) / (4 * weight) for size, weight in axes)
            return min(straight), min(straight) * load <= total**2 / 4
    last = next((at for at, (size, _) in enumerate(axes) if size % 2 == 0), len(axes) - 1)
    wires = sum(axes[at][1] * math.prod(size for size, _ in axes[at + 1 :]) for at in range(last + 1))
    return wires, len({weight for _, weight in axes}) == 1


def _of_lattice(view: _View) -> tuple[int, Cut]:
    axes = view.level.axes
    hops = sum(axis.size // 2 if axis.kind == "ring" else axis.size - 1 for axis in axes)
    wires, exact = lattice_cut([axis.size for axis in axes], [_LATTICE[axis.kind] for axis in axes])
    rate = wires * view.level.inner * view.slowest
    return hops, view.cut(rate) if exact else view.cut(rate, "at most", "best straight cut")


def _of_full(view: _View) -> tuple[int, Cut]:
    children = view.level.children
    pairs = (children // 2) * ((children + 1) // 2)
    return min(1, children - 1), view.cut(pairs * view.level.inner * view.slowest)


def _plug_rates(view: _View) -> list[list[float]]:
    """Bytes/s out of each child, for each chip or NIC that is plugged into the fabric."""
    chips, first, inner = view.topology.chip_numbers, view.chips[0], view.level.inner
    rates: list[list[float]] = [[] for _ in range(view.level.children)]
    inside: dict[str, float] = {}
    child_of: dict[str, int] = {}
    for wire in view.wires.values():
        if (chip := chips.get(wire.source)) is None:
            continue
        child = (chip - first) // inner
        if node_kind(view.topology, wire, wire.target) == "nic":
            inside[wire.target] = inside.get(wire.target, 0.0) + wire.bytes_per_s
            child_of[wire.target] = child
        else:
            rates[child].append(wire.bytes_per_s)
    ups = {wire.source: wire.bytes_per_s for wire in view.wires.values() if wire.source in inside and wire.hop is False}
    for nic, reach in inside.items():
        rates[child_of[nic]].append(min(reach, ups[nic]))
    return rates


def _of_switch(view: _View) -> tuple[int, Cut]:
    """What the narrower half can send: of all halves the one of the narrowest children."""
    children = view.level.children
    rates = sorted(sum(child) for child in _plug_rates(view))
    return min(1, children - 1), Cut(sum(rates[: children // 2]), "exact", CLOSED_FORM)


def _of_tree(view: _View) -> tuple[int, Cut]:
    """By leaves: with the spine on one side, a leaf with s children on the other costs the lesser of their wires and its
    uplinks; that is concave in s, so the narrowest cut takes whole leaves and one part of a leaf."""
    leaves, plugs = _leaves(view), _plug_rates(view)
    shared, children = view.level.shared, view.level.children
    rails = 1 if shared else len(plugs[0])
    rate = min(sum(child) if shared else min(child) for child in plugs)
    if not leaves:
        one_fabric = shared or view.alike
        return _of_switch(view) if one_fabric else (min(1, children - 1), view.cut(children // 2 * rate * rails))
    slowest: dict[int, float] = {}
    for leaf in leaves:
        uplink = sum(view.topology.wires[wire].bytes_per_s for wire in leaf.up)
        slowest[_width(view, leaf)] = min(uplink, slowest.get(_width(view, leaf), math.inf))
    widths = [_width(view, leaf) for leaf in leaves[: len(leaves) // rails]]  # rails are laid one after the other
    return 2, view.cut(tree_cut(widths, [slowest[width] for width in widths], rate) * rails)


def _width(view: _View, leaf: Trunk) -> int:
    """The children of a leaf."""
    return len({chip // view.level.inner for chip in leaf.chips})


def _leaves(view: _View) -> list[Trunk]:
    """The leaves with uplinks."""
    wires = view.topology.wires
    return [
        trunk
        for trunk in view.topology.trunks(view.number)
        if trunk.up[0] in view.wires
        and node_kind(view.topology, wires[trunk.up[0]], wires[trunk.up[0]].source) == "leaf"
    ]


def tree_cut(widths: Sequence[int], uplinks: Sequence[float], rate: float) -> float:
    """The narrowest balanced cut of leaves with so many children each, uplinks and bytes/s of a child; all leaves but the
    last are alike."""

    def cost(leaf: int, inside: int) -> float:
        return min(inside * rate, uplinks[leaf] + (widths[leaf] - inside) * rate)

    half, wide, last = sum(widths) // 2, widths[0], len(widths) - 1
    best = math.inf
    for ending in {0, widths[last], half % wide, max(0, half - wide * last)}:
        whole, part = divmod(half - ending, wide)
        if 0 <= ending <= widths[last] and half >= ending and whole + (part > 0) <= last:
            best = min(best, whole * cost(0, wide) + (cost(0, part) if part else 0.0) + cost(last, ending))
    return best


def _of_graph(view: _View) -> tuple[int, Cut]:
    wires = list(view.wires.values())
    return _hops(wires, view), best_cut(wires, [f"chip{chip}" for chip in view.chips], view.level.inner)


def _hops(wires: Sequence[Wire], view: _View) -> int:
    """Hops between the chips furthest apart: which nodes reach which, as bits of whole numbers, hop by hop."""
    numbers = {
        name: at for at, name in enumerate(dict.fromkeys(n for wire in wires for n in (wire.source, wire.target)))
    }
    free: dict[int, list[int]] = {}
    hops: dict[int, list[int]] = {}
    for wire in wires:
        (hops if wire.hop else free).setdefault(numbers[wire.source], []).append(numbers[wire.target])
    onwards = {
        node: set(hops.get(node, ())).union(*(hops.get(above, ()) for above in free.get(node, ())))
        for node in numbers.values()
    }
    chips = [numbers[f"chip{chip}"] for chip in view.chips if f"chip{chip}" in numbers]
    want = sum(1 << chip for chip in chips)
    reached = {node: 1 << node for node in numbers.values()}
    count = 0
    while any(reached[chip] & want != want for chip in chips):
        after = {node: _union(reached[node], onwards[node], reached) for node in reached}
        if after == reached:
            break  # one-way graphs are checked to be connected; nothing more can come
        reached, count = after, count + 1
    return count


def _union(mine: int, others: set[int], reached: Mapping[int, int]) -> int:
    for other in others:
        mine |= reached[other]
    return mine


_FACTS: Mapping[str, Callable[[_View], tuple[int, Cut]]] = {
    "ring": _of_lattice,
    "line": _of_lattice,
    "torus": _of_lattice,
    "grid": _of_lattice,
    "full": _of_full,
    "switch": _of_switch,
    "fat_tree": _of_tree,
}
