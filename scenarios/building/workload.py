"""The workload of a scenario: ops as they are written, or a model that is built as ops.

Model: ops are read line by line, then looked at as a graph on the system, as far as both can be known: what cannot be read
is told once, and nothing that hangs on it is blamed. A pipeline of ops is put together from a graph that is sound.
A model, `scenarios.building.model_workload`, says itself how the system's chips lie along mesh axes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hw import Problems, System
from hw.input import Document, UnknownNames, shown
from hw.systems import Built
from scenarios.building.model_workload import ModelRun, build_model, check_plain, has_model
from scenarios.building.sections import Section
from scenarios.language.run_spec import RunSpec
from scenarios.language.scenario_spec import WorkloadSpec
from simulator import PAIRED, Items, Known, Op, OpGraph, check_graph, read_graph_items, split_problems

MAX_DIM = 10**15

_DIM_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*")


@dataclass(frozen=True, slots=True)
class Workload:
    """What is run, on which system, and by which model it is said, if by one; the graph is None where there is none or it
    cannot be read as a whole. `unread`: the names of ops that cannot be read. `in_turns`: two passes go on beside each other
    in a pipeline, so that which kernels are ready, and not their order, says what a chip does, unless a scenario says
    otherwise."""

    graph: OpGraph | None
    system: System
    model: ModelRun | None = None
    unread: frozenset[str] = frozenset()
    in_turns: bool = False


def build_workload(
    written: Section, run: RunSpec, built: Built, document: Document, path: Path, problems: Problems
) -> Workload:
    """The workload that a document describes; what is wrong with it is added to the problems."""
    if has_model(document):
        graph, system, model = build_model(written, document, path, built, problems)
        return Workload(graph, system, model, in_turns=_goes_in_turns(written.spec, model))
    check_plain(document, problems)
    known = Known(chip=built.chip is not None, mesh=built.wired)
    made, unread = _graph_of_ops(written, built.system, known, run.sharding, document, problems)
    return Workload(made, built.system, None, unread, _goes_in_turns(written.spec, None))


def _goes_in_turns(workload: WorkloadSpec | None, model: ModelRun | None) -> bool:
    if model is not None:
        return model.parallel.chunks > 1 and model.parallel.schedule in PAIRED
    spec = workload.pipeline if workload is not None else None
    return spec is not None and spec.schedule in PAIRED


def _graph_of_ops(
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
