"""A collective by messages, as tasks: one that stands for the whole, and a message for each class of alike ones.

Model: the whole holds its queue on every member from its begin to its end. A message waits for what its sender passes on
and takes its route's latency; then it waits for its lane, which sends one message at a time, of those that have come the
first in program order; then its bytes flow over the wires, and its share of what the collective asks of its two chips.
Messages of one collective that meet on a wire are equally fast, whether they split over several ways or not, but for the
pace of their lanes: so lanes that pass on around a ring keep step. The fastest of those that split least count the bytes of
their stream, as any transfer does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from hw.rows import largest, largest_quotient
from simulator.collectives.traffic import Joined, Step, Traffic
from simulator.engine.program import Program
from simulator.engine.shape import Shape
from simulator.lowering.folding import Folding
from simulator.lowering.planning.planned import PlannedKernel

_NOTHING = Shape(0, (), (), 0.0, 1.0)
"""The shape of a gate: it only waits."""

Needs = Mapping[int, Mapping[str, float]]
"""Seconds by simulated chip and resource."""


@dataclass(frozen=True, slots=True)
class Alike:
    """Alike messages: all of them, what they need together, what one of them needs alone, and the bytes that it counts."""

    joined: tuple[Joined, ...]
    needs: Needs
    alone: Mapping[str, float]
    weight: float


ShapeOf = Callable[[PlannedKernel, Alike, float], int]
"""The shape of alike messages of a kernel after so many fixed seconds."""


@dataclass
class _Class:
    """Alike messages: the simulated sender, all of them, and two shapes: of such as begin with the whole, and of others."""

    sender: int
    joined: tuple[Joined, ...]
    shapes: tuple[int, int] = (-1, -1)


def _opened(steps: Sequence[Step]) -> list[tuple[int, ...]]:
    """By step, the steps that must be over everywhere before its phase begins."""
    found: list[tuple[int, ...]] = []
    for step in steps:
        before = found[step.after[0]] if step.after else ()
        found.append(step.after if step.gate else before)
    return found


@dataclass
class MessageTasks:
    """Turns the messages of one kernel into tasks."""

    program: Program
    folding: Folding
    planned: PlannedKernel
    shape_of: ShapeOf
    lane_of: Callable[[int, str], int]
    _known_lanes: dict[tuple[Traffic, int], list[int]] = field(default_factory=dict)

    def prepare(self, classes: Mapping[Traffic, Iterable[int]], times: Needs, fixed_s: float) -> None:
        """Sort the messages of every step into classes (numbers by pattern), and find their shapes."""
        self._classes: dict[Traffic, list[_Class]] = {}
        self._arrivals: dict[Traffic, dict[int, list[int]]] = {}
        for step in self.planned.traffic.steps:
            if step.pattern not in self._classes:
                self._sort(step.pattern, classes[step.pattern], times)
        steps = self.planned.traffic.steps
        self._count(Counter(step.pattern for step in steps))
        pace = {step.pattern: step.pace for step in steps}
        fastest, stream = max(pace.values(), default=1), self._largest_stream()
        for pattern, here in self._classes.items():
            for each in here:
                weight = stream * each.joined[0].transfer.sent_bytes * (fastest / pace[pattern])
                needs, alone = self._shares(each.joined, times, False), self._alone(each, times)
                alike = Alike(each.joined, needs, alone, weight)
                first, later = (self.shape_of(self.planned, alike, extra) for extra in (fixed_s, 0.0))
                each.shapes = (first, later)

    def _largest_stream(self) -> float:
        """The largest part of a message that goes over one wire: 1 where there is one that does not split."""
        transfers = (each.joined[0].transfer for here in self._classes.values() for each in here)
        streams = (
            largest_quotient((nbytes, each.sent_bytes) for nbytes in each.wires.values())
            for each in transfers
            if each.wires
        )
        return largest(streams, default=1.0)

    def _count(self, times: Mapping[Traffic, int]) -> None:
        """Bytes that each simulated chip sends in all, and gets in all."""
        self._sent: dict[int, float] = {}
        self._got: dict[int, float] = {}
        for key, classes in self._classes.items():
            for group in (group for each in classes for group in each.joined):
                for chip, total in zip(group.members[:2], (self._sent, self._got), strict=True):
                    if self.folding.chip[chip] == chip:
                        total[chip] = total.get(chip, 0.0) + group.transfer.sent_bytes * times[key]

    def _sort(self, pattern: Traffic, numbers: Iterable[int], present: Collection[int]) -> None:
        """The classes of messages of a pattern that chips send which take part (`present`: the simulated ones)."""
        first = self.folding.chip
        by_number: dict[int, list[Joined]] = {}
        for number, group in zip(numbers, pattern.groups, strict=True):
            if first[group.members[0]] in present:
                by_number.setdefault(number, []).append(group)
        here = [_Class(first[groups[0].members[0]], tuple(groups)) for groups in by_number.values()]
        arrivals: dict[int, list[int]] = {}
        for at, each in enumerate(here):
            for chip in {chip for group in each.joined for chip in group.members[1:]}:
                if first[chip] == chip:
                    arrivals.setdefault(chip, []).append(at)
        self._classes[pattern], self._arrivals[pattern] = here, arrivals

    def _alone(self, each: _Class, times: Needs) -> dict[str, float]:
        """What one message of a class needs, of the chip that it needs more of."""
        needs = self._shares(each.joined[:1], times, True).values()
        return {name: max(here.get(name, 0.0) for here in needs) for name in {name for here in needs for name in here}}

    def _shares(self, joined: Iterable[Joined], times: Needs, stand_in: bool) -> dict[int, dict[str, float]]:
        """What alike messages ask of a simulated chip: its time for the whole, by the bytes it sends (or only gets).

        `stand_in`: a chip that is not simulated is looked up as the one that stands for it.
        """
        first = self.folding.chip
        needs: dict[int, dict[str, float]] = {}
        for group in joined:
            source, target = (first[chip] if stand_in else chip for chip in group.members[:2])
            for chip, total in ((source, self._sent), (target, {} if target in self._sent else self._got)):
                if chip in times and chip in total:
                    here = needs.setdefault(chip, {})
                    for name, seconds in times[chip].items():
                        share = group.transfer.sent_bytes / total[chip]
                        here[name] = here.get(name, 0.0) + seconds * share
        return needs

    def issue(self, parents: Mapping[int, int], index: int, chunk: int) -> None:
        """Append the messages of one chunk; `parents` are the tasks that stand for the whole, by simulated chip."""
        steps, add = self.planned.traffic.steps, self.program.add
        made: list[list[int]] = []
        gates: dict[tuple[tuple[int, ...], int], list[int]] = {}
        heads: dict[int, list[int]] = {}
        tails: dict[int, dict[int, int]] = {}
        opened = _opened(steps)
        for step, gate in zip(steps, opened, strict=True):
            tasks: list[int] = []
            passed_on = {} if step.gate else self._passed_on(step, made)
            for each, lane in zip(self._classes[step.pattern], self._lanes(step), strict=True):
                parent = parents[each.sender]
                sent = tails.setdefault(parent, {})
                # whoever got nothing to pass on still waits until its phase begins
                needed: Collection[int] = passed_on.get(each.sender, ())
                if not needed and gate:
                    needed = self._gate(gates, (gate, parent), made, parents)
                # all that begin with the whole wait for its launch side by side: later slices do not overtake the first
                shape = each.shapes[1 if needed else 0]
                task = sent[lane] = add((lane,), shape, needed, index, chunk)
                if not needed:
                    heads.setdefault(parent, []).append(task)
                tasks.append(task)
            made.append(tasks)
        for parent, sent in tails.items():
            self.program.enclose(parent, heads[parent], list(sent.values()))

    def _gate(
        self,
        gates: dict[tuple[tuple[int, ...], int], list[int]],
        where: tuple[tuple[int, ...], int],
        made: list[list[int]],
        parents: Mapping[int, int],
    ) -> list[int]:
        """The task that ends when some steps of a group are over on all of its chips."""
        if where not in gates:
            after, parent = where
            whole = self.program
            before = [
                task
                for at in after
                for task, each in zip(made[at], self._classes[self.planned.traffic.steps[at].pattern], strict=True)
                if parents[each.sender] == parent
            ]
            chip = whole.queues[whole.queue[parent]].chip
            lane = self.lane_of(chip, "gate")
            task = whole.add((lane,), whole.intern(_NOTHING), before, whole.kernel[parent], whole.chunk[parent])
            gates[where] = [task]
        return gates[where]

    def _passed_on(self, step: Step, made: list[list[int]]) -> Mapping[int, Collection[int]]:
        """By receiver, the messages of the rounds before that it needs. Of those that come to it in one lane of one sender,
        in order, the last is enough."""
        steps = self.planned.traffic.steps
        if len(step.after) == 1:
            done = made[step.after[0]]
            arrivals = self._arrivals[steps[step.after[0]].pattern]
            return {chip: [done[number] for number in numbers] for chip, numbers in arrivals.items()}
        last: dict[int, dict[int, int]] = {}
        for at in step.after:
            lanes = self._lanes(steps[at])
            for chip, numbers in self._arrivals[steps[at].pattern].items():
                here = last.setdefault(chip, {})
                here.update({lanes[number]: made[at][number] for number in numbers})
        return {chip: list(here.values()) for chip, here in last.items()}

    def _lanes(self, step: Step) -> list[int]:
        """The lane of each class of messages; those of one sender in one step go side by side."""
        key = (step.pattern, step.lane)
        if key not in self._known_lanes:
            senders = [each.sender for each in self._classes[step.pattern]]
            beside: dict[int, int] = {}
            lanes = self._known_lanes[key] = []
            for sender in senders:
                at = beside[sender] = beside.get(sender, -1) + 1
                lanes.append(self.lane_of(sender, f"{step.lane}.{at}" if at else f"{step.lane}"))
        return self._known_lanes[key]
