"""Run a scenario from Python: `run("library:llama3_8b_block").timeline`. What answers questions and runs studies is loaded
when it is asked for: most runs ask nothing.

outcome = run("scenario.yaml", ["workload.dims.B=512"])
outcome.summary["time"]        # every word of the vocabulary, SI units
outcome.timeline               # a DataFrame, one row per task and chip
outcome.failed                 # claims of `expect` that did not come true
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis import (
    OP_WORDS,
    WORDS,
    Summary,
    Value,
    memory_frame,
    network_record,
    ops_frame,
    timeline_frame,
    usage_frame,
    write_table,
)
from analysis.runs import assumptions, grounds, margin
from analysis.words import rounds_figures
from hw import Problems, SpecError
from hw.systems import folder_of
from scenarios.building.build import Scenario
from scenarios.building.given import Given, given_scenario
from scenarios.building.run_one import job_words_of, money_words_of, summarise
from scenarios.claims.claims import Verdict, verdict
from scenarios.claims.find_values import Value as FoundValue
from scenarios.claims.scope import WordValues
from scenarios.outcome.answers import FromTheStudy, StudyRows
from scenarios.outcome.idle_efficiencies import idle_efficiencies
from scenarios.outcome.model_story import model_lines, model_record
from scenarios.outcome.run_words import RunWords
from scenarios.outcome.sharding_notes import ShardingStory, sharding_story
from scenarios.outcome.split_notes import split_notes
from scenarios.questions.other_runs import OtherRuns
from scenarios.studies.asked import points_of
from simulator import Result

if TYPE_CHECKING:
    import pandas as pd

    from scenarios.outcome.fitting import Misfit
    from scenarios.questions.crossover import Crossover
    from scenarios.questions.find import Flip, Found
    from scenarios.questions.what_if import WhatIf
    from scenarios.studies.sweeps import Study, StudyRow

WRITTEN = ("timeline.csv", "trace.json", "summary.json", "report.html", "memory.pickle")
"""The files that `write` writes."""


class Outcome:
    """A scenario and its run, made when it is asked for; so are its studies."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario

    def __repr__(self) -> str:
        told = "not run yet"
        if "words" in self.__dict__:
            told = ", ".join(f"{word} {WORDS[word].text(self.words[word])}" for word in ("time", "bound_by", "eta"))
        return f"Outcome({self.scenario.name}: {told})"

    @cached_property
    def words(self) -> Summary:
        """The run in the words of the vocabulary. Raises RunError if it cannot be done: a study of it may still be."""
        return summarise(self.scenario)

    @property
    def result(self) -> Result:
        """The finished run: begin and end of every task."""
        return self.words.result

    @cached_property
    def summary(self) -> dict[str, Value]:
        """Every word about the run, in SI units, and `find` where the study has one; of ops those that are asked for."""
        words = RunWords(self.words)
        if self.scenario.study is not None and self.scenario.study.find is not None:
            words["find"] = self.found
        return words

    @cached_property
    def notes(self) -> list[str]:
        """What is to be known beside the words: of the file as it was read, of unlike chips, of idle efficiencies."""
        plan = self.words.plan
        return [*self.scenario.notes, *split_notes(plan), *idle_efficiencies(self.scenario, plan)]

    @cached_property
    def sharding(self) -> ShardingStory:
        """The collectives that nobody wrote, and where the textbook's choice of them was dear."""
        return sharding_story(self.scenario.graph, self.words)

    @cached_property
    def misfit(self) -> Misfit | None:
        """Why its model does not fit, and what would; None where it does, or there is none."""
        if self.scenario.model is None:
            return None
        from scenarios.outcome.fitting import misfit

        return misfit(self.scenario, self.words)

    @cached_property
    def search(self) -> Found | None:
        """What `study.find` found, and how; None without one."""
        from scenarios.questions.find import find

        return find(self.scenario)

    @property
    def found(self) -> FoundValue | None:
        """The answer to `study.find`."""
        return self.search.value if self.search is not None else None

    @property
    def flips(self) -> tuple[Flip, ...]:
        """Every value at which the condition of `study.find` was seen to flip, ascending."""
        return self.search.flips if self.search is not None else ()

    @cached_property
    def crossover(self) -> Crossover | None:
        """The map of `study.crossover`; None without one."""
        from scenarios.questions.crossover import crossover

        return crossover(self.scenario)

    @cached_property
    def what_if(self) -> WhatIf | None:
        """The answers to `study.what_if`; None without one."""
        from scenarios.questions.what_if import what_if

        study = self.scenario.study
        return what_if(self.scenario) if study is not None and study.what_if is not None else None

    @cached_property
    def sweep(self) -> Study | None:
        """The runs of the study's `vary`, `zip` and `random`; None without any."""
        if not points_of(self.scenario):
            return None
        from scenarios.studies.sweeps import HowToRun, run_study

        return run_study(self.scenario, HowToRun())

    @property
    def rows(self) -> list[StudyRow]:
        """The runs of the study."""
        return self.sweep.rows if self.sweep is not None else []

    @property
    def timeline(self) -> pd.DataFrame:
        """One row per task and chip, seconds; analyses as methods of `.overlapse`. Schema: `analysis.frames.timeline`."""
        return timeline_frame(self.result)

    @property
    def ops(self) -> pd.DataFrame:
        """One row per op: FLOPs, bytes, intensity, bound, times. Joins the timeline on `op`."""
        return ops_frame(self.result)

    @property
    def usage(self) -> pd.DataFrame:
        """One row per resource and stretch of constant share of its capacity. Schema: `analysis.frames.usage`."""
        return usage_frame(self.result)

    @property
    def memory(self) -> pd.DataFrame:
        """One row per tensor and chip: bytes of HBM, from when to when. Schema: `analysis.frames.memory`."""
        return memory_frame(self.result)

    @property
    def study(self) -> pd.DataFrame:
        """One row per run of the study: inputs, words, error."""
        import pandas as pd

        return self.sweep.frame if self.sweep is not None else pd.DataFrame()

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """Every claim and whether it holds. Raises SpecError with every claim about a kernel, a row or another run that does
        not exist; RunError if a row or another run that a claim is about cannot be run."""
        scenario, runs = self.scenario, OtherRuns()
        study = scenario.study
        rows = StudyRows(scenario, self._sorted_inputs if study is not None and study.sort is not None else None)
        problems = Problems()
        found = []
        for claim in scenario.claims:
            mark = scenario.document.key_mark(("expect", claim.word))
            answers = FromTheStudy(folder_of(mark, scenario.path.parent), runs, rows, lambda: self.found)
            try:
                found.append(verdict(claim, WordValues(self.words, answers)))
            except SpecError as error:  # of `find`, or of a baseline
                problems.extend(error)
            except ValueError as error:
                problems.add(mark, str(error))
        problems.raise_if_any()
        return found

    def _sorted_inputs(self) -> list[Mapping[str, Any]]:
        return [row.inputs for row in self.rows]

    @property
    def failed(self) -> list[Verdict]:
        """The claims that did not come true."""
        return [verdict for verdict in self.verdicts if not verdict.holds]

    def as_json(self) -> dict[str, Any]:
        """The summary, and the rows of a grid where there is one, ready for JSON."""
        words: dict[str, Any] = {"name": self.scenario.name, **self.summary, "ops": self._ops()}
        if self.words.plan.system.size > 1:
            words["network"] = network_record(self.words.plan)
        if self.words.plan.classes > 1:  # each word is that of the chip with the most of it: which one?
            chips = {word: self.words.chip_of(word) for word in WORDS}
            words["chip_of"] = {word: chip for word, chip in chips.items() if chip is not None}
        words |= self._grounds()
        if self.sharding.inserted or self.sharding.dearer:
            words["sharding"] = self.sharding.as_json()
        if (money_words := money_words_of(self.scenario)) is not None:
            words["economics"] = money_words.record(self.words)
        if (job_words := job_words_of(self.scenario, [self.words])) is not None:
            words["job"] = job_words.record()
        if self.scenario.model is not None:
            words["model"] = model_record(self.scenario.model)
        if self.search is not None:
            words["find_search"] = self.search.as_json()
        if self.rows:
            words["study"] = [row.record for row in self.rows]
        if self.notes:
            words["notes"] = self.notes
        return words

    def _grounds(self) -> dict[str, Any]:
        """What the run's times rest on: what was assumed, shares by where they come from, and how sure they are."""
        words: dict[str, Any] = {}
        if assumed := assumptions(self.words):
            words["assumed"] = assumed
        if (shares := grounds(self.result)) is not None:
            words["provenance"] = shares
        if (sure := margin(self.result)) is not None:
            words["interval"] = {"low": sure.low_s, "high": sure.high_s, "covers": sure.covers}
        return words

    @property
    def beside(self) -> dict[str, list[str]]:
        """Lines for people on what the run is a part of, by title: its model, its job, what it costs."""
        model, found = self.scenario.model, {}
        if model is not None:
            found["the model"] = list(model_lines(model, self.words))
        if (job_words := job_words_of(self.scenario, [self.words])) is not None:
            found["the job"] = list(job_words.lines())
        if (money_words := money_words_of(self.scenario)) is not None:
            found["economics"] = list(money_words.lines(self.words))
        return found

    def _ops(self) -> dict[str, dict[str, Any]]:
        """The words of each op, all rounds of a block together, which are so many."""
        found = {}
        for each in rounds_figures(self.result):
            figures = each.figures
            words = {word: figures.word(word) for word in OP_WORDS}
            found[figures.name] = {"kind": figures.kind, "rounds": len(each.kernels), **words}
        return found

    def write(self, folder: Path) -> list[Path]:
        """Write timeline.csv, trace.json, summary.json, report.html and memory.pickle (the fullest chip's memory, for
        PyTorch's viewer) into `folder`; their paths. Raises OSError."""
        from analysis import write_memory_snapshot, write_trace

        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / name for name in WRITTEN]
        write_table(self.timeline, paths[0])
        with paths[1].open("w", encoding="utf-8") as out:
            write_trace(self.result, out)
        paths[2].write_text(json.dumps(self.as_json(), indent=2) + "\n", encoding="utf-8")
        paths[3].write_text(self.report(), encoding="utf-8")
        write_memory_snapshot(self.result, paths[4])
        return paths

    def report(self) -> str:
        """The run as one HTML file that needs nothing else."""
        from analysis.report import report_html
        from scenarios.outcome.explain import bare_reasons
        from scenarios.outcome.story import story_of

        why = bare_reasons(self.words, self.notes, self.sharding)
        return report_html(self.words, story_of(self.scenario, self.words, why, self.sweep, self.what_if, self.beside))

    def _repr_html_(self) -> str:
        from analysis.report import summary_html

        return summary_html(self.scenario.name, self.scenario.about, self.words)


def run(reference: Given, overrides: Iterable[str] = ()) -> Outcome:
    """Run a scenario: a file, one of the library (`library:NAME`), or one that is loaded; `overrides`: `a.b=v`. Raises
    SpecError, RunError."""
    outcome = loaded(reference, overrides)
    _ = outcome.result
    return outcome


def loaded(reference: Given, overrides: Iterable[str] = ()) -> Outcome:
    """The same, not run yet. Raises SpecError."""
    return Outcome(given_scenario(reference, overrides))
