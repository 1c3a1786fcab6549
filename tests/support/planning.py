"""Material of the planner's tests: a system with two axes, a simple cost, and a planned graph that must need nothing more.

Assumes: the cost is bytes over a link, HBM and FLOPs at round rates and a microsecond a collective; what it is does not
matter to the laws.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from hw import Mesh, Problems, System, load_chip
from simulator import Kernel, Op, OpGraph, Sharding, bind, bind_op, check_graph, parse_graph, plan_sharding, print_items
from tests.support.strategies import many

DIMS = {"B": 64, "D": 128, "F": 256, "H": 32, "T": 16, "S": 16, "K": 64, "V": 1024, "P": 10}
SMALL_DIMS = {"B": 8, "H": 32, "K": 8, "S": 64, "T": 64, "D": 16, "E": 16, "N": 8, "C": 16, "O": 32, "F": 64, "V": 1024}
XY = many("switch(8)", {"X": 2, "Y": 4}, "h100_sxm")
MODES: tuple[Sharding, ...] = ("canonical", "auto")


def system_of(mesh: Mapping[str, int]) -> System:
    chips = math.prod(mesh.values())
    return many(f"switch({chips})", mesh, "h100_sxm") if chips > 1 else System(load_chip("h100_sxm"), None, Mesh(mesh))


def bytes_cost(graph: OpGraph, system: System) -> Callable[[Op], float]:
    """A simple cost: bytes over a link, HBM and FLOPs at round rates, a microsecond a collective."""

    def cost(op: Op) -> float:
        seconds = 0.0
        for kernel in bind_op(op, graph, system):
            seconds += kernel.flops / 1e14 + kernel.hbm_bytes / 1e12
            sent = kernel.communication
            if sent is not None:
                chips = system.mesh.extent(sent.axes)
                factor = {"all_to_all": 1 / chips, "all_reduce": 2.0}.get(sent.kind, 1.0)
                seconds += 1e-6 + factor * sent.nbytes * (chips - 1) / chips / 1e11
        return seconds

    return cost


def planned(graph: OpGraph, system: System = XY, mode: Sharding = "canonical") -> OpGraph:
    """The planned graph, which must need nothing more."""
    cost = bytes_cost(graph, system)
    made = plan_sharding(graph, system, mode, cost)
    assert plan_sharding(made, system, mode, cost) is made
    assert plan_sharding(made, system, "written") is made
    assert bind(made, system)
    assert parse_graph(print_items(made.items), graph.dims).items == made.items
    return made


def lines_of(
    *lines: Any, mode: Sharding = "canonical", system: System = XY, dims: Mapping[str, int] = DIMS
) -> list[Any]:
    return print_items(planned(parse_graph(lines, dims), system, mode).items)


def unsharded(graph: OpGraph) -> OpGraph:
    """The same program for one chip."""

    def bare(items: Sequence[Any]) -> list[Any]:
        return [{**item, "ops": bare(item["ops"])} if isinstance(item, dict) else _without_axes(item) for item in items]

    return parse_graph(bare(print_items(graph.items)), graph.dims)


def _without_axes(line: str) -> str:
    return re.sub(r"(?<=[A-Z])_[A-Z]+", "", re.sub(r"\{U_[A-Z]+\}", "", line))


def problems_of(*lines: str, sharding: str = "canonical", uneven: Any = "refuse") -> list[str]:
    problems = Problems()
    graph = parse_graph(lines, DIMS)
    check_graph(OpGraph(graph.dims, graph.items, uneven=uneven), XY, problems, sharding=sharding)
    return [str(problem) for problem in problems.found]


# What a chip reads of the tensors of one op on a mesh, whatever is inserted before it


def kernels(
    line: str, mesh: Mapping[str, int], mode: str = "canonical", dims: Mapping[str, int] = SMALL_DIMS
) -> list[Kernel]:
    """The kernels of one op on a mesh, with whatever is inserted."""
    system, graph = system_of(mesh), parse_graph([line], dims)
    return bind(plan_sharding(graph, system, mode, bytes_cost(graph, system)), system)  # type: ignore[arg-type]


def blocks(size: int, parts: int) -> Iterator[range]:
    """A dim in equal parts."""
    yield from (range(at * size // parts, (at + 1) * size // parts) for at in range(parts))


def read_of(kernel: Kernel, tensor: str) -> float:
    """Bytes that a kernel reads of a tensor."""
    return sum(access.nbytes for access in kernel.reads if access.tensor == tensor)
