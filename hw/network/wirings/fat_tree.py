"""Leaf switches under one spine or several; with rails, one such tree for each place in a node.

Model: `leaf` children hang from each leaf switch; the uplinks of a leaf carry together what its downlinks do, divided by
`oversubscription`. One spine means that the uplinks are one trunk (perfect spraying); with `spines=s` each leaf has a
wire of 1/s of that to each. `rails=yes`: chips (or NICs) of like place in each child have leaves and spines of their own,
so that a message to another place first goes inside its node. A single leaf needs no spine.
Facts: the narrowest assignment of leaves to halves.
Source: Leiserson, "Fat-Trees", 1985; NVIDIA DGX SuperPOD reference architecture, 2023 (rails).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from hw.network.bisection import Bisection
from hw.network.routes import TreeRoutes
from hw.network.shape import WiringShape
from hw.network.topology import Trunk
from hw.network.wirings.base import REDUCTION, Wiring
from hw.network.wirings.canvas import GAP, WIDTH, Canvas, Drawn, box, chosen, hanging
from hw.network.wirings.instance import Instance
from hw.network.wirings.plugs import NICS, Plug, nic_remarks, plug_in, plug_rates, plugs_of
from hw.network.wirings.site import Site
from hw.network.wirings.switch import one_switch_facts

_LEAF, _SPINES, _RATIO, _RAILS = "leaf", "spines", "oversubscription", "rails"


# How it is built


def _railed(shape: WiringShape) -> bool:
    return shape.flag(_RAILS, False)


def _build(site: Site, shape: WiringShape) -> None:
    children = plugs_of(site, shape)
    if not _railed(shape):
        _build_tree(site, shape, children, "")
        return
    for rail, plugs in enumerate(zip(*children, strict=True)):
        _build_tree(site, shape, [[plug] for plug in plugs], f"rail{rail}.")


def _build_tree(site: Site, shape: WiringShape, children: Sequence[Sequence[Plug]], inside: str) -> None:
    wide = min(shape.number(_LEAF, len(children)), len(children))
    for number, start in enumerate(range(0, len(children), wide)):
        plugs = [plug for child in children[start : start + wide] for plug in child]
        leaf = site.node("leaf", number, inside)
        for plug in plugs:
            plug_in(site, plug, leaf)
        if wide < len(children):
            _uplinks(site, shape, (leaf, plugs), inside)


def _uplinks(site: Site, shape: WiringShape, under: tuple[str, Sequence[Plug]], inside: str) -> None:
    """The wires between a leaf and the spines."""
    spines, ratio = shape.number(_SPINES, 1), shape.ratio(_RATIO, 1.0)
    leaf, plugs = under
    rate = sum(plug.bytes_per_s for plug in plugs) / ratio / spines
    link = max((plug.link for plug in plugs), key=lambda each: each.latency_s)
    tops = [site.node("spine", at if spines > 1 else None, inside) for at in range(spines)]
    up = tuple([site.wire(leaf, top, rate, link) for top in tops])
    down = tuple([site.wire(top, leaf, rate) for top in tops])
    site.trunks.append(Trunk(up, down, tuple(chip for plug in plugs for chip in plug.chips)))


# Facts


def _facts(instance: Instance) -> tuple[int, Bisection]:
    """By leaves: with the spine on one side, a leaf with s children on the other costs the lesser of their wires and its
    uplinks; that is concave in s, so the narrowest cut takes whole leaves and one part of a leaf."""
    leaves, plugs = _leaves(instance), plug_rates(instance)
    shared, children = instance.level.shared, instance.level.children
    rails = 1 if shared else len(plugs[0])
    rate = min(sum(child) if shared else min(child) for child in plugs)
    if not leaves:
        if shared or instance.alike:
            return one_switch_facts(instance)
        return min(1, children - 1), instance.cut(children // 2 * rate * rails)
    slowest: dict[int, float] = {}
    for leaf in leaves:
        uplink = sum(instance.topology.wires[wire].bytes_per_s for wire in leaf.up)
        slowest[_width(instance, leaf)] = min(uplink, slowest.get(_width(instance, leaf), math.inf))
    # rails are laid one after the other
    widths = [_width(instance, leaf) for leaf in leaves[: len(leaves) // rails]]
    return 2, instance.cut(tree_cut(widths, [slowest[width] for width in widths], rate) * rails)


def _width(instance: Instance, leaf: Trunk) -> int:
    """The children of a leaf."""
    return len({chip // instance.level.inner for chip in leaf.chips})


def _leaves(instance: Instance) -> list[Trunk]:
    """The leaves with uplinks."""
    topology = instance.topology
    found = []
    for trunk in topology.trunks(instance.number):
        first = trunk.up[0]
        if first in instance.wires and topology.word_of(topology.wires[first].source) == "leaf":
            found.append(trunk)
    return found


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


# The picture


def _picture(canvas: Canvas) -> Drawn:
    level = canvas.level
    wide = min(level.shape.number(_LEAF, level.children), level.children)
    starts = list(range(0, level.children, wide))
    remarks = _remarks(canvas, len(starts))
    if len(starts) == 1:
        return hanging(canvas.labels(range(level.children), WIDTH - 4), "leaf"), remarks
    shown = chosen(len(starts), max(2, WIDTH // (3 * canvas.widest + 12)))
    room = WIDTH // sum(at is not None for at in shown) - 6
    blocks = []
    for at in shown:
        if at is None:
            blocks.append(["", f" {GAP} "])
        else:
            children = range(starts[at], min(starts[at] + wide, level.children))
            blocks.append(hanging(canvas.labels(children, room), f"leaf{at}"))
    return _under_spine(blocks, level.shape.number(_SPINES, 1)), remarks


def _under_spine(blocks: Sequence[Sequence[str]], spines: int) -> list[str]:
    """Leaves side by side below the spines."""
    widths = [max(map(len, block)) for block in blocks]
    height = max(map(len, blocks))
    rows = []
    for row in range(height):
        cells = [block[row] if row < len(block) else "" for block in blocks]
        rows.append("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)))
    room = len(rows[0])
    top, first, place = ["─"] * room, list(rows[0]), 0
    for block, width in zip(blocks, widths, strict=True):
        if block[0]:
            top[place + width // 2], first[place + width // 2] = "┬", "┴"
        place += width + 2
    name = "spine" if spines == 1 else f"{spines} spines"
    lines = [*box(name, room - 2), f"└{''.join(top[1:-1])}┘", "".join(first), *rows[1:]]
    return [line.rstrip() for line in lines]


def _remarks(canvas: Canvas, leaves: int) -> list[str]:
    level, remarks = canvas.level, list[str]()
    ratio = level.shape.text(_RATIO) or "1"
    if leaves > 1:
        part = "as much as its downlinks" if ratio == "1" else f"its downlinks' bandwidth / {ratio}"
        remarks.append(f"{leaves} leaves; the uplinks of each carry together {part}")
    if not level.shared:
        rails = level.shape.number(NICS, level.inner)
        remarks.append(f"{rails} rails: one such tree for each place in a node")
    return [*remarks, *nic_remarks(canvas)]


FAT_TREE = Wiring(
    name="fat_tree",
    options=(_LEAF, _RATIO, _SPINES, _RAILS, NICS, REDUCTION),
    build=_build,
    shared=lambda shape: not _railed(shape),
    fabric=True,
    any_places=True,
    search=TreeRoutes,
    facts=_facts,
    picture=_picture,
)
