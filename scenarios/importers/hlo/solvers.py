"""Rules for what XLA keeps as one instruction until late: norms over a batch, solvers, products of scaled blocks.

Model: a batch norm goes once over its input, in training twice (statistics first), its gradient over both inputs twice.
A triangular solve is n multiply-adds for each number that is solved for, a Cholesky factor n / 3 for each of its matrix.
Source: XLA's HloCostAnalysis (HandleTriangularSolve, HandleCholesky), which counts no FLOPs in norms.
"""

from __future__ import annotations

import math

from scenarios.importers.hlo.costs import dot_of
from scenarios.importers.hlo.kernels import priced
from scenarios.importers.hlo.lowering import Lowering, Tree, flat, out_bytes, rule
from scenarios.importers.hlo.module import Instruction, Shape, leaves
from scenarios.importers.op_lines import Value

_NORMS = {"batch-norm-inference": (4, 0), "batch-norm-training": (10, 1), "batch-norm-grad": (11, 2)}
"""FLOP for each element, and how often the input is read again."""


@rule(*_NORMS)
def _batch_norm(run: Lowering, each: Instruction, operands: list[Tree]) -> Tree:
    flops, again = _NORMS[each.opcode]
    inputs = _arrays(operands)
    if not inputs:
        raise ValueError("it wants arrays for operands")
    moved = sum(value.nbytes for value in inputs) + again * inputs[0].nbytes + out_bytes(each)
    return run.op("custom", each, inputs, *priced(0.0, float(flops * inputs[0].elements), moved))


@rule("triangular-solve", "cholesky")
def _solve(run: Lowering, each: Instruction, operands: list[Tree]) -> Tree:
    inputs = _arrays(operands)
    if not inputs or len(inputs[0].dims) < 2:
        raise ValueError("it wants a matrix for its first operand")
    n = inputs[0].dims[-1]
    solved = inputs[-1].elements
    flops = 2.0 * solved * n if each.opcode == "triangular-solve" else inputs[0].elements * n / 3
    moved = sum(value.nbytes for value in inputs) + out_bytes(each)
    return run.op("custom", each, inputs, *priced(0.0, flops, moved))


@rule("scaled-dot")
def _scaled_dot(run: Lowering, each: Instruction, operands: list[Tree]) -> Tree:
    """A dot of narrow numbers with a scale for each block of them, which is read beside them."""
    inputs = _arrays(operands)
    if len(inputs) < 2:
        raise ValueError("it wants arrays for operands, 2 at least")
    a, b = inputs[:2]
    made = dot_of(each, Shape(a.dtype, a.dims), Shape(b.dtype, b.dims))
    if math.prod(leaves(each.type)[0].dims) != made.batch * made.m * made.n:
        raise ValueError("its result has another size than its operands make")
    moved = sum(value.nbytes for value in inputs) + out_bytes(each)
    return run.op("custom", each, inputs, *priced(made.flops, 0.0, moved))


def _arrays(operands: list[Tree]) -> list[Value]:
    """Operands that are arrays, each once."""
    return list({value.name: value for tree in operands for value in flat(tree)}.values())
