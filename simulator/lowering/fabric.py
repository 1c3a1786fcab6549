"""What each kernel of a run asks of the wires, in which form, and which chips and wires are alike.

Model: a communication asks for its transfer, as one task or message by message; a kernel that reaches the memory or disk
of a host which chips share asks for the way there. Then chips, wires and all groups are folded together.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from hw import System
from simulator.collectives.traffic import NO_TRAFFIC, Joined, Traffic
from simulator.collectives.transfer import Transfer
from simulator.graph.op_graph import OpGraph
from simulator.graph.split import Split
from simulator.lowering.folding import Folding, fold, unfolded
from simulator.lowering.host_ports import FarBytes
from simulator.lowering.network import Network
from simulator.lowering.planning.plan import Plan
from simulator.lowering.planning.planned import PlannedKernel
from simulator.lowering.planning.priced import queue_name
from simulator.lowering.sorts import Sort
from simulator.options import RunOptions
from simulator.passes.kernels import Kernels
from simulator.passes.placement import Placement
from simulator.passes.planner import Sharded


class Fabric:
    """`traffic`: of each sort of kernels that uses wires, by number; `class_of`: of each group of a traffic, its class."""

    traffic: dict[int, Traffic]
    folding: Folding
    class_of: Mapping[Traffic, Sequence[int]]

    def __init__(self, plan: Plan, network: Network, sorts: Sequence[Sort], known: Fabric | None = None) -> None:
        self.plan, self.network, self.sorts = plan, network, sorts
        if known is not None:  # of a run that asks the same of the same wires
            self.traffic, self.folding, self.class_of = known.traffic, known.folding, known.class_of
        else:
            self.traffic = {**self._hosted(), **self._joined()}
            self._fold()

    def _joined(self) -> dict[int, Traffic]:
        """What communications ask: as one task each, or message by message if the run asks for that."""
        by_messages = self.plan.options.network == "messages"
        return {
            index: self.network.traffic(
                kernel.communication, by_messages and not kernel.communication.pair, kernel.schedule.chunks
            )
            for index, kernel in enumerate(sort.kernel for sort in self.sorts)
            if kernel.communication is not None and kernel.communication.kind != "recv"
        }

    def _hosted(self) -> dict[int, Traffic]:
        """What kernels ask of the hosts that chips share: once for all that move as much on the same chips."""
        if self.plan.system.host is None:
            return {}
        known: dict[Hashable, Traffic] = {}
        found: dict[int, Traffic] = {}
        for index, sort in enumerate(self.sorts):
            moved = [variant.far_bytes for variant in sort.variants]
            if not any(moved):
                continue
            placement = sort.place
            key = (placement, tuple(frozenset(each.items()) for each in moved))
            if key not in known:
                known[key] = self._to_hosts(placement, moved)
            if known[key].groups:
                found[index] = known[key]
        return found

    def _to_hosts(self, placement: Placement, moved: Sequence[FarBytes]) -> Traffic:
        """One group of one chip for each that shares a host; `moved`: by variant."""
        variant_of = self.plan.split.variant_of
        loads = ((chip, self.network.host.loads(chip, moved[variant_of[chip]])) for chip in placement.chips)
        return Traffic(tuple(Joined((chip,), Transfer((here,))) for chip, here in loads if here))

    def _fold(self) -> None:
        system = self.plan.system
        traffics: dict[Traffic, None] = {}
        for traffic in self.traffic.values():
            traffics[traffic] = None
            traffics.update(dict.fromkeys(step.pattern for step in traffic.steps))
        wires = self.network.wires
        self.folding = unfolded(system.size, len(wires), list(traffics))
        if self.plan.options.fold and system.size > 1:
            rates = self.network.rates
            looks = [(wire.link, rate, wire.latency_s) for wire, rate in zip(wires, rates, strict=True)]
            self.folding = fold(self._chip_looks(), looks, list(traffics))
        self.class_of = dict(zip(traffics, self.folding.groups, strict=True))

    def _chip_looks(self) -> list[Hashable]:
        """What a chip is on its own: its variant, and the placements that have it of those that have only some chips."""
        size = self.plan.system.size
        some: list[list[int]] = [[] for _ in range(size)]
        # kernels of one placement run on the same chips, so one of them tells those apart
        for number, placement in enumerate(dict.fromkeys(sort.place for sort in self.sorts)):
            if len(placement.chips) < size:
                for chip in placement.chips:
                    some[chip].append(number)
        return [(variant, tuple(runs)) for variant, runs in zip(self.plan.split.variant_of, some, strict=True)]

    @cached_property
    def links(self) -> frozenset[str]:
        """The links that wires are of."""
        return frozenset(wire.link for wire in self.network.wires)

    def planned(self) -> list[PlannedKernel]:
        """All that the system makes of each sort of kernels."""
        first = self.folding.chip
        places = {each.place for each in self.sorts}
        chips = {place: tuple(chip for chip in place.chips if first[chip] == chip) for place in places}
        found = []
        for number, sort in enumerate(self.sorts):
            kernel, asked = sort.kernel, self.traffic.get(number, NO_TRAFFIC)
            joins, ways = (asked, NO_TRAFFIC) if kernel.communication is not None else (NO_TRAFFIC, asked)
            network_s, host_s = (self.network.busiest_seconds(each) for each in (joins, ways))
            queue = queue_name(kernel)
            found.append(PlannedKernel(kernel, sort.variants, joins, network_s, queue, chips[sort.place], host_s))
        return found

    def messages(self) -> int:
        """How many messages there are of all kernels that go by messages, alike ones counted once."""
        counts = {key: len(set(classes)) for key, classes in self.class_of.items()}
        return sum(
            sum(counts[step.pattern] for step in traffic.steps)
            * self.sorts[index].kernel.schedule.chunks
            * self.sorts[index].count
            for index, traffic in self.traffic.items()
        )


@dataclass(frozen=True, slots=True, eq=False)
class Basis:
    """What a plan is made from that rates and fixed times have no part in: kept for runs of the same graph with others.

    `asked`: the graph before collectives were put into it.
    """

    asked: OpGraph
    sharded: Sharded
    split: Split
    variants: Sequence[Kernels]
    fabric: Fabric

    def has_kernels(self, graph: OpGraph, system: System, options: RunOptions) -> bool:
        """Whether the kernels are those of another run: by rates alone a planner that looks for the cheapest, and a split
        between unlike chips, decide otherwise."""
        made = self.fabric.plan.options
        alike = replace(options, speedup=made.speedup, launch_s=made.launch_s, overlap=made.overlap) == made
        same = graph is self.asked or graph is self.sharded.graph
        same = same and system is self.fabric.plan.system
        return alike and same and options.sharding != "auto" and len(self.split.chips) == 1

    def has_wires(self, options: RunOptions) -> bool:
        """Whether that run asks the same of wires that are as fast: what is far away is read again by other tiles."""
        made = self.fabric.plan.options
        names = {*options.speedup, *made.speedup}
        faster = {name for name in names if options.speedup.get(name, 1.0) != made.speedup.get(name, 1.0)}
        far = self.fabric.plan.system.host is not None
        return faster.isdisjoint(self.fabric.links) and (options.overlap == made.overlap or not far)
