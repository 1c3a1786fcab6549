"""The kinds of ops that ship, one file for each family; importing this registers them all."""

from simulator.ops.kinds import (  # noqa: F401  (registers)
    cache,
    collective,
    data,
    expert_bias,
    experts,
    grouped_matmul,
    layout,
    loss,
    matmul,
    matmul_add,
    optimizer,
    reshard,
    sparse,
    vector,
)
from simulator.ops.kinds.attention import backward, block, forward  # noqa: F401  (registers)
from simulator.ops.kinds.convolution import backward as convolution_backward  # noqa: F401  (registers)
from simulator.ops.kinds.convolution import batch_norm  # noqa: F401  (registers)
