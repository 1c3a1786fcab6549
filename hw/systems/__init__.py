"""Systems: chips on a network under a mesh, by hand, by name or by file.

`System(chip, topology, Mesh({"X": 4}))` makes one by hand; `load_system("dgx_h100", nodes=16)` gives a shipped one.
"""

from hw.systems.build import Built, SystemBuilder
from hw.systems.laying import fitted, mesh_problems
from hw.systems.mesh import Mesh, group_problems
from hw.systems.shipped import folder_of, is_shipped, load_system, system_document, system_file, system_names
from hw.systems.spec import SystemFile, SystemSpec, chip_reference, counted_chip
from hw.systems.system import System

__all__ = [
    # What a system is.
    "Mesh",
    "System",
    "fitted",
    "group_problems",
    "mesh_problems",
    # Shipped ones.
    "folder_of",
    "is_shipped",
    "load_system",
    "system_document",
    "system_file",
    "system_names",
    # How they are described.
    "Built",
    "SystemBuilder",
    "SystemFile",
    "SystemSpec",
    "chip_reference",
    "counted_chip",
]
