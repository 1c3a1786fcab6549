"""What happens, and when: op graphs, costs, collectives, lowering, the engine on SimPy, and the bounds.

This room knows nothing of files, plots or money. Front door:

    from hw import load_chip, System
    from simulator import parse_graph, simulate, RunOptions
    graph = parse_graph(["y:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F])"], {"B": 256, "D": 8192, "F": 8192})
    result = simulate(graph, System(load_chip("tpu_v5e")), RunOptions(overlap="full"))
    result.time_s, result.lower_bound_s, result.upper_bound_s, result.eta
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import simulator.ops.kinds  # noqa: F401  (registers them)
from simulator.best_fusion import BestFusion, FusedGroup, FusionCosts, best_fusion
from simulator.collectives.axis_forms import AXIS_FORMS, AxisForms, Stream, add_axis_forms, forms_of
from simulator.collectives.choice import choices, choose
from simulator.collectives.composed import staged
from simulator.collectives.flight import in_stages
from simulator.collectives.form import Form
from simulator.collectives.group import AxisGroup, Group
from simulator.collectives.registry import ALGORITHMS, CANONICAL, Algorithm, add_algorithm, canonical
from simulator.collectives.request import CollectiveRequest
from simulator.collectives.rounds import MessageRound
from simulator.collectives.traffic import Traffic
from simulator.collectives.transfer import Message, Transfer
from simulator.engine.bounds.paths import dependency_bound_s, eta, lower_bound_s, upper_bound_s
from simulator.engine.causes import RESOURCE_CAUSES, resource_cause
from simulator.engine.engine import Engine, Order
from simulator.engine.program import Program, Queue, Resource
from simulator.engine.shape import PS_PER_S, Shape
from simulator.graph.dtypes import DTYPE_BYTES, check_dtype, usable_dtype
from simulator.graph.items import MEMORIES, Dim, Items, Op, Repeat, Round, Tensor
from simulator.graph.op_graph import FuseRule, OpGraph
from simulator.graph.op_line import LineError, line_name, option_of, read_line, with_option
from simulator.graph.owners import OWNERS, Owner, Roles
from simulator.graph.split import Cut, split_problems
from simulator.graph.text import parse_graph, print_items, print_op, read_graph_items, read_items
from simulator.lowering.cost import Cost
from simulator.lowering.efficiency import launch_of
from simulator.lowering.folding import Folding, fold, unfolded
from simulator.lowering.host_ports import HostPorts
from simulator.lowering.lowering import lower
from simulator.lowering.network import Network
from simulator.lowering.planning.plan import Plan
from simulator.lowering.planning.planned import PlannedKernel, PlannedKernels, Variant
from simulator.lowering.resources import DISPATCH, SystemResources
from simulator.lowering.variants import FUSE
from simulator.ops.kernel import Communication, Contraction, Kernel, Work
from simulator.ops.loops import named_loops
from simulator.ops.options import OPTION_READERS
from simulator.ops.registry import KINDS, Call, kind, option_readers
from simulator.options import NETWORKS, Dispatch, Holds, RunOption, RunOptions, run_options
from simulator.passes.binding import bind_op, tensor_bytes
from simulator.passes.bound_graph import bind
from simulator.passes.checks import Known
from simulator.passes.fusion import fuse
from simulator.passes.kernels import Kernels
from simulator.passes.planner import Dearer, Sharding, dearer_choices, plan_sharding
from simulator.passes.planner_walk import Inserted
from simulator.passes.soundness import check_graph
from simulator.result import Result
from simulator.simulation import Simulation, simulate

if TYPE_CHECKING:
    from simulator.builder import GraphBuilder
    from simulator.models.estimates.estimate import Bounded, Estimate, Estimator
    from simulator.models.estimates.memory import StageMemory
    from simulator.models.steps.forward import Forward, forward_graph
    from simulator.models.steps.inference.graph import inference_graph
    from simulator.models.steps.inference.request import Inference
    from simulator.models.steps.layout import Parallel
    from simulator.models.steps.megatron.softmax import softmax_sequences
    from simulator.models.steps.precision import NAMED_PRECISIONS, PRECISIONS, Precision, precision_of
    from simulator.models.steps.training import Training, train_graph
    from simulator.passes.differentiate import with_backward
    from simulator.passes.pipeline.chunks import PipelineChunk
    from simulator.passes.pipeline.pipelined import Pipelined, pipelined
    from simulator.passes.pipeline.schedules import CHUNKED, PAIRED, SCHEDULES, schedule
    from simulator.passes.pipeline.step import Pipeline
    from simulator.rates import rates_of

__all__ = [
    # A graph, and the text that says it.
    "DTYPE_BYTES",
    "MEMORIES",
    "Dim",
    "FuseRule",
    "GraphBuilder",
    "Items",
    "Op",
    "OWNERS",
    "OpGraph",
    "Owner",
    "Roles",
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
    "with_backward",
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
    "Kernels",
    "Work",
    "kind",
    "named_loops",
    "option_readers",
    # Collectives. `add_algorithm` adds one, `add_axis_forms` what is done along a kind of axis.
    "ALGORITHMS",
    "AXIS_FORMS",
    "AxisForms",
    "AxisGroup",
    "CANONICAL",
    "Algorithm",
    "CollectiveRequest",
    "Form",
    "Group",
    "Message",
    "MessageRound",
    "Stream",
    "Transfer",
    "add_algorithm",
    "add_axis_forms",
    "canonical",
    "choices",
    "choose",
    "forms_of",
    "in_stages",
    "staged",
    # Passes over a graph.
    "FUSE",
    "BestFusion",
    "Cost",
    "FusedGroup",
    "FusionCosts",
    "best_fusion",
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
    # A pipeline: stages along a mesh axis, microbatches in the order of a schedule.
    "CHUNKED",
    "PAIRED",
    "SCHEDULES",
    "PipelineChunk",
    "Pipeline",
    "Pipelined",
    "pipelined",
    "schedule",
    # A run.
    "Result",
    "Dispatch",
    "Holds",
    "RunOption",
    "RunOptions",
    "run_options",
    "Simulation",
    "simulate",
    # Steps of whole models (descriptions are in `simulator.models`).
    "NAMED_PRECISIONS",
    "PRECISIONS",
    "Bounded",
    "Estimate",
    "Estimator",
    "Forward",
    "Inference",
    "Parallel",
    "Precision",
    "StageMemory",
    "Training",
    "forward_graph",
    "inference_graph",
    "precision_of",
    "softmax_sequences",
    "train_graph",
    # A plan: the graph on the system.
    "DISPATCH",
    "NETWORKS",
    "Folding",
    "HostPorts",
    "Network",
    "Plan",
    "PlannedKernel",
    "PlannedKernels",
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
    "RESOURCE_CAUSES",
    "Engine",
    "Order",
    "Program",
    "Queue",
    "Resource",
    "Shape",
    "resource_cause",
    # Bounds.
    "dependency_bound_s",
    "eta",
    "lower_bound_s",
    "upper_bound_s",
]

_LATE = {
    "builder": ["GraphBuilder"],
    "models.estimates.estimate": ["Bounded", "Estimate", "Estimator"],
    "models.estimates.memory": ["StageMemory"],
    "models.steps.forward": ["Forward", "forward_graph"],
    "models.steps.inference.graph": ["inference_graph"],
    "models.steps.inference.request": ["Inference"],
    "models.steps.layout": ["Parallel"],
    "models.steps.megatron.softmax": ["softmax_sequences"],
    "models.steps.precision": ["NAMED_PRECISIONS", "PRECISIONS", "Precision", "precision_of"],
    "models.steps.training": ["Training", "train_graph"],
    "passes.differentiate": ["with_backward"],
    "passes.pipeline.chunks": ["PipelineChunk"],
    "passes.pipeline.pipelined": ["Pipelined", "pipelined"],
    "passes.pipeline.schedules": ["CHUNKED", "PAIRED", "SCHEDULES", "schedule"],
    "passes.pipeline.step": ["Pipeline"],
    "rates": ["rates_of"],
}
"""What is loaded when it is first asked for: whole models, pipelines and backward passes, which most runs are not of."""

_HOMES = {name: f"simulator.{module}" for module, names in _LATE.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'simulator' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
