"""What a chip holds in HBM at each step of a program, as far as one axis decides it.

Model: inputs of the graph are there for the whole run; what an op makes is there from its step to the last that reads it, or
to the end if none does; a grown cache lies in the memory of what it grew out of, and is there to the end. Tensors over the
axis shrink with the chip's part of it, all others stay.
Assumes: one chip runs its ops in program order, as it does but for what overlaps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

from hw import System
from simulator.graph.items import Tensor
from simulator.graph.op_graph import OpGraph
from simulator.graph.shares import Held
from simulator.ops.kernel import Kernel
from simulator.passes.binding import tensor_bytes
from simulator.passes.parts import even_cut


def held_by(kernels: Sequence[Kernel], graph: OpGraph, system: System, axis: str) -> list[Held]:
    """What a chip holds in HBM at each step, of kernels that are cut evenly along an axis."""
    tensors = {
        tensor.name: tensor for op in graph.flat() for tensor in (op.output, *op.inputs) if tensor.memory == "hbm"
    }
    cut = even_cut(graph, system)
    sizes = {name: tensor_bytes(tensor, graph, system, cut) for name, tensor in tensors.items()}
    begins, ends = _lives(kernels, tensors)
    for kernel in kernels:
        for name, into in kernel.grown:
            # it lies in the memory of what it grew out of, which stays as long as it does
            sizes[name] = max(0.0, sizes[name] - sizes[into])
            ends[into] = max(ends[into], ends[name])
    extent = system.mesh.axes[axis]
    # what comes and goes at each step; bytes are whole numbers or halves, so that running sums are exact
    always, whole = [0.0] * (len(kernels) + 1), [0.0] * (len(kernels) + 1)
    for name, begin in begins.items():
        over = any(axis in dim.axes for dim in tensors[name].dims)
        changes, nbytes = (whole, sizes[name] * extent) if over else (always, sizes[name])
        changes[begin] += nbytes
        changes[min(ends[name] + 1, len(kernels))] -= nbytes
    held = zip(accumulate(always[:-1]), accumulate(whole[:-1]), strict=True)
    return [Held(*each) for each in held]


def _lives(kernels: Sequence[Kernel], tensors: Mapping[str, Tensor]) -> tuple[dict[str, int], dict[str, int]]:
    """The first and the last step at which each tensor is there."""
    made: dict[str, int] = {}
    read: dict[str, int] = {}
    staying: set[str] = set()
    for step, kernel in enumerate(kernels):
        for access in kernel.reads:
            read[access.tensor] = step
        for access in kernel.writes:
            made.setdefault(access.tensor, step)
            staying |= {access.tensor} if access.stays else set()
    to_the_end = len(kernels) - 1
    names = [name for name in dict.fromkeys((*read, *made)) if name in tensors]
    begins = {name: made.get(name, 0) for name in names}
    goes = {name: read.get(name, to_the_end) for name in made.keys() - staying}
    return begins, {name: goes.get(name, to_the_end) for name in names}
