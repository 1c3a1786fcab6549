"""The timeline as text: one line a queue, one character a slice of time, each op its letter.

A character shows the op that ran longest in its slice where something ran for at least half of it, a shade where less
did, and a dot where hardly anything did: the picture stays honest when many tasks share a column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
    program = result.plan.program
    makespan = max(result.end_ps, default=0)
    lanes: dict[int, list[dict[str, float]]] = {}
    for task in range(len(program)):
        begin, end = result.begin_ps[task], result.end_ps[task]
        for queue in program.queues_of(task):
            kernel = result.plan.kernel_on(task, program.queues[queue].chip)
            if program.queues[queue].chip in chips and end > begin and not program.queues[queue].inner:
                cells = lanes.setdefault(queue, [{} for _ in range(width)])
                _paint(cells, (begin * width / makespan, end * width / makespan), letter_of.get(kernel, OTHER))
    return [
        GanttLine(program.queues[queue].chip, program.queues[queue].name, "".join(map(_shown, lanes[queue])))
        for queue in sorted(lanes, key=lambda queue: (program.queues[queue].chip, queue))
    ]


def _paint(cells: list[dict[str, float]], span: tuple[float, float], letter: str) -> None:
    begin, end = span
    for at in range(int(begin), min(len(cells), int(end) + 1)):
        covered = min(end, at + 1) - max(begin, at)
        if covered > 0:
            cells[at][letter] = cells[at].get(letter, 0.0) + covered


def _shown(cell: Mapping[str, float]) -> str:
    busy = sum(cell.values())
    if busy < _MOSTLY:
        return IDLE if busy < _HARDLY else FAINT
    return max(sorted(cell), key=lambda letter: cell[letter])
