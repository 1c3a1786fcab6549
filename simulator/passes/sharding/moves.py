"""From one sharding of a tensor to another: the sequences of collectives that get there.

Model: each mesh axis is somewhere in a tensor: it shards a dim, is summed over (`{U_X}`), or the tensor is whole over
it. Axes move one by one and independently (`simulator.passes.sharding.rules`): dim to whole is an all_gather, whole to
dim a slice, partial sums to whole an all_reduce, partial sums to dim a reduce_scatter, dim to dim an all_to_all. Moves
of one kind are one op over all their axes. What makes the local array smaller comes first and what makes it larger
last, so that every step moves as few bytes as it can; where a dim does not divide on the way, the other way round.
Nothing makes partial sums out of a whole tensor.
Source: "How to Scale Your Model", chapter on sharding.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from simulator.graph.items import Dim, Tensor

WHOLE, PARTIAL = -1, -2
"""Where an axis is that shards no dim; otherwise the number of the dim."""

MAX_ROUTES = 8
"""Combinations of detours tried for one tensor; beyond that each axis takes its shortest way."""

MAX_APART = 3
"""Axes that are also tried one op each."""

Style = Literal["direct", "gather", "every"]
"""Which ways to try: the direct one; that with a gather and a slice instead of an all_to_all; all of them (also one op
per axis instead of one for all)."""


@dataclass(frozen=True, slots=True)
class Step:
    """One inserted op: its kind, its axes, and the type that it makes (named as the tensor it started from)."""

    kind: str
    over: str
    made: Tensor


Steps = tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class _Move:
    """What happens to one axis in one step; `second`: it has moved before."""

    kind: str
    axis: str
    to: int
    second: bool = False


_Stages = tuple[tuple[_Move, ...], ...]
"""Moves in the order in which they are made, those of one op together."""

_SHRINK_FIRST = {"slice": 0, "reduce_scatter": 1, "all_reduce": 2, "all_to_all": 3, "all_gather": 4}
_GROW_FIRST = {"all_gather": 0, "all_to_all": 1, "all_reduce": 2, "reduce_scatter": 3, "slice": 4}


def place_of(axis: str, tensor: Tensor) -> int:
    """The number of the dim that the axis shards, PARTIAL, or WHOLE."""
    if axis in tensor.partial:
        return PARTIAL
    return next((at for at, dim in enumerate(tensor.dims) if axis in dim.axes), WHOLE)


def arranged(tensor: Tensor, places: Mapping[str, int]) -> Tensor:
    """The tensor with its axes at other places; axes that stay keep their order, the others come after them."""

    coming: dict[int, str] = {}
    for axis in sorted(places):
        coming[places[axis]] = coming.get(places[axis], "") + axis

    def at(place: int, now: str) -> str:
        there = coming.get(place, "")
        if not now or now == there:
            return there
        kept = [axis for axis in now if axis in there]
        return "".join([*kept, *[axis for axis in there if axis not in now]])

    dims = [Dim(dim.size, at(number, dim.axes)) for number, dim in enumerate(tensor.dims)]
    return tensor.laid_out(tuple(dims), at(PARTIAL, tensor.partial))


def sequences(
    source: Tensor, target: Tensor, fits: Callable[[Tensor], bool], style: Style, order: Sequence[str]
) -> Iterator[Steps]:
    """The ways from the type of `source` to that of `target`, the textbook's first; none if there is no way.

    `fits` says whether the shards of a tensor can be had (its dims divide). Axes are looked at in the mesh's `order`.
    """
    axes = sorted(set(source.axes + source.partial + target.axes + target.partial), key=order.index)
    places = {axis: (place_of(axis, source), place_of(axis, target)) for axis in axes}
    moved = {axis: ends for axis, ends in places.items() if ends[0] != ends[1]}
    if any(end == PARTIAL for _, end in moved.values()):
        return
    starts = {axis: start for axis, (start, _) in places.items()}
    walked: set[_Stages] = set()
    seen: set[Steps] = set()
    for number, moves in enumerate(_combined(moved, len(source.dims), style)):
        for stages in _stages(moves, style == "every" and number == 0):
            if stages in walked:
                continue
            walked.add(stages)
            steps = _walk(source, target, dict(starts), stages, order)
            if steps not in seen and all(fits(step.made) for step in steps):
                seen.add(steps)
                yield steps
                if style != "every":
                    return


def _combined(moved: Mapping[str, tuple[int, int]], dims: int, style: Style) -> Iterator[list[_Move]]:
    """All moves of a way, for each choice of a way for each axis."""
    ways = [_ways(axis, *ends, dims) for axis, ends in moved.items()]
    if style == "gather":
        ways = [each[1:] or each if each[0][0].kind == "all_to_all" else each for each in ways]
    if style != "every" or math.prod(map(len, ways)) > MAX_ROUTES:
        ways = [each[:1] for each in ways]
    for chosen in itertools.product(*ways):
        yield [move for way in chosen for move in way]


def _ways(axis: str, start: int, end: int, dims: int) -> list[list[_Move]]:
    """The ways of one axis, the direct one first."""
    if start == WHOLE:
        return [[_Move("slice", axis, end)]]
    if start == PARTIAL and end == WHOLE:
        detours = [
            [_Move("reduce_scatter", axis, at), _Move("all_gather", axis, WHOLE, second=True)] for at in range(dims)
        ]
        return [[_Move("all_reduce", axis, WHOLE)], *detours]
    if start == PARTIAL:
        return [
            [_Move("reduce_scatter", axis, end)],
            [_Move("all_reduce", axis, WHOLE), _Move("slice", axis, end, second=True)],
        ]
    if end == WHOLE:
        return [[_Move("all_gather", axis, WHOLE)]]
    return [
        [_Move("all_to_all", axis, end)],
        [_Move("all_gather", axis, WHOLE), _Move("slice", axis, end, second=True)],
    ]


def _stages(moves: Sequence[_Move], apart: bool) -> Iterator[_Stages]:
    """The moves in the order in which they are made, those of one op together; with `apart`, also one by one."""
    for rank in (_SHRINK_FIRST, _GROW_FIRST):

        def stage(move: _Move, rank: Mapping[str, int] = rank) -> int:
            late = move.second and (rank is _SHRINK_FIRST) == (move.kind == "slice")
            return 5 if late else rank[move.kind]

        ordered = sorted(moves, key=stage)
        yield tuple([tuple(group) for _, group in itertools.groupby(ordered, key=stage)])
        if apart and 1 < len(moves) <= MAX_APART:
            yield tuple([(move,) for move in ordered])
            backwards = moves[::-1]
            yield tuple([(move,) for move in sorted(backwards, key=stage)])


def _walk(source: Tensor, target: Tensor, places: dict[str, int], stages: _Stages, order: Sequence[str]) -> Steps:
    steps: list[Step] = []
    made = source
    for stage in stages:
        places.update({move.axis: move.to for move in stage})
        made = arranged(made, places)
        over = sorted((move.axis for move in stage), key=order.index)
        steps.append(Step(stage[0].kind, "".join(over), made))
    if steps:  # the last one has the axes in the order in which they were asked for
        steps[-1] = replace(steps[-1], made=made.laid_out(target.dims, target.partial))
    return tuple(steps)
