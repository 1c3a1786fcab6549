"""A chip as its kernels see it: cores, and rates of the data sheet times what a run makes faster."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hw import Chip
from simulator.graph.dtypes import usable_dtype


@dataclass(frozen=True, slots=True)
class Device:
    """Cores, dense FLOP/s of all together by dtype, FLOP/s of the vector unit, bytes/s of HBM and of the on-chip memory;
    `tile`: rows and columns of an array of the matrix unit."""

    cores: int
    matrix_flops_per_s: tuple[tuple[str, float], ...]
    vector_flops_per_s: float
    hbm_bytes_per_s: float
    on_chip_bytes_per_s: float
    tile: tuple[int, int] = (1, 1)

    @classmethod
    def of(cls, chip: Chip, faster: Callable[[str], float] = lambda _name: 1.0) -> Device:
        """`faster`: by resource, what its data sheet's rate is multiplied with."""
        vector: Mapping[str, float] = {str(name): rate for name, rate in chip.vector_unit.peak_flops_per_s.items()}
        served = usable_dtype("fp32", vector)
        near = chip.on_chip.bytes_per_s if chip.on_chip is not None else math.inf
        return cls(
            chip.matrix_unit.cores,
            tuple(
                (str(name), rate * faster("matrix_unit")) for name, rate in chip.matrix_unit.peak_flops_per_s.items()
            ),
            (vector[served] if served is not None else math.inf) * faster("vector_unit"),
            chip.hbm.bytes_per_s * faster("hbm"),
            near * faster("on_chip"),
            chip.matrix_unit.tile or (1, 1),
        )

    def peak(self, dtype: str) -> float:
        """FLOP/s of the matrix unit for a dtype, or the next wider one that it has."""
        peaks = dict(self.matrix_flops_per_s)
        served = usable_dtype(dtype, peaks)
        assert served is not None, "binding has checked that there is a peak"
        return peaks[served]


def joint(a: float, b: float, corner: float) -> float:
    """Two limits that are met together: the larger one, and a little more where they are close."""
    largest = max(a, b)
    if not largest or math.isinf(corner):
        return largest
    return float(largest * ((a / largest) ** corner + (b / largest) ** corner) ** (1.0 / corner))
