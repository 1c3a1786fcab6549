"""The wirings: lattices, full meshes, switches, trees, dragonflies and whatever is added, each one object in one table.

`WIRINGS["torus"]` is all that is known of tori; `add_wiring(Wiring(name="chords", build=...))` adds one.
"""

from hw.network.wirings.base import Wiring
from hw.network.wirings.canvas import Canvas
from hw.network.wirings.instance import Instance
from hw.network.wirings.registry import WIRINGS, add_wiring, written_wirings
from hw.network.wirings.site import Site

__all__ = [
    # The table.
    "WIRINGS",
    "Wiring",
    "add_wiring",
    "written_wirings",
    # What the functions of a wiring are given.
    "Canvas",
    "Instance",
    "Site",
]
