"""A dragonfly: the routers of a group, and the groups, joined each by each; every link is as wide as a chip's.

Model: minimal form, one global link for each pair of groups, spread over the routers of a group.
Source: Kim et al., "Technology-Driven, Highly-Scalable Dragonfly Topology", 2008.
"""

from __future__ import annotations

from hw.network.shape import WiringShape
from hw.network.wirings.base import Wiring, each_with_each
from hw.network.wirings.canvas import GAP, ROWS, Canvas, Drawn, chosen
from hw.network.wirings.plugs import chip_plug, plug_in
from hw.network.wirings.site import Site


def _build(site: Site, shape: WiringShape) -> None:
    groups, routers, places = shape.sizes
    link = max((site.link_of(chip) for chip in site.chips), key=lambda each: each.latency_s)
    rate = min(site.egress(chip) for chip in site.chips)
    names = [[site.node("router", router, f"group{group}.") for router in range(routers)] for group in range(groups)]

    def join(here: str, there: str) -> None:
        site.wire(here, there, rate, link)
        site.wire(there, here, rate, link)

    for number, child in enumerate(site.children()):
        group, router = divmod(number // places, routers)
        for chip in child:
            plug_in(site, chip_plug(site, chip), names[group][router])
    for group in range(groups):
        for router in range(routers):
            for other in range(router + 1, routers):
                join(names[group][router], names[group][other])
        for ahead in range(1, groups - group):
            # the group that is `ahead` groups on is at router (ahead - 1) mod routers here, and sees us groups - ahead on
            here, there = (ahead - 1) % routers, (groups - ahead - 1) % routers
            join(names[group][here], names[group + ahead][there])


def _picture(canvas: Canvas) -> Drawn:
    """A line for each group with its routers."""
    level = canvas.level
    wide = 2 * len(str(level.children * level.inner - 1)) + 1
    groups, routers, places = level.shape.sizes
    per_router = places * level.inner
    lines = []
    for group in chosen(groups, ROWS):
        if group is None:
            lines.append("  ⋮")
            continue
        cells = []
        for router in chosen(routers, 3):
            first = 0 if router is None else (group * routers + router) * per_router
            span = f"{first}-{first + per_router - 1}" if per_router > 1 else str(first)
            cells.append(GAP if router is None else f"router{router} {span.center(wide)}")
        lines.append(f"{f'group{group}':<9}┃ " + " ━ ".join(cells) + " ┃")
    return lines, ["routers of a group are joined each to each, and groups by one link a pair"]


DRAGONFLY = Wiring(
    name="dragonfly",
    example="(groups,routers,chips)",
    sizes=(3, 3),
    build=_build,
    shared=lambda _shape: True,
    pairs=lambda shape: shape.sizes[0] * each_with_each(shape.sizes[1]) + each_with_each(shape.sizes[0]),
    picture=_picture,
)
