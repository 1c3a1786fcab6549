"""What an op takes alone, for the planner that looks for the cheapest sharding."""

from __future__ import annotations

from hw import System
from simulator.collectives.traffic import Traffic
from simulator.engine.shape import alone_time
from simulator.graph.items import Op
from simulator.graph.op_graph import OpGraph
from simulator.lowering.efficiency import launch_of
from simulator.lowering.network import Network
from simulator.lowering.planning.plan import Plan
from simulator.lowering.planning.priced import Variants
from simulator.lowering.resources import SystemResources
from simulator.ops.kernel import Kernel
from simulator.options import RunOptions
from simulator.passes.binding import bind_op
from simulator.passes.checks import chip_findings
from simulator.passes.parts import even_cut


class Cost:
    """What an op takes alone, for the planner that looks for the cheapest."""

    def __init__(self, graph: OpGraph, system: System, options: RunOptions) -> None:
        self.plan = Plan(system, graph, options, slowest_of=system.size)
        self.resources = SystemResources(system, options, self.plan.program)
        self._variants = Variants(self.plan, self.resources)
        self.network = Network(system, options)
        self._cut = even_cut(graph, system)

    def seconds(self, op: Op) -> float:
        """Seconds of all kernels of an op, one after the other, each as a pipeline of its tiles; none for an op that no
        chip can run, which is told when the planned graph is bound."""
        kernels = bind_op(op, self.plan.graph, self.plan.system, self._cut)
        if any(True for _ in chip_findings(kernels, self.plan.system)):
            return 0.0
        return sum(map(self.of_kernel, kernels))

    def of_kernel(self, kernel: Kernel) -> float:
        """Seconds of a kernel alone, on the slowest chip, with its start."""
        traffic = self.network.traffic(kernel.communication) if kernel.communication else Traffic()
        alike = [kernel] * len(self.plan.split.chips)
        variants = self._variants.of(alike)
        transfers = [group.transfer for group in traffic.groups]
        wires = max((self.network.phase_seconds(transfer) for transfer in transfers), default=0.0)
        latency = max((transfer.latency_s for transfer in transfers), default=0.0)
        # the slowest chip's
        alone = max(each.latency_s + alone_time([*each.times_s.values(), wires], each.steps) for each in variants)
        launch = max(launch_of(self.plan.options, chip) for chip in self.plan.system.kinds)
        return alone + latency + kernel.fixed_s + launch
