"""Work added up: seconds of each resource of a chip, and of the wires that it uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from simulator.models.estimates.prices import Price


@dataclass
class Work:
    """Seconds by resource of a chip and by wire, serial seconds, FLOPs of matmuls that are the model's."""

    chip: dict[str, float] = field(default_factory=dict)
    wires: dict[int, float] = field(default_factory=dict)
    serial: float = 0.0
    matrix_flops: float = 0.0

    def add(self, price: Price, times: float = 1.0) -> None:
        """So many kernels of a price."""
        _add(self.chip, price.needs, times)
        _add(self.wires, price.wires, times)
        self.serial += times * price.serial
        self.matrix_flops += times * price.matrix_flops

    def include(self, other: Work, times: float = 1.0) -> None:
        """So many times some other work."""
        _add(self.chip, other.chip, times)
        _add(self.wires, other.wires, times)
        self.serial += times * other.serial
        self.matrix_flops += times * other.matrix_flops

    @property
    def network(self) -> float:
        """Seconds of the busiest wire."""
        return max(self.wires.values(), default=0.0)

    def of(self, *resources: str) -> float:
        """Seconds of the busiest of some resources."""
        return max((self.chip.get(name, 0.0) for name in resources), default=0.0)


Name = TypeVar("Name", str, int)


def _add(total: dict[Name, float], more: Mapping[Name, float], times: float) -> None:
    for name, seconds in more.items():
        total[name] = total.get(name, 0.0) + seconds * times
