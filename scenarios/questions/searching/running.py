"""Who runs the layouts of a search, and what is asked of each run.

Model: a layout is a variant of the scenario with other values at dotted paths; it is run in this process, or in others
(`scenarios.studies.search_runs`). Runs end in any order; what a search tells is the same for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from analysis.runs import spent_ps
from hw import RunError, SpecError
from scenarios.building.build import Scenario, build_scenario, without_questions
from scenarios.building.run_one import first_line, summarise
from scenarios.language.variants import changed
from scenarios.questions.searching.layouts import Asked, Bounds
from simulator import Bounded

WORDS = (
    "time", "mfu", "peak_memory", "exposed_network", "bubble", "t_math", "t_memory", "t_network",
    "cost", "tokens_per_s", "cost_per_million_tokens",
)  # fmt: skip
"""What is asked of each run."""

SPENT_WORD = "spent"
"""What each run has beside words: where the time of its busiest chip goes, ps (`analysis.runs.spent`)."""


def layout_words(scenario: Scenario, asked: Sequence[str] | None) -> dict[str, Any]:
    """The words of a run that are asked for, and where its time goes. Raises SpecError, RunError."""
    summary = summarise(scenario)
    return {**{word: summary[word] for word in asked or WORDS}, SPENT_WORD: spent_ps(summary.result)}


Words = Mapping[str, Any] | str
"""The words of a run, or why there are none."""

Wanted = Callable[[int], bool]
"""Whether a run, by its number, is still asked for."""


def always(at: int) -> bool:
    """Whatever else has come out."""
    return True


class Runs(Protocol):
    """Who bounds and runs layouts, so many at once."""

    @property
    def at_once(self) -> int:
        """How many."""

    def of(self, paths: Sequence[Mapping[str, Any]], wanted: Wanted = always) -> Iterator[tuple[int, Words]]:
        """Run variants of the scenario, each with other values at dotted paths, in their order: words under their numbers,
        as they are there. What is not `wanted` when its turn comes is left out, and what still runs is given up once
        nothing that is left is wanted."""

    def bounds(self, asked: Sequence[Asked]) -> Sequence[Bounded | str]:
        """The bounds of layouts, or why they cannot be built. Raises SpecError on unlike chips."""


@dataclass(frozen=True)
class RunsHere:
    """One after the other, in this process."""

    scenario: Scenario
    at_once: int = 1

    def of(self, paths: Sequence[Mapping[str, Any]], wanted: Wanted = always) -> Iterator[tuple[int, Words]]:
        """As `Runs` does."""
        for at, each in enumerate(paths):
            if wanted(at):
                yield at, self._one(each)

    def bounds(self, asked: Sequence[Asked]) -> Sequence[Bounded | str]:
        """As `Runs` does."""
        return Bounds(self.scenario).of(asked)

    def _one(self, paths: Mapping[str, Any]) -> Words:
        document = changed(without_questions(self.scenario.document), paths)
        try:
            return layout_words(build_scenario(document, self.scenario.path), WORDS)
        except (SpecError, RunError) as error:
            return first_line(error)
