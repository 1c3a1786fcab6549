"""The logical mesh that sharding speaks of: axes, and named groups of chips beside them.

Model: mesh axes are single capitals; places are numbered row-major. Named groups are sets of chips beside the mesh, of any
sizes, single capitals too: 'A' are its chips alone, 'AB' two groups side by side, which have no chip in common. How a mesh
lies over a wiring is in `hw.systems.system`.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from hw.input.wording import chips_named

AXIS_NAME = re.compile(r"[A-Z]")
"""What a mesh axis or a named group may be called."""


@dataclass(frozen=True)
class Mesh:
    """Logical axes and their sizes, in order; `named`: groups of chips that are no axis, by their names."""

    axes: Mapping[str, int]
    named: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def __repr__(self) -> str:
        axes = [f"{axis}={size}" for axis, size in self.axes.items()]
        return f"Mesh({', '.join([*axes, *(f'group {name} of {len(chips)}' for name, chips in self.named.items())])})"

    @property
    def size(self) -> int:
        """How many chips the mesh has."""
        return math.prod(self.axes.values())

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that a collective can go over, axes first."""
        return (*self.axes, *self.named)

    def extent(self, axes: str) -> int:
        """How many chips lie along `axes` together ('XY': size of X times size of Y); of named groups, in the largest."""
        if not axes:
            return 1
        if axes in self.axes:
            return self.axes[axes]
        named = [len(self.named[axis]) for axis in axes if axis in self.named] if self.named else []
        return max(named) if named else math.prod(self.axes[axis] for axis in axes)

    def members(self, axes: str) -> frozenset[int] | None:
        """The chips of all named groups among `axes`; None where there are none: then it is every chip."""
        if not self.named or axes in self.axes:
            return None
        if axes not in self._members:
            named = [self.named[axis] for axis in axes if axis in self.named]
            self._members[axes] = frozenset(chip for chips in named for chip in chips) if named else None
        return self._members[axes]

    @cached_property
    def _members(self) -> dict[str, frozenset[int] | None]:
        """The members by what was asked for so far."""
        return {}

    def groups(self, axes: str) -> tuple[tuple[int, ...], ...]:
        """The places that talk to each other in a collective over `axes`, numbered row-major: one tuple a group."""
        if self.members(axes) is not None:
            return tuple(tuple(self.named[axis]) for axis in axes)
        groups: dict[tuple[int, ...], list[int]] = {}
        for chip, place in enumerate(itertools.product(*(range(n) for n in self.axes.values()))):
            rest = tuple(at for axis, at in zip(self.axes, place, strict=True) if axis not in axes)
            groups.setdefault(rest, []).append(chip)
        return tuple(tuple(group) for group in groups.values())

    def together(self, axes: str) -> str | None:
        """Why one tensor or collective cannot be over all of `axes` together; None if it can."""
        named = [axis for axis in axes if axis in self.named]
        others = [axis for axis in axes if axis not in self.named]
        if named and others:
            return f"{', '.join(named)} names chips, {', '.join(others)} is a mesh axis: they cannot stand together"
        for one, two in itertools.combinations(named, 2):
            common = set(self.named[one]) & set(self.named[two])
            if common:
                return f"groups {one} and {two} share {chips_named(common)}; side by side they must have none in common"
        return None


NO_MESH = Mesh({})
"""The mesh of one chip alone."""


def group_problems(mesh: Mesh, size: int) -> Iterator[tuple[str, int, str]]:
    """What is wrong with the named groups of a mesh over `size` chips: the name, the place in it (-1: all) and why."""
    for name, chips in mesh.named.items():
        if not AXIS_NAME.fullmatch(name):
            yield name, -1, f"group '{name}' must be a single capital letter, as mesh axes are"
        elif name in mesh.axes:
            yield name, -1, f"group {name} has the name of a mesh axis; the mesh has {', '.join(mesh.axes)}"
        if not chips:
            yield name, -1, f"group {name} has no chips"
        seen: set[int] = set()
        for at, chip in enumerate(chips):
            if not 0 <= chip < size:
                yield name, at, f"there is no chip {chip}; the system has chips 0 to {size - 1}"
            elif chip in seen:
                yield name, at, f"chip {chip} is twice in group {name}"
            seen.add(chip)
