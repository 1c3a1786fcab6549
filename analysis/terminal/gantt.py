"""The timeline as text: one line a queue, one character a slice of time, each op its letter.

A character shows the op that ran longest in its slice where something ran for at least half of it, a shade where less
did, and a dot where hardly anything did: the picture stays honest when many tasks share a column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulator import PS_PER_S, Result

LETTERS = "abcdefghijklmnopqrstuvwxyz"
OTHER, FAINT, IDLE = "+", "░", "·"
_HARDLY, _MOSTLY = 0.05, 0.5
_FEWEST_ROUNDS = 4
"""Rounds from which one of them is drawn instead of all."""


@dataclass(frozen=True, slots=True)
class GanttLine:
    """A queue: chip, name, its characters, and the share of the time in which it is busy."""

    chip: int
    queue: str
    cells: str
    busy: float = 0.0


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a run: one of so many rounds of a block."""

    begin_ps: int
    end_ps: int
    rounds: int

    @property
    def begin_s(self) -> float:
        """Where it begins, in seconds."""
        return self.begin_ps / PS_PER_S

    @property
    def end_s(self) -> float:
        """Where it ends, in seconds."""
        return self.end_ps / PS_PER_S


def steady_window(result: Result, kernels: Sequence[int]) -> Window | None:
    """The round in the middle of a block that repeats, from the begin of an op in it to that of the next round; `kernels`:
    that op in every round. None where there are too few, or the op begins nowhere on the first chip."""
    if len(kernels) < _FEWEST_ROUNDS:
        return None
    places = result.places
    here = places.of(np.isin(places.kernel, list(kernels)) & (places.chip == places.chip.min()))
    begins = np.unique(here.begin)
    if len(begins) < _FEWEST_ROUNDS:
        return None
    at = len(begins) // 2
    return Window(int(begins[at - 1]), int(begins[at]), len(kernels))


def gantt(
    result: Result, width: int, letter_of: Mapping[int, str], chips: Sequence[int], window: Window | None = None
) -> list[GanttLine]:
    """The lines of the queues of `chips`, `width` characters each; `letter_of` maps kernels to letters; of the whole run,
    or of a part."""
    queues, places = result.plan.program.queues, result.places
    letters = sorted({*letter_of.values(), OTHER})
    number = {letter: at for at, letter in enumerate(letters)}
    of_kernel = np.full(len(result.plan.kernels), number[OTHER])
    of_kernel[list(letter_of)] = [number[letter] for letter in letter_of.values()]
    first, last = (0, result.last_ps) if window is None else (window.begin_ps, window.end_ps)
    inside = (places.end > places.begin) & (places.end > first) & (places.begin < last)
    places = places.of(np.isin(places.chip, list(chips)) & inside)
    lines = []
    for queue in sorted(
        np.flatnonzero(np.bincount(places.queue)).tolist(), key=lambda queue: (queues[queue].chip, queue)
    ):
        here = places.of(places.queue == queue)
        begin, end = (
            (np.clip(column, first, last) - first).astype(np.float64) * width / (last - first)
            for column in (here.begin, here.end)
        )
        cells = _painted(begin, end, of_kernel[here.kernel], (width, len(letters)))
        shown = "".join(_shown(dict(zip(letters, cell, strict=True))) for cell in cells.tolist())
        busy = float(np.minimum(cells.sum(axis=1), 1.0).mean())
        lines.append(GanttLine(queues[queue].chip, queues[queue].name, shown, busy))
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
