"""A graph meets a system: local sizes, and every mistake that only shows there.

Model: a dim of size n sharded over axes of extent e has n / e elements on each chip. Where n is no multiple of e the graph
is refused, or with `uneven: pad` every chip has as many as the first, n / e rounded up, and works and moves that much.
Each op becomes a `Call` with local shapes, and its kind turns that into kernels.
What an op demands of other chips the planner inserts (`simulator.passes.planner`): such an op is a mistake only where
nothing mends it, or where `sharding` is 'written' and the graph is to run as it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from hw import Mark, Problems, SpecError, System
from hw.input import shown
from hw.systems import group_problems, mesh_problems
from simulator.graph.blocks import block_problems
from simulator.graph.copied import Copied, once
from simulator.graph.items import Dim, Items, Op, Tensor, every_op
from simulator.graph.op_graph import OpGraph
from simulator.graph.rounds import samples
from simulator.graph.split import Cut, split_problems
from simulator.ops.kernel import Chips, Kernel, Schedule
from simulator.ops.options import SCHEDULE_OPTIONS, read_axes
from simulator.ops.registry import Call, Kind, Shaped, ShapeError, find_kind, read_options
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
from simulator.passes.kernels import Kernels
from simulator.passes.members import members_of, side_by_side
from simulator.passes.parts import Cutting, cutting, even_cut, parts_moved, share_problems, unequal
from simulator.passes.placement import chips_of
from simulator.passes.sharding.assignment import plan_op
from simulator.passes.sharding.loops import Site
from simulator.passes.sharding.moves import arranged
from simulator.passes.sharding.rules import Finding, is_sharded, sharding_findings
from simulator.passes.stamping.stamps import Stamps


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


def bind_op(op: Op, graph: OpGraph, system: System, cut: Cut | None = None) -> list[Kernel]:
    """The kernels of one op on one chip of the system, the one with this cut where chips differ. Beside what is written,
    the options say how many chips take part in a collective (`over_chips`). Raises ShapeError."""
    kind = find_kind(op)
    options = read_options(op, kind)
    cut = cut or even_cut(graph, system)
    over = options.get("over", "")
    call = Call(
        op,
        tuple(_local(tensor, graph, system, cut) for tensor in op.inputs),
        _local(op.output, graph, system, cut),
        {**options, "over_chips": system.mesh.extent(over)},
    )
    if kind.network and not kind.view and over:
        call = replace(
            call,
            options={
                **call.options,
                **unequal(op, over, system, cut, lambda tensor, of: _local(tensor, graph, system, of).nbytes),
            },
        )
    given = Schedule(**{name: value for name, value in options.items() if name in _SCHEDULE})
    members = members_of(op, options, system)
    if members is not None:
        here = members.intersection(chips_of(given.on, system)) if given.on else members
        given = replace(given, on=Chips(tuple(sorted(here))))
    said: dict[str, Any] = {name: options[name] for name in _SAID if name in options}
    if "alike" in options:
        axes, chips = options["alike"]
        said["alike"] = chips * system.mesh.extent(axes)
    if "each" in options:
        said["launches"] = _places_of(options["each"], call)
    if op.turn or op.output.written:
        said |= {"written": (op.output.base,), "turn": op.turn}
    kernels = [_scheduled(kernel, given, said) for kernel in kind.kernels(call)]
    something = all(shaped.elements for shaped in (*call.inputs, call.output))  # of which this chip has a part
    if "efficiency" in said and something and not any(kernel.flops for kernel in kernels):
        raise ShapeError(f"efficiency= is of the peaks of units, and {op.kind} does no arithmetic", "efficiency")
    return kernels


_SCHEDULE = SCHEDULE_OPTIONS

_SAID = ("recompute", "efficiency", "awaited")
"""Options that kernels have by the same name."""


def _places_of(name: str, call: Call) -> int:
    """How many places of a dim the chip has, of which a library makes a kernel each. Raises ShapeError."""
    sizes = [
        size for shaped in (*call.inputs, call.output) for size in [shaped.by_name().get(name)] if size is not None
    ]
    if not sizes:
        raise ShapeError(f"each= names a dim of what {call.op.kind} reads or makes; '{name}' is none of them", "each")
    return max(1, *sizes)


def _scheduled(kernel: Kernel, given: Schedule, said: Mapping[str, Any]) -> Kernel:
    """The kernel with what its op says of when it is issued (`given`) and of how it computes (`said`)."""
    if given.queue is None and kernel.schedule.queue is not None:
        given = replace(given, queue=kernel.schedule.queue)
    if not said and given == kernel.schedule and not kernel.parts:
        return kernel
    parts = tuple(_scheduled(part, given, said) for part in kernel.parts)
    return replace(kernel, schedule=given, parts=parts, **said)


def _local(tensor: Tensor, graph: OpGraph, system: System, cut: Cut | None) -> Shaped:
    whole = tuple([graph.dims[dim.size] if isinstance(dim.size, str) else dim.size for dim in tensor.dims])
    cut = cut or even_cut(graph, system)
    if not tensor.axes:
        return Shaped(tensor, whole, whole, whole, cut)
    sizes = tuple([cut.size(size, dim.axes, dim.size) for size, dim in zip(whole, tensor.dims, strict=True)])
    padded = [size * system.mesh.extent(dim.axes) for size, dim in zip(sizes, tensor.dims, strict=True)]
    return Shaped(tensor, sizes, whole, tuple(padded), cut)


def tensor_bytes(tensor: Tensor, graph: OpGraph, system: System, cut: Cut | None = None) -> float:
    """Bytes of a tensor on one chip, the one with this cut where chips differ."""
    return _local(tensor, graph, system, cut).nbytes


def bind(graph: OpGraph, system: System, cut: Cut | None = None) -> list[Kernel]:
    """All kernels of a graph as it stands, in program order, blocks unrolled. Raises SpecError with every problem: also
    for what `simulator.passes.planner` would insert."""
    kernels = bind_as_written(graph, system)
    return list(bind_checked(graph, system, cut) if cut else kernels)


def bind_as_written(graph: OpGraph, system: System) -> Kernels:
    """The kernels of a graph for which nothing will be inserted, as columns, of a chip with the even part of every dim.
    Raises SpecError with every problem.

    That the ops of a sound graph can be bound shows as they are, so each form is bound once. Only where something is wrong
    are ops bound to be checked as well, since every problem is to be told.
    """
    wrong = _problems_as_written(graph, system, Known(binds=True))
    if not wrong.found:
        kernels = _stamped(graph, system, even_cut(graph, system), wrong)
        if not wrong.found:
            return kernels
    _problems_as_written(graph, system, Known()).raise_if_any()
    raise SpecError(wrong.found)


def _problems_as_written(graph: OpGraph, system: System, known: Known) -> Problems:
    """Every problem of a graph for which nothing will be inserted."""
    problems = Problems()
    for _, message in mesh_problems(system.mesh.axes, system.topology):
        problems.add(Mark("mesh"), message)
    for name, _, message in group_problems(system.mesh, system.size):
        problems.add(Mark(f"groups.{name}"), message)
    for _, message in split_problems(graph, system):
        problems.add(Mark("split"), message)
    if not problems.found:
        check_graph(graph, system, problems, known, sharding="written")
    return problems


def bind_checked(graph: OpGraph, system: System, cut: Cut) -> Kernels:
    """The kernels, as columns, of a chip with its part of every dim, of a graph in which `bind_as_written` found nothing.
    Raises SpecError where the shapes of this part do not fit."""
    problems = Problems()
    kernels = _stamped(graph, system, cut, problems)
    problems.raise_if_any()
    return kernels


def _stamped(graph: OpGraph, system: System, cut: Cut, problems: Problems) -> Kernels:
    """The kernels of a graph; ops whose shapes do not fit, or for which chips lack something, are added to the problems."""

    def bound(op: Op) -> list[Kernel]:
        kernels = bind_op(op, graph, system, cut)
        for part, message in chip_findings(kernels, system):
            raise ShapeError(message, part)
        return kernels

    def failed(op: Op, error: ShapeError) -> None:
        problems.add(op.source.at(error.part), str(error))

    def nbytes(tensor: Tensor) -> float:
        return tensor_bytes(tensor, graph, system, cut)

    return Stamps(graph.unrolled, bound, failed, nbytes).kernels
