"""Two runs side by side: what moved, op by op and cause by cause, adding up to the difference of their times.

Model: each run's time is given, instant by instant, to one op and one cause (`analysis.runs.critical_path`). The difference
of the two tables is the difference of the two times: exactly, since all of it is whole picoseconds.
Ops are matched by the names of their kernels; what stands in one run only says so. An op that is off the path in one run
counts nothing there, however long it runs: its own time stands in `by_op`.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from analysis.runs.critical_path import PATH_CAUSES, path_work_ps, schedule_path
from analysis.words.columns.rounds import op_figures
from analysis.words.ops import OpFigures
from analysis.words.words import WORDS
from simulator import PS_PER_S, Result

if TYPE_CHECKING:
    import pandas as pd

BOTH = "both"
"""Of a change: both runs have the op."""
ONLY_A = "only A"
"""Of a change: only the first run has the op."""
ONLY_B = "only B"
"""Of a change: only the second run has the op."""


@dataclass(frozen=True, slots=True)
class Change:
    """What one op and one cause take of each run's time, in whole ps; `where`: which runs have the op."""

    op: str
    cause: str
    a_ps: int
    b_ps: int
    where: str = BOTH

    @property
    def difference_ps(self) -> int:
        """B - A: above 0, the second run takes longer."""
        return self.b_ps - self.a_ps


class Comparison:
    """Run B against run A. Every list and frame adds up to `difference_ps`; frames are in seconds."""

    def __init__(self, a: Result, b: Result) -> None:
        self.a, self.b = a, b

    def __repr__(self) -> str:
        times = " to ".join(WORDS["time"].text(run.time_s) for run in (self.a, self.b))
        return f"Comparison({times})"

    @property
    def difference_ps(self) -> int:
        """Time of B less time of A, ps."""
        return max(self.b.end_ps, default=0) - max(self.a.end_ps, default=0)

    @cached_property
    def changes(self) -> list[Change]:
        """One for every op and cause on the path of either run, the largest difference first."""
        in_a, in_b = (set(run.plan.kernels.names()) for run in (self.a, self.b))
        path_a, path_b = (path_work_ps(schedule_path(run)) for run in (self.a, self.b))
        found = [
            Change(op, cause, path_a.get((op, cause), 0), path_b.get((op, cause), 0), _where(op, in_a, in_b))
            for op, cause in dict.fromkeys((*path_a, *path_b))
        ]
        return sorted(found, key=_largest_first)

    @cached_property
    def by_cause(self) -> list[Change]:
        """The changes added up over ops, in the order of the causes; `op` is empty."""
        return [
            _sum("", cause, [each for each in self.changes if each.cause == cause])
            for cause in PATH_CAUSES
            if any(each.cause == cause for each in self.changes)
        ]

    @cached_property
    def by_op(self) -> list[Change]:
        """The changes added up over causes, one for every kernel of either run, on the path or not; `cause` is empty."""
        of_op: dict[str, list[Change]] = {}
        for each in self.changes:
            of_op.setdefault(each.op, []).append(each)
        in_a, in_b = (dict.fromkeys(run.plan.kernels.names()) for run in (self.a, self.b))
        found = [_sum(op, "", of_op.get(op, ()), _where(op, in_a, in_b)) for op in {**in_a, **in_b}]
        return sorted(found, key=_largest_first)

    @cached_property
    def figures(self) -> tuple[dict[str, OpFigures], dict[str, OpFigures]]:
        """The figures of every kernel, by name, in A and in B."""
        a, b = ({row.name: row for row in op_figures(run)} for run in (self.a, self.b))
        return a, b

    @property
    def frame(self) -> pd.DataFrame:
        """One row per op and cause: op, cause, where, a, b, difference (s). The differences sum to the difference."""
        import pandas as pd

        rows = [
            {
                "op": each.op,
                "cause": each.cause,
                "where": each.where,
                "a": each.a_ps / PS_PER_S,
                "b": each.b_ps / PS_PER_S,
                "difference": each.difference_ps / PS_PER_S,
            }
            for each in self.changes
        ]
        return pd.DataFrame(rows, columns=["op", "cause", "where", "a", "b", "difference"])


def _sum(op: str, cause: str, changes: Iterable[Change], where: str = BOTH) -> Change:
    parts = list(changes)
    return Change(op, cause, sum(each.a_ps for each in parts), sum(each.b_ps for each in parts), where)


def _where(op: str, in_a: Container[str], in_b: Container[str]) -> str:
    if op in in_a:
        return BOTH if op in in_b else ONLY_A
    return ONLY_B


def _largest_first(change: Change) -> tuple[int, int, str, str]:
    return -abs(change.difference_ps), -max(change.a_ps, change.b_ps), change.op, change.cause


def compare(a: Result, b: Result) -> Comparison:
    """What moved from run A to run B."""
    return Comparison(a, b)
