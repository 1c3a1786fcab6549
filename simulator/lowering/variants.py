"""The kernels of a graph as each sort of chip has them: bound with its part of every dim, and fused.

Alike chips have one sort. Unlike chips have as many kernels each, of the same names, with work and bytes of their own.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache

from hw import Chip, Mark, Problem, RunError, SpecError
from simulator.graph.shares import Held, largest, whole_units
from simulator.graph.split import Able, Split, split_of
from simulator.lowering.planning.plan import Plan
from simulator.lowering.resources import SystemResources
from simulator.measured import costs_of
from simulator.passes.bound_graph import bind_as_written, bind_checked
from simulator.passes.dispatch import dispatched
from simulator.passes.fusion import FusionError, fused
from simulator.passes.holding import held_by
from simulator.passes.kernels import Kernels
from simulator.passes.parts import own_cuts

FUSE = "fuse"
"""The file of a mark that points at a group of `fuse`."""


def variants_of(plan: Plan) -> tuple[Split, list[Kernels]]:
    """How dims are cut on unlike chips, and the kernels of each variant: as many, of the same names."""
    system, graph = plan.system, plan.graph
    resources = SystemResources(system, plan.options, plan.program)
    even = bind_as_written(graph, system)

    @cache
    def held(axis: str) -> list[Held]:
        return held_by(_fused(even, plan), graph, system, axis)

    def alone_s(chip: Chip) -> float:
        kernels = [kernel for kernel in even if kernel.communication is None]
        needs = (resources.kernel_seconds(kernel, (1.0,) * len(kernel.reads), chip) for kernel in kernels)
        return sum(max(need.values(), default=0.0) for need in needs)

    def most(axis: str, chip: Chip) -> Fraction | None:
        part = largest(held(axis), chip.hbm.capacity_bytes)
        return whole_units(part, graph, axis) if part is not None else None

    split = split_of(graph, system, Able(alone_s, most), own_cuts(graph))
    cuts = {id(cut): cut for cut in split.cuts}
    made = {key: _issued(bind_checked(graph, system, cut) if cut else even, plan) for key, cut in cuts.items()}
    variants = [made[id(cut)] for cut in split.cuts]
    if not all(_of_the_same_names(each, variants[0]) for each in made.values()):
        raise RunError("the parts of unlike chips fuse differently; name the groups in fuse:, or split equally")
    return split, variants


def _of_the_same_names(one: Kernels, other: Kernels) -> bool:
    """Whether kernels are as many, and of the same names; those that make the same in the same order are."""
    if one is other or (one.made_at == other.made_at and one.makes == other.makes):
        return True
    return [kernel.name for kernel in one] == [kernel.name for kernel in other]


def _issued(kernels: Kernels, plan: Plan) -> Kernels:
    """Fused, and each kernel issued by the host, where that takes time. Hosts of unlike chips are taken for the slowest."""
    made, options = _fused(kernels, plan), plan.options
    if not options.by_host:
        return made
    recorded = any("backward" in kernel.kind for kernel in made.templates)
    costs = [costs_of(options, chip, recorded) for chip in plan.system.kinds]
    return dispatched(made, plan.system, lambda kernel: max(cost(kernel) for cost in costs))


def _fused(kernels: Kernels, plan: Plan) -> Kernels:
    try:
        return fused(kernels, plan.graph.fuse, plan.system, plan.options.tile_level)
    except FusionError as error:
        # the line is the number of the group, for whoever knows where that was written
        raise SpecError([Problem(Mark(FUSE, error.group + 1), str(error))]) from None
