"""Stages that wait for what is on the host, pass by pass in seconds: what they hold, and when they are over.

Model: each stage goes about its passes in the order of the schedule. A pass begins when the one before of its stage is over
and what it takes in is made. The kernels beside the compute queue go on in their queues from one pass to the next: what one
microbatch sends to the host goes when that of the microbatches before has gone, and a backward pass waits for what has to go
and come back first. What a pass fetches ahead it may fetch when the pass before is nearly over. A tensor is there from the
begin of what makes it to the end of what reads it last, in whichever pass. What is taken in may be sent to the host before
the pass begins.
What is held goes by what computes: there copies last as long as what HBM lets that do meanwhile. When stages are over goes
by copies, for which they wait.
Assumes: what is in `beside`: kernels alone. What stages send each other is there at once.
Law: beside a host that nobody waits for passes take what they take by themselves.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from simulator.graph.owners import OWNERS
from simulator.models.estimates.memory.beside import COMPUTES, Beside, Event
from simulator.models.estimates.moves import moves_of

_EARLY_S = 1e-10
"""What ends when something else begins is gone by then: so far apart may be what is added up in two ways."""

_SAME = 12
"""Passes that meet the same to so many digits behind the point, in seconds, go on alike."""

_Kernel = tuple[int, int, str, int, tuple[int, ...], float]
"""A kernel of a pass: its number, step, queue ("": that which computes), the step from which on it may begin, those that it
waits for, and seconds; steps count from the begin of the pass. Instead of a step: `_TAKEN`, `_FETCHED`."""

_TAKEN, _FETCHED = -1, -2
"""From when on a kernel may begin that waits for what the pass takes in only, and one that fetches ahead."""

_NEVER = float("-inf")


@dataclass(frozen=True, slots=True, eq=False)
class _Went:
    """How a pass went, in seconds from its begin: when its steps begin, and the end; when kernels beside it begin and end,
    in their order; when queues are free behind it."""

    there: Any
    begins: Any
    ends: Any
    queues: Any


@dataclass(slots=True, eq=False)
class _Part:
    """A pass of a microbatch: seconds of the compute queue `before` each of its steps; `kernels` beside it, their `numbers`
    and `queues`, and kernels of other passes that they wait for (`others`); which of them later passes wait for; its first
    step that waits for what passes before have left so, and that which lets the next pass fetch; whether any kernel begins
    when what is taken in is there, and whether any fetches ahead. `went`: how it went, by what it met."""

    before: list[float]
    kernels: Sequence[_Kernel]
    numbers: Any
    queues: tuple[str, ...]
    others: Any
    reduces: Any
    held_up: int | None
    releases: int
    early: bool
    fetches: bool
    went: dict[bytes, _Went] = field(default_factory=dict)

    def go(self, met: Any) -> _Went:
        """How it goes, given when kernels of other passes end, when its queues are free, when what was left to be reduced
        is, when what it takes in came, and from when on it may fetch, in seconds from its begin."""
        count = len(self.others)
        ends = dict(zip(self.others.tolist(), met[:count].tolist(), strict=True))
        queues = dict(zip(self.queues, met[count:-3].tolist(), strict=True))
        reduced_s, came_s, fetches_s = met[-3:].tolist()
        before, held_up, begins = self.before, self.held_up, list[float]()
        delay, delays, delayed = 0.0, [0.0], list[int]()

        def wait(at: int, there: float) -> None:
            nonlocal delay
            if there > before[at] + delay:
                delay = there - before[at]
                delays.append(delay)
                delayed.append(at)

        for number, at, queue, ready, makers, lasts in self.kernels:
            if held_up is not None and at >= held_up:
                wait(held_up, reduced_s)
                held_up = None
            there = max([ends[each] for each in makers]) if makers else _NEVER
            if not queue:
                wait(at, there)
                continue
            start = came_s if ready == _TAKEN else fetches_s
            if ready >= 0:
                # by as much as the compute queue was late when it had made what is read
                late = delay if not delayed or delayed[-1] < ready else delays[bisect_left(delayed, ready)]
                start = before[ready] + late
            start = max(start, there, queues[queue])
            begins.append(start)
            ends[number] = queues[queue] = start + lasts
        if held_up is not None:
            wait(held_up, reduced_s)
        shift = np.repeat(delays, np.diff([0, *delayed, len(before)]))
        mine = [ends[number] for number in self.numbers.tolist()]
        free = [queues[name] for name in self.queues]
        return _Went(before + shift, np.asarray(begins), np.asarray(mine), np.asarray(free))


@dataclass(frozen=True, eq=False)
class Microbatch:
    """A microbatch of a chunk, all of its `parts` one behind the other: what goes on beside the compute queue, what steps
    take, and rows of what they make: `nbytes`, `owner`, first step and the step behind the last one, the first row and the
    first step of each part, and how many rows it takes in."""

    parts: tuple[str, ...]
    beside: Beside
    seconds: Any
    nbytes: Any
    owner: Any
    begin: Any
    end: Any
    since: tuple[int, ...]
    bounds: tuple[int, ...]
    taken: tuple[int, ...]

    @property
    def steps(self) -> int:
        """How many steps there are."""
        return self.bounds[-1]

    @cached_property
    def count(self) -> int:
        """How many kernels go on beside the compute queue."""
        return sum(queue != COMPUTES for _, queue, _, _ in self.beside.events)

    @cached_property
    def held(self) -> Any:
        """Bytes of each row, none of what is fetched for the next pass, which has that itself."""
        steps = np.asarray([at for at, queue, _, _ in self.beside.events if queue != COMPUTES], dtype=np.int64)
        found = self.nbytes.copy()
        found[self.beside.made[steps[self.beside.maker] < 0]] = 0.0
        return found

    @cached_property
    def passes(self) -> list[_Part]:
        """What goes on in each part."""
        beside = self.beside
        mine = np.where(beside.computes, self.seconds[: self.steps], 0.0)
        before = np.concatenate([[0.0], np.cumsum(mine)])
        numbers = np.cumsum([0, *(queue != COMPUTES for _, queue, _, _ in beside.events)]).tolist()
        bounds = pairwise((*beside.parts, len(beside.events)))
        found = []
        for part, (first, last) in enumerate(bounds):
            since, until = self.bounds[part : part + 2]
            events = zip(beside.events[first:last], numbers[first:last], strict=True)
            found.append(self._part(part, list(events), (before[since : until + 1] - before[since]).tolist()))
        return found

    def _part(self, part: int, events: Sequence[tuple[Event, int]], before: list[float]) -> _Part:
        beside, since = self.beside, self.bounds[part]
        kernels: list[_Kernel] = []
        for (at, queue, ready, makers), number in events:
            if at >= 0:  # what is fetched for the next pass is told there
                name = "" if queue == COMPUTES else beside.queues[queue]
                since_when = (
                    _FETCHED if number in beside.fetched else _TAKEN if number in beside.early else ready - since
                )
                kernels.append((number, at - since, name, since_when, makers, float(self.seconds[at])))
        numbers = [number for number, _, name, *_ in kernels if name]
        waited = {each for kernel in kernels for each in kernel[4]}
        held_up = beside.held_up[part]
        return _Part(
            before=before,
            kernels=kernels,
            numbers=np.asarray(numbers, dtype=np.int64),
            queues=tuple(dict.fromkeys(name for _, _, name, *_ in kernels if name)),
            others=np.asarray(sorted(waited.difference(numbers)), dtype=np.int64),
            reduces=np.asarray([each in beside.reduces for each in numbers], dtype=bool),
            held_up=None if held_up is None else held_up - since,
            releases=beside.releases[part] - since,
            early=any(ready == _TAKEN and name for _, _, name, ready, *_ in kernels),
            fetches=any(ready == _FETCHED and name for _, _, name, ready, *_ in kernels),
        )


@dataclass(slots=True)
class _Chip:
    """A chip of a stage so far: when its queues are free, that which computes and others, what the pass before lets the next
    one fetch, and when all that passes have left to be reduced is."""

    free_s: float = 0.0
    queues: dict[str, float] = field(default_factory=dict)
    nearly_over_s: float = 0.0
    reduced_s: float = 0.0

    @property
    def over_s(self) -> float:
        """When all of its queues are free: what is copied last may be over behind what computes."""
        return max([self.free_s, *self.queues.values()])


class _Gone:
    """A microbatch that is gone through: when its steps, and kernels beside compute, begin and end."""

    def __init__(self, of: Microbatch) -> None:
        self.of = of
        self.begin: Any
        self.end: Any
        self.begins: Any
        self.ends: Any
        self.begin, self.end = np.zeros((2, of.steps + 1))
        self.begins, self.ends = np.zeros((2, of.count))
        self.came: dict[int, float] = {}

    def through(self, name: str, chip: _Chip, came_s: float) -> float:
        """Through a part, whose input is there at a time; returns when it is over."""
        part = self.of.parts.index(name)
        mine, since = self.of.passes[part], self.of.bounds[part]
        begin = max(chip.free_s, came_s)
        self.came[part] = came_s
        queues = [chip.queues.get(each, 0.0) for each in mine.queues]
        since_when = [came_s if mine.early else begin, chip.nearly_over_s if mine.fetches else begin]
        met: Any = np.concatenate([self.ends[mine.others], queues, [chip.reduced_s], since_when]) - begin
        # what was over before anything can begin was over
        met = np.round(np.maximum(met, min(0.0, *met[-2:])), _SAME)
        key = met.tobytes()
        went = mine.went.get(key)
        if went is None:
            went = mine.went[key] = mine.go(met)
        there = begin + went.there
        self.begin[since : since + len(there)] = there
        self.end[since : since + len(there) - 1] = there[1:]
        self.begins[mine.numbers] = begin + went.begins
        self.ends[mine.numbers] = ends = begin + went.ends
        chip.queues |= zip(mine.queues, (begin + went.queues).tolist(), strict=True)
        chip.free_s = float(there[-1])
        if name in ("forward", "backward"):
            chip.nearly_over_s = float(there[mine.releases])
        chip.reduced_s = max(chip.reduced_s, ends[mine.reduces].max(initial=0.0))
        return chip.free_s

    def rows(self) -> tuple[Any, Any]:
        """From when to when each row is there."""
        mine, beside = self.of, self.of.beside
        first = self.begin[np.minimum(mine.begin, mine.steps)]
        first[beside.made] = self.begins[beside.maker]
        for part, came in self.came.items():
            since = mine.since[part]
            first[since : since + mine.taken[part]] = came
        last = self._over(mine.end)
        last[beside.read] = self._over(beside.needed[beside.read])
        np.maximum.at(last, beside.read, self.ends[beside.reader])
        for number, into in beside.holder:
            last[into] = max(last[into], last[number])
        last[mine.end > mine.steps] = np.inf
        return first, np.maximum(first, last)

    def _over(self, behind: Any) -> Any:
        """When the steps in front of some are over."""
        return np.where(behind > 0, self.end[np.clip(behind - 1, 0, None)], 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class InTime:
    """What a stage holds at the most, by owner, when it is over, and what one more microbatch takes, in seconds."""

    at_peak: Any
    seconds: float
    period: float


def stages_in_time(
    chunks: Sequence[tuple[Microbatch, Microbatch]], stages: int, microbatches: int, name: str
) -> list[InTime]:
    """The stages of a pipeline, given any microbatch of each chunk, and the last one."""
    has = tuple(tuple(does for does in _PASSES if does in each.parts) for each, _ in chunks)
    moves = moves_of(name, stages, microbatches, has)
    chips = [_Chip() for _ in range(stages)]
    gone = [[*(_Gone(plain) for _ in range(microbatches - 1)), _Gone(last)] for plain, last in chunks]
    for at, mine in enumerate(gone):
        mine[-1].through("begin", chips[at % stages], 0.0)
    came = [0.0] * moves.slots
    over = np.zeros((stages, microbatches))
    for key, number, stage, source, target, *_ in moves.rows:
        does, chunk = moves.passes[key]
        over[stage, number] = came[target] = gone[chunk][number].through(does, chips[stage], came[source])
    for at, mine in enumerate(gone):
        mine[-1].through("end", chips[at % stages], 0.0)
    # as many of them as go into a stage's chunks together, before the last one
    turns = min(stages, microbatches - 2)
    period = (over[:, -2] - over[:, -2 - turns]) / turns if turns > 0 else np.zeros(stages)
    return [
        InTime(_highest([each for mine in gone[stage::stages] for each in mine]), chip.over_s, float(period[stage]))
        for stage, chip in enumerate(chips)
    ]


_PASSES: Mapping[str, None] = dict.fromkeys(("forward", "backward", "weights"))


def _highest(gone: Sequence[_Gone]) -> Any:
    """The most at once, by owner."""
    rows = [each.rows() for each in gone]
    first, last = (np.concatenate(each) for each in zip(*rows, strict=True))
    nbytes = np.concatenate([each.of.held for each in gone])
    by_begin, by_end = np.argsort(first), np.argsort(last)
    ended = np.concatenate([[0.0], np.cumsum(nbytes[by_end])])
    level = np.cumsum(nbytes[by_begin]) - ended[np.searchsorted(last[by_end], first[by_begin] + _EARLY_S, side="right")]
    when = float(first[by_begin][int(level.argmax())]) if len(level) else 0.0
    there = (first <= when) & (last > when + _EARLY_S)
    owner = np.concatenate([each.of.owner for each in gone])
    return np.bincount(owner[there], nbytes[there], len(OWNERS))
