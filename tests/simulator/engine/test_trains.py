"""Tasks that follow each other alone on their chip take one event together, and the times that they have without."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulator import Engine, Program, Queue, Resource, Shape
from simulator.engine import engine as engine_module
from simulator.engine.trains import couplings as couplings_module
from tests.support.drawing import among, between
from tests.support.programs import same_times

CHIPS = 2
NAMES = ("compute", "network")


@pytest.fixture(autouse=True)
def _in_programs_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "FEW", 1)
    monkeypatch.setattr(couplings_module, "WORTH", 0.0)


def empty() -> Program:
    """Chips with a memory and two queues each, and a link that they share."""
    return Program(
        resources=[Resource(f"chip{at}.hbm", "memory", 1.0, at) for at in range(CHIPS)]
        + [Resource("link", "network", 1.0)],
        queues=[Queue(at, name) for at in range(CHIPS) for name in NAMES],
    )


def asks(program: Program, *demands: tuple[int, int], fixed: int = 0, steps: float = math.inf) -> int:
    """A shape that asks resources for so many ps."""
    return program.intern(Shape.of(fixed, [[(at, float(time))] for at, time in demands], steps, 1e6))


@st.composite
def chains(draw: st.DrawFn) -> Program:
    """Chips with a chain of tasks each, in runs of plain ones between which others stand: these wait for some of either
    chain, far back or near, ask for what the other chip asks for, too, or are of both chips; of the last some
    stand elsewhere in one of their queues."""
    program = empty()
    chains: list[list[int]] = [[] for _ in range(CHIPS)]
    for _ in range(draw(between(1, 4))):
        chip = draw(between(0, CHIPS - 1))
        chain = chains[chip]
        for _ in range(draw(between(3, 9))):
            queue = CHIPS * chip + draw(among([0, 0, 1]))
            chain.append(program.add((queue,), asks(program, (chip, draw(between(1, 5)))), chain[-1:]))
            if draw(st.booleans()):
                _pair(draw, program, chain, chip)
        for _ in range(draw(between(0, 3))):
            _odd_one(draw, program, chains, draw(between(0, CHIPS - 1)))
    return program


def _pair(draw: st.DrawFn, program: Program, chain: list[int], chip: int) -> None:
    """Two tasks beside each other, and one behind both; now and then one that waits for one of them alone."""
    before = chain[-1:]
    pair = []
    for queue in draw(st.permutations([0, 1])):
        shape = asks(program, (chip, draw(between(1, 5))), *draw(among([(), ((2, 1),)])))
        if not draw(between(0, 5)):
            shape = asks(program, fixed=draw(between(1, 5)))
        pair.append(program.add((CHIPS * chip + queue,), shape, before))
    if not draw(between(0, 4)):
        chain.append(program.add((CHIPS * chip + draw(between(0, 1)),), asks(program, (chip, 1)), [pair[0]]))
    chain += pair
    behind = program.add((CHIPS * chip + draw(between(0, 1)),), asks(program, (chip, draw(between(1, 5)))), pair)
    chain.append(behind)


def _odd_one(draw: st.DrawFn, program: Program, chains: list[list[int]], chip: int) -> None:
    queue = CHIPS * chip + draw(between(0, 1))
    beside = draw(among([(), (), ((2, 3),), ((1 - chip, 2),)]))
    shape = asks(program, (chip, draw(between(0, 5))), *beside, fixed=draw(among([0, 0, 0, 2, 7])))
    waited = [chain for chain in chains if chain if draw(st.booleans())]
    after = {draw(among(chain)) for chain in waited}
    after |= {*chains[chip][-1:]} if draw(st.booleans()) else set()
    there = CHIPS * (1 - chip) + draw(between(0, 1))
    queues = (queue, there) if not draw(between(0, 5)) else (queue,)
    task = program.add(queues, shape, sorted(after))
    if draw(st.booleans()):
        chains[chip].append(task)
    if len(queues) > 1 and draw(st.booleans()):
        program.places[task, draw(among(queues))] = task + draw(among([-2.5, -1.5, 1.5]))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(chains())
def test_times_are_those_without_trains(program: Program) -> None:
    same_times(program)


def chain(program: Program, count: int, time: int = 10) -> list[int]:
    """Tasks of chip 0 one after the other, in its two queues by turns; the network's ask for its memory, too."""
    tasks: list[int] = []
    for at in range(count):
        tasks.append(program.add((at % 2,), asks(program, (0, time)), tasks[-1:]))
    return tasks


def test_a_chain_takes_one_event() -> None:
    program = empty()
    chain(program, 50)
    together, apart = same_times(program)
    assert together <= 3
    assert apart >= 50


def pairs(program: Program, count: int, time: int = 100) -> list[int]:
    """A task of chip 0, then two beside each other that both ask for its memory, and so on."""
    tasks: list[int] = []
    before: list[int] = []
    for _ in range(count):
        tasks.append(program.add((0,), asks(program, (0, time)), before))
        before = [program.add((queue,), asks(program, (0, (1 + queue) * time)), tasks[-1:]) for queue in (0, 1)]
        tasks += before
    return [*tasks, program.add((0,), asks(program, (0, time)), before)]


def test_pairs_beside_each_other_are_in_the_chain() -> None:
    program = empty()
    pairs(program, 20)
    together, apart = same_times(program)
    assert together <= 3
    assert apart >= 60


@pytest.mark.parametrize("at", [1, 100, 150, 299, 300, 301, 350, 399, 400, 401, 720])
def test_who_comes_while_two_are_under_way_slows_both(at: int) -> None:
    program = empty()
    tasks = pairs(program, 3)
    late = program.add((2,), asks(program, fixed=at), ())
    guest = program.add((3,), asks(program, (0, 120)), [late])
    engine = Engine(program)
    engine.run()
    assert engine.begin[guest] == at
    # a memory that is never idle has done all that is asked of it at the end: nothing of the pairs is lost or done twice
    assert engine.end[tasks[-1]] == 3 * 400 + 100 + 120
    same_times(program)


def test_who_waits_for_one_of_two_begins_when_it_ends() -> None:
    program = empty()
    tasks = pairs(program, 5)
    other = program.add((3,), asks(program, (1, 50)), [tasks[4]])
    engine = Engine(program)
    engine.run()
    # at one rate, the two ask for 300 ps of the memory
    assert engine.begin[other] == engine.end[tasks[4]] == 400 + 100 + 300
    same_times(program)


@pytest.mark.parametrize("which", [4, 5, 6])
def test_who_waits_for_somebody_else_as_well_is_in_no_pair(which: int) -> None:
    program = empty()
    late = program.add((2,), asks(program, (1, 1000)), ())
    tasks = pairs(program, 4)
    program.wait(tasks[which], late)
    program.add((3,), asks(program, (1, 1)), tasks[-1:])
    engine = Engine(program)
    engine.run()
    assert engine.begin[tasks[which]] == engine.end[late] == 1000
    same_times(program)


def test_where_few_tasks_follow_each_other_none_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(couplings_module, "WORTH", 0.5)
    program = empty()
    tasks = chain(program, 3)
    for _ in range(6):
        program.add((2,), asks(program, (1, 10)), tasks[-1:])
        program.add((0,), asks(program, (0, 10)), ())
    together, apart = same_times(program)
    assert together == apart


def test_who_comes_in_between_slows_the_task_that_it_meets() -> None:
    program = empty()
    tasks = chain(program, 10, time=100)
    late = program.add((2,), asks(program, fixed=330), ())
    guest = program.add((3,), asks(program, (0, 100)), [late])
    engine = Engine(program)
    engine.run()
    assert engine.begin[guest] == 330
    lasts = [engine.end[task] - engine.begin[task] for task in tasks]
    # at half the rate the fourth needs 140 ps for the 70 that it had left, and the guest 60 for its last 30
    assert lasts == [100, 100, 100, 170, 130, 100, 100, 100, 100, 100]
    assert all(engine.begin[after] == engine.end[before] for before, after in pairwise(tasks))
    same_times(program)


def test_who_comes_at_the_end_of_a_task_meets_the_next_one() -> None:
    program = empty()
    tasks = chain(program, 6, time=100)
    late = program.add((2,), asks(program, fixed=300), ())
    program.add((3,), asks(program, (0, 100)), [late])
    engine = Engine(program)
    engine.run()
    assert [engine.end[task] - engine.begin[task] for task in tasks] == [100, 100, 100, 200, 100, 100]
    same_times(program)


def test_who_comes_to_two_chips_in_one_instant_is_met_on_both() -> None:
    program = empty()
    both: list[list[int]] = [[] for _ in range(CHIPS)]
    for chip, tasks in enumerate(both):
        for _ in range(6):
            tasks.append(program.add((2 * chip,), asks(program, (chip, 100)), tasks[-1:]))
    late = program.add((3,), asks(program, fixed=330), ())
    for chip in range(CHIPS):
        program.add((2 * chip + 1,), asks(program, (chip, 100)), [late])
    engine = Engine(program)
    engine.run()
    for tasks in both:
        assert [engine.end[task] - engine.begin[task] for task in tasks] == [100, 100, 100, 170, 130, 100]
    same_times(program)


def test_who_waits_for_one_of_a_chain_begins_when_it_ends() -> None:
    program = empty()
    tasks = chain(program, 10, time=100)
    other = program.add((3,), asks(program, (1, 100)), [tasks[4]])
    program.add((2,), asks(program, (1, 100)), ())
    engine = Engine(program)
    engine.run()
    assert engine.begin[other] == engine.end[tasks[4]] == 500
    same_times(program)


def test_who_stands_behind_a_task_of_several_queues_waits_for_it() -> None:
    program = empty()
    of_both = program.add((2, 1), asks(program, fixed=1000), ())
    tasks: list[int] = []
    for queue in (0, 0, 0, 1):
        tasks.append(program.add((queue,), asks(program, (0, 10)), tasks[-1:]))
    program.add((3,), asks(program, (0, 10)), tasks[-1:])
    engine = Engine(program)
    engine.run()
    assert engine.begin[tasks[-1]] == engine.end[of_both] == 1000
    same_times(program)


def test_a_chain_over_two_chips_is_met_on_either() -> None:
    program = empty()
    tasks: list[int] = []
    for at in range(6):
        tasks.append(program.add((2 * (at % 2),), asks(program, (at % 2, 100)), tasks[-1:]))
    late = program.add((1,), asks(program, fixed=330), ())
    program.add((3,), asks(program, (1, 100)), [late])
    program.add((1,), asks(program, (0, 100)), tasks[-1:])  # else the first chip's memory could not be full
    engine = Engine(program)
    engine.run()
    assert [engine.end[task] - engine.begin[task] for task in tasks] == [100, 100, 100, 170, 100, 100]
    same_times(program)


def test_a_task_of_two_queues_waits_for_both() -> None:
    program = empty()
    busy = program.add((3,), asks(program, (1, 1000)), ())
    tasks: list[int] = []
    for _ in range(3):
        tasks.append(program.add((0,), asks(program, (0, 100)), tasks[-1:]))
    both = program.add((1, 3), asks(program, (0, 100)), tasks[-1:])
    engine = Engine(program)
    engine.run()
    assert engine.begin[both] == engine.end[busy] == 1000
    same_times(program)


def test_a_task_that_somebody_holds_waits() -> None:
    program = empty()
    tasks = chain(program, 6)
    engine = Engine(program)
    engine.hold(tasks[3])
    engine.run()
    assert engine.waiting_tasks() == tasks[3:]


def test_tasks_that_wait_for_ever_start_nobody() -> None:
    program = empty()
    first = program.add((1,), asks(program, (0, 10)), ())
    program.wait(first, first)
    tasks = chain(program, 6)
    engine = Engine(program)
    engine.run()
    assert engine.waiting_tasks() == [first, *tasks[1:]]


def test_who_stands_elsewhere_in_its_queue_is_not_over_by_its_number() -> None:
    """The first task stands behind the second one in their queue: that the second is over tells nothing of the first."""
    program = empty()
    late, early = (program.add((2,), asks(program, (1, time)), ()) for time in (1000, 10))
    program.places[late, 2] = early + 0.5
    tasks = [program.add((0,), asks(program, (0, 100)), [early])]
    for _ in range(3):
        tasks.append(program.add((0,), asks(program, (0, 100)), tasks[-1:]))
    waiting = program.add((0,), asks(program, (0, 100)), [tasks[-1], late])
    tasks += chain(program, 8)
    engine = Engine(program)
    engine.run()
    assert engine.end[late] == 1010
    assert engine.begin[waiting] == 1010
    same_times(program)
