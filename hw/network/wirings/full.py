"""A full mesh: each chip joined to each of the others.

Model: a chip's ports are shared out evenly over its neighbours. A message takes the one link to where it goes. Between
halves go as many links as there are pairs with an end in either.
"""

from __future__ import annotations

from hw.network.axes import Axis
from hw.network.bisection import Bisection
from hw.network.routes import Path
from hw.network.shape import WiringShape
from hw.network.topology import Topology
from hw.network.wirings.base import Wiring, each_with_each
from hw.network.wirings.canvas import GAP, WIDTH, Canvas, Drawn, chosen
from hw.network.wirings.instance import Instance
from hw.network.wirings.site import Site


def _build(site: Site, _shape: WiringShape) -> None:
    for chips in site.alike():
        for at, here in enumerate(chips):
            for there in chips[at + 1 :]:
                ports = min(site.ports_of(site.link_of(here)), site.ports_of(site.link_of(there)))
                site.join(here, there, ports / (len(chips) - 1))


def _straight(topology: Topology, _axis: Axis, ends: tuple[int, int]) -> list[Path]:
    return [topology.between(f"chip{ends[0]}", f"chip{ends[1]}")[:1]]


def _facts(instance: Instance) -> tuple[int, Bisection]:
    children = instance.level.children
    pairs = (children // 2) * ((children + 1) // 2)
    return min(1, children - 1), instance.cut(pairs * instance.level.inner * instance.slowest)


def _picture(canvas: Canvas) -> Drawn:
    """A table of who is joined to whom."""
    count = canvas.level.children
    room = min(9, (WIDTH - 8) // (canvas.widest + 3))
    labels = [GAP if at is None else canvas.label(at) for at in chosen(count, room)]
    wide = max(len(label) for label in labels)
    lines = [" " * (wide + 1) + " ".join(label.rjust(wide) for label in labels)]
    for row, label in enumerate(labels):
        marks = ["·" if row == at else "━" if GAP not in (label, other) else " " for at, other in enumerate(labels)]
        lines.append(f"{label.rjust(wide)} " + " ".join(mark.rjust(wide) for mark in marks))
    return lines, [f"each joined to each of the others ({each_with_each(count)} links)"]


FULL = Wiring(
    name="full",
    build=_build,
    pairs=lambda shape: each_with_each(shape.count),
    any_places=True,
    ways=_straight,
    facts=_facts,
    picture=_picture,
)
