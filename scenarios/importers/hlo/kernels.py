"""Rules for what is one kernel: dots, convolutions, fusions, reductions, and what moves bytes or none."""

from __future__ import annotations

import math

from scenarios.importers.hlo.costs import (
    FREE,
    called_by,
    cost_of,
    dot_of,
    nbytes,
    numbers,
    read_bytes,
    window_flops,
    window_of,
    written_bytes,
)
from scenarios.importers.hlo.lowering import Lowering, Tree, flat, label_of, out_bytes, rule
from scenarios.importers.hlo.module import Instruction, Shape, leaves
from scenarios.importers.op_lines import Value


@rule("dot")
def _dot(run: Lowering, each: Instruction, operands: list[Tree]) -> Tree:
    a, b = operands[0], operands[1]
    made = dot_of(each, Shape(a.dtype, a.dims), Shape(b.dtype, b.dims))
    out = leaves(each.type)[0]
    if math.prod(out.dims) != made.batch * made.m * made.n:
        raise ValueError("its result has another size than its operands make")
    shape = made.batch, made.m, made.n, made.k
    return run.made(each, lambda label, like: run.lines.matmul((a, b), shape, label, like))


@rule("convolution")
def _convolution(run: Lowering, each: Instruction, operands: list[Tree]) -> Tree:
    image, kernel = operands[0], operands[1]
    window = window_of(each, Shape(image.dtype, image.dims), Shape(kernel.dtype, kernel.dims))
    if len(window.image) == 2 and window.groups == 1:  # without rows and columns it is a product, as TPUs write it
        batch, inner = window.image
        pair = run.lines.view(image, window.image), run.lines.view(kernel, window.kernel[::-1])
        return run.made(
            each, lambda label, like: run.lines.matmul(pair, (1, batch, window.made[1], inner), label, like)
        )
    if not window.plain:
        moved = image.nbytes + kernel.nbytes + out_bytes(each)
        said = (f"flops={window.flops:.15g} FLOP", f"bytes={moved:.15g} B", "unit=matrix")
        return run.op("custom", each, [image, kernel], *said)
    given = [run.lines.view(image, window.image), run.lines.view(kernel, window.kernel)]
    shown = tuple(
        f"{key}=[{', '.join(map(str, value))}]"
        for key, value in (("stride", window.stride), ("pad", window.pad), ("dilation", window.dilation))
    )
    groups = (f"groups={window.groups}",) if window.groups > 1 else ()
    out = leaves(each.type)[0]
    made = run.lines.op("conv2d", given, label_of(each), (out.dtype or "fp32", window.made), *shown, *groups)
    return run.lines.view(made, out.dims)


@rule("fusion")
def _fusion(run: Lowering, each: Instruction, operands: list[Tree]) -> Tree:
    called = run.module.computations.get(called_by(each))
    if called is None:
        raise ValueError("it calls no computation of this module")
    inputs = [value for tree in operands for value in flat(tree)]
    if run.is_scalar(each, inputs):
        run.scalars += 1
        return run.source(each.name, each.type)
    work = [one for one in called.instructions if one.opcode not in FREE and one.opcode != "broadcast"]
    if len(work) <= 1:
        return run.inline(called, operands, each)
    cost = cost_of(run.module, called)
    read = sum(read_bytes(called, at, Shape(value.dtype, value.dims)) for at, value in enumerate(inputs))
    shapes = leaves(each.type)
    written = written_bytes(called, shapes[0]) if len(shapes) == 1 else out_bytes(each)
    return run.op("custom", each, inputs, *priced(cost.matrix, cost.vector, read + written))


@rule("reshape", "bitcast", "bitcast-convert")
def _view(run: Lowering, each: Instruction, operands: list[Tree]) -> Tree:
    shape = leaves(each.type)[0]
    value = operands[0]
    if nbytes(shape) > value.nbytes or shape.dtype != value.dtype:
        return _cast_view(run, each, value, shape)
    return run.lines.view(value, shape.dims)


def _cast_view(run: Lowering, each: Instruction, value: Value, shape: Shape) -> Tree:
    """The same bytes as another format, or a broadcast that is reshaped: nothing is moved before it is read."""
    if value.elements == math.prod(shape.dims):
        return run.op("cast", each, [run.lines.view(value, shape.dims)])
    return value


@rule("broadcast")
def _broadcast(run: Lowering, each: Instruction, operands: list[Tree]) -> Tree:
    """Nothing is made: the operand with sizes of 1 where it was broadcast."""
    value, shape = operands[0], leaves(each.type)[0]
    places = numbers(each.attributes.get("dimensions"))
    dims = [1] * len(shape.dims)
    for size, place in zip(value.dims, places, strict=False):
        dims[place] = size
    return run.lines.view(value, dims) if math.prod(dims) == value.elements else value


@rule("iota")
def _iota(run: Lowering, each: Instruction, _operands: list[Tree]) -> Tree:
    """Numbers that whoever reads them counts himself: nothing is made, as of what is broadcast."""
    shape = leaves(each.type)[0]
    return run.source(each.name, Shape(shape.dtype, (1,) * len(shape.dims)))


@rule("fft")
def _fft(run: Lowering, each: Instruction, operands: list[Tree]) -> Tree:
    """8 n log2 n, n multiply-adds of complex numbers a stage, as XLA's analysis has it."""
    inputs = [value for tree in operands for value in flat(tree)]
    length = math.prod(numbers(each.attributes.get("fft_length"))) or 1
    flops = 8.0 * max(1, inputs[0].elements) * math.log2(max(2, length))
    return run.op("custom", each, inputs, *priced(0.0, flops, sum(one.nbytes for one in inputs) + out_bytes(each)))


@rule("constant", "partition-id", "replica-id", "after-all", "get-dimension-size", "rng-get-and-update-state")
def _constant(run: Lowering, each: Instruction, _operands: list[Tree]) -> Tree:
    return run.source(each.name, each.type)


@rule("transpose")
def _transpose(run: Lowering, each: Instruction, operands: list[Tree]) -> Tree:
    if not run.module.scheduled:
        return run.lines.view(operands[0], [operands[0].dims[at] for at in numbers(each.attributes.get("dimensions"))])
    moved = 2 * operands[0].nbytes
    return run.made(each, lambda label, like: run.lines.moved([operands[0]], label, like, moved))


@rule("reduce", "reduce-window")
def _reduce(run: Lowering, each: Instruction, operands: list[Tree]) -> Tree:
    inputs = [value for tree in operands for value in flat(tree)]
    kinds = [leaves(kind)[0] for kind in run.given_types]
    flops = float(sum(math.prod(shape.dims) for shape in kinds[: max(1, len(kinds) // 2)]))
    if each.opcode == "reduce-window":
        flops = window_flops(each, sum(math.prod(shape.dims) for shape in leaves(each.type)))
    if run.is_scalar(each, inputs):
        return run.source(each.name, each.type)
    moved = sum(value.nbytes for value in inputs) + out_bytes(each)
    return run.op("custom", each, inputs, f"flops={flops:.15g} FLOP", f"bytes={moved:.15g} B")


@rule("slice", "dynamic-slice")
def _slice(run: Lowering, each: Instruction, operands: list[Tree]) -> Tree:
    return _part(run, each, operands[0], 2 * out_bytes(each))


@rule("dynamic-update-slice")
def _update(run: Lowering, each: Instruction, operands: list[Tree]) -> Tree:
    return _part(run, each, operands[0], 2 * operands[1].nbytes, operands[1])


@rule("gather")
def _gather(run: Lowering, each: Instruction, operands: list[Tree]) -> Tree:
    return _part(run, each, operands[0], 2 * out_bytes(each) + operands[1].nbytes, operands[1])


@rule("scatter")
def _scatter(run: Lowering, each: Instruction, operands: list[Tree]) -> Tree:
    return _part(run, each, operands[0], 3 * operands[2].nbytes + operands[1].nbytes, operands[2])


def _part(run: Lowering, each: Instruction, whole: Value, moved: float, *others: Value) -> Tree:
    if run.is_scalar(each, [whole, *others]):
        return run.source(each.name, each.type)
    return run.made(each, lambda label, like: run.lines.moved([whole, *others], label, like, moved))


def priced(matrix: float, vector: float, moved: float) -> tuple[str, ...]:
    """A fused kernel by its numbers: with matrices in it those decide, and what is added to them is hidden."""
    unit = ("unit=matrix",) if matrix else ()
    return f"flops={matrix or vector:.15g} FLOP", f"bytes={moved:.15g} B", *unit


@rule("ragged-dot")
def _ragged_dot(run: Lowering, each: Instruction, operands: list[Tree]) -> Tree:
    """Rows by the matrix of their group: each row is multiplied once, each group's matrix is read once."""
    rows, inputs = operands[0], [value for tree in operands for value in flat(tree)]
    out = leaves(each.type)[0]
    width = numbers(each.attributes.get("lhs_contracting_dims")) or (len(rows.dims) - 1,)
    flops = 2.0 * math.prod(out.dims) * math.prod(rows.dims[at] for at in width)
    return run.op("custom", each, inputs, *priced(flops, 0.0, sum(one.nbytes for one in inputs) + out_bytes(each)))
