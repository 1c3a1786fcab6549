"""Where the time of a run goes, cause by cause, on its busiest chip: what one layout of a model has more of than another.

Definition. Of the chip with the most arithmetic (as the word `bubble` has it), at every instant the first of these:
- a task with matrix or vector work runs: what the largest of its times is of (compute, vector, memory, host), or recompute,
  where it makes again what a forward pass has made;
- exposed_network, exposed_memory: none does, but communication, or else pure data movement;
- overhead: none of these, but a task in its fixed time;
- bubble: no task runs.
Law: they add up to the time of the run, in whole picoseconds.
"""

from __future__ import annotations

import numpy as np

from analysis.words.bubble import busiest_chip
from analysis.words.causes import COMPUTE, HOST, MEMORY, NETWORK, OVERHEAD, VECTOR, cause_of, what_it_does
from analysis.words.intervals import covered
from hw.rows import array_of, largest
from simulator import PlannedKernel, Result

RECOMPUTE, BUBBLE = "recompute", "bubble"

_EXPOSED = {NETWORK.does: "exposed_network", MEMORY.does: "exposed_memory", OVERHEAD.does: OVERHEAD.name}
"""By what a task does that has no matrix or vector work, what the time is spent on in which nothing else runs."""

SPENT = (COMPUTE.name, VECTOR.name, MEMORY.name, HOST.name, RECOMPUTE, *_EXPOSED.values(), BUBBLE)
"""What time is spent on, in the order in which it counts."""


def spent_ps(result: Result) -> dict[str, int]:
    """By each of `SPENT`, whole ps of a run on the chip with the most arithmetic; all bubble where there is none."""
    whole = int(largest(result.end_ps, default=0))
    found, chip = dict.fromkeys(SPENT, 0), busiest_chip(result.plan)
    places = result.places
    places = places.of(places.chip == (-1 if chip is None else chip))
    of_sorts = np.asarray([SPENT.index(_spent_on(sort)) for sort in result.plan.kernels.sorts], dtype=np.int64)
    codes = np.asarray(result.plan.kernels.code, dtype=np.int64)
    of_places = of_sorts[codes[places.kernel]]
    before = 0
    for at, name in enumerate(SPENT):
        rows = of_places <= at
        reached = covered(array_of(places.begin)[rows], array_of(places.end)[rows])
        found[name] = reached - before
        before = reached
    found[BUBBLE] = whole - before
    return found


def _spent_on(sort: PlannedKernel) -> str:
    """What an instant is spent on in which a kernel runs."""
    does = what_it_does(sort)
    if does != COMPUTE.does:
        return _EXPOSED[does]
    if sort.kernel.recompute:
        return RECOMPUTE
    times = sort.times_s
    return cause_of(max(times, key=lambda resource: times[resource])).name
