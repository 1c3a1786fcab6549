"""What is plugged into the switches of a wiring: chips, each with all its ports together, or NICs that chips share.

Model: `nics=k`: each child has k NICs of the level's link instead of one per chip; chips next to each other share one, and
reach it at the rate of their pcie link. A switch is non-blocking and has no queues of its own; what it may lack is wires.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from hw.chips.chip import Link
from hw.network.shape import WiringShape
from hw.network.topology import Trunk
from hw.network.wirings.canvas import Canvas
from hw.network.wirings.instance import Instance
from hw.network.wirings.site import Site

NICS = "nics"
"""The option of wirings that chips can share NICs into."""


class Plug(NamedTuple):
    """What is plugged into a switch: a chip or a NIC, its rate, its link, and the chips behind it."""

    node: str
    bytes_per_s: float
    link: Link
    chips: tuple[int, ...]
    nic: bool


def plugs_of(site: Site, shape: WiringShape) -> list[list[Plug]]:
    """The plugs of each child; lays the wires between chips and NICs."""
    nics = shape.number(NICS, site.inner)
    if not shape.says(NICS):
        return [[chip_plug(site, chip) for chip in child] for child in site.children()]
    if nics > site.inner:
        raise ValueError(
            f"nics={nics} will not do: a node of {site.inner} chips has 1 to {site.inner} NICs; what one chip has by itself "
            f"is links.{site.link_name}.count"
        )
    result = []
    for number, child in enumerate(site.children()):
        cuts = [-(-at * site.inner // nics) for at in range(nics + 1)]
        shares = [child[start:end] for start, end in pairwise(cuts)]
        inside = f"node{number}."
        result.append([_nic(site, site.node("nic", at, inside), chips) for at, chips in enumerate(shares)])
    return result


def chip_plug(site: Site, chip: int) -> Plug:
    """A chip with all the ports that it has for the level."""
    return Plug(f"chip{chip}", site.egress(chip), site.link_of(chip), (chip,), False)


def _nic(site: Site, node: str, chips: range) -> Plug:
    rate = min(site.egress(chip) for chip in chips)
    link = max((site.link_of(chip) for chip in chips), key=lambda each: each.latency_s)
    for chip in chips:
        pcie = site.pcie_of(chip)
        reach = pcie.egress_bytes_per_s if pcie else rate
        site.wire(f"chip{chip}", node, reach)
        site.wire(node, f"chip{chip}", reach, site.link_of(chip))
    return Plug(node, rate, link, tuple(chips), True)


def plug_in(site: Site, plug: Plug, switch: str) -> None:
    """The wires of a plug to a switch and back; the way back is the hop, but for a NIC, whose hop is that to its chip."""
    up = site.wire(plug.node, switch, plug.bytes_per_s)
    down = site.wire(switch, plug.node, plug.bytes_per_s, None if plug.nic else plug.link)
    if plug.nic:
        site.trunks.append(Trunk((up,), (down,), plug.chips))


def plug_rates(instance: Instance) -> list[list[float]]:
    """Bytes/s out of each child, for each chip or NIC that is plugged into the fabric."""
    topology, first, inner = instance.topology, instance.chips[0], instance.level.inner
    rates: list[list[float]] = [[] for _ in range(instance.level.children)]
    inside: dict[str, float] = {}
    child_of: dict[str, int] = {}
    for wire in instance.wires.values():
        chip = topology.chip_numbers.get(wire.source)
        if chip is None:
            continue
        child = (chip - first) // inner
        if topology.word_of(wire.target) == "nic":
            inside[wire.target] = inside.get(wire.target, 0.0) + wire.bytes_per_s
            child_of[wire.target] = child
        else:
            rates[child].append(wire.bytes_per_s)
    ups = {wire.source: wire.bytes_per_s for wire in instance.wires.values() if wire.source in inside and not wire.hop}
    for nic, reach in inside.items():
        rates[child_of[nic]].append(min(reach, ups[nic]))
    return rates


def nic_remarks(canvas: Canvas) -> list[str]:
    """That chips share NICs, where they do."""
    shape = canvas.level.shape
    if not shape.says(NICS):
        return []
    nics = shape.number(NICS, 1)
    return [f"through {nics} NIC{'s' if nics != 1 else ''} a node, which its {canvas.level.inner} chips share"]
