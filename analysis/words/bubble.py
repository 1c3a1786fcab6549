"""What a pipeline leaves empty: the word `bubble`.

Definition. Of the chip with the most arithmetic (the first of equals) the share of the run in which none of its tasks runs,
before its first task and after its last one too.
Law: stages that are equal and send for free leave (S - 1) / (M + S - 1) empty with S stages and M microbatches.
Source: Huang et al. 2019 (GPipe); Narayanan et al. 2021.
"""

from __future__ import annotations

import numpy as np

from analysis.words.intervals import covered
from analysis.words.per_chip import flops
from hw.rows import array_of
from simulator import Plan, Result


def bubble(result: Result) -> float:
    """The share of the run in which the busiest chip does nothing; 0 for a run of no time."""
    busiest, whole = busiest_chip(result.plan), result.last_ps
    if not whole or busiest is None:
        return 0.0
    return 1.0 - running_ps(result, busiest) / whole


def busiest_chip(plan: Plan) -> int | None:
    """The chip with the most arithmetic, the first of equals; None where there is none."""
    arithmetic = flops(plan)
    return max(sorted(arithmetic), key=lambda chip: arithmetic[chip], default=None)


def running_ps(result: Result, chip: int) -> int:
    """For how long at least one task of a chip runs (ps)."""
    program = result.plan.program
    here = np.asarray([queue.chip == chip and not queue.inner for queue in program.queues], dtype=bool)
    own = here[np.asarray(program.queue, dtype=np.int64)]
    for task, queues in program.groups.items():
        own[task] = any(here[queue] for queue in queues)
    return covered(array_of(result.begin_ps)[own], array_of(result.end_ps)[own])
