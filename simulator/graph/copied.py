"""Items most of which are copies of a few under other names: written out only when somebody goes through them.

Model: a pipeline does the same for every microbatch. What is asked of the form of ops (are they sound, does the planner put
collectives before them) is asked of the first copy of each sort, and columns are stamped from it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import overload

from simulator.graph.flat_ops import FlatOps
from simulator.graph.items import Items, Op, Repeat


class Copied(Sequence[Op | Repeat], ABC):
    """The items of a graph, in program order."""

    @abstractmethod
    def once(self) -> Items:
        """The items without those that differ from one that is there in names only."""

    @abstractmethod
    def written_out(self) -> Items:
        """All items."""

    @abstractmethod
    def unrolled(self, dims: Mapping[str, int]) -> FlatOps:
        """All ops as columns, those that `simulator.graph.unroll` makes of all items. Raises SpecError where that does."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.once())} items, and copies of them)"

    @cached_property
    def _all(self) -> Items:
        return self.written_out()

    def __len__(self) -> int:
        return len(self._all)

    @overload
    def __getitem__(self, at: int) -> Op | Repeat: ...
    @overload
    def __getitem__(self, at: slice) -> Items: ...
    def __getitem__(self, at: int | slice) -> Op | Repeat | Items:
        return self._all[at]

    def __iter__(self) -> Iterator[Op | Repeat]:
        return iter(self._all)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Sequence) and self._all == tuple(other))

    def __hash__(self) -> int:
        return hash(self._all)


def once(items: Items) -> Items:
    """Items without those that are copies of one that is there."""
    return items.once() if isinstance(items, Copied) else items


class CopiedGroups(Sequence[tuple[str, ...]]):
    """Groups of ops to fuse that stand in many copies, written out only where somebody goes through them.

    `copies`: in program order, the groups of a copy under the names that their ops are written with, and what these get.
    """

    def __init__(self, copies: Sequence[tuple[Sequence[tuple[str, ...]], str]]) -> None:
        self._copies = tuple(copies)

    def __repr__(self) -> str:
        return f"CopiedGroups({len(self)} groups in {len(self._copies)} copies)"

    @cached_property
    def of(self) -> Mapping[tuple[str, ...], list[str]]:
        """By group, what names get in the copies that have it."""
        found: dict[tuple[str, ...], list[str]] = {}
        for groups, ending in self._copies:
            for group in groups:
                found.setdefault(group, []).append(ending)
        return found

    @cached_property
    def _all(self) -> tuple[tuple[str, ...], ...]:
        lines = ((group, ending) for groups, ending in self._copies for group in groups)
        return tuple(tuple([name + ending for name in group]) for group, ending in lines)

    def __len__(self) -> int:
        return sum(len(groups) for groups, _ in self._copies)

    @overload
    def __getitem__(self, at: int) -> tuple[str, ...]: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[tuple[str, ...], ...]: ...
    def __getitem__(self, at: int | slice) -> tuple[str, ...] | tuple[tuple[str, ...], ...]:
        return self._all[at]

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        return iter(self._all)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Sequence) and [*map(list, self)] == [*map(list, other)]

    def __hash__(self) -> int:
        return hash(self._all)
