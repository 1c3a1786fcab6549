"""The directions in which chips are counted, and where each chip stands along them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Order:
    """Which chip stands where in a level of chips whose numbers do not follow its wires: chip numbers by position."""

    chips: tuple[int, ...]

    def __repr__(self) -> str:
        return f"Order(of {len(self.chips)} chips)"

    def __hash__(self) -> int:
        return len(self.chips)  # axes are keys of dicts; a thousand numbers need not be hashed for that

    @cached_property
    def positions(self) -> tuple[int, ...]:
        """The position of each chip, by its number."""
        found = [0] * len(self.chips)
        for position, chip in enumerate(self.chips):
            found[chip] = position
        return tuple(found)

    def position_of(self, chip: int) -> int:
        """The position of a chip, in whichever instance of the level it is."""
        inside = chip % len(self.chips)
        return chip - inside + self.positions[inside]

    def chip_at(self, position: int) -> int:
        """The chip at a position, in whichever instance of the level that is."""
        inside = position % len(self.chips)
        return position - inside + self.chips[inside]


@dataclass(frozen=True, slots=True)
class Axis:
    """A direction in which chips are counted: neighbours along it are `stride` chip numbers apart.

    `kind` says how its chips are joined: "ring", "line", "switch", "full", or another wiring of its level. Where chips are
    not numbered along their wires, as in a graph file, `order` says where each stands, and `stride` counts positions.
    """

    kind: str
    size: int
    stride: int
    level: int
    order: Order | None = None

    def position(self, chip: int) -> int:
        """Where a chip stands in all: its number, if chips are numbered along their wires."""
        return chip if self.order is None else self.order.position_of(chip)

    def chip_at(self, position: int) -> int:
        """The chip at a position."""
        return position if self.order is None else self.order.chip_at(position)

    def place(self, chip: int) -> int:
        """Where a chip stands along this axis."""
        return self.position(chip) // self.stride % self.size

    def moved(self, chip: int, positions: int) -> int:
        """The chip so many positions further on (`stride` of them are one place); the caller stays within the axis."""
        return self.chip_at(self.position(chip) + positions)
