"""Many runs of one scenario as a table: `sweep("library:llama3_8b_block", {"workload.dims.T": "512:8192:x2"}).frame`.

    sweep(scenario)                                     # the scenario's own `study`
    sweep(scenario, {"system.chip": ["h100_sxm", "tpu_v5p"], "workload.dims.B": [1, 64]})          # a grid
    sweep(scenario, {"zip": {...}, "random": {...}, "derive": {"workload.dims.F": "4 * D"}})       # as in a file
    sweep(scenario, {"workload.dims.D": [4096, 8192], "find": {...}, "sort": "-mfu"})    # an answer for each row; an order
    sweep(scenario, {...}, store="runs.db", jobs=4)     # kept in a file; the same study again runs what is missing

One row per point, in the order of the points, whoever ran them and when. Points that come to the same scenario are run
once. A point that cannot be run is a row with an error.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis import WORDS, write_table
from hw import Mark, Problem, Problems, SpecError
from hw.input import Document, cut, few, plain, validate
from scenarios.building.build import Scenario
from scenarios.building.given import Given, given_scenario
from scenarios.building.system import notes_of
from scenarios.claims.find_values import read_condition
from scenarios.claims.scope import Scopes
from scenarios.claims.sorting import read_sort, sorted_rows
from scenarios.claims.study_words import check_words
from scenarios.console.progress import bar, silent
from scenarios.expressions.expression import Expression
from scenarios.language.study_spec import StudySpec
from scenarios.points.points import Points
from scenarios.questions.find import search_of
from scenarios.studies.asked import points_of
from scenarios.studies.content_keys import ContentKeys
from scenarios.studies.executors import Done, Task, Workers, given, process_pool, run_here, run_on, run_where_it_pays
from scenarios.studies.store import Store
from scenarios.studies.worker import WRONG_INPUT, Job, Ran

if TYPE_CHECKING:
    import pandas as pd

_PARTS = ("vary", "zip", "random", "derive", "find", "sort", "words")


@dataclass(frozen=True, slots=True)
class StudyRow:
    """One run of a study: its inputs, its words, what went wrong (and the exit code that it would have alone), and what
    should be known of it beside."""

    inputs: Mapping[str, Any]
    words: Mapping[str, Any]
    error: str = ""
    note: str = ""
    exit: int = 0

    def __repr__(self) -> str:
        inputs = few((f"{name}={value}" for name, value in self.inputs.items()), 3)
        time = self.words.get("time")
        told = self.error or ("" if time is None else f"time {WORDS['time'].text(time)}")
        return cut(f"StudyRow({inputs}: {told or f'{len(self.words)} words'})", 140)

    @property
    def record(self) -> dict[str, Any]:
        """The row as plain data; a note only where there is one."""
        note = {"note": self.note} if self.note else {}
        return {**self.inputs, **self.words, "error": self.error, **note}


@dataclass(frozen=True)
class Study:
    """The finished runs of a study. `ran`: how many were run for it; the others were known or the same. `warning`: what
    should be known of rows that a store had and that were not used. `asked`: the words that rows have; None for all."""

    name: str
    paths: tuple[str, ...]
    rows: list[StudyRow]
    ran: int
    warning: str = ""
    asked: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        failed = f", {self.failed} failed" if self.failed else ""
        return f"Study({self.name}: {len(self.rows)} rows over {few(self.paths, 3) or 'nothing'}{failed})"

    @property
    def exit(self) -> int:
        """The exit code: 0 if any row could be run, else that of its worst row."""
        codes = [row.exit for row in self.rows]
        return 0 if 0 in codes else max(codes, default=0)

    @property
    def failed(self) -> int:
        """How many rows have an error."""
        return sum(1 for row in self.rows if row.error)

    @property
    def words(self) -> list[str]:
        """The words that its rows have, in the order of the vocabulary."""
        listed = WORDS if self.asked is None else self.asked
        return list(dict.fromkeys([*listed, *(word for row in self.rows for word in row.words)]))

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row per point: what varied, the words in SI units, the error (empty where there is none), and a note on each
        where any row has one."""
        import pandas as pd

        words, columns = self.words, [*self.paths, *self.words, "error"]
        records = [[*self._cells(row), *(row.words.get(word) for word in words), row.error] for row in self.rows]
        frame = pd.DataFrame(records, columns=columns)
        return frame.assign(note=[row.note for row in self.rows]) if any(row.note for row in self.rows) else frame

    def _cells(self, row: StudyRow) -> list[Any]:
        """The inputs; lists and maps as text, so that a table can be grouped by them."""
        values = [row.inputs.get(path) for path in self.paths]
        return [json.dumps(value) if isinstance(value, (list, dict)) else value for value in values]

    def records(self) -> list[dict[str, Any]]:
        """The rows as plain data."""
        return [row.record for row in self.rows]

    def export(self, path: str | Path) -> Path:
        """Write the table as .csv or .parquet. Raises SpecError, RunError, OSError."""
        path = Path(path)
        mixed = [name for name in self.paths if len({type(value) for value in self.frame[name]}) > 1]
        frame = self.frame.astype(dict.fromkeys(mixed, str)) if path.suffix == ".parquet" else self.frame
        write_table(frame, path)
        return path

    def _repr_html_(self) -> str:
        from analysis.report import study_html

        return study_html(self.name, self.frame, self.paths)


@dataclass(frozen=True)
class HowToRun:
    """Where the runs go and where they are made: a store's file, so many processes, or workers of the user's."""

    store: str | Path | None = None
    jobs: int | None = None
    workers: Workers | None = None
    progress: bool = False

    def results(self, job: Job, tasks: list[Task]) -> Iterator[Done]:
        """Run points; by default in a process pool, if that pays."""
        if self.workers is not None:
            yield from run_on(self.workers, job, tasks)
        elif self.jobs == 1 or len(tasks) < 2 or (self.jobs is None and job.added.only_here):
            yield from run_here(job, tasks)
        elif self.jobs is None:
            yield from run_where_it_pays(job, tasks)
        else:
            with process_pool(min(self.jobs, len(tasks))) as workers:
                yield from run_on(workers, job, tasks)


def sweep(
    scenario: Given,
    changes: Mapping[str, Any] | None = None,
    *,
    store: str | Path | None = None,
    jobs: int | None = None,
    executor: Executor | None = None,
    progress: bool = False,
) -> Study:
    """Run a scenario many times: with the values of `changes`, or as its own `study` says. Raises SpecError, RunError.

    `changes`: dotted path -> values (a grid), and `zip`, `random`, `derive`, `find`, `sort` as in a scenario file.
    `store`: a file that keeps finished runs. `jobs`: processes; by default as many as pay. `executor`: any
    `concurrent.futures.Executor` (`jobs` then says how many work in it). `progress`: a bar on a terminal.
    """
    if jobs is not None and jobs < 1:
        raise SpecError([Problem(Mark("jobs"), f"jobs is {jobs}; it must be 1 or more")])
    scenario = given_scenario(scenario)
    if changes is not None:
        scenario = asking(scenario, changes)
    workers = given(executor, jobs) if executor is not None else None
    return run_study(scenario, HowToRun(store, jobs, workers, progress))


def asking(scenario: Scenario, changes: Mapping[str, Any]) -> Scenario:
    """The scenario with another study: paths are a grid, `zip`, `random`, `derive`, `find` and `sort` are as in a file."""
    study: dict[str, Any] = {part: plain(changes[part]) for part in _PARTS if part in changes}
    grid = {path: plain(values) for path, values in changes.items() if path not in _PARTS}
    if grid:
        study["vary"] = {**study.get("vary", {}), **grid}
    old = scenario.document
    marks = {key: mark for key, mark in old.values.items() if key[:1] != ("study",)}
    document = Document(
        old.file, {**old.data, "study": study}, {**marks, ("study",): Mark("sweep")}, old.keys, old.notes
    )
    problems = Problems()
    spec = validate(StudySpec, document, problems, ("study",))
    check_words(spec, document, problems)
    problems.raise_if_any()
    scopes = Scopes(document, scenario.path, spec, None)
    condition = read_condition(spec, document, problems, scopes.of_condition)
    problems.raise_if_any()
    return replace(scenario, document=document, study=spec, condition=condition)


def sort_of(scenario: Scenario, points: Points) -> Expression | None:
    """What the rows of a study are sorted by; None for the order of its points. Raises SpecError."""
    problems = Problems()
    by = read_sort(Scopes(scenario.document, scenario.path, scenario.study, points), scenario.document, problems)
    problems.raise_if_any()
    return by


def run_study(scenario: Scenario, how: HowToRun) -> Study:
    """Run what a scenario's study asks for, as far as it is not known. Raises SpecError, RunError."""
    points = points_of(scenario)
    if points is None:
        message = "there is nothing to vary: study wants vary, zip or random"
        raise SpecError([Problem(scenario.document.value_mark(("study",)), message)])
    with ExitStack() as stack:
        store = stack.enter_context(Store(how.store, scenario.name)) if how.store is not None else None
        return _Run(scenario, points, how, store).study()


def _asked_beside(scenario: Scenario) -> Any:
    """What rows are asked beside their run, as plain data: what is looked for, and which words."""
    search, words = search_of(scenario), scenario.study.asked if scenario.study is not None else None
    said = search.said() if search is not None else None
    return said if words is None else {"find": said, "words": list(words)}


def _said(inputs: Mapping[str, Any]) -> str:
    """What tells the points of one study apart; in a store, all that a run depends on does (`ContentKeys`)."""
    return json.dumps(inputs, sort_keys=True, default=str)


class _Run:
    """A study on its way: its points, the keys of what they run, and what is known."""

    def __init__(self, scenario: Scenario, points: Points, how: HowToRun, store: Store | None) -> None:
        self.scenario, self.how, self.store = scenario, how, store
        self.points = list(points)
        self.by = sort_of(scenario, points)
        key = ContentKeys(scenario.document, scenario.path, _asked_beside(scenario)).key if store is not None else _said
        self.inputs = [points.resolved(point.inputs) for point in self.points]
        self.keys = ["" if point.error else key(inputs) for point, inputs in zip(self.points, self.inputs, strict=True)]
        self.known: dict[str, Ran] = store.get(self.keys) if store else {}
        self.paths = tuple(points.paths)

    def study(self) -> Study:
        """Run what is missing and put the rows together."""
        first = {key: number for number, key in reversed(list(enumerate(self.keys))) if key}
        tasks = [(number, self.inputs[number]) for key, number in first.items() if key not in self.known]
        tasks.sort(key=lambda task: task[0])
        shown = bar if self.how.progress else silent
        with shown(len(first), len(first) - len(tasks)) as advance, closing(self._results(tasks)) as results:
            for number, ran in results:
                self._keep(number, ran)
                advance(1)
        rows = [self._row(number) for number in range(len(self.points))]
        if self.by is not None:
            rows = sorted_rows(rows, self.by)
        warning = self.store.warning if self.store is not None else ""
        asked = self.scenario.study.asked if self.scenario.study is not None else None
        return Study(self.scenario.name, self.paths, rows, len(tasks), warning, asked)

    def _results(self, tasks: list[Task]) -> Generator[Done, None, None]:
        if tasks:
            yield from self.how.results(Job.of(self.scenario), tasks)

    def _keep(self, number: int, ran: Ran) -> None:
        self.known[self.keys[number]] = ran
        if self.store is not None and ran.lasting:
            self.store.put(self.keys[number], ran, self.points[number].inputs)

    def _row(self, number: int) -> StudyRow:
        point = self.points[number]
        if point.error:
            return StudyRow(point.inputs, {}, point.error, exit=WRONG_INPUT)
        ran = self.known[self.keys[number]]
        notes = notes_of(self.scenario.document, self.scenario.path, self.inputs[number])
        return StudyRow(point.inputs, ran.as_dict(), ran.error, "; ".join(notes), ran.exit)
