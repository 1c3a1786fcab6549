"""What the pool sees of a program: which resources can be full at all, and what each shape asks of those."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from hw.rows import equal_lines, largest
from simulator.engine.fluid_pool import Use
from simulator.engine.program import ADDED, Program


def uses(program: Program, full: Collection[int]) -> list[Use]:
    """The shapes of a program, of whose resources only those of `full` can be full."""
    return [
        Use(
            number,
            shape.alone_ps,
            tuple((resource, time) for resource, time in shape.demands if resource in full),
            shape.weight,
        )
        for number, shape in enumerate(program.shapes)
    ]


def binding(program: Program, shared: Collection[int]) -> set[int]:
    """Resources that can be full at all: those where the largest demands of all queues add up to more than there is.

    A queue runs one task at a time, so the sum over queues of the largest demand is an upper bound of the load; a group
    task counts in its first queue. Resources that user processes share can always bind, and those of chips whose tasks hold
    units: with other units a task goes at another rate.
    """
    most: dict[tuple[int, int], float] = {}
    queues, numbers = (np.asarray(each, dtype=np.int64) for each in (program.queue, program.shape))
    _, first = equal_lines(queues, numbers)
    for queue, number in zip(queues[first].tolist(), numbers[first].tolist(), strict=True):
        shape = program.shapes[number]
        if shape.opens:
            continue  # its messages ask
        for resource, time in shape.demands:
            place = (resource, queue)
            most[place] = largest([most.get(place, 0.0), time / shape.alone_ps])
    total: dict[int, float] = {}
    for (resource, _), load in most.items():
        total[resource] = total.get(resource, 0.0) + load
    held = {at for at, resource in enumerate(program.resources) if resource.chip in program.cores}
    return {resource for resource, load in total.items() if load > 1.0 + ADDED} | held | set(shared)
