"""The kernels of a graph as each sort of chip has them: bound with its part of every dim, and fused.

Alike chips have one sort. Unlike chips have as many kernels each, of the same names, with work and bytes of their own.
"""

from __future__ import annotations

from fractions import Fraction

from hw import Chip, Mark, Problem, RunError, SpecError, System
from simulator.binding import bind
from simulator.fusion import FusionError, fuse
from simulator.graph import OpGraph
from simulator.holding import held_by
from simulator.kernel import Kernel
from simulator.parts import own_cuts
from simulator.plan import Plan
from simulator.resources import SystemResources
from simulator.shares import largest, whole_units
from simulator.split import Able, Cut, Split, split_of

FUSE = "fuse"
"""The file of a mark that points at a group of `fuse`."""


def variants_of(plan: Plan) -> tuple[Split, list[list[Kernel]]]:
    """How dims are cut on unlike chips, and the kernels of each variant: as many, of the same names."""
    system, graph = plan.system, plan.graph
    resources = SystemResources(system, plan.options, plan.program)

    def alone_s(chip: Chip) -> float:
        kernels = [kernel for kernel in bind(graph, system) if kernel.communication is None]
        needs = (resources.kernel_seconds(kernel, (1.0,) * len(kernel.reads), chip) for kernel in kernels)
        return sum(max(need.values(), default=0.0) for need in needs)

    def most(axis: str, chip: Chip) -> Fraction | None:
        kernels = _kernels(graph, system, None, plan.options.tile_level)
        part = largest(held_by(kernels, graph, system, axis), chip.hbm.capacity_bytes)
        return whole_units(part, graph, axis) if part is not None else None

    split = split_of(graph, system, Able(alone_s, most), own_cuts(graph))
    cuts = {id(cut): cut for cut in split.cuts}
    made = {key: _kernels(graph, system, cut, plan.options.tile_level) for key, cut in cuts.items()}
    variants = [made[id(cut)] for cut in split.cuts]
    if any([kernel.name for kernel in each] != [kernel.name for kernel in variants[0]] for each in variants):
        raise RunError("the parts of unlike chips fuse differently; name the groups in fuse:, or split equally")
    return split, variants


def _kernels(graph: OpGraph, system: System, cut: Cut | None, level: str) -> list[Kernel]:
    try:
        return fuse(bind(graph, system, cut), graph.fuse, system, level)
    except FusionError as error:
        # the line is the number of the group, for whoever knows where that was written
        raise SpecError([Problem(Mark(FUSE, error.group + 1), str(error))]) from None
