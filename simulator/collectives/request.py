"""What a collective is asked to do, apart from the chips that do it."""

from __future__ import annotations

from dataclasses import dataclass

COLLECTIVES = (
    "all_gather",
    "all_reduce",
    "all_to_all",
    "broadcast",
    "gather_to",
    "permute",
    "reduce_scatter",
    "reduce_to",
    "scatter",
)
"""The kinds of collectives; each has the textbook's way, and may have others."""


@dataclass(frozen=True, slots=True)
class CollectiveRequest:
    """A kind of collective, V, the place of its root, a shift; of an uneven one, the parts of V that go to each place
    and those that each place holds before."""

    kind: str
    nbytes: float
    root: int = 0
    shift: int = 1
    shares: tuple[float, ...] = ()
    held: tuple[float, ...] = ()

    @property
    def parts(self) -> tuple[float, ...]:
        """The unequal parts of V by place; none where all are equal."""
        return self.held or self.shares

    @property
    def scatters(self) -> bool:
        """Whether it is a gather backwards."""
        return self.kind == "reduce_scatter"
