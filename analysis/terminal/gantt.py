"""The timeline as text: one line a queue, one character a slice of time, each op its letter.

A character shows the op that ran longest in its slice where something ran for at least half of it, a shade where less
did, and a dot where hardly anything did: the picture stays honest when many tasks share a column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulator import Result

LETTERS = "abcdefghijklmnopqrstuvwxyz"
OTHER, FAINT, IDLE = "+", "░", "·"
_HARDLY, _MOSTLY = 0.05, 0.5


@dataclass(frozen=True, slots=True)
class GanttLine:
    """A queue: chip, name, and its characters."""

    chip: int
    queue: str
    cells: str


def gantt(result: Result, width: int, letter_of: Mapping[int, str], chips: Sequence[int]) -> list[GanttLine]:
    """The lines of the queues of `chips`, `width` characters each; `letter_of` maps kernels to letters."""
    queues, places = result.plan.program.queues, result.places
    letters = sorted({*letter_of.values(), OTHER})
    number = {letter: at for at, letter in enumerate(letters)}
    of_kernel = np.full(len(result.plan.kernels), number[OTHER])
    of_kernel[list(letter_of)] = [number[letter] for letter in letter_of.values()]
    places = places.of(np.isin(places.chip, list(chips)) & (places.end > places.begin))
    makespan = max(result.end_ps, default=0)
    lines = []
    for queue in sorted(
        np.flatnonzero(np.bincount(places.queue)).tolist(), key=lambda queue: (queues[queue].chip, queue)
    ):
        here = places.of(places.queue == queue)
        begin, end = (column.astype(np.float64) * width / makespan for column in (here.begin, here.end))
        cells = _painted(begin, end, of_kernel[here.kernel], (width, len(letters)))
        shown = "".join(_shown(dict(zip(letters, cell, strict=True))) for cell in cells.tolist())
        lines.append(GanttLine(queues[queue].chip, queues[queue].name, shown))
    return lines


def _painted(begin: Any, end: Any, letter: Any, size: tuple[int, int]) -> Any:
    """How much of each cell each letter covers, of spans given in cells."""
    first = begin.astype(np.int64)
    count = np.minimum(size[0], end.astype(np.int64) + 1) - first
    span = np.repeat(np.arange(len(begin)), count)
    cell = np.arange(len(span)) - np.repeat(np.cumsum(count) - count, count) + first[span]
    covered = np.minimum(end[span], cell + 1) - np.maximum(begin[span], cell)
    cells = np.zeros(size)
    np.add.at(cells, (cell, letter[span]), np.maximum(covered, 0.0))
    return cells


def _shown(cell: Mapping[str, float]) -> str:
    busy = sum(cell.values())
    if busy < _MOSTLY:
        return IDLE if busy < _HARDLY else FAINT
    return max(sorted(cell), key=lambda letter: cell[letter])
