"""One switch that joins all chips, or the NICs that they share.

Model: it is non-blocking; a chip takes part with all its ports together. The narrower half can send what its narrowest
children can.
"""

from __future__ import annotations

from hw.network.bisection import CLOSED_FORM, Bisection
from hw.network.routes import TreeRoutes
from hw.network.shape import WiringShape
from hw.network.wirings.base import REDUCTION, Wiring
from hw.network.wirings.canvas import WIDTH, Canvas, Drawn, hanging
from hw.network.wirings.instance import Instance
from hw.network.wirings.plugs import NICS, nic_remarks, plug_in, plug_rates, plugs_of
from hw.network.wirings.site import Site


def _build(site: Site, shape: WiringShape) -> None:
    switch = site.node("switch")
    for plugs in plugs_of(site, shape):
        for plug in plugs:
            plug_in(site, plug, switch)


def one_switch_facts(instance: Instance) -> tuple[int, Bisection]:
    """What the narrower half can send: of all halves the one of the narrowest children."""
    children = instance.level.children
    rates = sorted(sum(child) for child in plug_rates(instance))
    return min(1, children - 1), Bisection(sum(rates[: children // 2]), "exact", CLOSED_FORM)


def _picture(canvas: Canvas) -> Drawn:
    return hanging(canvas.labels(range(canvas.level.children), WIDTH - 4), "switch"), nic_remarks(canvas)


SWITCH = Wiring(
    name="switch",
    options=(NICS, REDUCTION),
    build=_build,
    shared=lambda _shape: True,
    fabric=True,
    any_places=True,
    search=TreeRoutes,
    facts=one_switch_facts,
    picture=_picture,
)
