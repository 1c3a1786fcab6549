"""Tasks that hold units of a chip: turns, waves, tails; by hand, beside a list scheduler, and the laws on random programs.

Source of the list scheduler: Graham 1969, identical machines; written here a second time, block by block.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.rows import Batch
from simulator import Engine, Program, Queue, Resource, Shape, lower_bound_s, upper_bound_s
from simulator.engine import together
from simulator.engine.held import Held
from simulator.engine.together import run_together

WAVE = 1000
"""ps of one block, where nothing else is said."""

HBM, UNIT = 0, 1

LAWS = settings(max_examples=50, deadline=None)


def chip(units: int, queues: int) -> Program:
    return Program(
        resources=[Resource("chip0.hbm", "memory", 1.0, 0), Resource("chip0.matrix_unit", "math", 1.0, 0)],
        queues=[Queue(0, f"q{at}") for at in range(queues)],
        cores={0: units},
    )


def blocks(count: int, units: int, wave: float = WAVE, hbm: float = 0.0, fixed: int = 0) -> Shape:
    """`count` blocks of a kernel bound by its units, with a part of its time on HBM."""
    held = Held(min(count, units), units, count)
    time = held.waves * wave
    stages = [([(UNIT, time * held.filled)], time), ([(HBM, time * hbm)], time * hbm)]
    return replace(Shape.lasting(fixed, stages, math.inf, time), held=held)


def stream(time: float, units: int, of: int, enough: float = 1.0) -> Shape:
    """A kernel bound by HBM that holds units."""
    return replace(Shape.of(0, [[(HBM, time)]], math.inf, time), held=Held(units, of, 0, 0.0, min(units, enough)))


def ran(program: Program, *shapes: Shape) -> Engine:
    """One task a queue."""
    for queue, shape in enumerate(shapes):
        program.add([queue], program.intern(shape), ())
    engine = Engine(program)
    engine.run()
    return engine


def test_two_kernels_that_fill_a_chip_take_turns() -> None:
    """8 and 8 blocks on 4 units: two waves each, one after the other, though neither wants the other's HBM."""
    engine = ran(chip(4, 2), blocks(8, 4), blocks(8, 4, 2 * WAVE))
    assert list(engine.end) == [2 * WAVE, 2 * WAVE + 4 * WAVE]


def test_the_second_starts_in_the_tail_of_the_first() -> None:
    """6 blocks on 4 units leave 2 free in their second wave. Of 8 blocks of the other, 2 are made there, and 6 in two
    waves: 4 waves in all, where turns take 4 as well; of 6 blocks 2 are made there and 4 in one: 3 for 4."""
    assert list(ran(chip(4, 2), blocks(6, 4), blocks(8, 4)).end) == [2 * WAVE, 4 * WAVE]
    assert list(ran(chip(4, 2), blocks(6, 4), blocks(6, 4)).end) == [2 * WAVE, 3 * WAVE]


def test_a_kernel_of_few_units_runs_beside() -> None:
    """One of 2 of 4 units came with one of 4 blocks, and is first: the other has 2 units, and takes two waves. Once it came
    later, it waits."""
    assert list(ran(chip(4, 2), blocks(4, 4), blocks(2, 4)).end) == [2 * WAVE, WAVE]
    assert list(ran(chip(4, 2), blocks(4, 4), blocks(2, 4, fixed=10)).end) == [WAVE, 2 * WAVE]


def test_blocks_that_have_begun_on_units_that_came_wait_no_more() -> None:
    """Of 4 units two streams hold one and two, until 20 and 30 ps: then the last of 4 blocks begin."""
    engine = ran(chip(4, 3), blocks(4, 4), stream(10, 1, 4), stream(20, 2, 4))
    assert list(engine.end) == [30 + WAVE, 20, 30]


def test_one_unit_short_is_a_second_wave_as_long_as_it_is_short() -> None:
    """132 blocks on 132 units beside one block of 3 waves: two waves. Where that ends within the first wave, its unit makes
    the last block: it is late by that time."""
    for beside, wanted in ((3 * WAVE, 2 * WAVE), (WAVE // 4, WAVE + WAVE // 4)):
        engine = ran(chip(132, 2), blocks(132, 132, fixed=1), blocks(1, 132, beside))
        assert engine.end[0] == pytest.approx(wanted, abs=2 + 0.01 * WAVE)


def test_a_stream_in_a_tail_is_as_fast_as_its_units_let_it() -> None:
    """A tail leaves 2 of 4 units for a wave: of a stream for which 2 are enough a whole wave's worth is done there, of one
    that wants all 4 half of it. Then it has the chip for itself."""
    for enough, wanted in ((2.0, 2 * WAVE + 4000), (4.0, 2 * WAVE + 4500)):
        engine = ran(chip(4, 2), blocks(6, 4), stream(5000, 4, 4, enough))
        assert engine.end[1] == pytest.approx(wanted, abs=3)


def test_a_group_holds_units_of_all_its_chips_and_waits_for_them() -> None:
    """A collective of 2 units comes 1 ps after kernels that fill its chips, and before another kernel on chip 0. It has its
    units there when the first kernel ends, and waits for those of chip 1; of the 4 blocks 2 and 2 are made meanwhile."""
    program = Program(
        resources=[Resource(f"chip{at}.matrix_unit", "math", 1.0, at) for at in (0, 1)],
        queues=[Queue(0, "a"), Queue(1, "a"), Queue(0, "net"), Queue(1, "net"), Queue(0, "host")],
        cores={0: 4, 1: 4},
    )
    for queue, time in ((0, WAVE), (1, 3 * WAVE)):
        program.add([queue], program.intern(busy(queue, time)), ())
    before = program.add([4], program.intern(Shape.of(1, [], math.inf, 1.0)), ())
    whole = replace(Shape.of(500, [[(0, 100.0), (1, 100.0)]], math.inf, 1.0), held=Held(2, 4, whole=True))
    program.add([2, 3], program.intern(whole), [before])
    program.add([0], program.intern(busy(0, WAVE)), ())
    engine = Engine(program)
    engine.run()
    assert list(engine.end) == [WAVE, 3 * WAVE, 1, 3 * WAVE + 600, 3 * WAVE]


def busy(unit: int, wave: float) -> Shape:
    """4 blocks on 4 units."""
    return replace(Shape.of(0, [[(unit, wave)]], math.inf, wave), held=Held(4, 4, 4))


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_groups_that_wait_for_units_on_several_chips_all_end(data: st.DataObject) -> None:
    """They get them in one order on all chips, so that none holds what another one waits for in turn."""
    chips, units = data.draw(st.integers(2, 4)), data.draw(st.integers(2, 6))
    program = Program(
        resources=[Resource(f"chip{at}.matrix_unit", "math", 1.0, at) for at in range(chips)],
        queues=[Queue(chip, f"q{at}") for at in range(3) for chip in range(chips)],
        cores=dict.fromkeys(range(chips), units),
    )
    for _ in range(data.draw(st.integers(2, 12))):
        first = chips * data.draw(st.integers(0, 2))
        members = data.draw(st.lists(st.integers(0, chips - 1), min_size=1, max_size=chips, unique=True))
        time, wants = 100.0 * data.draw(st.integers(1, 9)), data.draw(st.integers(1, units))
        held = Held(wants, units, whole=True) if len(members) > 1 else Held(wants, units, 3 * wants - 1)
        shape = replace(Shape.of(0, [[(chip, time) for chip in members]], math.inf, time), held=held)
        program.add([first + chip for chip in members], program.intern(shape), ())
    assert all(end > 0 for end in ends(program))


def listed(units: int, kernels: Sequence[tuple[int, int]]) -> list[int]:
    """When each of some kernels ends, blocks of those before it first: each on the unit that is free first."""
    free, ends = [0] * units, []
    for count, wave in kernels:
        last = 0
        for _ in range(count):
            at = min(range(units), key=free.__getitem__)
            free[at] += wave
            last = max(last, free[at])
        ends.append(last)
    return ends


KERNELS = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 40).map(lambda n: 100 * n)), min_size=2, max_size=4)


@LAWS
@given(st.integers(1, 8), KERNELS)
def test_blocks_end_when_a_list_scheduler_ends_them(units: int, kernels: list[tuple[int, int]]) -> None:
    """Within a block of each that does not come first: units that come in the middle of a wave end in the middle of one,
    and are held up to its end."""
    shapes = [blocks(count, units, wave, fixed=at) for at, (count, wave) in enumerate(kernels)]
    engine = ran(chip(units, len(kernels)), *shapes)
    for at, wanted in enumerate(listed(units, kernels)):
        allowed = sum(wave for _, wave in kernels[1 : at + 1]) + 10 * len(kernels)
        assert abs(engine.end[at] - wanted) <= allowed
    assert engine.end[0] == listed(units, kernels)[0]


# Laws

SHAPES = st.tuples(
    st.booleans(), st.integers(1, 40), st.integers(1, 40).map(lambda n: 100 * n), st.sampled_from([0.0, 0.4, 1.0])
)


def made(units: int, drawn: tuple[bool, int, int, float], fixed: int = 0) -> Shape:
    in_waves, count, time, hbm = drawn
    if in_waves:
        return blocks(count, units, time, hbm, fixed)
    part = min(count, units)
    held = Held(part, units, own=1.0 - hbm, enough=max(1.0, part * 0.5))
    stages = [([(HBM, time * hbm)], float(time)), ([(UNIT, time * part / units * (1.0 - hbm))], time * (1.0 - hbm))]
    return replace(Shape.lasting(fixed, stages, math.inf, time), held=held)


@st.composite
def programs(draw: st.DrawFn) -> Program:
    units, queues = draw(st.integers(1, 8)), draw(st.integers(1, 4))
    program = chip(units, queues)
    for at in range(draw(st.integers(1, 8))):
        shape = made(units, draw(SHAPES), draw(st.sampled_from([0, 0, 500])))
        after = draw(st.lists(st.integers(0, at - 1), max_size=2, unique=True)) if at else []
        program.add([draw(st.integers(0, queues - 1))], program.intern(shape), after)
    return program


def ends(program: Program) -> list[int]:
    engine = Engine(program)
    engine.run()
    assert not engine.waiting_tasks()
    return list(engine.end)


@LAWS
@given(programs())
def test_time_is_between_the_bounds(program: Program) -> None:
    time, slack = max(ends(program)), 3 * len(program)
    assert lower_bound_s(program) * 1e12 <= time + slack
    assert time <= upper_bound_s(program) * 1e12 + slack


@LAWS
@given(st.integers(1, 8), SHAPES)
def test_alone_a_task_takes_its_time(units: int, drawn: tuple[bool, int, int, float]) -> None:
    shape = made(units, drawn)
    assert abs(ends(chip_with(units, [shape]))[0] - shape.alone_ps) <= 2


def chip_with(units: int, shapes: Sequence[Shape], order: Sequence[int] | None = None) -> Program:
    """One task a queue; `order`: in which they are written."""
    program = chip(units, len(shapes))
    for at in order or range(len(shapes)):
        program.add([at], program.intern(shapes[at]), ())
    return program


@LAWS
@given(st.integers(1, 8), st.lists(SHAPES, min_size=2, max_size=4), st.randoms(use_true_random=False))
def test_the_order_in_which_they_are_written_changes_nothing(units: int, drawn: list[Any], shuffled: Any) -> None:
    shapes = [made(units, each) for each in drawn]
    order = list(range(len(shapes)))
    shuffled.shuffle(order)
    there = ends(chip_with(units, shapes, order))
    here = ends(chip_with(units, shapes))
    assert sorted(here) == sorted(there)
    assert max(here) == max(there)


@LAWS
@given(st.integers(1, 8), st.tuples(SHAPES, SHAPES), st.sampled_from(["blocks", "time"]), st.integers(1, 9))
def test_more_of_a_kernel_takes_no_less(units: int, drawn: Any, what: str, more: int) -> None:
    """Of two that do not come at once, more blocks or longer ones of the first, or of the second. Without HBM: where two
    share that too, a first one of more units leaves the second less of both, and may end sooner for it."""
    drawn = [(*each[:3], 0.0) for each in drawn]
    for at in (0, 1):
        grown = [list(each) for each in drawn]
        if what == "time":
            grown[at][2] += 100 * more
        elif grown[at][0]:
            grown[at][1] += more
        less, larger = (
            ends(chip_with(units, [made(units, tuple(each), fixed) for fixed, each in enumerate(each_of)]))
            for each_of in (drawn, grown)
        )
        assert max(larger) >= max(less) - 6


@settings(max_examples=20, deadline=None)
@given(programs(), st.data())
def test_rows_have_the_times_of_their_own_runs(program: Program, data: st.DataObject) -> None:
    factors = st.lists(st.integers(1, 3), min_size=len(program.shapes), max_size=len(program.shapes))
    rows = [
        [_times(shape, by) for shape, by in zip(program.shapes, each, strict=True)]
        for each in data.draw(st.lists(factors, min_size=2, max_size=5))
    ]
    batch = Batch(len(rows))
    shapes = [_of_all(batch, each) for each in zip(*rows, strict=True)]
    with pytest.MonkeyPatch.context() as patched, batch.working():
        patched.setattr(together, "_FEW", 1)
        found = run_together(replace(program, shapes=shapes), "program")
    if found is None:
        assert all(row == rows[0] for row in rows)
        return
    columns = zip(*(batch.values(time) for time in found[1]), strict=True)
    assert [list(column) for column in columns] == [ends(replace(program, shapes=each)) for each in rows]


def _times(shape: Shape, by: int) -> Shape:
    """A shape that takes so many times as long, in as many blocks more."""
    held = shape.held
    assert held is not None
    return replace(
        shape,
        demands=tuple((resource, time * by) for resource, time in shape.demands),
        stage_ps=tuple(time * by for time in shape.stage_ps),
        alone_ps=shape.alone_ps * by,
        held=replace(held, blocks=held.blocks * by, units=min(held.of, held.units * by) if held.blocks else held.units),
    )


def _of_all(batch: Batch, rows: Sequence[Any]) -> Any:
    first = rows[0]
    if isinstance(first, (Shape, Held)):
        parts = {name: _of_all(batch, [getattr(row, name) for row in rows]) for name in type(first).__slots__}
        return type(first)(**parts)
    if isinstance(first, tuple):
        return tuple(_of_all(batch, part) for part in zip(*rows, strict=True))
    return batch.number(rows)
