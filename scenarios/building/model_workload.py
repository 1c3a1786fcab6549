"""A model's step as the workload of a scenario: read, laid on the system, built as an op graph.

Model: `workload.parallel` says how many chips share each kind of work; the mesh of the system follows from it, innermost
axis first. Data parallelism is what the others leave of the system's chips unless it is said.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from hw import Mesh, Problem, Problems, SpecError, System
from hw.input import Document, Key
from hw.systems import mesh_problems
from scenarios.language.model_spec import ParallelSpec, RecomputedBlocks
from scenarios.language.scenario_spec import WorkloadSpec
from scenarios.models import read_model
from simulator import OpGraph, Parallel, Training, precision_of, train_graph
from simulator.models import Transformer

_AT = ("workload",)
_PLAIN = ("dims", "ops", "split", "uneven")
"""Keys of a workload that is written out."""

_OTHERS = ("tp", "pp", "cp", "ep")


def has_model(document: Document) -> bool:
    """Whether the workload of a scenario is a model."""
    workload = document.data.get("workload")
    return isinstance(workload, dict) and workload.get("model") is not None


def build_model(
    spec: WorkloadSpec | None, document: Document, path: Path, system: System | None, problems: Problems
) -> tuple[OpGraph | None, System | None]:
    """The graph of a model's step, and the system under the mesh that its parallelism means. What is wrong is added to the
    problems; None then. A workload or a system that is wrong itself, which has been told, is None."""
    before = len(problems.found)
    _check_keys(document, problems)
    loaded = read_model(document, (*_AT, "model"), problems, path.parent)
    if loaded is None or spec is None or system is None:
        return None, system
    parallel = _parallel(spec.parallel, document, system, problems)
    if parallel is None:
        return None, system
    document.notes = (*document.notes, *loaded.notes)
    if not isinstance(loaded.description, Transformer):
        where = document.value_mark((*_AT, "model"))
        problems.add(where, f"{loaded.name} is no transformer; steps are built of transformers")
    laid = _laid(parallel, document, system, problems)
    if len(problems.found) > before or laid is None or not isinstance(loaded.description, Transformer):
        return None, system
    try:
        return train_graph(loaded.description, parallel, _training(spec)), laid
    except SpecError as error:
        problems.extend(SpecError([_placed(each, document) for each in error.problems]))
        return None, system


def _check_keys(document: Document, problems: Problems) -> None:
    """What a model needs and what does not go with one."""
    data = document.data["workload"]
    for key in _PLAIN:
        if key in data:
            problems.add(
                document.key_mark((*_AT, key)), f"{key} is for ops that are written out; a model makes its own"
            )
    for key in ("batch", "seq"):
        if data.get(key) is None:
            problems.add(document.value_mark((*_AT, "model")), f"a model needs {key}")
    system = document.data.get("system")
    if isinstance(system, dict) and "mesh" in system:
        where = document.key_mark(("system", "mesh"))
        problems.add(where, "the mesh of a model's system follows from workload.parallel; leave it out")
    if data.get("mode") in ("prefill", "decode"):
        problems.add(document.value_mark((*_AT, "mode")), f"mode {data['mode']} is not built yet; train is")


def _parallel(spec: ParallelSpec, document: Document, system: System, problems: Problems) -> Parallel | None:
    """The parallelism, with the replicas that are left."""
    others = math.prod(getattr(spec, name) for name in _OTHERS)
    replicas = spec.dp or max(1, system.size // others)
    told = ", ".join(f"{name} {getattr(spec, name)}" for name in _OTHERS if getattr(spec, name) > 1)
    if replicas * others != system.size:
        where = document.value_mark((*_AT, "parallel")) if spec.model_fields_set else document.value_mark(("system",))
        asked = f"dp {spec.dp}, {told}" if spec.dp and told else told or f"dp {spec.dp}"
        problems.add(where, f"{asked} is {replicas * others} chips; the system has {system.size}")
        return None
    given: dict[str, Any] = {**spec.model_dump(exclude_none=True), "dp": replicas}
    for name in ("layers", "order"):
        if name in given:
            given[name] = tuple(given[name])
    try:
        return Parallel(**given)
    except SpecError as error:
        problems.extend(SpecError([_placed(each, document) for each in error.problems]))
        return None


def _laid(parallel: Parallel, document: Document, system: System, problems: Problems) -> System | None:
    """The system under the mesh of a parallelism; None after telling why it does not fit the wiring."""
    found = list(mesh_problems(parallel.mesh, system.topology))
    for _, message in found:
        problems.add(document.value_mark((*_AT, "parallel")), message)
    return None if found else replace(system, mesh=Mesh(parallel.mesh))


def _training(spec: WorkloadSpec) -> Training:
    recompute = spec.recompute.blocks if isinstance(spec.recompute, RecomputedBlocks) else spec.recompute
    return Training(
        batch=spec.batch or 1,
        seq=spec.seq or 1,
        precision=precision_of(spec.precision),
        optimizer=spec.optimizer,
        recompute=recompute,
        clip=spec.clip,
    )


def _placed(problem: Problem, document: Document) -> Problem:
    """A problem of a step, whose mark names a key below `workload`, at that key's place."""
    key: Key = (*_AT, *problem.mark.file.split("."))
    while key not in document.values and len(key) > len(_AT):
        key = key[:-1]
    return Problem(document.value_mark(key), problem.message)
