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


def same_times(program: Program) -> tuple[int, int]:
    """Run a program with and without trains; events of both."""
    apart = Engine(program)
    apart.start()
    apart.env.run()
    together = Engine(program)
    together.run()
    assert list(together.begin) == list(apart.begin)
    assert list(together.end) == list(apart.end)
    return next(together.env.numbers), next(apart.env.numbers)


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
