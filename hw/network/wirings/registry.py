"""All wirings by name: the one table that knows which there are."""

from __future__ import annotations

from hw.input import need_function, need_name
from hw.network.wirings.base import Wiring
from hw.network.wirings.custom import GRAPH, ROUTED
from hw.network.wirings.dragonfly import DRAGONFLY
from hw.network.wirings.fat_tree import FAT_TREE
from hw.network.wirings.full import FULL
from hw.network.wirings.lattices import GRID, LINE, ONE_WAY_RING, RING, TORUS
from hw.network.wirings.switch import SWITCH

WIRINGS: dict[str, Wiring] = {}
"""The wirings by name, in the order in which they are listed to a user."""


def add_wiring(wiring: Wiring) -> Wiring:
    """Add a wiring. Raises ValueError for a name that is taken or is none, and for a `build` that cannot be called with a
    site and a shape."""
    need_name(wiring.name, "wiring")
    need_function(wiring.build, ("a site", "a shape"), f"`build` of wiring '{wiring.name}'")
    if wiring.name in WIRINGS:
        raise ValueError(f"wiring '{wiring.name}' is there already; known: {', '.join(sorted(WIRINGS))}")
    WIRINGS[wiring.name] = wiring
    return wiring


def written_wirings() -> dict[str, Wiring]:
    """The wirings that can be written as text; the others are only found in graphs."""
    return {name: wiring for name, wiring in WIRINGS.items() if wiring.example}


for _wiring in (LINE, RING, TORUS, GRID, FULL, SWITCH, FAT_TREE, DRAGONFLY, GRAPH, ONE_WAY_RING, ROUTED):
    add_wiring(_wiring)
