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
from simulator.algorithm_choice import choices, choose
from simulator.algorithms import ALGORITHMS, algorithm
from simulator.binding import bind, bind_op, check_graph, tensor_bytes
from simulator.bounds import dependency_bound_s, eta, lower_bound_s, upper_bound_s
from simulator.build import GraphBuilder
from simulator.checks import Known
from simulator.collectives import CANONICAL, Ask, canonical
from simulator.cost import Cost
from simulator.dtypes import DTYPE_BYTES, check_dtype, usable_dtype
from simulator.efficiency import launch_of
from simulator.engine import Engine, Order
from simulator.flight import in_stages
from simulator.folding import Folding, fold, unfolded
from simulator.fusion import fuse
from simulator.graph import MEMORIES, Dim, FuseRule, Items, Op, OpGraph, Repeat, Round, Tensor
from simulator.host_ports import HostPorts
from simulator.kernel import Communication, Contraction, Kernel, Work
from simulator.kinds import KINDS, Call, kind, option_readers
from simulator.line import LineError, line_name, option_of, read_line, with_option
from simulator.loops import named_loops
from simulator.lowering import lower
from simulator.network import Network, Traffic
from simulator.options import OPTION_READERS
from simulator.plan import NETWORKS, Plan, PlannedKernel, RunOptions, Variant
from simulator.planner import Dearer, Sharding, dearer_choices, plan_sharding
from simulator.planner_walk import Inserted
from simulator.program import PS_PER_S, Program, Queue, Resource, Shape
from simulator.rates import rates_of
from simulator.resources import SystemResources
from simulator.result import Result
from simulator.simulation import Simulation, simulate
from simulator.split import Cut, split_problems
from simulator.text import parse_graph, print_items, print_op, read_graph_items, read_items
from simulator.transfer import Group, Message, Transfer
from simulator.variants import FUSE

__all__ = [
    # A graph, and the text that says it.
    "DTYPE_BYTES",
    "MEMORIES",
    "Dim",
    "FuseRule",
    "GraphBuilder",
    "Items",
    "Op",
    "OpGraph",
    "Repeat",
    "Round",
    "Tensor",
    "check_dtype",
    "parse_graph",
    "print_items",
    "print_op",
    "read_graph_items",
    "read_items",
    "usable_dtype",
    # Lines of ops, one by one.
    "LineError",
    "line_name",
    "option_of",
    "read_line",
    "with_option",
    # Kinds of ops: what each costs. `kind` adds one.
    "KINDS",
    "OPTION_READERS",
    "Call",
    "Communication",
    "Contraction",
    "Kernel",
    "Work",
    "kind",
    "named_loops",
    "option_readers",
    # Collectives. `algorithm` adds one.
    "ALGORITHMS",
    "CANONICAL",
    "Ask",
    "Group",
    "Message",
    "Transfer",
    "algorithm",
    "canonical",
    "choices",
    "choose",
    "in_stages",
    # Passes over a graph.
    "FUSE",
    "Cost",
    "Cut",
    "Dearer",
    "Inserted",
    "Known",
    "Sharding",
    "bind",
    "bind_op",
    "check_graph",
    "dearer_choices",
    "fuse",
    "plan_sharding",
    "split_problems",
    "tensor_bytes",
    # A run.
    "Result",
    "RunOptions",
    "Simulation",
    "simulate",
    # A plan: the graph on the system.
    "NETWORKS",
    "Folding",
    "HostPorts",
    "Network",
    "Plan",
    "PlannedKernel",
    "SystemResources",
    "Traffic",
    "Variant",
    "fold",
    "launch_of",
    "lower",
    "rates_of",
    "unfolded",
    # The program, and what runs it.
    "PS_PER_S",
    "Engine",
    "Order",
    "Program",
    "Queue",
    "Resource",
    "Shape",
    # Bounds.
    "dependency_bound_s",
    "eta",
    "lower_bound_s",
    "upper_bound_s",
]
