"""The shapes of tasks: what a task asks of each chip and wire, stage by stage, and how long it takes alone.

Model: alone, k tiles flow through stages of t seconds each: max(t) + (sum(t) - max(t)) / k after the fixed seconds. What
a kernel needs is shared evenly by its chunks. Alike groups that one task stands for ask together of each wire, and take
the time of one of them.
Assumes: a collective streams its bytes, so it is slowed in their proportion; a kernel counts the bytes that its chip's HBM
could move meanwhile, and a stream from a host or a disk its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from hw.rows import Memo, largest, smallest
from simulator.collectives.traffic import Joined
from simulator.engine.causes import UNITS
from simulator.engine.held import Held
from simulator.engine.shape import PS_PER_S, Shape, Stage, serial_time, to_ps
from simulator.lowering.efficiency import efficiency_of
from simulator.lowering.folding import Folding
from simulator.lowering.host_ports import FAR
from simulator.lowering.messages import Alike
from simulator.lowering.network import Network
from simulator.lowering.planning.plan import Plan
from simulator.lowering.planning.planned import FROM_DATA_SHEET, PlannedKernel, Variant
from simulator.lowering.resources import SystemResources
from simulator.measured import Asked, held_by


@dataclass(frozen=True, eq=False)
class Together:
    """Alike groups of one traffic: the groups, seconds of each wire that stands for its class over all of them; of one of
    them alone its seconds and latency, the bytes of its largest stream, and the cores that it holds on each chip."""

    groups: tuple[Joined, ...] = ()
    wires: tuple[tuple[int, float], ...] = ()
    seconds: float = 0.0
    latency_s: float = 0.0
    streamed: float = 0.0
    cores: float = 0

    def demands(self, scale: float) -> Stage:
        """The wires as a stage; `scale`: ps of a task in a second of all its chunks."""
        return [(wire, seconds * scale) for wire, seconds in self.wires]


NOBODY = Together()


class TaskShapes:
    """Makes the shapes of the tasks of a plan, each of them once."""

    def __init__(self, plan: Plan, resources: SystemResources, network: Network, folding: Folding, holds: bool) -> None:
        self.plan = plan
        self.program = plan.program
        self.resources = resources
        self.network = network
        self.folding = folding
        if holds:
            self.program.cores = {chip: plan.system.chip_at(chip).matrix_unit.cores for chip in folding.chips}
        self._numbers: Memo[tuple[object, ...], int] = Memo()

    def together(self, alike: Sequence[Joined]) -> Together:
        """What all groups of a class ask of each wire that stands for its class, and what one of them takes alone."""
        first, rates = self.folding.wire, self.network.rates
        total: dict[int, float] = {}
        for group in alike:
            for loads in group.transfer.phases:
                for wire, nbytes in loads.items():
                    if first[wire] == wire:
                        total[wire] = total.get(wire, 0.0) + nbytes
        transfer = alike[0].transfer
        wires = tuple((self.resources.of_wire[wire], nbytes / rates[wire]) for wire, nbytes in total.items())
        streamed = largest(transfer.wires.values(), default=0.0)
        seconds, latency_s = self.network.phase_seconds(transfer), transfer.latency_s
        return Together(tuple(alike), wires, seconds, latency_s, streamed, transfer.cores)

    def number(self, planned: PlannedKernel, needs: Mapping[int, Mapping[str, float]], together: Together) -> int:
        """The number of the shape of tasks on some chips; worked out once for kernels that differ in names only."""
        sorts = tuple(variant.sort for variant in planned.variants)
        key = (
            sorts,
            tuple(needs),
            together,
            planned.kernel.fixed_s,
            planned.network_s,
            planned.host_s,
            planned.traffic,
        )
        number = self._numbers.get(key)
        if number is None:
            shape = self.shape(planned, needs, together)
            number = self.program.intern(replace(shape, opens=True) if planned.traffic.steps else shape)
            if min(sorts) >= 0:
                self._numbers.put(key, number)
        return number

    def shape(self, planned: PlannedKernel, needs: Mapping[int, Mapping[str, float]], together: Together) -> Shape:
        """The shape of one task: `needs` on each chip, and the wires of groups; shared evenly by the chunks."""
        kernel = planned.kernel
        variant = self.plan.variant(planned, next(iter(needs))) if needs else planned.variants[0]
        scale = PS_PER_S / kernel.schedule.chunks
        stages = self._chip_stages(needs, planned.traffic.pair, scale, None)
        held = self._held(planned, variant, needs, together)
        if held is not None and not held.whole:
            stages = self._filled(stages, held)
        streamed = 0.0
        serial_ps = serial_time(stages)
        if together.groups:
            seconds = together.seconds
            stages.append((together.demands(scale), seconds * scale))
            # the groups of an op go side by side: as long as the wire that they keep busiest together
            serial_ps += largest([seconds, planned.network_s, planned.host_s]) * scale
            if kernel.communication is not None:
                streamed = together.streamed / kernel.schedule.chunks
                self._take_units(stages, needs, seconds * scale)
        fixed_ps = to_ps(kernel.fixed_s + self.plan.launch_s(needs) + variant.latency_s + together.latency_s)
        made = Shape.lasting(fixed_ps, stages, variant.steps, streamed)
        chip = next(iter(needs), self.folding.chips[0])
        weight = made.weight if streamed else self._kernel_weight(made, variant, chip)
        return replace(made, serial_ps=serial_ps, held=held, weight=weight)

    def message(self, planned: PlannedKernel, alike: Alike, early_s: float) -> int:
        """The shape of alike messages: what all of them need on each chip and wire, `early_s` and their latency before,
        in the time of one of them."""
        chunks = planned.kernel.schedule.chunks
        variant = self.plan.variant(planned, next(iter(alike.needs))) if alike.needs else planned.variants[0]
        together, scale = self.together(alike.joined), PS_PER_S / chunks
        stages = self._chip_stages(alike.needs, False, scale, alike.alone)
        stages.append((together.demands(scale), together.seconds * scale))
        shape = Shape.lasting(0, stages, variant.steps, alike.weight / chunks)
        return self.program.intern(replace(shape, early_ps=to_ps(early_s + together.latency_s)))

    def _kernel_weight(self, shape: Shape, variant: Variant, chip: int) -> float:
        """The bytes that the chip's HBM could move while the task runs alone: so kernels of a chip are slowed alike. One
        that a host or a disk holds up is a stream, and counts its bytes, as others on the way there do."""
        resources = self.program.resources
        hosted = any(resources[resource].cause == "host" for resource, _ in shape.demands)
        slowest = max(shape.demands, key=lambda demand: demand[1]) if hosted else None
        if slowest is not None and resources[slowest[0]].cause == "host":
            accesses = (*variant.kernel.reads, *variant.kernel.writes)
            streams = [access.nbytes for access in accesses if access.memory in FAR]
            return max(streams, default=0.0) / variant.kernel.schedule.chunks or 1.0
        hbm = resources[self.resources.of_chip[chip, "hbm"]]
        return shape.alone_ps / PS_PER_S * hbm.per_s or 1.0

    def _chip_stages(
        self, needs: Mapping[int, Mapping[str, float]], pair: bool, scale: float, alone: Mapping[str, float] | None
    ) -> list[tuple[Stage, float]]:
        stages: dict[str, list[tuple[int, float]]] = {}
        for chip, times in needs.items():
            for name, seconds in times.items():
                # the chips of a group work side by side; the two ends of a send one after the other
                stage = f"{chip}.{name}" if pair else name
                stages.setdefault(stage, []).append((self.resources.of_chip[chip, name], seconds * scale))
        if alone is not None:
            return [(stage, alone[name] * scale) for name, stage in stages.items()]
        return [(stage, largest(time for _, time in stage)) for stage in stages.values()]

    def _held(self, planned: PlannedKernel, variant: Variant, chips: Iterable[int], together: Together) -> Held | None:
        """The cores that a task of a kernel holds, where several queues want them."""
        if not self.program.cores:
            return None
        if planned.kernel.communication is not None and together.cores and not planned.traffic.steps:
            most = smallest(self.program.cores[chip] for chip in chips)
            return Held(smallest([together.cores, most]), most, whole=True)
        if variant.by == FROM_DATA_SHEET:
            return None
        options, chip = self.plan.options, self.plan.system.chip_at(next(iter(chips)))
        asked = Asked(options, lambda name: efficiency_of(options, chip, name))
        held, chunks = held_by(variant.kernel, variant.usual_s, chip, asked), planned.kernel.schedule.chunks
        if held is None or chunks == 1 or not held.blocks:
            return held
        blocks = -(-held.blocks // chunks)
        return replace(held, units=smallest([held.units, blocks]), blocks=blocks)

    def _filled(self, stages: list[tuple[Stage, float]], held: Held) -> list[tuple[Stage, float]]:
        """The slowest stage, if it is a unit's, keeps busy the part of it that belongs to the cores held."""
        at = max(range(len(stages)), key=lambda each: stages[each][1])
        stage, time = stages[at]
        resources = self.program.resources
        if all(resources[resource].cause in UNITS for resource, _ in stage):
            stages[at] = [(resource, ps * held.filled) for resource, ps in stage], time
        return stages

    def _take_units(self, stages: list[tuple[Stage, float]], needs: Iterable[int], ps: float) -> None:
        """The share of its units that a chip gives to a collective while that runs."""
        share = self.plan.options.network_share
        if share and ps:
            units = [self.resources.of_chip[chip, unit] for chip in needs for unit in ("matrix_unit", "vector_unit")]
            stage, time = stages.pop()
            stages.append(([*stage, *((unit, ps * share) for unit in units)], time))
