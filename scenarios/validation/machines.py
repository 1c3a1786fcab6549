"""Machines as rows of tables name them: the chip, and how so many of them are wired.

Model: makers' words say nothing (`NVIDIA`, `DGX-`, `HGX`), nor do a memory's size and a socket behind a GPU that has one of
each (`H100-80GB-SXM`). Chips of a node, or of a rack, have one switch; more of them come as nodes of eight, and racks of 72
as few racks as hold them with as many in each, as jobs are laid on them (256 as four times 64).
Assumes: of two cards of one name that of a module (SXM), of the A100 that with 80 GB.
Source: NVIDIA data sheets of DGX A100, H100, H200, B200, B300, GB200 NVL72 and GB300 NVL72; AMD's of the MI300X.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

from hw import Mesh, System, load_chip, load_system, parse_topology
from scenarios.validation.left_out import LeftOutError

NODE = 8
"""Chips of a node."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A chip of the catalogue, the system of its nodes, how many have one switch, and what it has that the catalogue's has
    not."""

    chip: str
    system: str
    together: int = NODE
    otherwise: tuple[tuple[str, str], ...] = ()


_CAPPED = (("hbm.capacity", "96 GB"), ("hbm.bandwidth", "2.4 TB/s"), ("power", "500 W"))

MACHINES: Mapping[str, Machine] = {
    "a100": Machine("a100_80gb_sxm", "dgx_a100"),
    "a100 80gb": Machine("a100_80gb_sxm", "dgx_a100"),
    "a100 40gb": Machine("a100_40gb_sxm", "dgx_a100"),
    "h100": Machine("h100_sxm", "dgx_h100"),
    "h100 80gb": Machine("h100_sxm", "dgx_h100"),
    "h100 96gb hbm2e 500w": Machine("h100_sxm", "dgx_h100", otherwise=_CAPPED),
    "h200": Machine("h200", "dgx_h200"),
    "h800": Machine("h800", "dgx_h100"),
    "b200": Machine("b200", "dgx_b200"),
    "b300": Machine("b300", "dgx_b300"),
    "gb200": Machine("gb200", "gb200_nvl72", together=72),
    "gb300": Machine("gb300", "gb300_nvl72", together=72),
    "mi300x": Machine("mi300x", "mi300x_node"),
}
"""Machines by what is left of their names."""

_SAY_NOTHING = frozenset(("nvidia", "amd", "instinct", "dgx", "hgx", "sxm", "sxm4", "sxm5", "sxm6", "nvl72"))


def machine_called(name: str) -> Machine | None:
    """The machine that a row names; None for one that is not known."""
    words = [word for word in re.split(r"[\s_-]+", name.lower()) if word not in _SAY_NOTHING]
    return MACHINES.get(" ".join(words))


def together(machine: Machine, count: int) -> int:
    """How many of so many chips have one switch: all of a few, else as many in each of the fewest groups that can be."""
    if count <= machine.together:
        return count
    groups = -(-count // machine.together)
    if machine.together == NODE:
        return NODE
    while count % groups:
        groups += 1
    return count // groups


@cache
def machine_system(machine: Machine, count: int, attention_like: str = "") -> System:
    """So many chips. `attention_like`: whose fused attention a library runs on them. Raises LeftOutError for a number that
    fills no nodes."""
    # libraries of CUDA run on GPUs that have NVLink
    brought = attention_like and "nvlink" in load_chip(machine.chip).links
    attention = {"calibration.measured.attention_like": attention_like} if brought else {}
    chip = load_chip(machine.chip, set={**dict(machine.otherwise), **attention})
    if count == 1:
        return System(chip)
    each = together(machine, count)
    if count % each:
        raise LeftOutError(f"its chips are no multiple of {each}")
    found = load_system(machine.system, nodes=count // each)
    if found.topology is None or (chip.links == found.chip.links and each == machine.together):
        return replace(found, chip=chip)
    # a chip with other links than that of the node (an H800) is wired alike, at its own rates; of a rack a part is used
    levels = [level.text for level in found.topology.levels]
    levels[0] = levels[0].replace(f"({machine.together})", f"({each})", 1)
    topology = parse_topology(levels[0] if count == each else levels, chip.links)
    if each == machine.together:
        return replace(found, chip=chip, topology=topology)
    return System(chip, topology, Mesh({"X": count}))
