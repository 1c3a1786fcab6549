"""Timelines of many rows are those of the runs of each row, whatever order their events come in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.rows import Batch
from simulator import Engine, Order, Program, Shape
from simulator.engine import together
from simulator.engine.together import run_together
from tests.support.programs import Case, cases


def slower(shape: Shape, times: int) -> Shape:
    """A shape that takes so many times as long."""
    return replace(
        shape,
        fixed_ps=shape.fixed_ps * times,
        demands=tuple((resource, time * times) for resource, time in shape.demands),
        stage_ps=tuple(time * times for time in shape.stage_ps),
        alone_ps=shape.alone_ps * times,
        serial_ps=shape.serial_ps * times,
    )


def of_all(batch: Batch, rows: Sequence[Any]) -> Any:
    """Numbers, shapes and tuples of each row as one of all rows."""
    first = rows[0]
    if isinstance(first, Shape):
        return Shape(*(of_all(batch, [getattr(row, name) for row in rows]) for name in Shape.__slots__))
    if isinstance(first, tuple):
        return tuple(of_all(batch, part) for part in zip(*rows, strict=True))
    return batch.number(rows)


def alone(program: Program, order: Order) -> tuple[list[int], list[int]] | None:
    engine = Engine(program, order=order)
    engine.run()
    return None if engine.waiting_tasks() else (list(engine.begin), list(engine.end))


@pytest.mark.parametrize("order", ["program", "ready"])
@settings(max_examples=60)
@given(data=st.data())
def test_rows_have_the_times_of_their_own_runs(order: Order, data: st.DataObject) -> None:
    case: Case = data.draw(cases())
    program, count = case.program, len(case.program.shapes)
    factors = st.lists(st.integers(1, 4), min_size=count, max_size=count)
    rows = [
        [slower(shape, times) for shape, times in zip(program.shapes, each, strict=True)]
        for each in data.draw(st.lists(factors, min_size=2, max_size=7))
    ]
    batch = Batch(len(rows))
    shapes = [of_all(batch, each) for each in zip(*rows, strict=True)]
    with pytest.MonkeyPatch.context() as patched, batch.working():
        patched.setattr(together, "_FEW", data.draw(st.sampled_from([1, 2, 6])))
        found = run_together(replace(program, shapes=shapes), order)
    wanted = [alone(replace(program, shapes=each), order) for each in rows]
    if found is None:
        assert wanted[0] is None or all(row == rows[0] for row in rows)
        return
    assert batch.staying.tolist() == [each is not None for each in wanted]
    for place, times in enumerate(found):
        columns = zip(*(batch.values(time) for time in times), strict=True)
        for column, row in zip(columns, (each for each in wanted if each is not None), strict=True):
            assert list(column) == row[place]
