"""What a pipeline leaves empty: the word `bubble`.

Definition. Of the chip with the most arithmetic (the first of equals) the share of the run in which none of its tasks runs,
before its first task and after its last one too.
Law: stages that are equal and send for free leave (S - 1) / (M + S - 1) empty with S stages and M microbatches.
Source: Huang et al. 2019 (GPipe); Narayanan et al. 2021.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.words.per_chip import flops
from simulator import Result


def bubble(result: Result) -> float:
    """The share of the run in which the busiest chip does nothing; 0 for a run of no time."""
    arithmetic = flops(result.plan)
    whole = max(result.end_ps, default=0)
    if not whole or not arithmetic:
        return 0.0
    busiest = max(sorted(arithmetic), key=lambda chip: arithmetic[chip])
    return 1.0 - running_ps(result, busiest) / whole


def running_ps(result: Result, chip: int) -> int:
    """For how long at least one task of a chip runs (ps)."""
    program = result.plan.program
    here = np.asarray([queue.chip == chip and not queue.inner for queue in program.queues], dtype=bool)
    own = here[np.asarray(program.queue, dtype=np.int64)]
    for task, queues in program.groups.items():
        own[task] = any(here[queue] for queue in queues)
    begin = np.asarray(result.begin_ps, dtype=np.int64)[own]
    end = np.asarray(result.end_ps, dtype=np.int64)[own]
    return _union(begin, end)


def _union(begin: NDArray[np.int64], end: NDArray[np.int64]) -> int:
    """The length of the union of intervals."""
    order = np.argsort(begin, kind="stable")
    begin, end = begin[order], end[order]
    # what an interval adds is what lies behind the end of all before it
    before = np.concatenate([[0], np.maximum.accumulate(end)[:-1]]) if len(end) else end
    return int(np.maximum(0, end - np.maximum(begin, before)).sum())
