"""What claims name beyond a run's own words: the answer of `find`, rows of the study, runs of other files.

Model: each is worked out when it is first asked for, and once. A row is the scenario with the row's values, run by itself:
a claim about two rows of a study of thousands runs two. Rows are counted from 0 in the order of the points, from the end
with -1, -2, ...; where the study is sorted, in that order, which takes all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from analysis import Summary
from hw import RunError
from scenarios.building.build import Scenario, build_scenario, without_questions
from scenarios.building.run_one import first_line, summarise
from scenarios.claims.scope import FIND, NoValueError, value_of
from scenarios.expressions.expression import Reference
from scenarios.language.value_text import as_number
from scenarios.points.points import Entry, Points
from scenarios.questions.other_runs import OtherRuns
from scenarios.studies.asked import points_of


def answer_of(value: Any) -> Any:
    """The answer of a search as expressions count with it. Raises NoValueError where there is none."""
    if value is None:
        raise NoValueError("find: the condition holds nowhere")
    return as_number(value)


@dataclass
class StudyRows:
    """The rows of a scenario's study. `ordered`: their values by path in the order in which they are shown, where that is
    not the order of the points."""

    scenario: Scenario
    ordered: Callable[[], list[Entry]] | None = None
    rows: dict[int, tuple[Entry, Scenario]] = field(default_factory=dict)
    words: dict[int, Summary] = field(default_factory=dict)

    def value(self, reference: Reference) -> Any:
        """A word of a row, or one of its values. Raises ValueError, RunError."""
        from scenarios.questions.find import CannotTryError, search_of

        number = self._number(reference)
        try:
            inputs, scenario = self._row(number)
            if reference.word in inputs:
                return as_number(inputs[reference.word])
            if reference.word == FIND:
                search = search_of(self.scenario)
                return answer_of(search.within(scenario, inputs).value if search is not None else None)
            if number not in self.words:
                self.words[number] = summarise(scenario)
            return value_of(self.words[number], reference.word)
        except NoValueError:
            raise
        except (ValueError, CannotTryError) as error:
            raise ValueError(f"{reference}: {first_line(error)}") from None
        except RunError as error:
            raise RunError(f"{reference}: {error}") from None

    @cached_property
    def _points(self) -> Points | None:
        return points_of(self.scenario)

    @cached_property
    def _bare(self) -> Scenario:
        """The scenario without its questions: a row may not have what they name."""
        return build_scenario(without_questions(self.scenario.document), self.scenario.path)

    @cached_property
    def _ordered(self) -> list[Entry] | None:
        return self.ordered() if self.ordered is not None else None

    def _number(self, reference: Reference) -> int:
        count, at = len(self._points or ()), int(reference.at[0])
        if not -count <= at < count:
            raise ValueError(f"{reference}: the study has {count} rows, counted from 0")
        return at % count

    def _row(self, number: int) -> tuple[Entry, Scenario]:
        assert self._points is not None
        if number not in self.rows:
            inputs = self._ordered[number] if self._ordered is not None else self._points[number].inputs
            self._points.derived.values(inputs)  # where these cannot be worked out there is no run that has the word
            self.rows[number] = inputs, self._bare.having_all(self._points.resolved(inputs))
        return self.rows[number]


@dataclass
class FromTheStudy:
    """Everything that a claim in a file of `folder` may ask."""

    folder: Path
    runs: OtherRuns
    rows: StudyRows
    search: Callable[[], Any]

    def found(self) -> Any:
        """The answer of `find`."""
        return answer_of(self.search())

    def of_row(self, reference: Reference) -> Any:
        """A word or a value of a row."""
        return self.rows.value(reference)

    def of_run(self, reference: Reference) -> Any:
        """A word of another run."""
        return self.runs.value(reference, self.folder)
