"""How each array of a module is cut, name by name and call by call."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from scenarios.importers.hlo.sharding.layouts import Layout, Pieces
from scenarios.importers.hlo.sharding.loops import Loops

Cells = Any
"""A cell, or a tuple of cells."""


@dataclass(eq=False, slots=True)
class Cell:
    """How an array of some sizes is cut; `open`: which of its dims may be cut by more."""

    sizes: tuple[int, ...]
    cuts: list[Pieces]
    open: list[bool]
    manual: bool = False

    @property
    def local(self) -> tuple[int, ...]:
        """The sizes of what one chip has; what does not divide is padded."""
        if self.manual:
            return self.sizes
        return tuple(-(-size // parts_of(cuts)) for size, cuts in zip(self.sizes, self.cuts, strict=True))


def parts_of(pieces: Pieces) -> int:
    """Into how many parts digits cut a dim."""
    return math.prod(size for _, size in pieces)


def fresh(sizes: Sequence[int], layout: Layout | None = None, manual: bool = False) -> Cell:
    """A new cell, as it is annotated."""
    rank = len(sizes)
    if layout is None or (not layout.manual and layout.cuts and len(layout.cuts) != rank):
        return Cell(tuple(sizes), [()] * rank, [layout is None] * rank, manual)
    if layout.manual:
        return Cell(tuple(sizes), [()] * rank, [False] * rank, True)
    cuts, open_ = layout.cuts or ((),) * rank, layout.open or (False,) * rank
    return Cell(tuple(sizes), list(cuts), list(open_))


def flat_cells(tree: Cells) -> Iterator[Cell]:
    """The cells of a tree."""
    if isinstance(tree, Cell):
        yield tree
    elif isinstance(tree, tuple):
        for part in tree:
            yield from flat_cells(part)


def like(tree: Cells) -> Cells:
    """Cells of the same sizes of which nothing is known yet."""
    if isinstance(tree, Cell):
        return fresh(tree.sizes, manual=tree.manual)
    return tuple(like(part) for part in tree) if isinstance(tree, tuple) else tree


@dataclass(eq=False, slots=True)
class Scope:
    """One run through a computation: a cell for each name, the loops of each instruction, scopes of what it calls, what
    calls, tuples and loops are given, what is moved because it says so where it stands, the names of constants, and how its
    result is wanted."""

    cells: dict[str, Cells] = field(default_factory=dict)
    loops: dict[str, Loops] = field(default_factory=dict)
    inner: dict[tuple[str, str], Scope] = field(default_factory=dict)
    given: dict[str, list[Cells]] = field(default_factory=dict)
    taken: dict[str, Cells] = field(default_factory=dict)
    constants: set[str] = field(default_factory=set)
    wanted: Cells = None
    outer: Scope | None = None

    def find(self, name: str) -> Cells:
        """The cell of a name, here or around. Raises KeyError."""
        if name in self.cells or self.outer is None:
            return self.cells[name]
        return self.outer.find(name)

    def is_constant(self, name: str) -> bool:
        """Whether a name is of a constant, or of one in another shape."""
        if name in self.cells or self.outer is None:
            return name in self.constants
        return self.outer.is_constant(name)


def shaped(model: Any, cells: list[Cell]) -> Cells:
    """Cells as a tree like a type, or like another tree."""
    rest = iter(cells)

    def fill(part: Any) -> Cells:
        return tuple(fill(each) for each in part) if isinstance(part, tuple) else next(rest)

    return fill(model)
