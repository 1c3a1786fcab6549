"""What the hardware is: chips, memories, links, topologies and the catalogue; units and errors.

This room knows nothing of ops, time or simulation. Front door: `load_chip("h100_sxm")`, `chip_names()`,
`parse_topology("ring(4)", chip.links)`, `System(chip, topology, Mesh({"X": 4}))`, `load_system("dgx_h100", nodes=16)`,
`Router(topology).route(0, 7)`.
"""

from hw.catalog import chip_names, load_chip
from hw.chip import Chip, Link
from hw.errors import Mark, Problem, Problems, RunError, SpecError
from hw.host import Host
from hw.memory import Memory
from hw.routing import Route, Router
from hw.system import Mesh, System
from hw.systems import load_system, system_names
from hw.topology import Axis, Level, Topology, Trunk, Wire
from hw.topology_text import parse_topology
from hw.units import Dimension

VERSION = "0.1.0"

__all__ = [
    "VERSION",
    "Axis",
    "Chip",
    "Dimension",
    "Host",
    "Level",
    "Link",
    "Mark",
    "Memory",
    "Mesh",
    "Problem",
    "Problems",
    "Route",
    "Router",
    "RunError",
    "SpecError",
    "System",
    "Topology",
    "Trunk",
    "Wire",
    "chip_names",
    "load_chip",
    "load_system",
    "parse_topology",
    "system_names",
]
