"""Two scenarios compared: `compare(a, b)` runs both and says what moved, op by op and cause by cause.

    found = compare(load_scenario("library:llama3_8b_block"), load_scenario("library:llama3_8b_block", ["run.overlap=none"]))
    found.moves.frame      # op, cause, where, a, b, difference (s): the differences sum to the difference of the times

How the time of a run is given to ops and causes stands in `analysis.runs.critical_path`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from analysis import CAUSES, Summary, word_named
from analysis.runs import Change, Comparison
from hw import Mark, Problem, Problems, SpecError
from scenarios.building.build import Scenario, load_scenario
from scenarios.building.given import Given, given_scenario
from scenarios.building.run_one import summarise
from scenarios.language.source import listed
from simulator import PS_PER_S

WORDS = (
    "time",
    "lower_bound",
    "upper_bound",
    "eta",
    "bound_by",
    *(cause.word for cause in CAUSES.values()),
    "flops",
    "hbm_bytes",
    "mfu",
)
"""The words about the whole run that are set side by side."""


@dataclass(frozen=True)
class Compared:
    """Two runs under their names: `moves` has what moved, `a` and `b` every word about either, `notes` what should be known
    of either beside."""

    names: tuple[str, str]
    a: Summary
    b: Summary
    moves: Comparison
    notes: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())

    def __repr__(self) -> str:
        times = [word_named("time").text(each["time"]) for each in (self.a, self.b)]
        return f"Compared({self.names[0]} {times[0]}, {self.names[1]} {times[1]})"

    @property
    def words(self) -> list[tuple[str, Any, Any]]:
        """(word, in A, in B) for the words about the whole run."""
        return [(word, self.a[word], self.b[word]) for word in WORDS]

    def _repr_html_(self) -> str:
        from analysis.report import compared_html

        return compared_html(self.names, self.words, self.moves)

    def as_json(self) -> dict[str, Any]:
        """Plain data, seconds."""
        notes = [{"notes": list(each)} if each else {} for each in self.notes]
        return {
            "a": {"name": self.names[0], **{word: a for word, a, _ in self.words}, **notes[0]},
            "b": {"name": self.names[1], **{word: b for word, _, b in self.words}, **notes[1]},
            "difference": self.moves.difference_ps / PS_PER_S,
            "causes": [{"cause": each.cause, **_seconds(each)} for each in self.moves.by_cause],
            "ops": list(self._ops()),
            "changes": [
                {"op": each.op, "cause": each.cause, "in": each.where, **_seconds(each)} for each in self.moves.changes
            ],
        }

    def _ops(self) -> Iterator[dict[str, Any]]:
        figures_a, figures_b = self.moves.figures
        for each in self.moves.by_op:
            a, b = figures_a.get(each.op), figures_b.get(each.op)
            yield {
                "op": each.op,
                "in": each.where,
                **_seconds(each),
                "time_a": a.time_s if a else None,
                "time_b": b.time_s if b else None,
                "bound_by_a": a.bound_by if a else None,
                "bound_by_b": b.bound_by if b else None,
            }


def _seconds(change: Change) -> dict[str, float]:
    return {
        "a": change.a_ps / PS_PER_S,
        "b": change.b_ps / PS_PER_S,
        "difference": change.difference_ps / PS_PER_S,
    }


def compare(a: Given, b: Given) -> Compared:
    """Run two scenarios and compare them. Raises SpecError, RunError."""
    a, b = given_scenario(a), given_scenario(b)
    names = (a.name, b.name) if a.name != b.name else (f"{a.name} (A)", f"{b.name} (B)")
    one, other = summarise(a), summarise(b)
    return Compared(names, one, other, Comparison(one.result, other.result), (a.notes, b.notes))


def load_both(first: str, second: str | None, overrides: Iterable[str]) -> tuple[Scenario, Scenario]:
    """The scenarios of two files, both with the overrides; of one file, as it is and with the overrides."""
    changes = listed(overrides)
    if second is None and not changes:
        raise SpecError([Problem(Mark("compare"), "wants a second scenario, or --set a.b=v to compare the first with")])
    problems, found = Problems(), []
    for file, changed in ((first, changes if second is not None else ()), (second or first, changes)):
        try:
            found.append(load_scenario(file, changed))
        except SpecError as error:
            problems.extend(error)
    problems.raise_if_any()
    return found[0], found[1]
