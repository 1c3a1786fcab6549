"""From a document to a scenario: chip, topology, mesh, graph, options, study and claims, with every problem at once.

Each section is validated on its own and mistakes in one do not hide those in another: ops are checked against the mesh
and the dims even when the chip is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw import Problems, SpecError, System
from hw.input import Document, Key, UnknownNames, shown
from scenarios.building.idle_keys import idle_options
from scenarios.building.model_workload import ModelRun, build_model, check_plain, has_model
from scenarios.building.run_options import read_options
from scenarios.building.sections import Section, named_sections, read_section
from scenarios.building.system import build_system
from scenarios.claims.claims import Claim, read_claims
from scenarios.claims.condition import Condition
from scenarios.claims.find_values import read_condition
from scenarios.claims.scope import Scopes, ops_named
from scenarios.claims.sorting import check_shown, read_sort
from scenarios.claims.study_words import check_words
from scenarios.economics.money_words import check_baseline, check_money_claims
from scenarios.jobs.job_claims import check_job_claims
from scenarios.language.economics_spec import EconomicsSpec
from scenarios.language.paths import check_nulls, link_problem, path_problem
from scenarios.language.run_spec import RunSpec
from scenarios.language.scenario_spec import WorkloadSpec
from scenarios.language.source import find_file, read_source
from scenarios.language.study_spec import StudySpec
from scenarios.language.variants import changed
from scenarios.points.points import check_paths, read_points
from scenarios.processes.loaders import Loaders, read_loaders
from simulator import (
    PAIRED,
    Cost,
    Items,
    Known,
    Op,
    OpGraph,
    RunOptions,
    check_graph,
    plan_sharding,
    read_graph_items,
    split_problems,
)

if TYPE_CHECKING:
    from scenarios.jobs.section import JobSection

MAX_DIM = 10**15
DIMS = "workload.dims."
_ROUNDS = re.compile(r"(\.\d+)+$")
_DIM_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*")


@dataclass(frozen=True)
class Scenario:
    """A scenario that can be run. `document` keeps the place of every value; `path` is the file it came from; `model`: the
    model that its workload is, None where it is ops."""

    name: str
    about: str
    path: Path
    document: Document
    system: System
    graph: OpGraph
    options: RunOptions
    study: StudySpec | None
    condition: Condition | None
    claims: tuple[Claim, ...]
    loaders: Loaders
    economics: EconomicsSpec | None
    model: ModelRun | None = None
    job: JobSection | None = None

    def __repr__(self) -> str:
        return f"Scenario({self.name} on {self.system.name}: {self.path.name})"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of its results should know of how it was put together."""
        of_model = self.model.notes if self.model is not None else ()
        return (*self.document.notes, *of_model, *idle_options(self.options, self.system, self.graph))

    def having(self, dotted: str, value: Any) -> Scenario:
        """The same scenario with another value at a dotted path. Raises SpecError."""
        return self.having_all({dotted: value})

    def having_all(self, values: Mapping[str, Any]) -> Scenario:
        """The same scenario with other values at dotted paths, all put in place at once. Raises SpecError."""
        sizes = {dotted.removeprefix(DIMS): value for dotted, value in values.items() if dotted.startswith(DIMS)}
        document = changed(self.document, values)
        if len(sizes) == len(values) and all(self._is_size(name, size) for name, size in sizes.items()):
            graph = self.graph.with_dims(**sizes)  # nothing else depends on a size
            return replace(self, graph=graph, document=document)
        return build_scenario(document, self.path)

    def _is_size(self, name: str, size: Any) -> bool:
        whole = isinstance(size, int) and not isinstance(size, bool)
        return self.model is None and name in self.graph.dims and whole and 1 <= size <= MAX_DIM


_ASKS = ("study", "expect")
"""Sections that ask about the scenario as it stands; a variant may not have what they name."""


def without_questions(document: Document) -> Document:
    """The document without what is asked about it: what rows of a study are made of."""
    data = {name: part for name, part in document.data.items() if name not in _ASKS}
    return Document(document.file, data, document.values, document.keys, document.notes)


def load_scenario(reference: str | Path, overrides: tuple[str, ...] | list[str] = ()) -> Scenario:
    """A scenario from a file, or from the library (`library:NAME`). Raises SpecError with every problem."""
    path = find_file(str(reference))
    return build_scenario(read_source(path, overrides), path)


def build_scenario(document: Document, path: Path) -> Scenario:
    """The scenario that a document describes. Raises SpecError with every problem."""
    problems = Problems()
    check_nulls(document, problems)
    document = named_sections(document, problems)
    data = document.data
    written, document = read_section(WorkloadSpec, "workload", document, problems)
    workload = written.spec
    ran, document = read_section(RunSpec, "run", document, problems)
    run = ran.spec or RunSpec()
    asked, document = read_section(StudySpec, "study", document, problems)
    # of a study that lacks a part it cannot be said what its rows have
    study = None if asked.lost else asked.spec
    built, document = build_system(document, path, problems)
    known = Known(chip=built.chip is not None, mesh=built.wired)
    system, model, unread = built.system, None, frozenset[str]()
    if has_model(document):
        graph, system, model = build_model(written, document, path, built, problems)
    else:
        check_plain(document, problems)
        graph, unread = _graph(written, system, known, run.sharding, document, problems)
    options = read_options(ran, built.system if built.listed else None, document, problems)
    if "order" not in run.model_fields_set and _goes_in_turns(workload, model):
        options = replace(options, order="ready")
    system_known = built.chip is not None and built.wired
    loaders = read_loaders(document, graph, unread, system if system_known else None, problems)
    priced = _economics(document, model, problems)
    check_baseline(priced.spec, document, path, problems)
    # of a section that lacks a part it cannot be said which words it gives
    economics = None if priced.missed else priced.spec
    job = _job(document, path, problems)
    points = read_points(study, document, problems) if study is not None else None
    if asked.lost:
        check_paths(asked.spec, document, problems)
    scopes = Scopes(document, path, study, points)
    claims = read_claims(document, problems, scopes.of_claim)
    _check_named_ops(_asked(claims, unread), graph, system, options, document, problems)
    check_money_claims(claims, economics, document, problems)
    check_job_claims(claims, document, problems)
    check_words(study, document, problems)
    read_sort(scopes, document, problems)
    check_shown(study, document, problems)
    condition = read_condition(study, document, problems, scopes.of_condition)
    _check_paths(asked.spec, built.system if system_known else None, document, problems)
    _check_texts(document, problems)
    problems.raise_if_any()
    assert graph is not None
    return Scenario(
        str(data["name"]),
        str(data.get("about", "")),
        path,
        document,
        system,
        graph,
        options,
        study,
        condition,
        claims,
        loaders,
        economics,
        model,
        job,
    )


def _goes_in_turns(workload: WorkloadSpec | None, model: ModelRun | None) -> bool:
    """Whether two passes go on beside each other in a pipeline: which kernels are ready, and not their order, then says
    what a chip does, unless a scenario says otherwise."""
    if model is not None:
        return model.parallel.chunks > 1 and model.parallel.schedule in PAIRED
    spec = workload.pipeline if workload is not None else None
    return spec is not None and spec.schedule in PAIRED


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
    graph: OpGraph | None,
    system: System,
    options: RunOptions,
    document: Document,
    problems: Problems,
) -> None:
    names = _names_in(graph) if graph is not None and asked else set()
    strange = [(key, word) for key, word in asked if names and not names.intersection(_claimed(word))]
    if strange and graph is not None and not problems.found:
        cost = Cost(graph, system, options).seconds
        names |= set(plan_sharding(graph, system, options.sharding, cost).unrolled.names())  # what is inserted too
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


def _check_texts(document: Document, problems: Problems) -> None:
    for name in ("name", "about"):
        if not isinstance(document.data.get(name, ""), str):
            problems.add(document.value_mark((name,)), f"{name} wants text")


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


def _graph(
    written: Section, system: System, known: Known, sharding: str, document: Document, problems: Problems
) -> tuple[OpGraph | None, frozenset[str]]:
    """The graph, and the names of ops that cannot be read."""
    if not isinstance(document.data.get("workload"), dict):
        return None, frozenset()
    workload, spec = document.data["workload"], written.spec
    if "ops" not in workload and not written.lost:
        problems.add(document.value_mark(("workload",)), "workload wants ops, or a model")
    if "ops" not in workload:
        return None, frozenset()
    dims, broken = _dims(workload.get("dims"), document, problems)
    items: Items = ()
    unread: frozenset[str] = frozenset()
    half: tuple[Op, ...] = ()
    if isinstance(workload.get("ops"), list):
        items, unread, half = read_graph_items(workload["ops"], document, problems, ("workload", "ops"))
    if not isinstance(workload.get("dims", {}), dict) or "dims" in written.lost:
        return None, unread  # no op can be blamed for a dim that is not there
    known = replace(known, broken_dims=frozenset(broken), unread_ops=unread, half_read=half)
    rules = (spec.fuse, spec.uneven, spec.split) if spec else ()
    graph = OpGraph(dims, items, *rules)
    for axis, message in split_problems(graph, system) if known.mesh else ():
        problems.add(document.value_mark(("workload", "split", *([axis] if axis else []))), message)
    check_graph(graph, system, problems, known, sharding)
    if spec and isinstance(spec.fuse, list):
        _check_fused(spec.fuse, {*(op.name for op in graph.every_op()), *unread}, document, problems)
    if spec is not None and spec.pipeline is not None and known.mesh and not problems.found:
        from scenarios.building.pipelines import as_pipeline  # late: most runs are of none

        whole = as_pipeline(spec.pipeline, graph, system, document, problems)
        if whole is not None:
            check_graph(whole, system, problems, known, sharding)
            graph = whole
    return graph, unread


def _check_fused(
    groups: Sequence[Sequence[str]], names: Collection[str], document: Document, problems: Problems
) -> None:
    others = UnknownNames("op", names)
    for at, group in enumerate(groups):
        for place, name in enumerate(group):
            if name not in names:
                problems.add(document.value_mark(("workload", "fuse", at, place)), others.message(name))


def _dims(data: Any, document: Document, problems: Problems) -> tuple[dict[str, int], set[str]]:
    """Sizes by name, and the names whose size is wrong."""
    dims: dict[str, int] = {}
    broken: set[str] = set()
    for name, size in data.items() if isinstance(data, dict) else ():
        where = ("workload", "dims", name)
        if not _DIM_NAME.fullmatch(name):
            problems.add(
                document.key_mark(where), f"dim '{name}': a name is letters from a to z and digits, without underscore"
            )
        elif isinstance(size, bool) or not isinstance(size, int):
            message = f"dim {name} wants a whole number, not {shown(size, 40)}"
            problems.add(document.value_mark(where), message)
        elif not 1 <= size <= MAX_DIM:
            message = f"dim {name} is {shown(size, 40)}; it must be from 1 to {MAX_DIM:.0e}"
            problems.add(document.value_mark(where), message)
        else:
            dims[name] = size
        if name not in dims:
            broken.add(name)
    return dims, broken


def _check_paths(study: StudySpec | None, system: System | None, document: Document, problems: Problems) -> None:
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
