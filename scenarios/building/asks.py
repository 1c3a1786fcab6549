"""What is asked about a scenario: its study and the condition of a search, its claims, and what it has to say of money and
of the job that it is a step of.

Model: a word may be asked for where something gives it: claims name words of the run, of money, of the job, of the study
and its inputs, and ops of the graph; of a section that lacks a part it cannot be said which words it gives, so that nobody
is blamed for them. An op that the planner puts in may be named as well; it is planned only where a name is not written.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hw import Problems, SpecError, System
from hw.input import Document, Key, UnknownNames
from scenarios.building.model_workload import ModelRun, has_model
from scenarios.building.sections import Section, read_section
from scenarios.building.workload import Workload
from scenarios.claims.claims import Claim, read_claims
from scenarios.claims.condition import Condition
from scenarios.claims.find_values import read_condition
from scenarios.claims.scope import Scopes, ops_named
from scenarios.claims.sorting import check_shown, read_sort
from scenarios.claims.study_words import check_words
from scenarios.economics.money_words import check_baseline, check_money_claims
from scenarios.jobs.job_claims import check_job_claims
from scenarios.language.economics_spec import EconomicsSpec
from scenarios.language.paths import link_problem, path_problem
from scenarios.language.study_spec import StudySpec
from scenarios.points.points import check_paths, read_points
from simulator import Cost, OpGraph, RunOptions, plan_sharding

if TYPE_CHECKING:
    from scenarios.jobs.section import JobSection

_ROUNDS = re.compile(r"(\.\d+)+$")


@dataclass(frozen=True)
class Asks:
    """What is asked about a scenario, as far as that can be read."""

    study: StudySpec | None
    condition: Condition | None
    claims: tuple[Claim, ...]
    economics: EconomicsSpec | None
    job: JobSection | None


def read_asks(
    asked: Section, work: Workload, options: RunOptions, document: Document, path: Path, problems: Problems
) -> Asks:
    """What is asked, the study as its section says it (`asked`); what is wrong with any of it is added to the problems."""
    # of a study that lacks a part it cannot be said what its rows have
    study = None if asked.lost else asked.spec
    priced = _economics(document, work.model, problems)
    check_baseline(priced.spec, document, path, problems)
    # of a section that lacks a part it cannot be said which words it gives
    economics = None if priced.missed else priced.spec
    job = _job(document, path, problems)
    points = read_points(study, document, problems) if study is not None else None
    if asked.lost:
        check_paths(asked.spec, document, problems)
    scopes = Scopes(document, path, study, points)
    claims = read_claims(document, problems, scopes.of_claim)
    _check_named_ops(_asked(claims, work.unread), work, options, document, problems)
    check_money_claims(claims, economics, document, problems)
    check_job_claims(claims, document, problems)
    check_words(study, document, problems)
    read_sort(scopes, document, problems)
    check_shown(study, document, problems)
    condition = read_condition(study, document, problems, scopes.of_condition)
    return Asks(study, condition, claims, economics, job)


def _asked(claims: Collection[Claim], unread: frozenset[str]) -> list[tuple[str, str]]:
    """The words of `ops.` in claims, with the claims; none about ops that cannot be read, or about their rounds."""
    asked: list[tuple[str, str]] = []
    for claim in claims:
        for expression in claim.expressions:
            for word in ops_named(expression):
                written = {_ROUNDS.sub("", name) for name in _claimed(word)}
                if written.isdisjoint(unread):
                    asked.append((claim.word, word))
    return asked


def _check_named_ops(
    asked: Collection[tuple[str, str]],
    work: Workload,
    options: RunOptions,
    document: Document,
    problems: Problems,
) -> None:
    graph = work.graph
    names = _names_in(graph) if graph is not None and asked else set()
    strange = [(key, word) for key, word in asked if names and not names.intersection(_claimed(word))]
    if strange and graph is not None and not problems.found:
        cost = Cost(graph, work.system, options).seconds
        names |= set(plan_sharding(graph, work.system, options.sharding, cost).unrolled.names())  # what is inserted too
    others = UnknownNames("op", names)
    for key, word in strange:
        if not names.intersection(_claimed(word)):
            problems.add(document.key_mark(("expect", key)), others.message(_claimed(word)[0]))


def _claimed(word: str) -> tuple[str, str]:
    """What a word of `ops.` may be about: a kernel, and its first op ('o/softmax' is a kernel of o, 'a+b' a fused one)."""
    name = word.removeprefix("ops.").rpartition(".")[0]
    return name, re.split(r"[/+]", name)[0]


def _names_in(graph: OpGraph) -> set[str]:
    """The ops that a claim may name; none where rounds that cannot be, which has been told, keep them from being known."""
    try:
        return set(graph.unrolled.names())
    except SpecError:
        return set()


def _job(document: Document, path: Path, problems: Problems) -> JobSection | None:
    """The section on the job that a run is a step of."""
    if "job" not in document.data:
        return None
    from scenarios.jobs.section import read_job  # late: most runs are of no job

    return read_job(document, path, problems)


def _economics(document: Document, model: ModelRun | None, problems: Problems) -> Section:
    """The section on money; a model says itself how many tokens a run has."""
    section = document.data.get("economics")
    if isinstance(section, dict) and has_model(document) and "tokens_per_run" not in section:
        tokens = model.tokens if model is not None else 1
        if tokens:
            data = {**document.data, "economics": {**section, "tokens_per_run": tokens}}
            document = Document(document.file, data, document.values, document.keys)
    return read_section(EconomicsSpec, "economics", document, problems)[0]


def check_paths_varied(study: StudySpec | None, system: System | None, document: Document, problems: Problems) -> None:
    """Refuse to look for a value at a path that is not there, or to vary a link that nothing has."""
    if study is None:
        return
    asked: list[tuple[str, Key]] = []
    if study.find is not None:
        asked.append((study.find.path, ("study", "find", study.find.wanted)))
    if study.crossover is not None:
        both = (("x", study.crossover.x.path), ("y", study.crossover.y.path))
        asked += [(path, ("study", "crossover", name, "path")) for name, path in both]
    for path, where in asked:
        if path and (wrong := path_problem(path, document)):
            problems.add(document.value_mark(where), wrong)
    drawn = study.random.values if study.random is not None else {}
    varied = ((("vary",), study.vary or {}), (("zip",), study.zip or {}), (("random", "values"), drawn))
    asked += [(path, ("study", *above, path)) for above, part in varied for path in part]
    paths = [path for path, _ in asked]
    for path, where in asked:
        if system is not None and (wrong := link_problem(path, system, paths)):
            problems.add(document.key_mark(where), wrong)
