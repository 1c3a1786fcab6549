"""Named edits of a scenario, for what-if questions: `fuse=a+b`, `drop=NAME`, `dtype=int8`, `chunks=8`, `overlap=full`.

An edit is `name=value`, or several joined by ` & `. A name with a dot is the path of any value (`system.topology=ring(8)`);
a key of `run` may leave out `run.`, and `chip` and `topology` their `system.`. The others change the op graph:
- fuse: the ops become one kernel, beside what is fused already.
- drop: the op goes away and its consumers take its first input of the same dims and sharding; refused where none is.
- dtype: tensors of bf16 (`dtype=fp32>bf16`: of fp32) are of another dtype, and so is the arithmetic on them.
- chunks: every matmul, convolution or attention and the collective that it feeds, or is fed by, are cut into so many.
Values in the file are changed before the graph is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hw import Mark, Problem, Problems, RunError, SpecError
from hw.input import parse_document, unknown
from scenarios.building.build import Scenario
from scenarios.language.paths import path_problem
from scenarios.language.source import nothing_to_delete
from simulator import KINDS, Items, Op, OpGraph, Repeat, Tensor, check_dtype, check_graph, lower, run_options

_JOINT = " & "
_FROM_DTYPE = "bf16"
_MATRIX_KINDS = ("matmul", "grouped_matmul", "conv2d", "attention")
_SHORT: Mapping[str, str] = {
    **{option.key: f"run.{option.key}" for option in run_options()},
    "topology": "system.topology",
    "chip": "system.chip",
}
"""Names that stand for the path of a value."""

GraphEdit = Callable[[Scenario, str], OpGraph]


@dataclass(frozen=True, slots=True)
class Edit:
    """One change of a scenario as it was written; `steps` are (name or path, value)."""

    text: str
    steps: tuple[tuple[str, str], ...]


def read_edit(text: str) -> Edit:
    """An edit from its text. Raises ValueError with a message for the user."""
    steps = []
    for part in text.split(_JOINT):
        name, equals, value = (each.strip() for each in part.partition("="))
        if not equals or not name or not value:
            raise ValueError(f"'{text[:60]}' is not an edit such as fuse=a+b, drop=NAME or system.topology=ring(8)")
        if name not in _GRAPH_EDITS and name not in _SHORT and "." not in name:
            raise ValueError(unknown("edit", name, [*_GRAPH_EDITS, *_SHORT]) + ", or the dotted path of a value")
        steps.append((name, value))
    return Edit(text, tuple(steps))


def edited(scenario: Scenario, edit: Edit, mark: Mark) -> Scenario:
    """The scenario with an edit made. Raises SpecError, at `mark`, where that cannot be done."""
    try:
        values = {_SHORT.get(name, name): value for name, value in edit.steps if name not in _GRAPH_EDITS}
        if values:
            scenario = _valued(scenario, {path: parse_document(raw, edit.text).data for path, raw in values.items()})
        for name, value in edit.steps:
            if name in _GRAPH_EDITS:
                scenario = replace(scenario, graph=_GRAPH_EDITS[name](scenario, value))
        problems = Problems()
        check_graph(scenario.graph, scenario.system, problems, sharding=scenario.options.sharding)
        problems.raise_if_any()
    except ValueError as error:
        found = error.problems if isinstance(error, SpecError) else [Problem(mark, str(error))]
        raise SpecError([Problem(mark, f"{edit.text}: {each.message}") for each in found]) from None
    return scenario


def _valued(scenario: Scenario, values: Mapping[str, Any]) -> Scenario:
    """The scenario with all values of an edit in place at once: a chip together with figures of its own."""
    for path, value in values.items():
        wrong = path_problem(path, scenario.document, list(values))
        if wrong is None and value is None:
            wrong = nothing_to_delete(scenario.document.data, path)
        if wrong is not None:
            raise ValueError(wrong)
    return scenario.having_all(values)


def _fuse(scenario: Scenario, value: str) -> OpGraph:
    graph = scenario.graph
    names = [name.strip() for name in value.split("+")]
    known = [op.name for op in graph.every_op()]
    for name in names:
        if name not in known:
            raise ValueError(unknown("op", name, known))
    if len(names) < 2:
        raise ValueError("fuse wants two ops or more: fuse=a+b")
    group = set(names)
    rest = []
    for other in _fused_now(scenario):  # what is in one kernel with one of them comes along
        if group & set(other):
            group |= set(other)
        else:
            rest.append(other)
    return replace(graph, fuse=[*rest, [name for name in known if name in group]])


def _fused_now(scenario: Scenario) -> list[list[str]]:
    """The groups that the graph's own rule makes, by the names that ops are written with."""
    graph = scenario.graph
    if not isinstance(graph.fuse, str):
        return [list(group) for group in graph.fuse]
    if graph.fuse == "none":
        return []
    groups = {each.kernel.base_ops for each in lower(graph, scenario.system, scenario.options).kernels}
    return [list(group) for group in sorted(groups) if len(group) > 1]


def _drop(scenario: Scenario, name: str) -> OpGraph:
    graph = scenario.graph
    ops = {op.name: op for op in graph.every_op()}
    if name not in ops:
        raise ValueError(unknown("op", name, ops))
    if len(ops) == 1:
        raise ValueError(f"{name} is the only op")
    op = ops[name]
    stands_in = next((tensor for tensor in op.inputs if _alike(tensor, op.output)), None)
    if stands_in is None and _needed(graph.items, name):
        have = ", ".join(f"{tensor.name}:{tensor.type_text}" for tensor in op.inputs) or "no inputs"
        raise ValueError(f"what takes {name} needs {op.output.type_text}, but {name} has {have}: nothing can stand in")
    fuse = graph.fuse
    if not isinstance(fuse, str):
        groups = [[each for each in group if each != name] for group in fuse]
        fuse = [group for group in groups if len(group) > 1]
    return replace(graph, items=tuple(_without(graph.items, name, stands_in)), fuse=fuse)


def _alike(one: Tensor, other: Tensor) -> bool:
    return one.dims == other.dims and one.partial == other.partial


def _needed(items: Items, name: str) -> bool:
    """Whether something takes a tensor in, or a block carries it."""
    for item in items:
        if isinstance(item, Op):
            found = any(tensor.name == name for tensor in item.inputs)
        else:
            found = any(end == name for _, end in item.carry) or _needed(item.items, name)
        if found:
            return True
    return False


def _without(items: Items, name: str, stands_in: Tensor | None) -> Iterator[Op | Repeat]:
    """Items without an op; `stands_in` takes the place of what it made."""
    other = stands_in.name if stands_in is not None else name
    for item in items:
        if isinstance(item, Repeat):
            inner = tuple(_without(item.items, name, stands_in))
            carry = tuple((start, other if end == name else end) for start, end in item.carry)
            if inner:
                yield replace(item, items=inner, carry=carry)
        elif item.name != name:
            inputs = tuple(
                replace(stands_in, rounds=each.rounds) if stands_in and each.name == name else each
                for each in item.inputs
            )
            yield replace(item, inputs=inputs, options=tuple(_waiting_less(item.options, name)))


def _waiting_less(options: Iterable[tuple[str, str]], name: str) -> Iterator[tuple[str, str]]:
    """Options without waiting for an op."""
    for key, raw in options:
        if key != "after":
            yield key, raw
            continue
        names = [each.strip() for each in raw.strip("[]").split(",") if each.strip() != name]
        if names:
            yield key, f"[{', '.join(names)}]" if raw.startswith("[") else ", ".join(names)


def _dtype(scenario: Scenario, value: str) -> OpGraph:
    before, arrow, after = (each.strip() for each in value.partition(">"))
    if not arrow:
        before, after = _FROM_DTYPE, before
    for each in (before, after):
        message = check_dtype(each)
        if message is not None:
            raise ValueError(message)
    tensors = [tensor for op in scenario.graph.every_op() for tensor in (*op.inputs, op.output)]
    if not any(tensor.dtype == before for tensor in tensors):
        have = ", ".join(dict.fromkeys(tensor.dtype for tensor in tensors))
        raise ValueError(f"there is no {before} tensor; write dtype=FROM>{after} with FROM one of {have}")

    def changed(tensor: Tensor) -> Tensor:
        return replace(tensor, dtype=after) if tensor.dtype == before else tensor

    def change(op: Op) -> Op:
        return replace(op, output=changed(op.output), inputs=tuple(changed(each) for each in op.inputs))

    return replace(scenario.graph, items=_mapped(scenario.graph.items, change))


def _mapped(items: Items, change: Callable[[Op], Op]) -> Items:
    """Items with every op changed."""
    return tuple(
        change(item) if isinstance(item, Op) else replace(item, items=_mapped(item.items, change)) for item in items
    )


def _chunks(scenario: Scenario, value: str) -> OpGraph:
    if not value.isdigit() or int(value) < 1:
        raise ValueError(f"chunks wants a whole number of 1 or more, not '{value[:40]}'")
    try:  # collectives that the planner inserts are cut as well: it is asked what it would insert
        graph = lower(scenario.graph, scenario.system, scenario.options).graph
    except RunError as error:
        raise ValueError(str(error)) from None
    ops = {op.name: op for op in graph.every_op()}
    cut: set[str] = set()
    for op in ops.values():
        for tensor in op.inputs:
            maker = ops.get(tensor.name)
            if maker is not None and _computes(maker) != _computes(op) and (_joins(maker) or _joins(op)):
                cut |= {maker.name, op.name}
    if not cut:
        raise ValueError("no matmul, convolution or attention feeds a collective or is fed by one")

    def change(op: Op) -> Op:
        rest = tuple((key, raw) for key, raw in op.options if key != "chunks")
        return replace(op, options=(*rest, ("chunks", value))) if op.name in cut else op

    return replace(graph, items=_mapped(graph.items, change))


def _computes(op: Op) -> bool:
    return op.kind in _MATRIX_KINDS


def _joins(op: Op) -> bool:
    """Whether an op is a collective."""
    return KINDS[op.kind].network and op.option("over") is not None


_GRAPH_EDITS: Mapping[str, GraphEdit] = {"fuse": _fuse, "drop": _drop, "dtype": _dtype, "chunks": _chunks}
