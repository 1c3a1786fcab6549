"""What a search came to: the best layout, its proof or the gap, and why it is better than the next one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hw import Dimension
from hw.input import notebook_html, show
from scenarios.questions.searching.goals import made_of, reaches
from scenarios.questions.searching.layouts import Candidate, Near, as_written
from scenarios.questions.searching.running import SPENT_WORD
from simulator import PS_PER_S

ROWS = 10
"""Layouts that are shown of those that were run."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What two runs spend on one cause on their busiest chips, seconds."""

    cause: str
    best_s: float
    next_s: float

    @property
    def more_s(self) -> float:
        """What the next one spends more."""
        return self.next_s - self.best_s


@dataclass(frozen=True)
class Searched:
    """What a search came to. `ran` are runs that fit, the best first; of those `left`, which were not run, and of those that
    could not be run, `open` might be better: then there is no proof. `bound_s`: the least time of any that is left.
    `errors`: why some were refused, and how many for that reason; `twins`: the same of those that another one is the same
    as. `drawn`: how many layouts were drawn, if they were not all looked at. `near`: of those that do not fit the one that
    needs least, and for each reason why some were refused the one nearest to the scenario's own."""

    goals: tuple[str, ...]
    ran: Sequence[Candidate]
    too_large: int
    left: int
    open: int = 0
    bound_s: float | None = None
    errors: Mapping[str, int] = field(default_factory=dict)
    twins: Mapping[str, int] = field(default_factory=dict)
    drawn: int | None = None
    near: Sequence[Near] = ()

    def __repr__(self) -> str:
        if self.best is None:
            return f"Searched({self.nothing}, of {self.candidates:,} layouts)"
        how = "proven" if self.is_proven else "not proven"
        return f"Searched({self.best.told}: {show(self.best.time_s, Dimension.TIME)}, {how}, {len(self.ran):,} run)"

    def _repr_html_(self) -> str:
        heads = [*(self.best.values if self.best else ()), "time", "at least", "MFU", "peak"]
        rows = [[*map(as_written, each.values.values()), *each.figures] for each in self.ran[:ROWS]]
        counts = f"{self.candidates:,} layouts, {len(self.ran):,} run, {self.left:,} not run"
        how = "proven" if self.is_proven else f"not proven: {self.open:,} may be better"
        told = self.best.told if self.best else self.nothing
        return notebook_html("Searched", f"{told} ({how})", heads, rows, counts)

    @property
    def best(self) -> Candidate | None:
        """The best by the first goal; None where nothing fits."""
        return self.ran[0] if self.ran else None

    @property
    def nothing(self) -> str:
        """What is to be said where there is no best: whether layouts do not fit, or cannot be built at all."""
        if self.left:
            which = "nothing that was drawn" if self.drawn is not None else "nothing that was tried"
        else:
            which = "nothing that can be built" if self.refused and self.too_large else "nothing"
        return f"{which} {'fits' if self.too_large else 'can be built'}"

    @property
    def front(self) -> list[Candidate]:
        """Those that no other beats in one goal without being worse in another; of equals the first."""
        found: list[Candidate] = []
        for each in self.ran:
            if not any(reaches(made_of(other, self.goals), made_of(each, self.goals)) for other in found):
                found.append(each)
        return found

    @property
    def next(self) -> Candidate | None:
        """The best but one of those that were run, which the best is compared with; None where there is no other."""
        return self.ran[1] if len(self.ran) > 1 else None

    @property
    def why(self) -> list[Spent]:
        """Where the time of the best and of the next one goes, by cause (`analysis.runs.SPENT`): they add up to their times;
        empty where there is no next one. Causes on which neither spends anything are left out."""
        if self.best is None or self.next is None:
            return []
        one, other = self.best.word(SPENT_WORD), self.next.word(SPENT_WORD)
        found = [Spent(cause, one[cause] / PS_PER_S, other[cause] / PS_PER_S) for cause in one]
        return [each for each in found if each.best_s or each.next_s]

    @property
    def is_proven(self) -> bool:
        """Whether no candidate that was not run can be better."""
        return self.open == 0

    @property
    def refused(self) -> int:
        """How many cannot be built, or run."""
        return sum(self.errors.values())

    @property
    def candidates(self) -> int:
        """How many there were."""
        return len(self.ran) + self.refused + self.too_large + self.left + sum(self.twins.values())

    @property
    def gap(self) -> float:
        """By what share of its time the best might be beaten by one that was not run; 0 with a proof."""
        if self.best is None or self.bound_s is None or self.is_proven:
            return 0.0
        return max(0.0, 1 - self.bound_s / self.best.time_s)
