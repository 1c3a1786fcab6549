"""Random programs, for the engine and for the oracle alike."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

from hypothesis import strategies as st

from simulator import Engine, Program, Queue, Resource, Shape
from tests.support.drawing import among, between, unlike
from tests.support.oracle import OracleTask


@dataclass(frozen=True)
class Case:
    """A program for the engine, and the same tasks for the oracle (times in ps, capacities 1)."""

    program: Program
    tasks: list[OracleTask]
    resources: int

    @property
    def capacities(self) -> list[Fraction]:
        return [Fraction(1)] * self.resources


@cache
def _times(resources: int) -> st.SearchStrategy[dict[int, int]]:
    """Picoseconds on some of the resources."""
    return st.dictionaries(between(0, resources - 1), between(1, 40).map(lambda n: n * 10**5), max_size=3)


@st.composite
def cases(draw: st.DrawFn, most: int = 10, groups: bool = True, scale: int = 1) -> Case:
    resources, queues = draw(between(1, 4)), draw(between(1, 4))
    program = Program(
        resources=[Resource(f"r{at}", "memory", 1.0) for at in range(resources)],
        queues=[Queue(at, "q") for at in range(queues)],
    )
    tasks: list[OracleTask] = []
    for index in range(draw(between(1, most))):
        lanes = draw(unlike(0, queues - 1, 1, 3 if groups else 1))
        deps = draw(unlike(0, index - 1, 0, 3)) if index else []
        fixed = draw(among([0, 0, 10**5, 3 * 10**5])) * scale
        times = draw(_times(resources))
        tiles = draw(among([1, 2, 4, None]))
        weight = draw(between(1, 5)) * 10**6
        priority = draw(between(0, 2))
        stages = [[(resource, float(time * scale))] for resource, time in times.items()]
        shape = Shape.of(fixed, stages, math.inf if tiles is None else tiles, weight * scale)
        program.add(lanes, program.intern(shape), deps)
        if priority:
            program.priority[index] = priority
        tasks.append(
            OracleTask(
                queues=tuple(lanes),
                deps=tuple(deps),
                fixed=Fraction(fixed),
                amounts={resource: Fraction(time * scale) for resource, time in times.items()},
                tiles=tiles,
                weight=Fraction(weight * scale),
                priority=priority,
            )
        )
    return Case(program, tasks, resources)


def same_times(program: Program) -> tuple[int, int]:
    """Run a program with trains and without, to the same times; events of both."""
    apart = Engine(program)
    apart.start()
    apart.env.run()
    together = Engine(program)
    together.run()
    assert list(together.begin) == list(apart.begin)
    assert list(together.end) == list(apart.end)
    return next(together.env.numbers), next(apart.env.numbers)
