"""What a run leaves behind: when every task began and ended, and the bounds of the whole.

The bounds are computed when asked for, without a simulation (`simulator.engine.bounds.paths`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hw import Dimension
from hw.input import notebook_html, show
from hw.rows import array_of, most_of
from simulator.engine.bounds.paths import dependency_bound_s, eta, in_order, lower_bound_s, upper_bound_s
from simulator.engine.shape import PS_PER_S
from simulator.lowering.planning.plan import Plan


@dataclass(frozen=True, slots=True)
class Places:
    """Each task in each queue that it occupies, but for messages: its chip, the kernel that it carries out there, when it
    began and ended (ps). Columns, in the order of tasks."""

    task: Any
    queue: Any
    chip: Any
    kernel: Any
    begin: Any
    end: Any

    def of(self, chosen: Any) -> Places:
        """Some of the rows: a mask, or their numbers."""
        return Places(*(getattr(self, name)[chosen] for name in self.__slots__))

    def on_chips(self, kernels: int, chips: int) -> OnChips:
        """So many kernels on so many chips."""
        order = np.argsort(self.kernel * chips + self.chip, kind="stable")
        kernel, chip = self.kernel[order], self.chip[order]
        first = np.flatnonzero((np.diff(kernel, prepend=-1) != 0) | (np.diff(chip, prepend=-1) != 0))
        row = np.cumsum(np.bincount(kernel[first] + 1, minlength=kernels + 1))
        return OnChips(chip[first], row, order, first)


@dataclass(frozen=True, slots=True)
class OnChips:
    """Each kernel on each chip that it runs on, by kernel, then chip: those of kernel i stand from `row[i]` to `row[i + 1]`.

    The places of each stand together in `order`, from its number in `first` on.
    """

    chip: Any
    row: Any
    order: Any
    first: Any


class Result:
    """A finished run. `begin_ps` and `end_ps` are by task id, in whole picoseconds; everything else in seconds."""

    def __init__(self, plan: Plan, begin_ps: Sequence[int], end_ps: Sequence[int]) -> None:
        self.plan = plan
        self.begin_ps = begin_ps
        self.end_ps = end_ps

    def __repr__(self) -> str:
        tasks = len(self.plan.program)
        counted = f"{tasks:,} task{'' if tasks == 1 else 's'}"
        return f"Result({self.plan.system.name}: {counted} in {show(self.time_s, Dimension.TIME)}, eta {self.eta:.3f})"

    def _repr_html_(self) -> str:
        times = {"time": self.time_s, "lower_bound": self.lower_bound_s, "upper_bound": self.upper_bound_s}
        rows = [(word, show(seconds, Dimension.TIME)) for word, seconds in times.items()]
        rows += [("eta", f"{self.eta:.3f}"), ("tasks", f"{len(self.plan.program):,}")]
        rows += [("chips", f"{self.plan.system.size:,}")]
        return notebook_html("Result", self.plan.system.name, ("", ""), rows)

    @cached_property
    def time_s(self) -> float:
        """When the last task ended."""
        return self.last_ps / PS_PER_S

    @cached_property
    def last_ps(self) -> int:
        """The same in picoseconds."""
        last: int = most_of(array_of(self.end_ps))
        return last

    @cached_property
    def lower_bound_s(self) -> float:
        """The roofline of the whole run."""
        return lower_bound_s(self.plan.program)

    @cached_property
    def upper_bound_s(self) -> float:
        """The same tasks with nothing overlapping on a chip."""
        return upper_bound_s(self.plan.program, self._order)

    @cached_property
    def dependency_bound_s(self) -> float:
        """The longest chain of dependencies, every task at its own max."""
        return dependency_bound_s(self.plan.program, self._order)

    @cached_property
    def _order(self) -> Sequence[int]:
        """The tasks, each after what it waits for."""
        return list(in_order(self.plan.program))

    @property
    def eta(self) -> float:
        """Where between the bounds the run landed: 1 the lower, 0 the upper."""
        return eta(self.time_s, self.lower_bound_s, self.upper_bound_s)

    @cached_property
    def places(self) -> Places:
        """Where and when every task ran, as columns."""
        program = self.plan.program
        task, queue = np.arange(len(program)), np.asarray(program.queue, dtype=np.int64)
        if program.groups:
            more = [(each, other) for each, queues in program.groups.items() for other in queues[1:]]
            beside = np.asarray(more, dtype=np.int64)
            task, queue = np.concatenate([task, beside[:, 0]]), np.concatenate([queue, beside[:, 1]])
            order = np.argsort(task, kind="stable")
            task, queue = task[order], queue[order]
        if program.parts:
            outer = ~np.asarray([each.inner for each in program.queues], dtype=bool)[queue]
            task, queue = task[outer], queue[outer]
        chip = np.asarray([each.chip for each in program.queues], dtype=np.int64)[queue]
        kernel = np.asarray(program.kernel, dtype=np.int64)[task]
        for at in np.flatnonzero(np.isin(kernel, list(self.plan.partner))) if self.plan.partner else ():
            kernel[at] = self.plan.kernel_on(int(task[at]), int(chip[at]))
        return Places(task, queue, chip, kernel, array_of(self.begin_ps)[task], array_of(self.end_ps)[task])

    @cached_property
    def on_chips(self) -> OnChips:
        """Each kernel on each chip that it runs on."""
        return self.places.on_chips(len(self.plan.kernels), self.plan.system.size)

    @cached_property
    def waiting_ps(self) -> dict[tuple[int, int], int]:
        """How long each member of a collective or transfer waited for the others: (task, queue) -> ps.

        A member has come when its chip's inputs are there and its queue has ended what stood before.
        """
        program = self.plan.program
        if not program.groups:
            return {}
        came: dict[tuple[int, int], int] = {}
        for queue, tasks in self._by_queue().items():
            before = 0
            for task in tasks:
                if task in program.groups:
                    came[task, queue] = before
                before = self.end_ps[task]
        for task, successors in enumerate(program.successors):
            if program.is_inner(task):
                continue
            for after in successors:
                if after in program.groups:
                    chips = set(program.chips_of(task))
                    for queue in program.groups[after]:
                        if program.queues[queue].chip in chips:
                            came[after, queue] = max(came[after, queue], self.end_ps[task])
        return {member: self.begin_ps[member[0]] - arrival for member, arrival in came.items()}

    def _by_queue(self) -> dict[int, list[int]]:
        """The tasks of each queue that holds collectives or transfers, in the order they ran."""
        program = self.plan.program
        mixed = {queue for queues in program.groups.values() for queue in queues}
        lanes: dict[int, list[int]] = {queue: [] for queue in mixed}
        for task in range(len(program)):
            for queue in program.queues_of(task):
                if queue in mixed:
                    lanes[queue].append(task)
        for tasks in lanes.values():
            tasks.sort(key=lambda task: (self.begin_ps[task], self.end_ps[task], task))
        return lanes
