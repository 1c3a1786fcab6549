"""From levels as they were written to a topology: ports shared out, wires laid, axes counted.

Model: each level is built once for every group of its children. Levels over the same link share a chip's ports: lattices
take what their neighbours need, switches, trees and full meshes share what is left.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hw.chips.chip import Link
from hw.chips.host import HOST_LINK
from hw.input.wording import unknown
from hw.network.axes import Axis
from hw.network.shape import WiringShape
from hw.network.topology import Level, Node, Topology, Trunk, Wire, node_prefix
from hw.network.wirings.base import REDUCTION, Wiring
from hw.network.wirings.custom import GRAPH
from hw.network.wirings.registry import WIRINGS
from hw.network.wirings.site import Site
from hw.rows import batch_of, shared

Links = Mapping[str, Link]
LinksOf = Callable[[int], Links]
"""The links of each chip, by its number."""


@dataclass(frozen=True)
class WrittenLevel:
    """A level as it was written, and its text in short."""

    text: str
    wiring: Wiring
    shape: WiringShape
    link: str

    @property
    def drawn(self) -> bool:
        """Whether a graph says it."""
        return self.wiring.name == GRAPH.name


@dataclass(frozen=True)
class _Shares:
    """How a chip's ports are shared out over the levels: by lattices as they need, by the rest alike."""

    needed: Mapping[str, int]
    takers: Mapping[str, int]

    def ports_of(self, name: str) -> Callable[[Link], float]:
        """Ports that each level without a number of its own has on a link."""
        needed, takers = self.needed.get(name, 0), max(1, self.takers.get(name, 0))
        return lambda link: (link.count - needed) / takers


def _shares(written: Sequence[WrittenLevel]) -> _Shares:
    needed: dict[str, int] = {}
    takers: dict[str, int] = {}
    for level in written:
        if level.drawn:
            continue  # it says itself how many ports each of its links takes
        if level.wiring.ports is not None and level.shape.count > 1:
            needed[level.link] = needed.get(level.link, 0) + level.wiring.ports(level.shape)
        elif level.wiring.ports is None:
            takers[level.link] = takers.get(level.link, 0) + 1
    return _Shares(needed, takers)


def check_ports(written: Sequence[WrittenLevel], size: int, links: Links, links_of: LinksOf | None) -> None:
    """Each kind of chip must have the links, and ports enough for the levels over each."""
    shares = _shares(written)
    kinds = {id(links): (0, links)} if links_of is None else {}
    for chip in range(size if links_of else 0):
        assert links_of is not None
        kinds.setdefault(id(links_of(chip)), (chip, links_of(chip)))
    for chip, mine in kinds.values():
        who = f"chip {chip}: " if len(kinds) > 1 else ""
        for name in {**shares.needed, **shares.takers}:
            if name not in mine and size > 1:
                raise ValueError(who + unknown("link", name, mine))
            needed = shares.needed.get(name, 0) + shares.takers.get(name, 0)
            have = mine[name].count if name in mine else needed
            if needed > have:
                texts = " and ".join(level.text for level in written if level.link == name and level.shape.count > 1)
                raise ValueError(f"{who}{texts} needs {needed} ports a chip, {name} has {have}")


def built(written: Sequence[WrittenLevel], size: int, links_of: LinksOf) -> Topology:
    """The topology of some levels, inside out; ports are checked before."""
    levels: list[Level] = []
    trunks: list[tuple[Trunk, ...]] = []
    wires: list[Wire] = []
    nodes: dict[str, Node] = {}
    inner = 1
    shares = _shares(written)
    for number, each in enumerate(written):
        span = inner * each.shape.count
        found: list[Trunk] = []
        for instance in range(size // span):
            site = Site(
                range(instance * span, (instance + 1) * span),
                inner,
                number,
                each.link,
                _link_of(each.link, links_of),
                shares.ports_of(each.link),
                lambda chip: links_of(chip).get(HOST_LINK),
                node_prefix(len(written), number, instance),
                len(wires),
            )
            if each.shape.count > 1 or each.wiring.shared(each.shape):
                each.wiring.build(site, each.shape)
            wires.extend(site.wires)
            found.extend(site.trunks)
            nodes |= site.nodes
        trunks.append(tuple(found))
        levels.append(_level(each, number, inner, _adds(each, size, links_of)))
        inner = span
    return Topology(tuple(levels), size, tuple(_alike(wires)), tuple(trunks), nodes=nodes)


def _alike(wires: Sequence[Wire]) -> Sequence[Wire]:
    """The same wires; where figures stand for many rows, alike wires have the same ones."""
    rates, hops = [wire.bytes_per_s for wire in wires], [wire.latency_s for wire in wires]
    messages = [wire.message_s for wire in wires]
    if batch_of(*rates, *hops, *messages) is None:
        return wires
    found = zip(wires, shared(rates), shared(hops), shared(messages), strict=True)
    return [wire._replace(bytes_per_s=rate, latency_s=hop, message_s=message) for wire, rate, hop, message in found]


def _link_of(name: str, links_of: LinksOf) -> Callable[[int], Link]:
    def link(chip: int) -> Link:
        links = links_of(chip)
        if not links:
            raise ValueError(
                "a link without a bandwidth takes the ports of a chip's link, and there is none to take from"
            )
        if name not in links:  # a graph's link need not be one of the chip's, unless it takes its figures from there
            raise ValueError(f"chip {chip}: {unknown('link', name, links)}")
        return links[name]

    return link


def _adds(written: WrittenLevel, size: int, links_of: LinksOf) -> bool:
    """Whether the switches of a level can add up: as it says, or as the links of all chips do."""
    kinds = {id(links): links for links in map(links_of, range(size))}
    known = all(written.link in links and links[written.link].in_switch_reduction for links in kinds.values())
    return written.shape.flag(REDUCTION, known)


def _level(written: WrittenLevel, number: int, inner: int, adds: bool) -> Level:
    over = f" over {written.link}" if written.link else ""
    shape, kinds = written.shape, written.wiring.axis_kinds(written.shape)
    for kind in kinds:
        if kind not in WIRINGS:
            raise ValueError(
                f"{written.text} has an axis of a kind that is no wiring: {unknown('wiring', kind, WIRINGS)}"
            )
    sizes = (shape.count,) if len(kinds) == 1 else shape.sizes
    axes = tuple(
        Axis(kind, size, inner * math.prod(sizes[at + 1 :]), number)
        for at, (kind, size) in enumerate(zip(kinds, sizes, strict=True))
    )
    shared = written.wiring.shared(shape)
    return Level(
        written.text + over,
        written.wiring.name,
        written.link,
        axes,
        shape.count,
        inner,
        shared,
        adds,
        drawn=GRAPH.name if written.drawn else "",
        shape=shape,
    )
