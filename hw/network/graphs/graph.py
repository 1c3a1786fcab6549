"""Custom wirings: nodes and links as they come from a file, and how they become wires.

Model: nodes called chip0, chip1, ... are the chips, all others are switches. A link without a bandwidth has `count` of the
chip's own ports and their latency, so that a study can vary them; as for any switch, the way up is then part of the hop down
again. A link with a latency of its own takes it both ways. Unless the graph is directed, links lead both ways.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hw.network.shape import WiringShape
from hw.network.wirings.site import Hop, Site

CHIP = re.compile(r"chip(0|[1-9][0-9]{0,8})")
"""The name of a chip."""


@dataclass(frozen=True, slots=True)
class GraphLink:
    """One link of a graph: its ends, and its figures where the file gives them."""

    source: str
    target: str
    bytes_per_s: float | None
    latency_s: float | None
    count: int


@dataclass(frozen=True)
class Graph:
    """Nodes and links of a custom wiring of `size` chips."""

    size: int
    links: tuple[GraphLink, ...]
    directed: bool = False

    def build(self, site: Site, _shape: WiringShape) -> None:
        """Lay the wires over the chips of a site. Raises ValueError where a chip has too few ports."""
        self._check_ports(site)
        seen: dict[tuple[str, str], int] = {}
        for link in self.links:
            source, target = (_placed(name, site) for name in (link.source, link.target))
            rate, hop = _figures(link, site)
            for here, there in ((source, target), (target, source))[: 1 if self.directed else 2]:
                again = seen[here, there] = seen.get((here, there), 0) + 1
                # the way up to a switch is part of the hop down again, unless the file gives the link a latency of its own
                climbs = link.latency_s is None and CHIP.fullmatch(here) and not CHIP.fullmatch(there)
                site.wire(here, there, rate, None if climbs else hop, f".{again}" if again > 1 else "")

    def _check_ports(self, site: Site) -> None:
        used: dict[str, int] = {}
        for link in self.links:
            for name in (link.source, link.target)[: 1 if self.directed else 2]:
                if link.bytes_per_s is None and CHIP.fullmatch(name):
                    used[name] = used.get(name, 0) + link.count
        for name, ports in used.items():
            have = site.link_of(_chip_of(name, site)).count
            if ports > have:
                raise ValueError(f"{name} needs {ports} ports, {site.link_name} has {have} (links without a bandwidth)")


def _chip_of(name: str, site: Site) -> int:
    return site.chips[int(name[4:])]


def _placed(name: str, site: Site) -> str:
    """A node's name where the graph is one of several nodes of a larger system."""
    return f"chip{_chip_of(name, site)}" if CHIP.fullmatch(name) else f"{site.prefix}{name}"


def _figures(link: GraphLink, site: Site) -> tuple[float, Hop]:
    """Bytes/s one way, and what a hop takes."""
    chips = [_chip_of(name, site) for name in (link.source, link.target) if CHIP.fullmatch(name)]
    if link.bytes_per_s is not None:
        return link.bytes_per_s * link.count, Hop(link.latency_s or 0.0)
    ports = [site.link_of(chip) for chip in chips]
    slow = max(ports, key=lambda port: port.latency_s)
    latency = slow.latency_s if link.latency_s is None else link.latency_s
    rate = min(port.bytes_per_s for port in ports) * link.count
    return rate, Hop(latency, slow.message_s)
