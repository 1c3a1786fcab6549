"""Recurrent layers (LSTM, GRU, RNN): one product for the inputs of all steps, then a block that has a turn a step.

Model: a turn multiplies the state of all directions with its matrix, and adds, squashes and mixes the gates in one kernel
that reads both products and writes the new state. Libraries that keep the matrix on the chip do better.
Peepholes are not counted; sequences are taken for as long as the longest of them.
Source: the ONNX operator schemas of LSTM, GRU and RNN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scenarios.importers.onnx_graph.blocks import attribute
from scenarios.importers.onnx_graph.walk import OnnxWalk, label_in_lines, rule
from scenarios.importers.op_lines import OpLines, Value
from simulator import DTYPE_BYTES

GATES: Mapping[str, int] = {"LSTM": 4, "GRU": 3, "RNN": 1}
_FLOPS = 4
"""For each gate of each element: two sums, and about as much for what squashes and mixes it."""


def recurrent(lines: OpLines, node: Any, given: Sequence[Value | None], label: str) -> tuple[Value, Value]:
    """All states that a layer makes, and the last of them. `given`: its inputs, None of those left out. Raises ValueError
    where sizes do not fit."""
    x, inner, between = given[:3]
    if (
        x is None
        or inner is None
        or between is None
        or len(x.dims) != 3
        or len(inner.dims) != 3
        or len(between.dims) != 3
    ):
        raise ValueError("it wants an input and two matrices of three dims each")
    first, second, width = x.dims
    batch_first = bool(attribute(node, "layout", 0))
    steps, batch = (second, first) if batch_first else (first, second)
    directions, size = inner.dims[0], between.dims[2]
    wide = GATES[node.op_type] * size
    if inner.dims != (directions, wide, width) or between.dims != (directions, wide, size):
        raise ValueError(f"its matrices are not of {GATES[node.op_type]} gates of {size}")
    every = directions * batch
    to_gates = (1, steps * batch, directions * wide, width)
    projected = lines.matmul((x, inner), to_gates, f"{label}_inputs", (x.dtype, (steps * batch, directions * wide)))
    state = (given[5] if len(given) > 5 else None) or lines.source(f"{label}_state", x.dtype, (directions, batch, size))
    cells = 2 if node.op_type == "LSTM" else 0
    moved = every * (2 * wide + (1 + cells) * size) * DTYPE_BYTES[x.dtype]
    with lines.repeated(steps) as block:
        step = lines.part(projected, (directions, batch, wide), f"{label}_step")
        product = lines.matmul(
            (state, between), (directions, batch, wide, size), f"{label}_turn", (x.dtype, (directions, batch, wide))
        )
        costs = f"flops={_FLOPS * every * wide} FLOP", f"bytes={moved:.15g} B"
        new = lines.op("custom", [product, step], label, (x.dtype, (directions, batch, size)), *costs)
        lines.carry(block, [(state, new)])
    # each turn has written its state where all of them lie
    every_dims = (batch, steps, directions, size) if batch_first else (steps, directions, batch, size)
    states = lines.op("custom", [new], f"{label}_all", (x.dtype, every_dims), "bytes=0 B")
    return states, lines.view(new, (batch, directions, size)) if batch_first else new


@rule(*GATES)
def _recurrent(walk: OnnxWalk, node: Any, _inputs: list[Value]) -> Value:
    given = [walk.values[name] if name else None for name in node.input]
    every, last = recurrent(walk.lines, node, given, label_in_lines(node))
    for name, made in zip(node.output, (every, last, last), strict=False):
        walk.values[name] = made
    return every
