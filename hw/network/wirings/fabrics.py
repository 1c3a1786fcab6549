"""Wirings with switches in them: one switch, a tree of leaves and spines, a dragonfly; with a NIC a chip or shared NICs.

Model: a switch is non-blocking and has no queues of its own; what it may lack is wires. A chip takes part with all its
ports together. `nics=k`: each child has k NICs of the level's link instead of one per chip; chips next to each other share
one, and reach it at the rate of their pcie link. A fat tree has `leaf` children per leaf switch; the uplinks of a leaf
carry together what its downlinks do, divided by `oversubscription`. One spine means that the uplinks are one trunk (perfect
spraying); with `spines=s` each leaf has a wire of 1/s of that to each. `rails=yes`: chips (or NICs) of like place in each
child have leaves and spines of their own, so that a message to another place first goes inside its node.
A dragonfly joins the routers of a group, and the groups, each by each; every link is as wide as a chip's.
Source: Leiserson, "Fat-Trees", 1985; Kim et al., "Technology-Driven, Highly-Scalable Dragonfly Topology", 2008 (minimal
form, one global link for each pair of groups); NVIDIA DGX SuperPOD reference architecture, 2023 (rails).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from hw.chips.chip import Link
from hw.network.site import Shape, Site
from hw.network.topology import Trunk


@dataclass(frozen=True, slots=True)
class _Plug:
    """What is plugged into a switch: a chip or a NIC, its rate, its link, and the chips behind it."""

    node: str
    bytes_per_s: float
    link: Link
    chips: tuple[int, ...]
    nic: bool


def _plugs(site: Site, shape: Shape) -> list[list[_Plug]]:
    """The plugs of each child; lays the wires between chips and NICs."""
    nics = shape.number("nics", site.inner)
    if "nics" not in shape.options:
        return [[_chip_plug(site, chip) for chip in child] for child in site.children()]
    if nics > site.inner:
        raise ValueError(
            f"nics={nics} will not do: a node of {site.inner} chips has 1 to {site.inner} NICs; what one chip has by itself "
            f"is links.{site.link_name}.count"
        )
    result = []
    for number, child in enumerate(site.children()):
        cuts = [-(-at * site.inner // nics) for at in range(nics + 1)]
        shares = [child[start:end] for start, end in pairwise(cuts)]
        result.append([_nic(site, f"{site.prefix}node{number}.nic{at}", chips) for at, chips in enumerate(shares)])
    return result


def _chip_plug(site: Site, chip: int) -> _Plug:
    return _Plug(f"chip{chip}", site.egress(chip), site.link_of(chip), (chip,), False)


def _nic(site: Site, node: str, chips: range) -> _Plug:
    rate = min(site.egress(chip) for chip in chips)
    link = max((site.link_of(chip) for chip in chips), key=lambda each: each.latency_s)
    for chip in chips:
        pcie = site.pcie_of(chip)
        reach = pcie.egress_bytes_per_s if pcie else rate
        site.wire(f"chip{chip}", node, reach)
        site.wire(node, f"chip{chip}", reach, site.link_of(chip))
    return _Plug(node, rate, link, tuple(chips), True)


def _plug_in(site: Site, plug: _Plug, switch: str) -> None:
    up = site.wire(plug.node, switch, plug.bytes_per_s)
    down = site.wire(switch, plug.node, plug.bytes_per_s, None if plug.nic else plug.link)
    if plug.nic:
        site.trunks.append(Trunk((up,), (down,), plug.chips))


def build_switch(site: Site, shape: Shape) -> None:
    """One switch that joins all chips, or all NICs."""
    for plugs in _plugs(site, shape):
        for plug in plugs:
            _plug_in(site, plug, f"{site.prefix}switch")


def build_fat_tree(site: Site, shape: Shape) -> None:
    """Leaf switches under one spine or several; a single leaf needs none. With rails, one such tree for each place."""
    children = _plugs(site, shape)
    if not shape.flag("rails", False):
        _tree(site, shape, children, site.prefix)
        return
    for rail, plugs in enumerate(zip(*children, strict=True)):
        _tree(site, shape, [[plug] for plug in plugs], f"{site.prefix}rail{rail}.")


def _tree(site: Site, shape: Shape, children: Sequence[Sequence[_Plug]], prefix: str) -> None:
    spines, ratio = shape.number("spines", 1), shape.ratio("oversubscription", 1.0)
    wide = min(shape.number("leaf", len(children)), len(children))
    alone = wide == len(children)
    for number, start in enumerate(range(0, len(children), wide)):
        plugs = [plug for child in children[start : start + wide] for plug in child]
        leaf = f"{prefix}leaf{number}"
        for plug in plugs:
            _plug_in(site, plug, leaf)
        if not alone:
            rate = sum(plug.bytes_per_s for plug in plugs) / ratio / spines
            link = max((plug.link for plug in plugs), key=lambda each: each.latency_s)
            tops = [f"{prefix}spine{at}" if spines > 1 else f"{prefix}spine" for at in range(spines)]
            up = tuple([site.wire(leaf, top, rate, link) for top in tops])
            down = tuple([site.wire(top, leaf, rate) for top in tops])
            site.trunks.append(Trunk(up, down, tuple(chip for plug in plugs for chip in plug.chips)))


def build_dragonfly(site: Site, shape: Shape) -> None:
    """Groups of routers: all routers of a group joined, and one link for each pair of groups, spread over the routers."""
    groups, routers, places = shape.sizes
    link = max((site.link_of(chip) for chip in site.chips), key=lambda each: each.latency_s)
    rate = min(site.egress(chip) for chip in site.chips)

    def name(group: int, router: int) -> str:
        return f"{site.prefix}group{group}.router{router}"

    def join(here: str, there: str) -> None:
        site.wire(here, there, rate, link)
        site.wire(there, here, rate, link)

    for number, child in enumerate(site.children()):
        group, router = divmod(number // places, routers)
        for chip in child:
            _plug_in(site, _chip_plug(site, chip), name(group, router))
    for group in range(groups):
        for router in range(routers):
            for other in range(router + 1, routers):
                join(name(group, router), name(group, other))
        for ahead in range(1, groups - group):
            # the group that is `ahead` groups on is at router (ahead - 1) mod routers here, and sees us groups - ahead on
            here, there = (ahead - 1) % routers, (groups - ahead - 1) % routers
            join(name(group, here), name(group + ahead, there))
