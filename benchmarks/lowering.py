"""What lowering and the words cost, by distinct kernel, by further round of a block, by further chip alike.

Model: the same work with more and with less of one thing; the difference of the CPU times over that of the counts is
what one more costs. Best of three each. The engine's own part (two to three microseconds a task) is inside, parsing is not.
"""

from __future__ import annotations

from collections.abc import Callable

from analysis import Summary, op_figures
from benchmarks.core import cpu_s
from benchmarks.table import Figure, Figures
from hw import Mesh, System, load_chip, parse_topology
from simulator import OpGraph, RunOptions, parse_graph, simulate

FEW, MANY = 400, 1_600


def words(graph: OpGraph, system: System) -> None:
    """A run in every word that `overlapse run --json` has."""
    result = simulate(graph, system, RunOptions(overlap="full"))
    summary = Summary(result.plan, lambda: result)
    summary.as_dict()
    op_figures(result)


def distinct(kernels: int) -> tuple[OpGraph, System]:
    """So many matmuls on one chip, no two of one size."""
    lines = [
        f"y{at + 1}:bf16[B,{at + 65}] = matmul(y{at}:bf16[B,{at + 64}], w{at}:bf16[{at + 64},{at + 65}])"
        for at in range(kernels)
    ]
    return parse_graph(lines, {"B": 256}), System(load_chip("h100_sxm"))


def rounds(count: int) -> tuple[OpGraph, System]:
    """One matmul repeated."""
    block = {"repeat": count, "carry": {"x": "y"}, "ops": ["y:bf16[B,D] = matmul(x, w:bf16[D,D])"]}
    return parse_graph(["x:bf16[B,D] = relu(xx:bf16[B,D])", block], {"B": 256, "D": 256}), System(load_chip("h100_sxm"))


def chips(count: int) -> tuple[OpGraph, System]:
    """A sharded matmul and its all-reduce, on a switch of alike chips."""
    chip = load_chip("h100_sxm")
    lines = [
        "y:bf16[B,F]{U_X} = matmul(x:bf16[B,D_X], w:bf16[D_X,F])",
        "z:bf16[B,F] = all_reduce(y, over=X)",
    ]
    system = System(chip, parse_topology(f"switch({count}) over nvlink", chip.links), Mesh({"X": count}))
    return parse_graph(lines, {"B": 256, "D": 76_800, "F": 256}), system


def slope(case: Callable[[int], tuple[OpGraph, System]], few: int, many: int) -> Figures:
    """Microseconds that one more costs."""
    spent = []
    for count in (few, many):
        graph, system = case(count)
        spent.append(min(cpu_s(lambda: words(graph, system)) for _ in range(3)))  # noqa: B023
    return {"us": Figure(1e6 * (spent[1] - spent[0]) / (many - few))}
