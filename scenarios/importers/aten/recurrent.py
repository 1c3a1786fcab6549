"""Recurrent layers as one kernel: every matrix times every row, and what is read and written once.

Model: LSTM, GRU and plain layers multiply each token by the input's weights and each state by the state's; weights are read
once, as kernels do that keep them on chip.
Source: the definitions in torch.nn.LSTM and GRU; FLOPs equal to torch.utils.flop_counter's of the cells written out.
"""

from __future__ import annotations

import math
from typing import Any

from scenarios.importers.aten.walk import Like, Tree, Walk, flat, rule
from scenarios.importers.op_lines import Value


@rule("lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")
def _recurrent(walk: Walk, node: Any, arguments: list[Any], named: dict[str, Any]) -> Tree:
    inputs = list(flat([*arguments, *named.values()]))
    weights = [value for value in flat(arguments[2:]) if len(value.dims) == 2]
    rows = math.prod(inputs[0].dims[:-1])
    flops = 2.0 * rows * sum(value.elements for value in weights)
    moved = sum(value.nbytes for value in inputs) + walk.nbytes(node)

    def make(label: str, like: Like) -> Value:
        said = f"flops={flops:.15g} FLOP", f"bytes={moved:.15g} B", "unit=matrix"
        return walk.lines.op("custom", inputs, label, like, *said)

    return walk.made(node, make)
