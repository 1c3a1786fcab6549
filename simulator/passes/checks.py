"""Mistakes that show before an op is bound, and what its chips lack for its kernels.

Model: what is wrong is found part by part (kind, options, tensors, chips), as far as what it refers to is sound: one
mistake is one finding. Each comes with the part of the op to point at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hw import Chip, System
from hw.input import unknown
from simulator.graph.dtypes import usable_dtype
from simulator.graph.items import MEMORIES, Op, Tensor
from simulator.graph.op_graph import OpGraph
from simulator.graph.op_line import read_reference
from simulator.graph.split import with_weight
from simulator.ops.kernel import Kernel
from simulator.ops.registry import KINDS, ShapeError, find_kind, option_findings, read_options
from simulator.passes.members import nowhere, place_findings, together_findings, unknown_axis
from simulator.passes.parts import Cutting
from simulator.passes.sharding.rules import Finding

MAX_ELEMENTS = 10**18
"""Elements that a tensor may have; more is a typing mistake, not a workload."""


@dataclass(frozen=True, slots=True)
class Known:
    """What of a scenario is sound, so that one mistake is not reported again at every op that meets it; `ops`: the names of
    all ops of its graph, by which those that are awaited are looked up; `half_read`: lines of which something cannot be
    read, with the rest of them; `binds`: whoever asks binds the ops as well, and
    sees there whether their shapes fit and chips can run them."""

    chip: bool = True
    mesh: bool = True
    broken_dims: frozenset[str] = frozenset()
    unread_ops: frozenset[str] = frozenset()
    half_read: tuple[Op, ...] = ()
    ops: frozenset[str] = frozenset()
    binds: bool = False


def is_size(size: Any) -> bool:
    """Whether a dim can be of that size."""
    return isinstance(size, int) and not isinstance(size, bool) and size >= 1


def op_findings(
    op: Op, graph: OpGraph, system: System, known: Known, earlier: Collection[str], how: Cutting
) -> Iterator[Finding]:
    """What is wrong with an op before any shape is looked at: kind, options, dims, axes, chips. `how`: dims are cut."""
    options: dict[str, Any] = {}
    yield from kind_findings(op, options)
    yield from tensor_findings(op, graph, system, known, how)
    for name, rounds in map(read_reference, options.get("after", ())):
        if name in known.unread_ops:
            continue
        if rounds and name not in known.ops:
            yield "after", unknown("op", name, [each.name for each in graph.every_op()])
        elif not rounds and name not in earlier:
            yield "after", unknown("op", name, earlier) + " (ops before this one)"
    if known.mesh:
        yield from _where_findings(op, options, system)


def where_findings(op: Op, system: System) -> Iterator[Finding]:
    """What is wrong with where an op runs, of which all else is sound."""
    yield from _where_findings(op, read_options(op, find_kind(op)), system)


def _where_findings(op: Op, options: Mapping[str, Any], system: System) -> Iterator[Finding]:
    found = list(place_findings(options, system))
    yield from found or nowhere(op, options, system)


def kind_findings(op: Op, options: dict[str, Any]) -> Iterator[Finding]:
    """What is wrong with the kind of an op and with its options; those that are right go to `options`."""
    try:
        find_kind(op)
    except ShapeError as error:
        yield error.part, str(error)
    kind = KINDS.get(op.kind)
    if kind is not None:
        yield from option_findings(op, kind, options)


def tensor_findings(op: Op, graph: OpGraph, system: System, known: Known, how: Cutting) -> Iterator[Finding]:
    """What is wrong with the tensors of an op: memories, dims, axes, sizes."""
    names = {*graph.dims, *known.broken_dims}
    reported: set[str] = set()
    for place, tensor in enumerate((*op.inputs, op.output)):
        part = f"in{place}" if place < len(op.inputs) else "out"
        if known.chip and tensor.memory not in (*MEMORIES, *reported):
            levels = {name for chip in system.kinds for name in chip.levels}
            if tensor.memory not in levels:
                reported.add(tensor.memory)
                yield part, unknown("memory", tensor.memory, (*MEMORIES, *sorted(levels)))
        for dim in tensor.dims:
            if isinstance(dim.size, str) and dim.size not in names and dim.size not in reported:
                reported.add(dim.size)
                yield _place_of(op, part, dim.size), unknown("dim", dim.size, names)
        for axis in tensor.axes + tensor.partial if known.mesh else "":
            if axis not in system.mesh.names and axis not in reported:
                reported.add(axis)
                yield part, unknown_axis(axis, system)
        for message in together_findings(tensor, system) if known.mesh and not reported else ():
            reported.add(tensor.name)
            yield part, message
        if not reported and known.mesh and not known.broken_dims & {dim.size for dim in tensor.dims}:
            for name, message in size_findings(tensor, graph, system, how):
                if name not in reported:
                    reported.add(name)
                    yield part, message


def _place_of(op: Op, part: str, dim: str) -> str:
    """The dim of a part of an op where the line has it there, else the part."""
    there = f"{part}.{dim}"
    return there if there in op.source.columns else part


def size_findings(tensor: Tensor, graph: OpGraph, system: System, how: Cutting) -> Iterator[Finding]:
    """What is wrong with the sizes of a tensor: the dim (or the tensor) and the message."""
    elements = 1
    for dim in tensor.dims:
        size = graph.dims[dim.size] if isinstance(dim.size, str) else dim.size
        extent = system.mesh.extent(dim.axes)
        elements *= size
        if not dim.axes:
            continue
        own = how.even.parts(dim.size, dim.axes)
        if own or not how.axes.isdisjoint(dim.axes):
            least = extent if isinstance(graph.split, str) else with_weight(dim.axes, graph.split, system)
            if size < least and not own:
                yield (
                    str(dim.size),
                    f"dim {dim.size} = {size} is too small to share out over the {least} chips of {dim.axes}",
                )
        elif size % extent and graph.uneven == "refuse":
            message = f"dim {dim.size} = {size} does not divide over the {extent} chips of {dim.axes}"
            yield str(dim.size), f"{message}; uneven shards are refused unless the workload says uneven: pad"
    if elements > MAX_ELEMENTS:
        message = f"{tensor.name} would have {float(elements):.3g} elements; more than {MAX_ELEMENTS:.0e} is refused"
        yield tensor.name, message


def chip_findings(kernels: list[Kernel], system: System) -> Iterator[Finding]:
    """What a chip lacks: a peak for a dtype, or a memory. Of several kinds of chips, the first that lacks something."""
    found = (list(_lacking(kernels, chip, system)) for chip in system.kinds)
    yield from next((each for each in found if each), [])


def _lacking(kernels: list[Kernel], chip: Chip, system: System) -> Iterator[Finding]:
    shared = system.host
    for kernel in kernels:
        for unit, dtype, peaks in (
            ("matrix_unit", kernel.matrix_dtype, chip.matrix_unit.peak_flops_per_s),
            ("vector_unit", kernel.vector_dtype, chip.vector_unit.peak_flops_per_s),
        ):
            if dtype and usable_dtype(dtype, peaks) is None:
                yield "kind", f"{chip.name} has no {unit}.peak for {dtype} or wider; it has {', '.join(peaks)}"
        for memory in {access.memory for access in (*kernel.reads, *kernel.writes)} - {"hbm"}:
            if memory == "host":
                if chip.host is None and "pcie" not in chip.links and not (shared and shared.memory):
                    yield "kind", f"{chip.name} has neither host memory nor a pcie link to reach it"
            elif memory not in chip.memories and not (memory == "disk" and shared and shared.disk):
                yield "kind", f"{chip.name} has no memory '{memory}'"
