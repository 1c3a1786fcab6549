"""The kinds of ops that ship, one file for each family; importing this registers them all."""

from simulator.ops.kinds import (  # noqa: F401  (registers)
    attention,
    cache,
    collective,
    conv,
    data,
    matmul,
    reshard,
    sparse,
    vector,
)
