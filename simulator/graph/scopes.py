"""Where the unrolling of blocks is, and what names mean there (`simulator.graph.unroll`)."""

from __future__ import annotations

from dataclasses import dataclass, field

Place = tuple[int, ...]
"""A block by its place: that of its item in the graph, then in the block around it, and so on; () is no block."""


@dataclass(slots=True)
class TurnScope:
    """What names mean in one turn of a block (or outside of all blocks), as values: its own, then those of the scope around.

    While a turn lasts nothing is added around it, so nothing is copied.
    """

    own: dict[str, int] = field(default_factory=dict)
    around: TurnScope | None = None

    def find(self, name: str) -> int | None:
        """What a name means here; None if nothing."""
        scope: TurnScope | None = self
        while scope is not None:
            found = scope.own.get(name)
            if found is not None:
                return found
            scope = scope.around
        return None


@dataclass(frozen=True, slots=True)
class Turn:
    """Where the unrolling is: in which block, and in which round of it and of those around it; `suffix`: what names get
    there."""

    place: Place = ()
    path: tuple[int, ...] = ()
    suffix: str = ""

    def into(self, item: int, number: int) -> Turn:
        """A round of a block that stands here."""
        return Turn((*self.place, item), (*self.path, number), f"{self.suffix}.{number}")


@dataclass(slots=True)
class Home:
    """The blocks in which a name lives."""

    blocks: list[Place] = field(default_factory=list)

    def nearest(self, place: Place) -> Place:
        """The one that shares most with a place, and of those one beside it rather than around it: what a block carries is
        also what it took in, which has no rounds of its own; the first of equals."""
        if len(self.blocks) == 1:
            return self.blocks[0]

        def near(block: Place) -> tuple[int, bool]:
            shared = in_common(block, place)
            return shared, len(block) > shared

        return max(self.blocks, key=near)


def in_common(one: Place, other: Place) -> int:
    """How many blocks two places have around them in common."""
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
