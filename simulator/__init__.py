"""What happens, and when: op graphs, costs, collectives, lowering, the engine on SimPy, and the bounds.

This room knows nothing of files, plots or money. Front door:

    from hw import load_chip, System
    from simulator import parse_graph, simulate, RunOptions
    graph = parse_graph(["y:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F])"], {"B": 256, "D": 8192, "F": 8192})
    result = simulate(graph, System(load_chip("tpu_v5e")), RunOptions(overlap="full"))
    result.time_s, result.lower_bound_s, result.upper_bound_s, result.eta
"""

from simulator import (  # noqa: F401  (registers)
    kinds_attention,
    kinds_cache,
    kinds_conv,
    kinds_data,
    kinds_matrix,
    kinds_network,
    kinds_reshard,
    kinds_sparse,
    kinds_vector,
)
from simulator.build import GraphBuilder
from simulator.graph import Op, OpGraph, Repeat, Tensor
from simulator.kernel import Kernel
from simulator.kinds import KINDS, Call, kind
from simulator.plan import Plan, RunOptions
from simulator.result import Result
from simulator.simulation import Simulation, simulate
from simulator.text import parse_graph, print_items, print_op

__all__ = [
    "KINDS",
    "Call",
    "GraphBuilder",
    "Kernel",
    "Op",
    "OpGraph",
    "Plan",
    "Repeat",
    "Result",
    "RunOptions",
    "Simulation",
    "Tensor",
    "kind",
    "parse_graph",
    "print_items",
    "print_op",
    "simulate",
]
