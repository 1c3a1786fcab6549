"""Runs of many rows: their tasks begin and end when those of each row's own run do.

Model: a program whose numbers stand for many rows has a timeline for each. Rows whose events come in one order are run as
one, and the others in turns with those like them (`hw.rows`): first those like one of them, then those like another of the
rest, wherever that is worth it; the last ones by themselves. The program is the same for all; nobody is lowered again, and
no row stays behind because its events come in another order.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy

from hw.rows import Batch, FewRowsError, batch_of, number_in, numbers_in, taken
from simulator.engine.engine import Engine, Order
from simulator.engine.program import Program

_FEW = 6
"""So few rows are run one by one: many at once cost about as much as that many runs."""

_TRIES = 4
"""After so many tries in a row that came to few rows, the others are run one by one."""

_SPREAD = 0.618034
"""Multiples of it, whole parts left off, are spread evenly over 0 to 1: that is where the rows are that others are like."""

_INT64 = 2**62
"""Times from here on are kept as Python's whole numbers."""

Times = list[Any]
"""Picoseconds by task; numbers of many rows."""


def run_together(program: Program, order: Order) -> tuple[Times, Times] | None:
    """When each task begins and ends in each row; None where they have one answer, or the first row has none. A row whose
    tasks wait for ever stays behind."""
    batch = batch_of(*numbers_in(tuple(program.shapes)))
    if batch is None:
        return None
    timelines = _Timelines(program, order, batch)
    timelines.run()
    return timelines.times()


class _Timelines:
    """The times of all rows of a program, as far as they are known: lines of a table, one for each task's begin and end."""

    def __init__(self, program: Program, order: Order, batch: Batch) -> None:
        self._program, self._order, self._batch = program, order, batch
        self._found: Any = numpy.zeros((2 * len(program), batch.count), dtype=numpy.int64)
        self._ended = numpy.zeros(batch.count, dtype=bool)

    def run(self) -> None:
        """Run all rows."""
        left = self._batch.staying.nonzero()[0]
        tried = poor = 0
        while len(left) > _FEW and poor < _TRIES:
            lead = int(len(left) * (_SPREAD * (tried := tried + 1) % 1.0))
            rows = numpy.concatenate([left[lead : lead + 1], numpy.delete(left, lead)])
            try:
                done = self._run(rows, _FEW)
            except FewRowsError:
                poor += 1
                continue
            poor = 0
            left = numpy.setdiff1d(left, done)
        for row in left.tolist():
            self._run(numpy.array([row]))

    def _run(self, rows: Any, least: int = 0) -> Any:
        """Run some rows; those that went the way of the first of them."""
        shapes, batch = taken(tuple(self._program.shapes), rows.tolist(), least)
        engine = Engine(replace(self._program, shapes=list(shapes)), order=self._order)
        engine.run()
        ended = not engine.waiting_tasks()
        done = rows[batch.staying]
        for at, time in enumerate((*engine.begin, *engine.end) if ended else ()):
            values = batch.values(time)
            if max(values) >= _INT64:
                self._found = self._found.astype(numpy.object_)
            self._found[at, done] = values
        self._ended[done] = ended
        return done

    def times(self) -> tuple[Times, Times] | None:
        """What was found, as numbers of all rows."""
        if not self._ended[0]:
            return None
        self._batch.keep(self._ended)
        found = [number_in(self._batch, line) for line in self._found]
        return found[: len(self._program)], found[len(self._program) :]
