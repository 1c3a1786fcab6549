"""Whether the ops of a graph are sound on a system, each by itself and as the planner may take it on.

Model: what is wrong with an op's parts is told first (`simulator.passes.checks`); of an op whose parts are sound it is tried
whether it binds. What it demands of other chips the planner inserts (`simulator.passes.planner`): such an op is a mistake
only where nothing mends it, or where `sharding` is 'written' and the graph is to run as it stands.
Assumes: ops of one form are alike, so that one of each is looked at; copies of a block are as the block.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import replace

from hw import Mark, Problems, System
from hw.input import shown
from simulator.graph.blocks import block_problems
from simulator.graph.copied import Copied, once
from simulator.graph.items import Dim, Items, Op, Tensor, every_op
from simulator.graph.op_graph import OpGraph
from simulator.graph.rounds import samples
from simulator.ops.options import read_axes
from simulator.ops.registry import Kind, ShapeError, find_kind
from simulator.passes.binding import bind_op, tensor_bytes
from simulator.passes.checks import (
    Known,
    chip_findings,
    is_size,
    kind_findings,
    op_findings,
    size_findings,
    tensor_findings,
    where_findings,
)
from simulator.passes.members import side_by_side
from simulator.passes.parts import Cutting, cutting, parts_moved, share_problems
from simulator.passes.sharding.assignment import plan_op
from simulator.passes.sharding.loops import Site
from simulator.passes.sharding.moves import arranged
from simulator.passes.sharding.rules import Finding, is_sharded, sharding_findings


def check_graph(
    graph: OpGraph, system: System, problems: Problems, known: Known | None = None, sharding: str = "canonical"
) -> None:
    """Add every problem of the ops on this system, as far as what they refer to is sound.

    `sharding`: 'canonical' or 'auto' if the planner will insert what is missing, 'written' if nothing will be inserted.
    """
    known = known or Known()
    for name, size in graph.dims.items():
        if not is_size(size):
            problems.add(Mark("dims"), f"dim {name} is {shown(size)}; it must be a whole number of at least 1")
            known = replace(known, broken_dims=known.broken_dims | {name})
    _check_ops(graph, system, problems, known, written=sharding == "written")
    problems.found.extend(block_problems(graph, known.broken_dims, rounds=not known.unread_ops))


def _check_ops(graph: OpGraph, system: System, problems: Problems, known: Known, written: bool) -> None:
    """Add every problem of single ops. Copies are looked at only where something is wrong with one that is there once."""
    for op in known.half_read:
        for part, message in (
            *kind_findings(op, {}),
            *tensor_findings(op, graph, system, known, cutting(graph, system)),
        ):
            problems.add(op.source.at(part), message)
    few = Problems()
    _check_items(once(graph.items), graph, system, few, known, written)
    if few.found and isinstance(graph.items, Copied):
        _check_items(graph.items, graph, system, problems, known, written)
    else:
        problems.found.extend(few.found)


def _check_items(items: Items, graph: OpGraph, system: System, problems: Problems, known: Known, written: bool) -> None:
    """Add every problem of some items. Once an op of a form is sound, only what the others wait for is looked at, and of
    those that run elsewhere also where that is."""
    earlier: set[str] = set()
    known = replace(known, ops=frozenset(op.name for op in every_op(items)))
    sound: set[Hashable] = set()
    sound_works: set[Hashable] = set()
    shares = share_problems(graph, system) if known.mesh else {}
    how = cutting(graph, system)
    for op in samples(items, graph.dims):
        before, form, waits = len(problems.found), op.form, op.option("after") is not None
        elsewhere = known.mesh and form not in sound and op.work in sound_works
        if elsewhere and not waits:
            findings = where_findings(op, system)
        else:
            findings = op_findings(op, graph, system, known, earlier, how) if waits or form not in sound else iter(())
        for part, message in findings:
            problems.add(op.source.at(part), message)
        if op.name in shares:
            problems.add(op.source.at("shares"), shares[op.name])
        if elsewhere and len(problems.found) == before:
            sound.add(form)
        if form not in sound and len(problems.found) == before:
            used = {dim.size for tensor in (*op.inputs, op.output) for dim in tensor.dims}
            looked_at = known.mesh and not used & known.broken_dims
            for part, message in _bound_findings(op, graph, system, how, known, written) if looked_at else ():
                problems.add(op.source.at(part), message)
            if len(problems.found) == before:
                sound.add(form)
                sound_works.add(op.work)
        earlier.add(op.name)


def _bound_findings(
    op: Op, graph: OpGraph, system: System, how: Cutting, known: Known, written: bool
) -> Iterator[Finding]:
    """What is wrong with an op whose parts are sound: its sharding, its shapes, what the chip lacks for it. `written`:
    nothing will be inserted."""
    kind = find_kind(op)
    demanded = list(sharding_findings(op, kind, system.mesh.names))
    moved = (*op.inputs, op.output) if kind.network and not kind.view else ()
    far = next((tensor for tensor in moved if tensor.memory in system.host_memories), None)
    if far is not None:
        part = "in0" if far in op.inputs else "out"
        yield (
            part,
            f"{op.kind} cannot reach {far.name} @{far.memory}, which chips of a host share; copy it apart from it",
        )
        return
    try:
        if kind.network and not kind.view and (over := op.option("over")):
            parts_moved(op, read_axes(over), how.probed)
        if demanded and not written and not kind.network and not side_by_side(op, system):
            bind_op(whole(op), graph, system, how.even)
            planned = plan_op(op, kind, site(graph, system, how))
            if planned is None:
                part, message = demanded[0]
                demanded = [(part, f"{message}; the planner cannot mend it: {_why(op)}")]
            else:
                op, demanded = planned.local, []
        yield from demanded
        if not demanded and not known.binds:
            yield from chip_findings(bind_op(op, graph, system, how.even), system) if known.chip else ()
    except ShapeError as error:
        yield error.part, str(error)


def _why(op: Op) -> str:
    if op.output.partial:
        return f"nothing that is summed makes the declared partial sums over {op.output.partial}"
    return "no assignment of the mesh axes to its dims divides and keeps its shapes"


def whole(op: Op) -> Op:
    """The op as on one chip, without any sharding."""
    return replace(op, inputs=tuple(arranged(tensor, {}) for tensor in op.inputs), output=arranged(op.output, {}))


def site(graph: OpGraph, system: System, how: Cutting, cost: Callable[[Op], float] | None = None) -> Site:
    """The graph on the system as the planner sees it; with a `cost` it plans for the least."""

    def runs(op: Op) -> bool:
        try:
            return bool(bind_op(op, graph, system, how.even))
        except ShapeError:
            return False

    known: dict[tuple[Dim, ...], bool] = {}

    def fits(tensor: Tensor) -> bool:
        if tensor.dims not in known:
            known[tensor.dims] = not any(True for _ in size_findings(tensor, graph, system, how))
        return known[tensor.dims]

    return Site(system.mesh.names, fits, runs, lambda tensor: tensor_bytes(tensor, graph, system, how.even), cost)


def plannable(op: Op, graph: OpGraph, system: System, how: Cutting) -> Kind | None:
    """The kind of an op that is sound but demands what its chips have not got; None for any other."""
    try:
        kind = find_kind(op)
        if kind.network or not is_sharded(op):
            return None
        known = Known(broken_dims=frozenset(name for name, size in graph.dims.items() if not is_size(size)))
        if known.broken_dims & {dim.size for tensor in (*op.inputs, op.output) for dim in tensor.dims}:
            return None
        if any(True for _ in tensor_findings(op, graph, system, known, how)):
            return None
        if side_by_side(op, system):
            return None
        if not any(True for _ in sharding_findings(op, kind, system.mesh.names)):
            return None
        bind_op(whole(op), graph, system, how.even)
    except ShapeError:
        return None
    return kind
