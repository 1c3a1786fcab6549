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
from hw.rows import array_of, number_of, stable_order
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
    sorts, code = plan.kernels.sorts, np.asarray(plan.kernels.code, dtype=np.int64)
    runs: dict[int, list[int]] = {chip: [] for chip in plan.simulated}
    for number, sort in enumerate(sorts):
        if counts(sort):
            for chip in runs.keys() & sort.chips:
                runs[chip].append(number)
    order = stable_order(code)
    since = np.searchsorted(code[order], np.arange(len(sorts) + 1)).tolist()
    known: dict[Hashable, tuple[int, float]] = {}
    found: dict[int, tuple[int, float]] = {}
    for chip, mine in runs.items():
        key = plan.split.variant_of[chip], tuple(mine)
        if mine and key not in known:
            kernels = np.sort(np.concatenate([order[since[sort] : since[sort + 1]] for sort in mine]))
            worth = [amount(sorts[sort], key[0]) for sort in mine]
            known[key] = int(kernels[0]), _sum_in_order(worth, np.searchsorted(mine, code[kernels]))
        if mine:
            found[chip] = known[key]
    # by the first kernel that a chip has
    return {chip: total for chip, (_, total) in sorted(found.items(), key=lambda each: (each[1][0], each[0]))}


def _sum_in_order(worth: Sequence[float], kernels: Any) -> float:
    """What kernels are worth, added one after the other; `kernels`: of each the place of what it is worth."""
    if len(kernels) < _FEW:
        return sum((worth[at] for at in kernels.tolist()), 0.0)
    # a running sum adds in order, as one number after the other would; 0.0: whole numbers are floats, too
    total: float = number_of(np.cumsum(array_of([*worth, 0.0])[kernels])[-1])
    return total


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
    number = {COMPUTE.does: 0, NETWORK.does: 1, MEMORY.does: 2}
    sorts = [number.get(what_it_does(sort), -1) for sort in plan.kernels.sorts]
    does = np.asarray(sorts, dtype=np.int8)[np.asarray(plan.kernels.code, dtype=np.int64)[places.kernel]]
    network: dict[int, float] = {}
    moving: dict[int, float] = {}
    for chip, rows in _by_chip(places.chip):
        begin, end, here = places.begin[rows], places.end[rows], does[rows]
        computing = begin[here == number[COMPUTE.does]], end[here == number[COMPUTE.does]]
        for found, cause in ((network, NETWORK), (moving, MEMORY)):
            mine = here == number[cause.does]
            if mine.any():
                found[chip] = covered_without(begin[mine], end[mine], computing) / PS_PER_S
    return network, moving


def _by_chip(chip: Any) -> Iterator[tuple[int, Any]]:
    """The rows of each chip; chips in the order in which they first come."""
    order = stable_order(chip)
    starts = np.flatnonzero(np.diff(chip[order], prepend=-1))
    parts = np.split(order, starts[1:])
    for rows in sorted(parts, key=lambda rows: rows[0]) if len(order) else ():
        yield int(chip[rows[0]]), rows
