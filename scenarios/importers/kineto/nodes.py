"""The parts of a replay: what was measured, on which queue of which chip, and what it waited for.

Model: a node begins once its queue is free and everything it waits for has ended, `delay` later; it then takes as long as
was measured. Its end is the measured one, always; what begins and ends follow from that (`settle`). What is changed
afterwards (`changes`, `buckets`, `onto`) leaves these instants alone, and says what a node takes instead, and what it
waits for.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from scenarios.importers.collectives import Collective
from scenarios.importers.kineto.events import CollectiveSaid, DeviceWork

TOLERANCE_PS = 1_000_000
"""How far (1 us) clocks of the host and of devices, and of ranks, may be apart: they are sampled."""

LONG_PS = 20_000_000
"""A delay that is longer is told as time in which nothing ran, and stands as an op of its own."""


@dataclass(frozen=True, slots=True)
class Took:
    """How long work takes: what is taken for it, and the least and the most that it may be, in picoseconds."""

    least_ps: int
    likely_ps: int
    most_ps: int

    def scaled(self, least: float, likely: float, most: float) -> Took:
        """Each of the three times a factor of its own."""
        return Took(round(self.least_ps * least), round(self.likely_ps * likely), round(self.most_ps * most))


@dataclass(slots=True, eq=False)
class Node:
    """One piece of measured work. `modelled`: the collective that stands for it; `host`: whether it is what a host did;
    `meets`: whether kernels of a collective meet in it; `changed`: what it takes instead of what was measured; `given`: the
    elements that each rank gives to a joined collective; `line`: the op that launched it, as models price
    it, where its shapes are known."""

    title: str
    chip: int
    queue: str
    begin_ps: int
    end_ps: int
    after: list[Node] = field(default_factory=list)
    ready_ps: int = 0
    work: DeviceWork | None = None
    modelled: Collective | None = None
    host: bool = False
    meets: bool = False
    changed: Took | None = None
    given: int = 0
    line: str = ""
    name: str = ""

    @property
    def elements(self) -> int:
        """What each rank gives to its collective; of one that was not joined, what its kernel says."""
        said = self.collective
        return self.given or (said.elements_in or said.elements_out if said is not None else 0)

    @property
    def collective(self) -> CollectiveSaid | None:
        """What its kernel says of a collective."""
        return self.work.collective if self.work is not None else None

    @property
    def measured_ps(self) -> int:
        """How long it took once it ran."""
        return max(0, self.end_ps - max(self.begin_ps, self.ready_ps))

    @property
    def took(self) -> Took:
        """How long it takes in the replay."""
        return self.changed or Took(self.measured_ps, self.measured_ps, self.measured_ps)

    @property
    def delay_ps(self) -> int:
        """What passes between the last thing that it waits for and its begin."""
        return max(0, self.begin_ps - self.ready_ps)


@dataclass(slots=True)
class Doubts:
    """What a trace says that cannot be: waits for what ended later, and kernels of one stream side by side."""

    false_waits: dict[str, int] = field(default_factory=dict)
    side_by_side: int = 0
    side_by_side_ps: int = 0

    def false_wait(self, kind: str) -> None:
        """Count a dependency that did not hold."""
        self.false_waits[kind] = self.false_waits.get(kind, 0) + 1


def settle(node: Node, before: Node | None, start_ps: int, doubts: Doubts) -> None:
    """Find when a node could begin: after what stood before it in its queue, and what it waits for. A dependency that ended
    after the node had begun is none: it is dropped, and counted."""
    held: list[Node] = []
    for each in node.after:
        if each.end_ps > node.begin_ps + TOLERANCE_PS:
            doubts.false_wait("work of another queue" if each.work is not None else f"the host's {each.title}")
        elif each is not before:
            held.append(each)
    node.after = held
    ready = max([start_ps, *(each.end_ps for each in held)])
    if before is not None:
        if before.end_ps > node.begin_ps:
            doubts.side_by_side += 1
            doubts.side_by_side_ps += min(before.end_ps, node.end_ps) - node.begin_ps
        ready = max(ready, before.end_ps)
    node.ready_ps = ready
