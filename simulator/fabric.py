"""What each kernel of a run asks of the wires, in which form, and which chips and wires are alike.

Model: a communication asks for its transfer, as a whole or message by message; a kernel that reaches the memory or disk of
a host which chips share asks for the way there. Then chips, wires and all groups are folded together. What goes step by
step and would still be more than `MAX_STEPS` tasks when folded stays whole.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

from simulator.contention import meeting
from simulator.folding import Folding, fold, unfolded
from simulator.kernel import Communication, Kernel
from simulator.network import MAX_MESSAGES, MAX_MET, Joined, Network, Traffic
from simulator.plan import Plan, Variant, queue_name
from simulator.transfer import Transfer

MAX_STEPS = 4_000_000
"""Messages of one kernel, alike ones counted once, beyond which it stays in macro form."""


class Fabric:
    """`traffic`: of each kernel that uses wires, by number; `class_of`: of each group of a traffic (by id), its class."""

    traffic: dict[int, Traffic]
    folding: Folding
    class_of: Mapping[int, Sequence[int]]

    def __init__(
        self, plan: Plan, network: Network, variants: Sequence[tuple[Variant, ...]], places: Sequence[tuple[int, ...]]
    ) -> None:
        self.plan, self.network, self.variants, self.places = plan, network, variants, places
        self.kernels: list[Kernel] = [each[0].kernel for each in variants]
        self._alike: dict[tuple[Communication, str], Traffic] = {}
        self.traffic = {**self._hosted(), **self._joined()}
        self._fold()
        while whole := self._too_long():
            self.traffic.update(whole)
            self._fold()

    def _joined(self) -> dict[int, Traffic]:
        """What communications ask: as a whole, or step by step where one meets another."""
        asked = {
            index: kernel.communication
            for index, kernel in enumerate(self.kernels)
            if kernel.communication is not None and kernel.communication.kind != "recv"
        }
        found = {index: self.network.traffic(communication) for index, communication in asked.items()}
        expanded = self.plan.options.network == "expanded"
        for index in asked if expanded else ():
            if asked[index].axes:
                found[index] = self.network.traffic(asked[index], MAX_MESSAGES)
        for index, other in self._met(asked, found).items():
            if asked[index].axes:
                traffic = self.network.traffic(asked[index], MAX_MET)
                if traffic.steps:
                    traffic = replace(traffic, reason=f"{traffic.reason}; shares wires with {self.kernels[other].name}")
                found[index] = self._alike.setdefault((asked[index], traffic.reason), traffic)
        return found

    def _met(self, asked: Mapping[int, Communication], found: Mapping[int, Traffic]) -> Mapping[int, int]:
        """The communications that may meet another one, and which, where that decides."""
        options = self.plan.options
        if options.network != "auto" or not found:
            return {}
        queues = {index: queue_name(self.kernels[index]) for index in asked}
        wires = {id(traffic): traffic.wires for traffic in found.values()}
        used = {index: wires[id(traffic)] for index, traffic in found.items()}
        return meeting(self.kernels, queues, used, options.order == "program")

    def _hosted(self) -> dict[int, Traffic]:
        """What kernels ask of the hosts that chips share: one group of one chip each."""
        variant_of = self.plan.split.variant_of
        found: dict[int, Traffic] = {}
        for index, variants in enumerate(self.variants):
            if self.plan.system.host is None or not any(variant.far_bytes for variant in variants):
                continue
            groups = []
            for chip in self.places[index]:
                loads = self.network.host.loads(chip, variants[variant_of[chip]].far_bytes)
                if loads:
                    groups.append(Joined((chip,), Transfer((loads,))))
            if groups:
                found[index] = Traffic(tuple(groups))
        return found

    def _fold(self) -> None:
        system = self.plan.system
        traffics: dict[int, Traffic] = {}
        for traffic in self.traffic.values():
            traffics[id(traffic)] = traffic
            traffics.update({id(step.pattern): step.pattern for step in traffic.steps})
        wires = self.network.wires
        self.folding = unfolded(system.size, len(wires), list(traffics.values()))
        if self.plan.options.fold and system.size > 1:
            rates = self.network.rates
            looks = [(wire.link, rate, wire.latency_s) for wire, rate in zip(wires, rates, strict=True)]
            self.folding = fold(self._chip_looks(), looks, list(traffics.values()))
        self.class_of = dict(zip(traffics, self.folding.groups, strict=True))

    def _chip_looks(self) -> list[Hashable]:
        """What a chip is on its own: its variant, and those kernels that run on some chips only."""
        size = self.plan.system.size
        some: list[list[int]] = [[] for _ in range(size)]
        for index, chips in enumerate(self.places):
            if len(chips) < size:
                for chip in chips:
                    some[chip].append(index)
        return [(variant, tuple(runs)) for variant, runs in zip(self.plan.split.variant_of, some, strict=True)]

    def _too_long(self) -> dict[int, Traffic]:
        """The kernels with too many messages, and what they ask as a whole."""
        found: dict[int, Traffic] = {}
        for index, messages in self.messages().items():
            communication = self.kernels[index].communication
            if messages > MAX_STEPS and communication is not None:
                whole = self.network.traffic(communication)
                found[index] = replace(whole, reason=f"{whole.reason}; too many messages to go step by step")
        return found

    def messages(self) -> dict[int, int]:
        """How many messages of its own each kernel has that goes step by step, alike ones counted once."""
        counts = {key: len(set(classes)) for key, classes in self.class_of.items()}
        return {
            index: sum(counts[id(step.pattern)] for step in traffic.steps) * self.kernels[index].schedule.chunks
            for index, traffic in self.traffic.items()
            if traffic.steps
        }
