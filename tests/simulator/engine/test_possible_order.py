"""The order in which bounds walk through a program: by its definition, the smallest number that can come next."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from simulator import Program, Queue, Shape


def drawn(seed: int) -> Program:
    """A small program: tasks of several queues, ends of transfers that stand elsewhere in theirs, waits that go back."""
    draw, program = Random(seed), Program()
    queues = draw.randint(1, 4)
    program.queues.extend(Queue(chip, "compute") for chip in range(queues))
    shape = program.intern(Shape.of(0, (), 1.0, 1.0))
    count = draw.randint(1, 14)
    for task in range(count):
        some = draw.sample(range(queues), min(queues, draw.choice([1, 1, 2])))
        program.add(some, shape, draw.sample(range(task), min(task, draw.randint(0, 2))))
    for _ in range(draw.randint(0, 3)):
        task = draw.randrange(count)
        program.places[task, draw.choice(program.queues_of(task))] = draw.random() * count
    for _ in range(draw.randint(0, 2)):
        task, before = draw.randrange(count), draw.randrange(count)
        if task != before:
            program.wait(task, before)
    return program


def by_definition(program: Program) -> list[int]:
    """Always the smallest of those that nothing holds up; then those that are held up for ever."""
    held: dict[int, list[int]] = {task: [] for task in range(len(program))}
    for before, successors in enumerate(program.successors):
        for task in successors:
            held[task].append(before)
    for lane in program.lanes():
        for before, task in pairwise(lane):
            held[task].append(before)
    order: list[int] = []
    while ready := [task for task in held if task not in order and set(held[task]) <= set(order)]:
        order.append(min(ready))
    return order + [task for task in held if task not in order]


@pytest.mark.parametrize("part", range(3))
def test_the_smallest_that_can_come_comes_next(part: int) -> None:
    for seed in range(100 * part, 100 * part + 100):
        program = drawn(seed)
        assert program.possible_order() == by_definition(program), seed
