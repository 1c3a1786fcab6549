"""What a builder of wirings works with: the shape that was written, and the site where its wires are laid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from hw.chips.chip import Link
from hw.network.topology import Node, Trunk, Wire


class Hop(NamedTuple):
    """What a message waits for on a wire, whatever its size: seconds a hop and seconds a message."""

    latency_s: float
    message_s: float = 0.0


@dataclass
class Site:
    """Where a level is built: the chips of its children (`inner` of each, child by child), and the wires so far.

    `link_of` gives the link by which a chip takes part, `ports_of` how many of its ports this level has; `prefix` begins
    the names of the nodes that are not chips; `first` is the number of the next wire; `pcie_of` is a chip's way to a NIC.
    """

    chips: range
    inner: int
    level: int
    link_name: str
    link_of: Callable[[int], Link]
    ports_of: Callable[[Link], float]
    pcie_of: Callable[[int], Link | None] = lambda _chip: None
    prefix: str = ""
    first: int = 0
    wires: list[Wire] = field(default_factory=list)
    trunks: list[Trunk] = field(default_factory=list)
    nodes: dict[str, Node] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Site(level {self.level}: {len(self.chips)} chips, {len(self.wires)} wires so far)"

    def alike(self) -> Iterator[range]:
        """The chips of like place in each child, place by place."""
        for place in range(self.inner):
            yield self.chips[place :: self.inner]

    def children(self) -> Iterator[range]:
        """The chips of each child."""
        for start in range(0, len(self.chips), self.inner):
            yield self.chips[start : start + self.inner]

    def egress(self, chip: int) -> float:
        """All ports that a chip has for this level together, one way."""
        link = self.link_of(chip)
        return link.bytes_per_s * self.ports_of(link)

    @property
    def instance(self) -> int:
        """Which of the instances of its level it is."""
        return self.chips.start // len(self.chips)

    def node(self, word: str, number: int | None = None, inside: str = "") -> str:
        """The full name of a node that is not a chip: a word for what it is, its number where there are several, and the
        names of what it lies in."""
        name = f"{self.prefix}{inside}{word}{'' if number is None else number}"
        self.nodes[name] = Node(word, self.instance)
        return name

    def join(self, here: int, there: int, ports: float = 1.0, name: str = "") -> None:
        """A link between two chips, both ways, `ports` ports wide, at the slower end's pace."""
        one, two = self.link_of(here), self.link_of(there)
        slow = one if one is two or one.latency_s >= two.latency_s else two
        rate = min(one.bytes_per_s, two.bytes_per_s) * ports
        source, target, word = f"chip{here}", f"chip{there}", f"{self.link_name}{name}:"
        rest = (rate, slow.latency_s, slow.message_s, self.link_name, self.level)
        self.wires.append(Wire(f"{word}{source}>{target}", source, target, *rest))
        self.wires.append(Wire(f"{word}{target}>{source}", target, source, *rest))

    def wire(self, source: str, target: str, bytes_per_s: float, hop: Link | Hop | None = None, name: str = "") -> int:
        """One direction of a link, and its number; without `hop` it is a part of the next hop or the last.

        An end that is neither a chip nor a `node` becomes a switch.
        """
        nodes, chips = self.nodes, self._chip_names
        if source not in nodes and source not in chips:
            nodes[source] = Node("switch", self.instance)
        if target not in nodes and target not in chips:
            nodes[target] = Node("switch", self.instance)
        latency, message = (hop.latency_s, hop.message_s) if hop is not None else (0.0, 0.0)
        word = f"{self.link_name}{name}:{source}>{target}"
        self.wires.append(
            Wire(word, source, target, bytes_per_s, latency, message, self.link_name, self.level, hop is not None)
        )
        return self.first + len(self.wires) - 1

    @cached_property
    def _chip_names(self) -> frozenset[str]:
        return frozenset(f"chip{chip}" for chip in self.chips)
