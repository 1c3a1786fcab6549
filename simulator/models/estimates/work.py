"""Work added up: seconds of each resource of a chip, and of the wires that it uses.

Wires stand in columns: a collective keeps many of them busy, and is added as one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from simulator.models.estimates.prices import UNWIRED, Price


@dataclass(eq=False)
class Work:
    """Seconds by resource of a chip and by wire (`wired`: in the order of `places`, which those of one mesh have in common),
    serial seconds, FLOPs of matmuls that are the model's."""

    chip: dict[str, float] = field(default_factory=dict)
    wired: Any = field(default_factory=lambda: np.zeros(0))
    places: Mapping[int, int] = field(default_factory=dict)
    serial: float = 0.0
    matrix_flops: float = 0.0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Work):
            return NotImplemented
        mine, its = ((each.chip, each.wires, each.serial, each.matrix_flops) for each in (self, other))
        return mine == its

    def add(self, price: Price, times: float = 1.0) -> None:
        """So many kernels of a price."""
        _add(self.chip, price.needs, times)
        if price.wires is not UNWIRED:
            self._carry(price.wires.seconds, price.wires.places, times)
        self.serial += times * price.serial
        self.matrix_flops += times * price.matrix_flops

    def include(self, other: Work, times: float = 1.0) -> None:
        """So many times some other work."""
        _add(self.chip, other.chip, times)
        if len(other.wired):
            self._carry(other.wired, other.places, times)
        self.serial += times * other.serial
        self.matrix_flops += times * other.matrix_flops

    def _carry(self, seconds: Any, places: Mapping[int, int], times: float) -> None:
        more, self.places = seconds * times, places
        if len(more) > len(self.wired):
            self.wired, more = more, self.wired
        self.wired[: len(more)] += more

    @property
    def wires(self) -> dict[int, float]:
        """Seconds by wire."""
        each = self.wired.tolist()
        return {wire: each[at] for wire, at in self.places.items() if at < len(each) and each[at]}

    @property
    def network(self) -> float:
        """Seconds of the busiest wire."""
        return float(self.wired.max(initial=0.0))

    def of(self, *resources: str) -> float:
        """Seconds of the busiest of some resources."""
        return max((self.chip.get(name, 0.0) for name in resources), default=0.0)


def _add(total: dict[str, float], more: Mapping[str, float], times: float) -> None:
    for name, seconds in more.items():
        total[name] = total.get(name, 0.0) + seconds * times
