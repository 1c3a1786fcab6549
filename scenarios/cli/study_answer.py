"""`overlapse study`: what the command line adds to a scenario's study, where it runs, and what comes of it.

`--vary a.b=values`, `--zip a.b=values` and `--random a.b=from:to` (also `samples=n`, `seed=n`) say what `study` says in a
file, in the same words, and win over it path by path; `--sort WORD` is `study.sort`, `--show WORD,WORD` is `study.show`,
and `--words WORD,WORD` is `study.words`.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from analysis import check_table
from hw import Mark, Problem, Problems, SpecError
from hw.input import parse_document
from scenarios.building.build import Scenario, build_scenario
from scenarios.cli.together import check_jobs, together
from scenarios.console.outputs import check_places, promised
from scenarios.console.terminal import tell
from scenarios.language.source import find_file, read_source, set_value
from scenarios.outcome.outcome import Outcome
from scenarios.studies.asked import points_of
from scenarios.studies.executors import check_address, dask_cluster
from scenarios.studies.sweeps import HowToRun, Study, run_study

_STOPPED = 130
"""The exit code after Ctrl-C, as shells have it."""


@dataclass(frozen=True)
class Said:
    """A value that an option gives: its path in the scenario, and the option."""

    path: str
    value: Any
    option: str


@dataclass(frozen=True)
class Asked:
    """What the command line says."""

    file: str
    sets: tuple[str, ...] = ()
    vary: tuple[str, ...] = ()
    zipped: tuple[str, ...] = ()
    random: tuple[str, ...] = ()
    sort: str | None = None
    show: str | None = None
    words: str | None = None
    store: Path | None = None
    jobs: int | None = None
    cluster: str | None = None
    export: Path | None = None
    question: tuple[Said, ...] = ()


def load_asked(asked: Asked) -> Scenario:
    """The scenario with the study that is asked for. Raises SpecError with every problem."""
    path = find_file(asked.file)
    document = read_source(path, asked.sets)
    problems = Problems()
    seen: set[str] = set()
    parts = (("--vary", "vary", asked.vary), ("--zip", "zip", asked.zipped), ("--random", "random", asked.random))
    for option, part, texts in parts:
        for number, text in enumerate(texts, 1):
            dotted, equals, written = (each.strip() for each in text.partition("="))
            mark = Mark(option, number)
            if not equals or not dotted or not written:
                problems.add(mark, f"'{text}' is not of the form a.b=values")
                continue
            place, value = _place(part, dotted, written)
            if place in seen:
                problems.add(mark, f"{dotted} is given twice; write all of its values once")
                continue
            seen.add(place)
            set_value(document, f"study.{place}", value, mark, Mark(option, number, len(dotted) + 2))
    for each in asked.question:
        set_value(document, each.path, each.value, Mark(each.option), Mark(each.option))
    if asked.sort is not None:
        set_value(document, "study.sort", asked.sort, Mark("--sort"), Mark("--sort"))
    if asked.show is not None:
        words = [word.strip() for word in asked.show.split(",")]
        set_value(document, "study.show", words, Mark("--show"), Mark("--show"))
    if asked.words is not None:
        words = [word.strip() for word in asked.words.split(",") if word.strip()]
        set_value(document, "study.words", words, Mark("--words"), Mark("--words"))
    try:
        scenario = build_scenario(document, path)
    except SpecError as error:
        problems.extend(error)
    problems.raise_if_any()
    return scenario


def _place(part: str, dotted: str, written: str) -> tuple[str, Any]:
    """Where in `study` an option goes, and its value."""
    if part == "random" and dotted in ("samples", "seed"):
        return f"random.{dotted}", parse_document(written, "--random").data
    return f"random.values.{dotted}" if part == "random" else f"{part}.{dotted}", written


@dataclass(frozen=True)
class StudyAnswer:
    """What a study came to: its runs, and the answers of `find`, `crossover` and `what_if` where they are asked."""

    outcome: Outcome
    study: Study | None

    @property
    def exit(self) -> int:
        """What the command ends with: that of the runs; 2 for a map in which nothing could be run."""
        if self.study is not None and self.study.exit:
            return self.study.exit
        return 2 if self.outcome.crossover is not None and self.outcome.crossover.is_empty else 0

    def as_json(self) -> dict[str, Any]:
        """Ready for JSON."""
        record: dict[str, Any] = {"name": self.outcome.scenario.name}
        if self.study is not None:
            record["study"] = self.study.records()
        if self.outcome.search is not None:
            record["find"] = self.outcome.found
            record["find_search"] = self.outcome.search.as_json()
        if self.outcome.crossover is not None:
            record["crossover"] = self.outcome.crossover.records
        if self.outcome.what_if is not None:
            record["what_if"] = self.outcome.what_if.as_json()
        return record

    def show(self) -> None:
        """Print everything for people."""
        from scenarios.cli.show.find import find_lines, show_crossover
        from scenarios.cli.show.study import show_study
        from scenarios.cli.show.what_if import show_what_if
        from scenarios.console.terminal import console

        out, spec = console(), self.outcome.scenario.study
        if self.study is not None:
            show_study(out, self.study, spec.show or () if spec is not None else ())
        if spec is not None and spec.find is not None and self.outcome.search is not None:
            out.print(find_lines(spec.find, self.outcome.search))
        if self.outcome.crossover is not None:
            show_crossover(out, self.outcome.crossover)
        if self.outcome.what_if is not None:
            show_what_if(out, self.outcome.what_if)


def answer(asked: Asked) -> StudyAnswer:
    """Run what is asked. Raises SpecError, RunError, OSError; exits at Ctrl-C."""
    scenario, *_ = together(
        partial(load_asked, asked),
        partial(check_jobs, asked.jobs),
        partial(check_address, asked.cluster),
        partial(_check_export, asked),
    )
    if asked.export is None:
        return _answered(scenario, asked)
    if _is_alone(scenario):
        message = "there is no table to export: the study has no vary, zip or random"
        raise SpecError([Problem(Mark("--export"), message)])
    with promised(asked.export):
        return _answered(scenario, asked)


def _check_export(asked: Asked) -> None:
    """Raises SpecError for a table that cannot be written, RunError where a library for it is missing."""
    if asked.export is None:
        return
    check_table(asked.export)
    if asked.store is not None and asked.store.resolve() == asked.export.resolve():
        raise SpecError([Problem(Mark("--export"), f"{asked.export} is the store; a table wants a file of its own")])
    check_places(asked.export)


def _is_alone(scenario: Scenario) -> bool:
    """Whether a study asks something else, and has no rows."""
    spec = scenario.study
    return bool(spec is not None and (spec.find or spec.crossover or spec.what_if)) and points_of(scenario) is None


def _answered(scenario: Scenario, asked: Asked) -> StudyAnswer:
    alone = _is_alone(scenario)
    study = None if alone else _run(scenario, asked)
    if study is not None and study.warning:
        tell(study.warning)
    if asked.export is not None and study is not None:
        study.export(asked.export)
        tell(f"wrote {asked.export}")
    return StudyAnswer(Outcome(scenario), study)


def _run(scenario: Scenario, asked: Asked) -> Study:
    cluster = dask_cluster(asked.cluster) if asked.cluster is not None else nullcontext()
    try:
        with cluster as workers:
            return run_study(scenario, HowToRun(asked.store, asked.jobs, workers, progress=True))
    except KeyboardInterrupt:
        goes_on = f"what had finished is in {asked.store}, the same command goes on from there"
        tell(f"stopped; {goes_on if asked.store else 'without --store nothing is kept'}")
        raise SystemExit(_STOPPED) from None
