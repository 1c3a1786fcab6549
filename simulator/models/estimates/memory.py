"""What the stages of a step hold: all the time, and at the most, by owner.

Model: weights, states of the optimizer and sums of gradients are given, and so is what each microbatch brings along; a pass
moves the level by what it keeps for a later one or lets go of (`held`); a stage goes about its passes in the order of the
schedule. So what is held follows from counts of passes: at most S - s microbatches of activations with 1F1B, all with GPipe.
Assumes: program order, and beside it all as early as it may be. In a run what is received may come early, and what is sent
may stay a little longer: some tensors of the stream more at the peak, and from ZeRO-2 on gradients of two parts. What is
fetched may come later where wires are slow: a run holds less by at most the weights that may be gathered ahead. What is
copied to the host is let go in program order, and in a run when it is there: no later than it is fetched back, which `most`
counts. States that live there come one copy ahead of the step of their weights, and go one after the other. Without a
pipeline, and with nothing beside the backward pass, the peak is that of a run.
Law: no run holds less than `least`, counted in the same way from that part of each life which every run has (`lives`): the
kernels of a chip's compute queue run one after the other, in that order, whatever goes on beside them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby
from typing import Any, TypeVar

import numpy as np

from simulator.graph.items import Tensor
from simulator.graph.owners import OWNERS, Owner
from simulator.models.estimates.chunks import ChunkSort
from simulator.models.estimates.held import Rise, Sizes, Swing, rises_of, swings_of
from simulator.models.estimates.lives import Lives, Part, lives_of, rounds_of
from simulator.models.estimates.passes import PASSES
from simulator.models.estimates.rows import Binder, Rows
from simulator.ops.kernel import maker_of
from simulator.passes.pipeline.schedules import PAIRED, schedule

Key = tuple[str, bool]
"""A pass, and whether it is that of the last microbatch."""

Move = TypeVar("Move", Swing, Rise)


@dataclass(frozen=True, slots=True, eq=False)
class Moves:
    """What a stage does, one after the other: which of its `sorts` (a chunk of it, by number, and a pass), and how often."""

    sorts: Sequence[tuple[int, Key]]
    sort: Any
    times: Any

    def of(self, found: Sequence[Mapping[Key, Move]]) -> list[Move]:
        """The move of each sort, given those of each chunk."""
        return [found[at][key] for at, key in self.sorts]


_NUMBER = {owner: at for at, owner in enumerate(OWNERS)}


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """What a chunk holds: `given` once, `each`: given for each microbatch, by owner; how passes move it, and, `sure`, how
    they move what every run holds; `late`: how, where what goes to the host goes as late as it may."""

    given: Any
    each: Any
    passes: Mapping[Key, Swing]
    sure: Mapping[Key, Rise]
    late: Mapping[Key, Rise] | None


@dataclass
class Holdings:
    """What chunks hold; lives are the same for all configurations of a structure."""

    _known: dict[tuple[ChunkSort, bool, tuple[int, ...]], tuple[Lives, Lives]] = field(default_factory=dict)

    _kinds: dict[ChunkSort, _Kinds] = field(default_factory=dict)

    def of(self, sort: ChunkSort, rows: Mapping[Key, Rows], binder: Binder, is_sent: bool) -> Held:
        """What a chunk holds; `is_sent`: what it takes in comes from another chip."""
        plain, last, more = self._lives(sort, rows)
        if sort not in self._kinds:
            self._kinds[sort] = _Kinds(sort, rows)
        sizes = self._kinds[sort].sizes(rows, binder)
        taken = {slot for part in ("forward", "backward") for slot in sort.takes(part)}
        given, each = np.zeros(len(OWNERS)), np.zeros(len(OWNERS))
        if is_sent and sort.is_buffered:
            # what is received lies in a buffer that is there from the begin, for each microbatch
            for slot in taken:
                each[sizes.owner[slot]] += sizes.nbytes[slot]
            sizes = _without(sizes, tuple(taken))
        certain = sizes if is_sent else _without(sizes, (*sort.takes("forward"), *sort.takes("backward")))
        passes = _named(swings_of(plain, sizes, plain.whole, more, since=1), swings_of(last, sizes, last.whole, more))
        sure = _named(rises_of(plain, certain, plain.sure, more, since=1), rises_of(last, certain, last.sure, more))
        late = None
        if plain.late is not None or last.late is not None:
            ends = plain.late or plain.whole, last.late or last.whole
            late = _named(rises_of(plain, sizes, ends[0], more, since=1), rises_of(last, sizes, ends[1], more))
        shared = {sort.structure.slots.get(name) for name in sort.begun}
        for slot, (times, by_round, part) in last.given.items():
            if slot not in taken:
                total = given if slot in shared or part in ("begin", "end") else each
                total[sizes.owner[slot]] += (times + more * by_round) * sizes.nbytes[slot]
        return Held(given, each, passes, sure, late)

    def _lives(self, sort: ChunkSort, rows: Mapping[Key, Rows]) -> tuple[Lives, Lives, int]:
        """The lives of any microbatch and of the last, and how many more rounds there are than in those."""
        names = ("begin", *PASSES)
        plain = [self._part(sort, name, rows[name, False], _fetched(sort, name, rows)) for name in names]
        last = [
            # behind the last backward pass none is left to fetch for
            self._part(sort, name, rows[name, name in PASSES], _fetched(sort, name, rows) if name == "forward" else ())
            for name in (*names, "end")
        ]
        long, few = rounds_of([*plain, *last])
        counts = tuple(min(stretch.count, few or stretch.count) for part in (*plain, *last) for stretch in part.rows)
        key = sort, bool(few), counts
        if key not in self._known:
            self._known[key] = lives_of(plain, (long, few)), lives_of(last, (long, few))
        return *self._known[key], long - few

    @staticmethod
    def _part(sort: ChunkSort, name: str, rows: Rows, fetched: tuple[int, ...]) -> Part:
        return Part(
            name=name,
            rows=rows,
            takes=sort.takes(name),
            gives=sort.gives(name),
            stays=sort.stays(name),
            fetched=fetched,
            ahead=sort.chunk.stored.parallel.prefetch,
        )


def _fetched(sort: ChunkSort, name: str, rows: Mapping[Key, Rows]) -> tuple[int, ...]:
    """The slots of what the pass behind one fetches before that is over: what the first rounds of its first block do."""
    behind = {"forward": "backward", "backward": "forward"}.get(name)
    block = next((stretch for stretch in rows[behind, False] if stretch.block), None) if behind else None
    if block is None or not sort.structure.chunk.paced:
        return ()
    paced = {sort.structure.slot(each) for each in sort.structure.chunk.paced}
    made = tuple(slot for place in block.places for slot in place.makes[: place.written] if slot in paced)
    return made * min(sort.chunk.stored.parallel.prefetch + 1, block.count)


def _named(middle: Sequence[Move], whole: Sequence[Move]) -> dict[Key, Move]:
    """Moves by their passes: those of any microbatch, behind the begin, and those of the last."""
    found = {(name, False): swing for name, swing in zip(PASSES, middle[1:], strict=True)}
    return found | {(name, True): swing for name, swing in zip(("begin", *PASSES, "end"), whole, strict=True)}


def _without(sizes: Sizes, slots: Sequence[int]) -> Sizes:
    """Sizes without some slots, which the chunk before has already."""
    nbytes = sizes.nbytes.copy()
    nbytes[list(slots)] = 0.0
    return Sizes(nbytes, sizes.owner)


class _Kinds:
    """What is in the slots of a sort of chunk, for all configurations: owners, and tensors of one kind once."""

    def __init__(self, sort: ChunkSort, rows: Mapping[Key, Rows]) -> None:
        structure = sort.structure
        self._owner = np.full(len(structure.slots), _NUMBER["activations"])
        self._kind = np.zeros(len(structure.slots), dtype=np.int64)
        numbers: dict[tuple[Any, ...], int] = {}
        self._tensors: list[Tensor] = []
        beside: dict[str, int] = {}
        for name, slot in structure.slots.items():
            self._owner[slot] = _NUMBER[sort.roles.get(maker_of(name)[0], "activations")]
            tensor = structure.types.get(name)
            if tensor is None:
                beside[name] = slot
                continue
            number = numbers.setdefault((tensor.dtype, tensor.dims, tensor.memory), len(numbers))
            if number == len(self._tensors):
                self._tensors.append(tensor)
            self._kind[slot] = number
        self._beside = list(beside.values())
        self._written = _written(rows, beside)

    def sizes(self, rows: Mapping[Key, Rows], binder: Binder) -> Sizes:
        """Bytes and owners of all slots: of a tensor what it takes on a chip, of what is made beside one what is written."""
        nbytes = np.asarray([binder.nbytes(tensor) for tensor in self._tensors])[self._kind]
        nbytes[self._beside] = 0.0
        for slot, (key, stretch, kernel, write) in self._written.items():
            access = rows[key][stretch].kernels[kernel].writes[write]
            nbytes[slot] = access.nbytes if access.memory == "hbm" else 0.0
        return Sizes(nbytes, self._owner)


def _written(rows: Mapping[Key, Rows], beside: Mapping[str, int]) -> dict[int, tuple[Key, int, int, int]]:
    """The last write of what is made beside tensors, by slot: section, stretch, kernel and place among its writes."""
    found: dict[int, tuple[Key, int, int, int]] = {}
    for key, stretches in rows.items():
        for at, stretch in enumerate(stretches):
            for number, kernel in enumerate(stretch.kernels):
                for place, access in enumerate(kernel.writes):
                    if access.tensor in beside and access.memory == "hbm":
                        found[beside[access.tensor]] = key, at, number, place
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class StageMemory:
    """Bytes on a chip of a stage: what is given for the whole step, the most at once in program order, by owner, and what
    every run holds at once at the `least`; `most`: the most at once where what goes to the host is there as late as it may
    be, else the peak."""

    given: Mapping[Owner, float]
    at_peak: Mapping[Owner, float]
    least: float
    most: float

    @property
    def peak(self) -> float:
        """The most bytes at once."""
        return sum(self.at_peak.values())


def stages_memory(held: Sequence[Held], stages: int, microbatches: int, schedule: str) -> list[StageMemory]:
    """What a chip of each stage holds, given what each chunk does."""
    return [_stage(*each, microbatches) for each in _gone_about(held, stages, microbatches, schedule)]


def least_memory(held: Sequence[Held], stages: int, microbatches: int, schedule: str) -> float:
    """What every run holds at once on a chip of the stage that holds most; the same as of `stages_memory`."""
    gone_about = _gone_about(held, stages, microbatches, schedule)
    return max(_given(mine, microbatches) + _highest(_sure(mine), sure, more) for mine, _, sure, more in gone_about)


def _sure(mine: Sequence[Held]) -> list[Mapping[Key, Rise]]:
    return [each.sure for each in mine]


def _gone_about(
    held: Sequence[Held], stages: int, microbatches: int, schedule: str
) -> Iterator[tuple[Sequence[Held], Moves, Moves, int]]:
    """By stage: its chunks, the moves of as many microbatches as matter, as they hold what every run does, and how many more
    there are."""
    interleave = len(held) // stages
    # with gpipe all are held at once; else no more than so many, and those behind them only leave what they leave
    ahead = 2 if interleave == 1 and schedule not in PAIRED else 2 * interleave + 2
    most = microbatches if schedule == "gpipe" else min(microbatches, ahead * stages)
    for at, (moves, sure) in enumerate(_moves(schedule, stages, most, interleave)):
        yield held[at::stages], moves, sure, microbatches - most


@cache
def _moves(schedule: str, stages: int, microbatches: int, interleave: int) -> tuple[tuple[Moves, Moves], ...]:
    """What each stage does, from begin to end, and as it holds what every run does."""
    found = []
    for order in _orders(schedule, stages, microbatches, interleave):
        moves = [*((at, ("begin", True)) for at in range(interleave)), *order]
        moves += [(at, ("end", True)) for at in range(interleave)]
        turns = [(*move, len(list(alike))) for move, alike in groupby(moves)]
        mine = _in_columns(turns)
        found.append((mine, _in_columns(_parted(turns)) if schedule in PAIRED else mine))
    return tuple(found)


_Turn = tuple[int, Key, int]
"""A chunk of a stage, by number, a pass, and how often one after the other."""


def _in_columns(turns: Sequence[_Turn]) -> Moves:
    numbers = {sort: number for number, sort in enumerate(dict.fromkeys((at, key) for at, key, _ in turns))}
    sort = np.asarray([numbers[at, key] for at, key, _ in turns], dtype=np.int64)
    return Moves(tuple(numbers), sort, np.asarray([times for _, _, times in turns]))


def _parted(moves: Sequence[_Turn]) -> list[_Turn]:
    """Moves in which the passes of a turn come the other way round: a run may let go of what the backward pass frees before
    it has what the forward pass keeps."""
    found: list[_Turn] = []
    for move in moves:
        if not found or (found[-1][1][0], move[1][0]) != ("forward", "backward"):
            found.append(move)
            continue
        at, key, times = found.pop()
        found += [(at, key, times - 1)] if times > 1 else []
        found += [(*move[:2], 1), (at, key, 1)]
        found += [(*move[:2], move[2] - 1)] if move[2] > 1 else []
    return found


def _orders(name: str, stages: int, microbatches: int, interleave: int) -> list[list[tuple[int, Key]]]:
    """The passes of each stage in their order."""
    if name == "gpipe" and interleave == 1:
        # all of a kind, as the schedule says, however many there are: in no need of being put in order with other stages
        kinds: tuple[Key, ...] = tuple((does, last) for does in ("forward", "backward") for last in (False, True))
        order = [(0, kind) for kind in kinds for _ in range(1 if kind[1] else microbatches - 1)]
        return [order] * stages
    return [
        [(chunk // stages, (does, number == microbatches - 1)) for does, number, chunk in order]
        for order in schedule(name, stages, microbatches, interleave)
    ]


def _stage(mine: Sequence[Held], moves: Moves, sure: Moves, more: int, microbatches: int) -> StageMemory:
    """A stage that goes about its moves, and so many more microbatches of all."""
    given = sum((each.given + microbatches * each.each for each in mine), np.zeros(len(OWNERS)))
    at_peak = given + _peak([each.passes for each in mine], moves, more)
    there, most = _given(mine, microbatches), float(at_peak.sum())
    if any(each.late for each in mine):
        late = [each.late or _in_all(each.passes) for each in mine]
        most = max(most, there + _highest(late, moves, more))
    least = there + _highest(_sure(mine), sure, more)
    return StageMemory(given=_by_owner(given), at_peak=_by_owner(at_peak), least=least, most=most)


def _in_all(swings: Mapping[Key, Swing]) -> dict[Key, Rise]:
    """The same moves without owners."""
    return {key: Rise(swing.peak, swing.left_bytes) for key, swing in swings.items()}


def _given(mine: Sequence[Held], microbatches: int) -> float:
    """What a stage is given for the whole step."""
    return float(sum((each.given + microbatches * each.each for each in mine), np.zeros(len(OWNERS))).sum())


def _peak(swings: Sequence[Mapping[Key, Swing]], moves: Moves, more: int) -> Any:
    """The most by owner, where so many more microbatches leave what they leave."""
    done, times = moves.of(swings), moves.times
    left = np.asarray([each.left_bytes for each in done])[moves.sort]
    # of passes alike, each of which leaves as much, the first or the last is the highest
    turn = np.where(left > 0, times - 1, 0)
    top = _before(times * left) + turn * left + np.asarray([each.peak for each in done])[moves.sort]
    found, best = np.zeros(len(OWNERS)), int(top.argmax())
    if top[best] <= 0.0:
        best = len(top)
    if best:
        by_owner = np.stack([each.left for each in done])
        found = np.cumsum(times[:best, None] * by_owner[moves.sort[:best]], axis=0)[-1]
    if best < len(top):
        swing = done[moves.sort[best]]
        found = found + (turn[best] * swing.left + swing.at_peak)
    for each in swings:
        found = found + more * sum(each[does, False].left for does in PASSES)
    return found


def _before(moved: Any) -> Any:
    """The level before each of some moves."""
    return np.concatenate([[0.0], np.cumsum(moved[:-1])])


def _highest(rises: Sequence[Mapping[Key, Rise]], moves: Moves, more: int) -> float:
    """The most that is held beside what is given, as `_peak`."""
    done, times = moves.of(rises), moves.times
    left, peak = (np.asarray(each)[moves.sort] for each in ([each.left for each in done], [each.peak for each in done]))
    top = _before(times * left) + np.maximum(0.0, (times - 1) * left) + peak
    best = max(0.0, float(top.max()))
    return best + more * sum(each[does, False].left for each in rises for does in PASSES)


def _by_owner(nbytes: Any) -> dict[Owner, float]:
    return {owner: float(each) for owner, each in zip(OWNERS, nbytes, strict=True) if abs(each) > 0.5}
