"""What all groups of a communication ask of the wires: the words of the network's side of a plan.

Model: a communication has a group for each place along the mesh axes that it does not go over; each asks for a transfer of
its own, all at once. By messages it also has the steps that carry it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np

from hw.rows import array_of, largest, sums_at
from simulator.collectives.choice import Choice
from simulator.collectives.transfer import Transfer


@dataclass(frozen=True, slots=True)
class Joined:
    """The chips that one task joins (a message's sender comes first), its transfer, and how that was chosen."""

    members: Sequence[int]
    transfer: Transfer
    choice: Choice | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """Bytes on a wire that a group asks for, as columns: number of the group, number of the wire, bytes."""

    group: Any
    wire: Any
    nbytes: Any

    def added(self) -> Loaded:
        """The same, with all that a group asks of a wire in one row."""
        if not len(self.wire):
            return self
        span = self.wire.max() + 1
        ends, at = np.unique(self.group * span + self.wire, return_inverse=True)
        return Loaded(ends // span, ends % span, sums_at(at, self.nbytes))


@dataclass(frozen=True, eq=False)
class Traffic:
    """All groups of a communication, and the algorithm. `pair`: of two chips, one after the other.

    `steps`: the messages that carry it out, if it goes by messages; the groups' transfers say what they do together.
    """

    groups: tuple[Joined, ...] = ()
    algorithm: str = ""
    pair: bool = False
    steps: tuple[Step, ...] = ()

    def times(self, count: int) -> Traffic:
        """So many of it, one after the other: the bytes of all, the latency of each."""
        made = {pattern: pattern.times(count) for pattern in dict.fromkeys(step.pattern for step in self.steps)}
        groups = tuple(replace(group, transfer=group.transfer.times(count)) for group in self.groups)
        steps = tuple(replace(step, pattern=made[step.pattern]) for step in self.steps)
        return replace(self, groups=groups, steps=steps)

    @cached_property
    def loads(self) -> Loaded:
        """What its groups ask, as columns: phase by phase, group by group."""
        phases = [(number, loads) for number, group in enumerate(self.groups) for loads in group.transfer.phases]
        count = sum(len(loads) for _, loads in phases)
        return Loaded(
            np.repeat([number for number, _ in phases], [len(loads) for _, loads in phases]).astype(np.int64),
            np.fromiter(chain.from_iterable(loads for _, loads in phases), np.int64, count),
            array_of([nbytes for _, loads in phases for nbytes in loads.values()], np.float64),
        )

    @property
    def reason(self) -> str:
        """Why the algorithm was chosen, in words."""
        reasons = {each.choice.algorithm: each.choice.reason for each in self.groups if each.choice is not None}
        return "; ".join(dict.fromkeys(reasons.values()))

    @property
    def in_phases(self) -> bool:
        """Whether a group asks for one thing after another."""
        return any(len(group.transfer.phases) > 1 for group in self.groups)

    @property
    def form(self) -> str:
        """Whether it is one task or goes by messages."""
        return "messages" if self.steps else "task"

    @property
    def wires(self) -> frozenset[int]:
        """All wires that it uses."""
        return frozenset(self.loads.wire.tolist())

    @property
    def sent_bytes(self) -> float:
        """The most that one chip puts on its links."""
        return largest((group.transfer.sent_bytes for group in self.groups), default=0.0)


NO_TRAFFIC = Traffic()
"""Of a kernel that uses no wires."""


@dataclass(frozen=True, slots=True)
class Step:
    """Messages that start together: each a group of two chips. Equal ones share their `pattern`. With `gate` they start
    when the steps `after` which they come are over everywhere, else when those have brought a sender what it passes on.
    `pace`: how fast they are beside others of the collective."""

    pattern: Traffic
    lane: int
    after: tuple[int, ...]
    gate: bool = False
    pace: int = 1
