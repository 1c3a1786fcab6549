"""What a kernel takes and asks, worked out once for each: the numbers that its task in a run would have.

Model: a kernel takes its fixed seconds, then its stages as a pipeline of its tiles (`simulator.lowering.task_shapes`);
serially, one stage after the other. A collective is priced for one of its groups, and for what all groups
together ask of the wire that they keep busiest, from the same transfer (`simulator.collectives`); what goes to a host or
comes from there, where chips share it, likewise (`simulator.models.estimates.hosts`).
Assumes: chips of one kind; groups over one axis lie alike, since a mesh cuts the axes of a wiring evenly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

import numpy as np

from hw import System
from simulator.collectives.traffic import Joined
from simulator.collectives.transfer import Transfer
from simulator.engine.shape import alone_time
from simulator.graph.op_graph import OpGraph
from simulator.lowering.efficiency import efficiency_of
from simulator.lowering.network import Network, part_of
from simulator.lowering.planning.plan import Plan
from simulator.lowering.planning.planned import FROM_DATA_SHEET
from simulator.lowering.planning.priced import Variants, queue_name
from simulator.lowering.resources import DISPATCH, SystemResources
from simulator.measured import Asked, costs_of, held_by
from simulator.models.estimates.hosts import Hosts
from simulator.ops.kernel import Communication, Kernel
from simulator.options import RunOptions

_STAGES = "P"
"""The axis along which stages of a pipeline stand."""


@dataclass(frozen=True, slots=True, eq=False)
class Wires:
    """Seconds of wires as a column, 0 of those that nothing goes over; `places`: where the wire of a number stands, the same
    for all prices under a mesh."""

    places: Mapping[int, int] = field(default_factory=dict)
    seconds: Any = field(default_factory=lambda: np.zeros(0))

    @property
    def used(self) -> frozenset[int]:
        """The places of those that something goes over."""
        return frozenset(np.flatnonzero(self.seconds).tolist())


UNWIRED = Wires()
"""Of what stays on its chip."""


@dataclass(frozen=True, slots=True, eq=False)
class Price:
    """Seconds of a kernel. `least`: alone, which no run can beat; `serial`: nothing overlapping in it; `needs`: of each
    resource of its chip; `wires`: of each wire that its group uses; `matrix_flops`: what it does, again or not;
    `issue`: of the host that issues it, before it can begin; `pieces`: in how many it comes, all of which this is;
    `awaited`: the host that issues it waits for its end; `cores`: those that a collective holds on each of its chips."""

    queue: str
    least: float
    serial: float
    needs: Mapping[str, float]
    wires: Wires = UNWIRED
    matrix_flops: float = 0.0
    issue: float = 0.0
    pieces: int = 1
    awaited: bool = False
    cores: float = 0.0


Hop = Callable[[tuple[int, int]], tuple[Price, Price]]
"""The prices of a send and of its recv, given the two places along their axes; worked out once for each two."""


@dataclass(frozen=True, slots=True, eq=False)
class _Carried:
    """What a collective asks of the wires: seconds of its own, and those of the wire that all groups keep busiest;
    seconds of latency; the wires, and the cores that it holds."""

    alone: float
    shared: float
    latency: float
    wires: Wires
    cores: float


class Prices:
    """Prices of kernels on a system under a mesh."""

    def __init__(self, system: System, options: RunOptions, network: Network | None = None) -> None:
        self.system, self.options = system, options
        # a step's chips all wait for each other, if only for their gradients
        self.plan = Plan(system, OpGraph({}, ()), options, slowest_of=system.size)
        self._variants = Variants(self.plan, SystemResources(system, options, self.plan.program))
        self.network = network or Network(system, options)
        self._transfers: dict[Communication, Joined] = {}
        self._collectives: dict[tuple[Communication, int], _Carried] = {}
        self._places: dict[int, int] = {}
        self._numbers: dict[str, int] = {}
        self._crowded: dict[tuple[str, bool], float] = {}
        self._slower: dict[tuple[Kernel, float], float] = {}
        # a training step records what its backward pass needs
        chip = system.kinds[0]
        self._issue_s = costs_of(options, chip, recorded=True) if options.by_host else None
        self._host_pace = efficiency_of(options, chip, DISPATCH)

    def under(self, system: System) -> Prices:
        """The same chips under another mesh; what kernels take on a chip, and how messages go, is known already."""
        found = Prices(system, self.options, self.network.under(system))
        found._variants, found._slower = self._variants, self._slower
        return found

    def of(self, kernel: Kernel) -> Price:
        """The price of a kernel; of an end of a transfer that of the whole, which is one task, with what its chip does."""
        if kernel.communication is not None and kernel.communication.pair:
            return self._end(kernel, kernel.communication)
        variant, pieces = self._variants.alike(kernel), kernel.schedule.chunks
        times = list(variant.times_s.values())
        fixed = pieces * (kernel.fixed_s + self.plan.launch_s((0,)) + variant.latency_s)
        serial, shared, cores = sum(times), 0.0, 0.0
        wires = UNWIRED
        needs = variant.times_s
        if kernel.communication is not None:
            carried = self._carried(kernel.communication, pieces)
            shared, wires, cores = carried.shared, carried.wires, carried.cores
            times.append(carried.alone)
            serial += shared
            fixed += carried.latency
            needs = self._with_units(needs, carried.alone)
        elif variant.far_bytes and self.system.host is not None:
            hosted = self._hosts.carried(variant.far_bytes)
            shared = hosted.together
            times.append(hosted.alone)
            serial += shared
            needs = {**needs, **hosted.wires}
        least = fixed + max(alone_time(times, variant.steps), shared)
        issue = self._issue_s(kernel) / self._host_pace if self._issue_s is not None else 0.0
        needs = {**needs, DISPATCH: issue} if issue else needs
        serial += fixed + issue
        awaited = kernel.awaited and issue > 0.0
        flops = kernel.matrix_flops
        return Price(queue_name(kernel), least, serial, needs, wires, flops, issue, pieces, awaited, cores)

    @cached_property
    def _hosts(self) -> Hosts:
        """The hosts of a stage in the middle of a pipeline."""
        system = self.system
        stages = system.mesh.extent(_STAGES) if _STAGES in system.mesh.axes else 1
        chips = system.at(_STAGES, stages // 2) if stages > 1 else range(system.size)
        return Hosts(self.network, chips)

    def _carried(self, asked: Communication, pieces: int) -> _Carried:
        """What a collective in so many pieces asks of the wires: of all kernels that ask the same it is worked out once."""
        key = asked, pieces
        found = self._collectives.get(key)
        if found is None:
            part = part_of(asked, pieces)
            transfer = self._transfer(part).transfer
            alone = pieces * self.network.phase_seconds(transfer)
            shared, latency = alone * self._crowd(part), pieces * transfer.latency_s
            found = _Carried(alone, shared, latency, self._wires(transfer, pieces), transfer.cores)
            self._collectives[key] = found
        return found

    def slower_s(self, kernel: Kernel, cores: float) -> float:
        """Seconds that a kernel takes longer where so many cores of its chip are held beside it all the time."""
        key = kernel, cores
        if key not in self._slower:
            self._slower[key] = self._slower_s(kernel, cores)
        return self._slower[key]

    def _slower_s(self, kernel: Kernel, cores: float) -> float:
        variant, chip = self._variants.alike(kernel), self.system.kinds[0]
        asked = Asked(self.options, lambda name: efficiency_of(self.options, chip, name))
        held = None if variant.by == FROM_DATA_SHEET else held_by(kernel, variant.usual_s, chip, asked)
        if held is None:
            return 0.0
        return (held.beside(cores) - 1.0) * max(variant.times_s.values())

    def hop(self, ends: tuple[Kernel, Kernel]) -> Hop:
        """The prices of a send and of its recv, which are one task, between two places along their axes: what depends on
        the places is worked out for those, all else once."""
        variants = [self._variants.alike(kernel) for kernel in ends]
        asked = ends[0].communication
        assert asked is not None
        times = [time for variant in variants for time in variant.times_s.values()]
        fixed = ends[0].fixed_s + self.plan.launch_s((0,)) + variants[0].latency_s

        def priced(stages: tuple[int, int]) -> tuple[Price, Price]:
            source, target = (self.system.at(asked.axes, stage)[0] for stage in stages)
            transfer = self.network.sent(source, target, asked.nbytes).transfer
            seconds, start = self.network.phase_seconds(transfer), fixed + transfer.latency_s
            least = start + alone_time([*times, seconds], variants[0].steps)
            serial, wires = start + sum(times) + seconds, self._wires(transfer)
            needs = (self._with_units(variant.times_s, seconds) for variant in variants)
            sent, got = (Price("", least, serial, each, wires) for each in needs)
            return sent, got

        return cache(priced)

    def _end(self, kernel: Kernel, asked: Communication) -> Price:
        # the other end writes what this one reads
        other = replace(kernel, reads=kernel.writes, writes=kernel.reads)
        sends = asked.kind == "send"
        ends = (kernel, other) if sends else (other, kernel)
        sent, got = self.hop(ends)((asked.source, asked.target))
        return replace(sent if sends else got, queue=queue_name(kernel))

    def _with_units(self, needs: Mapping[str, float], seconds: float) -> Mapping[str, float]:
        """What a kernel needs of its chip, with the share of its units that a chip gives to what goes over the network."""
        given = seconds * self.options.network_share
        if not given:
            return needs
        return {**needs, **{unit: needs.get(unit, 0.0) + given for unit in ("matrix_unit", "vector_unit")}}

    def _wires(self, transfer: Transfer, times: int = 1) -> Wires:
        rates, places = self.network.rates, self._places
        taken = {
            places.setdefault(wire, len(places)): times * (nbytes / rates[wire])
            for wire, nbytes in transfer.wires.items()
        }
        seconds = np.zeros(len(places))
        seconds[list(taken)] = list(taken.values())
        return Wires(places, seconds)

    def _transfer(self, asked: Communication) -> Joined:
        found = self._transfers.get(asked)
        if found is None:
            found = self._transfers[asked] = self.network.alone(asked, self._number(asked.axes))
        return found

    def _number(self, axes: str) -> int:
        """Which of the groups over some axes is priced: the first of a stage in the middle of a pipeline."""
        if axes not in self._numbers:
            stages = self.system.mesh.extent(_STAGES) if _STAGES in self.system.mesh.axes else 1
            chip = self.system.at(_STAGES, stages // 2)[0] if stages > 1 else 0
            groups = self.system.groups(axes)
            self._numbers[axes] = next((at for at, group in enumerate(groups) if chip in group), 0)
        return self._numbers[axes]

    def _crowd(self, asked: Communication) -> float:
        """How much longer than one group alone all groups need on the wire that they keep busiest."""
        key = asked.axes, asked.kind == "all_to_all"
        if key not in self._crowded:
            alone = self.network.phase_seconds(self._transfer(asked).transfer)
            together = self.network.busiest_seconds(self.network.traffic(asked))
            self._crowded[key] = max(1.0, together / alone) if alone else 1.0
        return self._crowded[key]
