"""Many points of a study at once: what their runs have in common is worked out once.

Model: points that differ in numbers alone (a size, a rate, a time, a price) become one scenario whose numbers stand for
many rows (`hw.rows`). It is built, lowered, run and put into words as any other; rows that go another way than the first
(another tile decides, another task ends first) stay behind and are worked out together with those like them. So every row
has the words that it has by itself, bit for bit. What cannot be worked out in this way is run one by one: a row with an
error, a study that is different in every row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hw.rows import Batch
from scenarios.building.build import Scenario
from scenarios.building.run_one import words_of

MOST_ROWS = 2000
"""Rows of one batch: more gain little, and take memory."""

_AT_ONCE = 1_000_000
"""Ops of all rows of one batch: of each there are some ten numbers at a time."""

_FEW = 8
"""So few rows are run one by one: a batch costs about as much as that many runs."""

_SPREAD = 0.618034
"""Multiples of it, whole parts left off, are spread evenly over 0 to 1, however many there are."""

_TRIES = 4
"""After so many batches in a row that came to few rows, the others are run one by one."""

_NUMBER = re.compile(r"\s*[+-]?\.?\d")
_NAMES = ("workload", "system", "system.chip", "system.topology", "system.base")
"""Paths whose values are never numbers, whatever they begin with."""

Entry = Mapping[str, Any]
Words = dict[str, Any]


@dataclass
class Batches:
    """The points of a study of one scenario. `asked`: the words that are wanted; None for every word about the run."""

    base: Scenario
    asked: Sequence[str] | None = None
    _numeric: dict[str, bool] = field(default_factory=dict)

    def run(self, points: Sequence[Entry]) -> Iterator[tuple[int, Words | None]]:
        """The number of each point and its words, as they are ready; None where it has to be run by itself."""
        alike: dict[object, list[int]] = {}
        for number, point in enumerate(points):
            alike.setdefault(self._structure(point), []).append(number)
        most = min(MOST_ROWS, 2 * _FEW + _AT_ONCE // max(1, len(self.base.graph.unrolled)))
        for numbers in alike.values():
            for begin in range(0, len(numbers), most):
                yield from self._together(points, numbers[begin : begin + most])

    def _structure(self, point: Entry) -> object:
        """What a point says beside numbers, and of what type those are."""
        return tuple(
            (path, type(value) if _is_number(path, value) else repr(value)) for path, value in sorted(point.items())
        )

    def _together(self, points: Sequence[Entry], left: list[int]) -> Iterator[tuple[int, Words | None]]:
        """Points that differ in numbers alone."""
        poor = tried = 0
        while len(left) > _FEW and poor < _TRIES:
            # at the ends of what varies few rows are alike, so the leads are spread over it
            lead = int(len(left) * (_SPREAD * (tried := tried + 1) % 1.0))
            rows = [left[lead], *left[:lead], *left[lead + 1 :]]
            done = self._batch([points[number] for number in rows])
            yield from ((rows[row], words) for row, words in done.items())
            poor = 0 if len(done) > 1 else poor + 1
            found = {rows[row] for row in done}
            left = [number for number in left if number not in found]
        yield from ((number, None) for number in left)

    def _batch(self, rows: Sequence[Entry]) -> dict[int, Words | None]:
        """The words of the first row and of those that go its way; None for the first alone if it goes wrong: what is
        wrong with it is for its own run to say."""
        batch = Batch(len(rows), _FEW)
        values = {path: [row[path] for row in rows] for path in rows[0]}
        try:
            with batch.working():
                inputs = {path: self._input(batch, path, each) for path, each in values.items()}
                found = words_of(self.base.having_all(inputs), self.asked)
        except Exception:  # whatever it is, the run of the row alone meets it too, or does without many rows
            return {0: None}
        columns = zip(*(batch.values(each) for each in found.values()), strict=True)
        staying = batch.staying.nonzero()[0].tolist()
        return {row: dict(zip(found, each, strict=True)) for row, each in zip(staying, columns, strict=True)}

    def _input(self, batch: Batch, path: str, values: Sequence[Any]) -> Any:
        """What stands for the values of a path; where it takes no number of many rows, the first, and rows with another
        one stay behind."""
        number = batch.number(values)
        if type(number) is type(values[0]) or self._takes_rows(path, values):
            return number
        return number.alone()

    def _takes_rows(self, path: str, values: Sequence[Any]) -> bool:
        """Whether a scenario can be built whose value at a path stands for many rows; tried once, with two of them."""
        if path not in self._numeric:
            other = next(each for each in values if each != values[0] and type(each) is type(values[0]))
            trial = Batch(2)
            try:
                with trial.working():
                    self.base.having_all({path: trial.number([values[0], other])})
                self._numeric[path] = True
            except Exception:  # wrong values, too, are told by the runs of their rows
                self._numeric[path] = False
        return self._numeric[path]


def _is_number(path: str, value: Any) -> bool:
    """Whether a value is a number, or begins as a quantity does."""
    if isinstance(value, (bool, list, dict)) or value is None or path in _NAMES:
        return False
    return not isinstance(value, str) or _NUMBER.match(value) is not None
