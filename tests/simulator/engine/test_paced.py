"""Where nothing is shared, times follow from each other: the engine's events come to the same."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings

from simulator import Engine, Program, Queue, Shape
from simulator.engine.paced import paced
from tests.support.programs import Case, cases


def unshared(program: Program) -> list[int]:
    """Make every shape of a program take a constant time, and no resource; the times."""
    times = [shape.fixed_ps + round(shape.alone_ps) for shape in program.shapes]
    program.shapes = [
        replace(shape, fixed_ps=time, demands=(), stage_ps=(), alone_ps=0.0)
        for shape, time in zip(program.shapes, times, strict=True)
    ]
    return times


@settings(max_examples=200)
@given(cases(most=14))
def test_times_without_events_are_those_of_the_engine(case: Case) -> None:
    constant = unshared(case.program)
    engine = Engine(case.program)
    engine.run()
    found = paced(case.program, constant)
    if engine.waiting_tasks():
        assert found is None
    else:
        assert found == (list(engine.begin), list(engine.end))


def test_tasks_that_wait_for_each_other_have_no_times() -> None:
    program = Program(queues=[Queue(0, "q")], shapes=[Shape(5, (), (), 0.0, 1.0)])
    first, second = program.add((0,), 0, ()), program.add((0,), 0, ())
    assert paced(program, [5]) == ([0, 5], [5, 10])
    program.wait(first, second)  # which stands behind it in its queue
    assert paced(program, [5]) is None
