"""The kernels of a graph on a system, as columns: of its even parts, and of those of unlike chips.

Model: a graph is checked as a whole, then each form of op is bound once and stamped for all ops of that form
(`simulator.passes.stamping`). That the ops of a sound graph can be bound shows as they are bound; only where something is
wrong are all of them bound to be checked as well, since every problem is to be told.
"""

from __future__ import annotations

from hw import Mark, Problems, SpecError, System
from hw.systems import group_problems, mesh_problems
from simulator.graph.items import Op, Tensor
from simulator.graph.op_graph import OpGraph
from simulator.graph.split import Cut, split_problems
from simulator.ops.kernel import Kernel
from simulator.ops.registry import ShapeError
from simulator.passes.binding import bind_op, tensor_bytes
from simulator.passes.checks import Known, chip_findings
from simulator.passes.kernels import Kernels
from simulator.passes.parts import even_cut
from simulator.passes.soundness import check_graph
from simulator.passes.stamping.stamps import Stamps


def bind(graph: OpGraph, system: System, cut: Cut | None = None) -> list[Kernel]:
    """All kernels of a graph as it stands, in program order, blocks unrolled. Raises SpecError with every problem: also
    for what `simulator.passes.planner` would insert."""
    kernels = bind_as_written(graph, system)
    return list(bind_checked(graph, system, cut) if cut else kernels)


def bind_as_written(graph: OpGraph, system: System) -> Kernels:
    """The kernels of a graph for which nothing will be inserted, as columns, of a chip with the even part of every dim.
    Raises SpecError with every problem.

    That the ops of a sound graph can be bound shows as they are, so each form is bound once. Only where something is wrong
    are ops bound to be checked as well, since every problem is to be told.
    """
    wrong = _problems_as_written(graph, system, Known(binds=True))
    if not wrong.found:
        kernels = _stamped(graph, system, even_cut(graph, system), wrong)
        if not wrong.found:
            return kernels
    _problems_as_written(graph, system, Known()).raise_if_any()
    raise SpecError(wrong.found)


def _problems_as_written(graph: OpGraph, system: System, known: Known) -> Problems:
    """Every problem of a graph for which nothing will be inserted."""
    problems = Problems()
    for _, message in mesh_problems(system.mesh.axes, system.topology):
        problems.add(Mark("mesh"), message)
    for name, _, message in group_problems(system.mesh, system.size):
        problems.add(Mark(f"groups.{name}"), message)
    for _, message in split_problems(graph, system):
        problems.add(Mark("split"), message)
    if not problems.found:
        check_graph(graph, system, problems, known, sharding="written")
    return problems


def bind_checked(graph: OpGraph, system: System, cut: Cut) -> Kernels:
    """The kernels, as columns, of a chip with its part of every dim, of a graph in which `bind_as_written` found nothing.
    Raises SpecError where the shapes of this part do not fit."""
    problems = Problems()
    kernels = _stamped(graph, system, cut, problems)
    problems.raise_if_any()
    return kernels


def _stamped(graph: OpGraph, system: System, cut: Cut, problems: Problems) -> Kernels:
    """The kernels of a graph; ops whose shapes do not fit, or for which chips lack something, are added to the problems."""

    def bound(op: Op) -> list[Kernel]:
        kernels = bind_op(op, graph, system, cut)
        for part, message in chip_findings(kernels, system):
            raise ShapeError(message, part)
        return kernels

    def failed(op: Op, error: ShapeError) -> None:
        problems.add(op.source.at(error.part), str(error))

    def nbytes(tensor: Tensor) -> float:
        return tensor_bytes(tensor, graph, system, cut)

    return Stamps(graph.unrolled, bound, failed, nbytes).kernels
