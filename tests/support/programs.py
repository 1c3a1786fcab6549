"""Random programs, for the engine and for the oracle alike."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from hypothesis import strategies as st

from simulator import Program, Queue, Resource, Shape
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


@st.composite
def cases(draw: st.DrawFn, most: int = 10, groups: bool = True, scale: int = 1) -> Case:
    resources, queues = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    program = Program(
        resources=[Resource(f"r{at}", "memory", 1.0) for at in range(resources)],
        queues=[Queue(at, "q") for at in range(queues)],
    )
    tasks: list[OracleTask] = []
    for index in range(draw(st.integers(1, most))):
        lanes = draw(st.lists(st.integers(0, queues - 1), min_size=1, max_size=3 if groups else 1, unique=True))
        deps = draw(st.lists(st.integers(0, index - 1), max_size=3, unique=True)) if index else []
        fixed = draw(st.sampled_from([0, 0, 10**5, 3 * 10**5])) * scale
        times = draw(
            st.dictionaries(st.integers(0, resources - 1), st.integers(1, 40).map(lambda n: n * 10**5), max_size=3)
        )
        tiles = draw(st.sampled_from([1, 2, 4, None]))
        weight = draw(st.integers(1, 5)) * 10**6
        priority = draw(st.integers(0, 2))
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
