"""The words that speak of one chip, for every chip that is simulated; the word of the run is the most of them.

Rule: chips may be unlike in what they are or in what they run. Then each word is that of the chip with the most of it, for
the whole run and for one op alike; two words may so speak of two chips, and `Summary.chip_of` says of which.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from analysis.words.causes import COMPUTE, MEMORY, NETWORK, what_it_does
from analysis.words.intervals import covered, covered_without
from hw.rows import array_of, number_of
from simulator import PS_PER_S, Plan, PlannedKernel, Result

OnChips = Mapping[int, float]
"""A figure of each simulated chip that has one."""

_FEW = 200
"""Kernels up to which a plain sum is faster than a column."""


def totals(
    plan: Plan,
    amount: Callable[[PlannedKernel, int], float],
    counts: Callable[[PlannedKernel], bool] = lambda _sort: True,
) -> OnChips:
    """An amount per kernel, of which variant it is given, added up on each chip in program order; `counts`: of which."""
    sorts, code = plan.kernels.sorts, plan.kernels.code
    runs = [frozenset(sort.chips) if counts(sort) else frozenset() for sort in sorts]
    known: dict[Hashable, tuple[int, float]] = {}
    found: dict[int, tuple[int, float]] = {}
    for chip in plan.simulated:
        variant = plan.split.variant_of[chip]
        here = tuple(chip in each for each in runs)
        if any(here):
            if (variant, here) not in known:
                worth = [amount(sort, variant) if mine else None for sort, mine in zip(sorts, here, strict=True)]
                known[variant, here] = _first_and_sum(worth, code)
            found[chip] = known[variant, here]
    # by the first kernel that a chip has
    return {chip: total for chip, (_, total) in sorted(found.items(), key=lambda each: (each[1][0], each[0]))}


def _first_and_sum(worth: Sequence[float | None], code: Sequence[int]) -> tuple[int, float]:
    """The first kernel that is worth something, and what all are worth, added in order."""
    first = next(at for at, sort in enumerate(code) if worth[sort] is not None)
    if len(code) < _FEW:
        return first, sum((value for sort in code if (value := worth[sort]) is not None), 0.0)
    counts = np.asarray([each is not None for each in worth])[np.asarray(code)]
    column = array_of([each or 0.0 for each in worth])[np.asarray(code)]
    # a running sum adds in order, as one number after the other would
    return first, number_of(np.cumsum(column[counts])[-1])


def flops(plan: Plan) -> OnChips:
    """FLOP on both units."""
    return totals(plan, lambda sort, variant: sort.variants[variant].kernel.flops)


def hbm_bytes(plan: Plan) -> OnChips:
    """HBM traffic in bytes."""
    return totals(plan, lambda sort, variant: sort.variants[variant].hbm_bytes)


def network_bytes(plan: Plan) -> OnChips:
    """Bytes put on links."""
    return totals(plan, lambda sort, _variant: sort.traffic.sent_bytes)


def intensity(plan: Plan) -> OnChips:
    """FLOP per byte of HBM, of chips with traffic."""
    arithmetic = flops(plan)
    return {chip: arithmetic[chip] / nbytes for chip, nbytes in hbm_bytes(plan).items() if nbytes}


def overhead_s(plan: Plan, run: Callable[[], Result]) -> OnChips:
    """Seconds in which tasks are in their fixed times; an instant counts once, however many are. Where a chip has one queue
    its tasks follow each other, so that their fixed times add up; only else is the run needed."""
    program = plan.program
    lanes = [queue.chip for queue in program.queues if not queue.inner]
    fixed = [shape.fixed_ps for shape in program.shapes]
    if not any(fixed):
        return {}
    if len(set(lanes)) == len(lanes):
        total: dict[int, int] = {}
        for task in program.outer():
            own = fixed[program.shape[task]]
            for chip in program.chips_of(task) if own else ():
                total[chip] = total.get(chip, 0) + own
        return {chip: time / PS_PER_S for chip, time in total.items()}
    places = run().places
    own = array_of(fixed)[np.asarray(program.shape, dtype=np.int64)[places.task]]
    places, own = places.of(own > 0), own[own > 0]
    end = np.minimum(places.begin + own, places.end)
    return {chip: covered(places.begin[rows], end[rows]) / PS_PER_S for chip, rows in _by_chip(places.chip)}


def exposed_s(result: Result) -> tuple[OnChips, OnChips]:
    """(network, memory): seconds in which they run while no matrix or vector work does."""
    plan, places = result.plan, result.places
    sorts = [what_it_does(sort) for sort in plan.kernels.sorts]
    does = np.asarray(sorts, dtype=object)[np.asarray(plan.kernels.code, dtype=np.int64)[places.kernel]]
    network: dict[int, float] = {}
    moving: dict[int, float] = {}
    for chip, rows in _by_chip(places.chip):
        begin, end, here = places.begin[rows], places.end[rows], does[rows]
        computing = begin[here == COMPUTE.does], end[here == COMPUTE.does]
        for found, cause in ((network, NETWORK), (moving, MEMORY)):
            mine = here == cause.does
            if mine.any():
                found[chip] = covered_without(begin[mine], end[mine], computing) / PS_PER_S
    return network, moving


def _by_chip(chip: Any) -> Iterator[tuple[int, Any]]:
    """The rows of each chip; chips in the order in which they first come."""
    order = np.argsort(chip, kind="stable")
    starts = np.flatnonzero(np.diff(chip[order], prepend=-1))
    parts = np.split(order, starts[1:])
    for rows in sorted(parts, key=lambda rows: rows[0]) if len(order) else ():
        yield int(chip[rows[0]]), rows
