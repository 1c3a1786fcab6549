"""Op kinds of the vector unit; importing this registers them all.

These ops are bound by memory on every chip of the catalogue; what matters is their bytes: every input once, the output once.
"""

from simulator.ops.kinds.vector import elementwise, rows, sums  # noqa: F401  (registers)
