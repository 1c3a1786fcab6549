"""Tasks that hold units of their chip follow each other in one event, and have the times that they have without."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulator import Engine, Program, Queue, Resource, Shape
from simulator.engine import engine as engine_module
from simulator.engine.held import Held
from simulator.engine.trains import couplings as couplings_module
from tests.support.drawing import among, between
from tests.support.programs import same_times

CHIPS, UNITS = 2, 4
NAMES = ("compute", "network")
LINK = 2 * CHIPS


@pytest.fixture(autouse=True)
def _in_programs_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "FEW", 1)
    monkeypatch.setattr(couplings_module, "WORTH", 0.0)


def empty(units: tuple[int, ...] = (UNITS,) * CHIPS) -> Program:
    """Chips with a memory and units each, two queues each, and a link that they share."""
    return Program(
        resources=[
            *(Resource(f"chip{at}.hbm", "memory", 1.0, at) for at in range(CHIPS)),
            *(Resource(f"chip{at}.matrix_unit", "math", 1.0, at) for at in range(CHIPS)),
            Resource("link", "network", 1.0),
        ],
        queues=[Queue(at, name) for at in range(CHIPS) for name in NAMES],
        cores=dict(enumerate(units)),
    )


def blocks(program: Program, chip: int, count: int, wave: float, hbm: float = 0.0, fixed: int = 0) -> int:
    """A kernel of so many equal blocks, with a part of its time on memory."""
    units = program.cores[chip]
    held = Held(min(count, units), units, count)
    time = held.waves * wave
    stages = [([(CHIPS + chip, time * held.filled)], time), ([(chip, time * hbm)], time * hbm)]
    return program.intern(replace(Shape.lasting(fixed, stages, math.inf, time), held=held))


def stream(program: Program, chip: int, time: float, part: int, fixed: int = 0) -> int:
    """A kernel of memory on some of the units."""
    units = program.cores[chip]
    held = Held(min(part, units), units, 0, 0.0, min(part, units))
    return program.intern(replace(Shape.of(fixed, [[(chip, time)]], math.inf, time), held=held))


def collective(program: Program, chip: int, time: float, part: int, fixed: int = 0) -> int:
    """A collective on the link that holds units from its begin to its end."""
    units = program.cores[chip]
    held = Held(min(part, units), units, whole=True)
    return program.intern(replace(Shape.of(fixed, [[(chip, time / 4), (LINK, time)]], math.inf, time), held=held))


def plain(program: Program, chip: int, time: float, fixed: int = 0) -> int:
    """A copy, which holds no units."""
    demands = [[(chip, time)]] if time else []
    return program.intern(Shape.of(fixed, demands, math.inf, 1e6))


def drawn(draw: st.DrawFn, program: Program, chip: int) -> int:
    """The shape of some kernel."""
    fixed = draw(among([0, 0, 3, 10]))
    kind = draw(between(0, 5))
    if kind <= 2:
        return blocks(
            program, chip, draw(between(1, 11)), draw(among([7, 10, 25])), draw(among([0.0, 0.4, 1.0])), fixed
        )
    if kind == 3:
        return stream(program, chip, draw(among([8, 20, 33])), draw(between(1, UNITS)), fixed)
    if kind == 4:
        return collective(program, chip, draw(among([8, 20, 40])), draw(between(1, UNITS)), fixed)
    return plain(program, chip, draw(among([0, 5, 12])), fixed)


@st.composite
def chains(draw: st.DrawFn) -> Program:
    """Chips with a chain of kernels each, among them some beside each other, between which others stand: these wait for
    some of either chain, far back or near, or are of both chips."""
    program = empty(tuple(draw(between(1, UNITS)) for _ in range(CHIPS)))
    chains: list[list[int]] = [[] for _ in range(CHIPS)]
    for _ in range(draw(between(1, 4))):
        chip = draw(between(0, CHIPS - 1))
        chain = chains[chip]
        for _ in range(draw(between(2, 8))):
            queue = CHIPS * chip + draw(among([0, 0, 1]))
            chain.append(program.add((queue,), drawn(draw, program, chip), chain[-1:]))
            if not draw(between(0, 3)):
                before = chain[-1:]
                pair = [program.add((CHIPS * chip + each,), drawn(draw, program, chip), before) for each in (0, 1)]
                chain += pair
                chain.append(program.add((CHIPS * chip,), drawn(draw, program, chip), pair))
        for _ in range(draw(between(0, 3))):
            _odd_one(draw, program, chains, draw(between(0, CHIPS - 1)))
    return program


def _odd_one(draw: st.DrawFn, program: Program, chains: list[list[int]], chip: int) -> None:
    queue = CHIPS * chip + draw(between(0, 1))
    after = {draw(among(chain)) for chain in chains if chain if draw(st.booleans())}
    after |= {*chains[chip][-1:]} if draw(st.booleans()) else set()
    queues = (queue, CHIPS * (1 - chip) + draw(between(0, 1))) if not draw(between(0, 4)) else (queue,)
    least = min(program.cores[at] for at in range(CHIPS))
    shape = drawn(draw, program, chip)
    if len(queues) > 1:  # of both chips: a collective, or none of units
        held = Held(draw(between(1, least)), UNITS, whole=True) if draw(st.booleans()) else None
        asked = [[(0, 5.0), (1, 5.0), (LINK, float(draw(between(1, 30))))]]
        shape = program.intern(replace(Shape.of(draw(among([0, 4])), asked, math.inf, 1e6), held=held))
    task = program.add(queues, shape, sorted(after))
    if draw(st.booleans()):
        chains[chip].append(task)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(chains())
def test_times_are_those_without_trains(program: Program) -> None:
    same_times(program)


def chain(program: Program, count: int) -> list[int]:
    """Kernels of chip 0 one after the other: two waves of 10 ps on 4 units behind 3 ps of its own, the second half full."""
    tasks: list[int] = []
    for _ in range(count):
        tasks.append(program.add((0,), blocks(program, 0, 6, 10, fixed=3), tasks[-1:]))
    return tasks


def test_a_chain_takes_one_event() -> None:
    program = empty()
    chain(program, 50)
    together, apart = same_times(program)
    assert together <= 3
    assert apart >= 150


@pytest.mark.parametrize("at", range(23, 47))
def test_who_comes_in_between_gets_what_is_free(at: int) -> None:
    program = empty()
    tasks = chain(program, 4)
    late = program.add((3,), plain(program, 1, 0, fixed=at), ())
    guest = program.add((1,), blocks(program, 0, 1, 5), [late])
    engine = Engine(program)
    engine.run()
    # the second kernel fills the chip from 26 to 36, and half of it to 46; of those that come at once the smaller is first
    assert engine.begin[guest] == (36 if 26 < at < 36 else at)
    assert engine.end[guest] == engine.begin[guest] + 5
    assert all(engine.begin[after] == engine.end[before] for before, after in pairwise(tasks))
    same_times(program)


def test_of_those_that_begin_at_once_the_smaller_is_first() -> None:
    program = empty()
    tasks = [program.add((0,), blocks(program, 0, 4, 10), ())]
    for _ in range(3):
        tasks.append(program.add((0,), blocks(program, 0, 4, 10), tasks[-1:]))
    late = program.add((3,), plain(program, 1, 0, fixed=10), ())
    guest = program.add((1,), blocks(program, 0, 1, 5), [late])
    engine = Engine(program)
    engine.run()
    assert engine.begin[guest] == 10
    # three of its blocks at 10, the fourth as soon as the guest has gone
    assert engine.end[tasks[1]] == 25
    same_times(program)


def test_units_that_are_held_by_who_spends_its_fixed_time_are_not_there() -> None:
    program = empty()
    program.add((1,), collective(program, 0, 10, 2, fixed=1000), ())
    tasks = [program.add((0,), plain(program, 0, 0, fixed=10), ())]
    for _ in range(4):
        tasks.append(program.add((0,), blocks(program, 0, 4, 10), tasks[-1:]))
    engine = Engine(program)
    engine.run()
    assert [engine.end[task] - engine.begin[task] for task in tasks[1:]] == [20, 20, 20, 20]
    same_times(program)


def test_who_goes_on_by_itself_keeps_its_units_whatever_else_is_broken() -> None:
    program = empty()
    for chip in range(CHIPS):
        tasks: list[int] = []
        for _ in range(3):
            tasks.append(program.add((CHIPS * chip,), blocks(program, chip, 6, 100, hbm=0.1), tasks[-1:]))
    # copies break the trains of both chips, one after the other; the guest comes when that is over
    early = program.add((1,), plain(program, 0, 5), [program.add((3,), plain(program, 1, 0, fixed=20), ())])
    later = program.add((3,), plain(program, 1, 5), [early])
    guest = program.add((1,), blocks(program, 0, 1, 5), [program.add((3,), plain(program, 1, 0, fixed=20), [later])])
    engine = Engine(program)
    engine.run()
    assert engine.begin[early] == 20
    assert engine.end[later] < 40
    # all units are taken up to 100: what breaks the other chip's train changes nothing of that
    assert engine.begin[guest] >= 100
    same_times(program)


def test_who_shares_goes_faster_when_the_other_ends_as_somebody_comes() -> None:
    program = empty()
    both = [[(0, 60.0)], [(0, 120.0)]]  # of the memory three fifths each
    tasks = [program.add((0,), plain(program, 0, 10), ())]
    for _ in range(2):
        shapes = [
            program.intern(replace(Shape.of(0, [asked], math.inf, 1e6), alone_ps=time))
            for asked, time in zip(both, (100.0, 200.0), strict=True)
        ]
        pair = [program.add((queue,), shape, tasks[-1:]) for queue, shape in enumerate(shapes)]
        tasks += [*pair, program.add((0,), plain(program, 0, 10), pair)]
    alone = Engine(program)
    alone.run()
    late = program.add((3,), plain(program, 1, 0, fixed=alone.end[tasks[1]]), ())
    guest = program.intern(replace(Shape.of(0, [[(0, 3.0)]], math.inf, 1e6), alone_ps=10.0))
    program.add((2,), guest, [late])
    same_times(program)


def test_units_that_one_leaves_go_to_the_other_as_somebody_comes_to_the_memory() -> None:
    program = empty()
    tasks = [program.add((0,), plain(program, 0, 10), ())]
    for _ in range(2):
        pair = [
            program.add((0,), blocks(program, 0, 2, 50), tasks[-1:]),
            program.add((1,), blocks(program, 0, 8, 40), tasks[-1:]),
        ]
        tasks += [*pair, program.add((0,), plain(program, 0, 10), pair)]
    late = program.add((3,), plain(program, 1, 0, fixed=60), ())
    program.add((2,), plain(program, 0, 5), [late])
    engine = Engine(program)
    engine.run()
    # two of eight blocks end at 50, two at 90, two that begin at 60 at 100, and the last two at 130
    assert (engine.end[tasks[1]], engine.end[tasks[2]]) == (60, 130)
    same_times(program)
