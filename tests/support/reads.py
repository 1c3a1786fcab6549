"""What a chip reads of the tensors of one op on a mesh, whatever is inserted before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from simulator import Kernel, bind, parse_graph, plan_sharding
from tests.support.planning import bytes_cost, system_of

DIMS = {"B": 8, "H": 32, "K": 8, "S": 64, "T": 64, "D": 16, "E": 16, "N": 8, "C": 16, "O": 32, "F": 64, "V": 1024}


def kernels(
    line: str, mesh: Mapping[str, int], mode: str = "canonical", dims: Mapping[str, int] = DIMS
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
