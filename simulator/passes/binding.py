"""An op meets a system: its local sizes, and the kernels that a chip makes of it.

Model: a dim of size n sharded over axes of extent e has n / e elements on each chip. Where n is no multiple of e the graph
is refused, or with `uneven: pad` every chip has as many as the first, n / e rounded up, and works and moves that much.
An op becomes a `Call` with local shapes, and its kind turns that into kernels. Whether a graph is sound:
`simulator.passes.soundness`; the kernels of all its ops: `simulator.passes.bound_graph`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hw import System
from simulator.graph.items import Op, Tensor
from simulator.graph.op_graph import OpGraph
from simulator.graph.split import Cut
from simulator.ops.kernel import Chips, Kernel, Schedule
from simulator.ops.options import SCHEDULE_OPTIONS
from simulator.ops.registry import Call, Shaped, ShapeError, find_kind, read_options
from simulator.passes.members import members_of
from simulator.passes.parts import even_cut, unequal
from simulator.passes.placement import chips_of


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
