"""How chips are wired: levels of axes, and the wires (the directions of every link) that join chips and switches.

Model: a topology is a list of levels, inside out: chips are wired into nodes, nodes into pods, and so on. A level has
axes (a torus has up to three, everything else one), and a chip has a place along each. Chips are numbered with the inner
levels fastest; inside a torus or grid row-major, its last axis fastest.
A port of a chip carries `bandwidth` one way. On rings, lines, tori and grids each neighbour takes one port; a ring of two
chips has two links, a line of two has one. Switches, trees and full meshes take all ports of a chip together; levels over
the same link share its ports. `latency` is that of one hop, end to end: the way up to a switch and down again is one hop,
charged on the way down; the passage from one switch of a tree over a spine to another is one more, charged on the way up.
Source: "How to Scale Your Model", chapters on TPUs, sharding and GPUs. The wirings stand in `hw.network.wirings`,
the text form in `hw.network.text`, routes in `hw.network.routing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from hw.input.units import Dimension, show
from hw.input.wording import unknown
from hw.network.axes import Axis, Order
from hw.network.shape import WiringShape

MAX_CHIPS = 65_536
"""Chips that a topology may have; alike ones are folded before a run."""


class Wire(NamedTuple):
    """One direction of one link: where from, where to, bytes/s, seconds a hop and seconds a message, the link's name.

    `level` is the level that it belongs to; `hop` is False where passing it counts as part of the next hop or the last.
    """

    name: str
    source: str
    target: str
    bytes_per_s: float
    latency_s: float
    message_s: float = 0.0
    link: str = ""
    level: int = 0
    hop: bool = True

    def __repr__(self) -> str:
        rate, latency = show(self.bytes_per_s, Dimension.BANDWIDTH), show(self.latency_s, Dimension.TIME)
        return f"Wire({self.name}, {rate}, {latency})"


class Node(NamedTuple):
    """What a node is that is no chip (switch, leaf, nic, ...), and which instance of its level it belongs to."""

    word: str
    instance: int


def node_prefix(levels: int, level: int, instance: int) -> str:
    """What the names of nodes begin with that are no chips: one level alone needs nothing."""
    return "" if levels == 1 else f"level{level}.{instance}."


@dataclass(frozen=True, slots=True)
class Trunk:
    """What some chips share to reach the rest of a level and to be reached: numbers of wires, numbers of chips."""

    up: tuple[int, ...]
    down: tuple[int, ...]
    chips: tuple[int, ...]

    def __repr__(self) -> str:
        return f"Trunk({len(self.up)} up, {len(self.down)} down, of {len(self.chips)} chips)"


@dataclass(frozen=True, slots=True)
class Level:
    """One level of wiring. `shared`: one fabric joins all chips of its children; else it joins chips of like place.

    `inner` is the number of chips in each of its `children`. `in_switch_reduction`: its switches can add up.
    Of a graph, `drawn` says what it was recognised as ('graph' if as nothing; empty for other wirings), and `round` is the
    way that a ring takes through its chips, where they form no known wiring. `shape`: the sizes and options as written.
    """

    text: str
    kind: str
    link: str
    axes: tuple[Axis, ...]
    children: int
    inner: int
    shared: bool
    in_switch_reduction: bool = False
    drawn: str = ""
    round: tuple[int, ...] = ()
    shape: WiringShape = field(default_factory=lambda: WiringShape(()))

    def __repr__(self) -> str:
        return f"Level({self.text}: {self.children} x {self.inner} chips)"


GraphReader = Callable[[Any, Mapping[str, Any], str], "Topology"]
"""From a networkx graph, a chip's links, and the link that edges without a bandwidth go over, to a topology."""

_READER: list[GraphReader] = []
"""How `Topology.from_networkx` reads: what builds topologies stands on this module, and so puts itself in here."""


def graph_reader(function: GraphReader) -> GraphReader:
    """Mark the function that `Topology.from_networkx` calls."""
    _READER[:] = [function]
    return function


@dataclass(frozen=True)
class Topology:
    """Wired chips. Nodes are 'chip0', 'chip1', ..., and whatever lies between them ('switch', 'leaf0', ...)."""

    levels: tuple[Level, ...]
    size: int
    wires: tuple[Wire, ...]
    level_trunks: tuple[tuple[Trunk, ...], ...] = ()
    plain: Topology | None = None
    """Of a graph whose wiring was recognised: the same, chips counted by number alone."""
    nodes: Mapping[str, Node] = field(default_factory=dict, compare=False, repr=False)
    """What each node is that is no chip, by its name."""

    @classmethod
    def from_networkx(cls, graph: Any, links: Mapping[str, Any] | None = None, over: str = "") -> Topology:
        """The topology that a networkx graph is, recognised as a ring, torus, tree, ... where it is one.

        Chips are the nodes chip0, chip1, ..., all others switches; if no node is called so, all are chips. Edges have
        `bandwidth` (bytes/s or text with a unit), `latency` and `count`; one without a bandwidth takes the ports of the link
        `over` of `links` (a chip's; its first by default). Raises SpecError with every problem of the graph, ValueError for
        a link that is not there or has too few ports.
        """
        return _READER[0](graph, links or {}, over)

    def __repr__(self) -> str:
        return f"Topology({self}: {self.size} chips, {len(self.wires)} wires)"

    def __str__(self) -> str:
        texts = [level.text for level in self.levels]
        return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        """The axes of all levels, inside out."""
        return tuple(axis for level in self.levels for axis in level.axes)

    @property
    def order(self) -> Order | None:
        """Where chips stand, if they are not counted along their wires by number: only a graph has that."""
        return self.levels[0].axes[0].order if self.levels else None

    def along_wires(self, chips: Sequence[int]) -> list[int]:
        """Some chips in the order in which a ring goes through them; as they come where there is no better one."""
        way = self.levels[0].round
        if not way:
            return list(chips)
        rank = {chip: at for at, chip in enumerate(way)}
        return sorted(chips, key=lambda chip: (chip // len(way), rank[chip % len(way)]))

    def trunks(self, level: int) -> tuple[Trunk, ...]:
        """What chips of a level share on the way to the rest of it: uplinks of leaves, NICs. Empty where there are none."""
        return self.level_trunks[level] if level < len(self.level_trunks) else ()

    @cached_property
    def chip_numbers(self) -> Mapping[str, int]:
        """The number of each node that is a chip."""
        return {f"chip{chip}": chip for chip in range(self.size)}

    def word_of(self, node: str) -> str:
        """What a node is: chip, switch, leaf, nic, ... Raises ValueError for one that is not there."""
        if node in self.chip_numbers:
            return "chip"
        if node not in self.nodes:
            raise ValueError(unknown("node", node, (*self.chip_numbers, *self.nodes)))
        return self.nodes[node].word

    @cached_property
    def graph(self) -> Any:
        """The networkx MultiDiGraph; each edge carries its `wire`, its number, and, for routing, its `latency`."""
        import networkx as nx  # late: nothing but drawing and checks needs it, and it is slow to import

        graph = nx.MultiDiGraph()
        graph.add_nodes_from(self.chip_numbers)
        for number, wire in enumerate(self.wires):
            graph.add_edge(wire.source, wire.target, key=wire.name, wire=wire, number=number, latency=wire.latency_s)
        return graph

    @cached_property
    def _between(self) -> Mapping[tuple[str, str], tuple[int, ...]]:
        found: dict[tuple[str, str], tuple[int, ...]] = {}
        for number, wire in enumerate(self.wires):
            ends = (wire.source, wire.target)
            found[ends] = (*found[ends], number) if ends in found else (number,)
        return found

    def between(self, source: str, target: str) -> tuple[int, ...]:
        """The numbers of the wires that lead from one node straight to another."""
        return self._between.get((source, target), ())

    @cached_property
    def _ports(self) -> tuple[Mapping[tuple[int, int], int], Mapping[tuple[int, int], int]]:
        """The wire from each chip into a fabric, and from the fabric to each chip, by chip and level."""
        out: dict[tuple[int, int], int] = {}
        into: dict[tuple[int, int], int] = {}
        chips = self.chip_numbers
        for number, wire in enumerate(self.wires):
            source, target = chips.get(wire.source), chips.get(wire.target)
            if source is not None and target is None:
                out.setdefault((source, wire.level), number)
            elif target is not None and source is None:
                into.setdefault((target, wire.level), number)
        return out, into

    def port_out(self, chip: int, level: int) -> int:
        """The wire by which a chip sends into the fabric of a level. Raises ValueError where it has none."""
        return self._port(0, chip, level)

    def port_in(self, chip: int, level: int) -> int:
        """The wire by which the fabric of a level reaches a chip. Raises ValueError where it has none."""
        return self._port(1, chip, level)

    def _port(self, way: int, chip: int, level: int) -> int:
        found = self._ports[way].get((chip, level))
        if found is None:
            raise ValueError(f"chip {chip} has no port of level {level}: {self} has chips 0 to {self.size - 1}")
        return found

    def of_level(self, level: int) -> Iterable[tuple[int, Wire]]:
        """The wires of one level, with their numbers."""
        return ((number, wire) for number, wire in enumerate(self.wires) if wire.level == level)

    def step(self, axis: Axis, chip: int, forward: bool) -> tuple[int, int]:
        """The next chip along a ring, line or full axis, and the wire to it."""
        place = axis.place(chip)
        after = (place + (1 if forward else -1)) % axis.size
        there = axis.moved(chip, (after - place) * axis.stride)
        wires = self._between[f"chip{chip}", f"chip{there}"]
        # on a ring of two, the way round through the wraparound is the second link
        wraps = axis.size == 2 and forward == (place == 1)
        return there, wires[-1] if wraps else wires[0]
