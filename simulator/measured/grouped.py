"""A grouped matmul in tiles that are the same for all groups, as a kernel of its own carries it out (Megablox).

Model: rows of all groups lie one behind the other, and a tile of them is visited once for each group that has some: of G
groups in tiles of t there are G - 1 visits more than rows over t. The cores share out columns, whole tiles each, so that an
odd one leaves a core idle. A step is a whole tile, however little of it is asked for; of what is shorter than a tile, that.
Gradients of weights go so along the rows that they add up, and over rows and columns of the weights.
Law: no faster than the peak. Source: jax-ml/jax, pallas/ops/tpu/megablox/gmm.py (the grids of gmm and tgmm, whose first dim
is `parallel`; make_group_metadata).
"""

from __future__ import annotations

from hw.chips import GroupedTimes
from simulator.measured.device import Device
from simulator.ops.kernel import Contraction


def grouped_s(part: Contraction, dtype: str, device: Device, times: GroupedTimes) -> float:
    """Seconds on the cores, HBM not counted, of a contraction with a size that is only a mean."""
    mean, depth, columns = {
        "m": (part.m, part.k, part.n),
        "n": (part.n, part.k, part.m),
        "k": (part.k, part.m, part.n),
    }[part.ragged]
    rows = part.batch * mean
    visits = -(-rows // times.rows) + min(part.batch, rows) - 1
    # whole tiles of columns on each core
    tiles = -(-columns // times.columns)
    across = -(-tiles // device.cores)
    steps = visits * -(-depth // times.depth) * across
    tile = min(rows, times.rows) * min(depth, times.depth) * min(columns, times.columns)
    rate = times.sums_rate if part.ragged == "k" else times.rate
    return part.share * steps * 2.0 * tile * device.cores / (device.peak(dtype) * rate)
