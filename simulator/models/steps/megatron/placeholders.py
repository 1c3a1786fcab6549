"""What Megatron-LM and its libraries hold for a whole run beside what a step needs.

Model: Transformer Engine's layers, whose weights' gradients are added up elsewhere, give autograd an empty gradient in the
weight's format instead: one for each distinct shape of a weight, kept. Matrices that multiply the same tokens are one weight
(queries, keys and values; gate and up); experts have one of one expert. The head gathers its tokens into a buffer that is
kept. Beside the workspaces of every step (`simulator.models.steps.storage.workspaces`) there are four more, for the streams
in which Transformer Engine runs the matmuls of experts.
Source: Transformer Engine, pytorch/module/base.py (get_dummy_wgrad); Megatron-LM, core/utils.py (GlobalMemoryBuffer).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from simulator.graph.items import Dim, Op, Tensor, every_op
from simulator.models.steps.layout import Layout, Parallel
from simulator.models.steps.parts import Part
from simulator.models.steps.storage.buffer import Buffer
from simulator.models.steps.storage.workspaces import EVERYWHERE, WORKSPACE

STREAMS = 4
"""In how many streams matmuls of experts run, each with a workspace."""


def placeholders(
    parts: Sequence[Part], layout: Layout, sizes: Mapping[str, int], parallel: Parallel, mark: str
) -> list[Tensor]:
    """The tensors that a chip holds so for the parts of a chunk; `mark`: of the chunk."""
    has_experts = any(_is_of_experts(buffer) for part in parts for buffer in part.buffers)
    workspaces = WORKSPACE * (EVERYWHERE + STREAMS * has_experts)
    found = [Tensor(f"workspaces{mark}", "int8", (Dim(workspaces),))]
    extents = parallel.extents
    distinct = dict.fromkeys(shape for part in parts for shape in _shapes(part, sizes, extents))
    gradients = sum(rows * columns for rows, columns in distinct)
    if gradients:
        dtype = next(weight.dtype for part in parts for buffer in part.buffers for weight in buffer.weights)
        found.append(Tensor(f"placeholders{mark}", dtype, (Dim(gradients),)))
    gathered = next((op.output for part in parts for op in _of_head(part) if layout.sequence), None)
    if gathered is not None:
        found.append(replace(gathered, name=f"gathered{mark}"))
    return found


def _is_of_experts(buffer: Buffer) -> bool:
    return any(dim.size == "experts" for weight in buffer.weights for dim in weight.dims[:1])


def _of_head(part: Part) -> Iterator[Op]:
    """The ops that gather tokens for the head."""
    if any(op.output.base.startswith("logits") for op in every_op(part.items)):
        yield from (op for op in every_op(part.items) if op.kind == "all_gather")


def _shapes(part: Part, sizes: Mapping[str, int], extents: Mapping[str, int]) -> Iterator[tuple[int, int]]:
    """The shapes of a block's weights on a chip: rows, and columns of all that multiply the same tokens."""
    if part.rounds is None:
        return
    weights = {weight.name for buffer in part.buffers for weight in buffer.weights}
    columns: dict[tuple[str, int], int] = {}
    for op in every_op(part.items):
        if op.kind != "matmul" or op.inputs[1].name not in weights:
            continue
        tokens, weight = op.inputs
        contracted = {dim.size for dim in tokens.dims}
        own = [dim for dim in weight.dims if dim.size != "experts" or dim.size not in contracted]
        rows = math.prod(_local(dim, sizes, extents) for dim in own if dim.size in contracted)
        wide = math.prod(_local(dim, sizes, extents) for dim in own if dim.size not in contracted)
        columns[tokens.name, rows] = columns.get((tokens.name, rows), 0) + wide
    yield from ((rows, wide) for (_, rows), wide in columns.items())


def _local(dim: Dim, sizes: Mapping[str, int], extents: Mapping[str, int]) -> int:
    """How much of a dim a chip has."""
    whole = sizes[dim.size] if isinstance(dim.size, str) else dim.size
    return -(-whole // math.prod(extents[axis] for axis in dim.axes))
