"""What the hardware is: chips, memories, links, topologies and the catalogue; units and errors.

This room knows nothing of ops, time or simulation. Front door: `load_chip("h100_sxm")`, `chip_names()`,
`parse_topology("ring(4)", chip.links)`, `System(chip, topology, Mesh({"X": 4}))`, `load_system("dgx_h100", nodes=16)`,
`Router(topology).route(0, 7)`. Its sub-packages are doors, too: `hw.input`, `hw.chips`, `hw.network`, `hw.systems`.
"""

from hw.chips import Chip, Host, Link, Memory, chip_names, load_chip
from hw.input import Dimension, Mark, Problem, Problems, RunError, SpecError
from hw.network import Axis, Level, Route, Router, Topology, Trunk, Wire, parse_topology
from hw.systems import Mesh, System, load_system, system_names

VERSION = "0.1.0"
"""The version of the package; results in a store carry it."""

__all__ = [
    "VERSION",
    # What is wrong with the input, and where.
    "Dimension",
    "Mark",
    "Problem",
    "Problems",
    "RunError",
    "SpecError",
    # Chips.
    "Chip",
    "Host",
    "Link",
    "Memory",
    "chip_names",
    "load_chip",
    # Networks.
    "Axis",
    "Level",
    "Route",
    "Router",
    "Topology",
    "Trunk",
    "Wire",
    "parse_topology",
    # Systems.
    "Mesh",
    "System",
    "load_system",
    "system_names",
]
