"""From a document to a scenario: chip, topology, mesh, graph, options, study and claims, with every problem at once.

Each section is validated on its own and mistakes in one do not hide those in another: ops are checked against the mesh
and the dims even when the chip is wrong. The sections are read one after the other (`system`, `workload`, `run_options`),
then what is asked about what they make (`asks`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw import Problems, System
from hw.input import Document
from scenarios.building.asks import check_paths_varied, read_asks
from scenarios.building.idle_keys import idle_options
from scenarios.building.model_workload import ModelRun
from scenarios.building.run_options import read_options
from scenarios.building.sections import named_sections, read_section
from scenarios.building.system import build_system
from scenarios.building.workload import MAX_DIM, build_workload
from scenarios.claims.claims import Claim
from scenarios.claims.condition import Condition
from scenarios.language.economics_spec import EconomicsSpec
from scenarios.language.paths import check_nulls
from scenarios.language.run_spec import RunSpec
from scenarios.language.scenario_spec import WorkloadSpec
from scenarios.language.source import find_file, read_source
from scenarios.language.study_spec import StudySpec
from scenarios.language.variants import changed
from scenarios.processes.loaders import Loaders, read_loaders
from simulator import OpGraph, RunOptions

if TYPE_CHECKING:
    from scenarios.jobs.section import JobSection

DIMS = "workload.dims."


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
    written, document = read_section(WorkloadSpec, "workload", document, problems)
    ran, document = read_section(RunSpec, "run", document, problems)
    study, document = read_section(StudySpec, "study", document, problems)
    built, document = build_system(document, path, problems)
    work = build_workload(written, ran.spec or RunSpec(), built, document, path, problems)
    options = read_options(ran, built.system if built.listed else None, document, problems)
    if work.in_turns and (ran.spec is None or "order" not in ran.spec.model_fields_set):
        options = replace(options, order="ready")
    is_known = built.chip is not None and built.wired
    loaders = read_loaders(document, work.graph, work.unread, work.system if is_known else None, problems)
    asks = read_asks(study, work, options, document, path, problems)
    check_paths_varied(study.spec, built.system if is_known else None, document, problems)
    _check_texts(document, problems)
    problems.raise_if_any()
    assert work.graph is not None
    return Scenario(
        str(document.data["name"]),
        str(document.data.get("about", "")),
        path,
        document,
        work.system,
        work.graph,
        options,
        asks.study,
        asks.condition,
        asks.claims,
        loaders,
        asks.economics,
        work.model,
        asks.job,
    )


def _check_texts(document: Document, problems: Problems) -> None:
    for name in ("name", "about"):
        if not isinstance(document.data.get(name, ""), str):
            problems.add(document.value_mark((name,)), f"{name} wants text")
